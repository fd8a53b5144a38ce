"""AWS clients with bounded time and attempts, and the one place where their errors become the ports' errors.

A write is attempted once: the SDK would repeat one that timed out, and whether a broken-off write took place is for us
to settle, by reading back or by repeating what is idempotent. What is not known to have had no effect is Ambiguous.
Reads have no effect, so a broken-off read is Unavailable, and `read_again` may repeat it.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from exchange_core.errors import Ambiguous, Conflict, Fatal, Gone, PortError, Throttled, Unavailable

Response = TypeVar("Response")

CALL_TIMEOUT_S: Final = 5.0
"""How long one call may take, from waiting for a connection to the end of the answer."""
_CONNECT_TIMEOUT_S: Final = 2.0
_LONG_POLL_S: Final = 20.0
_SOCKET_READ_TIMEOUT_S: Final = CALL_TIMEOUT_S + _LONG_POLL_S
"""Longer than any call may last: `reading` and `writing` are what bounds a call."""
_CONNECTIONS_MAX: Final = 64
_ATTEMPTS: Final[Mapping[str, int]] = {"s3": 3}
"""Everywhere else 1. Objects are written whole under a key of their own, so S3 may repeat its writes."""
_READ_ATTEMPTS: Final = 3
PAUSE_S: Final = 0.05

_THROTTLED: Final = frozenset(
    {
        "KMSThrottlingException",
        "KmsThrottled",
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_CONFLICT: Final = frozenset(
    {
        "ConditionalCheckFailedException",
        "ReplicatedWriteConflictException",
        "TransactionCanceledException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_GONE: Final = frozenset({"ExpiredIteratorException", "NoSuchKey", "ReceiptHandleIsInvalid"})
_BROKEN_OFF: Final = frozenset({"RequestTimeout", "RequestTimeoutException"})


@asynccontextmanager
async def open_clients(*services: str) -> AsyncIterator[SimpleNamespace]:
    """Clients of the named services, an attribute each (`cognito-idp` as `cognito_idp`), closed at the end.

    Open them once a process: making one costs tens of milliseconds, and its connections are what is reused. Endpoint
    and credentials come from the SDK's own environment variables and from nowhere else.
    """
    session = aioboto3.Session()
    async with AsyncExitStack() as stack:
        clients = SimpleNamespace()
        for service in services:
            client = session.client(service, region_name=os.environ.get("AWS_REGION"), config=_config(service))
            setattr(clients, service.replace("-", "_"), await stack.enter_async_context(client))
        yield clients


def _config(service: str) -> AioConfig:
    return AioConfig(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_SOCKET_READ_TIMEOUT_S,
        max_pool_connections=_CONNECTIONS_MAX,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS.get(service, 1)},
        tcp_keepalive=True,
        # The services check what they are sent; checking here as well takes a third of a large transaction's CPU.
        parameter_validation=False,
        # Bucket names as host names would need a wildcard name, which no endpoint on a plain host or address has.
        s3={"addressing_style": "path"},
    )


@asynccontextmanager
async def reading(timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[None]:
    """Bound and translate calls without effect: whatever breaks off raises Unavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError) as error:
        raise translate(error, is_write=False) from error


@asynccontextmanager
async def writing(timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[None]:
    """Bound and translate calls with an effect: whatever breaks off after it may have been sent raises Ambiguous."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError) as error:
        raise translate(error, is_write=True) from error


async def read_again(call: Callable[[], Awaitable[Response]]) -> Response:
    """The answer of a call without effect, repeated with growing, jittered pauses while the store falters."""
    for attempt in range(1, _READ_ATTEMPTS):
        try:
            async with reading():
                return await call()
        except (Throttled, Unavailable):
            await pause(attempt)
    async with reading():
        return await call()


async def pause(attempt: int) -> None:
    """Wait before attempt + 1: a random part of a span that doubles, so that those who collided part."""
    await asyncio.sleep(random.uniform(0, PAUSE_S * 2**attempt))  # noqa: S311 - spreads load, guards nothing


def error_code(error: ClientError) -> str:
    """The service's own name of the error, without the prefix that some protocols put before it."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code.rpartition("#")[2]


def translate(error: Exception, *, is_write: bool) -> PortError:
    """The port's error for one of the SDK's; `is_write` tells what a call that broke off may have done."""
    text = f"{type(error).__name__}: {error}"
    broken_off: type[PortError] = Ambiguous if is_write else Unavailable
    match error:
        case ClientError():
            return code_error(error_code(error), _status(error), is_write=is_write)(text)
        case ConnectTimeoutError() | ProxyConnectionError() | SSLError():
            return Unavailable(text)
        case EndpointConnectionError():
            return Unavailable(text) if _never_connected(error) else broken_off(text)
        case ReadTimeoutError() | ConnectionClosedError() | HTTPClientError() | ResponseStreamingError():
            return broken_off(text)
        case BotoCoreError():  # no credentials, no region, parameters that do not fit: nothing was sent
            return Fatal(text)
        case aiohttp.ClientConnectorError():
            return Unavailable(text)
    return broken_off(text)


def code_error(code: str, status: int, *, is_write: bool) -> type[PortError]:
    """The kind of port error that a service's error code and HTTP status (0: none) stand for."""
    if code in _THROTTLED or status == 429:
        return Throttled
    if code in _CONFLICT:
        return Conflict
    if code in _GONE:
        return Gone
    if code in _BROKEN_OFF or status >= 500:
        return Ambiguous if is_write else Unavailable
    return Fatal


def _status(error: ClientError) -> int:
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))


def _never_connected(error: EndpointConnectionError) -> bool:
    """aiobotocore raises this one also for a connection that was reset after the request was sent."""
    cause = error.kwargs.get("error")
    return isinstance(cause, aiohttp.ClientConnectorError)
