"""The demo data of a twin: users by Cognito's admin calls, all the rest through the gateway's public API.

Everything here may be done again: a start that breaks off in the middle is finished by the next one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from crossbook.bootstrap import OPERATORS_GROUP, Cloud, UserPool
from crossbook.clients.api_client import Account, ApiClient, ApiProblemError, ApiUnavailableError
from crossbook.demo import FUNDS, INSTRUMENTS, OPERATOR, PASSWORD, USERS
from crossbook.errors import SeedError

RETRY_S: Final = 0.1
TIMEOUT_S: Final = 30.0

Answer = TypeVar("Answer")


async def create_users(cloud: Cloud, pool: UserPool) -> None:
    """The demo users and the operator, confirmed, with the demo password."""
    async with asyncio.TaskGroup() as group:
        for username in (*USERS, OPERATOR):
            group.create_task(_create_user(cloud, pool, username))


async def seed(gateway_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """List the instruments, fund the users, and return when all balances show. Raises SeedError."""
    try:
        async with asyncio.timeout(timeout_s), ApiClient(gateway_url) as api:
            operator = await _persist(api.log_in, OPERATOR, PASSWORD)
            listings = (
                _persist(operator.call, "POST", "/api/v1/admin/instruments", listing) for listing in INSTRUMENTS
            )
            await asyncio.gather(*listings)
            await _until(lambda: _are_listed(api))
            await asyncio.gather(*(_fund(api, operator, username) for username in USERS))
    except ApiProblemError as problem:
        raise SeedError(f"the exchange refused the demo data: {problem}") from problem
    except TimeoutError:
        raise SeedError(f"the exchange did not take the demo data within {timeout_s:.0f} s") from None


async def _are_listed(api: ApiClient) -> bool:
    answer = await api.call("GET", "/api/v1/instruments")
    listed = answer["instruments"] if isinstance(answer, dict) else answer
    return {listing["symbol"] for listing in INSTRUMENTS} <= {instrument["symbol"] for instrument in listed}


async def _fund(api: ApiClient, operator: Account, username: str) -> None:
    user = await _persist(api.log_in, username, PASSWORD)
    if await _persist(lambda: _is_funded(user)):
        return  # by an earlier start
    for asset, amount in FUNDS.items():
        await _persist(
            operator.deposit,
            user_id=user.user_id,
            asset=asset,
            amount=str(amount),
            transfer_id=f"seed-{user.username}-{asset}",
        )
    await _until(lambda: _is_funded(user))


async def _is_funded(user: Account) -> bool:
    return FUNDS.keys() <= (await user.available()).keys()


async def _until(is_true: Callable[[], Awaitable[bool]]) -> None:
    while not await _persist(is_true):
        await asyncio.sleep(RETRY_S)


async def _persist(call: Callable[..., Awaitable[Answer]], *arguments: Any, **named: Any) -> Answer:
    """Ask again until there is an answer: a partition may still be taken over, an order be on its way."""
    while True:
        try:
            return await call(*arguments, **named)
        except ApiUnavailableError as error:
            await asyncio.sleep(max(RETRY_S, error.retry_after_s))


async def _create_user(cloud: Cloud, pool: UserPool, username: str) -> None:
    with contextlib.suppress(cloud.cognito.exceptions.UsernameExistsException):
        await cloud.cognito.admin_create_user(
            UserPoolId=pool.user_pool_id,
            Username=username,
            UserAttributes=[
                {"Name": "email", "Value": f"{username}@example.com"},
                {"Name": "email_verified", "Value": "true"},
            ],
            MessageAction="SUPPRESS",
        )
    await cloud.cognito.admin_set_user_password(
        UserPoolId=pool.user_pool_id, Username=username, Password=PASSWORD, Permanent=True
    )
    if username == OPERATOR:
        await cloud.cognito.admin_add_user_to_group(
            UserPoolId=pool.user_pool_id, Username=username, GroupName=OPERATORS_GROUP
        )
