"""From fleet, traffic and prices to a bill, a line for each thing that AWS charges."""

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crossbook.costs.fleet import Fleet
from crossbook.costs.profile import HOURS_A_MONTH, SECONDS_A_MONTH, Profile

MILLION: Final = 1_000_000
GB: Final = 1024**3
_FILE: Final = Path(__file__).with_name("prices.toml")

TASK_CAPACITY: Final = {"gateway": 400.0, "matcher": 2_000.0, "fanout": 20_000.0}
"""What a task of 2 vCPUs is taken to carry: requests, commands, WebSocket messages a second. One gateway process took
500 orders a second on one core of a laptop's twin (`make bench`); the others are assumed, with room."""
HOLD_ITEMS: Final = 3
"""Items of an intent with a client's id: order, client id, pending (see ADR 3)."""
TRANSACTION_FACTOR: Final = 2
"""A write in a transaction is charged twice."""
WALLETS_A_TRADE: Final = 4
"""Two users, two assets; the fee accounts are shared by a whole settlement."""
ANSWER_BYTES: Final = 900
MESSAGE_BYTES: Final = 180
ROW_BYTES: Final = 700
"""Of an order in PostgreSQL, with its indexes, its share of fills, ledger and candles."""
MONTHS_KEPT: Final = 3
CONNECTIONS_A_UNIT: Final = 3_000
"""Open ones that a load balancer's capacity unit holds for an hour; it also carries a GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One charge a month: `quantity` in `unit`, in US dollars. `is_fixed`: there without any traffic."""

    service: str
    what: str
    quantity: float
    unit: str
    usd: float
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """All charges of a month."""

    profile: Profile
    lines: Sequence[Line]

    @property
    def usd(self) -> float:
        """The sum."""
        return sum(line.usd for line in self.lines)

    @property
    def usd_per_million_orders(self) -> float:
        """The whole bill over the orders of the month."""
        return self.usd / (self.profile.orders * SECONDS_A_MONTH / MILLION)

    def by_service(self) -> dict[str, float]:
        """Dollars a service, the dearest first."""
        sums: dict[str, float] = {}
        for line in self.lines:
            sums[line.service] = sums.get(line.service, 0.0) + line.usd
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def read_prices() -> dict[str, Any]:
    """The price table."""
    return tomllib.loads(_FILE.read_text())


def bill(fleet: Fleet, profile: Profile, prices: dict[str, Any]) -> Bill:
    """The month's bill of this fleet under this traffic."""
    writer = _Writer(fleet, profile, prices)
    return Bill(profile, [*writer.compute(), *writer.stores(), *writer.edges(), *writer.operations()])


def tiered(quantity: float, tiers: Sequence[Sequence[float]] | float) -> float:
    """The price of a quantity under tiers of [up to, price]."""
    if isinstance(tiers, int | float):
        return quantity * tiers
    total, below = 0.0, 0.0
    for up_to, price in tiers:
        total += max(0.0, min(quantity, up_to) - below) * price
        below = up_to
    return total


