"""One matcher on simulated stores: what it journals, feeds, publishes and acknowledges, and what it survives."""

import asyncio
import contextlib
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest

from exchange_adapters.sim import Faults, Gate
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import encode_commands
from exchange_core.events import CommandRefused, OrderAccepted, OrderDone, TradeExecuted
from exchange_core.orders import OrderStatus, Reason, Side, TimeInForce
from exchange_core.topology import (
    COMMAND_MAX_AGE_MS,
    COMMAND_VISIBILITY_S,
    DEDUP_WINDOW_MS,
    HEARTBEAT_MS,
    trades_channel,
)
from tests.eventually import eventually
from tests.unit.matcher.support import SYMBOL, World, cancel, listed_world, order, reached


@in_virtual_time
async def test_a_trade_is_journaled_fed_published_and_acknowledged():
    world = await listed_world()
    host = world.start()
    listener = world.cloud.redis.connect()
    await listener.subscribe(trades_channel(SYMBOL))
    now_ms = world.clock.now_ms()
    await world.send(order(10, Side.SELL, user_id="bob", entered_at_ms=now_ms))
    await world.send(order(11, entered_at_ms=now_ms))
    await world.until_drained()
    await world.assert_sound([1, 10, 11])
    events = [event for slot in await world.slots() for event in slot.events]
    assert [event.seq for event in events if event.symbol == SYMBOL] == list(range(1, len(events) + 1))
    (trade,) = [event for event in events if isinstance(event, TradeExecuted)]
    async with contextlib.aclosing(listener.messages()) as heard:
        channel, message = await anext(heard)
    assert channel == trades_channel(SYMBOL)
    told = orjson.loads(message)
    assert (told["event"], told["price"], told["quantity"], told["seq"]) == ("trade", 50_000, 0.001, trade.seq)
    price = orjson.loads(await world.cloud.redis.get(f"price:{SYMBOL}") or b"")
    assert price["price"] == 50_000
    book = orjson.loads(await world.cached_book() or b"")
    assert (book["bids"], book["asks"], book["seq"]) == ([], [], events[-1].seq)
    await host.stop()


@in_virtual_time
async def test_a_redelivered_and_a_resent_command_change_nothing():
    world = await listed_world()
    host = world.start(faults=Faults())
    now_ms = world.clock.now_ms()
    host.faults.script("sqs.delete", ["after", *["before"] * 5])
    await world.send(order(10, entered_at_ms=now_ms))
    await world.send(order(10, entered_at_ms=now_ms))
    await world.send(cancel(12, 10))
    await world.until_drained()
    await world.send(order(10, entered_at_ms=now_ms))
    await world.send(cancel(12, 10))
    await world.until_drained()
    await world.assert_sound([1, 10, 12])
    await host.stop()


@in_virtual_time
async def test_what_the_queue_gave_to_a_connection_that_was_gone_does_not_wait_for_its_visibility():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.script("sqs.receive", ["after"])  # the poll under way answers; the next one has an answer that is lost
    for number in (10, 11):
        began_s = asyncio.get_running_loop().time()
        await world.send(order(number, entered_at_ms=world.clock.now_ms()))
        await world.until_drained()
        assert asyncio.get_running_loop().time() - began_s < COMMAND_VISIBILITY_S / 2
    assert not host.faults.unspent
    await world.assert_sound([1, 10, 11])
    await host.stop()


STEPS = {
    "before the journal put": "journal.put",
    "between journal and stream": "kinesis.append",
    "between stream and Redis": "redis.publish",
    "between Redis and delete": "sqs.delete",
}


@pytest.mark.parametrize("operation", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("batches_before", [0, 3])
@in_virtual_time
async def test_nothing_is_lost_or_twice_when_it_is_killed(operation: str, batches_before: int):
    world = await listed_world()
    first = world.start()
    await world.until_drained()
    now_ms = world.clock.now_ms()
    for number in range(batches_before):
        await world.send(order(10 + number, entered_at_ms=now_ms))
        await world.until_drained()
    gate = Gate()
    first.faults.script(operation, [gate])
    await world.send(order(50, Side.SELL, user_id="bob", entered_at_ms=now_ms), order(51, entered_at_ms=now_ms))
    await reached(gate)
    await first.kill()
    second = world.start()
    await world.until_drained()
    await world.assert_sound([1, *range(10, 10 + batches_before), 50, 51])
    await second.stop()


@in_virtual_time
async def test_nothing_is_lost_or_twice_when_it_is_killed_between_two_slots_of_one_batch():
    world = await listed_world()
    first = world.start()
    await world.until_drained()
    head = len(await world.slots())
    gate = Gate()
    first.faults.script("journal.put", [None, gate])
    now_ms = world.clock.now_ms()
    ids = range(10, 10 + 10 * 420)
    first.faults.script("sqs.receive", ["before"])  # so that all ten messages are there when it looks again
    for start in ids[::420]:
        await world.send(
            *(order(number, price=4_000_000, entered_at_ms=now_ms) for number in range(start, start + 420))
        )
    await reached(gate)
    assert len(await world.slots()) == head + 1
    await first.kill()
    second = world.start()
    await world.until_drained()
    await world.assert_sound([1, *ids])
    await second.stop()


@pytest.mark.parametrize("outcome", ["lost", "after"])
@pytest.mark.parametrize("operation", ["journal.put", "kinesis.append", "sqs.delete", "redis.publish"])
@in_virtual_time
async def test_an_ambiguous_outcome_is_settled_either_way(operation: str, outcome: str):
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.script(operation, [outcome, outcome, "throttled", "before"])
    now_ms = world.clock.now_ms()
    await world.send(order(10, entered_at_ms=now_ms))
    await world.send(order(11, Side.SELL, user_id="bob", entered_at_ms=now_ms))
    await world.until_drained()
    await world.assert_sound([1, 10, 11])
    assert host.task is not None and not host.task.done()
    await host.stop()


@in_virtual_time
async def test_a_put_that_lands_late_is_known_as_its_own():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.script("journal.put", ["lost", "after"])
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10])
    await host.stop()


