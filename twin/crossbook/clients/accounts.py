"""Users of one run alone, made and funded through the public API: whoever drives the exchange trades with these."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from crossbook.clients.api_client import Account, ApiClient
from crossbook.clients.patience import Patience
from crossbook.errors import TwinError

FUNDS_TIMEOUT_S: Final = 60.0
FUNDS_POLL_S: Final = 0.2


async def make_accounts(api: ApiClient, patience: Patience, run: str, count: int) -> list[Account]:
    """`count` new users named after the run, logged in. Their password is forgotten with it."""
    password = f"Crossbook-{secrets.token_urlsafe(18)}-1"
    accounts = []
    for number in range(count):
        username = f"{run}-{number + 1:02d}"
        await patience.insist(partial(api.sign_up, username, password))
        accounts.append(await patience.insist(partial(api.log_in, username, password)))
    return accounts


async def wait_funded(patience: Patience, account: Account, asset: str, amount: Decimal) -> None:
    """Until at least so much of the asset can be used; raises TwinError after FUNDS_TIMEOUT_S."""
    try:
        async with asyncio.timeout(FUNDS_TIMEOUT_S):
            while (await patience.insist(account.available)).get(asset, Decimal(0)) < amount:
                await asyncio.sleep(FUNDS_POLL_S)
    except TimeoutError:
        raise TwinError(f"the deposit of {account.username} did not show within {FUNDS_TIMEOUT_S:.0f} s") from None


async def fund(
    patience: Patience, operator: Account, accounts: Sequence[Account], funds: Mapping[str, Decimal]
) -> None:
    """Give each account the same, asset by asset, and wait until it shows. Once for an account."""
    for account in accounts:
        for asset, amount in funds.items():
            deposit = partial(operator.deposit, user_id=account.user_id, asset=asset, amount=format(amount, "f"))
            await patience.insist(partial(deposit, transfer_id=f"{account.username}-{asset}"))
    for account in accounts:
        for asset, amount in funds.items():
            await wait_funded(patience, account, asset, amount)
