"""PostgreSQL for the persister: slots become rows, and the partition's position moves with them in one transaction.

Lifecycle: `async with open_pool(dsn) as pool`, which does not connect before the first use. A connection that an
error left in doubt is terminated, never closed (closing can hang). Of one partition only one transaction is open at a
time, in whatever process: it holds the lock of the partition's row in `positions`. Written with COPY and `unnest`: a
few statements for thousands of events.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import asyncpg
import orjson

from exchange_adapters.postgres_candles import catch_up, read_tickers, write_candles
from exchange_adapters.postgres_orders import change_orders, order_view
from exchange_adapters.postgres_outcomes import write_outcomes
from exchange_adapters.projection_rows import (
    FILL_COLUMNS,
    LEDGER_COLUMNS,
    ORDER_COLUMNS,
    TRADE_COLUMNS,
    Row,
    RunRows,
    instruments_after,
    rows_of,
)
from exchange_adapters.secrets import Password
from exchange_core.candles import Candle, Ticker
from exchange_core.codec import Slot
from exchange_core.errors import Ambiguous, Conflict, Fatal, PortError, Throttled, Unavailable
from exchange_core.instruments import Instrument
from exchange_core.ports import OrderView
from exchange_core.wire import from_plain, to_plain

CONNECT_TIMEOUT_S: Final = 5.0
IDLE_TRANSACTION_TIMEOUT_MS: Final = 60_000
"""A persister that freezes with the partition locked loses its session after this, and another one goes on."""
_COMMIT_TIMEOUT_S: Final = 10.0
_ROLLBACK_TIMEOUT_S: Final = 2.0

_BROKEN_OFF: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""The driver on a connection that ended amid a statement. An internal error is that too: the next statement then finds
the protocol's state machine halfway, as it did after a restart of PostgreSQL under load."""
DRIVER_ERRORS: Final = (asyncpg.PostgresError, *_BROKEN_OFF)
_UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InFailedSQLTransactionError,
)
_THROTTLED: Final = (asyncpg.TooManyConnectionsError, asyncpg.QueryCanceledError, asyncpg.InsufficientResourcesError)
_CONFLICT: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)

_SELECT_POSITION: Final = "SELECT slot, candles_slot FROM positions WHERE partition = $1 FOR UPDATE"
_INSERT_POSITION: Final = (
    "INSERT INTO positions (partition, slot, journal_at_ms) VALUES ($1, 0, 0) ON CONFLICT (partition) DO NOTHING"
)
_MOVE_POSITION: Final = """
    UPDATE positions SET slot = $3, candles_slot = $3, journal_at_ms = $4
    WHERE partition = $1 AND slot = $2 AND candles_slot = $2
"""
_SELECT_INSTRUMENTS: Final = "SELECT symbol, status, definition::text AS definition FROM instruments ORDER BY symbol"
_UPSERT_INSTRUMENT: Final = """
    INSERT INTO instruments (symbol, partition, status, definition, seq, listed_at_ms, updated_at_ms)
    VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $6)
    ON CONFLICT (symbol) DO UPDATE
    SET status = excluded.status, definition = excluded.definition, seq = excluded.seq,
        updated_at_ms = excluded.updated_at_ms
"""
_CHECKPOINT: Final = """
    INSERT INTO shard_checkpoints (shard_id, sequence_number) VALUES ($1, $2)
    ON CONFLICT (shard_id) DO UPDATE SET sequence_number = excluded.sequence_number
    WHERE (length(shard_checkpoints.sequence_number), shard_checkpoints.sequence_number)
        < (length(excluded.sequence_number), excluded.sequence_number)
"""


