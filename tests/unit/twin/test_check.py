"""What `crossbook check` places, and what it expects of the balances."""

from decimal import Decimal

import pytest

from crossbook.check import expected_funds, matching_orders
from crossbook.clients.quotes import Market
from crossbook.demo import INSTRUMENTS

MARKET = Market.of({"max_open_orders": 200} | INSTRUMENTS[0])


@pytest.mark.parametrize(
    ("bid", "ask", "placed"),
    [
        (None, None, [("sell", "50000"), ("buy", "50000")]),
        (4_990_000, 5_010_000, [("sell", "49900"), ("buy", "50100")]),
        (5_010_000, None, [("buy", "50000"), ("sell", "50000")]),
        (4_990_000, None, [("buy", "50000"), ("sell", "49900")]),
        (None, 5_010_000, [("sell", "50000"), ("buy", "50100")]),
        (1, 9_999_999, [("sell", "40000"), ("buy", "60000")]),
    ],
    ids=["empty", "both", "bids above", "bids below", "asks", "beyond the band"],
)
def test_each_order_reaches_what_it_finds(bid: int | None, ask: int | None, placed: list[tuple[str, str]]) -> None:
    orders = matching_orders(MARKET, last_ticks=5_000_000, bid_ticks=bid, ask_ticks=ask)
    assert [(order["side"], order["price"]) for order in orders] == placed
    assert len({order["quantity"] for order in orders}) == 1
    assert all(Decimal(order["price"]) * Decimal(order["quantity"]) >= MARKET.min_notional for order in orders)


def test_a_buyer_pays_the_fee_in_base_and_a_seller_in_quote() -> None:
    funds = {"BTC": Decimal(1), "USDT": Decimal(1000)}
    fill = {"side": "buy", "price": Decimal(50000), "quantity": Decimal("0.001")}
    bought = expected_funds(funds, MARKET, [fill | {"fee": Decimal("0.000002"), "fee_asset": "BTC"}])
    assert bought == {"BTC": Decimal("1.000998"), "USDT": Decimal(950)}
    sold = expected_funds(funds, MARKET, [fill | {"side": "sell", "fee": Decimal("0.1"), "fee_asset": "USDT"}] * 2)
    assert sold == {"BTC": Decimal("0.998"), "USDT": Decimal("1099.8")}
