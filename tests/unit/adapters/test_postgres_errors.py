"""What the driver of PostgreSQL raises becomes one of the ports' errors; what can be waited out ends no process."""

import asyncpg
import pytest

from exchange_adapters.postgres import translate, translated
from exchange_core.errors import Unavailable


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_that_broke_amid_a_statement_is_unavailable(error: Exception) -> None:
    assert isinstance(translate(error), Unavailable)
    with pytest.raises(Unavailable), translated():
        raise error
