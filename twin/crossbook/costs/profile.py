"""Traffic profiles: how much of what comes in, on average."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOURS_A_MONTH: Final = 730
SECONDS_A_MONTH: Final = HOURS_A_MONTH * 3600
_FILE: Final = Path(__file__).with_name("profiles.toml")


class UnknownProfileError(ValueError):
    """No profile has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rates are averages a second; see `profiles.toml`."""

    name: str
    says: str
    requests_per_second: float
    order_share: float
    cancel_share: float
    trades_per_order: float
    websockets: int
    messages_per_websocket_second: float
    journal_bytes_per_command: int
    log_bytes_per_request: int
    round_ms: float
    settlements_per_second: float

    @property
    def orders(self) -> float:
        """Orders a second."""
        return self.requests_per_second * self.order_share

    @property
    def commands(self) -> float:
        """Orders and cancels a second."""
        return self.requests_per_second * (self.order_share + self.cancel_share)

    @property
    def trades(self) -> float:
        """Trades a second."""
        return self.orders * self.trades_per_order


def profiles() -> dict[str, Profile]:
    """All of them, by name."""
    table: dict[str, dict[str, Any]] = tomllib.loads(_FILE.read_text())
    return {name: Profile(name=name, **_inherited(table, name)) for name in table}


def profile(name: str) -> Profile:
    """The profile of that name; raises UnknownProfileError."""
    found = profiles()
    if name not in found:
        raise UnknownProfileError(f"profile is one of {', '.join(found)}, not {name}")
    return found[name]


def _inherited(table: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    own = dict(table[name])
    parent = own.pop("inherits", None)
    return {**(_inherited(table, parent) if parent else {}), **own}