class _Writer:
    def __init__(self, fleet: Fleet, profile: Profile, prices: dict[str, Any]) -> None:
        self._fleet = fleet
        self._profile = profile
        self._prices = prices

    def compute(self) -> Iterator[Line]:
        """Tasks, the Lambda, the database's and the cache's machines."""
        price = self._prices
        for fleet in self._fleet.tasks:
            tasks = max(fleet.tasks, self._tasks_needed(fleet.service))
            hourly = fleet.vcpus * price["fargate"]["vcpu_hour"] + fleet.gigabytes * price["fargate"]["gb_hour"]
            yield self._fixed("Fargate", f"{fleet.service}: {tasks} tasks", tasks * HOURS_A_MONTH, "h", hourly)
        invocations = self._settlements() * SECONDS_A_MONTH
        busy_s = 0.08 + 0.004 * self._profile.commands / max(self._settlements(), 1e-9)
        yield self._line("Lambda", "invocations", invocations / MILLION, "M", price["lambda"]["million_requests"])
        seconds = invocations * busy_s * self._fleet.lambda_gigabytes
        yield self._line("Lambda", "persister", seconds, "GB s", price["lambda"]["gb_second"])
        for kind, count in self._fleet.instances.items():
            hourly = price["aurora"]["hour"][kind]
            yield self._fixed("Aurora", f"{count} × {kind}", count * HOURS_A_MONTH, "h", hourly)
        for kind, count in self._fleet.cache_nodes.items():
            hourly = price["elasticache"]["hour"][kind]
            yield self._fixed("ElastiCache", f"{count} × {kind}", count * HOURS_A_MONTH, "h", hourly)

    def stores(self) -> Iterator[Line]:
        """Tables, queues, stream, objects, rows."""
        profile, price, regions = self._profile, self._prices, 1 + self._fleet.tables_are_replicated
        slots = self._slots()
        writes = {
            "holds and intents": (
                profile.orders * TRANSACTION_FACTOR * (1 + HOLD_ITEMS),
                profile.orders * (1 + HOLD_ITEMS),
            ),
            "intents seen": (profile.orders, profile.orders),
            "journal": (slots * self._slot_units(), slots * self._slot_units()),
            "settlement": (profile.trades * WALLETS_A_TRADE, profile.trades * WALLETS_A_TRADE),
        }
        for what, (charged, copied) in writes.items():
            units = (charged + copied * (regions - 1)) * SECONDS_A_MONTH / MILLION
            yield self._line("DynamoDB", what, units, "M writes", price["dynamodb"]["million_writes"])
        stored = (
            profile.orders * 7 * 86_400 * 1_500
            + profile.commands * SECONDS_A_MONTH * MONTHS_KEPT * profile.journal_bytes_per_command
        ) / GB
        kept = price["dynamodb"]["gb_month"] + price["dynamodb"]["pitr_gb_month"]
        yield self._line("DynamoDB", "storage and PITR", stored * regions, "GB", kept)
        calls = (self._sends() + 2 * slots) * SECONDS_A_MONTH / MILLION
        yield self._line("SQS", "send, receive, delete", calls, "M", price["sqs"]["million_requests"])
        yield self._fixed(
            "Kinesis",
            f"{self._fleet.shards} shards",
            self._fleet.shards * HOURS_A_MONTH,
            "h",
            price["kinesis"]["shard_hour"],
        )
        if self._fleet.stream_hours_kept > 24:
            yield self._fixed(
                "Kinesis",
                "kept for a week",
                self._fleet.shards * HOURS_A_MONTH,
                "h",
                price["kinesis"]["extended_shard_hour"],
            )
        yield self._line(
            "Kinesis", "records", slots * SECONDS_A_MONTH / MILLION, "M", price["kinesis"]["million_put_units"]
        )
        objects = self._settlements() * SECONDS_A_MONTH
        yield self._line("S3", "history objects", objects / 1_000, "k puts", price["s3"]["thousand_puts"])
        archived = profile.commands * SECONDS_A_MONTH * 120 / GB
        yield self._line("S3", "history, three months near", archived * MONTHS_KEPT, "GB", price["s3"]["gb_month"])
        yield self._line("S3", "copied to the second region", archived, "GB", price["s3"]["replicated_gb"])
        rows = profile.orders * SECONDS_A_MONTH * MONTHS_KEPT * ROW_BYTES / GB
        yield self._line("Aurora", "storage, three months", rows, "GB", price["aurora"]["gb_month"])
        ios = (profile.commands * 1.5 + profile.trades * 2) * SECONDS_A_MONTH / MILLION
        yield self._line("Aurora", "I/O", ios, "M", price["aurora"]["million_ios"])

    def edges(self) -> Iterator[Line]:
        """What stands between the clients and the tasks."""
        profile, price = self._profile, self._prices
        requests = profile.requests_per_second * SECONDS_A_MONTH / MILLION
        yield self._tiered("API Gateway", "REST requests", requests, "M", price["api_gateway"]["million_requests"])
        messages = profile.websockets * profile.messages_per_websocket_second * SECONDS_A_MONTH / MILLION
        minutes = profile.websockets * HOURS_A_MONTH * 60 / MILLION
        out = (requests * MILLION * ANSWER_BYTES + messages * MILLION * MESSAGE_BYTES) / GB
        yield self._line("CloudFront", "requests", requests, "M", price["cloudfront"]["million_requests"])
        yield self._tiered("CloudFront", "to the clients", out, "GB", price["cloudfront"]["gb"])
        yield self._line("WAF", "requests", requests, "M", price["waf"]["million_requests"])
        for number, rules in enumerate(self._fleet.firewall_rules, 1):
            yield self._fixed("WAF", f"list {number} with {rules} rules", 1, "", price["waf"]["acl_month"] + rules)
        balancers = self._fleet.load_balancers
        yield self._fixed(
            "Load balancers", str(balancers), balancers * HOURS_A_MONTH, "h", price["load_balancer"]["hour"]
        )
        yield self._line(
            "Load balancers",
            "capacity units",
            out + minutes * MILLION / 60 / CONNECTIONS_A_UNIT,
            "LCU h",
            price["load_balancer"]["unit_hour"],
        )
        nats = self._fleet.nat_gateways
        yield self._fixed("VPC", f"{nats} NAT gateways", nats * HOURS_A_MONTH, "h", price["vpc"]["nat_hour"])
        zones = self._fleet.endpoint_zones
        yield self._fixed("VPC", f"{zones} endpoint zones", zones * HOURS_A_MONTH, "h", price["vpc"]["endpoint_hour"])
        inside = (self._sends() + 3 * self._slots()) * SECONDS_A_MONTH * 1_200 / GB
        yield self._line("VPC", "through the endpoints", inside, "GB", price["vpc"]["endpoint_gb"])
        yield self._line("VPC", "between zones", 2 * out, "GB", price["vpc"]["zone_gb"])
        dns = requests / 1_000
        yield self._line("Route 53", "queries", dns, "M", price["others"]["million_dns_queries"])

    def operations(self) -> Iterator[Line]:
        """Logs, metrics, traces, keys, watches."""
        profile, price, fleet = self._profile, self._prices, self._fleet
        logs = profile.requests_per_second * SECONDS_A_MONTH * profile.log_bytes_per_request / GB
        yield self._line("CloudWatch", "logs and metrics in them", logs, "GB", price["cloudwatch"]["log_gb"])
        metrics = 12 + 16 * max(fleet.shards, 1)
        yield self._tiered("CloudWatch", "metrics", metrics, "", price["cloudwatch"]["metric_month"], is_fixed=True)
        yield self._fixed("CloudWatch", "alarms", fleet.alarms, "", price["cloudwatch"]["alarm_month"])
        yield self._fixed("CloudWatch", "dashboards", fleet.dashboards, "", price["cloudwatch"]["dashboard_month"])
        traces = profile.requests_per_second * fleet.trace_share * SECONDS_A_MONTH / MILLION
        yield self._line("X-Ray", "traces", traces, "M", price["xray"]["million_traces"])
        yield self._fixed("KMS", "keys", fleet.keys, "", price["kms"]["key_month"])
        calls = (self._slots() + self._settlements()) * SECONDS_A_MONTH / MILLION * 0.05
        yield self._line("KMS", "requests, keys cached", calls, "M", price["kms"]["million_requests"])
        yield self._fixed("Secrets Manager", "secrets", fleet.secrets, "", price["others"]["secret_month"])
        yield self._fixed(
            "Config", "changes recorded", 20 * max(fleet.config_rules, 1), "", price["others"]["config_item"]
        )
        if fleet.has_guard_duty:
            yield self._line("GuardDuty", "events", logs / 50, "M", price["others"]["guardduty_million_events"])

    def _tasks_needed(self, service: str) -> int:
        """At twice the average, so that a peak finds room; as many in both zones."""
        profile = self._profile
        load = {
            "gateway": profile.requests_per_second,
            "matcher": profile.commands,
            "fanout": profile.websockets * profile.messages_per_websocket_second,
        }.get(service, 0.0)
        return 2 * math.ceil(load / TASK_CAPACITY.get(service, math.inf))

    def _slots(self) -> float:
        """Slots a second: a partition writes one a round, or one a command where commands are fewer."""
        partitions = max(self._fleet.shards, 1)
        return partitions * min(self._profile.commands / partitions, 1_000 / self._profile.round_ms)

    def _slot_units(self) -> int:
        """Write units of a slot, a KB each."""
        commands = self._profile.commands / max(self._slots(), 1e-9)
        return math.ceil((200 + commands * self._profile.journal_bytes_per_command) / 1024)

    def _sends(self) -> float:
        """Calls of the gateways to the queues a second: each task one at a time to a partition."""
        senders = self._fleet.gateway_tasks * max(self._fleet.shards, 1)
        return min(self._profile.commands, senders * 1_000 / 15)

    def _settlements(self) -> float:
        """Settled runs a second, over all shards."""
        return min(self._slots(), self._fleet.shards * self._profile.settlements_per_second)

    def _line(self, service: str, what: str, quantity: float, unit: str, price: float) -> Line:
        return Line(service=service, what=what, quantity=quantity, unit=unit, usd=quantity * price)

    def _fixed(self, service: str, what: str, quantity: float, unit: str, price: float) -> Line:
        return Line(service=service, what=what, quantity=quantity, unit=unit, usd=quantity * price, is_fixed=True)

    def _tiered(
        self, service: str, what: str, quantity: float, unit: str, tiers: Any, *, is_fixed: bool = False
    ) -> Line:
        usd = tiered(quantity, tiers)
        return Line(service=service, what=what, quantity=quantity, unit=unit, usd=usd, is_fixed=is_fixed)
