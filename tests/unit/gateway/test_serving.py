"""The gateway as a process: ready when it can promise, bounded when it cannot keep up, and nothing lost at the end."""

import asyncio
from decimal import Decimal

import pytest
from pydantic import ValidationError

from exchange_adapters.sim import Gate
from exchange_core.ids import created_at_ms
from exchange_core.topology import node_lease
from exchange_gateway.config import Config
from exchange_gateway.trading import nodes
from tests.eventually import eventually
from tests.unit.gateway.support import Answer, Gateway, gateway_config, running_gateway


async def test_what_was_taken_before_the_stop_is_answered_and_written() -> None:
    """GIVEN orders whose transaction is on its way WHEN the gateway is told to stop THEN each is answered and sent."""
    async with running_gateway() as gateway:
        await gateway.open_market()
        gate = Gate()
        gateway.faults.script("wallets.commit", [gate])
        orders = [asyncio.create_task(gateway.place("alice", price=str(49_000 + number))) for number in range(5)]
        await gate.reached.wait()
        gateway.stopping.set()
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(*orders, return_exceptions=True)
        await gateway.task
        promised = {answer.body["order_id"] for answer in answers if isinstance(answer, Answer)}
        assert promised
        await gateway.exchange.settle()
        assert promised <= {str(getattr(command, "order_id", 0)) for command in gateway.exchange.commands}
        leases = [await gateway.cloud.leases.holder(node_lease(number)) for number in range(nodes.NODE_COUNT)]
        (ends_ms,) = [lease[1] for lease in leases if lease is not None]
        assert max(created_at_ms(int(order_id)) for order_id in promised) < ends_ms <= gateway.clock.now_ms() + 1


async def test_it_is_not_ready_before_it_knows_the_instruments() -> None:
    async with running_gateway(is_ready=False) as gateway:
        await eventually(lambda: _is_ready(gateway))
        gateway.faults.down("reader", "redis")
        await gateway.join("alice")
        assert (await gateway.call("GET", "/api/v1/orders", user="alice")).code == "service_unavailable"
        assert (await gateway.call("GET", "/api/v1/time")).status == 200
        assert await _is_ready(gateway), "what it knows already is enough to go on"


async def _is_ready(gateway: Gateway) -> bool:
    return (await gateway.call("GET", "/readyz")).status == 200


async def test_a_gateway_without_a_node_number_takes_no_orders() -> None:
    async with running_gateway() as gateway:
        await gateway.open_market()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nodes.NodeLease, "_is_leased", lambda *_: False)
            answer = await gateway.place("alice")
            assert (answer.status, answer.code) == (503, "service_unavailable")
            await eventually(lambda: _is_not_ready(gateway))
        assert await gateway.exchange.settle() == 0
        assert (await gateway.place("alice")).status == 202


async def _is_not_ready(gateway: Gateway) -> bool:
    return not await _is_ready(gateway)


async def test_more_orders_than_may_wait_are_refused_and_nothing_is_held_for_them() -> None:
    async with running_gateway(waiting_orders_max=3) as gateway:
        await gateway.open_market()
        gate = Gate()
        gateway.faults.script("wallets.commit", [gate])
        orders = [asyncio.create_task(gateway.place("alice")) for _ in range(20)]
        await gate.reached.wait()
        await eventually(lambda: sum(order.done() for order in orders) >= 10)
        gate.open.set()
        answers = await asyncio.gather(*orders)
        refused = [answer for answer in answers if answer.status == 503]
        assert {answer.code for answer in refused} == {"overloaded"}
        assert all(answer.headers["Retry-After"] == "1" for answer in refused)
        promised = len(answers) - len(refused)
        assert (await gateway.balances("alice"))["USDT"][1] == 5_000 * promised


async def test_more_requests_than_may_be_in_flight_are_refused() -> None:
    async with running_gateway(requests_in_flight_max=1) as gateway:
        await gateway.join("alice")
        gate = Gate()
        gateway.faults.script("wallets.balances", [gate])
        first = asyncio.create_task(gateway.call("GET", "/api/v1/balances", user="alice"))
        await gate.reached.wait()
        assert (await gateway.call("GET", "/api/v1/time")).code == "overloaded"
        gate.open.set()
        assert (await first).status == 200


