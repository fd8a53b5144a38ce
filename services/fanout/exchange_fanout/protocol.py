"""What clients may say on `/ws`, and what they are answered: text in, values out, nothing else.

A client's message is a JSON object with an `action`:

    {"action": "subscribe", "symbol": "BTCUSDT"}                    channels: ["trade"] unless said
    {"action": "subscribe", "symbol": "BTCUSDT", "channel": "trade"}    or "channels": ["trade"]
    {"action": "unsubscribe", "symbol": "BTCUSDT"}
    {"action": "ping"}

and any of them may carry an `id` (text or a whole number) that comes back with the answer. Answers are `subscribed`,
`unsubscribed`, `pong`, or `error` with a stable `code`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

_SYMBOL: Final = re.compile(r"[A-Z0-9]{5,20}")
_ID_LENGTH_MAX: Final = 64
_ID_LIMIT: Final = 1 << 53
_FIELDS: Final = {
    "subscribe": frozenset({"action", "id", "symbol", "channel", "channels"}),
    "unsubscribe": frozenset({"action", "id", "symbol", "channel", "channels"}),
    "ping": frozenset({"action", "id"}),
}
TRADE_CHANNEL: Final = "trade"
_LATER_CHANNELS: Final = frozenset({"depth", "ticker", "candle", "orders", "balances"})

RequestId = str | int | None


class ErrorCode(StrEnum):
    """Why a message was refused; stable, for programs."""

    MALFORMED_JSON = "malformed_json"
    BINARY_UNSUPPORTED = "binary_unsupported"
    MESSAGE_TOO_LARGE = "message_too_large"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_ACTION = "unknown_action"
    INVALID_SYMBOL = "invalid_symbol"
    UNKNOWN_CHANNEL = "unknown_channel"
    CHANNEL_UNAVAILABLE = "channel_unavailable"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    NOT_SUBSCRIBED = "not_subscribed"
    FEED_UNAVAILABLE = "feed_unavailable"


class RequestError(Exception):
    """A message that changes nothing; `code` is for programs, the message for people."""

    def __init__(self, code: ErrorCode, message: str, request_id: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Send me the symbol's trades from now on."""

    symbol: str
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Send them no more."""

    symbol: str
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there?"""

    request_id: RequestId = None


Request = Subscribe | Unsubscribe | Ping


def parse_request(text: str) -> Request:
    """The request in a client's text; raises RequestError."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(ErrorCode.MALFORMED_JSON, "the message is not JSON") from error
    if not isinstance(message, dict):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "the message is not a JSON object")
    request_id = _read_id(message)
    try:
        return _read_request(message, request_id)
    except RequestError as error:
        error.request_id = request_id
        raise


def _read_id(message: dict[str, Any]) -> RequestId:
    request_id = message.get("id")
    if request_id is None:
        return None
    if isinstance(request_id, str) and len(request_id) <= _ID_LENGTH_MAX:
        return request_id
    if isinstance(request_id, int) and not isinstance(request_id, bool) and abs(request_id) < _ID_LIMIT:
        return request_id
    raise RequestError(ErrorCode.INVALID_MESSAGE, "id must be a whole number or a text of at most 64 characters")


def _read_request(message: dict[str, Any], request_id: RequestId) -> Request:
    action = message.get("action")
    if not isinstance(action, str):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "action is missing or not a text")
    if action not in _FIELDS:
        raise RequestError(ErrorCode.UNKNOWN_ACTION, f"action must be one of {', '.join(_FIELDS)}")
    unknown = sorted(message.keys() - _FIELDS[action])
    if unknown:
        raise RequestError(ErrorCode.UNKNOWN_FIELD, f"{action} does not take {', '.join(unknown)[:100]}")
    if action == "ping":
        return Ping(request_id=request_id)
    symbol = _read_symbol(message)
    _check_channels(message)
    if action == "subscribe":
        return Subscribe(symbol=symbol, request_id=request_id)
    return Unsubscribe(symbol=symbol, request_id=request_id)


def _read_symbol(message: dict[str, Any]) -> str:
    symbol = message.get("symbol")
    if not isinstance(symbol, str):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "symbol is missing or not a text")
    if _SYMBOL.fullmatch(symbol) is None:
        raise RequestError(ErrorCode.INVALID_SYMBOL, "a symbol is 5 to 20 capitals or digits")
    return symbol


def _check_channels(message: dict[str, Any]) -> None:
    if "channel" in message and "channels" in message:
        raise RequestError(ErrorCode.INVALID_MESSAGE, "give channel or channels, not both")
    channels = message.get("channels", [message.get("channel", TRADE_CHANNEL)])
    if not isinstance(channels, list) or not channels or not all(isinstance(name, str) for name in channels):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "channels must be a list of texts")
    for name in channels:
        if name in _LATER_CHANNELS:
            raise RequestError(ErrorCode.CHANNEL_UNAVAILABLE, f"channel {name} is not served yet")
        if name != TRADE_CHANNEL:
            raise RequestError(ErrorCode.UNKNOWN_CHANNEL, f"the channel is {TRADE_CHANNEL}")


def subscribed_reply(request: Subscribe) -> bytes:
    """Trades from here on are the client's to see."""
    return _reply("subscribed", request.request_id, symbol=request.symbol, channels=[TRADE_CHANNEL])


def unsubscribed_reply(request: Unsubscribe) -> bytes:
    """No trade of the symbol follows this."""
    return _reply("unsubscribed", request.request_id, symbol=request.symbol, channels=[TRADE_CHANNEL])


def pong_reply(request: Ping, now_ms: int) -> bytes:
    """`time_ms` is fanout's clock, in milliseconds since the Unix epoch."""
    return _reply("pong", request.request_id, time_ms=now_ms)


def error_reply(error: RequestError) -> bytes:
    """The connection goes on; the message changed nothing."""
    return _reply("error", error.request_id, code=error.code.value, message=error.message)


def _reply(event: str, request_id: RequestId, **fields: Any) -> bytes:
    identity = {} if request_id is None else {"id": request_id}
    return orjson.dumps({"event": event, **identity, **fields})
