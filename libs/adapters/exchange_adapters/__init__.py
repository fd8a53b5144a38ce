"""The world outside, behind the ports of `exchange_core.ports`.

Owns: one module a foreign system (SQS, Kinesis, DynamoDB, S3, PostgreSQL, Redis), each translating its foreign errors
into `exchange_core.errors` once; group commit; what every process needs (clock, logs, health, signals). `sim/` holds
simulated twins of the same names. May import exchange_core and the client libraries, never a service.
"""
