"""What goes wrong in one world: a seed switches a random subset of all kinds of faults on, each at its own rate.

Swarm testing: with every kind on at once the rare ones drown in the common ones, so no two seeds have the same weather.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from exchange_adapters.sim import Fault, Faults

_WRITES: Final = (
    "wallets.commit",
    "wallets.settle",
    "wallets.mark_seen",
    "sqs.send",
    "sqs.delete",
    "journal.put",
    "kinesis.append",
    "snapshots.put",
    "history.put",
    "leases.acquire",
    "leases.release",
    "database.commit",
)
_READS: Final = (
    "wallets.balances",
    "wallets.intent",
    "wallets.pending",
    "sqs.receive",
    "journal.read",
    "kinesis.read",
    "kinesis.iterator",
    "kinesis.shards",
    "snapshots.latest",
    "leases.holder",
    "database.begin",
    "database.record",
    "database.checkpoints",
    "reader.query",
    "settled.query",
    "sessions.get",
    "api_keys.get",
    "redis.publish",
    "redis.get",
    "redis.claim",
    "redis.subscribe",
    "redis.add",
    "connections.put",
)

CALL_FAULTS: Final[Mapping[str, tuple[Fault, Sequence[str]]]] = {
    "unavailable": (Fault.BEFORE, (*_WRITES, *_READS)),
    "throttled": (Fault.THROTTLED, ("wallets.commit", "wallets.settle", "sqs.send", "journal.put", "kinesis.append")),
    "lost_requests": (Fault.LOST, _WRITES),
    "lost_answers": (Fault.AFTER, (*_WRITES, "sqs.receive")),
    "conflicts": (Fault.CONFLICT, ("wallets.commit", "wallets.settle", "database.begin")),
    "partial_sends": (Fault.PARTIAL, ("sqs.send",)),
    "stream_repeats": (Fault.REPEAT, ("kinesis.append",)),
    "stream_stalls": (Fault.EMPTY, ("kinesis.read",)),
    "iterators_expire": (Fault.GONE, ("kinesis.read",)),
    "lost_messages": (Fault.BEFORE, ("redis.deliver",)),
}
"""kind → how the calls of which operations fail"""
EVENTS: Final = (
    "kills",
    "pauses",
    "twins",
    "outages",
    "cache_losses",
    "cut_connections",
    "poison",
    "bombs",
    "halts",
    "replays",
    "clock_steps",
    "reshards",
    "suspends",
)
"""Kinds of what happens now and then: see `Storm`."""
BY_CLIENTS: Final = ("bombs", "halts", "replays")
"""Those of them that traders, the operator and an eavesdropper bring, not the storm."""
STORES: Final = (
    "wallets",
    "sqs",
    "journal",
    "kinesis",
    "database",
    "reader",
    "redis",
    "leases",
    "snapshots",
    "history",
)
_SHARE_ON: Final = 0.4
_RATES: Final = (0.01, 0.03, 0.1, 0.2)
_DELAYS_MS: Final = ((0, 0), (0, 20), (0, 200), (0, 1_500))
_CHAOS_S: Final = (3.0,) * 5 + (8.0,) * 3 + (25.0,) * 2
"""Most worlds are short: many kinds of weather in an hour of CPU. What needs time to go wrong has the long ones."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """`rates`: call faults that are on; `events`: kinds of events that are on; `delay_ms`: how long calls take;
    `victims`: services that events may hit (empty: all); `pause_s`: how long clients pause (None: as the seed says);
    `chaos_s`: how long it lasts."""

    rates: dict[str, float] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    delay_ms: tuple[int, int] = (0, 0)
    victims: tuple[str, ...] = ()
    pause_s: float | None = None
    chaos_s: float = 25.0

    @classmethod
    def draw(cls, random: Random) -> "Weather":
        """One seed's choice."""
        rates = {kind: random.choice(_RATES) for kind in CALL_FAULTS if random.random() < _SHARE_ON}
        events = tuple(kind for kind in EVENTS if random.random() < _SHARE_ON)
        return cls(rates=rates, events=events, delay_ms=random.choice(_DELAYS_MS), chaos_s=random.choice(_CHAOS_S))

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that is on, by name."""
        return (*self.rates, *self.events, *(("delays",) if self.delay_ms[1] else ()))

    def may_hit(self, host: str) -> bool:
        """Whether an event may happen to this host."""
        return not self.victims or host.partition("-")[0] in self.victims

    def brew(self, faults: Faults) -> None:
        """Let it loose on one host."""
        by_operation: dict[str, dict[Fault, float]] = {}
        for kind, rate in self.rates.items():
            fault, operations = CALL_FAULTS[kind]
            for operation in operations:
                of_operation = by_operation.setdefault(operation, {})
                of_operation[fault] = of_operation.get(fault, 0.0) + rate
        for operation, of_operation in by_operation.items():
            total = sum(of_operation.values())
            scale = min(1.0, 0.6 / total)  # what always fails is an outage, and those are events
            faults.set_rates(operation, {fault: rate * scale for fault, rate in of_operation.items()})
        if self.delay_ms[1]:
            faults.set_delay("*", *self.delay_ms)
