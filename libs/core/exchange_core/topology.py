"""The name and the settings of every queue, stream, table, bucket and channel: the one place that says them.

The twins create their resources from here and so do the stacks; the services find them by the same names. `prefix`
keeps several exchanges apart in one account.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

COMMAND_RETENTION_S: Final = 4 * 24 * 3600
"""SQS keeps a command this long: one without an intent waits nowhere else while a partition stands still (ADR 19)."""
COMMAND_MAX_AGE_MS: Final = 15 * 60 * 1000
"""The matcher drops what may have been in a slot longer ago than this, unless only the queue can have it. Must stay
below DEDUP_WINDOW_MS by more than SWEEP_LAG_LIMIT_MS."""
QUEUED_AT_ONCE_MS: Final = 60 * 1000
"""A command that came into the queue this soon is there once: SQS drops repeats of it for five minutes."""
DEDUP_WINDOW_MS: Final = 30 * 60 * 1000
"""The matcher remembers an order this much journal time after it was done."""
SWEEP_LAG_LIMIT_MS: Final = 5 * 60 * 1000
"""Intents are sent again only while settlement is less than this behind, so that no repeat outlives the window."""
ORDER_MAX_AGE_MS: Final = 120 * 1000
"""An order that reaches the matcher later than this after it was entered expires at once, reason `too_late`."""
HEARTBEAT_MS: Final = 15 * 1000
"""A partition with nothing to do journals an empty slot this often, so that its lag can be told from its idleness."""
COMMAND_VISIBILITY_S: Final = 10
"""How long a matcher that was killed blocks the symbols it had messages of. A slow one is merely repeated."""
COMMAND_MAX_RECEIVES: Final = 25
"""Times the visibility this must stay below the retention, or a poison message is gone before its alarm rings."""
INTENT_TTL_S: Final = 7 * 24 * 3600
STREAM_RETENTION_HOURS: Final = 24 * 7


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """An SQS FIFO queue of one partition, high throughput, and its dead-letter queue (an alarm, not a path)."""

    name: str
    dead_letter_name: str
    retention_s: int = COMMAND_RETENTION_S
    visibility_s: int = COMMAND_VISIBILITY_S
    max_receives: int = COMMAND_MAX_RECEIVES
    dead_letter_retention_s: int = 14 * 24 * 3600

    def attributes(self) -> dict[str, str]:
        """The SQS attributes, without the redrive policy (it needs the dead-letter queue's ARN)."""
        return {
            "FifoQueue": "true",
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "MessageRetentionPeriod": str(self.retention_s),
            "VisibilityTimeout": str(self.visibility_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A DynamoDB table on demand. Keys are (name, type) with type S or N; `ttl_attribute` names the expiry column."""

    name: str
    hash_key: tuple[str, Literal["S", "N"]]
    range_key: tuple[str, Literal["S", "N"]] | None = None
    ttl_attribute: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """A Kinesis stream; partition p's records carry the key `str(p)` and go to `stream_hash_key(p)`."""

    name: str
    shards: int
    retention_hours: int = STREAM_RETENTION_HOURS


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSpec:
    """An S3 bucket, versioned."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All names of one exchange, derived from its prefix and its number of partitions."""

    prefix: str = "crossbook"
    partitions: int = 2
    bucket_suffix: str = field(default="")

    def orders_queue(self, partition: int) -> QueueSpec:
        """The commands of one partition; message group = symbol."""
        name = f"{self.prefix}-orders-{partition}"
        return QueueSpec(name=f"{name}.fifo", dead_letter_name=f"{name}-dead.fifo")

    @property
    def queues(self) -> tuple[QueueSpec, ...]:
        """One orders queue a partition."""
        return tuple(self.orders_queue(partition) for partition in range(self.partitions))

    @property
    def executions(self) -> StreamSpec:
        """What happened, one record a slot."""
        return StreamSpec(name=f"{self.prefix}-executions", shards=self.partitions)

    @property
    def wallets(self) -> TableSpec:
        """(user_id, asset): available, held, applied_<p>."""
        return TableSpec(name=f"{self.prefix}-wallets", hash_key=("user_id", "S"), range_key=("asset", "S"))

    @property
    def intents(self) -> TableSpec:
        """(owner, item): see ports.Intent; owner is a user id or `pending#<partition>#<key>`."""
        return TableSpec(
            name=f"{self.prefix}-intents",
            hash_key=("owner", "S"),
            range_key=("item", "S"),
            ttl_attribute="expires_at",
        )

    @property
    def journal(self) -> TableSpec:
        """(partition, n): one slot each, written once."""
        return TableSpec(name=f"{self.prefix}-journal", hash_key=("partition", "N"), range_key=("n", "N"))

    @property
    def leases(self) -> TableSpec:
        """(name): who works a partition, which gateway has which node number; and the twin's world id."""
        return TableSpec(name=f"{self.prefix}-leases", hash_key=("name", "S"))

    @property
    def sessions(self) -> TableSpec:
        """(session_id): a log-in that can be revoked."""
        return TableSpec(name=f"{self.prefix}-sessions", hash_key=("session_id", "S"), ttl_attribute="expires_at")

    @property
    def api_keys(self) -> TableSpec:
        """(user_id, key_id): a bot's key."""
        return TableSpec(name=f"{self.prefix}-api-keys", hash_key=("user_id", "S"), range_key=("key_id", "S"))

    @property
    def connections(self) -> TableSpec:
        """(connection_id): an open WebSocket and the fanout task that holds it."""
        return TableSpec(name=f"{self.prefix}-connections", hash_key=("connection_id", "S"), ttl_attribute="expires_at")

    @property
    def tables(self) -> tuple[TableSpec, ...]:
        """Every table."""
        return (
            self.wallets,
            self.intents,
            self.journal,
            self.leases,
            self.sessions,
            self.api_keys,
            self.connections,
        )

    @property
    def snapshots(self) -> BucketSpec:
        """Book states, written by the matcher."""
        return BucketSpec(name=f"{self.prefix}-snapshots{self.bucket_suffix}")

    @property
    def history(self) -> BucketSpec:
        """Slots for analysts, written by the persister."""
        return BucketSpec(name=f"{self.prefix}-history{self.bucket_suffix}")

    @property
    def buckets(self) -> tuple[BucketSpec, ...]:
        """Every bucket."""
        return (self.snapshots, self.history)


def stream_hash_key(partition: int) -> int:
    """Where in the stream's 128-bit key space a partition's records go: 0, ½, ¼, ¾, … of it.

    Left to Kinesis the keys "0" to "3" all hash into the upper half, and half the shards stay idle. This sequence
    spreads any number of partitions, and as it does not depend on how many there are, none ever changes its place.
    """
    assert 0 <= partition < 1 << 16
    return int(f"{partition:016b}"[::-1], 2) << 112


def order_book_key(symbol: str) -> str:
    """Redis: the top of the book as JSON."""
    return f"orderbook:{symbol}"


def price_key(symbol: str) -> str:
    """Redis: the last price as JSON."""
    return f"price:{symbol}"


def subscribers_key(symbol: str) -> str:
    """Redis: the set of WebSocket connections that watch the symbol."""
    return f"subscribers:{symbol}"


def rate_limit_key(limit: str, subject: str) -> str:
    """Redis: when one subject's store of requests will be full again, in microseconds."""
    return f"ratelimit:{limit}:{subject}"


def signature_key(digest: str) -> str:
    """Redis: that a signed request was seen."""
    return f"signature:{digest}"


def trades_channel(symbol: str) -> str:
    """Redis pub/sub: the trade messages of a symbol, ready to be sent on."""
    return f"trades:{symbol}"


def depth_channel(symbol: str) -> str:
    """Redis pub/sub: the depth diffs of a symbol."""
    return f"depth:{symbol}"


def ticker_channel(symbol: str) -> str:
    """Redis: the last 24 hours as the message that the ticker channel sends; cached and published under one name."""
    return f"ticker:{symbol}"


def candle_channel(symbol: str, interval: str) -> str:
    """Redis pub/sub: the messages of one candle interval (`1s` to `1d`), ready to be sent on."""
    return f"candle:{symbol}:{interval}"


def user_channel(user_id: str) -> str:
    """Redis pub/sub: what concerns one user's orders and balances."""
    return f"user:{user_id}"


def partition_lease(partition: int) -> str:
    """Lease: which matcher works the partition."""
    return f"matcher#{partition}"


def node_lease(node: int) -> str:
    """Lease: which gateway makes ids with this number."""
    return f"node#{node}"


INSTRUMENTS_CHANNEL: Final = "instruments"
"""Redis pub/sub: told that an instrument was listed or changed its status."""
SESSIONS_CHANNEL: Final = "sessions"
"""Redis pub/sub: ids of revoked sessions, so that no gateway trusts its cache of them."""
API_KEYS_CHANNEL: Final = "api_keys"
"""Redis pub/sub: ids of revoked API keys, for the same reason."""
