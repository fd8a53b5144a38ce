"""The public API as a client program sees it: REST on the gateway, WebSocket on fanout. Nothing else of the exchange.

    async with ApiClient(gateway_url) as api:
        alice = await api.log_in("alice", password)
        accepted = await alice.place(symbol="BTCUSD", side="buy", type="limit", price="235", quantity="1")

Every call is one attempt. What the exchange refused is an ApiProblemError, and conclusive; what may have happened or
may happen when asked again is an ApiUnavailableError: repeat it, a place with the same `client_order_id`.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson

CALL_TIMEOUT_S: Final = 10.0
"""Beyond what is waited for an outcome."""
_REPEATABLE: Final = frozenset({408, 425, 429})


class ApiError(Exception):
    """Root of what a call may raise. `status` is 0 when there was no answer."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status or 'no answer'} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class ApiProblemError(ApiError):
    """The exchange said no, with a stable code; asking again will not help."""


class ApiUnavailableError(ApiError):
    """No answer, or one that it cannot now (5xx) or not so fast (429); `retry_after_s` if it said so."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(status, code, detail)
        self.retry_after_s = retry_after_s


@dataclass(slots=True, kw_only=True)
class Account:
    """One logged-in user. A token that has run out, or a session that is gone, is renewed by logging in again."""

    api: "ApiClient"
    username: str
    password: str
    user_id: str
    token: str

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call as this user."""
        try:
            return await self.api.call(method, path, body, token=self.token)
        except ApiProblemError as problem:
            if problem.status != 401:
                raise
        renewed = await self.api.log_in(self.username, self.password)
        self.token = renewed.token
        return await self.api.call(method, path, body, token=self.token)

    async def place(self, **order: Any) -> dict[str, Any]:
        """Enter an order; returns `order_id`, `client_order_id`, `status`."""
        answer: dict[str, Any] = await self.call("POST", "/api/v1/order", order)
        return answer

    async def cancel(self, order_id: str) -> Any:
        """Ask for its end."""
        return await self.call("DELETE", f"/api/v1/order/{order_id}")

    async def order(self, order_id: str) -> dict[str, Any]:
        """What is known of it."""
        answer: dict[str, Any] = await self.call("GET", f"/api/v1/order/{order_id}")
        return answer

    async def available(self) -> dict[str, Decimal]:
        """Asset → what can be used."""
        answer = await self.call("GET", "/api/v1/balances")
        balances = answer["balances"] if isinstance(answer, dict) else answer
        return {balance["asset"]: Decimal(balance["available"]) for balance in balances}

    async def deposit(self, *, user_id: str, asset: str, amount: str, transfer_id: str) -> None:
        """As an operator: credit a user. The same transfer id credits once."""
        body = {"user_id": user_id, "asset": asset, "amount": amount, "transfer_id": transfer_id}
        await self.call("POST", "/api/v1/admin/deposits", body)


class ApiClient:
    """A pool of connections to one gateway; `connections_max` calls run at a time, more wait; 0: no limit."""

    def __init__(self, gateway_url: str, *, connections_max: int = 100) -> None:
        self._gateway_url = gateway_url.rstrip("/")
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections_max),
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    @property
    def url(self) -> str:
        """The gateway's, without a slash at the end."""
        return self._gateway_url

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client, for what has no method here."""
        assert self._session is not None, "use it as a context manager"
        return self._session

    async def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """One attempt; the answer's JSON, numbers exact. Raises ApiProblemError or ApiUnavailableError."""
        return (await self.request(method, path, body, token=token))[1]

    async def request(
        self, method: str, path: str, body: Any = None, *, token: str = "", wait_s: float = 0.0
    ) -> tuple[int, Any]:
        """The same, with the status before it; `wait_s` is for how long the outcome may be waited for."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s:g}"
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            async with self.session.request(
                method,
                self._gateway_url + path,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=wait_s + CALL_TIMEOUT_S),
            ) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailableError(0, type(error).__name__, str(error)) from error
        if response.status < 400:
            return response.status, json.loads(text, parse_float=Decimal) if text else None
        raise _error(response.status, text, response.headers.get("Retry-After", ""))

    async def sign_up(self, username: str, password: str) -> None:
        """Make a new user; one that exists already is left as it is."""
        body = {"username": username, "password": password, "email": f"{username}@example.com"}
        try:
            await self.call("POST", "/api/v1/users", body)
        except ApiProblemError as problem:
            if problem.status != 409:
                raise

    async def log_in(self, username: str, password: str) -> Account:
        """A session of the user."""
        answer = await self.call("POST", "/api/v1/sessions", {"username": username, "password": password})
        return Account(
            api=self,
            username=username,
            password=password,
            user_id=answer["user_id"],
            token=answer["access_token"],
        )

    async def instrument(self, symbol: str) -> dict[str, Any]:
        """How the symbol is traded; raises ApiProblemError `unknown_symbol` when it is not."""
        answer = await self.call("GET", "/api/v1/instruments")
        for instrument in answer["instruments"] if isinstance(answer, dict) else answer:
            if instrument["symbol"] == symbol:
                found: dict[str, Any] = instrument
                return found
        raise ApiProblemError(404, "unknown_symbol", f"{symbol} is not listed")


def _error(status: int, text: bytes, retry_after: str) -> ApiError:
    try:
        problem = orjson.loads(text)
    except orjson.JSONDecodeError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    code, detail = (
        str(problem.get("code", "unexplained")),
        str(problem.get("detail", text[:200].decode(errors="replace"))),
    )
    if status >= 500 or status in _REPEATABLE:
        retry_after_s = float(retry_after) if retry_after.isdigit() else 0.0
        return ApiUnavailableError(status, code, detail, retry_after_s)
    return ApiProblemError(status, code, detail)
