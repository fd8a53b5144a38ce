"""What comes after a world's storm asks the exchange, not the luck of its clients."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from exchange_core.topology import depth_channel, trades_channel, user_channel
from exchange_fanout.hub import FeedUnavailableError, Hub
from simulation.checks.examine import examine
from simulation.machines.directory import OPERATOR
from simulation.market import BUYER, SYMBOLS, USERS
from simulation.probe import Probe
from simulation.trouble.weather import Weather
from simulation.world import live

HEALTHY_FEED = "feed: whole when healthy"
HEALTHY_DEPTH_FEED = "depth feed: whole when healthy"
HEALTHY_PRIVATE_FEED = "private feed: whole when healthy"
CALM = Weather(chaos_s=3.0)


def test_a_listener_whom_the_feed_refuses_for_a_while_asks_again_and_hears_all() -> None:
    """GIVEN a feed that cannot be joined for some time, as when Redis is away WHEN the listener is told to try again
    THEN it does, though its connection stands."""
    watch: Any = Hub.watch
    refused: Counter[str] = Counter()

    async def away_at_first(hub: Hub, watchers: Sequence[Any], *, timeout_s: float) -> None:
        channel = watchers[0].channel
        if refused[channel] < 2:
            refused[channel] += 1
            raise FeedUnavailableError(channel)
        await watch(hub, watchers, timeout_s=timeout_s)

    with patch.object(Hub, "watch", away_at_first):
        aftermath = live(0, weather=CALM)
    public = {channel_of(symbol) for channel_of in (trades_channel, depth_channel) for symbol in SYMBOLS}
    assert refused.keys() == public | {user_channel(user_id) for user_id in (USERS[0], BUYER)}
    assert len({heard.message["symbol"] for heard in aftermath.history.trades}) > 1, "those that were not poisoned"
    assert examine(aftermath).is_clean


def test_a_listener_who_is_never_let_in_is_found() -> None:
    async def away(_: Hub, watchers: Sequence[Any], *, timeout_s: float) -> None:
        del timeout_s
        raise FeedUnavailableError(watchers[0].channel)

    with patch.object(Hub, "watch", away):
        found = examine(live(0, weather=CALM)).found
    assert found.keys() == {HEALTHY_FEED, HEALTHY_DEPTH_FEED, HEALTHY_PRIVATE_FEED}
    assert all("could not subscribe" in texts[0] for texts in found.values())


def test_the_probe_does_not_depend_on_what_the_users_have_left() -> None:
    """GIVEN users who have nothing available any more WHEN a symbol is poisoned THEN the others are seen to trade."""
    run: Any = Probe.run
    withdrawn: list[str] = []

    async def run_among_the_poor(probe: Probe, sick: str, others: list[str]) -> None:
        gateway = probe.desk.gateways[0]
        for user_id in USERS:
            balances = await probe.desk.call(user_id, "balances", "GET", "/api/v1/balances", host=gateway)
            for balance in balances.answer["balances"]:
                if Decimal(str(balance["available"])) > 0:
                    transfer = f"last-{user_id}-{balance['asset']}"
                    body = {
                        "user_id": user_id,
                        "asset": balance["asset"],
                        "amount": str(balance["available"]),
                        "transfer_id": transfer,
                    }
                    path = "/api/v1/admin/withdrawals"
                    call = await probe.desk.call(OPERATOR, "withdrawals", "POST", path, host=gateway, body=body)
                    assert call.is_promise, call
                    withdrawn.append(transfer)
        assert not await probe.rest()
        await run(probe, sick, others)

    with patch.object(Probe, "run", run_among_the_poor):
        verdict = examine(live(0, weather=CALM))
    assert len(withdrawn) >= len(USERS)
    assert verdict.is_clean, str(verdict)
