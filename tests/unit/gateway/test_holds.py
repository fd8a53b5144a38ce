"""Group commit of holds: who is admitted when many ask at once, and what is said when an attempt breaks off."""

import asyncio
from random import Random
from typing import Any

import pytest

from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.sim import Faults, Gate, SimWallets
from exchange_core.errors import Unavailable
from exchange_core.ports import Intent
from exchange_gateway.trading import holds as module
from exchange_gateway.trading.holds import (
    Admitted,
    ClientIdTaken,
    FundsShort,
    HoldDesk,
    HoldRequest,
    OutcomeUnknown,
    Repeated,
)


async def funded(faults: Faults, *users: str, amount: int = 100) -> SimWallets:
    wallets = SimWallets(faults=faults)
    for user in users:
        await wallets.settle(user, "USD", 0, first=1, last=1, available=amount, held=0)
    faults.calls.clear()
    return wallets


def request(number: int, amount: int = 10, *, user: str = "alice", client_id: str | None = None, body: str = "") -> Any:
    intent = Intent(
        user_id=user,
        order_id=number,
        client_order_id=client_id,
        body_digest=body,
        partition=0,
        group="BTCUSD",
        command="{}",
        created_at_ms=0,
    )
    return HoldRequest(intent=intent, asset="USD", amount=amount)


async def take_together(wallets: SimWallets, requests: list[HoldRequest], **options: Any) -> list[Any]:
    """Submit all while nothing is being written, so that they form as few transactions as may be."""
    async with HoldDesk(wallets, Random(1), waiting_max=options.get("waiting_max", 1_000)) as desk:
        return await asyncio.gather(*(desk.take(one) for one in requests), return_exceptions=True)


async def held(wallets: SimWallets, user: str = "alice") -> tuple[int, int]:
    (wallet,) = await wallets.balances(user)
    return wallet.available, wallet.held


async def test_many_orders_of_many_users_are_one_transaction() -> None:
    faults = Faults()
    wallets = await funded(faults, "alice", "bob")
    requests = [
        request(number, 1, user="alice" if number % 2 else "bob", client_id=f"c{number}") for number in range(30)
    ]
    assert await take_together(wallets, requests) == [Admitted()] * 30
    assert faults.calls["wallets.commit"] == 1
    assert await held(wallets) == (85, 15)


async def test_a_transaction_never_outgrows_its_limit() -> None:
    """GIVEN every order with a wallet of its own (4 items each) THEN the group is cut so that each piece fits."""
    users = [f"user-{number:03}" for number in range(120)]
    faults = Faults()
    wallets = await funded(faults, *users)
    requests = [request(number, 1, user=user, client_id="c") for number, user in enumerate(users)]
    assert await take_together(wallets, requests) == [Admitted()] * 120
    assert faults.calls["wallets.commit"] >= 5


async def test_a_short_wallet_admits_in_order_of_arrival_what_it_covers() -> None:
    wallets = await funded(Faults(), "alice", "bob")
    requests = [
        request(1, 60),
        request(2, 50),
        request(3, 40),
        request(4, 1),
        request(5, 100, user="bob"),
        request(6, 1, user="carol"),
    ]
    verdicts = await take_together(wallets, requests)
    short = FundsShort(available=100)
    assert verdicts == [Admitted(), short, Admitted(), short, Admitted(), FundsShort(available=0)]
    assert await held(wallets) == (0, 100)


async def test_a_taken_client_id_is_a_repeat_or_a_clash() -> None:
    wallets = await funded(Faults(), "alice")
    assert await take_together(wallets, [request(1, client_id="a", body="x")]) == [Admitted()]
    again, other, fresh = await take_together(
        wallets,
        [
            request(2, client_id="a", body="x"),
            request(3, client_id="a", body="y"),
            request(4, client_id="b", body="x"),
        ],
    )
    assert isinstance(again, Repeated) and again.intent.order_id == 1
    assert (other, fresh) == (ClientIdTaken(), Admitted())
    assert await held(wallets) == (80, 20)


async def test_the_same_client_id_twice_in_one_group() -> None:
    wallets = await funded(Faults(), "alice")
    first, again, other = await take_together(
        wallets,
        [
            request(1, client_id="a", body="x"),
            request(2, client_id="a", body="x"),
            request(3, client_id="a", body="y"),
        ],
    )
    assert first == Admitted()
    assert isinstance(again, Repeated) and again.intent.order_id == 1
    assert other == ClientIdTaken()
    assert await held(wallets) == (90, 10)


@pytest.mark.parametrize("fault", ["conflict", "throttled", "before", "lost", "after"])
async def test_a_fault_is_tried_again_and_holds_once(fault: str) -> None:
    faults = Faults()
    wallets = await funded(faults, "alice")
    faults.script("wallets.commit", [fault, None])
    requests = [request(number, client_id=f"c{number}") for number in range(3)]
    assert await take_together(wallets, requests) == [Admitted()] * 3
    assert await held(wallets) == (70, 30)


async def test_an_attempt_that_broke_off_is_not_told_as_a_refusal() -> None:
    """GIVEN an attempt whose answer is lost, and which may still take place WHEN funds are short at the next one THEN
    the order is neither promised nor refused."""
    faults = Faults()
    wallets = await funded(faults, "alice")
    faults.script("wallets.commit", ["lost"])
    assert await take_together(wallets, [request(1, 60), request(2, 60)]) == [Admitted(), OutcomeUnknown()]


async def test_an_attempt_that_took_place_after_all_is_found_by_one_intent() -> None:
    faults = Faults()
    wallets = await funded(faults, "alice")
    faults.script("wallets.commit", ["after"])
    faults.script("wallets.intent", ["before", "before"])
    assert await take_together(wallets, [request(1, 60), request(2, 40)]) == [Admitted(), Admitted()]
    assert await held(wallets) == (0, 100)
    assert faults.calls["wallets.commit"] == 1


async def test_a_store_that_stays_away_is_told_apart_from_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMIT_TIMEOUT_S", 0.05)
    faults = Faults()
    wallets = await funded(faults, "alice")
    faults.down("wallets")
    (away,) = await take_together(wallets, [request(1)])
    assert isinstance(away, Unavailable)
    faults.up("wallets")
    faults.script("wallets.commit", ["after"])
    faults.script("wallets.intent", ["before"] * 100)
    assert await take_together(wallets, [request(2)]) == [OutcomeUnknown()]
    assert await held(wallets) == (90, 10), "it did take place: the sweeper will send it"


async def test_more_than_may_wait_is_refused_at_the_door() -> None:
    faults = Faults()
    wallets = await funded(faults, "alice")
    gate = Gate()
    faults.script("wallets.commit", [gate])
    async with HoldDesk(wallets, Random(1), waiting_max=2) as desk:
        tasks = [asyncio.create_task(desk.take(request(1)))]
        await gate.reached.wait()
        tasks += [asyncio.create_task(desk.take(request(number))) for number in (2, 3, 4)]
        refused = await asyncio.gather(tasks.pop(), return_exceptions=True)
        assert isinstance(refused[0], QueueFullError)
        gate.open.set()
        assert await asyncio.gather(*tasks) == [Admitted()] * 3
