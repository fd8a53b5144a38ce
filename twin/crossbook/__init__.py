"""The embedded twin: the whole exchange on one machine, without Docker, and its command line.

Owns the state directory (`.twin/`), the processes it starts and the resources it makes in the emulated cloud.
Lifecycle: `Twin.start()` brings up PostgreSQL, Redis and MiniStack, creates what `exchange_core.topology` lists,
migrates the database, starts the four services and seeds demo users; `Twin.stop()` takes all down in reverse.
Invariants: no process outlives its supervisor; halves of the state that do not belong together are refused.
May import exchange_core and exchange_adapters, never a service: those are processes to it, found by name.
"""
