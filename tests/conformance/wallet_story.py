"""How the tests of wallets give a user funds and make intents."""

import hashlib
import itertools

from exchange_core.errors import Conflict
from exchange_core.ports import HoldRefusedError, Intent, Wallet
from tests.conformance.world import World

_order_ids = itertools.count(7_000_000_000_000_000)
BORN_MS = 4_102_444_800_000
"""2100-01-01: a store that keeps times to live must not forget an intent amid a test."""
ATTEMPTS = 50


async def fund(world: World, user_id: str, asset: str, units: int) -> None:
    """Settle a deposit, on a partition that the tests use for nothing else."""
    await world.settlement.settle(user_id, asset, 1_000, first=1, last=1, available=units, held=0)


def make_intent(user_id: str, *, partition: int = 0, client_order_id: str | None = None, created_at_ms: int = BORN_MS):
    """An intent with an order id of its own; later ones have larger ids."""
    order_id = next(_order_ids)
    return Intent(
        user_id=user_id,
        order_id=order_id,
        client_order_id=client_order_id,
        body_digest=hashlib.sha256(str(order_id).encode()).hexdigest(),
        partition=partition,
        group="BTCUSDT",
        command=f'{{"v": 1, "commands": [["place", {{"order_id": {order_id}}}]]}}',
        created_at_ms=created_at_ms,
    )


async def pockets(world: World, user_id: str) -> dict[str, tuple[int, int]]:
    """asset → (available, held)"""
    wallets: list[Wallet] = list(await world.holds.balances(user_id))
    return {wallet.asset: (wallet.available, wallet.held) for wallet in wallets}


async def commit_through_conflicts(world: World, holds: dict[tuple[str, str], int], intents: list[Intent]) -> None:
    """Commit; where a store refuses concurrent transactions, try again as the gateway does."""
    for _ in range(ATTEMPTS):
        try:
            await world.holds.commit(holds, intents)
        except HoldRefusedError:
            raise
        except Conflict:
            continue
        return
    raise AssertionError("every attempt collided")
