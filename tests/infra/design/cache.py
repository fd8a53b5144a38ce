"""Redis."""

from typing import Final

from tests.infra.design.finds import Find, Row

CACHE: Final = (
    Row(
        "cache",
        "ElastiCache Redis, primary and replica in two zones, automatic failover, TLS, daily snapshots kept 7 days",
        [
            Find(
                "ElastiCache::ReplicationGroup",
                lambda p: (
                    p["NumCacheClusters"] == 2
                    and p["MultiAZEnabled"]
                    and p["AutomaticFailoverEnabled"]
                    and p["TransitEncryptionEnabled"]
                    and p["TransitEncryptionMode"] == "required"
                    and p["SnapshotRetentionLimit"] == 7
                ),
            )
        ],
    ),
)
