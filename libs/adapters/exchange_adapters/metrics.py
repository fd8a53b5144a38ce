"""Every metric of the exchange: what the services emit, and what the dashboards and alarms of `infra/` read.

A metric stands here once, so that none is watched that nobody emits. They go out as CloudWatch embedded metric format,
in the namespace `Crossbook`, with the dimensions named here: `Exchange` is the topology's prefix, `Service` one of the
four, `Partition` a partition's number.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NAMESPACE: Final = "Crossbook"


class Kind(StrEnum):
    """How values become points: a counter is summed, a gauge is its last value, a timing is a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMING = "timing"


class Unit(StrEnum):
    """CloudWatch's own names."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"


class Dimension(StrEnum):
    """What a metric is told apart by."""

    EXCHANGE = "Exchange"
    SERVICE = "Service"
    PARTITION = "Partition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of one service. `is_per_partition` adds the third dimension."""

    service: str
    name: str
    kind: Kind
    unit: Unit
    meaning: str
    is_per_partition: bool = False

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """In the order in which they are written."""
        common = (Dimension.EXCHANGE, Dimension.SERVICE)
        return (*common, Dimension.PARTITION) if self.is_per_partition else common


def _counter(service: str, name: str, meaning: str, *, is_per_partition: bool = False) -> Metric:
    return Metric(
        service=service,
        name=name,
        kind=Kind.COUNTER,
        unit=Unit.COUNT,
        meaning=meaning,
        is_per_partition=is_per_partition,
    )


def _gauge(service: str, name: str, meaning: str, *, unit: Unit = Unit.COUNT, is_per_partition: bool = False) -> Metric:
    return Metric(
        service=service, name=name, kind=Kind.GAUGE, unit=unit, meaning=meaning, is_per_partition=is_per_partition
    )


def _timing(
    service: str, name: str, meaning: str, *, unit: Unit = Unit.MILLISECONDS, is_per_partition: bool = False
) -> Metric:
    return Metric(
        service=service, name=name, kind=Kind.TIMING, unit=unit, meaning=meaning, is_per_partition=is_per_partition
    )


ORDERS_ACCEPTED: Final = _counter("gateway", "OrdersAccepted", "orders that hold their funds and were answered 202")
ORDERS_REFUSED: Final = _counter("gateway", "OrdersRefused", "orders answered 4xx, before anything was held")
REQUESTS_FAILED: Final = _counter("gateway", "RequestsFailed", "requests answered 5xx")
REQUESTS_LIMITED: Final = _counter("gateway", "RequestsLimited", "requests answered 429, for a rate limit was reached")
REQUEST_LATENCY_MS: Final = _timing("gateway", "RequestLatencyMs", "from a request's first byte to its answer")
HOLD_LATENCY_MS: Final = _timing("gateway", "HoldLatencyMs", "the wallet stage: waiting, and the transaction")
ENQUEUE_LATENCY_MS: Final = _timing("gateway", "EnqueueLatencyMs", "the send to the orders queue")
ORDERS_WAITING: Final = _gauge("gateway", "OrdersWaiting", "orders that wait for their hold")
COMMANDS_WAITING: Final = _gauge("gateway", "CommandsWaiting", "commands that wait to be sent", is_per_partition=True)
SWEEPER_RESENDS: Final = _counter(
    "gateway", "SweeperResends", "commands sent again, for no slot had shown them", is_per_partition=True
)
OLDEST_PENDING_AGE_MS: Final = _gauge(
    "gateway",
    "OldestPendingAgeMs",
    "age of the oldest accepted command that is not known to be settled",
    unit=Unit.MILLISECONDS,
    is_per_partition=True,
)

SLOTS_COMMITTED: Final = _counter("matcher", "SlotsCommitted", "slots journaled and fed", is_per_partition=True)
EVENTS_JOURNALED: Final = _counter("matcher", "EventsJournaled", "events in them", is_per_partition=True)
TRADES_EXECUTED: Final = _counter("matcher", "TradesExecuted", "trades among them", is_per_partition=True)
COMMANDS_REFUSED: Final = _counter("matcher", "CommandsRefused", "commands refused by the book", is_per_partition=True)
COMMANDS_QUARANTINED: Final = _counter(
    "matcher", "CommandsQuarantined", "commands at which the engine fails again and again", is_per_partition=True
)
SLOT_LATENCY_MS: Final = _timing(
    "matcher", "SlotLatencyMs", "from a batch's receipt to its last slot in the stream", is_per_partition=True
)
JOURNAL_TAKEOVERS: Final = _counter(
    "matcher", "JournalTakeovers", "slots found taken by another matcher", is_per_partition=True
)
RECOVERIES: Final = _counter("matcher", "Recoveries", "recoveries finished", is_per_partition=True)
RECOVERY_SECONDS: Final = _timing(
    "matcher", "RecoverySeconds", "from a recovery's start to its end", unit=Unit.SECONDS, is_per_partition=True
)
OLDEST_COMMAND_AGE_MS: Final = _gauge(
    "matcher",
    "OldestCommandAgeMs",
    "age of the oldest command of the last batch when it was received",
    unit=Unit.MILLISECONDS,
    is_per_partition=True,
)
PARTITIONS_WORKED: Final = _gauge("matcher", "PartitionsWorked", "partitions that this matcher works: recovered")
STREAM_BLOCKED: Final = _gauge(
    "matcher", "StreamBlocked", "1 while the stream takes no slot, and nothing goes on", is_per_partition=True
)

SLOTS_SETTLED: Final = _counter("persister", "SlotsSettled", "slots settled", is_per_partition=True)
SETTLEMENT_LAG_SLOTS: Final = _gauge(
    "persister", "SettlementLagSlots", "slots read and not settled", is_per_partition=True
)
SETTLEMENT_AGE_MS: Final = _timing(
    "persister", "SettlementAgeMs", "from a slot's journal time to its settlement", is_per_partition=True
)
PARTITION_HALTED: Final = _gauge(
    "persister", "PartitionHalted", "1 while a gap or an unreadable slot stops it, else 0", is_per_partition=True
)
SLOTS_RECONCILED: Final = _counter(
    "persister", "SlotsReconciled", "slots whose rows were held against the journal", is_per_partition=True
)
DIFFERENCES: Final = _gauge("persister", "Differences", "differences from the journal that the reconciler has found")
SETTLEMENT_FAULTS: Final = _counter("persister", "SettlementFaults", "attempts to settle that a store failed")

CONNECTIONS: Final = _gauge("fanout", "Connections", "WebSockets that are open")
CHANNELS: Final = _gauge("fanout", "Channels", "Redis channels that somebody watches")
MESSAGES_SENT: Final = _counter("fanout", "MessagesSent", "messages given to connections")
CONFLATED_MESSAGES: Final = _counter("fanout", "ConflatedMessages", "messages replaced by later ones, unsent")
SLOW_READERS_CUT: Final = _counter("fanout", "SlowReadersCut", "connections ended because they did not read")

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order above."""
