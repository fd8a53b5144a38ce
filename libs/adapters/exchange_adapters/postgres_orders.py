"""Orders in PostgreSQL: how a run of slots changes them, and how they are read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exchange_adapters.projection_rows import CHANGE_COLUMNS, OrderChange
from exchange_core.errors import Fatal
from exchange_core.orders import OrderStatus, OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from exchange_core.ports import OrderView

ORDER_VIEW_COLUMNS: Final = (
    "order_id",
    "client_order_id",
    "user_id",
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "price",
    "quantity",
    "quote_quantity",
    "trigger_price",
    "display_quantity",
    "expires_at_ms",
    "post_only",
    "self_trade_prevention",
    "filled_quantity",
    "filled_quote",
    "fee",
    "status",
    "reason",
    "seq",
    "created_at_ms",
    "updated_at_ms",
)
_CHANGE_TYPES: Final = (
    "bigint",
    "bigint",
    "numeric",
    "numeric",
    "bigint",
    "bigint",
    "bigint",
    "numeric",
    "text",
    "text",
    "bigint",
    "bigint",
)
_CHANGE_ORDERS: Final = f"""
    UPDATE orders SET
        filled_quantity = orders.filled_quantity + change.filled_quantity,
        filled_quote = orders.filled_quote + change.filled_quote,
        fee = orders.fee + change.fee,
        price = coalesce(change.price, orders.price),
        quantity = coalesce(change.quantity, orders.quantity) - change.decrement,
        hold = coalesce(change.hold, orders.hold),
        status = coalesce(change.status, orders.status),
        reason = coalesce(change.reason, orders.reason),
        seq = change.seq,
        updated_at_ms = change.updated_at_ms
    FROM unnest({", ".join(f"${number}::{name}[]" for number, name in enumerate(_CHANGE_TYPES, 1))})
        AS change({", ".join(CHANGE_COLUMNS)})
    WHERE orders.order_id = change.order_id
        AND orders.status IN ('open', 'partially_filled')
    RETURNING {", ".join(f"orders.{name}" for name in ORDER_VIEW_COLUMNS)}
"""  # noqa: S608 - made of constants


async def change_orders(connection: Any, changes: Sequence[OrderChange]) -> list[OrderView]:
    """Write what happened to orders that entered earlier; returns them as they stand with it. Raises Fatal when one of
    them is unknown or done, and the driver's errors as they are."""
    if not changes:
        return []
    columns = list(zip(*(change.row() for change in changes), strict=True))
    rows = await connection.fetch(_CHANGE_ORDERS, *columns)
    if len(rows) != len(changes):
        raise Fatal(f"of {len(changes)} orders to change {len(changes) - len(rows)} are unknown or done")
    return [order_view(row) for row in rows]


def order_view(row: Mapping[str, Any]) -> OrderView:
    """An order of the columns ORDER_VIEW_COLUMNS."""
    return OrderView(
        order_id=row["order_id"],
        client_order_id=row["client_order_id"],
        user_id=row["user_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        price=row["price"],
        quantity=row["quantity"],
        quote_quantity=None if row["quote_quantity"] is None else int(row["quote_quantity"]),
        trigger_price=row["trigger_price"],
        display_quantity=row["display_quantity"],
        expires_at_ms=row["expires_at_ms"],
        post_only=row["post_only"],
        self_trade_prevention=SelfTradePrevention(row["self_trade_prevention"]),
        filled_quantity=row["filled_quantity"],
        filled_quote=int(row["filled_quote"]),
        fee=int(row["fee"]),
        status=OrderStatus(row["status"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        seq=row["seq"],
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )
