"""How often one may ask what: the classes of routes, their limits, and whom a request counts for.

Every request but a health check counts in `global`; it counts for its address and, once it is known, for its user, each
in a store of its class. What one user or address does in one class leaves the other classes alone: whoever may place no
more orders can still cancel, and read how they stand.
"""

import ipaddress
from collections.abc import Mapping, Sequence
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
_MARKET: Final = frozenset({"time", "instruments", "orderbook", "trades", "ticker", "candles"})


def rate_limits(overrides: Mapping[str, str], scale: int) -> dict[str, RateLimit]:
    """The limits by name. `scale` multiplies those of users and addresses, never the global one. Raises ValueError."""
    unknown = overrides.keys() - DEFAULT_LIMITS.keys()
    if unknown:
        raise ValueError(f"no such limits: {', '.join(sorted(unknown))}")
    limits = {name: RateLimit.parse(text) for name, text in {**DEFAULT_LIMITS, **overrides}.items()}
    return {name: limit if name == GLOBAL else limit.times(scale) for name, limit in limits.items()}


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


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted_proxies: int) -> str:
    """Whom a request without a user counts for.

    Of `X-Forwarded-For` only the last `trusted_proxies` entries were written by our own proxies; a client may have made
    up what stands before them. An IPv6 client has a whole /64 of addresses, so these count as one.
    """
    entries = [entry.strip() for header in forwarded_for for entry in header.split(",")]
    candidate = peer
    if trusted_proxies and entries:
        candidate = entries[-min(trusted_proxies, len(entries))]
    return _subject(candidate) or _subject(peer) or "unknown"


def _subject(text: str | None) -> str | None:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False).network_address) + "/64"
    return str(address)
