"""Measurements that a sceptic could repeat: each figure beside something known, taken in the same run.

`python -m bench` (or `crossbook bench`) prints a table; `--json FILE` keeps it. It takes less than three minutes;
`--stage recovery`, which writes a journal of a million events, takes a quarter of an hour.
Ratios mean more than the figures: the load generator, the exchange, its database and its emulated cloud share the
machine. May import crossbook, exchange_adapters and exchange_core; the services are processes to it, but for the
matcher's packing and recovery, which are run here to take them apart.
"""
