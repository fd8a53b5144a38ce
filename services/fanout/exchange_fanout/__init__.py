"""Stage 6, fanout: what is worth seeing now, from Redis pub/sub to every WebSocket that asked for it.

Owns: `/ws`, the subscriptions of its own connections, the Redis sets `subscribers:SYM` and the connections table.
Concurrency: one event loop; one Redis subscription a channel however many clients watch it; a message is framed once
and the same bytes go to all. Lifecycle: a connection lives in one task, its handler; `app.run` starts the stages and
stops them in reverse. Invariants: a message is passed on byte for byte and in order, unless its reader is behind: then
depth, tickers and candles are conflated and nothing else is; a slow reader costs the others nothing, since no send ever
waits; a user's own channels reach nobody but a connection of that user; everything that waits is bounded. The feed is
at most once: a gap shows by `seq`, and one in depth is mended by a new book. May import exchange_core and
exchange_adapters.
"""
