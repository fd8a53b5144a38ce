"""Who asks, and how often he may: log-ins, API keys and their signatures, the user directory, rate limits.

Redis makes it better, for all gateways together: while it is away, each counts and remembers for itself.
"""
