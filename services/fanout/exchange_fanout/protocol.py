"""What clients may say on `/ws`, and what they are answered: text in, values out, nothing else.

A client's message is a JSON object with an `action`:

    {"action": "subscribe", "symbol": "BTCUSDT"}                        channels: ["trade"] unless said
    {"action": "subscribe", "symbol": "BTCUSDT", "channel": "depth"}    or "channels": ["trade", "depth"]
    {"action": "subscribe", "symbol": "BTCUSDT", "channel": "candle", "interval": "1m"}
    {"action": "auth", "token": "…"}
    {"action": "subscribe", "channels": ["orders", "balances"]}         after auth; no symbol
    {"action": "unsubscribe", …}                                        what was subscribed, named alike
    {"action": "ping"}

and any of them may carry an `id` (text or a whole number) that comes back with the answer. Answers are `subscribed`,
`unsubscribed`, `authenticated`, `pong`, or `error` with a stable `code`. An error about a message that could be read
names the subscriptions in it, as `subscribed` does.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from exchange_core.candles import CandleInterval
from exchange_core.market_data import timestamp_text

_SYMBOL: Final = re.compile(r"[A-Z0-9]{5,20}")
_ID_LENGTH_MAX: Final = 64
_ID_LIMIT: Final = 1 << 53
_TOPIC_FIELDS: Final = frozenset({"action", "id", "symbol", "channel", "channels", "interval"})
_FIELDS: Final = {
    "subscribe": _TOPIC_FIELDS,
    "unsubscribe": _TOPIC_FIELDS,
    "auth": frozenset({"action", "id", "token"}),
    "ping": frozenset({"action", "id"}),
}

RequestId = str | int | None


class Channel(StrEnum):
    """What can be subscribed; the last two are a user's own."""

    TRADE = "trade"
    DEPTH = "depth"
    TICKER = "ticker"
    CANDLE = "candle"
    ORDERS = "orders"
    BALANCES = "balances"

    @property
    def is_private(self) -> bool:
        """Whether it takes a log-in instead of a symbol."""
        return self in (Channel.ORDERS, Channel.BALANCES)


class ErrorCode(StrEnum):
    """Why a message was refused; stable, for programs."""

    MALFORMED_JSON = "malformed_json"
    BINARY_UNSUPPORTED = "binary_unsupported"
    MESSAGE_TOO_LARGE = "message_too_large"
    TOO_MANY_MESSAGES = "too_many_messages"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_ACTION = "unknown_action"
    INVALID_SYMBOL = "invalid_symbol"
    UNKNOWN_CHANNEL = "unknown_channel"
    INVALID_INTERVAL = "invalid_interval"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    NOT_SUBSCRIBED = "not_subscribed"
    FEED_UNAVAILABLE = "feed_unavailable"
    AUTHENTICATION_REQUIRED = "authentication_required"
    AUTHENTICATION_UNAVAILABLE = "authentication_unavailable"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - a code, not a secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    SESSION_REVOKED = "session_revoked"
    ANOTHER_USER = "another_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One thing that can be subscribed: a channel of a symbol (candles: at an interval), or a private channel."""

    channel: Channel
    symbol: str = ""
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Send me these from now on."""

    topics: tuple[Topic, ...]
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Send them no more."""

    topics: tuple[Topic, ...]
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """This is who I am."""

    token: str
    request_id: RequestId = None

    def __repr__(self) -> str:
        return "Auth(token='…')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there?"""

    request_id: RequestId = None


Request = Subscribe | Unsubscribe | Auth | Ping


class RequestError(Exception):
    """A message that changes nothing; `code` is for programs, the message for people."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id: RequestId = None
        self.topics: tuple[Topic, ...] = ()

    def refused(self, request: Request) -> None:
        """Say what it is that was refused: the message's id, and what it would subscribe or leave."""
        self.request_id = request.request_id
        if isinstance(request, Subscribe | Unsubscribe):
            self.topics = request.topics


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
    if action == "auth":
        return Auth(token=_read_text(message, "token"), request_id=request_id)
    topics = _read_topics(message)
    if action == "subscribe":
        return Subscribe(topics=topics, request_id=request_id)
    return Unsubscribe(topics=topics, request_id=request_id)


