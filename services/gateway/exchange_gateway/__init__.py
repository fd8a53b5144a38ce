"""The gateway: HTTP in, promises out.

Owns: who may ask (tokens, sessions), what may be asked (validation against the instruments), the hold and the intent
that make an order durable before it is answered, the sending of commands to the matcher, and the sweeper that sends
again what no journal slot has shown. Lifecycle: `app.run` starts the parts in order and stops them in reverse, so that
everything promised is written. Invariants: no answer 202 without a committed intent; no refusal that is not conclusive;
nothing that moves money is decided from the database or from Redis. May import exchange_core and exchange_adapters.
"""
