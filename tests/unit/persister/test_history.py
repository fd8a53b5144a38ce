"""The archive's objects: the same slots, the same bytes; every event with all of its fields."""

from random import Random

import orjson
import zstandard

from exchange_core.codec import decode_slot, encode_slot
from exchange_core.instruments import Instrument
from exchange_core.wire import from_plain
from exchange_persister.history import history_lines, history_object
from tests.unit.persister.journals import RandomMarket


def test_the_same_slots_give_the_same_bytes() -> None:
    slots = RandomMarket(Random(1)).slots(20)
    again = [decode_slot(encode_slot(slot)) for slot in slots]
    assert history_object(slots) == history_object(again)


def test_a_line_an_event_says_where_it_stands_and_what_happened() -> None:
    slots = RandomMarket(Random(1)).slots(20)
    text = zstandard.ZstdDecompressor().decompress(history_object(slots), max_output_size=10**7)
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert text.splitlines(keepends=True) == list(history_lines(slots))
    assert len(lines) == sum(len(slot.events) for slot in slots)
    for slot in slots:
        ours = [line for line in lines if line["slot"] == slot.n]
        assert [line["line"] for line in ours] == list(range(len(slot.events)))
        for line, event in zip(ours, slot.events, strict=True):
            assert (line["type"], line["seq"], line["symbol"], line["at_ms"]) == (
                type(event).__name__,
                event.seq,
                event.symbol,
                slot.at_ms,
            )
    assert from_plain(Instrument, lines[0]["instrument"]) == slots[0].events[0].instrument
    assert {"price", "quantity", "maker_fee", "taker_user_id"} <= next(
        line.keys() for line in lines if line["type"] == "TradeExecuted"
    )


def test_slots_without_events_are_an_object_too() -> None:
    market = RandomMarket(Random(1))
    market.slot()
    empty = market.slot(0)
    assert not empty.events
    assert zstandard.ZstdDecompressor().decompress(history_object([empty]), max_output_size=10) == b""
