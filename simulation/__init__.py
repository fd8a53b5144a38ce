"""The whole exchange in one process and in virtual time: a seed decides what its clients do and all that goes wrong.

Owns: the loop with processes that can be killed and paused (`processes`), the network without sockets (`network`), the
stores as remote processes reach them (`remote`), the hosts that run the real `app.run` of every service (`hosts`), what
goes wrong (`weather`), what clients do and saw (`workload`, `history`), the world that puts it all together (`world`),
what must hold in the end (`checks`), and the broken parts that prove the checks can fail (`ablations`).
Lifecycle: `run_story(Story(seed))` gives a verdict; nothing outlives it. Invariants: time is the loop's, randomness the
seed's; the same seed gives the same trace in every interpreter. May import everything; nothing imports it but tests.
"""
