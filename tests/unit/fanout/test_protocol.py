"""What clients may say, and which stable code they get when they may not."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_fanout.protocol import (
    Auth,
    Channel,
    ErrorCode,
    Ping,
    RequestError,
    Subscribe,
    Topic,
    Unsubscribe,
    error_reply,
    parse_request,
    pong_reply,
    subscribed_reply,
)

TRADES = Topic(channel=Channel.TRADE, symbol="BTCUSDT")
DEPTH = Topic(channel=Channel.DEPTH, symbol="BTCUSDT")
CANDLES = Topic(channel=Channel.CANDLE, symbol="BTCUSDT", interval="1m")
OWN = (Topic(channel=Channel.ORDERS), Topic(channel=Channel.BALANCES))


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"action":"subscribe","symbol":"BTCUSDT"}', Subscribe(topics=(TRADES,))),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"trade"}', Subscribe(topics=(TRADES,))),
        (
            '{"action":"subscribe","symbol":"BTCUSDT","channels":["trade","depth","trade"],"id":7}',
            Subscribe(topics=(TRADES, DEPTH), request_id=7),
        ),
        (
            '{"action":"subscribe","symbol":"BTCUSDT","channels":["depth","candle"],"interval":"1m"}',
            Subscribe(topics=(DEPTH, CANDLES)),
        ),
        ('{"action":"subscribe","channels":["orders","balances"]}', Subscribe(topics=OWN)),
        (
            '{"action":"unsubscribe","symbol":"BTCUSDT","id":"a"}',
            Unsubscribe(topics=(TRADES,), request_id="a"),
        ),
        ('{"action":"auth","token":"x.y.z","id":1}', Auth(token="x.y.z", request_id=1)),
        ('{"action":"ping"}', Ping()),
    ],
)
def test_what_is_documented_is_understood(text: str, request_: object) -> None:
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", ErrorCode.MALFORMED_JSON),
        ("{", ErrorCode.MALFORMED_JSON),
        ('{"action":NaN}', ErrorCode.MALFORMED_JSON),
        ("[" * 5000, ErrorCode.MALFORMED_JSON),
        ("[]", ErrorCode.INVALID_MESSAGE),
        ('"subscribe"', ErrorCode.INVALID_MESSAGE),
        ("{}", ErrorCode.INVALID_MESSAGE),
        ('{"action":1}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"buy"}', ErrorCode.UNKNOWN_ACTION),
        ('{"action":"ping","symbol":"BTCUSDT"}', ErrorCode.UNKNOWN_FIELD),
        ('{"action":"ping","id":1.5}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"ping","id":true}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"ping","id":"' + "x" * 65 + '"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":["BTCUSDT"]}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"btcusdt"}', ErrorCode.INVALID_SYMBOL),
        ('{"action":"subscribe","symbol":"BTC:USDT"}', ErrorCode.INVALID_SYMBOL),
        ('{"action":"subscribe","symbol":"BTCUSDT\\n"}', ErrorCode.INVALID_SYMBOL),
        ('{"action":"subscribe","symbol":"BTCUSDT","depth":5}', ErrorCode.UNKNOWN_FIELD),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"candle"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"candle","interval":"2m"}', ErrorCode.INVALID_INTERVAL),
        ('{"action":"subscribe","symbol":"BTCUSDT","interval":"1m"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"orders"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","channels":["orders","trade"]}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"auth"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"auth","token":7}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"news"}', ErrorCode.UNKNOWN_CHANNEL),
        ('{"action":"subscribe","symbol":"BTCUSDT","channels":[]}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"BTCUSDT","channels":"trade"}', ErrorCode.INVALID_MESSAGE),
        ('{"action":"subscribe","symbol":"BTCUSDT","channel":"trade","channels":["trade"]}', ErrorCode.INVALID_MESSAGE),
    ],
)
def test_anything_else_is_refused_with_a_stable_code(text: str, code: ErrorCode) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(text)
    assert refused.value.code is code


@given(st.text(max_size=200) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(str))
def test_no_text_leads_to_anything_but_a_request_or_a_refusal(text: str) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(parse_request(text), Subscribe | Unsubscribe | Auth | Ping)


def test_an_id_comes_back_with_the_answer_and_with_the_error() -> None:
    assert orjson.loads(subscribed_reply(Subscribe(topics=(TRADES,), request_id="x")))["id"] == "x"
    assert orjson.loads(pong_reply(Ping(request_id=3), 1000)) == {"event": "pong", "id": 3, "time_ms": 1000}
    with pytest.raises(RequestError) as refused:
        parse_request('{"action":"subscribe","id":5}')
    assert orjson.loads(error_reply(refused.value))["id"] == 5


def test_a_token_is_not_shown_in_a_log() -> None:
    assert "secret" not in repr(Auth(token="secret"))
