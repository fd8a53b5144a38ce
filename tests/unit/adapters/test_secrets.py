from typing import Any

import pytest

from exchange_adapters import secrets
from exchange_adapters.secrets import SecretPassword, open_password, with_password
from exchange_core.errors import Fatal


class FakeSecretsManager:
    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0

    async def get_secret_value(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        assert SecretId == "arn:secret"
        self.calls += 1
        return {"SecretString": self.text}


async def test_a_password_is_asked_for_once_a_while_and_a_rotated_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeSecretsManager('{"username": "crossbook", "password": "first"}')
    password = SecretPassword(client, "arn:secret")
    assert [await password.current(), await password.current()] == ["first", "first"]
    assert client.calls == 1
    # WHEN it was rotated and the known one is old
    client.text = '{"password": "second"}'
    monkeypatch.setattr(secrets, "PASSWORD_AGE_S", 0.0)
    assert await password.current() == "second"


@pytest.mark.parametrize("text", ["{}", "plain", "[]"])
async def test_a_secret_without_a_password_is_fatal_and_is_not_told(text: str) -> None:
    with pytest.raises(Fatal, match="no password"):
        await SecretPassword(FakeSecretsManager(text), "arn:secret").current()


async def test_where_no_secret_is_named_the_url_says_it_all() -> None:
    assert await with_password("redis://:known@localhost:1", "") == "redis://:known@localhost:1"
    async with open_password("") as password:
        assert password is None