@asynccontextmanager
async def open_pool(
    dsn: str, *, max_size: int = 8, statement_timeout_ms: int = 10_000, password: Password | None = None
) -> AsyncIterator[asyncpg.Pool]:
    """A pool of at most `max_size` connections, opened when first needed: it starts without a database too.

    `password` is asked for each of them, where the DSN has none: a rotated one needs no restart.

    Each statement is cut by the server after `statement_timeout_ms`, half of it for a lock, and by us a second later.
    """
    pool = asyncpg.create_pool(
        dsn,
        password=password,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_ms / 1000 + 1,
        server_settings={
            "application_name": "crossbook",
            "statement_timeout": str(statement_timeout_ms),
            "lock_timeout": str(statement_timeout_ms // 2),
            "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
        },
    )
    await pool
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(_ROLLBACK_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()


def translate(error: Exception) -> PortError:
    """The port's error for one of the driver's, for a statement whose transaction was not committed."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, PortError):
        return error
    if isinstance(error, _THROTTLED):
        return Throttled(text)
    if isinstance(error, _CONFLICT):
        return Conflict(text)
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions.UnsupportedClientFeatureError):
        return Fatal(text)
    if isinstance(error, (*_UNAVAILABLE, *_BROKEN_OFF)):
        return Unavailable(text)
    return Fatal(text)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the driver's errors as the port's."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error) from error


class PostgresProjection:
    """An open transaction on one partition."""

    def __init__(
        self, connection: asyncpg.Connection, partition: int, position: int, instruments: Mapping[str, Instrument]
    ) -> None:
        self._connection = connection
        self._partition = partition
        self._position = position
        self._instruments = instruments
        self._candles: Sequence[Candle] = ()
        self._orders: Sequence[OrderView] = ()

    @property
    def position(self) -> int:
        """The last slot that is in the database (0: none)."""
        return self._position

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """All instruments known to the database, by symbol."""
        return self._instruments

    @property
    def candles(self) -> Sequence[Candle]:
        """The candles that `record` has changed last, as they stand with it."""
        return self._candles

    @property
    def orders(self) -> Sequence[OrderView]:
        """The orders that `record` has changed last, as they stand with it."""
        return self._orders

    async def record(self, slots: Sequence[Slot]) -> None:
        """Write the rows of these slots, which follow `position`, and move the position to the last of them."""
        expected = range(self._position + 1, self._position + 1 + len(slots))
        assert [slot.n for slot in slots] == list(expected), "slots follow the position without a gap"
        assert all(slot.partition == self._partition for slot in slots)
        if not slots:
            return
        instruments = instruments_after(self._instruments, slots)
        rows = rows_of(slots, instruments)
        with translated():
            await self._write_instruments(rows, instruments)
            new_orders = rows.new_orders()
            await self._copy("orders", ORDER_COLUMNS, new_orders)
            changed = await change_orders(self._connection, rows.earlier_orders())
            await self._copy("trades", TRADE_COLUMNS, rows.trades)
            self._candles = await write_candles(self._connection, rows.candles.candles())
            await self._copy("fills", FILL_COLUMNS, rows.fills)
            await self._copy("ledger", LEDGER_COLUMNS, rows.ledger)
            await write_outcomes(self._connection, slots)
            last = slots[-1]
            moved = await self._connection.execute(_MOVE_POSITION, self._partition, self._position, last.n, last.at_ms)
        if moved != "UPDATE 1":
            raise Fatal(f"the locked position of partition {self._partition} moved under us")
        self._position, self._instruments = last.n, instruments
        self._orders = [*(order_view(dict(zip(ORDER_COLUMNS, row, strict=True))) for row in new_orders), *changed]

    async def checkpoint(self, shard_id: str, sequence_number: str) -> None:
        """Remember how far the shard was read; one that is behind what is stored changes nothing."""
        with translated():
            await self._connection.execute(_CHECKPOINT, shard_id, sequence_number)

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def _write_instruments(self, rows: RunRows, instruments: Mapping[str, Instrument]) -> None:
        for symbol, (slot, seq) in rows.listings.items():
            instrument = instruments.get(symbol)
            if instrument is None:
                raise Fatal(f"the status of {symbol} changed, which was never listed")
            definition = orjson.dumps(to_plain(instrument)).decode()
            await self._connection.execute(
                _UPSERT_INSTRUMENT, symbol, slot.partition, instrument.status, definition, seq, slot.at_ms
            )


class PostgresProjections:
    """Projections on a pool (of the writer's endpoint)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._read_instruments: dict[str, Instrument] = {}

    @asynccontextmanager
    async def begin(self, partition: int) -> AsyncIterator[PostgresProjection]:
        """Lock the partition in a new transaction; commit on leaving, roll back on an exception.

        Raises Ambiguous when the commit broke off, Unavailable or Conflict when it could not be opened or locked.
        """
        connection = await _acquire(self._pool)
        transaction = connection.transaction()
        try:
            with translated():
                await transaction.start()
                position = await _lock_position(connection, partition)
                instruments = await self._instruments(connection)
            yield PostgresProjection(connection, partition, position, instruments)
            await _commit(transaction)
        except (asyncio.CancelledError, Ambiguous):
            _cut(connection)
            raise
        except BaseException as error:
            if isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
                _cut(connection)  # what was the writer is a reader now: a new connection finds the one that is
            else:
                await _roll_back(connection, transaction)
            raise
        finally:
            await self._pool.release(connection)

    async def checkpoints(self) -> Mapping[str, str]:
        """shard_id → last sequence number recorded."""
        with translated():
            rows = await self._pool.fetch("SELECT shard_id, sequence_number FROM shard_checkpoints")
        return {row["shard_id"]: row["sequence_number"] for row in rows}

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """The tickers of those symbols that have ever traded, by symbol."""
        with translated():
            return await read_tickers(self._pool, symbols, now_ms)

    async def _instruments(self, connection: asyncpg.Connection) -> dict[str, Instrument]:
        """Read anew in each transaction; only definitions not met before are decoded."""
        known = self._read_instruments
        rows = await connection.fetch(_SELECT_INSTRUMENTS)
        texts = [row["definition"] for row in rows]
        self._read_instruments = {text: known.get(text) or read_instrument(text) for text in texts}
        return {one.symbol: one for one in self._read_instruments.values()}


def read_instrument(definition: str) -> Instrument:
    """The instrument in the column `definition`."""
    instrument = from_plain(Instrument, orjson.loads(definition))
    assert isinstance(instrument, Instrument)
    return instrument


async def _acquire(pool: asyncpg.Pool) -> Any:
    with translated():
        return await pool.acquire(timeout=CONNECT_TIMEOUT_S)


async def _lock_position(connection: asyncpg.Connection, partition: int) -> int:
    """The position, and the candles brought up to it should a version without candles have moved it last."""
    row = await connection.fetchrow(_SELECT_POSITION, partition)
    if row is None:
        await connection.execute(_INSERT_POSITION, partition)
        row = await connection.fetchrow(_SELECT_POSITION, partition)
        assert row is not None, "just inserted, by us or by another"
    position: int = row["slot"]
    if row["candles_slot"] != position:
        await catch_up(connection, partition, row["candles_slot"], position)
    return position


async def _commit(transaction: Any) -> None:
    """A cancellation passes through as such: whoever goes on from here reads the position, as after Ambiguous."""
    try:
        async with asyncio.timeout(_COMMIT_TIMEOUT_S):
            await transaction.commit()
    except DRIVER_ERRORS as error:
        raise Ambiguous(f"commit broke off: {type(error).__name__}: {error}") from error


async def _roll_back(connection: Any, transaction: Any) -> None:
    """Roll back, or cut the connection where that is in doubt: the server then rolls back by itself."""
    try:
        async with asyncio.timeout(_ROLLBACK_TIMEOUT_S):
            await transaction.rollback()
    except DRIVER_ERRORS:
        _cut(connection)
    except asyncio.CancelledError:
        _cut(connection)
        raise


def _cut(connection: Any) -> None:
    """End a connection at once; one that broke by itself has left the pool already, and says so by an error."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
