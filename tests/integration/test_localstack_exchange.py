"""The four services on queues, streams, tables and buckets of LocalStack (and of MiniStack): orders, and what befalls.

Each test trades at prices of its own and leaves no order open, so that none sees another's; the last one audits all.
"""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from crossbook.audit.evidence import EvidenceReader
from crossbook.audit.run import audit
from crossbook.backing import Backing
from crossbook.clients.api_client import Account, ApiClient
from crossbook.ports import LOOPBACK, PortAllocator
from crossbook.processes import Supervisor
from crossbook.seed import PASSWORD, create_users, seed
from crossbook.services import services, wishes
from crossbook.site import Site
from tests.eventually import eventually
from tests.integration.conftest import Throttle
from tests.localstack.backing import LocalStackBacking

SYMBOL = "BTCUSDT"
SETTLED_TIMEOUT_S = 40.0
AUDIT_WAIT_S = 30.0
VISIBILITY_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A whole exchange at work, seeded, with two of its users logged in."""

    site: Site
    supervisor: Supervisor
    alice: Account
    bob: Account
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def enter_pair(self) -> tuple[str, str]:
        """Alice offers what Bob buys, 0.5 BTC; returns the ids of both orders, accepted and not known to be done."""
        price = str(50_000 + next(self.numbers))
        order = {"symbol": SYMBOL, "type": "limit", "price": price, "quantity": "0.5"}
        sold = await self.alice.place(**order, side="sell")
        bought = await self.bob.place(**order, side="buy")
        return sold["order_id"], bought["order_id"]

    async def wait_filled(self, order_ids: tuple[str, str]) -> None:
        """Return once both orders are shown as filled, from the database: they are settled then."""

        async def are_filled() -> bool:
            sold, bought = await asyncio.gather(self.alice.order(order_ids[0]), self.bob.order(order_ids[1]))
            return (sold["status"], bought["status"]) == ("filled", "filled")

        await eventually(are_filled, timeout_s=SETTLED_TIMEOUT_S)


@pytest.fixture(scope="module")
async def exchange(
    emulator: Backing | LocalStackBacking, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Exchange]:
    site = await emulator.create_site()
    assert site.user_pool is not None
    sqs = emulator.cloud.sqs
    for spec in site.topology.queues:  # what a killed matcher has in hand comes again sooner than in earnest
        url = (await sqs.get_queue_url(QueueName=spec.name))["QueueUrl"]
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_S)})
    running = services(matchers=2)
    ports = PortAllocator().claim_all(wishes(running, gateway_port=0, fanout_port=0), remembered={})
    directory = tmp_path_factory.mktemp("exchange")
    async with AsyncExitStack() as stack:
        supervisor = Supervisor(logs=directory)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start(
            *(
                service.spec(site, port=ports[service.name], log_level="info", directory=directory)
                for service in running
            )
        )
        gateway_url = f"http://{LOOPBACK}:{ports['gateway']}"
        await create_users(emulator.cloud, site.user_pool)
        await seed(gateway_url)
        api = await stack.enter_async_context(ApiClient(gateway_url))
        alice, bob = await asyncio.gather(api.log_in("alice", PASSWORD), api.log_in("bob", PASSWORD))
        yield Exchange(site=site, supervisor=supervisor, alice=alice, bob=bob)


async def test_an_order_goes_its_way_to_a_trade_and_its_settlement(exchange: Exchange, blocking_client) -> None:
    before = await exchange.alice.available(), await exchange.bob.available()
    order_ids = await exchange.enter_pair()
    await exchange.wait_filled(order_ids)

    async def is_settled() -> bool:
        alice, bob = await exchange.alice.available(), await exchange.bob.available()
        sold, got = before[0]["BTC"] - alice["BTC"], alice["USDT"] - before[0]["USDT"]
        paid, bought = before[1]["USDT"] - bob["USDT"], bob["BTC"] - before[1]["BTC"]
        return sold == Decimal("0.5") and paid > got > 0 and Decimal("0.49") < bought <= sold

    await eventually(is_settled)
    topology, sqs, s3 = exchange.site.topology, blocking_client("sqs"), blocking_client("s3")
    kept = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    for spec in topology.queues:
        url = sqs.get_queue_url(QueueName=spec.name)["QueueUrl"]

        def is_empty(url: str = url) -> bool:
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kept)["Attributes"]
            return [attributes[name] for name in kept] == ["0", "0"]

        await eventually(is_empty)
    assert s3.list_objects_v2(Bucket=topology.history.name)["KeyCount"] > 0


async def test_what_cannot_be_read_is_refused_and_blocks_nothing(exchange: Exchange, blocking_client) -> None:
    sqs, topology = blocking_client("sqs"), exchange.site.topology
    for spec in topology.queues:
        url = sqs.get_queue_url(QueueName=spec.name)["QueueUrl"]
        sqs.send_message(
            QueueUrl=url, MessageBody="not a command", MessageGroupId=SYMBOL, MessageDeduplicationId="poison"
        )
    await exchange.wait_filled(await exchange.enter_pair())
    for spec in topology.queues:
        url = sqs.get_queue_url(QueueName=spec.dead_letter_name)["QueueUrl"]
        assert "Messages" not in sqs.receive_message(QueueUrl=url), "the dead-letter queue is an alarm, not a path"


async def test_orders_survive_the_death_of_both_matchers(exchange: Exchange) -> None:
    entered = [await exchange.enter_pair() for _ in range(3)]
    for name in ("matcher-1", "matcher-2"):
        os.kill(exchange.supervisor.find(name).pid, signal.SIGKILL)
    entered += [await exchange.enter_pair() for _ in range(3)]
    for order_ids in entered:
        await exchange.wait_filled(order_ids)


async def test_a_throttled_stream_delays_settlement_and_loses_nothing(exchange: Exchange, throttle: Throttle) -> None:
    await throttle("KINESIS_ERROR_PROBABILITY", 0.8)
    entered = [await exchange.enter_pair() for _ in range(3)]
    await throttle("KINESIS_ERROR_PROBABILITY", 0.0)
    for order_ids in entered:
        await exchange.wait_filled(order_ids)


async def test_the_stream_may_be_resharded_under_way(exchange: Exchange, blocking_client) -> None:
    kinesis, stream = blocking_client("kinesis"), exchange.site.topology.executions.name
    before = {shard["ShardId"] for shard in kinesis.list_shards(StreamName=stream)["Shards"]}
    entered = [await exchange.enter_pair() for _ in range(2)]
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        hashes = shard["HashKeyRange"]
        middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"])) // 2
        kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))

        def is_active() -> bool:
            summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            return bool(summary["StreamStatus"] == "ACTIVE")

        await eventually(is_active)
        entered.append(await exchange.enter_pair())
    after = {shard["ShardId"] for shard in kinesis.list_shards(StreamName=stream)["Shards"]}
    assert before < after, "parents can be read until they are drained"
    for order_ids in entered:
        await exchange.wait_filled(order_ids)


async def test_at_the_end_the_audit_finds_nothing(exchange: Exchange, emulator: Backing | LocalStackBacking) -> None:
    site = exchange.site
    reader = EvidenceReader(emulator.cloud, site.topology, database_url=site.database_url, redis_url=site.redis_url)
    results = await audit(reader, partitions=site.topology.partitions, wait_s=AUDIT_WAIT_S)
    differences: list[Any] = [difference for result in results for difference in result.differences]
    assert results and not differences
