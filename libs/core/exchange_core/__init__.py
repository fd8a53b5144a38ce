"""What an exchange means, without any input or output.

Owns: the messages (commands, events), their encoding, money and instruments, the order book and the matching
rules, the fold of the journal, the ports that adapters implement and the names of every queue, table and stream.
Invariants: no clock, no randomness, no environment, no logging and no I/O in this package; time and ids arrive as
arguments. May import: the standard library, orjson and zstandard.
"""
