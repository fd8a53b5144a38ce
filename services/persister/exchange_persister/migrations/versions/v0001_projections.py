"""Orders, trades, fills, ledger, instruments, positions, shard checkpoints.

Rules of these tables:

- Times are bigint milliseconds since the Unix epoch: the journal's own integers, compared and paged by exactly, with no
  conversion to lose a digit or a time zone in. Names end in `_ms`.
- Prices (ticks), quantities (lots) and ids are bigint: a message keeps them within 63 bits. Amounts (smallest units)
  are numeric(38,0): sums of them may grow beyond.
- There is one writer, it writes a slot whole in one transaction, and `positions` says which slots are in. Primary keys
  and checks are there to stop a bug of ours, not to arbitrate. Foreign keys would be checked row by row for what that
  one transaction has just written (and a rejected order may name a symbol that never existed): there are none. Nor is
  what a rejected order asked for checked: a refusal must not stop a partition.
- Text keys sort by bytes (COLLATE "C"): the same order on every installation, and cheaper indexes.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE positions (
        partition integer PRIMARY KEY CHECK (partition >= 0),
        slot bigint NOT NULL CHECK (slot >= 0),
        journal_at_ms bigint NOT NULL CHECK (journal_at_ms >= 0)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE shard_checkpoints (
        shard_id text COLLATE "C" PRIMARY KEY,
        sequence_number text COLLATE "C" NOT NULL
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE instruments (
        symbol text COLLATE "C" PRIMARY KEY,
        partition integer NOT NULL CHECK (partition >= 0),
        status text NOT NULL CHECK (status IN ('trading', 'cancel_only', 'halted')),
        definition jsonb NOT NULL,
        seq bigint NOT NULL CHECK (seq > 0),
        listed_at_ms bigint NOT NULL,
        updated_at_ms bigint NOT NULL
    )
    """,
    """
    CREATE TABLE orders (
        order_id bigint PRIMARY KEY,
        user_id text COLLATE "C" NOT NULL,
        client_order_id text COLLATE "C" NOT NULL,
        symbol text COLLATE "C" NOT NULL,
        side text NOT NULL CHECK (side IN ('buy', 'sell')),
        order_type text NOT NULL,
        time_in_force text NOT NULL,
        price bigint,
        quantity bigint,
        quote_quantity numeric(38, 0),
        trigger_price bigint,
        display_quantity bigint,
        expires_at_ms bigint,
        post_only boolean NOT NULL,
        self_trade_prevention text NOT NULL,
        hold numeric(38, 0) NOT NULL CHECK (hold >= 0),
        hold_asset text COLLATE "C" NOT NULL,
        filled_quantity bigint NOT NULL CHECK (filled_quantity >= 0),
        filled_quote numeric(38, 0) NOT NULL CHECK (filled_quote >= 0),
        fee numeric(38, 0) NOT NULL CHECK (fee >= 0),
        status text NOT NULL
            CHECK (status IN ('open', 'partially_filled', 'filled', 'canceled', 'expired', 'rejected')),
        reason text,
        partition integer NOT NULL,
        slot bigint NOT NULL CHECK (slot > 0),
        seq bigint NOT NULL CHECK (seq >= 0),
        created_at_ms bigint NOT NULL,
        updated_at_ms bigint NOT NULL,
        CONSTRAINT orders_terms_are_sound CHECK (
            status = 'rejected'
            OR (
                price > 0 AND quantity >= 0 AND quote_quantity > 0 AND trigger_price > 0 AND display_quantity > 0
                AND filled_quantity <= quantity
            ) IS NOT FALSE
        )
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE trades (
        symbol text COLLATE "C" NOT NULL,
        trade_id bigint NOT NULL CHECK (trade_id > 0),
        price bigint NOT NULL CHECK (price > 0),
        quantity bigint NOT NULL CHECK (quantity > 0),
        quote_amount numeric(38, 0) NOT NULL CHECK (quote_amount > 0),
        taker_side text NOT NULL CHECK (taker_side IN ('buy', 'sell')),
        maker_order_id bigint NOT NULL,
        taker_order_id bigint NOT NULL,
        partition integer NOT NULL,
        slot bigint NOT NULL CHECK (slot > 0),
        seq bigint NOT NULL CHECK (seq > 0),
        at_ms bigint NOT NULL,
        PRIMARY KEY (symbol, trade_id)
    )
    """,
    """
    CREATE TABLE fills (
        symbol text COLLATE "C" NOT NULL,
        trade_id bigint NOT NULL CHECK (trade_id > 0),
        is_maker boolean NOT NULL,
        user_id text COLLATE "C" NOT NULL,
        order_id bigint NOT NULL,
        side text NOT NULL CHECK (side IN ('buy', 'sell')),
        price bigint NOT NULL CHECK (price > 0),
        quantity bigint NOT NULL CHECK (quantity > 0),
        fee numeric(38, 0) NOT NULL CHECK (fee >= 0),
        fee_asset text COLLATE "C" NOT NULL,
        seq bigint NOT NULL CHECK (seq > 0),
        at_ms bigint NOT NULL,
        PRIMARY KEY (symbol, trade_id, is_maker)
    )
    """,
    """
    CREATE TABLE ledger (
        partition integer NOT NULL,
        slot bigint NOT NULL CHECK (slot > 0),
        line integer NOT NULL CHECK (line >= 0),
        kind text NOT NULL CHECK (kind IN ('trade', 'fee', 'release', 'deposit', 'withdrawal')),
        asset text COLLATE "C" NOT NULL,
        amount numeric(38, 0) NOT NULL CHECK (amount > 0),
        from_account text COLLATE "C" NOT NULL,
        from_pocket text NOT NULL CHECK (from_pocket IN ('available', 'held')),
        to_account text COLLATE "C" NOT NULL,
        to_pocket text NOT NULL CHECK (to_pocket IN ('available', 'held')),
        symbol text COLLATE "C" NOT NULL,
        seq bigint NOT NULL CHECK (seq >= 0),
        at_ms bigint NOT NULL,
        PRIMARY KEY (partition, slot, line),
        CHECK (from_account <> to_account OR from_pocket <> to_pocket)
    )
    """,
)

INDEXES = (
    "CREATE INDEX orders_by_user ON orders (user_id, order_id)",
    "CREATE INDEX orders_by_user_symbol ON orders (user_id, symbol, order_id)",
    "CREATE INDEX orders_by_client_order_id ON orders (user_id, client_order_id, order_id)",
    "CREATE INDEX orders_open ON orders (user_id, order_id) WHERE status IN ('open', 'partially_filled')",
    "CREATE INDEX fills_by_user ON fills (user_id, at_ms, symbol, trade_id)",
    "CREATE INDEX fills_by_user_symbol ON fills (user_id, symbol, at_ms, trade_id)",
    "CREATE INDEX fills_by_order ON fills (order_id, trade_id)",
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "ledger",
        "fills",
        "trades",
        "orders",
        "instruments",
        "shard_checkpoints",
        "positions",
    ):
        op.execute(f"DROP TABLE {table}")
