"""Trades by partition and slot.

The reconciler reads the trades of each slot that was settled. `trades_by_slot` summed up ranges of blocks by slot only,
and the partitions' slots lie side by side in them: of a quiet partition beside a busy one, whose numbers are far ahead,
nearly every range may have the slot, and nearly the whole table was read. Settlement waits while the index is made.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE INDEX trades_by_partition ON trades (partition, slot)")
    op.execute("DROP INDEX trades_by_slot")


def downgrade() -> None:
    op.execute("CREATE INDEX trades_by_slot ON trades USING brin (slot)")
    op.execute("DROP INDEX trades_by_partition")
