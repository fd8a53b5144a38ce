"""All that the stores of an exchange say, read once, as plain values: what the audit judges."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import zstandard
from redis.asyncio import Redis

from crossbook.bootstrap import Cloud
from exchange_adapters.dynamodb_wallets import pending_owners
from exchange_core.ports import Intent, Pending, Wallet
from exchange_core.topology import Topology, order_book_key, price_key

ORDER_COLUMNS: Final = (
    "order_id", "user_id", "client_order_id", "symbol", "side", "order_type", "time_in_force", "price", "quantity",
    "quote_quantity", "hold", "hold_asset", "filled_quantity", "filled_quote", "fee", "status", "reason", "partition",
    "slot", "seq", "created_at_ms", "updated_at_ms",
)  # fmt: skip
TRADE_COLUMNS: Final = (
    "symbol", "trade_id", "price", "quantity", "quote_amount", "taker_side", "maker_order_id", "taker_order_id",
    "partition", "slot", "seq", "at_ms",
)  # fmt: skip
FILL_COLUMNS: Final = (
    "symbol", "trade_id", "is_maker", "user_id", "order_id", "side", "price", "quantity", "fee", "fee_asset", "seq",
    "at_ms",
)  # fmt: skip
CANDLE_COLUMNS: Final = (
    "symbol", "interval_s", "open_at_ms", "open", "high", "low", "close", "base_volume", "quote_volume", "trade_count",
    "seq",
)  # fmt: skip
LEDGER_COLUMNS: Final = (
    "partition", "slot", "line", "kind", "asset", "amount", "from_account", "from_pocket", "to_account", "to_pocket",
    "symbol", "seq", "at_ms",
)  # fmt: skip
OUTCOME_COLUMNS: Final = ("command_id", "user_id", "reason", "partition", "slot")
OPERATOR_COMMAND_COLUMNS: Final = ("command_id", "operator_id", "reason", "partition", "slot")
INSTRUMENT_COLUMNS: Final = ("symbol", "partition", "status", "seq")

_JOURNAL_PAGE: Final = 500
_OBJECTS_AT_ONCE: Final = 16
Row = tuple[Any, ...]


@dataclass(slots=True, kw_only=True)
class DatabaseEvidence:
    """Rows as stored, in the order of the column lists above. `positions`: partition → last slot applied;
    `outcomes_after`: partition → last slot that was applied by a version that kept no outcomes."""

    positions: dict[int, int] = field(default_factory=dict)
    outcomes_after: dict[int, int] = field(default_factory=dict)
    orders: list[Row] = field(default_factory=list)
    trades: list[Row] = field(default_factory=list)
    candles: list[Row] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    operator_commands: list[Row] = field(default_factory=list)
    instruments: list[Row] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Evidence:
    """`journal` maps a partition to (n, bytes) in order of n; `history` maps (partition, first, last) to the inflated
    lines of the object; `cache` holds what Redis had for the keys that were looked up; `later_heads` is where the
    journal ended after all the rest was read."""

    partitions: int
    journal: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    later_heads: dict[int, int] = field(default_factory=dict)
    wallets: list[Wallet] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    pending: dict[int, Pending] = field(default_factory=dict)
    database: DatabaseEvidence = field(default_factory=DatabaseEvidence)
    history: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    cache: dict[str, bytes | None] = field(default_factory=dict)

    def head(self, partition: int) -> int:
        """The last slot read of the partition's journal."""
        slots = self.journal.get(partition)
        return slots[-1][0] if slots else 0


