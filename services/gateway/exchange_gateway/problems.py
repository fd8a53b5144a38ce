"""Every way the gateway says no: one table of stable codes, one exception, one document form (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import orjson
from aiohttp import web

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1


class Code(StrEnum):
    """What went wrong, for programs; never renamed, never reused for something else."""

    MALFORMED_JSON = "malformed_json"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    INVALID_SIDE = "invalid_side"
    INVALID_TYPE = "invalid_type"
    BODY_TOO_LARGE = "body_too_large"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNKNOWN_ASSET = "unknown_asset"
    SYMBOL_HALTED = "symbol_halted"
    SYMBOL_EXISTS = "symbol_exists"
    INVALID_INSTRUMENT = "invalid_instrument"
    PRICE_NOT_POSITIVE = "price_not_positive"
    PRICE_OFF_TICK = "price_off_tick"
    PRICE_OUT_OF_BAND = "price_out_of_band"
    QUANTITY_OFF_LOT = "quantity_off_lot"
    QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    NOTIONAL_TOO_SMALL = "notional_too_small"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    EXPIRY_PASSED = "expiry_passed"
    QUANTITY_NOT_ABOVE_FILLED = "quantity_not_above_filled"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    DUPLICATE_TRANSFER_ID = "duplicate_transfer_id"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_CLOSED = "order_closed"
    INSUFFICIENT_HOLD = "insufficient_hold"
    WOULD_TAKE = "would_take"
    TOO_LATE = "too_late"
    REFUSED = "refused"
    COMMAND_NOT_FOUND = "command_not_found"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a code, not a secret
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    SESSION_REVOKED = "session_revoked"
    API_KEY_INVALID = "api_key_invalid"
    TIMESTAMP_OUTSIDE_WINDOW = "timestamp_outside_window"
    REQUEST_REPLAYED = "request_replayed"
    API_KEY_NOT_FOUND = "api_key_not_found"
    TOO_MANY_API_KEYS = "too_many_api_keys"
    INVALID_CREDENTIALS = "invalid_credentials"
    USER_NOT_CONFIRMED = "user_not_confirmed"
    USERNAME_TAKEN = "username_taken"
    INVALID_PASSWORD = "invalid_password"  # noqa: S105
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_REQUEST = "bad_request"
    TOO_MANY_REQUESTS = "too_many_requests"
    OVERLOADED = "overloaded"
    QUEUE_UNAVAILABLE = "queue_unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"


PROBLEMS: Final[Mapping[Code, tuple[int, str]]] = {
    Code.MALFORMED_JSON: (400, "The body is not a JSON object"),
    Code.UNKNOWN_FIELD: (400, "The request has a field that is not known here"),
    Code.MISSING_FIELD: (400, "The request lacks a field"),
    Code.INVALID_VALUE: (400, "A field has a value of the wrong type or form"),
    Code.INVALID_SIDE: (400, "The side must be buy or sell"),
    Code.INVALID_TYPE: (400, "The order type is not known"),
    Code.BODY_TOO_LARGE: (413, "The body is too large"),
    Code.UNKNOWN_SYMBOL: (422, "The symbol is not listed"),
    Code.UNKNOWN_ASSET: (422, "No listed instrument has this asset"),
    Code.SYMBOL_HALTED: (422, "The symbol takes no orders now"),
    Code.SYMBOL_EXISTS: (409, "The symbol is listed already"),
    Code.INVALID_INSTRUMENT: (422, "The instrument breaks a rule"),
    Code.PRICE_NOT_POSITIVE: (422, "The price must be above zero"),
    Code.PRICE_OFF_TICK: (422, "The price is not a multiple of the tick"),
    Code.PRICE_OUT_OF_BAND: (422, "The price is too far from the market"),
    Code.QUANTITY_OFF_LOT: (422, "The quantity is not a multiple of the lot"),
    Code.QUANTITY_OUT_OF_RANGE: (422, "The quantity is outside the instrument's limits"),
    Code.AMOUNT_OUT_OF_RANGE: (422, "The amount cannot be represented"),
    Code.NOTIONAL_TOO_SMALL: (422, "The order is worth too little"),
    Code.INSUFFICIENT_FUNDS: (422, "The available balance does not cover the order"),
    Code.TOO_MANY_OPEN_ORDERS: (422, "Too many orders are open in this symbol"),
    Code.EXPIRY_PASSED: (422, "The order would have expired already"),
    Code.QUANTITY_NOT_ABOVE_FILLED: (422, "As much or more of the order is filled already"),
    Code.DUPLICATE_CLIENT_ORDER_ID: (409, "The client order id was used for another order"),
    Code.DUPLICATE_TRANSFER_ID: (409, "The transfer id was used for another transfer"),
    Code.ORDER_NOT_FOUND: (404, "You have no such order"),
    Code.ORDER_CLOSED: (409, "The order has ended"),
    Code.INSUFFICIENT_HOLD: (409, "The order changed first, and now needs more than was held for this"),
    Code.WOULD_TAKE: (422, "The order would trade at once, and is post-only"),
    Code.TOO_LATE: (409, "The command reached the matcher too late to be carried out"),
    Code.REFUSED: (422, "The matcher refused the command"),
    Code.COMMAND_NOT_FOUND: (404, "You have no such command, or it was too long ago"),
    Code.TOKEN_MISSING: (401, "An access token is needed"),
    Code.TOKEN_INVALID: (401, "The access token is not valid here"),
    Code.TOKEN_EXPIRED: (401, "The access token has expired"),
    Code.SESSION_REVOKED: (401, "The session has ended"),
    Code.API_KEY_INVALID: (401, "The API key or the signature is not valid"),
    Code.TIMESTAMP_OUTSIDE_WINDOW: (401, "The request was signed too long ago, or in the future"),
    Code.REQUEST_REPLAYED: (401, "The signature was used before"),
    Code.API_KEY_NOT_FOUND: (404, "You have no such API key"),
    Code.TOO_MANY_API_KEYS: (422, "The user has too many API keys"),
    Code.INVALID_CREDENTIALS: (401, "User name or password is wrong"),
    Code.USER_NOT_CONFIRMED: (403, "The user is not confirmed yet"),
    Code.USERNAME_TAKEN: (409, "The user name is taken"),
    Code.INVALID_PASSWORD: (422, "The password is too weak"),
    Code.FORBIDDEN: (403, "Not allowed for this user"),
    Code.NOT_FOUND: (404, "Nothing is here"),
    Code.METHOD_NOT_ALLOWED: (405, "This method does not work here"),
    Code.BAD_REQUEST: (400, "The request is not understood"),
    Code.TOO_MANY_REQUESTS: (429, "Too many requests"),
    Code.OVERLOADED: (503, "Too much is waiting; nothing was done"),
    Code.QUEUE_UNAVAILABLE: (503, "The command could not be passed on; send it again"),
    Code.OUTCOME_UNKNOWN: (503, "It is not known whether this was done; ask by client_order_id or send it again"),
    Code.SERVICE_UNAVAILABLE: (503, "A part of the exchange cannot be reached"),
    Code.INTERNAL_ERROR: (500, "The gateway failed"),
}
assert PROBLEMS.keys() == set(Code), "every code has its line"


class ProblemError(Exception):
    """A request that is answered with a problem document.

    `status` overrides the table's where the same code is about the path rather than about the body; `members` are
    further members of the document.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status if status is not None else PROBLEMS[code][0]
        self.headers = dict(headers or {})
        self.members = members
        if self.status == 401:
            self.headers.setdefault("WWW-Authenticate", f'Bearer error="invalid_token", error_description="{code}"')
        if self.status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))


def problem_document(problem: ProblemError, trace_id: str) -> dict[str, Any]:
    """Type, title, status, detail, code, trace_id and the problem's own members."""
    return {
        "type": f"urn:crossbook:problem:{problem.code}",
        "title": PROBLEMS[problem.code][1],
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.members,
        "trace_id": trace_id,
    }


def problem_response(problem: ProblemError, trace_id: str) -> web.Response:
    """The document as a response."""
    return web.Response(
        body=orjson.dumps(problem_document(problem, trace_id)),
        status=problem.status,
        content_type=PROBLEM_CONTENT_TYPE,
        headers=problem.headers,
    )
