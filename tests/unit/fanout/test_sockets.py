"""The whole of fanout over real WebSockets, on simulated stores."""

import asyncio

import aiohttp
import pytest

from exchange_adapters.sim import Gate
from exchange_core.topology import candle_channel, subscribers_key, ticker_channel
from exchange_fanout.frames import CloseCode
from tests.eventually import eventually
from tests.unit.fanout.support import PATIENCE_S, Fanout, ask, running_fanout, subscribe

TRADE = (
    b'{"event":"trade","symbol":"BTCUSDT","price":50000,"quantity":0.5,"timestamp":"2026-02-17T10:00:00Z","seq":7,'
    b'"trade_id":1,"taker_side":"buy"}'
)


async def test_a_subscriber_gets_each_trade_byte_for_byte_and_in_order() -> None:
    async with running_fanout() as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        for number in range(100):
            await fanout.publish("BTCUSDT", TRADE + b" " * number)
        await fanout.publish("ETHUSDT", b"not for us")
        received = [await socket.receive_str(timeout=PATIENCE_S) for _ in range(100)]
    assert received == [TRADE.decode() + " " * number for number in range(100)]


async def test_nothing_comes_after_unsubscribing() -> None:
    async with running_fanout() as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        await socket.send_json({"action": "unsubscribe", "symbol": "BTCUSDT"})
        assert (await socket.receive_json(timeout=PATIENCE_S))["event"] == "unsubscribed"
        await fanout.publish("BTCUSDT", TRADE)
        await socket.send_json({"action": "ping", "id": 1})
        answer = await socket.receive_json(timeout=PATIENCE_S)
    assert answer["event"] == "pong" and answer["id"] == 1


async def test_bad_messages_are_told_so_and_the_connection_goes_on() -> None:
    async with running_fanout(message_bytes_max=200, subscriptions_max=1) as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        await subscribe(socket, "BTCUSDT")
        for text, code in [
            ("not JSON", "malformed_json"),
            ("x" * 201, "message_too_large"),
            ('{"action":"subscribe","symbol":"ETHUSDT"}', "too_many_subscriptions"),
            ('{"action":"unsubscribe","symbol":"ETHUSDT"}', "not_subscribed"),
        ]:
            await socket.send_str(text)
            answer = await socket.receive_json(timeout=PATIENCE_S)
            assert (answer["event"], answer["code"]) == ("error", code)
            assert answer["message"]
        await socket.send_bytes(b"{}")
        assert (await socket.receive_json(timeout=PATIENCE_S))["code"] == "binary_unsupported"
        await fanout.publish("BTCUSDT", TRADE)
        assert await socket.receive_str(timeout=PATIENCE_S) == TRADE.decode()


async def test_a_message_far_too_large_ends_the_connection() -> None:
    async with running_fanout(message_bytes_max=200) as fanout, await fanout.connect() as socket:
        await socket.send_str("x" * 10_000)
        message = await socket.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == CloseCode.MESSAGE_TOO_BIG


async def test_connections_beyond_the_limit_are_refused_before_the_handshake() -> None:
    async with running_fanout(connections_max=1) as fanout:
        async with await fanout.connect():
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await fanout.connect()
            assert refused.value.status == 503
        await eventually(lambda: not fanout.connections.connections)
        async with await fanout.connect() as socket:
            await subscribe(socket, "BTCUSDT")


async def test_one_address_gets_no_more_than_its_share() -> None:
    async with running_fanout(connections_per_address_max=1, trusted_proxies=1) as fanout:

        async def connect(address: str) -> aiohttp.ClientWebSocketResponse:
            return await fanout.session.ws_connect(f"{fanout.url}/ws", headers={"X-Forwarded-For": address})

        async with await connect("192.0.2.1"), await connect("192.0.2.2"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect("192.0.2.1")
            assert refused.value.status == 429
        await eventually(lambda: not fanout.connections.connections)
        async with await connect("192.0.2.1") as socket:
            await subscribe(socket, "BTCUSDT")


async def test_who_talks_too_much_is_told_so_and_then_cut_with_4429() -> None:
    async with running_fanout(message_rate="5/1h") as fanout, await fanout.connect() as socket:
        for number in range(11):
            await socket.send_json({"action": "ping", "id": number})
        events = [await socket.receive_json(timeout=PATIENCE_S) for _ in range(11)]
        assert [event["event"] for event in events] == ["pong"] * 5 + ["error"] * 6
        assert {event["code"] for event in events[5:]} == {"too_many_messages"}
        message = await socket.receive(timeout=PATIENCE_S)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, CloseCode.TOO_MANY_MESSAGES)


