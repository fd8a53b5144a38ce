"""The exchange as the outside sees it: users sign up, an operator lists instruments and brings in funds."""

import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from crossbook.clients.api_client import Account, ApiClient, ApiUnavailableError
from crossbook.twin import Twin
from tests.acceptance.market import Market
from tests.acceptance.trader import written
from tests.eventually import eventually

USUAL_TERMS: Final[dict[str, Any]] = {
    "base_decimals": 8,
    "quote_decimals": 6,
    "tick_size": "0.01",
    "lot_size": "0.0001",
    "min_quantity": "0.0001",
    "max_quantity": "1000",
    "min_notional": "1",
    "maker_fee_bps": 0,
    "taker_fee_bps": 0,
    "band_bps": 2_000,
    "reference_price": "100",
}
"""Small round numbers: trades near 100, a band from 80 to 120 around the last one, and fees only where they matter."""


class Exchange:
    """Entry to one running exchange, by its URLs alone. `operator` is logged in."""

    def __init__(self, api: ApiClient, operator: Account, websocket_url: str) -> None:
        self.api = api
        self.operator = operator
        self.websocket_url = websocket_url
        self._run = secrets.token_hex(3)
        self._password = f"Crossbook-{secrets.token_hex(8)}-1"
        self._numbers = itertools.count(1)

    async def sign_up(self, name: str) -> Account:
        """A new user, logged in. Several may bear one name: what he is called inside is nobody else's."""
        username = f"{name.replace('_', '-')}-{self._run}-{next(self._numbers)}"
        await eventually_answered(self.api.sign_up, username, self._password)
        account: Account = await eventually_answered(self.api.log_in, username, self._password)
        return account

    async def list_market(self, **terms: Any) -> Market:
        """A new instrument of two new assets; `terms` in human units where they differ from the usual ones."""
        number = next(self._numbers)
        base, quote = f"B{number:04d}{self._run[:4].upper()}", f"Q{number:04d}{self._run[:4].upper()}"
        names = {"symbol": base + quote, "base": base, "quote": quote}
        listing = USUAL_TERMS | names | {name: written(value) for name, value in terms.items()}
        await eventually_answered(self.operator.call, "POST", "/api/v1/admin/instruments", listing)
        market = Market(self, listing)
        await eventually(market.is_listed, timeout_s=30)
        return market

    async def bring_in(self, account: Account, **amounts: Decimal | int | str) -> None:
        """Deposit, and wait until it shows."""
        for asset, amount in amounts.items():
            transfer_id = f"{account.username}-{next(self._numbers)}"
            await eventually_answered(
                self.operator.deposit,
                user_id=account.user_id,
                asset=asset,
                amount=str(amount),
                transfer_id=transfer_id,
            )

        async def has_come() -> bool:
            return amounts.keys() <= (await account.available()).keys()

        await eventually(has_come, timeout_s=30)


@asynccontextmanager
async def entered(twin: Twin) -> AsyncIterator[Exchange]:
    """The exchange of a twin."""
    async with ApiClient(twin.gateway_url, connections_max=0) as api:
        operator = await api.log_in(twin.operator, twin.password)
        yield Exchange(api, operator, twin.websocket_url)


async def eventually_answered(call: Any, *arguments: Any, **named: Any) -> Any:
    """Ask until there is an answer: what is asked here may be asked again."""

    async def attempt() -> tuple[Any]:
        try:
            return (await call(*arguments, **named),)
        except ApiUnavailableError as error:
            raise AssertionError(str(error)) from error

    (answer,) = await eventually(attempt, timeout_s=30)
    return answer