class EvidenceReader:
    """Reads the stores of a running exchange. Reads only; every read is consistent where the store can do so."""

    def __init__(self, cloud: Cloud, topology: Topology, *, database_url: str, redis_url: str) -> None:
        self._cloud = cloud
        self._topology = topology
        self._database_url = database_url
        self._redis_url = redis_url

    async def extend_journal(self, evidence: Evidence) -> None:
        """Read what the journal has behind what was read before."""
        for partition in range(self._topology.partitions):
            slots = evidence.journal.setdefault(partition, [])
            async for item in self._query_journal(partition, slots[-1][0] if slots else 0):
                slots.append((int(item["n"]["N"]), item["data"]["B"]))

    async def positions(self) -> dict[int, int]:
        """How far the database is, by partition."""
        connection = await asyncpg.connect(self._database_url, timeout=10)
        try:
            return await _positions(connection)
        finally:
            await connection.close(timeout=5)

    async def read_stores(self, evidence: Evidence) -> None:
        """Read everything but the journal, replacing what was read before. Intents before wallets: whoever commits
        a hold in between shows as a change of the pending ones, and the audit reads again."""
        await self._read_intents(evidence)
        evidence.wallets = [_wallet(item) async for item in self._scan(self._topology.wallets.name)]
        evidence.database = await self._read_database()
        evidence.history = await self._read_history(evidence.history)

    async def read_cache(self, evidence: Evidence, symbols: list[str]) -> None:
        """Look the symbols' keys up in Redis."""
        keys = [key for symbol in symbols for key in (order_book_key(symbol), price_key(symbol))]
        client = Redis.from_url(self._redis_url)
        try:
            values: list[Any] = await client.mget(keys) if keys else []
        finally:
            await client.aclose()
        evidence.cache = dict(zip(keys, values, strict=True))

    async def pending_ids(self) -> set[int]:
        """The commands that no slot was seen to show, as of now."""
        found: set[int] = set()
        owners = [owner for partition in range(self._topology.partitions) for owner in pending_owners(partition)]
        for owner in owners:
            request = {
                "TableName": self._topology.intents.name,
                "KeyConditionExpression": "#owner = :owner",
                "ExpressionAttributeNames": {"#owner": "owner"},
                "ExpressionAttributeValues": {":owner": {"S": owner}},
                "ConsistentRead": True,
            }
            found.update([int(item["order_id"]["N"]) async for item in _pages(self._cloud.dynamodb.query, request)])
        return found

    async def _read_intents(self, evidence: Evidence) -> None:
        evidence.intents, evidence.pending = [], {}
        async for item in self._scan(self._topology.intents.name):
            kind = item["item"]["S"].partition("#")[0]
            if item["owner"]["S"].startswith("pending#"):
                evidence.pending[int(item["order_id"]["N"])] = _pending(item)
            elif kind == "order":
                evidence.intents.append(_intent(item))

    async def _query_journal(self, partition: int, after: int) -> AsyncIterator[dict[str, Any]]:
        request = {
            "TableName": self._topology.journal.name,
            "KeyConditionExpression": "#p = :p AND #n > :n",
            "ExpressionAttributeNames": {"#p": "partition", "#n": "n"},
            "ExpressionAttributeValues": {":p": {"N": str(partition)}, ":n": {"N": str(after)}},
            "ConsistentRead": True,
            "Limit": _JOURNAL_PAGE,
        }
        async for item in _pages(self._cloud.dynamodb.query, request):
            yield item

    async def _scan(self, table: str) -> AsyncIterator[dict[str, Any]]:
        async for item in _pages(self._cloud.dynamodb.scan, {"TableName": table, "ConsistentRead": True}):
            yield item

    async def _read_database(self) -> DatabaseEvidence:
        connection = await asyncpg.connect(self._database_url, timeout=10)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return DatabaseEvidence(
                    positions=await _positions(connection),
                    outcomes_after=await _positions(connection, "outcomes_after"),
                    orders=await _rows(connection, "orders", ORDER_COLUMNS),
                    trades=await _rows(connection, "trades", TRADE_COLUMNS),
                    candles=await _rows(connection, "candles", CANDLE_COLUMNS),
                    fills=await _rows(connection, "fills", FILL_COLUMNS),
                    ledger=await _rows(connection, "ledger", LEDGER_COLUMNS),
                    outcomes=await _rows(connection, "command_outcomes", OUTCOME_COLUMNS),
                    operator_commands=await _rows(connection, "operator_commands", OPERATOR_COMMAND_COLUMNS),
                    instruments=await _rows(connection, "instruments", INSTRUMENT_COLUMNS),
                )
        finally:
            await connection.close(timeout=5)

    async def _read_history(self, known: Mapping[tuple[int, int, int], bytes]) -> dict[tuple[int, int, int], bytes]:
        keys = [key async for key in self._history_keys()]
        gate = asyncio.Semaphore(_OBJECTS_AT_ONCE)

        async def read(key: str) -> bytes:
            async with gate:
                return await self._history_object(key)

        span = {key: history_span(key) for key in keys}
        unread = [key for key in keys if span[key] not in known]
        bodies = dict(zip(unread, await asyncio.gather(*(read(key) for key in unread)), strict=True))
        return {span[key]: bodies[key] if key in bodies else known[span[key]] for key in keys}

    async def _history_keys(self) -> AsyncIterator[str]:
        request = {"Bucket": self._topology.history.name, "Prefix": "history/"}
        while True:
            page = await self._cloud.s3.list_objects_v2(**request)
            for entry in page.get("Contents", []):
                yield entry["Key"]
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def _history_object(self, key: str) -> bytes:
        response = await self._cloud.s3.get_object(Bucket=self._topology.history.name, Key=key)
        async with response["Body"] as body:
            return inflate(await body.read())


