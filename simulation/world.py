"""One world: hosts, clients and weather of one seed; chaos first, then everything heals and must settle.

1 open      hosts start, an operator lists the market and funds the users: nothing goes wrong yet
2 chaos     clients act while the weather does what it will
3 heal      faults end, paused processes wake, dead ones start; within SETTLE_S all must have come to rest; then
            the operator opens what is still halted
4 probe     one poisoned message and one bomb, in one symbol; the other symbols must trade on at once
5 close     every service is stopped in good order, and the stores are evidence
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exchange_adapters.sim import SimClock, SimCloud
from exchange_core.instruments import SymbolStatus
from exchange_core.topology import Topology
from exchange_matcher.publication import REFRESH_S
from simulation.clients.credentials import Key, LogIn
from simulation.clients.desk import Desk
from simulation.clients.eavesdroppers import Eavesdropper
from simulation.clients.history import History
from simulation.clients.leavers import LEFT_MAX, Leaver
from simulation.clients.listeners import Wants, listeners
from simulation.clients.operators import Operator, status_path
from simulation.clients.readers import Reader
from simulation.clients.traders import BOMB_PREFIX, Trader
from simulation.figures import Figures, failovers
from simulation.machines.cloud import Taps, build_cloud
from simulation.machines.determinism import determinism, random_of
from simulation.machines.directory import OPERATOR, Directory, api_key_of, session_of
from simulation.machines.hosts import PARTITIONS, Host, Pace, Surroundings
from simulation.machines.network import Network
from simulation.machines.processes import SimulationLoop
from simulation.market import BUYER, DEPOSITS, LEAVER, SYMBOLS, USERS, listing
from simulation.probe import Probe, trade_ids
from simulation.trouble.bombs import armed
from simulation.trouble.bounds import tightened
from simulation.trouble.storm import TWIN, Storm
from simulation.trouble.weather import Weather

GATEWAYS: Final = ("gateway-1", "gateway-2")
SETTLE_S: Final = 60.0
_OPEN_S: Final = 60.0
_POLL_S: Final = 0.5
_RESTART_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Aftermath:
    """All that is left of a world when it has ended: what the checks look at."""

    seed: int
    weather: Weather
    cloud: SimCloud
    taps: Taps
    history: History
    figures: Figures
    crashes: list[str]
    unsettled_because: str
    probe_slow: list[str]
    feeds_missed: dict[Wants, list[str]]
    acknowledged_cancels: set[int]
    trace: str
    bounds: Sequence[str] = ()


class World:
    """The parts of one seed. `run` may be called once, inside a SimulationLoop."""

    def __init__(self, seed: int, loop: SimulationLoop, *, weather: Weather | None = None) -> None:
        self.seed = seed
        self._loop = loop
        self._random = random_of(seed, "world")
        self.weather = weather or Weather.draw(random_of(seed, "weather"))
        self._clock = SimClock(origin_s=0.0)
        self.cloud, self.taps = build_cloud(Topology(partitions=PARTITIONS), self._clock)
        self._network = Network(loop)
        self._trace = hashlib.sha256()
        self.figures = Figures()
        self._around = Surroundings(
            loop=loop, network=self._network, cloud=self.cloud, directory=Directory(), heard=self._hear
        )
        self.history = History()
        self._desk = Desk(self._network, self.history, GATEWAYS)
        self._pace = Pace(snapshot_slots=self._random.choice((3, 8, 40)), group_slots=self._random.choice((1, 4, 500)))
        self.hosts = {
            name: self._host(name, name)
            for name in (*GATEWAYS, "matcher-1", "matcher-2", "persister-1", "reconciler-1", "fanout-1")
        }
        self._storm = Storm(
            loop, self._random, self.weather, self.cloud, self._network, self.hosts, self._host, self.figures
        )
        self._listeners = listeners(self._network, "fanout-1", self.history, (USERS[0], BUYER))
        self._listening_ends = asyncio.Event()
        self._probe = Probe(
            desk=self._desk,
            storm=self._storm,
            listeners=self._listeners,
            cloud=self.cloud,
            history=self.history,
            rest=self._rest,
        )
        self._background: list[asyncio.Task[Any]] = []

    def _host(self, name: str, instance: str) -> Host:
        return Host(name, instance, self._around, random_of(self.seed, name), self._pace)

    def _hear(self, process: str, asked: str) -> None:
        """The trace: every answered call of every process, with its time."""
        self.figures.store_calls += 1
        self._trace.update(f"{self._loop.time():.6f} {process} {asked}\n".encode())

    async def run(self) -> Aftermath:
        """Live through it all."""
        await self._open()
        await self._chaos()
        unsettled = await self._heal()
        if not unsettled:
            sick, *others = self._random.sample(SYMBOLS, len(SYMBOLS))
            await self._probe.run(sick, others)
        await self._close()
        return self._aftermath(unsettled)

    async def _open(self) -> None:
        users = [(user_id, 0) for user_id in (*DEPOSITS, OPERATOR, LEAVER)]
        for user_id, number in (*users, *((LEAVER, number) for number in range(1, LEFT_MAX + 1))):
            await self.cloud.sessions.put(session_of(user_id, number))
            await self.cloud.api_keys.put(api_key_of(user_id, number))
        for host in self.hosts.values():
            host.start()
        self._background = [asyncio.ensure_future(self._supervise())]
        for symbol in SYMBOLS:
            await self._surely(f"list {symbol}", "/api/v1/admin/instruments", listing(symbol))
        await self._until(lambda: len(self._listed()) == len(SYMBOLS), "the market to be listed")
        for user_id, deposits in DEPOSITS.items():
            for asset, amount in deposits.items():
                body = {"user_id": user_id, "asset": asset, "amount": amount, "transfer_id": f"first-{user_id}-{asset}"}
                await self._surely(f"fund {user_id}", "/api/v1/admin/deposits", body)
        await self._until(lambda: not self._unrest(), "the first funds")
        self._background += [asyncio.ensure_future(one.run(self._listening_ends)) for one in self._listeners]

    async def _surely(self, what: str, path: str, body: dict[str, Any]) -> None:
        deadline_s = self._loop.time() + _OPEN_S
        while True:
            call = await self._desk.call(OPERATOR, "open", "POST", path, host=GATEWAYS[0], body=body)
            if call.is_promise:
                return
            assert self._loop.time() < deadline_s, f"{what}: {call}"
            await asyncio.sleep(0.2)

    def _listed(self) -> set[str]:
        return set(self.cloud.projections.database.fold.instruments)

    async def _chaos(self) -> None:
        ending = asyncio.Event()
        random = self._random
        has_bombs = "bombs" in self.weather.events

        def pause_s() -> float:
            return self.weather.pause_s or random.choice((0.1, 0.4, 1.2))

        clients: list[Any] = [
            Trader(
                self._desk,
                user_id,
                random_of(self.seed, user_id),
                pause_s=pause_s(),
                has_bombs=has_bombs,
                ending=ending,
            )
            for user_id in USERS
        ]
        has_halts = "halts" in self.weather.events
        clients.append(Operator(self._desk, random_of(self.seed, OPERATOR), has_halts=has_halts, ending=ending))
        reading = random_of(self.seed, "reader")
        clients.append(Reader(self._desk, reading, self.history, pause_s=pause_s(), ending=ending))
        for kind in (LogIn, Key):
            leaving = random_of(self.seed, f"leaver by {kind.__name__}")
            clients.append(Leaver(self._desk, leaving, kind, ending=ending))
        if "replays" in self.weather.events:
            listening = random_of(self.seed, "eavesdropper")
            clients.append(Eavesdropper(self._desk, listening, pause_s=pause_s(), ending=ending))
        working = [asyncio.ensure_future(client.run()) for client in clients]
        await self._storm.rage(self.weather.chaos_s)
        ending.set()
        self._storm.end()
        await asyncio.gather(*working)

    async def _supervise(self) -> None:
        """Starts what has ended, as long as the world lasts."""
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 2 * _RESTART_S))
            for host in list(self.hosts.values()):
                host.restart_if_ended()

    async def _heal(self) -> str:
        """What did not come to rest in time. Whoever started an instance twice stops one of them: two of one name share
        its leases, and take turns in writing the caches for as long as both live."""
        healed_s = self._loop.time()
        await asyncio.gather(*[self.hosts[name].stop() for name in sorted(self.hosts) if name.endswith(TWIN)])
        unsettled = await self._rest()
        self.figures.settle_s = self._loop.time() - healed_s
        if not unsettled:
            unsettled = await self._reopen()
        return unsettled

    async def _reopen(self) -> str:
        """What an operator has closed and could not open again; what did not come to rest then."""
        closed = [
            symbol
            for symbol, instrument in sorted(self.cloud.projections.database.fold.instruments.items())
            if instrument.status is not SymbolStatus.TRADING
        ]
        for symbol in closed:
            await self._surely(f"open {symbol}", status_path(symbol), {"status": "trading"})
        return await self._rest() if closed else ""

    async def _rest(self) -> str:
        """Wait until nothing is on its way, looked at twice; what still is after SETTLE_S."""
        deadline_s = self._loop.time() + SETTLE_S
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(_POLL_S)
            unrest = self._unrest()
            quiet = 0 if unrest else quiet + 1
            if self._loop.time() > deadline_s:
                return unrest or "restless"
        return ""

    def _unrest(self) -> str:
        """What keeps the exchange from being at rest: empty when nothing does."""
        idle = [name for name, host in self.hosts.items() if not host.is_running and not name.endswith(TWIN)]
        return self._what_is_on_its_way() or (f"{idle} are not running" if idle else "")

    def _what_is_on_its_way(self) -> str:
        for partition in range(PARTITIONS):
            if self.cloud.queues.depth(partition):
                return f"the queue of partition {partition} holds {self.cloud.queues.depth(partition)} messages"
            wallets: Any = self.cloud.wallets
            waiting = wallets._pending.get(partition)
            if waiting:
                return f"{len(waiting)} intents of partition {partition} are pending: {sorted(waiting)[:3]}"
            head, position = self.cloud.journal.head(partition), len(self.cloud.projections.recorded(partition))
            if position < head:
                return f"the database is at slot {position} of {head} of partition {partition}"
        return ""

    async def _close(self) -> None:
        """Upstream first: what a matcher journals as it stops is settled before the persister stops."""
        self.cloud.redis.flush()
        await asyncio.sleep(REFRESH_S + 1.0)
        self._listening_ends.set()
        self._background[0].cancel()
        for services in (("gateway", "fanout"), ("matcher",)):
            await asyncio.gather(*[host.stop() for host in self.hosts.values() if host.service in services])
        deadline_s = self._loop.time() + SETTLE_S
        while self._what_is_on_its_way() and self._loop.time() < deadline_s:
            await asyncio.sleep(_POLL_S)
        await asyncio.gather(*[host.stop() for host in self.hosts.values()])
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _until(self, is_true: Callable[[], bool], what: str) -> None:
        deadline_s = self._loop.time() + _OPEN_S
        while not is_true():
            assert self._loop.time() < deadline_s, f"still waiting for {what}"
            await asyncio.sleep(0.1)

    def _aftermath(self, unsettled: str) -> Aftermath:
        figures = self.figures
        figures.virtual_s = self._loop.time() - self._storm.suspended_s
        figures.calls = len(self.history.calls)
        figures.promises = sum(call.is_promise for call in self.history.calls)
        figures.slots = len(self.taps.journal.puts)
        figures.trades = len(trade_ids(self.cloud))
        figures.starts = sum(host.starts for host in self.hosts.values())
        figures.failovers = failovers(self.taps)
        figures.repeats_sent = self.taps.queues.sent["commands"] - len(self.taps.queues.commands)
        figures.stream_repeats = max(0, len(self.cloud.stream.records()) - figures.slots)
        for host in self.hosts.values():
            for (_, fault), count in host.faults.injected.items():
                figures.faults[str(fault)] += count
        signatures = [call.signature for call in self.history.calls if call.signature]
        figures.faults["replays"] += len(signatures) - len(set(signatures))
        for call in self.history.calls:
            if call.is_promise and call.request is not None:
                is_bomb = str(call.request.get("client_order_id", "")).startswith(BOMB_PREFIX)
                figures.faults["bombs"] += is_bomb
                figures.faults["halts"] += call.kind == "status" and call.request["status"] != "trading"
        crashes = [
            f"{host.name}: {type(error).__name__}: {error}" for host in self.hosts.values() for error in host.crashes
        ]
        self._trace_the_end()
        return Aftermath(
            seed=self.seed,
            weather=self.weather,
            cloud=self.cloud,
            taps=self.taps,
            history=self.history,
            figures=figures,
            crashes=crashes,
            unsettled_because=unsettled,
            probe_slow=self._probe.slow,
            feeds_missed=self._probe.unheard,
            acknowledged_cancels=_acknowledged_cancels(self.history),
            trace=self._trace.hexdigest(),
        )

    def _trace_the_end(self) -> None:
        for at_ms, partition, n, data in self.taps.journal.puts:
            self._trace.update(f"{at_ms} {partition} {n} ".encode() + data)
        for wallet in self.cloud.wallets.all_wallets():
            self._trace.update(f"{wallet}\n".encode())
        for call in self.history.calls:
            self._trace.update(f"{call.number} {call.fate} {call.status} {call.code} {call.ended_ms}\n".encode())


def _acknowledged_cancels(history: History) -> set[int]:
    """Orders whose cancel the exchange said it would carry out."""
    return {
        int(call.target)
        for call in history.calls
        if call.kind == "cancel" and call.is_promise and call.target is not None
    }


def live(seed: int, *, weather: Weather | None = None) -> Aftermath:
    """The whole story of one seed."""
    with determinism(seed), armed(), tightened(random_of(seed, "bounds")) as bounds:
        loop = SimulationLoop()
        try:
            world = World(seed, loop, weather=weather)
            aftermath = loop.run_until_complete(world.run())
        finally:
            loop.dispose()
    aftermath.bounds = bounds
    return aftermath
