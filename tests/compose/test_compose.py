"""The exchange in containers: started, used, killed, told that its world is over. In this order, on one exchange."""

import asyncio
import json
import re
import sys

import pytest

from crossbook.clients.api_client import ApiClient
from crossbook.demo import FUNDS, PASSWORD
from tests.compose.exchange import ROOT, ContainerExchange, DockerError
from tests.eventually import eventually

SERVICES = ("gateway", "matcher-1", "matcher-2", "persister", "fanout")
KILLED = (*SERVICES, "postgres", "redis", "cognito")
SETTLED_S = 30.0


def commands_of_the_readme(*holding: str) -> str:
    """The first block of shell commands with each of these words, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return "\n".join(next(block for block in blocks if word in block) for word in holding)


async def trade(exchange: ContainerExchange, quantity: str) -> None:
    """Alice sells to bob; returns when both orders are filled."""
    async with ApiClient(exchange.gateway_url) as api:
        alice, bob = await api.log_in("alice", PASSWORD), await api.log_in("bob", PASSWORD)
        common = {"symbol": "BTCUSDT", "type": "limit", "price": "50000", "quantity": quantity}
        ask = await alice.place(side="sell", **common)
        bid = await bob.place(side="buy", **common)

        async def are_filled() -> bool:
            states = [await alice.order(ask["order_id"]), await bob.order(bid["order_id"])]
            return all(state["status"] == "filled" for state in states)

        await eventually(are_filled, timeout_s=SETTLED_S)


async def world_id(exchange: ContainerExchange) -> str:
    return await exchange.sql("SELECT world_id FROM twin.worlds ORDER BY number DESC LIMIT 1")


async def assert_audit_is_clean(exchange: ContainerExchange) -> None:
    assert "clean in" in await exchange.command_line("audit")


async def test_the_commands_of_the_readme_trade(exchange):
    said = await exchange.bootstrap_said()
    assert "there is no world yet" in said and "begins" in said
    script = commands_of_the_readme("login()", "order()", "/balances")
    script = script.replace("localhost:8080", exchange.gateway_url.removeprefix("http://"))
    script = script.replace(".venv/bin/python", sys.executable)
    process = await asyncio.create_subprocess_exec("bash", "-ec", script, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    *orders, balances = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    assert [order["status"] for order in orders] == ["accepted", "accepted"]
    assert {balance["asset"] for balance in balances["balances"]} == FUNDS.keys()

    async def bob_has_what_he_bought() -> bool:
        async with ApiClient(exchange.gateway_url) as api:
            return (await (await api.log_in("bob", PASSWORD)).available())["BTC"] > FUNDS["BTC"]

    await eventually(bob_has_what_he_bought, timeout_s=SETTLED_S)


async def test_every_container_but_localstack_may_be_killed_and_the_audit_is_clean(exchange):
    async with ApiClient(exchange.gateway_url) as api:
        await api.sign_up("dora", "Crossbook-demo-2")
        dora = await api.log_in("dora", "Crossbook-demo-2")
        token = dora.token
        for number, service in enumerate(KILLED, start=1):
            await exchange.kill(service)
            await trade(exchange, f"0.0{number}")
        # Cognito keeps who signed up, and what it signed before stays good.
        assert (await api.log_in("dora", "Crossbook-demo-2")).user_id == dora.user_id
        await api.call("GET", "/api/v1/balances", token=token)
    await assert_audit_is_clean(exchange)


async def test_two_worlds_that_are_mixed_are_refused_with_the_command_that_wipes(exchange):
    present = await world_id(exchange)
    mixed = {
        "another database": (
            f"UPDATE twin.worlds SET world_id = 'another' WHERE world_id = '{present}'",
            f"UPDATE twin.worlds SET world_id = '{present}' WHERE world_id = 'another'",
        ),
        "an empty database": (
            "ALTER TABLE twin.worlds RENAME TO worlds_aside",
            "DROP TABLE twin.worlds; ALTER TABLE twin.worlds_aside RENAME TO worlds",
        ),
    }
    for mix, unmix in mixed.values():
        await exchange.sql(mix)
        with pytest.raises(DockerError, match="docker compose down --volumes"):
            await exchange.compose("run", "--rm", "--no-deps", "--no-TTY", "bootstrap")
        await exchange.sql(unmix)
    said = await exchange.compose("run", "--rm", "--no-deps", "--no-TTY", "bootstrap")
    assert f"world {present} goes on" in said
    await assert_audit_is_clean(exchange)


async def test_after_a_restart_of_localstack_up_begins_a_fresh_world_and_says_so(exchange):
    old = await world_id(exchange)
    await exchange.compose("restart", "--timeout", "5", "localstack")
    await exchange.compose("up", "--wait")
    said = await exchange.bootstrap_said()
    new = await world_id(exchange)
    assert f"world {old} is over" in said and f"world {new} begins" in said
    async with ApiClient(exchange.gateway_url) as api:
        assert await (await api.log_in("alice", PASSWORD)).available() == FUNDS
    await trade(exchange, "0.5")
    await assert_audit_is_clean(exchange)
    assert await exchange.sql(f"SELECT count(*) FROM pg_database WHERE datname = 'crossbook_{old}'") == "1"


async def test_what_has_an_old_world_in_memory_cannot_write_into_the_new_one(exchange):
    old = await world_id(exchange)
    await trade(exchange, "0.25")
    await exchange.compose("pause", *SERVICES)  # they keep their books, their slot numbers, their connections
    await exchange.compose("restart", "--timeout", "5", "localstack")
    await exchange.compose("up", "--detach", "--wait", "--no-deps", "localstack")
    assert f"world {old} is over" in await exchange.compose("run", "--rm", "--no-deps", "--no-TTY", "bootstrap")
    await exchange.compose("unpause", *SERVICES)
    await exchange.compose("up", "--wait")
    await trade(exchange, "0.5")
    await assert_audit_is_clean(exchange)


async def test_rebuilding_one_service_rebuilds_no_other(exchange):
    before = await exchange.image_ids()
    source = exchange.tree / "services/gateway/exchange_gateway/app.py"
    source.write_text(source.read_text() + "\n# changed\n")
    await exchange.compose("build")
    after = await exchange.image_ids()
    assert {name for name in before if before[name] != after[name]} == {"gateway"}