def history_span(key: str) -> tuple[int, int, int]:
    """(partition, first, last) of a key like `history/partition=0/000000000001-000000000009.jsonl.zst`."""
    _, partition, name = key.split("/")
    first, _, last = name.partition(".")[0].partition("-")
    return int(partition.removeprefix("partition=")), int(first), int(last)


def inflate(data: bytes) -> bytes:
    """The lines of an object of the history."""
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.readall()


async def _pages(call: Any, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    while True:
        page = await call(**request)
        for item in page["Items"]:
            yield item
        if "LastEvaluatedKey" not in page:
            return
        request = {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]}


async def _positions(connection: Any, column: str = "slot") -> dict[int, int]:
    rows = await connection.fetch(f"SELECT partition, {column} FROM positions")  # noqa: S608 - constants
    return {row["partition"]: row[column] for row in rows}


async def _rows(connection: Any, table: str, columns: tuple[str, ...]) -> list[Row]:
    names = ", ".join(f'"{column}"' for column in columns)
    return [tuple(row) for row in await connection.fetch(f"SELECT {names} FROM {table}")]  # noqa: S608 - constants


def _wallet(item: Mapping[str, Any]) -> Wallet:
    return Wallet(
        user_id=item["user_id"]["S"],
        asset=item["asset"]["S"],
        available=int(item["available"]["N"]),
        held=int(item["held"]["N"]),
        applied={
            int(name.removeprefix("applied_")): int(value["N"])
            for name, value in item.items()
            if name.startswith("applied_")
        },
    )


def _pending(item: Mapping[str, Any]) -> Pending:
    return Pending(
        order_id=int(item["order_id"]["N"]),
        group=item["group"]["S"],
        command=item["command"]["S"],
        created_at_ms=int(item["created_at_ms"]["N"]),
    )


def _intent(item: Mapping[str, Any]) -> Intent:
    return Intent(
        user_id=item["owner"]["S"],
        order_id=int(item["order_id"]["N"]),
        client_order_id=item["client_order_id"]["S"] if "client_order_id" in item else None,
        body_digest=item["body_digest"]["S"],
        partition=int(item["partition"]["N"]),
        group=item["group"]["S"],
        command=item["command"]["S"],
        created_at_ms=int(item["created_at_ms"]["N"]),
    )