async def test_candles_come_by_their_interval_and_a_ticker_at_once_from_the_cache() -> None:
    async with running_fanout() as fanout, await fanout.connect() as socket:
        await fanout.redis.publish({ticker_channel("BTCUSDT"): b'{"event":"ticker","price":1}'}, [])
        await subscribe(socket, "BTCUSDT", "candle", interval="1m")
        await subscribe(socket, "BTCUSDT", "ticker")
        assert await socket.receive_str(timeout=PATIENCE_S) == '{"event":"ticker","price":1}'
        await fanout.redis.publish(
            {},
            [
                (candle_channel("BTCUSDT", "5m"), b"another interval"),
                (candle_channel("BTCUSDT", "1m"), b'{"event":"candle"}'),
                (ticker_channel("BTCUSDT"), b'{"event":"ticker","price":2}'),
            ],
        )
        received = [await socket.receive_str(timeout=PATIENCE_S) for _ in range(2)]
        assert received == ['{"event":"candle"}', '{"event":"ticker","price":2}']


async def test_of_several_channels_all_are_joined_or_none() -> None:
    async with running_fanout(subscriptions_max=3) as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        channels = ["trade", "ticker", "depth", "candle"]
        refused = await ask(socket, action="subscribe", symbol="BTCUSDT", channels=channels, interval="1m")
        assert refused["code"] == "too_many_subscriptions"
        assert (await ask(socket, action="unsubscribe", symbol="BTCUSDT", channel="ticker"))["code"] == "not_subscribed"
        joined = await ask(socket, action="subscribe", symbol="BTCUSDT", channels=["trade", "ticker"])
        assert joined == {"event": "subscribed", "symbol": "BTCUSDT", "channels": ["trade", "ticker"]}
        await eventually(lambda: fanout.redis.members(subscribers_key("BTCUSDT")))
        left = await ask(socket, action="unsubscribe", symbol="BTCUSDT", channels=["trade"])
        assert left["event"] == "unsubscribed"
        assert fanout.redis.members(subscribers_key("BTCUSDT")), "it still watches the symbol"
        await ask(socket, action="unsubscribe", symbol="BTCUSDT", channels=["ticker"])
        await eventually(lambda: not fanout.redis.members(subscribers_key("BTCUSDT")))


async def test_a_refusal_names_the_subscription_that_is_to_be_asked_for_again() -> None:
    async with running_fanout(subscribe_timeout_s=0.05) as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        gate = Gate()
        fanout.faults.script("redis.subscribe", [gate])
        refused = await ask(socket, action="subscribe", symbol="ETHUSDT", channel="candle", interval="1m", id="again")
        what = {"symbol": "ETHUSDT", "channels": ["candle"], "interval": "1m"}
        assert refused.pop("message")
        assert refused == {"event": "error", "id": "again", "code": "feed_unavailable", **what}
        gate.open.set()
        await socket.send_json({"action": "subscribe", **{name: refused[name] for name in what}})
        answer = await socket.receive_json(timeout=PATIENCE_S)
        assert answer == {"event": "subscribed", **what}
        not_mine = await ask(socket, action="subscribe", channels=["orders", "balances"])
        assert (not_mine["code"], not_mine["channels"]) == ("authentication_required", ["orders", "balances"])


async def test_who_does_not_upgrade_is_told_to() -> None:
    async with running_fanout() as fanout, fanout.session.get(f"{fanout.url}/ws") as response:
        assert response.status == 426
        assert response.content_type == "application/problem+json"
        assert (await response.json())["code"] == "upgrade_required"


