"""What all routes share: the contract and its schemas, reading requests, JSON forms of answers, what surrounds each.

Invariant: a request that leaves here fits the contract, and names who asks where the contract wants a log-in.
"""
