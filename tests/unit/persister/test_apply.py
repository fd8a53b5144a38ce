"""Applying records: exact after a crash at any step, under repeats, splits, reordering and company; halted by a gap."""

import asyncio
from collections.abc import Sequence
from random import Random

import orjson
import pytest

from exchange_adapters.sim import Faults, Gate, SimCloud
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot
from exchange_core.errors import Fatal, PortError
from exchange_core.ledger import fee_account
from exchange_core.ports import Intent, StreamRecord
from exchange_core.private_data import balance_message, order_message
from exchange_core.topology import Topology, user_channel
from exchange_persister.apply import Applier, Halt, Outcome, SettlementPorts
from exchange_persister.history import history_object
from tests.unit.persister.journals import USERS, RandomMarket, record_of, records_of
from tests.unit.persister.test_settlement import balances, expected_balances

STEPS = (
    "database.begin",
    "wallets.settle",
    "wallets.mark_seen",
    "history.put",
    "database.record",
    "database.checkpoint",
    "database.commit",
)


def applier(cloud: SimCloud) -> Applier:
    ports = SettlementPorts(
        clock=cloud.projections._clock,
        projections=cloud.projections,
        wallets=cloud.wallets,
        history=cloud.history,
        publisher=cloud.redis,
    )
    return Applier(ports, wallet_calls_max=4)


async def apply_until_done(
    one: Applier, records: Sequence[StreamRecord], checkpoint: tuple[str, str] | None = None
) -> Outcome:
    for _ in range(20):
        outcome = await one.apply(records, checkpoint=checkpoint)
        if not outcome.errors:
            return outcome
    raise AssertionError("it never went through")


def assert_exact(cloud: SimCloud, *journals: list[Slot]) -> None:
    """Wallets, rows and archive say what the journals say, each slot once."""
    assert balances(cloud.wallets) == expected_balances(*journals)
    for slots in journals:
        partition = slots[0].partition
        assert list(cloud.projections.recorded(partition)) == slots
        committed = [run for _, run in cloud.projections.database.commits if run[0].partition == partition]
        for run in committed:
            archived = cloud.history.objects[partition, run[0].n, run[-1].n]
            assert archived == history_object(run)


@pytest.mark.parametrize("fault", ["before", "after", "lost"])
@pytest.mark.parametrize("step", STEPS)
@in_virtual_time
async def test_a_fault_at_any_step_is_healed_by_applying_again(step: str, fault: str) -> None:
    slots = RandomMarket(Random(11)).slots(12)
    broken = Faults()
    cloud = SimCloud.build(faults=broken)
    # GIVEN the step fails so often that the settlement's own repeats do not help
    broken.script(step, [None, *[fault] * 5, None, fault])
    # WHEN a new persister takes over after every fault, as after a crash
    for start in (0, 4, 8):
        records = records_of(slots[start : start + 4])
        for _ in range(20):
            if not (await applier(cloud).apply(records, checkpoint=("shard", "7"))).unsettled:
                break
    # THEN nothing is lost or doubled
    assert_exact(cloud, slots)
    assert cloud.projections.database.checkpoints == {"shard": "7"}


@pytest.mark.parametrize("seed", range(12))
@in_virtual_time
async def test_random_faults_splits_repeats_and_two_persisters_at_once(seed: int) -> None:
    random = Random(seed)
    journals = [RandomMarket(random, partition=p, symbol=f"BTCUSD{p}").slots(25) for p in range(2)]
    stream = [record_of(slot) for pair in zip(*journals, strict=True) for slot in pair]
    world = SimCloud.build()

    async def persister(number: int) -> None:
        broken = Faults(Random(seed * 10 + number))
        for operation in STEPS:
            broken.set_rates(operation, {"before": 0.05, "after": 0.05, "lost": 0.05})  # type: ignore[dict-item]
        cloud = world.seen_by(broken)
        one, at = applier(cloud), 0
        while at < len(stream):
            at = max(0, at - random.randint(0, 6))  # a reader that starts again repeats records
            end = min(len(stream), at + random.randint(1, 9))
            outcome = await one.apply(stream[at:end])
            if outcome.errors:
                one = applier(cloud)  # as if the process had died
            else:
                assert not outcome.unsettled
                at = end

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(persister(number))
    assert_exact(world, *journals)


