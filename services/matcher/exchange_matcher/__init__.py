"""The matcher: one book a symbol in memory, the journal, and what follows from it.

Owns: the journal (DynamoDB), the executions stream, the snapshots (S3), the caches `orderbook:SYM` and `price:SYM` and
the trade messages (Redis), and its leases. Lifecycle: an instance holds its fair share of the partitions by leases; a
partition is recovered from snapshot and journal, then worked until the lease goes elsewhere or the process stops.
Invariants: effects follow records (journal, then stream, then Redis, then SQS delete); the engine is touched only
between two awaits, by the partition's own task; a lease decides who works, never what is true. May import exchange_core
and exchange_adapters.
"""
