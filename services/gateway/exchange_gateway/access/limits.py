"""How often one may ask what: the classes of routes and their limits.

Every request but a health check counts in `global`; it counts for its address and, once it is known, for its user, each
in a store of its class. What one user or address does in one class leaves the other classes alone: whoever may place no
more orders can still cancel, and read how they stand.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from exchange_core.rate_limits import RateLimit

GLOBAL: Final = "global"


class RouteClass(StrEnum):
    """What a route costs the exchange, and how badly one may need it."""

    MARKET = "market"
    READS = "reads"
    ORDERS = "orders"
    CANCELS = "cancels"
    ACCOUNT = "account"
    """Sign-up, log-in, refresh, new keys: what guesses passwords and fills tables."""
    OPERATORS = "operators"
    HEALTH = "health"
    """Judged in this process alone: whether a gateway is well must not hang on Redis."""


DEFAULT_LIMITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        GLOBAL: "10000/1s",
        "market.address": "100/1s",
        "reads.user": "50/1s",
        "reads.address": "200/1s",
        "orders.user": "100/1s",
        "orders.address": "400/1s",
        "cancels.user": "200/1s",
        "cancels.address": "800/1s",
        "account.user": "20/1m",
        "account.address": "20/1m",
        "operators.user": "20/1s",
        "operators.address": "20/1s",
        "health.address": "100/1s",
    }
)
"""`class.subject` → limit. Addresses get more than users: an office shares one."""

_API: Final = ("api", "v1")
_READS: Final = frozenset({"GET", "HEAD"})
_ORDERS: Final = frozenset({"order", "orders"})
_ACCOUNT: Final = frozenset({"users", "sessions", "api-keys"})
_MARKET: Final = frozenset({"time", "instruments", "orderbook", "trades", "ticker", "tickers", "candles"})


def rate_limits(overrides: Mapping[str, str], scale: int) -> dict[str, RateLimit]:
    """The limits by name. `scale` multiplies the defaults of users and addresses, not the global one, and no override.
    Raises ValueError."""
    unknown = overrides.keys() - DEFAULT_LIMITS.keys()
    if unknown:
        raise ValueError(f"no such limits: {', '.join(sorted(unknown))}")
    scaled = {
        name: RateLimit.parse(text).times(1 if name == GLOBAL else scale) for name, text in DEFAULT_LIMITS.items()
    }
    return scaled | {name: RateLimit.parse(text) for name, text in overrides.items()}


def route_class(method: str, path: str) -> RouteClass:
    """The class of a route, also of one that does not exist. What is not named here counts as a user's read."""
    parts = path.strip("/").split("/")
    if path in ("/healthz", "/readyz"):
        return RouteClass.HEALTH
    if tuple(parts[:2]) != _API or len(parts) < 3:
        return RouteClass.MARKET
    resource = parts[2]
    if resource == "admin":
        return RouteClass.OPERATORS
    if resource in _MARKET:
        return RouteClass.MARKET
    if resource in _ACCOUNT and method == "POST":
        return RouteClass.ACCOUNT
    if resource in _ORDERS and method not in _READS:
        is_cancel = method == "DELETE" or parts[3:] == ["cancel-all-after"]
        return RouteClass.CANCELS if is_cancel else RouteClass.ORDERS
    return RouteClass.READS