@in_virtual_time
async def test_a_frozen_persister_that_wakes_up_late_changes_nothing() -> None:
    """It settles wallets after its place was taken, its database session cut and its run settled by another."""
    slots = RandomMarket(Random(4)).slots(12)
    world = SimCloud.build()
    asleep = Faults()
    gates = [Gate(then=None) for _ in range(4)]
    asleep.script("wallets.settle", gates)
    frozen_cloud = world.seen_by(asleep)
    frozen_cloud.projections.database.locks.clear()
    frozen = asyncio.create_task(applier(frozen_cloud).apply(records_of(slots[:8])))
    await gates[0].reached.wait()
    world.projections.database.locks.clear()  # the server ended the idle session
    assert not (await applier(world).apply(records_of(slots[:5]))).unsettled
    assert not (await applier(world).apply(records_of(slots[5:]))).unsettled
    asleep.script("database.record", ["before"])  # and takes no more rows from it
    for gate in gates:
        gate.open.set()
    assert (await frozen).errors
    assert_exact(world, slots)


@in_virtual_time
async def test_a_gap_stops_the_partition_and_only_that() -> None:
    slots = RandomMarket(Random(5)).slots(10)
    others = RandomMarket(Random(6), partition=1, symbol="ETHUSD").slots(3)
    cloud = SimCloud.build()
    one = applier(cloud)
    # GIVEN slot 5 is missing
    records = records_of([*slots[:4], *slots[5:8], *others])
    # WHEN
    outcome = await one.apply(records, checkpoint=("shard", "9"))
    # THEN what came before it is settled, what came after is not, and it is awaited
    assert outcome.is_halted and outcome.unsettled == (4, 5, 6)
    assert one.halts == {0: Halt(awaited=5, found=6)}
    assert_exact(cloud, slots[:4], others)
    assert (await one.apply(records_of(slots[6:8]))).unsettled == (0, 1)
    # AND it heals when the slot comes, late and out of order
    assert not (await one.apply(records_of([slots[9], *slots[4:9], slots[9]]))).unsettled
    assert not one.halts
    assert_exact(cloud, slots, others)


@in_virtual_time
async def test_a_record_that_is_not_understood_is_never_skipped() -> None:
    slots = RandomMarket(Random(5)).slots(4)
    cloud = SimCloud.build()
    one = applier(cloud)
    garbage = StreamRecord(sequence_number="2", partition_key="0", data=b"of a later version")
    assert (await one.apply([record_of(slots[0]), garbage])).unsettled == (1,)
    assert one.halts == {0: Halt(awaited=2, found=None)}
    assert (await one.apply([garbage])).unsettled == (0,)
    assert (await one.apply([garbage, record_of(slots[2])])).unsettled == (0, 1)
    # unless the numbers show that it was no slot
    assert not (await one.apply([garbage, *records_of(slots[1:])])).unsettled
    assert_exact(cloud, slots)


@pytest.mark.parametrize("key", ["1", "x", ""])
@in_virtual_time
async def test_a_slot_under_a_foreign_key_is_not_settled(key: str) -> None:
    (slot,) = RandomMarket(Random(5)).slots(1)
    cloud = SimCloud.build()
    record = StreamRecord(sequence_number="1", partition_key=key, data=record_of(slot).data)
    assert (await applier(cloud).apply([record])).unsettled == (0,)
    assert not cloud.wallets.all_wallets()


