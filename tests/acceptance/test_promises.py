"""An order is promised by its 202: from that moment on it is found, by both of its ids, whatever happens to it."""

import asyncio
from random import Random

import pytest

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.trader import Trader

SIDE_BY_SIDE = 16
USUAL_TRIES, USUAL_TIME_S = 2_000, 40.0
LOOK_AGAIN_S = 0.01


@rule("accepted-is-found", "bug-unknown-after-accept")
@listed(max_open_orders=100_000, min_notional=0)
async def test_an_accepted_order_is_found_by_both_ids_at_every_moment(
    market: Market, config: pytest.Config, alice: Trader, bob: Trader, carol: Trader, dave: Trader
) -> None:
    """Every try places an order and asks for it by one id and the other until it is settled; a 404 fails it.

    As many tries as fit into the time, or with `--promises N` just so many.
    """
    wanted = config.getoption("--promises")
    numbers = iter(range(wanted or USUAL_TRIES))
    over_at_s = asyncio.get_running_loop().time() + (float("inf") if wanted else USUAL_TIME_S)
    tries = looks = 0

    async def keep_trying(trader: Trader, random: Random) -> None:
        nonlocal tries, looks
        for number in numbers:
            if asyncio.get_running_loop().time() > over_at_s:
                return
            side, price, time_in_force = random.choice(("buy", "sell")), random.randrange(95, 106), "gtc"
            if random.random() < 0.5:
                time_in_force = "ioc"
            name = f"try-{number}"
            body = trader.order(side, "0.01", price, time_in_force=time_in_force, client_order_id=name)
            order_id = (await trader.promises(body))["order_id"]
            tries, status, pause_s = tries + 1, "accepted", LOOK_AGAIN_S
            while status == "accepted":
                by_client_id = await trader.looks_up_by_client_id(name)
                by_id = await trader.looks_up(order_id)
                assert (by_id.order_id, by_id.client_order_id) == (order_id, name)
                assert (by_client_id.order_id, by_client_id.client_order_id) == (order_id, name)
                looks, status = looks + 2, by_id.status
                await asyncio.sleep(pause_s)
                pause_s *= 2

    traders = [alice, bob, carol, dave] * (SIDE_BY_SIDE // 4)
    await asyncio.gather(*[keep_trying(trader, Random(seed)) for seed, trader in enumerate(traders)])
    print(f"{tries} orders were found by both ids in each of {looks} looks")
    assert tries == wanted or (not wanted and tries >= 4 * SIDE_BY_SIDE)
