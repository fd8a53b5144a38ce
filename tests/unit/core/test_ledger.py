"""The ledger: what a trade, a release and a deposit do to whom."""

from exchange_core.events import TradeExecuted
from exchange_core.ledger import Delta, fee_account, postings, wallet_deltas
from tests.unit.core.room import BUY, SELL, Room


def deltas(room: Room, events: list) -> dict[tuple[str, str], Delta]:  # type: ignore[type-arg]
    return wallet_deltas(posting for event in events for posting in postings(event, room.engine.instruments, 0))


def test_a_trade_pays_both_sides_their_share_and_the_fee_account_the_rest() -> None:
    room = Room()
    room.place("ann", SELL, 100, 100)
    events = room.place("ben", BUY, 100, 110)
    changed = deltas(room, [event for event in events if isinstance(event, TradeExecuted)])
    assert changed == {
        ("ann", "BTC"): Delta(available=0, held=-1_000),
        ("ben", "BTC"): Delta(available=1_000 - 3, held=0),
        ("ben", "USD"): Delta(available=3_000, held=-33_000),
        ("ann", "USD"): Delta(available=30_000 - 30, held=0),
        (fee_account(0), "BTC"): Delta(available=3, held=0),
        (fee_account(0), "USD"): Delta(available=30, held=0),
    }


def test_a_cancel_moves_the_hold_back_and_an_acceptance_moves_nothing() -> None:
    room = Room()
    placed = room.place("ann", SELL, 5, 100)
    assert deltas(room, placed) == {}
    assert deltas(room, room.cancel("ann", placed[0].cause)) == {("ann", "BTC"): Delta(available=50, held=-50)}


def test_the_outside_world_has_no_wallet() -> None:
    room = Room()
    start = len(room.log)
    room.fund("ann", usd=70)
    assert deltas(room, room.log[start:]) == {("ann", "USD"): Delta(available=70, held=0)}
