"""How often one may ask: over real HTTP, on a simulated Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from pydantic import ValidationError

from exchange_adapters.emf import Recorder
from exchange_adapters.metrics import REQUESTS_LIMITED
from exchange_adapters.sim import Gate as Stop
from exchange_core.addresses import client_address
from exchange_core.rate_limits import Charge, RateLimit
from exchange_gateway.access.limits import DEFAULT_LIMITS, RouteClass, rate_limits, route_class
from exchange_gateway.access.rate_gate import LocalRateLimiter
from exchange_gateway.access.redis_patience import REDIS_AWAY_S, REDIS_TIMEOUT_S
from exchange_gateway.rest import middleware
from tests.unit.gateway.support import PASSWORD, Answer, Gateway, gateway_config, running_gateway

ROOM = dict.fromkeys(DEFAULT_LIMITS, "100000/1h")
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def limited(**limits: str) -> dict[str, object]:
    """Room for all but the limits named, as `orders_user="3/1h"`."""
    return {
        "rate_limit_scale": 1,
        "rate_limits": ROOM | {name.replace("_", "."): text for name, text in limits.items()},
    }


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway(
        **limited(orders_user="3/1h", account_address="10/1h", market_address="4/1h")
    ) as started:
        await started.open_market()
        yield started


def standing(answer: Answer) -> tuple[int, ...]:
    return tuple(int(answer.headers[name]) for name in HEADERS)


async def test_the_user_is_told_what_remains_and_then_refused_until_it_fills_again(gateway: Gateway) -> None:
    answers = [await gateway.place("alice") for _ in range(4)]
    assert [answer.status for answer in answers] == [202, 202, 202, 429]
    assert [standing(answer)[:2] for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0)]
    assert all(0 < standing(answer)[2] <= 3_600 for answer in answers)
    refused = answers[-1]
    assert (refused.code, refused.body["limit"]) == ("too_many_requests", "orders.user")
    assert 1_190 < int(refused.headers["Retry-After"]) <= 1_200
    gateway.clock.advance(1_200_000)
    assert (await gateway.place("alice")).status == 202
    assert (await gateway.place("alice")).status == 429


async def test_what_the_limits_refuse_is_counted(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    recorder = Recorder(lines.append)
    monkeypatch.setattr(middleware, "recorder", recorder)
    answers = [await gateway.place("alice") for _ in range(5)]
    assert [answer.status for answer in answers] == [202, 202, 202, 429, 429]
    recorder.flush()
    told = [orjson.loads(line) for line in lines]
    assert [one[REQUESTS_LIMITED.name] for one in told if REQUESTS_LIMITED.name in one] == [2]


async def test_whoever_may_place_no_more_can_cancel_and_read_and_is_nobody_elses_trouble(gateway: Gateway) -> None:
    placed = [await gateway.place("alice") for _ in range(4)]
    path = f"/api/v1/order/{placed[0].body['order_id']}"
    assert (await gateway.call("GET", path, user="alice")).status == 200
    assert (await gateway.call("DELETE", path, user="alice")).status == 202
    assert (await gateway.call("DELETE", "/api/v1/orders", user="alice")).status == 202
    assert (await gateway.place("bob")).status == 202


async def test_a_batch_counts_for_each_of_its_items(gateway: Gateway) -> None:
    order = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": "50000", "quantity": "0.1"}
    batch = {"items": [{"op": "place", **order}] * 2}
    assert (await gateway.call("POST", "/api/v1/orders/batch", batch, user="alice")).status == 200
    refused = await gateway.call("POST", "/api/v1/orders/batch", batch, user="alice")
    assert (refused.status, refused.body["limit"]) == (429, "orders.user")
    assert (await gateway.place("alice")).status == 429, "the batch took the last one, as a request"
    assert await gateway.exchange.settle() == 2, "nothing of the refused batch was done"


async def test_guessing_passwords_is_slow_whatever_the_name(gateway: Gateway) -> None:
    codes = []
    for number in range(12):
        guess = {"username": f"alice{number % 2}", "password": f"guess-{number}"}
        codes.append((await gateway.call("POST", "/api/v1/sessions", guess)).code)
    assert set(codes) == {"invalid_credentials", "too_many_requests"}
    assert codes.count("invalid_credentials") == 10 - 6, "three have signed up and logged in before"
    signing = await gateway.call("POST", "/api/v1/users", {"username": "mallory", "password": PASSWORD})
    assert signing.code == "too_many_requests"


async def test_public_routes_count_for_the_address_and_every_answer_says_how_it_stands(gateway: Gateway) -> None:
    gateway.clock.advance(3_600_000)
    answers = [await gateway.call("GET", "/api/v1/time") for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 4 + [429]
    for answer in (
        *answers,
        await gateway.call("GET", "/nowhere"),
        await gateway.call("GET", "/healthz"),
        await gateway.call("PUT", "/api/v1/order"),
        await gateway.call("GET", "/api/v1/balances"),
        await gateway.call("GET", "/api/v1/balances", headers={"Authorization": "Bearer x"}),
    ):
        limit, remaining, reset_s = standing(answer)
        assert 0 <= remaining < limit and 0 < reset_s <= 3_600


async def test_the_stages_come_in_their_order(gateway: Gateway) -> None:
    answer = await gateway.place("alice")
    stages = [part.split(";")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["ratelimit", "auth", "validate", "wallet", "book", "enqueue", "total"]


async def test_a_known_token_is_judged_by_all_limits_in_one_call(gateway: Gateway) -> None:
    await gateway.call("GET", "/api/v1/balances", user="alice")
    calls = gateway.faults.calls["redis.take"]
    await gateway.call("GET", "/api/v1/balances", user="alice")
    assert gateway.faults.calls["redis.take"] == calls + 1
    await gateway.call("GET", "/api/v1/balances", headers={"Authorization": "Bearer forged"})
    assert gateway.faults.calls["redis.take"] == calls + 2, "a forged one counts for its address only"


async def test_requests_that_come_together_are_judged_together(gateway: Gateway) -> None:
    calls = gateway.faults.calls["redis.take"]
    await asyncio.gather(*(gateway.call("GET", "/nowhere/at/all") for _ in range(50)))
    assert gateway.faults.calls["redis.take"] < calls + 50


async def test_without_redis_the_gateway_counts_for_itself() -> None:
    async with running_gateway(**limited(reads_user="3/1h")) as gateway:
        await gateway.join("alice")
        gateway.faults.down("redis")
        answers = [await gateway.call("GET", "/api/v1/balances", user="alice") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert gateway.faults.calls["redis.take"] <= 4, "it is left alone for a while"
        gateway.faults.up("redis")


async def test_a_redis_that_hangs_costs_no_more_than_its_timeout() -> None:
    async with running_gateway(**limited()) as gateway:
        hung = Stop()
        gateway.faults.script("redis.take", [hung])
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answers = await asyncio.gather(*(gateway.call("GET", "/api/v1/time") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert loop.time() - began_s < REDIS_TIMEOUT_S + 0.5 < REDIS_AWAY_S
        calls = gateway.faults.calls["redis.take"]
        assert (await gateway.call("GET", "/api/v1/time")).status == 200
        assert gateway.faults.calls["redis.take"] == calls, "left alone"


async def test_the_address_behind_our_proxies_counts_and_what_a_client_makes_up_does_not() -> None:
    async with running_gateway(**limited(market_address="2/1h"), trusted_proxies=1) as gateway:

        async def status(forwarded: str) -> int:
            return (await gateway.call("GET", "/api/v1/time", headers={"X-Forwarded-For": forwarded})).status

        made_up = [await status(f"10.0.0.{number}, 192.0.2.1") for number in range(3)]
        assert made_up == [200, 200, 429]
        assert await status("192.0.2.2") == 200


def test_of_the_forwarded_addresses_those_that_our_proxies_wrote_count() -> None:
    forwarded = ["1.1.1.1, 2.2.2.2", "3.3.3.3"]
    assert client_address("9.9.9.9", forwarded, 0) == "9.9.9.9"
    assert client_address("9.9.9.9", forwarded, 1) == "3.3.3.3"
    assert client_address("9.9.9.9", forwarded, 2) == "2.2.2.2"
    assert client_address("9.9.9.9", forwarded, 5) == "1.1.1.1"
    assert client_address("9.9.9.9", ["nonsense"], 1) == "9.9.9.9"
    assert client_address("9.9.9.9", [], 1) == "9.9.9.9"
    assert client_address(None, [], 0) == "unknown"
    assert client_address("2001:db8::1", [], 0) == client_address("2001:db8::ffff:1", [], 0) == "2001:db8::/64"
    assert client_address("::ffff:9.9.9.9", [], 0) == "9.9.9.9"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/v1/order", "orders"),
        ("PATCH", "/api/v1/order/7", "orders"),
        ("POST", "/api/v1/orders/batch", "orders"),
        ("DELETE", "/api/v1/order/7", "cancels"),
        ("DELETE", "/api/v1/orders", "cancels"),
        ("POST", "/api/v1/orders/cancel-all-after", "cancels"),
        ("GET", "/api/v1/order/7", "reads"),
        ("GET", "/api/v1/orders", "reads"),
        ("GET", "/api/v1/fills", "reads"),
        ("GET", "/api/v1/balances", "reads"),
        ("GET", "/api/v1/something-new", "reads"),
        ("POST", "/api/v1/users", "account"),
        ("POST", "/api/v1/sessions", "account"),
        ("POST", "/api/v1/sessions/refresh", "account"),
        ("DELETE", "/api/v1/sessions", "reads"),
        ("POST", "/api/v1/api-keys", "account"),
        ("DELETE", "/api/v1/api-keys/k", "reads"),
        ("POST", "/api/v1/admin/deposits", "operators"),
        ("GET", "/api/v1/time", "market"),
        ("GET", "/api/v1/orderbook/BTCUSDT", "market"),
        ("GET", "/api/v1/tickers", "market"),
        ("GET", "/", "market"),
        ("GET", "/healthz", "health"),
    ],
)
def test_every_route_has_its_class(method: str, path: str, expected: str) -> None:
    found = route_class(method, path)
    assert found is RouteClass(expected)
    assert f"{found}.address" in DEFAULT_LIMITS


async def test_the_local_limiter_remembers_a_bounded_number_of_subjects() -> None:
    limiter = LocalRateLimiter(subjects_max=10)
    limit = RateLimit(requests=1, window_ms=3_600_000)

    async def passes(key: str) -> Sequence[bool]:
        return [standing.is_allowed for [standing] in await limiter.take([[Charge(key=key, limit=limit)]])]

    assert await passes("first") == [True]
    for number in range(9):
        assert await passes(str(number)) == [True]
    assert await passes("first") == [False]
    assert await passes("eleventh") == [True]
    assert await passes("first") == [True], "forgotten, for it was charged the longest ago"
    assert len(limiter._full_at_us) == 10


def test_limits_are_checked_whole_and_the_global_one_is_never_scaled() -> None:
    limits = rate_limits({"orders.user": "7/1s"}, 10)
    assert limits["orders.user"] == RateLimit(requests=7, window_ms=1_000), "what is named is meant"
    assert limits["cancels.user"] == RateLimit(requests=2_000, window_ms=1_000)
    assert limits["global"] == RateLimit(requests=10_000, window_ms=1_000)
    for wrong in ({"order.user": "1/1s"}, {"orders.user": "many"}):
        with pytest.raises(ValidationError):
            gateway_config(rate_limits=wrong)
