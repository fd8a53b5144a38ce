"""What is left of a world, in the form that the audit of a real exchange judges."""

from typing import Any

from crossbook.audit.evidence import CANDLE_COLUMNS, LEDGER_COLUMNS, ORDER_COLUMNS, DatabaseEvidence, Evidence, inflate
from exchange_adapters import projection_rows
from exchange_adapters.sim import SimCloud
from exchange_core.codec import Slot
from exchange_core.outcomes import operator_commands_of, outcomes_of
from exchange_core.topology import order_book_key, price_key
from simulation.machines.cloud import Taps
from simulation.machines.hosts import PARTITIONS
from simulation.market import SYMBOLS


def gather(cloud: SimCloud, taps: Taps) -> Evidence:
    """All stores, read at rest."""
    wallets: Any = cloud.wallets
    keys: dict[str, bytes] = cloud.redis._server.keys
    return Evidence(
        partitions=PARTITIONS,
        journal={partition: taps.journal.everything(partition) for partition in range(PARTITIONS)},
        wallets=cloud.wallets.all_wallets(),
        intents=cloud.wallets.all_intents(),
        pending={order_id: one for waiting in wallets._pending.values() for order_id, one in waiting.items()},
        database=_database({partition: list(cloud.projections.recorded(partition)) for partition in range(PARTITIONS)}),
        history={key: inflate(data) for key, data in cloud.history.objects.items()},
        cache={key: keys.get(key) for symbol in SYMBOLS for key in (order_book_key(symbol), price_key(symbol))},
    )


def _database(recorded: dict[int, list[Slot]]) -> DatabaseEvidence:
    """The rows that PostgreSQL would hold of the slots that were recorded, by the adapter's own rules. A slot that was
    recorded twice counts once: another check tells of it."""
    database = DatabaseEvidence()
    picked = [projection_rows.ORDER_COLUMNS.index(name) for name in ORDER_COLUMNS]
    instruments: dict[str, Any] = {}
    for slots in recorded.values():
        instruments |= projection_rows.instruments_after({}, slots)
    for partition, slots in recorded.items():
        once = list({slot.n: slot for slot in slots}.values())
        rows = projection_rows.rows_of(once, instruments)
        database.positions[partition] = len(slots)
        database.orders += [tuple(row[place] for place in picked) for row in rows.new_orders()]
        database.trades += rows.trades
        database.candles += [
            (one.symbol, one.interval.length_s, *(getattr(one, name) for name in CANDLE_COLUMNS[2:]))
            for one in rows.candles.candles()
        ]
        database.fills += rows.fills
        database.ledger += [row[: len(LEDGER_COLUMNS)] for row in rows.ledger]
        for slot in once:
            database.outcomes += [
                (one.command_id, one.user_id, one.reason, partition, slot.n) for one in outcomes_of(slot)
            ]
            database.operator_commands += [
                (one.command_id, one.operator_id, one.reason, partition, slot.n) for one in operator_commands_of(slot)
            ]
        for symbol, (_, seq) in rows.listings.items():
            database.instruments.append((symbol, partition, str(instruments[symbol].status), seq))
    return database
