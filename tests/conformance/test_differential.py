"""The same random calls on an implementation and on a fresh simulation must come to the same: what the scenarios of
the other files did not think of.

What is compared is what the ports promise: which messages are handed out (while fewer wait than one call gives) and
their order within a group, but not the order of groups; every refusal with its details; all balances.
"""

from collections import defaultdict
from random import Random
from typing import Any

import pytest

from exchange_core.errors import PortError
from exchange_core.ports import AlreadySettledError, CommandMessage, HoldRefusedError, Intent
from tests.conformance.wallet_story import BORN_MS
from tests.conformance.world import World, open_simulated

SEEDS = range(6)
GROUPS = ("BTCUSDT", "ETHUSDT", "BTCUSD")
MAX_WAITING = 10


class QueuePlayer:
    """Plays one queue by index, so that two implementations can be told the same."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._partition = world.partition()
        self._receipts: dict[str, str] = {}

    async def send(self, wishes: list[tuple[str, str, str]]) -> None:
        await self._world.command_sink.send(
            self._partition,
            [
                CommandMessage(partition=self._partition, group=group, dedup_id=dedup_id, body=body)
                for group, dedup_id, body in wishes
            ],
        )

    async def receive(self) -> dict[str, list[tuple[str, int]]]:
        by_group: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for delivery in await self._world.command_source.receive(self._partition, 0):
            by_group[delivery.group].append((delivery.body, delivery.receive_count))
            self._receipts[delivery.body] = delivery.receipt
        return dict(by_group)

    async def delete(self, bodies: list[str]) -> None:
        await self._world.command_source.delete(self._partition, [self._receipts.pop(body) for body in bodies])

    @property
    def in_flight(self) -> list[str]:
        return sorted(self._receipts)


@pytest.mark.parametrize("seed", SEEDS)
async def test_queues_hand_out_the_same_messages(world, seed):
    source = Random(seed)
    async with open_simulated() as simulated:
        real, model = QueuePlayer(world), QueuePlayer(simulated)
        waiting, sent = 0, 0
        for _ in range(60):
            action = source.choice(("send", "receive", "delete"))
            if action == "send" and waiting < MAX_WAITING:
                groups = source.sample(GROUPS, source.randint(1, min(len(GROUPS), MAX_WAITING - waiting)))
                wishes = []
                for group in groups:
                    is_repeat = sent > 0 and source.random() < 0.3
                    number = source.randint(1, sent) if is_repeat else (sent := sent + 1)
                    wishes.append((group, f"{number}", f"{group}/{number}"))
                waiting += len(groups)  # at most: repeats are dropped
                for player in (real, model):
                    await player.send(wishes)
            elif action == "receive":
                assert await real.receive() == await model.receive()
            elif action == "delete" and model.in_flight:
                bodies = source.sample(model.in_flight, source.randint(1, min(10, len(model.in_flight))))
                waiting -= len(bodies)
                for player in (real, model):
                    await player.delete(bodies)
        assert real.in_flight == model.in_flight


class WalletPlayer:
    """Plays wallets and intents under names of its own, and tells outcomes by the shared ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._partition = world.partition()
        self._base = f"differential-{world.partition()}"
        self._order_base = 8_000_000_000_000_000 + self._partition * 100_000

    async def commit(self, holds: dict[tuple[str, str], int], wishes: list[tuple[str, int, str | None]]) -> Any:
        return await self._outcome(
            self._world.holds.commit(
                {(self._name(user), asset): units for (user, asset), units in holds.items()},
                [self._intent(*wish) for wish in wishes],
            )
        )

    async def settle(self, user: str, asset: str, first: int, last: int, available: int, held: int) -> Any:
        return await self._outcome(
            self._world.settlement.settle(
                self._name(user),
                asset,
                self._partition,
                first=first,
                last=last,
                available=available,
                held=held,
            )
        )

    async def mark_seen(self, numbers: list[int]) -> None:
        await self._world.settlement.mark_seen(self._partition, [self._order_base + number for number in numbers])

    async def state(self, users: tuple[str, ...]) -> Any:
        """All balances, with the slots applied, and all pending orders."""
        wallets = {
            user: [
                (wallet.asset, wallet.available, wallet.held, wallet.applied.get(self._partition))
                for wallet in await self._world.holds.balances(self._name(user))
            ]
            for user in users
        }
        pending = await self._world.holds.pending(self._partition, BORN_MS + 10_000, 1_000)
        return wallets, [one.order_id - self._order_base for one in pending]

    async def _outcome(self, call: Any) -> Any:
        try:
            await call
        except HoldRefusedError as refusal:
            short = {(user.removeprefix(self._base), asset): units for (user, asset), units in refusal.short.items()}
            return "refused", short, {(user.removeprefix(self._base), name) for user, name in refusal.taken}
        except AlreadySettledError as refusal:
            return "settled", refusal.applied
        except PortError as error:
            return type(error).__name__
        return "done"

    def _name(self, user: str) -> str:
        return f"{self._base}{user}"

    def _intent(self, user: str, number: int, client_order_id: str | None) -> Intent:
        return Intent(
            user_id=self._name(user),
            order_id=self._order_base + number,
            client_order_id=client_order_id,
            body_digest="digest",
            partition=self._partition,
            group="BTCUSDT",
            command="{}",
            created_at_ms=BORN_MS + number,
        )


def new_wish(source: Random, user: str, number: int) -> tuple[str, int, str | None]:
    """A user, an order number of its own, and a client id that may have been used."""
    return user, number, source.choice((None, "a", "b", f"{number}"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_wallets_come_to_the_same_balances_and_refusals(world, seed):
    source, users, assets = Random(seed), ("alice", "bob"), ("BTC", "USDT")
    outcomes: dict[str, int] = defaultdict(int)
    async with open_simulated() as simulated:
        real, model = WalletPlayer(world), WalletPlayer(simulated)
        slot = 0
        entered: list[tuple[str, int, str | None]] = []
        for _ in range(60):
            action = source.choice(("commit", "commit", "settle", "mark_seen"))
            if action == "commit":
                wallets = [(user, asset) for user in users for asset in assets]
                chosen = source.sample(wallets, source.randint(0, 3))
                holds = {key: source.randint(0, 60) for key in chosen}
                wishes = []
                for user in source.sample(users, source.randint(1, 2)):
                    is_repeat = bool(entered) and source.random() < 0.1
                    wish = source.choice(entered) if is_repeat else new_wish(source, user, len(entered) + 1)
                    if wish not in wishes:
                        wishes.append(wish)
                    if not is_repeat:
                        entered.append(wish)
                arguments = (holds, wishes)
                real_outcome, outcome = await real.commit(*arguments), await model.commit(*arguments)
            elif action == "settle":
                first = max(1, slot + source.randint(-2, 1))
                slot = max(slot, first + source.randint(0, 2))
                user, asset = source.choice(users), source.choice(assets)
                arguments = (user, asset, first, slot, source.randint(0, 200), 0)
                real_outcome, outcome = await real.settle(*arguments), await model.settle(*arguments)
            else:
                seen = [source.randint(0, len(entered) + 1) for _ in range(3)]
                await real.mark_seen(seen)
                await model.mark_seen(seen)
                real_outcome = outcome = "done"
            assert real_outcome == outcome, f"{action} of {arguments}"
            outcomes[outcome if isinstance(outcome, str) else outcome[0]] += 1
            assert await real.state(users) == await model.state(users)
    assert outcomes["done"] and outcomes["refused"] and outcomes["settled"], dict(outcomes)
