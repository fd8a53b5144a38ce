"""What clients asked for and what they were told: the outside view of the exchange, to be held against its journal."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """How a request ended for its client."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    NOT_SENT = "not_sent"


@dataclass(slots=True, kw_only=True)
class Call:
    """One request. `at_ms` and `ended_ms` are milliseconds of virtual time; status, code and answer are there only if
    `fate` is answered. `credential` names the session or the API key; `signature` is that of a request that was signed,
    and a replay has the same."""

    number: int
    user_id: str
    kind: str
    host: str
    credential: str
    at_ms: int
    request: dict[str, Any] | None = None
    target: str | None = None
    signature: str = ""
    ended_ms: int = 0
    fate: Fate = Fate.NOT_SENT
    status: int = 0
    code: str | None = None
    answer: Any = None

    @property
    def order_id(self) -> int | None:
        """The order that an answer names."""
        named = self.answer.get("order_id") if isinstance(self.answer, dict) else None
        return None if named is None else int(named)

    @property
    def is_promise(self) -> bool:
        """Whether the exchange said yes."""
        return self.fate is Fate.ANSWERED and self.status in (200, 202)

    @property
    def is_conclusive_refusal(self) -> bool:
        """Whether the exchange said no, for good. 5xx says: not known."""
        return self.fate is Fate.ANSWERED and 400 <= self.status < 500

    @property
    def is_leave(self) -> bool:
        """Whether the session or key in `target` has ended: now (204), or by an earlier try whose answer was lost."""
        return self.kind == "leave" and self.fate is Fate.ANSWERED and self.status in (204, 401, 404)


@dataclass(slots=True, kw_only=True)
class Heard:
    """One message as a WebSocket client heard it, or a book that it made of several. `listener` is the user whose feed
    it is, if it is somebody's; `connection` numbers the connections of one listener."""

    listener: str
    connection: int
    at_ms: int
    message: dict[str, Any]


@dataclass(slots=True)
class History:
    """Everything, in order of virtual time."""

    calls: list[Call] = field(default_factory=list)
    trades: list[Heard] = field(default_factory=list)
    notices: list[Heard] = field(default_factory=list)
    """Orders and balances, told to their owners."""
    books: list[Heard] = field(default_factory=list)
    """Every book that a client of the depth feed had, best levels first, as texts."""
