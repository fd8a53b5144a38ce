"""Kill points: where a process can be told to end itself with SIGKILL, so that a test sees what it leaves behind.

`KILL_AT=journal.put.before:3` in the environment of a service ends it when it is about to put a slot for the third
time, `journal.put.after:3` when it just has. Every slow write is a method of a port, so that is where the points are:
WRITES names these methods, `kill_points` the points of a service. Without the variable the ports stay as they are.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import product
from typing import Any, Final, TypeVar, get_type_hints

from exchange_core.ports import (
    ApiKeyStore,
    CommandSink,
    CommandSource,
    ConnectionStore,
    ExecutionSink,
    HistoryArchive,
    JournalWriter,
    LeaseStore,
    MarketPublisher,
    OnceMarks,
    Projections,
    RateLimiter,
    SessionStore,
    SnapshotStore,
    SubscriberSets,
    WalletHolds,
    WalletRestore,
    WalletSettlement,
)

KILL_AT: Final = "KILL_AT"
WRITES: Final[Mapping[type, tuple[str, ...]]] = {
    ApiKeyStore: ("put", "revoke"),
    CommandSink: ("send",),
    CommandSource: ("delete",),
    ConnectionStore: ("put", "delete"),
    ExecutionSink: ("append",),
    HistoryArchive: ("put",),
    JournalWriter: ("put",),
    LeaseStore: ("acquire", "release"),
    MarketPublisher: ("publish",),
    OnceMarks: ("claim",),
    Projections: ("begin",),
    RateLimiter: ("take",),
    SessionStore: ("put", "revoke"),
    SnapshotStore: ("put",),
    SubscriberSets: ("add", "remove"),
    WalletHolds: ("commit",),
    WalletRestore: ("replace", "mark_seen"),
    WalletSettlement: ("settle", "mark_seen"),
}
"""Port → its methods that write."""
TRANSACTIONS: Final = frozenset({"begin"})
"""What opens a transaction writes when it commits: the points are before and after that."""
MOMENTS: Final = ("before", "after")

Ports = TypeVar("Ports")


def kill_points(ports: type) -> tuple[str, ...]:
    """All points of a service, from the dataclass of its ports: "<field>.<method>.<moment>"."""
    return tuple(
        f"{name}.{method}.{moment}"
        for name, port in get_type_hints(ports).items()
        for method, moment in product(_writes(port), MOMENTS)
    )


def with_kill_point(ports: Ports) -> Ports:
    """The same ports, but for the one that KILL_AT names, if it is set. Raises ValueError if it names none of them."""
    setting = os.environ.get(KILL_AT)
    if not setting:
        return ports
    point, _, passing = setting.partition(":")
    if point not in kill_points(type(ports)) or not passing.isdecimal() or int(passing) < 1:
        raise ValueError(f"{KILL_AT}={setting} is not <point>:<passing>; the points: {kill_points(type(ports))}")
    name, method, moment = point.split(".")
    deadly = _DeadlyPort(getattr(ports, name), method, moment, int(passing))
    return replace(ports, **{name: deadly})  # type: ignore[type-var]


def _writes(port: Any) -> tuple[str, ...]:
    """Of a port that joins several, all that it writes."""
    return tuple(method for part in getattr(port, "__mro__", ()) for method in WRITES.get(part, ()))


class _DeadlyPort:
    """Stands for a port; the `passing`-th time at the `moment` of `method` is the end."""

    def __init__(self, port: Any, method: str, moment: str, passing: int) -> None:
        self._port = port
        self._moment = moment
        self._left = passing
        setattr(self, method, self._around(method, getattr(port, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def _around(self, method: str, write: Callable[..., Any]) -> Callable[..., Any]:
        async def written(*arguments: Any, **named: Any) -> Any:
            self._pass("before")
            answer = await write(*arguments, **named)
            self._pass("after")
            return answer

        @asynccontextmanager
        async def committed(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            async with write(*arguments, **named) as transaction:
                yield transaction
                self._pass("before")
            self._pass("after")

        return committed if method in TRANSACTIONS else written

    def _pass(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
