"""The sweeper: sends again what was lost, not what would be unsafe, not too often."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from exchange_adapters.sim import Faults, SimClock, SimLeases, SimWallets
from exchange_core.codec import encode_commands
from exchange_core.commands import PlaceOrder
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.ports import DatabaseReader, Intent
from exchange_core.topology import SWEEP_LAG_LIMIT_MS
from exchange_gateway.trading import sweeper as module
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand
from tests.eventually import eventually
from tests.unit.gateway.support import Gateway, running_gateway

BTCUSDT_STEP_MS = 4_000


@pytest.fixture
async def market(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr(module, "SWEEP_EVERY_S", 0.02)
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def lost_order(market: Gateway) -> str:
    """An order that was promised while the queue was away."""
    market.faults.down("sqs")
    answer = await market.place("alice", client_order_id="lost")
    market.faults.up("sqs")
    assert answer.status == 202
    assert await market.exchange.settle() == 0
    return str(answer.body["order_id"])


async def status_of(market: Gateway, order_id: str) -> str:
    return str((await market.call("GET", f"/api/v1/order/{order_id}", user="alice")).body["status"])


async def test_an_order_promised_while_the_queue_was_down_is_sent_by_itself(market: Gateway) -> None:
    order_id = await lost_order(market)
    assert await status_of(market, order_id) == "accepted"
    market.clock.advance(BTCUSDT_STEP_MS)
    await eventually(market.exchange.settle)
    assert await status_of(market, order_id) == "open"
    assert await market.cloud.wallets.pending(0, market.clock.now_ms(), 10) == []
    assert await market.cloud.wallets.pending(1, market.clock.now_ms(), 10) == []


async def test_a_repeat_changes_nothing_and_comes_ever_more_rarely(market: Gateway) -> None:
    """GIVEN a matcher that works off nothing for a while THEN its orders are repeated a few times, and trade once."""
    order_id = (await market.place("alice")).body["order_id"]
    partition = market.cloud.wallets.all_intents()[-1].partition
    for _ in range(10):
        market.clock.advance(BTCUSDT_STEP_MS)
        await _sweeps(market, 2)
    assert 2 <= market.cloud.queues.depth(partition) <= 6
    await market.exchange.settle()
    placed = [command for command in market.exchange.commands if isinstance(command, PlaceOrder)]
    assert len(placed) >= 2 and {str(command.order_id) for command in placed} == {order_id}
    assert await status_of(market, order_id) == "open"
    assert (await market.balances("alice"))["USDT"] == (995_000, 5_000)


class SlowReader:
    """Says how far settlement is, which takes a while, and knows how often what is pending was listed before."""

    def __init__(self, clock: SimClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self.listed_before = 0

    async def positions(self) -> list[Any]:
        self.listed_before = self._faults.calls["wallets.pending"]
        self._clock.advance(60_000)
        return []


class Desk:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def submit(self, _: int, outgoing: OutgoingCommand) -> asyncio.Future[None]:
        self.sent.append(outgoing.command)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def test_a_repeat_says_from_when_it_is_that_no_slot_showed_it() -> None:
    """And that is before the lag was asked for, and then what is pending, however long the answers take."""
    clock, faults, desk = SimClock(), Faults(), Desk()
    wallets = SimWallets(clock=clock, faults=faults)
    entered_ms = clock.now_ms()
    order = PlaceOrder(
        order_id=7,
        user_id="alice",
        client_order_id="",
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=1,
        quantity=1,
        hold=0,
        hold_asset="",
        entered_at_ms=entered_ms,
    )
    intent = Intent(
        user_id="alice",
        order_id=7,
        client_order_id=None,
        body_digest="",
        partition=0,
        group="BTCUSDT",
        command=encode_commands([order]),
        created_at_ms=entered_ms,
    )
    await wallets.commit({}, [intent])
    clock.advance(BTCUSDT_STEP_MS)
    looked_ms = clock.now_ms()
    reader = SlowReader(clock, faults)
    sweeper = module.Sweeper(
        holds=wallets,
        reader=cast("DatabaseReader", reader),
        leases=SimLeases(clock=clock),
        commands=cast("CommandDesk", desk),
        clock=clock,
        owner="a",
        partitions=1,
    )
    assert await sweeper.sweep(0) == 1
    assert faults.calls["wallets.pending"] > reader.listed_before, "it is listed after the lag was told"
    (repeat,) = desk.sent
    assert repeat == replace(order, as_of_ms=repeat.as_of_ms)
    assert looked_ms <= repeat.as_of_ms < looked_ms + 1_000


async def test_nothing_is_repeated_while_settlement_is_far_behind(market: Gateway) -> None:
    order_id = await lost_order(market)
    market.clock.advance(SWEEP_LAG_LIMIT_MS + BTCUSDT_STEP_MS)
    await _sweeps(market, 5)
    assert await market.exchange.settle() == 0
    await market.exchange.beat()
    await eventually(market.exchange.settle)
    assert await status_of(market, order_id) == "expired", "too old to trade: its hold comes back"
    assert (await market.balances("alice"))["USDT"] == (1_000_000, 0)


async def _sweeps(market: Gateway, count: int) -> None:
    """Let the sweeper look that many times at both partitions."""
    seen = market.faults.calls["wallets.pending"]
    await eventually(lambda: market.faults.calls["wallets.pending"] >= seen + 2 * count)
    await asyncio.sleep(0)
