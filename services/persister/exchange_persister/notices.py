"""What settlement tells users on Redis: one message a user and group of slots, after the commit, at most once.

Nothing is decided from these; who misses one asks the gateway. Form: `{"slot": last slot, "orders": [[order id as text,
symbol, status, reason or null, seq], …], "balances": [[asset, change of available, change of held], …]}` with amounts
in smallest units. An order stands once, as it is after the group.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
import structlog

from exchange_core.codec import Slot
from exchange_core.errors import PortError
from exchange_core.events import Event, OrderAccepted, OrderDone, OrderRejected, TradeExecuted
from exchange_core.orders import OrderStatus, Reason
from exchange_core.ports import MarketPublisher
from exchange_core.topology import user_channel
from exchange_persister.settlement import WalletChanges

_TIMEOUT_S: Final = 0.25
_PAUSE_AFTER_FAULT_S: Final = 5.0
_OrderState = tuple[str, int, str, OrderStatus, Reason | None, int]


class Notices:
    """Publishes, without ever holding settlement up for longer than a quarter of a second in five."""

    def __init__(self, publisher: MarketPublisher) -> None:
        self._publisher = publisher
        self._silent_until_s = 0.0
        self._log = structlog.get_logger()

    async def publish(self, slots: Sequence[Slot], changes: WalletChanges) -> None:
        """Tell the users of these settled slots; a fault is logged and forgotten."""
        now_s = asyncio.get_running_loop().time()
        messages = list(notices(slots, changes))
        if not messages or now_s < self._silent_until_s:
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._publisher.publish({}, messages)
        except (PortError, TimeoutError) as error:
            self._silent_until_s = now_s + _PAUSE_AFTER_FAULT_S
            self._log.warning("notices_lost", count=len(messages), error=f"{type(error).__name__}: {error}")


def notices(slots: Sequence[Slot], changes: WalletChanges) -> Iterator[tuple[str, bytes]]:
    """(channel, message) of every user concerned, by user."""
    orders: dict[str, dict[int, list[Any]]] = {}
    for slot in slots:
        for event in slot.events:
            for user_id, order_id, symbol, status, reason, seq in _order_states(event):
                orders.setdefault(user_id, {})[order_id] = [str(order_id), symbol, status, reason, seq]
    balances: dict[str, list[list[Any]]] = {}
    for (user_id, asset), steps in sorted(changes.items()):
        total = [asset, sum(step.available for step in steps), sum(step.held for step in steps)]
        balances.setdefault(user_id, []).append(total)
    for user_id in sorted(orders.keys() | balances.keys()):
        message = {
            "slot": slots[-1].n,
            "orders": list(orders.get(user_id, {}).values()),
            "balances": balances.get(user_id, []),
        }
        yield user_channel(user_id), orjson.dumps(message)


def _order_states(event: Event) -> Iterator[_OrderState]:
    match event:
        case OrderAccepted():
            yield event.user_id, event.order_id, event.symbol, OrderStatus.OPEN, None, event.seq
        case OrderRejected():
            yield event.user_id, event.order_id, event.symbol, OrderStatus.REJECTED, event.reason, event.seq
        case OrderDone():
            yield event.user_id, event.order_id, event.symbol, event.status, event.reason, event.seq
        case TradeExecuted():
            status = OrderStatus.PARTIALLY_FILLED
            yield event.maker_user_id, event.maker_order_id, event.symbol, status, None, event.seq
            yield event.taker_user_id, event.taker_order_id, event.symbol, status, None, event.seq
        case _:
            return