def _read_topics(message: dict[str, Any]) -> tuple[Topic, ...]:
    channels = _read_channels(message)
    if all(channel.is_private for channel in channels):
        for name in ("symbol", "interval"):
            if name in message:
                raise RequestError(ErrorCode.INVALID_MESSAGE, f"{channels[0]} takes no {name}")
        return tuple(Topic(channel=channel) for channel in channels)
    if any(channel.is_private for channel in channels):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "name the channels of a symbol and your own in two messages")
    symbol = _read_text(message, "symbol")
    if _SYMBOL.fullmatch(symbol) is None:
        raise RequestError(ErrorCode.INVALID_SYMBOL, "a symbol is 5 to 20 capitals or digits")
    interval = _read_interval(message, channels)
    return tuple(
        Topic(channel=channel, symbol=symbol, interval=interval if channel is Channel.CANDLE else "")
        for channel in channels
    )


def _read_channels(message: dict[str, Any]) -> list[Channel]:
    if "channel" in message and "channels" in message:
        raise RequestError(ErrorCode.INVALID_MESSAGE, "give channel or channels, not both")
    names = message.get("channels", [message.get("channel", Channel.TRADE)])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "channels must be a list of texts")
    if not set(names) <= set(Channel):
        raise RequestError(ErrorCode.UNKNOWN_CHANNEL, f"the channels are {', '.join(Channel)}")
    return [Channel(name) for name in dict.fromkeys(names)]


def _read_interval(message: dict[str, Any], channels: list[Channel]) -> str:
    if Channel.CANDLE not in channels:
        if "interval" in message:
            raise RequestError(ErrorCode.INVALID_MESSAGE, "only candles have an interval")
        return ""
    interval = _read_text(message, "interval")
    if interval not in set(CandleInterval):
        raise RequestError(ErrorCode.INVALID_INTERVAL, f"the intervals are {', '.join(CandleInterval)}")
    return interval


def _read_text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise RequestError(ErrorCode.INVALID_MESSAGE, f"{name} is missing or not a text")
    return value


def subscribed_reply(request: Subscribe) -> bytes:
    """What is subscribed comes from here on."""
    return _reply("subscribed", request.request_id, **_topics_json(request.topics))


def unsubscribed_reply(request: Unsubscribe) -> bytes:
    """Nothing of it follows this."""
    return _reply("unsubscribed", request.request_id, **_topics_json(request.topics))


def authenticated_reply(request: Auth, user_id: str, expires_at_s: int) -> bytes:
    """The user's own channels can be subscribed until then."""
    return _reply("authenticated", request.request_id, user_id=user_id, expires_at=timestamp_text(expires_at_s * 1000))


def auth_ended_notice(code: ErrorCode) -> bytes:
    """The user's own channels have ended; the others go on."""
    return _reply("auth_ended", None, code=code.value)


def pong_reply(request: Ping, now_ms: int) -> bytes:
    """`time_ms` is fanout's clock, in milliseconds since the Unix epoch."""
    return _reply("pong", request.request_id, time_ms=now_ms)


def error_reply(error: RequestError) -> bytes:
    """The connection goes on; the message changed nothing."""
    topics = _topics_json(error.topics) if error.topics else {}
    return _reply("error", error.request_id, code=error.code.value, message=error.message, **topics)


def _topics_json(topics: tuple[Topic, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if topics[0].symbol:
        fields["symbol"] = topics[0].symbol
    fields["channels"] = [topic.channel.value for topic in topics]
    interval = next((topic.interval for topic in topics if topic.interval), None)
    if interval is not None:
        fields["interval"] = interval
    return fields


def _reply(event: str, request_id: RequestId, **fields: Any) -> bytes:
    identity = {} if request_id is None else {"id": request_id}
    return orjson.dumps({"event": event, **identity, **fields})
