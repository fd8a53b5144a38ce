"""A user's API keys. Only a log-in gets here: a key can neither make keys nor end them."""

from typing import Any

from aiohttp import web

from exchange_core.market_data import timestamp_text
from exchange_core.ports import ApiKey, KeyScope
from exchange_gateway.access.api_keys import ApiKeyDesk
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.rest.requests import authenticate_session, json_answer, read_body


class ApiKeyRoutes:
    """Every route answers for the token's user only; somebody else's key looks like none at all."""

    def __init__(self, *, authenticator: Authenticator, desk: ApiKeyDesk) -> None:
        self._authenticator = authenticator
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.post("/api/v1/api-keys", self.create),
            web.get("/api/v1/api-keys", self.keys),
            web.delete("/api/v1/api-keys/{key_id}", self.revoke),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the secret, which is not shown again."""
        principal = await authenticate_session(self._authenticator, request)
        body = await read_body(request)
        scopes = frozenset(KeyScope(scope) for scope in body["scopes"])
        key, secret = await self._desk.create(principal.user_id, body.get("name", ""), scopes)
        return json_answer({**_key_json(key), "secret": secret}, status=201)

    async def keys(self, request: web.Request) -> web.Response:
        """The user's keys, without their secrets."""
        principal = await authenticate_session(self._authenticator, request)
        return json_answer({"api_keys": [_key_json(key) for key in await self._desk.of_user(principal.user_id)]})

    async def revoke(self, request: web.Request) -> web.Response:
        """204: nothing that is signed with it is taken any more, anywhere."""
        principal = await authenticate_session(self._authenticator, request)
        await self._desk.revoke(principal.user_id, request.match_info["key_id"])
        return web.Response(status=204)


def _key_json(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": timestamp_text(key.created_at_ms),
    }
