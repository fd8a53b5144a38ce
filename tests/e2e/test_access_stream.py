"""The stream tells nobody what is not his own, tried against a whole exchange. docs/access.md is the table of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import orjson
import pytest

from tests.access import Tries, Try
from tests.e2e.access_world import PASSWORD, SYMBOL, AccessWorld, bearer, log_in_past_the_gateway, unsigned

PROOF = "the exchange"
PATIENCE_S = 20.0
OWN = {"action": "subscribe", "channels": ["orders", "balances"]}
tries = Tries()


@asynccontextmanager
async def connected(world: AccessWorld) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A connection of somebody's."""
    async with world.http.ws_connect(world.twin.websocket_url) as socket:
        yield socket


async def ask(socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> str:
    """The event that answers it, or the code of the error."""
    await socket.send_str(orjson.dumps(message).decode())
    answer = orjson.loads(await socket.receive_str(timeout=PATIENCE_S))
    return str(answer["code"] if answer["event"] == "error" else answer["event"])


async def answer_to(world: AccessWorld, token: str) -> str:
    """What one is told who sends this token and then asks for orders and balances."""
    async with connected(world) as socket:
        answer = await ask(socket, {"action": "auth", "token": token})
        assert await ask(socket, OWN) == "authentication_required"
        return answer


tries.about("The stream")


@tries("orders and balances without a token", "authentication_required")
async def without_a_token(world: AccessWorld) -> str:
    async with connected(world) as socket:
        return await ask(socket, OWN)


@tries("a forged token (`alg: none`, a key of his own, her user id in his token)", "token_invalid")
async def forged_tokens(world: AccessWorld) -> str:
    head, _, signature = world.he.token.split(".")
    claims = jwt.decode(world.he.token, options={"verify_signature": False}) | {"sub": world.she.user_id}
    made = [
        unsigned(jwt.get_unverified_header(world.she.token) | {"alg": "none"}, claims),
        world.her_token_with(),
        f"{head}.{unsigned({}, claims).split('.')[1]}.{signature}",
    ]
    return ", ".join({await answer_to(world, token) for token in made})


@tries("a genuine id token", "token_invalid")
async def id_token(world: AccessWorld) -> str:
    return await answer_to(world, (await log_in_past_the_gateway(world))["IdToken"])


@tries("a token of a log-in that the gateway did not open, or that has ended", "session_revoked")
async def no_session(world: AccessWorld) -> str:
    credentials = {"username": world.she.username, "password": PASSWORD}
    ended = (await world.send("POST", "/api/v1/sessions", credentials)).body["access_token"]
    assert (await world.send("DELETE", "/api/v1/sessions", headers=bearer(ended))).status == 204
    tokens = (ended, (await log_in_past_the_gateway(world))["AccessToken"])
    return ", ".join({await answer_to(world, token) for token in tokens})


@tries("her channel by its inner name, or her id in the subscription", "unknown_channel, invalid_symbol, unknown_field")
async def her_channel_by_name(world: AccessWorld) -> str:
    her_channel = f"user:{world.she.user_id}"
    async with connected(world) as socket:
        assert await ask(socket, {"action": "auth", "token": world.he.token}) == "authenticated"
        answers = [
            await ask(socket, {"action": "subscribe", "channel": her_channel}),
            await ask(socket, {"action": "subscribe", "symbol": her_channel}),
            await ask(socket, {**OWN, "user_id": world.she.user_id}),
        ]
    return ", ".join(answers)


@tries("another user's token on the same connection", "another_user")
async def two_users_on_one_connection(world: AccessWorld) -> str:
    async with connected(world) as socket:
        assert await ask(socket, {"action": "auth", "token": world.he.token}) == "authenticated"
        return await ask(socket, {"action": "auth", "token": world.she.token})


@tries("his own channels while she trades", "nothing of hers")
async def while_she_trades(world: AccessWorld) -> str:
    async with connected(world) as hers, connected(world) as his:
        for socket, token in ((hers, world.she.token), (his, world.he.token)):
            assert await ask(socket, {"action": "auth", "token": token}) == "authenticated"
            assert await ask(socket, OWN) == "subscribed"
        placed = await world.she.place(
            symbol=SYMBOL, side="buy", type="limit", price=str(world.hers["price"]), quantity="0.1"
        )
        await world.she.cancel(placed["order_id"])
        heard: dict[str, Any] = {}
        while (heard.get("order_id"), heard.get("status")) != (placed["order_id"], "canceled"):
            heard = orjson.loads(await hers.receive_str(timeout=PATIENCE_S))
        assert await ask(his, {"action": "ping"}) == "pong", "and nothing came before the answer"
    return "nothing of hers"


@pytest.mark.parametrize("one", tries.all, ids=lambda one: one.act.__name__)
async def test_the_stream_tells_nobody_what_is_not_his_own(access_world: AccessWorld, one: Try) -> None:
    assert await one.act(access_world) == one.answer
    await access_world.assert_untouched()
