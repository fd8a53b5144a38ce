"""Journal, wallets and small tables against an emulated DynamoDB."""

import asyncio
import inspect
from types import SimpleNamespace
from uuid import uuid4

import pytest

from exchange_adapters import aws
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.dynamodb_tables import DynamoConnections, DynamoLeases, DynamoSessions
from exchange_adapters.dynamodb_wallets import DynamoWalletHolds, DynamoWalletSettlement
from exchange_core.errors import Ambiguous, Fatal, Unavailable
from exchange_core.ports import AlreadySettledError, HoldRefusedError, Intent, Session, SlotTakenError, Wallet
from exchange_core.topology import INTENT_TTL_S, Topology
from tests.integration.conftest import ProxiedClients
from tests.integration.dropping_proxy import Cut

CREATED_AT_MS = 4_102_444_800_000
"""In the year 2100: what has expired is dropped, by the emulator within a minute."""


def fresh(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


def fresh_partition() -> int:
    return uuid4().int % 1_000_000


def intent(user_id: str, order_id: int, **changes: object) -> Intent:
    fields: dict[str, object] = {
        "user_id": user_id,
        "order_id": order_id,
        "client_order_id": None,
        "body_digest": "digest",
        "partition": 0,
        "group": "BTCUSDT",
        "command": '{"v":1,"commands":[]}',
        "created_at_ms": CREATED_AT_MS,
    }
    return Intent(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def journal(clients: SimpleNamespace, topology: Topology) -> DynamoJournal:
    return DynamoJournal(clients.dynamodb, topology)


@pytest.fixture
def holds(clients: SimpleNamespace, topology: Topology) -> DynamoWalletHolds:
    return DynamoWalletHolds(clients.dynamodb, topology)


@pytest.fixture
def settlement(clients: SimpleNamespace, topology: Topology) -> DynamoWalletSettlement:
    return DynamoWalletSettlement(clients.dynamodb, topology)


# --- journal


async def test_a_slot_is_written_once(journal: DynamoJournal) -> None:
    partition = fresh_partition()
    await journal.put(partition, 1, b"first")
    with pytest.raises(SlotTakenError):
        await journal.put(partition, 1, b"second")
    assert await journal.read(partition, 0, 10) == [(1, b"first")]


async def test_of_two_matchers_at_one_slot_exactly_one_wins(journal: DynamoJournal) -> None:
    partition = fresh_partition()
    writers = [f"writer-{n}".encode() for n in range(8)]
    outcomes = await asyncio.gather(*(journal.put(partition, 1, writer) for writer in writers), return_exceptions=True)
    winners = [writer for writer, outcome in zip(writers, outcomes, strict=True) if outcome is None]
    assert len(winners) == 1
    assert sum(isinstance(outcome, SlotTakenError) for outcome in outcomes) == 7
    assert await journal.read(partition, 0, 1) == [(1, winners[0])]


async def test_slots_are_read_in_order_over_many_pages(journal: DynamoJournal) -> None:
    partition, data = fresh_partition(), bytes(290_000)
    for n in range(1, 13):
        await journal.put(partition, n, data)
    assert [n for n, _ in await journal.read(partition, 0, 100)] == list(range(1, 13))
    assert [n for n, _ in await journal.read(partition, 9, 2)] == [10, 11]
    assert await journal.read(partition, 12, 100) == []


async def test_a_put_that_breaks_off_is_ambiguous_and_a_read_settles_it(
    proxied_clients: ProxiedClients, topology: Topology, journal: DynamoJournal
) -> None:
    partition = fresh_partition()
    async with proxied_clients("dynamodb") as (proxy, through_proxy):
        broken = DynamoJournal(through_proxy.dynamodb, topology)
        for n, cut, is_there in ((1, Cut.BEFORE_ANSWERING, True), (2, Cut.BEFORE_SENDING, False)):
            proxy.cut = cut
            with pytest.raises(Ambiguous):
                await broken.put(partition, n, b"data")
            proxy.cut = Cut.NOWHERE
            assert bool(await broken.read(partition, n - 1, 1)) is is_there
    assert await journal.read(partition, 0, 10) == [(1, b"data")]


async def test_an_answer_that_never_comes_is_ambiguous_for_a_put_and_unavailable_for_a_read(
    proxied_clients: ProxiedClients, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = fresh_partition()
    for bounded in (aws.writing, aws.reading):
        monkeypatch.setattr(inspect.unwrap(bounded), "__defaults__", (0.2,))
    async with proxied_clients("dynamodb") as (proxy, through_proxy):
        broken = DynamoJournal(through_proxy.dynamodb, topology)
        proxy.cut = Cut.SILENCE
        with pytest.raises(Ambiguous):
            await broken.put(partition, 1, b"data")
        with pytest.raises(Unavailable):
            await broken.read(partition, 0, 1)


async def test_a_store_that_is_not_there_is_unavailable(proxied_clients: ProxiedClients, topology: Topology) -> None:
    async with proxied_clients("dynamodb") as (proxy, through_proxy):
        await proxy.close()
        with pytest.raises(Unavailable):
            await DynamoJournal(through_proxy.dynamodb, topology).put(0, 1, b"")


async def test_a_missing_table_is_fatal(clients: SimpleNamespace) -> None:
    with pytest.raises(Fatal):
        await DynamoJournal(clients.dynamodb, Topology(prefix="nobody")).put(0, 1, b"")


# --- wallets and intents


async def test_settlement_creates_a_wallet_and_a_hold_moves_units(
    holds: DynamoWalletHolds, settlement: DynamoWalletSettlement
) -> None:
    user = fresh("alice")
    await settlement.settle(user, "USDT", 1, first=1, last=4, available=100, held=0)
    await holds.commit({(user, "USDT"): 30}, [])
    await settlement.settle(user, "BTC", 0, first=1, last=1, available=2**62, held=0)
    assert await holds.balances(user) == [
        Wallet(user_id=user, asset="BTC", available=2**62, held=0, applied={0: 1}),
        Wallet(user_id=user, asset="USDT", available=70, held=30, applied={1: 4}),
    ]


async def test_settlement_is_idempotent_and_tells_how_far_it_was(
    holds: DynamoWalletHolds, settlement: DynamoWalletSettlement
) -> None:
    user = fresh("alice")
    await settlement.settle(user, "USDT", 0, first=1, last=4, available=100, held=0)
    with pytest.raises(AlreadySettledError) as caught:
        await settlement.settle(user, "USDT", 0, first=3, last=6, available=50, held=0)
    assert caught.value.applied == 4
    await settlement.settle(user, "USDT", 0, first=5, last=6, available=-40, held=40)
    await settlement.settle(user, "USDT", 1, first=1, last=1, available=1, held=0)
    (wallet,) = await holds.balances(user)
    assert (wallet.available, wallet.held, wallet.applied) == (61, 40, {0: 6, 1: 1})


async def test_a_settlement_that_broke_off_is_repeated_without_harm(
    proxied_clients: ProxiedClients, topology: Topology, holds: DynamoWalletHolds
) -> None:
    user = fresh("alice")
    async with proxied_clients("dynamodb") as (proxy, through_proxy):
        broken = DynamoWalletSettlement(through_proxy.dynamodb, topology)
        proxy.cut = Cut.BEFORE_ANSWERING
        with pytest.raises(Ambiguous):
            await broken.settle(user, "USDT", 0, first=1, last=4, available=100, held=0)
        proxy.cut = Cut.NOWHERE
        with pytest.raises(AlreadySettledError) as caught:
            await broken.settle(user, "USDT", 0, first=1, last=4, available=100, held=0)
    assert caught.value.applied == 4
    assert [wallet.available for wallet in await holds.balances(user)] == [100]


async def test_a_transaction_that_is_refused_in_part_does_nothing_and_says_who_refused(
    holds: DynamoWalletHolds, settlement: DynamoWalletSettlement
) -> None:
    alice, bob, carol = fresh("alice"), fresh("bob"), fresh("carol")
    await settlement.settle(alice, "USDT", 0, first=1, last=1, available=100, held=0)
    await settlement.settle(bob, "USDT", 0, first=1, last=1, available=9, held=0)
    await holds.commit({}, [intent(alice, 1, client_order_id="mine")])

    with pytest.raises(HoldRefusedError) as caught:
        await holds.commit(
            {(alice, "USDT"): 50, (bob, "USDT"): 10, (carol, "USDT"): 1},
            [intent(alice, 2, client_order_id="mine"), intent(bob, 3)],
        )

    assert caught.value.short == {(bob, "USDT"): 9, (carol, "USDT"): 0}
    assert caught.value.taken == frozenset({(alice, "mine")})
    assert [(wallet.available, wallet.held) for wallet in await holds.balances(alice)] == [(100, 0)]
    assert await holds.balances(carol) == []
    assert await holds.intent(bob, 3) is None


async def test_a_hold_of_zero_needs_no_wallet(holds: DynamoWalletHolds) -> None:
    user = fresh("alice")
    await holds.commit({(user, "USDT"): 0}, [intent(user, 1)])
    await holds.commit({(user, "USDT"): 0}, [])
    assert await holds.intent(user, 1) == intent(user, 1)
    assert await holds.balances(user) == []


async def test_concurrent_holds_never_take_more_than_there_is(
    holds: DynamoWalletHolds, settlement: DynamoWalletSettlement
) -> None:
    user = fresh("alice")
    await settlement.settle(user, "USDT", 0, first=1, last=1, available=55, held=0)
    outcomes = await asyncio.gather(*(holds.commit({(user, "USDT"): 10}, []) for _ in range(8)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 5
    assert [(wallet.available, wallet.held) for wallet in await holds.balances(user)] == [(5, 50)]


async def test_an_intent_is_found_by_both_its_ids(holds: DynamoWalletHolds) -> None:
    user = fresh("alice")
    stored = intent(user, 2**63 - 1, client_order_id="mine/1#ü", partition=1)
    await holds.commit({}, [stored])
    assert await holds.intent(user, stored.order_id) == stored
    assert await holds.intent_by_client_id(user, "mine/1#ü") == stored
    assert await holds.intent(fresh("bob"), stored.order_id) is None
    assert await holds.intent_by_client_id(user, "other") is None


async def test_a_commit_that_broke_off_stays_ambiguous_when_repeated_and_is_done_once(
    proxied_clients: ProxiedClients,
    topology: Topology,
    holds: DynamoWalletHolds,
    settlement: DynamoWalletSettlement,
) -> None:
    user = fresh("alice")
    await settlement.settle(user, "USDT", 0, first=1, last=1, available=100, held=0)
    order = intent(user, 1, client_order_id="mine")
    async with proxied_clients("dynamodb") as (proxy, through_proxy):
        broken = DynamoWalletHolds(through_proxy.dynamodb, topology)
        proxy.cut = Cut.BEFORE_ANSWERING
        with pytest.raises(Ambiguous):
            await broken.commit({(user, "USDT"): 40}, [order])
        proxy.cut = Cut.NOWHERE
        with pytest.raises(Ambiguous):
            await broken.commit({(user, "USDT"): 40}, [order])
    assert await holds.intent(user, 1) == order
    assert [(wallet.available, wallet.held) for wallet in await holds.balances(user)] == [(60, 40)]


async def test_pending_intents_stand_oldest_first_until_they_are_seen(
    holds: DynamoWalletHolds, settlement: DynamoWalletSettlement
) -> None:
    user, partition = fresh("alice"), fresh_partition()
    order_ids = [9, 10, 11, 1_000_000]
    for age, order_id in enumerate(reversed(order_ids)):
        created_at_ms = CREATED_AT_MS - 1_000 * age
        await holds.commit({}, [intent(user, order_id, partition=partition, created_at_ms=created_at_ms)])

    async def pending(created_before_ms: int, limit: int) -> list[int]:
        return [found.order_id for found in await holds.pending(partition, created_before_ms, limit)]

    assert await pending(CREATED_AT_MS + 1, 100) == order_ids
    assert await pending(CREATED_AT_MS + 1, 2) == [9, 10]
    assert await pending(CREATED_AT_MS - 1_000, 100) == [9, 10]
    assert await pending(CREATED_AT_MS - 9_000, 1) == []
    await settlement.mark_seen(partition, [9, 11, 11, 777, *range(2_000, 2_060)])
    assert await pending(CREATED_AT_MS + 1, 100) == [10, 1_000_000]
    assert await holds.intent(user, 9) is not None, "only the pending item goes"


async def test_intents_expire_but_never_while_they_are_pending(
    clients: SimpleNamespace, topology: Topology, holds: DynamoWalletHolds
) -> None:
    user, partition = fresh("alice"), fresh_partition()
    await holds.commit({}, [intent(user, 1, client_order_id="mine", partition=partition)])
    items = [(user, "order#1"), (user, "client#mine"), (f"pending#{partition}#1", f"{1:019d}")]
    expiries = []
    for owner, item in items:
        response = await clients.dynamodb.get_item(
            TableName=topology.intents.name, Key={"owner": {"S": owner}, "item": {"S": item}}
        )
        expiries.append(response["Item"].get("expires_at"))
    expiry = {"N": str(CREATED_AT_MS // 1000 + INTENT_TTL_S)}
    assert expiries == [expiry, expiry, None]


async def test_an_operators_intent_is_kept_for_ever(
    clients: SimpleNamespace, topology: Topology, holds: DynamoWalletHolds
) -> None:
    partition = fresh_partition()
    owner, kept = fresh("$CASH"), {"client_order_id": "transfer-1", "partition": partition, "is_kept": True}
    await holds.commit({}, [intent(owner, 1, **kept)])
    for item in ("order#1", "client#transfer-1"):
        key = {"owner": {"S": owner}, "item": {"S": item}}
        assert "expires_at" not in (await clients.dynamodb.get_item(TableName=topology.intents.name, Key=key))["Item"]
    assert await holds.intent_by_client_id(owner, "transfer-1") == intent(owner, 1, **kept)


# --- leases, sessions, connections


async def test_a_lease_is_taken_kept_and_passed_on(clients: SimpleNamespace, topology: Topology) -> None:
    leases, name = DynamoLeases(clients.dynamodb, topology), fresh("lease")
    assert await leases.holder(name) is None
    assert await leases.acquire(name, "one", 1_000, 500)
    assert not await leases.acquire(name, "two", 1_499, 500)
    assert await leases.acquire(name, "one", 1_400, 500)
    assert not await leases.acquire(name, "two", 1_899, 500)
    assert await leases.acquire(name, "two", 1_900, 500), "it has run out"
    assert await leases.holder(name) == ("two", 2_400)
    await leases.release(name, "one")
    assert await leases.holder(name) == ("two", 2_400), "not the holder's release"
    await leases.release(name, "two")
    assert await leases.holder(name) is None
    await leases.release(name, "two")


async def test_of_many_that_want_a_lease_one_gets_it(clients: SimpleNamespace, topology: Topology) -> None:
    leases, name = DynamoLeases(clients.dynamodb, topology), fresh("lease")
    taken = await asyncio.gather(*(leases.acquire(name, f"owner-{n}", 1_000, 500) for n in range(8)))
    assert sum(taken) == 1


async def test_a_revoked_session_stays_revoked(clients: SimpleNamespace, topology: Topology) -> None:
    sessions, session_id = DynamoSessions(clients.dynamodb, topology), fresh("session")
    session = Session(session_id=session_id, user_id="alice", created_at_ms=1, expires_at_ms=CREATED_AT_MS + 1)
    assert await sessions.get(session_id) is None
    await sessions.revoke(session_id)
    assert await sessions.get(session_id) is None
    await sessions.put(session)
    await sessions.put(session)
    assert await sessions.get(session_id) == session
    await sessions.revoke(session_id)
    await sessions.put(session)
    revoked = await sessions.get(session_id)
    assert revoked is not None and revoked.is_revoked


async def test_a_connection_is_recorded_until_it_is_deleted(clients: SimpleNamespace, topology: Topology) -> None:
    connections, connection_id = DynamoConnections(clients.dynamodb, topology), fresh("connection")

    async def stored() -> object:
        response = await clients.dynamodb.get_item(
            TableName=topology.connections.name, Key={"connection_id": {"S": connection_id}}
        )
        return response.get("Item")

    await connections.put(connection_id, "fanout-1", 4_102_444_800_500)
    assert await stored() == {
        "connection_id": {"S": connection_id},
        "node": {"S": "fanout-1"},
        "expires_at": {"N": "4102444801"},
    }
    await connections.delete(connection_id)
    await connections.delete(connection_id)
    assert await stored() is None
