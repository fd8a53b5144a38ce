"""Every error of the SDK becomes one of the ports' errors, and what may have taken place is never told as harmless."""

import asyncio

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from exchange_adapters import aws
from exchange_core.errors import Ambiguous, Conflict, Fatal, Gone, PortError, Throttled, Unavailable

URL = "http://127.0.0.1:9/"


def answered(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutItem")


def refused_connection() -> EndpointConnectionError:
    key = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
    cause = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    return EndpointConnectionError(endpoint_url=URL, error=cause)


HARMLESS = [
    (answered("ProvisionedThroughputExceededException"), Throttled),
    (answered("ThrottlingException"), Throttled),
    (answered("SlowDown", 503), Throttled),
    (answered("com.amazonaws.dynamodb.v20120810#ThrottlingException"), Throttled),
    (answered("AnythingElse", 429), Throttled),
    (answered("ConditionalCheckFailedException"), Conflict),
    (answered("TransactionConflictException"), Conflict),
    (answered("ExpiredIteratorException"), Gone),
    (answered("NoSuchKey", 404), Gone),
    (answered("ResourceNotFoundException"), Fatal),
    (answered("AccessDeniedException"), Fatal),
    (answered("ValidationException"), Fatal),
    (NoCredentialsError(), Fatal),
    (ParamValidationError(report="bad"), Fatal),
    (refused_connection(), Unavailable),
    (ConnectTimeoutError(endpoint_url=URL), Unavailable),
]
BROKEN_OFF = [
    answered("InternalServerError", 500),
    answered("ServiceUnavailable", 503),
    answered("RequestTimeout", 400),
    ReadTimeoutError(endpoint_url=URL),
    ConnectionClosedError(endpoint_url=URL),
    EndpointConnectionError(endpoint_url=URL, error=aiohttp.ClientOSError(104, "reset after sending")),
    HTTPClientError(error=ValueError("garbled")),
    ResponseStreamingError(error=OSError("cut")),
    ResponseParserError("half an answer"),
    aiohttp.ClientPayloadError("half a body"),
    TimeoutError(),
]


@pytest.mark.parametrize(("error", "expected"), HARMLESS, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("is_write", [False, True])
def test_what_had_no_effect_is_told_by_its_cause(error: Exception, expected: type, is_write: bool) -> None:
    assert type(aws.translate(error, is_write=is_write)) is expected


@pytest.mark.parametrize("error", BROKEN_OFF, ids=lambda value: type(value).__name__)
def test_what_broke_off_is_ambiguous_for_a_write_and_unavailable_for_a_read(error: Exception) -> None:
    assert type(aws.translate(error, is_write=True)) is Ambiguous
    assert type(aws.translate(error, is_write=False)) is Unavailable


async def test_a_write_that_takes_too_long_is_ambiguous() -> None:
    with pytest.raises(Ambiguous):
        async with aws.writing(0.001):
            await asyncio.Event().wait()


async def test_a_read_that_takes_too_long_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        async with aws.reading(0.001):
            await asyncio.Event().wait()


async def test_a_cancelled_call_stays_cancelled() -> None:
    async def call() -> None:
        async with aws.writing():
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_our_own_bugs_and_port_errors_pass_unchanged() -> None:
    for error in (AssertionError("ours"), Gone("told already")):
        with pytest.raises(type(error)):
            async with aws.writing():
                raise error


class FalteringStore:
    """Fails a number of times before it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def read(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def test_a_read_is_repeated_while_the_store_falters() -> None:
    store = FalteringStore(answered("ThrottlingException"), refused_connection())
    assert await aws.read_again(store.read) == "answer"
    assert store.calls == 3


@pytest.mark.parametrize(
    ("errors", "expected", "calls"),
    [
        ([answered("InternalServerError", 500)] * 9, Unavailable, 3),
        ([answered("AccessDeniedException")] * 9, Fatal, 1),
    ],
)
async def test_a_read_is_given_up_in_the_end(errors: list[Exception], expected: type[PortError], calls: int) -> None:
    store = FalteringStore(*errors)
    with pytest.raises(expected):
        await aws.read_again(store.read)
    assert store.calls == calls
