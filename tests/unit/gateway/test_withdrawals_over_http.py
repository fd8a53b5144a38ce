"""Withdrawals by operators over real HTTP, on simulated stores: held first, out once."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.commands import WithdrawFunds
from exchange_core.ledger import fee_account
from exchange_gateway.trading import sweeper
from tests.eventually import eventually
from tests.unit.gateway.support import Answer, Gateway, running_gateway


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def withdraw(market: Gateway, user: str = "operator", **changes: Any) -> Answer:
    body = {"user_id": "user-alice", "asset": "BTC", "amount": "1.5", "transfer_id": "w1", **changes}
    return await market.call("POST", "/api/v1/admin/withdrawals", body, user=user)


async def test_a_withdrawal_is_held_first_and_leaves_once(market: Gateway) -> None:
    await market.join("second-operator", groups=("operators",))
    answer = await withdraw(market)
    assert answer.status == 202
    assert (await market.balances("alice"))["BTC"] == (Decimal("8.5"), Decimal("1.5"))
    for _ in range(2):
        for user in ("operator", "second-operator"):
            assert (await withdraw(market, user, amount=1.50)).body == answer.body
            for changes in ({"amount": 2}, {"asset": "USDT"}, {"user_id": "user-bob"}):
                clash = await withdraw(market, user, **changes)
                assert (clash.status, clash.code) == (409, "duplicate_transfer_id")
        await market.exchange.settle()
        assert (await market.balances("alice"))["BTC"] == (Decimal("8.5"), Decimal(0))
    (intent,) = [intent for intent in market.cloud.wallets.all_intents() if intent.client_order_id == "w1"]
    assert intent.is_kept, "a transfer id is used once for ever"


async def test_a_transfer_id_is_a_deposits_or_a_withdrawals(market: Gateway) -> None:
    body = {"user_id": "user-alice", "asset": "BTC", "amount": "1.5", "transfer_id": "w1"}
    assert (await market.call("POST", "/api/v1/admin/deposits", body, user="operator")).status == 202
    assert (await withdraw(market)).code == "duplicate_transfer_id"
    await market.exchange.settle()
    assert (await market.balances("alice"))["BTC"] == (Decimal("11.5"), Decimal(0))


async def test_what_an_order_holds_cannot_be_withdrawn(market: Gateway) -> None:
    await market.place("alice", side="sell", quantity="9")
    short = await withdraw(market)
    assert (short.status, short.code, short.body["available"]) == (422, "insufficient_funds", "1")
    assert (await withdraw(market, amount=1)).status == 202, "a refusal does not use the transfer id up"
    assert (await market.balances("alice"))["BTC"] == (Decimal(0), Decimal(10))
    await market.exchange.settle()
    assert (await market.balances("alice"))["BTC"] == (Decimal(0), Decimal(9))


async def test_a_repeat_of_a_withdrawal_that_emptied_the_wallet_is_no_refusal(market: Gateway) -> None:
    answer = await withdraw(market, amount=10)
    assert answer.status == 202
    assert (await withdraw(market, amount=10)).body == answer.body
    await market.exchange.settle()
    assert (await withdraw(market, amount=10)).body == answer.body
    assert (await market.balances("alice"))["BTC"] == (Decimal(0), Decimal(0))


async def test_a_withdrawal_promised_while_the_queue_is_down_goes_out_by_itself(
    market: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_EVERY_S", 0.02)
    market.faults.down("sqs")
    assert (await withdraw(market)).status == 202
    market.faults.up("sqs")
    market.clock.advance(4_000)
    await eventually(market.exchange.settle)
    assert (await market.balances("alice"))["BTC"] == (Decimal("8.5"), Decimal(0))
    assert any(isinstance(command, WithdrawFunds) for command in market.exchange.commands)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 0}, "amount_out_of_range"),
        ({"amount": "-1"}, "amount_out_of_range"),
        ({"amount": "0.000000001"}, "amount_out_of_range"),
        ({"asset": "DOGE"}, "unknown_asset"),
        ({"user_id": fee_account(0)}, "invalid_value"),
        ({"user_id": "nobody"}, "insufficient_funds"),
        ({"note": "x"}, "unknown_field"),
    ],
)
async def test_a_withdrawal_that_makes_no_sense(market: Gateway, changes: dict[str, Any], code: str) -> None:
    assert (await withdraw(market, **changes)).code == code
    assert await market.exchange.settle() == 0
