"""What each service needs from the outside, in halves: whoever only writes a thing is handed only the writing half.

Every method may raise the errors of `errors.PortError`; the docstrings name only those that carry a meaning of their
own. The real adapters are in `exchange_adapters`, their simulated twins in `exchange_adapters.sim` under the same
names, and one conformance suite runs on both.
"""

from exchange_core.ports.commands import CommandMessage, CommandSink, CommandSource, Delivery
from exchange_core.ports.database import (
    DatabaseReader,
    FillView,
    JournalPosition,
    LedgerEntry,
    OrderView,
    Projection,
    Projections,
    SettledRows,
    TradeView,
)
from exchange_core.ports.executions import ExecutionSink, ExecutionSource, Shard, StreamPage, StreamRecord
from exchange_core.ports.journal import (
    HistoryArchive,
    HistoryReader,
    JournalReader,
    JournalWriter,
    SlotTakenError,
    SnapshotStore,
)
from exchange_core.ports.limits import OnceMarks, RateLimiter
from exchange_core.ports.market import MarketCache, MarketPublisher, MessageSource, SubscriberSets
from exchange_core.ports.registers import (
    ApiKey,
    ApiKeyStore,
    ConnectionStore,
    KeyScope,
    LeaseStore,
    Session,
    SessionStore,
)
from exchange_core.ports.time import Clock
from exchange_core.ports.wallets import (
    MAX_TRANSACTION_ITEMS,
    AlreadySettledError,
    HoldRefusedError,
    Intent,
    Pending,
    Wallet,
    WalletHolds,
    WalletReader,
    WalletRestore,
    WalletSettlement,
    item_count,
)

__all__ = [
    "MAX_TRANSACTION_ITEMS",
    "AlreadySettledError",
    "ApiKey",
    "ApiKeyStore",
    "Clock",
    "CommandMessage",
    "CommandSink",
    "CommandSource",
    "ConnectionStore",
    "DatabaseReader",
    "Delivery",
    "ExecutionSink",
    "ExecutionSource",
    "FillView",
    "HistoryArchive",
    "HistoryReader",
    "HoldRefusedError",
    "Intent",
    "JournalPosition",
    "JournalReader",
    "JournalWriter",
    "KeyScope",
    "LeaseStore",
    "LedgerEntry",
    "MarketCache",
    "MarketPublisher",
    "MessageSource",
    "OnceMarks",
    "OrderView",
    "Pending",
    "Projection",
    "Projections",
    "RateLimiter",
    "Session",
    "SessionStore",
    "SettledRows",
    "Shard",
    "SlotTakenError",
    "SnapshotStore",
    "StreamPage",
    "StreamRecord",
    "SubscriberSets",
    "TradeView",
    "Wallet",
    "WalletHolds",
    "WalletReader",
    "WalletRestore",
    "WalletSettlement",
    "item_count",
]
