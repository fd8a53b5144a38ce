"""Reading messages: what cannot be read is named, and takes nothing else with it."""

import orjson
import pytest

from exchange_core.codec import encode_commands
from exchange_core.ports import Delivery
from exchange_matcher.intake import Undecodable, read_delivery
from tests.unit.matcher.support import cancel, order


def delivery(body: str, message_id: str = "m1") -> Delivery:
    return Delivery(message_id=message_id, receipt="r", group="BTCUSDT", body=body, sent_at_ms=0, receive_count=1)


def test_a_good_message_is_its_commands():
    commands = [order(1, entered_at_ms=5), cancel(2, 1)]
    assert read_delivery(delivery(encode_commands(commands))) == commands


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "nonsense", '{"v":1}', '{"v":1,"commands":{}}', '{"v":2,"commands":[]}']
)
def test_a_message_without_commands_is_one_undecodable_thing(body: str):
    (found,) = read_delivery(delivery(body))
    assert isinstance(found, Undecodable)
    assert found.cause > 0 and len(found.digest) == 64


def test_one_bad_row_does_not_take_the_others_with_it():
    message = orjson.loads(encode_commands([order(1, entered_at_ms=5), cancel(2, 1)]))
    message["commands"].insert(1, ["place", {}])
    first, bad, last = read_delivery(delivery(orjson.dumps(message).decode()))
    assert (first, last) == (order(1, entered_at_ms=5), cancel(2, 1))
    assert isinstance(bad, Undecodable)


def test_a_redelivery_has_the_same_cause_and_another_message_another():
    (once,) = read_delivery(delivery("x"))
    (again,) = read_delivery(delivery("x"))
    (other,) = read_delivery(delivery("x", "m2"))
    assert isinstance(once, Undecodable) and isinstance(again, Undecodable) and isinstance(other, Undecodable)
    assert once.cause == again.cause != other.cause
