"""How many bytes an order costs in the journal and in the stream."""

from dataclasses import replace
from random import Random

from exchange_core.codec import Slot, encode_slot
from exchange_core.commands import CancelOrder, ListInstrument
from exchange_core.engine import PartitionEngine
from exchange_core.holds import hold_asset, required_hold
from exchange_core.ids import IdGenerator
from exchange_core.orders import OrderTerms, Side
from tests.unit.core.room import START_MS, SYMBOL, Room, listed


def test_an_order_and_its_end_cost_some_forty_bytes() -> None:
    """100 commands a slot of 20 users, four in ten of them cancels of earlier orders, with sizes as random as can be:
    the aim is 40 (DESIGN.md section 4), recorded order flow stays below it."""
    random, ids, engine = Random(3), IdGenerator(7), PartitionEngine(0)
    instrument = listed(max_open_orders=1_000, max_quantity=10**9, reference_price=23_600)
    template = Room().order("ann", Side.BUY, 5, 100)
    users = [f"{random.getrandbits(48):012x}" for _ in range(20)]
    listing = ListInstrument(command_id=1, user_id="op", symbol=SYMBOL, entered_at_ms=0, instrument=instrument)
    engine.execute(listing, START_MS)
    live: list[tuple[int, str]] = []
    size, orders = 0, 0
    for number in range(30):
        at_ms = START_MS + 200 * number
        events = engine.begin_slot(at_ms)
        for place in range(100):
            command_id = ids.next_id(at_ms + 2 * place)
            if live and random.random() < 0.4:
                order_id, user_id = live.pop(random.randrange(len(live)))
                cancel = CancelOrder(
                    command_id=command_id, user_id=user_id, symbol=SYMBOL, entered_at_ms=at_ms, order_id=order_id
                )
                events += engine.execute(cancel, at_ms)
                continue
            side = random.choice(list(Side))
            price = 23_600 + random.randrange(-60, 8) * (1 if side is Side.BUY else -1)
            terms: OrderTerms = replace(
                template,
                order_id=command_id,
                user_id=random.choice(users),
                side=side,
                price=price,
                quantity=random.randrange(1, 10**6),
                hold_asset=hold_asset(side, instrument),
                entered_at_ms=at_ms + 2 * place,
            )
            order = replace(terms, hold=required_hold(terms, instrument))
            live.append((order.order_id, order.user_id))
            orders += 1
            events += engine.execute(order, at_ms)  # type: ignore[arg-type]
        slot = Slot(
            partition=0, n=number + 1, at_ms=at_ms, fed_through=number, writer="matcher-1", events=tuple(events)
        )
        size += len(encode_slot(slot))
    assert size / orders < 42, f"{size / orders:.1f} bytes an order"
