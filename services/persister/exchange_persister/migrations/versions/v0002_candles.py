"""Candles, and what a user's ledger is read by.

- `candles` has a row for each span with a trade, per symbol and length; it is written by the transaction that writes
  the trades. Rows of one symbol are updated in place until their span is over: the fill factor leaves room for that on
  their page, and no index but the key needs to know.
- `positions.candles_slot` says up to which slot the trades are in the candles. A persister of the version before moves
  `slot` only; the next one of this version finds the two apart and makes good for it from the trades, by the index
  `trades_by_slot` (a few kilobytes, as slots lie in the order in which they were written).
- The trades that are there already are folded here, while nobody can settle: adding a column has locked `positions`.
- `ledger.order_id`, `trade_id`, `transfer_id` say what a line is about; lines that the version before wrote have none.
  A release has one account on both sides: it is in one of the two indexes only.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE positions ADD COLUMN candles_slot bigint NOT NULL DEFAULT 0 CHECK (candles_slot <= slot)",
    """
    CREATE TABLE candles (
        symbol text COLLATE "C" NOT NULL,
        interval_s integer NOT NULL CHECK (interval_s IN (1, 60, 300, 900, 3600, 14400, 86400)),
        open_at_ms bigint NOT NULL CHECK (open_at_ms % (interval_s * 1000) = 0),
        open bigint NOT NULL CHECK (open > 0),
        high bigint NOT NULL,
        low bigint NOT NULL,
        close bigint NOT NULL,
        base_volume numeric(38, 0) NOT NULL CHECK (base_volume > 0),
        quote_volume numeric(38, 0) NOT NULL CHECK (quote_volume > 0),
        trade_count bigint NOT NULL CHECK (trade_count > 0),
        seq bigint NOT NULL CHECK (seq > 0),
        PRIMARY KEY (symbol, interval_s, open_at_ms),
        CHECK (0 < low AND low <= least(open, close) AND greatest(open, close) <= high)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX trades_by_slot ON trades USING brin (slot)",
    """
    INSERT INTO candles
    SELECT symbol, interval_s, at_ms - at_ms % (interval_s * 1000) AS open_at_ms,
        (array_agg(price ORDER BY trade_id))[1], max(price), min(price), (array_agg(price ORDER BY trade_id DESC))[1],
        sum(quantity), sum(quote_amount), count(*), max(seq)
    FROM trades CROSS JOIN unnest(ARRAY[1, 60, 300, 900, 3600, 14400, 86400]) AS lengths(interval_s)
    GROUP BY symbol, interval_s, open_at_ms
    """,
    """
    DELETE FROM candles
    USING (SELECT symbol, max(at_ms) AS newest_ms FROM trades GROUP BY symbol) AS last
    WHERE candles.symbol = last.symbol AND interval_s = 1
        AND open_at_ms < newest_ms - 86400000 - (newest_ms - 86400000) % 60000
    """,
    "UPDATE positions SET candles_slot = slot",
    "ALTER TABLE ledger ADD COLUMN order_id bigint, ADD COLUMN trade_id bigint, ADD COLUMN transfer_id text",
    "CREATE INDEX ledger_from ON ledger (from_account, at_ms, partition, slot, line)",
    """
    CREATE INDEX ledger_to ON ledger (to_account, at_ms, partition, slot, line) WHERE to_account <> from_account
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in (
        "DROP INDEX ledger_to",
        "DROP INDEX ledger_from",
        "ALTER TABLE ledger DROP COLUMN order_id, DROP COLUMN trade_id, DROP COLUMN transfer_id",
        "DROP INDEX trades_by_slot",
        "DROP TABLE candles",
        "ALTER TABLE positions DROP COLUMN candles_slot",
    ):
        op.execute(statement)
