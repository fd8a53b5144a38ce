"""The proxy passes everything on unchanged, and counts by operation."""

import asyncio

import pytest

from bench.counting_proxy import CountingProxy, operation


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n\r\n", "dynamodb.PutItem"),
        (b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.SendMessageBatch\r\n\r\n", "sqs.SendMessageBatch"),
        (b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\n\r\n", "kinesis.PutRecord"),
        (b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n", "s3.PUT"),
        (b"GET /pool/.well-known/jwks.json HTTP/1.1\r\n\r\n", "cognito.jwks"),
    ],
)
def test_an_operation_is_read_from_the_head(head: bytes, name: str) -> None:
    assert operation(head) == name


async def test_requests_pass_unchanged_and_are_counted_one_by_one() -> None:
    received = bytearray()

    async def cloud(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            received.extend(chunk)
            writer.write(b"answer")
        writer.close()

    server = await asyncio.start_server(cloud, "127.0.0.1", 0)
    body = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_1.NotARequest\r\n\r\n" * 3
    head = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_1.PutItem\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with server, CountingProxy(server.sockets[0].getsockname()[1]) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write((head + body) * 5)
        writer.write_eof()
        answered = await reader.read()
        writer.close()
    assert bytes(received) == (head + body) * 5
    assert answered.startswith(b"answer")
    assert proxy.calls == {"dynamodb.PutItem": 5}
    assert proxy.request_bytes["dynamodb.PutItem"] == 5 * len(head + body)