async def test_presence_says_who_is_here_and_forgets_who_left() -> None:
    async with running_fanout(presence_refresh_s=0.05) as fanout:
        async with await fanout.connect() as socket:
            await subscribe(socket, "BTCUSDT")
            await eventually(lambda: fanout.redis.members(subscribers_key("BTCUSDT")))
            await eventually(lambda: fanout.connections.connections)
            ((connection_id, (node, expires_at_ms)),) = fanout.connections.connections.items()
            assert fanout.redis.members(subscribers_key("BTCUSDT")) == {connection_id}
            assert node == "fanout-1"
            await eventually(lambda: fanout.connections.connections[connection_id][1] > expires_at_ms)
        await eventually(lambda: not fanout.connections.connections)
        await eventually(lambda: not fanout.redis.members(subscribers_key("BTCUSDT")))


async def test_clients_stay_while_redis_is_away_and_see_the_gap_by_seq() -> None:
    async with running_fanout(probe_interval_s=0.02) as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        await eventually(lambda: fanout.redis.members(subscribers_key("BTCUSDT")))
        await fanout.publish("BTCUSDT", b'{"seq":1}')
        assert await socket.receive_json(timeout=PATIENCE_S) == {"seq": 1}
        fanout.faults.down("redis")
        await fanout.publish("BTCUSDT", b'{"seq":2}')
        await eventually(lambda: _has_status(fanout, 503))
        fanout.redis.flush()
        fanout.faults.up("redis")
        await fanout.publish("BTCUSDT", b'{"seq":3}')
        assert await socket.receive_json(timeout=PATIENCE_S) == {"seq": 3}
        await eventually(lambda: _has_status(fanout, 200))


async def _has_status(fanout: Fanout, status: int) -> bool:
    return await fanout.status("/readyz") == status


async def test_a_lost_subscriber_set_is_filled_again() -> None:
    async with running_fanout(presence_refresh_s=0.05) as fanout, await fanout.connect() as socket:
        await subscribe(socket, "BTCUSDT")
        await eventually(lambda: fanout.redis.members(subscribers_key("BTCUSDT")))
        fanout.redis.flush()
        await eventually(lambda: fanout.redis.members(subscribers_key("BTCUSDT")))


async def test_a_slow_reader_is_cut_with_4408_while_the_others_miss_nothing() -> None:
    async with running_fanout(send_buffer_bytes=500_000, close_timeout_s=30.0) as fanout:
        reader, writer = await _raw_subscriber(fanout.port)
        async with await fanout.connect() as fast:
            await subscribe(fast, "BTCUSDT")
            payload = b'{"filler":"' + b"x" * 200_000 + b'"}'
            for _ in range(80):
                await fanout.publish("BTCUSDT", payload)
                assert await fast.receive_str(timeout=PATIENCE_S) == payload.decode()
            await subscribe(fast, "ETHUSDT")
        backlog = await _read_to_end(reader)
        writer.close()
    assert len(backlog) < 80 * len(payload)
    assert backlog[-12:] == bytes((0x88, 10)) + int(CloseCode.TOO_SLOW).to_bytes(2, "big") + b"too_slow"


async def _raw_subscriber(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client of its own making, which reads only when told to: aiohttp's would read on in the background."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 14)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    request = b'{"action":"subscribe","symbol":"BTCUSDT"}'
    writer.write(bytes((0x81, 0x80 | len(request))) + bytes(4) + request)
    await reader.readuntil(b'"channels":["trade"]}')
    return reader, writer


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    async with asyncio.timeout(20):
        while chunk := await reader.read(1 << 20):
            received += chunk
            if received.endswith(b"too_slow"):
                break
    return bytes(received)


async def test_a_stopping_fanout_says_good_bye() -> None:
    async with running_fanout() as fanout:
        socket = await fanout.connect()
        await subscribe(socket, "BTCUSDT")
        await eventually(lambda: fanout.connections.connections)
        fanout.stopping.set()
        message = await socket.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == CloseCode.SERVICE_RESTART
        await socket.close()
    assert not fanout.connections.connections
    assert not fanout.redis.members(subscribers_key("BTCUSDT"))
