"""One of every simulated store, on one clock: the whole outside of the exchange."""

from dataclasses import dataclass

from exchange_adapters.sim.clock import SimClock
from exchange_adapters.sim.database_reader import SimDatabaseReader
from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.journal import SimJournal
from exchange_adapters.sim.kinesis import SimStream
from exchange_adapters.sim.projections import SimProjections
from exchange_adapters.sim.redis import SimRedis
from exchange_adapters.sim.s3 import SimHistory, SimSnapshots
from exchange_adapters.sim.sqs import SimCommandQueues
from exchange_adapters.sim.tables import SimApiKeys, SimConnections, SimLeases, SimSessions
from exchange_adapters.sim.wallets import SimWallets
from exchange_core.ports import Clock
from exchange_core.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class SimCloud:
    """The stores as one host sees them; `seen_by` gives the same stores with another host's faults."""

    queues: SimCommandQueues
    journal: SimJournal
    stream: SimStream
    wallets: SimWallets
    snapshots: SimSnapshots
    history: SimHistory
    leases: SimLeases
    sessions: SimSessions
    api_keys: SimApiKeys
    connections: SimConnections
    redis: SimRedis
    projections: SimProjections
    reader: SimDatabaseReader

    @classmethod
    def build(
        cls, topology: Topology | None = None, *, clock: Clock | None = None, faults: Faults | None = None
    ) -> "SimCloud":
        """A new, empty cloud."""
        clock = clock or SimClock()
        faults = faults or Faults()
        projections = SimProjections(clock=clock, faults=faults)
        return cls(
            queues=SimCommandQueues(topology, clock=clock, faults=faults),
            journal=SimJournal(clock=clock, faults=faults),
            stream=SimStream(topology, clock=clock, faults=faults),
            wallets=SimWallets(clock=clock, faults=faults),
            snapshots=SimSnapshots(clock=clock, faults=faults),
            history=SimHistory(clock=clock, faults=faults),
            leases=SimLeases(clock=clock, faults=faults),
            sessions=SimSessions(clock=clock, faults=faults),
            api_keys=SimApiKeys(clock=clock, faults=faults),
            connections=SimConnections(clock=clock, faults=faults),
            redis=SimRedis(clock=clock, faults=faults),
            projections=projections,
            reader=SimDatabaseReader(projections, clock=clock, faults=faults),
        )

    def seen_by(self, faults: Faults) -> "SimCloud":
        """The same stores as a host with these faults sees them, with a Redis client of its own."""
        return SimCloud(
            queues=self.queues.seen_by(faults),
            journal=self.journal.seen_by(faults),
            stream=self.stream.seen_by(faults),
            wallets=self.wallets.seen_by(faults),
            snapshots=self.snapshots.seen_by(faults),
            history=self.history.seen_by(faults),
            leases=self.leases.seen_by(faults),
            sessions=self.sessions.seen_by(faults),
            api_keys=self.api_keys.seen_by(faults),
            connections=self.connections.seen_by(faults),
            redis=self.redis.connect(faults),
            projections=self.projections.seen_by(faults),
            reader=self.reader.seen_by(faults),
        )
