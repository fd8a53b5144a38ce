"""Whom a connection without a log-in counts for: its address, as far as it can be believed."""

import ipaddress
from collections.abc import Sequence


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