@in_virtual_time
async def test_two_matchers_without_leases_make_one_gapless_journal():
    world = await listed_world()
    hosts = [world.start(f"matcher-{number}", has_own_leases=True) for number in (1, 2)]
    ids = []
    for number in range(60):
        ids.append(10 + number)
        side = Side.BUY if number % 2 else Side.SELL
        await world.send(order(10 + number, side, user_id=f"user-{number % 3}", entered_at_ms=world.clock.now_ms()))
        if number % 7 == 0:
            await asyncio.sleep(0.3)
    await world.until_drained()
    await world.assert_sound([1, *ids])
    writers = {slot.writer for slot in await world.slots()}
    assert len(writers) == 2, "both worked, or this shows nothing"
    for host in hosts:
        await host.stop()


@in_virtual_time
async def test_a_paused_matcher_that_wakes_late_loses_its_slot_and_no_command():
    world = await listed_world()
    first = world.start("matcher-1", has_own_leases=True)
    await world.until_drained()
    gate = Gate()
    first.faults.script("journal.put", [gate])
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await reached(gate)
    second = world.start("matcher-2", has_own_leases=True)
    await asyncio.sleep(40)  # past the visibility, so the other one gets the message
    await world.send(order(11, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    gate.open.set()
    await world.send(order(12, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10, 11, 12])
    for host in (first, second):
        await host.stop()


@in_virtual_time
async def test_poison_is_refused_once_and_blocks_nothing():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.script("sqs.delete", ["before"] * 5)
    await world.send_body("not a command")
    now_ms = world.clock.now_ms()
    good = orjson.loads(encode_commands([order(10, entered_at_ms=now_ms)]))
    mixed = {"v": 1, "commands": [["place", {"order_id": "ten"}], *good["commands"], ["unknown", {}]]}
    await world.send_body(orjson.dumps(mixed).decode())
    await world.send(order(11, entered_at_ms=now_ms))
    await world.until_drained()
    events = [event for slot in await world.slots() for event in slot.events]
    refused = [event for event in events if isinstance(event, CommandRefused)]
    assert [event.reason for event in refused] == [Reason.UNDECODABLE] * 3
    assert all(len(event.detail) == 64 for event in refused)
    await world.assert_sound([1, 10, 11])
    await host.stop()


@in_virtual_time
async def test_with_the_stream_down_nothing_is_acknowledged_and_it_is_not_ready():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    await eventually(lambda: host.is_ready)
    host.faults.down("kinesis")
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await eventually(lambda: not host.is_ready)
    assert world.cloud.queues.depth(0) == 1
    host.faults.up()
    await world.until_drained()
    assert host.is_ready
    await world.assert_sound([1, 10])
    await host.stop()


@in_virtual_time
async def test_it_stops_with_the_stream_down_and_another_one_finishes():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.down("kinesis")
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await eventually(lambda: not host.is_ready)
    await host.stop()
    other = world.start("matcher-2")
    await world.until_drained()
    await world.assert_sound([1, 10])
    await other.stop()


@in_virtual_time
async def test_with_redis_down_matching_goes_on_and_the_caches_come_back():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    host.faults.down("redis")
    for number in range(20):
        await world.send(order(10 + number, entered_at_ms=world.clock.now_ms()))
        await world.until_drained()
    assert host.is_ready
    world.cloud.redis.flush()
    host.faults.up()
    await eventually(world.cached_book, timeout_s=10)
    book = orjson.loads(await world.cached_book() or b"")
    assert book["bids"] == [[50_000, 0.02]]
    await host.stop()


@in_virtual_time
async def test_an_emptied_redis_is_filled_again_without_any_order():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    world.cloud.redis.flush()
    await eventually(world.cached_book, timeout_s=10)
    await host.stop()


@in_virtual_time
async def test_who_does_not_know_the_last_slot_does_not_write_the_book_again():
    """GIVEN two matchers on one partition WHEN one of them writes a slot THEN the other never puts the book of
    before that slot into the cache, though it writes no slot itself."""
    world = await listed_world()
    hosts = [world.start(name, has_own_leases=True) for name in ("matcher-1", "matcher-2")]
    await world.until_drained()
    await asyncio.sleep(1)
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    last = len([event for slot in await world.slots() for event in slot.events if event.symbol == SYMBOL])
    await asyncio.sleep(0.1)
    for _ in range(120):
        assert orjson.loads(await world.cached_book() or b"")["seq"] == last
        await asyncio.sleep(0.1)
    for host in hosts:
        await host.stop()


@in_virtual_time
async def test_an_idle_partition_journals_heartbeats():
    world = World()
    host = world.start()
    await asyncio.sleep(60)
    slots = await world.slots(1)
    assert 4 <= len(slots) <= 6
    assert all(slot.events == () for slot in slots)
    gaps = [later.at_ms - sooner.at_ms for sooner, later in pairwise(slots)]
    assert all(HEARTBEAT_MS <= gap <= HEARTBEAT_MS + 1_100 for gap in gaps)
    await host.stop()


@in_virtual_time
async def test_what_falls_due_is_journaled_in_time_without_any_message():
    world = await listed_world()
    host = world.start(receive_wait_s=20)
    await world.until_drained()
    now_ms = world.clock.now_ms()
    await world.send(order(10, entered_at_ms=now_ms, time_in_force=TimeInForce.GTD, expires_at_ms=now_ms + 3_000))
    await world.until_drained()
    await asyncio.sleep(4)
    events = [event for slot in await world.slots() for event in slot.events]
    assert isinstance(events[-1], OrderDone) and events[-1].status is OrderStatus.EXPIRED
    slot = next(slot for slot in await world.slots() if events[-1] in slot.events)
    assert now_ms + 3_000 <= slot.at_ms <= now_ms + 3_100
    await host.stop()


@in_virtual_time
async def test_what_fell_due_while_nobody_worked_is_journaled_at_the_next_start():
    world = await listed_world()
    host = world.start()
    now_ms = world.clock.now_ms()
    await world.send(order(10, entered_at_ms=now_ms, time_in_force=TimeInForce.GTD, expires_at_ms=now_ms + 3_000))
    await world.until_drained()
    await host.stop()
    await asyncio.sleep(100)
    host = world.start()
    await eventually(lambda: host.is_ready)
    await asyncio.sleep(2)
    events = [event for slot in await world.slots() for event in slot.events]
    assert isinstance(events[-1], OrderDone) and events[-1].reason is Reason.DATE_REACHED
    await host.stop()


@in_virtual_time
async def test_a_message_older_than_the_memory_of_commands_is_dropped():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    await host.stop()
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    world.clock.advance(COMMAND_MAX_AGE_MS - 2_000)
    assert world.cloud.queues.depth(0) == 1
    skewed = world.start()
    world.clock.skew_ms = 10_000
    await world.until_drained()
    await skewed.stop()
    assert not [e for slot in await world.slots() for e in slot.events if isinstance(e, OrderAccepted)]


@in_virtual_time
async def test_a_repeat_that_was_long_on_its_way_is_dropped_and_one_whose_sender_has_looked_is_not():
    """A sender that is suspended amid its call sends a fresh message, of a command that is forgotten."""
    world = await listed_world()
    host = world.start()
    old_ms = world.clock.now_ms()
    ioc = order(10, entered_at_ms=old_ms, time_in_force=TimeInForce.IOC)
    await world.send(ioc)
    await world.until_drained()
    await asyncio.sleep(DEDUP_WINDOW_MS / 1000 + 60)
    await world.send(ioc)
    await world.send(replace(ioc, as_of_ms=old_ms + 1_000))
    await world.until_drained()
    await world.assert_sound([1, 10])
    late = order(11, entered_at_ms=old_ms)
    await world.send(replace(late, as_of_ms=world.clock.now_ms()))
    await world.until_drained()
    events = [event for slot in await world.slots() for event in slot.events if isinstance(event, OrderDone)]
    assert [(event.order_id, event.reason) for event in events] == [
        (10, Reason.IMMEDIATE_OR_CANCEL),
        (11, Reason.TOO_LATE),
    ]
    await host.stop()


@in_virtual_time
async def test_journal_time_never_goes_back():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    world.clock.skew_ms = -60_000
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await host.stop()
    again = world.start()
    await world.send(order(11, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await again.stop()
    times = [slot.at_ms for slot in await world.slots()]
    assert times == sorted(times)
    await world.assert_sound([1, 10, 11])
