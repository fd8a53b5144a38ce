"""What settlement tells users on Redis: each order and each balance that it changed, after the commit, at most once.

An order stands once, as it is after the group of slots; a balance is the wallet's own answer to its settlement, so it
holds what the gateway has set aside meanwhile. Nothing is decided from these; who misses one asks the gateway.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import structlog

from exchange_core.errors import PortError
from exchange_core.instruments import Instrument
from exchange_core.ports import MarketPublisher, OrderView, Wallet
from exchange_core.private_data import balance_message, order_message
from exchange_core.topology import user_channel

_TIMEOUT_S: Final = 0.25
PAUSE_AFTER_FAULT_S: Final = 5.0
"""How long nobody is told anything after a publication has failed."""
_NOBODY: Final = "$"
"""Accounts of the exchange's own, like the fees', begin with it."""


class Notices:
    """Publishes, without ever holding settlement up for longer than a quarter of a second in five."""

    def __init__(self, publisher: MarketPublisher) -> None:
        self._publisher = publisher
        self._silent_until_s = 0.0
        self._log = structlog.get_logger()

    async def publish(
        self, orders: Iterable[OrderView], wallets: Iterable[Wallet], instruments: Mapping[str, Instrument]
    ) -> None:
        """Tell the owners of these, which are settled; a fault is logged and forgotten."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._silent_until_s:
            return
        messages = list(notices(orders, wallets, instruments))
        if not messages:
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._publisher.publish({}, messages)
        except (PortError, TimeoutError) as error:
            self._silent_until_s = now_s + PAUSE_AFTER_FAULT_S
            self._log.warning("notices_lost", count=len(messages), error=f"{type(error).__name__}: {error}")


def notices(
    orders: Iterable[OrderView], wallets: Iterable[Wallet], instruments: Mapping[str, Instrument]
) -> Iterator[tuple[str, bytes]]:
    """(channel, message) of each order, then of each balance; not of a rejected order for a symbol that does not exist,
    whose numbers nobody could write."""
    decimals: dict[str, int] = {}
    for instrument in instruments.values():
        decimals[instrument.base], decimals[instrument.quote] = instrument.base_decimals, instrument.quote_decimals
    for order in orders:
        if order.symbol in instruments:
            yield user_channel(order.user_id), order_message(order, instruments[order.symbol])
    for wallet in wallets:
        if wallet.asset in decimals and not wallet.user_id.startswith(_NOBODY):
            yield user_channel(wallet.user_id), balance_message(wallet, decimals[wallet.asset])
