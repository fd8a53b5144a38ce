"""PostgreSQL, Redis and the emulated cloud as processes of the twin: how each is started, and when it answers."""
