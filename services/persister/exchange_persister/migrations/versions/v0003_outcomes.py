"""What became of commands, and the operators' audit log.

- `command_outcomes` has a row for each command but orders (an order is its own outcome), for a day of journal time. It
  is written, and what is too old deleted, by the transaction that writes the slot; each partition deletes its own, so
  that two never wait for each other. A command id that comes twice keeps its first outcome.
- `operator_commands` is kept for ever: there are few. `detail` says what the command was about.
- Neither can be told from what is in the database already. `positions.outcomes_after` is the last slot that a version
  before this one settled: both tables are whole from the next slot on.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE TABLE command_outcomes (
        command_id bigint PRIMARY KEY,
        user_id text COLLATE "C" NOT NULL,
        command text NOT NULL,
        symbol text COLLATE "C" NOT NULL,
        order_id bigint NOT NULL,
        order_count integer NOT NULL,
        reason text,
        partition integer NOT NULL,
        slot bigint NOT NULL CHECK (slot > 0),
        seq bigint NOT NULL,
        at_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX command_outcomes_by_age ON command_outcomes (partition, at_ms)",
    """
    CREATE TABLE operator_commands (
        command_id bigint PRIMARY KEY,
        operator_id text COLLATE "C" NOT NULL,
        command text NOT NULL,
        symbol text COLLATE "C" NOT NULL,
        detail jsonb NOT NULL,
        reason text,
        partition integer NOT NULL,
        slot bigint NOT NULL CHECK (slot > 0),
        seq bigint NOT NULL,
        at_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX operator_commands_by_time ON operator_commands (at_ms, command_id)",
    "ALTER TABLE positions ADD COLUMN outcomes_after bigint NOT NULL DEFAULT 0",
    "UPDATE positions SET outcomes_after = slot",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE positions DROP COLUMN outcomes_after")
    op.execute("DROP TABLE operator_commands")
    op.execute("DROP TABLE command_outcomes")
