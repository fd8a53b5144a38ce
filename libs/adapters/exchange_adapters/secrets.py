"""Passwords in AWS Secrets Manager: JSON objects with a `password`, as RDS and the stacks make them.

A deployment names a secret beside a URL without a password; the twins name none, and their URLs say it all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from exchange_adapters.aws import open_clients, read_again
from exchange_core.errors import Fatal

PASSWORD_AGE_S: Final = 60.0
"""A password is asked for again after this: soon after a rotation every new connection knows the new one."""

Password = Callable[[], Coroutine[Any, Any, str]]


class SecretPassword:
    """The password in one secret, as it is now: `current` is what drivers call for every connection they open."""

    def __init__(self, client: Any, secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._known: tuple[float, str] | None = None

    async def current(self) -> str:
        """At most PASSWORD_AGE_S old. Raises PortError; Fatal when the secret has no password."""
        now_s = asyncio.get_running_loop().time()
        if self._known is None or now_s >= self._known[0] + PASSWORD_AGE_S:
            answer = await read_again(lambda: self._client.get_secret_value(SecretId=self._secret_id))
            self._known = (now_s, _password(answer["SecretString"]))
        return self._known[1]


@asynccontextmanager
async def open_password(secret_id: str) -> AsyncIterator[Password | None]:
    """What a driver calls for the password in the secret; None where no secret is named."""
    if not secret_id:
        yield None
        return
    async with open_clients("secretsmanager") as clients:
        yield SecretPassword(clients.secretsmanager, secret_id).current


async def with_password(url: str, secret_id: str) -> str:
    """The URL with the password in the secret, or as it is where none is named. For a password that stays."""
    async with open_password(secret_id) as current:
        if current is None:
            return url
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username or ''}:{quote(await current(), safe='')}@{_host(url)}").geturl()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _password(text: str) -> str:
    try:
        return str(orjson.loads(text)["password"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Fatal("the secret has no password") from error