async def test_an_order_is_promised_although_the_queue_is_down_and_a_cancel_is_not() -> None:
    async with running_gateway() as gateway:
        await gateway.open_market()
        settled = (await gateway.place("alice")).body["order_id"]
        await gateway.exchange.settle()
        gateway.faults.down("sqs")
        placed, canceled = await asyncio.gather(
            gateway.place("alice"), gateway.call("DELETE", f"/api/v1/order/{settled}", user="alice")
        )
        assert (placed.status, placed.body["status"]) == (202, "accepted")
        assert (canceled.status, canceled.code) == (503, "queue_unavailable")


async def test_a_cancel_that_was_on_its_way_for_minutes_is_not_promised() -> None:
    """GIVEN a gateway that is suspended amid a cancel WHEN it wakes THEN it does not say 202: a matcher may take the
    message for a repeat."""
    async with running_gateway() as gateway:
        await gateway.open_market()
        order_id = (await gateway.place("alice")).body["order_id"]
        await gateway.exchange.settle()
        gate = Gate()
        gateway.faults.script("sqs.send", [gate])
        cancel = asyncio.create_task(gateway.call("DELETE", f"/api/v1/order/{order_id}", user="alice"))
        await gate.reached.wait()
        gateway.clock.advance(120_000)
        gate.open.set()
        assert (await cancel).code == "queue_unavailable"


async def test_the_band_follows_the_last_trade_and_losing_redis_stops_no_order() -> None:
    async with running_gateway() as gateway:
        await gateway.open_market()
        await gateway.place("alice", side="sell", price="52000", quantity="0.1")
        await gateway.place("bob", price="52000", quantity="0.1")
        await gateway.exchange.settle()

        async def is_followed() -> bool:
            return (await gateway.place("bob", price="57200", quantity="0.0001")).status == 202

        await eventually(is_followed)
        assert (await gateway.place("bob", price="57200.01", quantity="0.0001")).code == "price_out_of_band"
        gateway.cloud.redis.flush()
        gateway.faults.down("redis")
        for _ in range(3):
            assert (await gateway.place("bob", price="57000", quantity="0.0001")).status == 202
        book = await gateway.call("GET", "/api/v1/orderbook/BTCUSDT")
        assert (book.status, book.code) == (503, "service_unavailable")


async def test_an_accepted_order_is_found_at_every_moment_while_it_settles() -> None:
    async with running_gateway() as gateway:
        await gateway.open_market()
        tries, is_done = 0, False

        async def settle() -> None:
            while not is_done:
                await gateway.exchange.settle()
                await asyncio.sleep(0.001)

        async def follow(number: int) -> None:
            nonlocal tries
            order_id = (await gateway.place("alice", client_order_id=f"c{number}", quantity="0.0001")).body["order_id"]
            for attempt in range(10):
                path = f"/api/v1/order/{order_id}" if attempt % 2 else f"/api/v1/order/by-client-id/c{number}"
                assert (await gateway.call("GET", path, user="alice")).status == 200
                tries += 1

        settling = asyncio.create_task(settle())
        for batch in range(4):
            await asyncio.gather(*(follow(20 * batch + number) for number in range(20)))
        is_done = True
        await settling
        assert tries == 800
        assert (await gateway.balances("alice"))["USDT"][1] == Decimal(400)


async def test_a_trace_is_continued_only_if_it_is_one() -> None:
    async with running_gateway() as gateway:
        await continues_traces(gateway)


async def continues_traces(market: Gateway) -> None:
    good = "4bf92f3577b34da6a3ce929d0e0e4736"
    for headers in (
        {"traceparent": f"00-{good}-00f067aa0ba902b7-01"},
        {"X-Amzn-Trace-Id": f"Root=1-{good[:8]}-{good[8:]};Parent=00f067aa0ba902b7;Sampled=1"},
    ):
        answer = await market.call("GET", "/api/v1/time", headers=headers)
        assert answer.headers["X-Trace-Id"] == good
    for bad in (
        "",
        "x",
        f"ff-{good}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{good}-1-01",
    ):
        answer = await market.call("GET", "/api/v1/time", headers={"traceparent": bad})
        made = answer.headers["X-Trace-Id"]
        assert made != good and len(made) == 32


def test_settings_are_checked_whole_and_shown_without_secrets() -> None:
    config = gateway_config(redis_url="redis://:hidden-word@nowhere")
    assert "hidden-word" not in str(config.redacted())
    with pytest.raises(ValidationError) as refused:
        gateway_config(redis_url="http://:hidden-word@nowhere")
    assert "hidden-word" not in str(refused.value)
    with pytest.raises(ValidationError):
        Config(**{**gateway_config().model_dump(), "http_port": 0})
