"""What stores and processes must have come to, beside what the audit says of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from crossbook.audit.checks import Judgement, judge
from exchange_adapters.sim import SimHistory, SimProjections
from exchange_adapters.sim.virtual_time import run_virtual
from exchange_core.codec import Slot, decode_slot
from exchange_core.commands import CASH_DESK
from exchange_core.engine import PartitionEngine
from exchange_core.errors import PortError
from exchange_core.events import CommandRefused
from exchange_core.naive_book import NaiveBook
from exchange_core.orders import Reason
from exchange_core.wire import DecodeError
from exchange_persister.apply import Applier, SettlementPorts
from exchange_persister.reconciler import OPERATOR_ID as RECONCILER_ID
from simulation.checks.evidence import gather
from simulation.machines.hosts import PARTITIONS
from simulation.trouble.bombs import is_bomb
from simulation.world import Aftermath


@dataclass
class Case:
    """An aftermath, and what all checks need of it, worked out once."""

    aftermath: Aftermath

    @cached_property
    def judgement(self) -> Judgement:
        """The audit's fold of the journal over all stores."""
        return judge(gather(self.aftermath.cloud, self.aftermath.taps))

    def slots(self, partition: int) -> list[Slot]:
        """The readable slots of the journal."""
        return self.judgement.slots[partition]


Check = Callable[[Case], Iterator[str]]


def no_process_failed(case: Case) -> Iterator[str]:
    """Whatever the world does to a service, it is not the service that breaks."""
    yield from case.aftermath.crashes


def settled_in_time(case: Case) -> Iterator[str]:
    """Within a minute of healing nothing is on its way any more."""
    if case.aftermath.unsettled_because:
        yield case.aftermath.unsettled_because


def poison_stays_in_its_symbol(case: Case) -> Iterator[str]:
    """A message nobody can read, and one that breaks the engine, delay no other symbol."""
    yield from case.aftermath.probe_slow


def no_dead_letters(case: Case) -> Iterator[str]:
    """The dead-letter queue is an alarm, not a path."""
    for partition in range(PARTITIONS):
        for body in case.aftermath.cloud.queues.dead_letters(partition):
            yield f"partition {partition}: {body[:120]}"


def stream_carries_the_journal(case: Case) -> Iterator[str]:
    """Every slot as journaled, none before the one before it; repeats are allowed."""
    seen: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
    for record in case.aftermath.cloud.stream.records():
        slot = decode_slot(record.data)
        journaled = case.aftermath.taps.journal._slots.get(slot.partition, {}).get(slot.n)
        if journaled != record.data:
            yield f"slot {slot.partition}:{slot.n} in the stream is not the journal's"
        if slot.n > seen[slot.partition] + 1:
            yield f"slot {slot.partition}:{slot.n} came after {seen[slot.partition]}"
        seen[slot.partition] = max(seen[slot.partition], slot.n)
    for partition, last in seen.items():
        head = case.aftermath.cloud.journal.head(partition)
        if last < head:
            yield f"partition {partition}: the stream ends at {last}, the journal at {head}"


def database_recorded_the_journal(case: Case) -> Iterator[str]:
    """Slot by slot, each once, in order."""
    for partition in range(PARTITIONS):
        recorded = case.aftermath.cloud.projections.recorded(partition)
        for place, slot in enumerate(recorded, 1):
            if slot.n != place:
                yield f"partition {partition}: slot {slot.n} stands at place {place}"
                break
        for slot, journaled in zip(recorded, case.slots(partition), strict=False):
            if slot != journaled:
                yield f"slot {partition}:{slot.n} was recorded otherwise than it was journaled"
                break


def commands_lead_to_the_journal(case: Case) -> Iterator[str]:
    """The commands, executed again in the journal's order on the naive book, say what the journal says, to the event:
    price-time priority, money, and that every recovered engine went on as the one before it would have."""
    for partition in range(PARTITIONS):
        engine = PartitionEngine(partition, new_book=NaiveBook)
        for slot in case.slots(partition):
            difference = _reexecute(case, engine, slot)
            if difference:
                yield f"slot {partition}:{slot.n}: {difference}"
                break
        else:
            folded = case.judgement.engines[partition]
            if engine.state_hash() != folded.state_hash() and not case.judgement.engine:
                yield f"partition {partition}: executing and folding end in different states"


