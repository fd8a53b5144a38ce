"""Simulated twins of every port of `exchange_core.ports`, in memory.

Owns: one class a store, faithful to what the real services promise and to how they fail; `Faults`, which decides when
they do; `SimClock` and the virtual-time loop. Lifecycle: none, they hold no resources. Invariants: time comes from a
Clock and the event loop, randomness only from a `random.Random` handed in; every effect is one step that no other task
can see half of; everything is bounded. May import: exchange_core, the standard library.
"""

from exchange_adapters.sim.clock import START_MS, SimClock
from exchange_adapters.sim.cloud import SimCloud
from exchange_adapters.sim.database_reader import SimDatabaseReader
from exchange_adapters.sim.faults import Fault, Faults, Gate
from exchange_adapters.sim.journal import SimJournal
from exchange_adapters.sim.kinesis import SimStream
from exchange_adapters.sim.projections import SimProjections
from exchange_adapters.sim.redis import SimRedis
from exchange_adapters.sim.s3 import SimHistory, SimSnapshots
from exchange_adapters.sim.sqs import SimCommandQueues
from exchange_adapters.sim.tables import SimApiKeys, SimConnections, SimLeases, SimSessions
from exchange_adapters.sim.wallets import SimWallets

__all__ = [
    "START_MS",
    "Fault",
    "Faults",
    "Gate",
    "SimApiKeys",
    "SimClock",
    "SimCloud",
    "SimCommandQueues",
    "SimConnections",
    "SimDatabaseReader",
    "SimHistory",
    "SimJournal",
    "SimLeases",
    "SimProjections",
    "SimRedis",
    "SimSessions",
    "SimSnapshots",
    "SimStream",
    "SimWallets",
]
