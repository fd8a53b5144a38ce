"""Clients of an exchange, as users write them: over HTTP and WebSocket, without any knowledge of its inside.

Patience is part of it: a 429, a 503 and a lost connection are answered as docs/api.md asks.
"""