def _reexecute(case: Case, engine: PartitionEngine, slot: Slot) -> str | None:
    commands = case.aftermath.taps.queues.commands
    due = list(slot.events)
    made = engine.begin_slot(slot.at_ms)
    while True:
        if due[: len(made)] != made:
            return f"{made} where the journal has {due[: len(made)]}"
        del due[: len(made)]
        if not due:
            return None
        cause = due[0].cause
        event, command = due[0], commands.get(cause)
        if isinstance(event, CommandRefused) and event.reason is Reason.UNDECODABLE:
            group = event.symbol if event.symbol != CASH_DESK else "?"
            made = engine.refuse_undecodable(group, cause, event.detail)
        elif command is None:
            return f"nobody sent {cause}, which led to {due[0]}"
        elif is_bomb(command):
            made = engine.refuse_unseen(command)
        else:
            made = engine.execute(command, slot.at_ms)
        if not made:
            return f"command {cause} was executed again"


def snapshots_are_the_fold(case: Case) -> Iterator[str]:
    """Every snapshot that any matcher wrote is the journal folded to its slot, and the last one is the end."""
    for partition in range(PARTITIONS):
        hashes: dict[int, str] = {}
        wanted = {n for of, n, _ in case.aftermath.taps.snapshots.puts if of == partition}
        engine = PartitionEngine(partition)
        try:
            for slot in case.slots(partition):
                engine.apply_slot(slot)
                if slot.n in wanted:
                    hashes[slot.n] = engine.state_hash()
        except (AssertionError, KeyError, AttributeError, TypeError, ValueError):
            return  # the audit tells that the engine cannot follow the journal
        for of, n, data in case.aftermath.taps.snapshots.puts:
            if of != partition:
                continue
            try:
                restored = PartitionEngine.restore(data).state_hash()
            except DecodeError as error:
                restored = f"unreadable: {error}"
            if restored != hashes.get(n):
                yield f"the snapshot of slot {partition}:{n} is not what the journal folds to"


def settling_again_changes_nothing(case: Case) -> Iterator[str]:
    """All that the stream holds, settled once more from any slot on, by a persister whose database has forgotten what
    came after it: every wallet stays as it is."""
    cloud = case.aftermath.cloud
    wallets = cloud.wallets.all_wallets()

    async def settle_again() -> None:
        forgetful = SimProjections(clock=cloud.wallets.clock)
        for partition in range(PARTITIONS):
            known = case.slots(partition)[: case.aftermath.seed % 20]
            async with forgetful.begin(partition) as projection:
                await projection.record(known)
        ports = SettlementPorts(
            clock=cloud.wallets.clock,
            projections=forgetful,
            wallets=cloud.wallets,
            history=SimHistory(clock=cloud.wallets.clock),
            publisher=cloud.redis,
        )
        await Applier(ports, wallet_calls_max=4).apply(cloud.stream.records())

    try:
        run_virtual(settle_again())
    except (PortError, AssertionError) as error:
        yield f"slots cannot be settled again: {type(error).__name__}: {error}"
    if cloud.wallets.all_wallets() != wallets:
        yield "wallets change when slots are settled again"


def nothing_held_without_an_order(case: Case) -> Iterator[str]:
    """What wallets hold is what open orders have at stake, user by user."""
    held: Counter[tuple[str, str]] = Counter()
    for order in case.judgement.fold.orders.values():
        if not order.status.is_final:
            held[order.terms.user_id, order.terms.hold_asset] += order.hold_left
    for wallet in case.judgement.evidence.wallets:
        expected = held[wallet.user_id, wallet.asset]
        if wallet.held != expected:
            yield f"{wallet.user_id} {wallet.asset}: {wallet.held} is held, {expected} is at stake"


def reconciler_tells_nothing(case: Case) -> Iterator[str]:
    """Where nothing is wrong it halts nothing, whatever the stores answer and when."""
    for command in case.aftermath.taps.queues.commands.values():
        if command.user_id == RECONCILER_ID:
            yield f"{command.symbol} was halted by it"


STORE_CHECKS: Final[dict[str, Check]] = {
    "processes: none fails": no_process_failed,
    "liveness: at rest a minute after healing": settled_in_time,
    "poison: other symbols go on": poison_stays_in_its_symbol,
    "queues: no dead letters": no_dead_letters,
    "stream: carries the journal": stream_carries_the_journal,
    "database: recorded the journal": database_recorded_the_journal,
    "engine: commands lead to the journal": commands_lead_to_the_journal,
    "snapshots: are the fold": snapshots_are_the_fold,
    "holds: none without an order": nothing_held_without_an_order,
    "reconciler: tells nothing": reconciler_tells_nothing,
    "settlement: again changes nothing": settling_again_changes_nothing,
}