@in_virtual_time
async def test_intents_that_the_slots_show_are_pending_no_more() -> None:
    slots = RandomMarket(Random(8)).slots(6)
    cloud = SimCloud.build()
    entered = [event for slot in slots for event in slot.events if type(event).__name__ == "OrderAccepted"]
    waiting = entered[0].order_id + 10**12
    for order_id in [*(event.order_id for event in entered), waiting]:
        intent = Intent(
            user_id="alice",
            order_id=order_id,
            client_order_id=None,
            body_digest="",
            partition=0,
            group="BTCUSD",
            command="{}",
            created_at_ms=1,
        )
        await cloud.wallets.commit({}, [intent])
    await applier(cloud).apply(records_of(slots))
    assert [one.order_id for one in await cloud.wallets.pending(0, 2, 100)] == [waiting]


@pytest.mark.parametrize("seed", range(3))
@in_virtual_time
async def test_users_hear_how_their_orders_and_balances_stand_and_of_nobody_else(seed: int) -> None:
    random = Random(seed)
    market = RandomMarket(random)
    slots = market.slots(40)
    broken = Faults()
    broken.script("wallets.settle", ["after"] * 6)
    cloud = SimCloud.build(faults=broken)
    listeners = {user: cloud.redis.connect() for user in USERS}
    for user, listener in listeners.items():
        await listener.subscribe(user_channel(user))
    first = 0
    one = applier(cloud)
    while first < len(slots):
        last = min(len(slots), first + random.randint(1, 9))
        await apply_until_done(one, records_of(slots[first:last]))
        first = last
    fold = cloud.projections.database.fold
    wallets = {(one.user_id, one.asset): one for one in cloud.wallets.all_wallets()}
    for user, listener in listeners.items():
        orders: dict[str, bytes] = {}
        seqs: dict[str, int] = {}
        told: dict[str, bytes] = {}
        for channel, message in listener._subscription.buffer:
            assert channel == user_channel(user)
            event = orjson.loads(message)
            if event["event"] == "order":
                orders[event["order_id"]] = message
            else:
                assert event["seq"] > seqs.get(event["asset"], 0), "the newer balance says so"
                seqs[event["asset"]], told[event["asset"]] = event["seq"], message
        mine = {str(order.order_id): order for order in fold.orders.values() if order.user_id == user}
        assert orders == {order_id: order_message(order, market.instrument) for order_id, order in mine.items()}
        assert len(orders) > 5
        assert told == {asset: balance_message(wallets[user, asset], 8) for asset in ("BTC", "USD")}


@in_virtual_time
async def test_nobody_waits_for_redis_and_the_exchange_tells_itself_nothing() -> None:
    slots = RandomMarket(Random(9)).slots(20)
    broken = Faults()
    cloud = SimCloud.build(faults=broken)
    listener = cloud.redis.connect()
    await listener.subscribe(user_channel(fee_account(0)))
    one = applier(cloud)
    await one.apply(records_of(slots[:10]))
    assert not listener._subscription.buffer
    broken.down("redis")
    assert not (await one.apply(records_of(slots[10:]))).unsettled
    assert_exact(cloud, slots)


@in_virtual_time
async def test_repeats_do_not_touch_the_database() -> None:
    slots = RandomMarket(Random(9)).slots(5)
    counted = Faults()
    one = applier(SimCloud.build(faults=counted))
    await one.apply(records_of(slots))
    before = counted.calls.total()
    assert not (await one.apply(records_of(slots))).unsettled
    assert counted.calls.total() == before


@in_virtual_time
async def test_a_fault_that_a_retry_cannot_help_ends_the_process() -> None:
    slots = RandomMarket(Random(9)).slots(2)
    cloud = SimCloud.build(topology=Topology())

    class ReadOnly:
        async def put(self, *_: object) -> None:
            raise Fatal("no permission")

    ports = SettlementPorts(
        clock=cloud.projections._clock,
        projections=cloud.projections,
        wallets=cloud.wallets,
        history=ReadOnly(),
        publisher=cloud.redis,
    )
    with pytest.raises(PortError):
        await Applier(ports, wallet_calls_max=4).apply(records_of(slots))
    assert not cloud.projections.recorded(0)
