"""What a row looks for in the templates, and the finds that several layers share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.infra.assembly import Assembly, Properties, Resource

PARTITIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Find:
    """Resources of a type (without `AWS::`) with these properties; `count` None: one or more."""

    type: str
    where: Callable[[Properties], object] = lambda _: True
    count: int | None = 1
    stack: str | None = None

    def found(self, assembly: Assembly) -> list[Resource]:
        return assembly.select(self.type, self.where, stack=self.stack)


@dataclass(frozen=True, slots=True)
class Row:
    """One promise."""

    layer: str
    promise: str
    finds: Sequence[Find]


def high(service: str, metric: str, threshold: int) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: (
            (p.get("MetricName"), p["Threshold"], p["ComparisonOperator"])
            == (metric, threshold, "GreaterThanThreshold")
        ),
        stack=service,
    )
