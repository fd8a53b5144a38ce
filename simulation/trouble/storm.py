"""What happens to the hosts and stores of a world in its chaos, besides the failing calls: one event at a time."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

from exchange_adapters.sim import SimCloud
from exchange_core.ports import CommandMessage
from simulation.figures import Figures
from simulation.machines.hosts import PARTITIONS, Host
from simulation.machines.network import Network
from simulation.machines.processes import SimulationLoop
from simulation.market import PARTITION_OF, SYMBOLS
from simulation.trouble.weather import BY_CLIENTS, STORES, Weather

TWIN: Final = "-twin"
"""Ends the name of a host that runs an instance for the second time."""
_POISON: Final = ("", "{}", '{"v": 99, "commands": []}', '{"v": 1, "commands": [["place", {}], ["dance", {"a": 1}]]}')
_PAUSES_S: Final = (0.3, 2.0, 6.0, 14.0)
"""The longest is longer than a lease, and than SQS keeps a message for whoever received it."""
_SKEW_MAX_MS: Final = 2_000
_SUSPENDED_S: Final = (12.0, 400.0, 2_000.0)
"""Longer than a lease and a visibility; than SQS knows repeats; than a matcher remembers commands."""


class Storm:
    """`hosts` are all hosts by name; `new_host` makes one more of (name, instance)."""

    def __init__(
        self,
        loop: SimulationLoop,
        random: Random,
        weather: Weather,
        cloud: SimCloud,
        network: Network,
        hosts: dict[str, Host],
        new_host: Callable[[str, str], Host],
        figures: Figures,
    ) -> None:
        self._loop = loop
        self._random = random
        self._weather = weather
        self._cloud = cloud
        self._network = network
        self._hosts = hosts
        self._new_host = new_host
        self._figures = figures
        self._poisons = 0
        self._end_s = 0.0
        self.suspended_s = 0.0
        self._sending: list[asyncio.Task[None]] = []

    async def rage(self, seconds: float) -> None:
        """Begin, and let things happen for so long."""
        for host in self._hosts.values():
            self._upset(host)
        own = [event for event in self._weather.events if event not in BY_CLIENTS]
        self._end_s = self._loop.time() + seconds
        while self._loop.time() < self._end_s:
            await asyncio.sleep(self._random.uniform(0.2, 3.0))
            if own:
                self._happen(self._random.choice(own))

    def end(self) -> None:
        """The faults of calls end, clocks go right, and who was paused wakes."""
        for host in self._hosts.values():
            host.faults.heal()
            host.clock.skew_ms = 0
            host.wake()

    def poison(self, symbol: str) -> None:
        """A message that nobody can read, in the queue of one symbol."""
        self._poisons += 1
        message = CommandMessage(
            partition=PARTITION_OF[symbol],
            group=symbol,
            dedup_id=f"poison-{self._poisons}",
            body=self._random.choice(_POISON),
        )
        self._sending.append(asyncio.ensure_future(self._cloud.queues.send(message.partition, [message])))

    def _upset(self, host: Host) -> None:
        self._weather.brew(host.faults)
        if "clock_steps" in self._weather.events:
            self._step_clock(host)

    def _happen(self, event: str) -> None:
        random = self._random
        self._figures.faults[event] += 1
        host = self._hosts[random.choice([name for name in sorted(self._hosts) if self._weather.may_hit(name)])]
        match event:
            case "kills":
                self._figures.kills += 1
                host.kill()
            case "pauses":
                self._pause(host, random.choice(_PAUSES_S))
            case "twins":
                self._add_twin(host)
            case "outages":
                self._outage(random.choice(STORES), None if random.random() < 0.3 else host, random.uniform(0.2, 8.0))
            case "cache_losses":
                self._cloud.redis.flush()
            case "cut_connections":
                self._network.cut(random.randrange)
            case "poison":
                self.poison(random.choice(SYMBOLS))
            case "clock_steps":
                self._step_clock(host)
            case "suspends":
                self._suspend(random.choice(_SUSPENDED_S))
            case "reshards":
                self._reshard()

    def _step_clock(self, host: Host) -> None:
        host.clock.skew_ms = self._random.randint(-_SKEW_MAX_MS, _SKEW_MAX_MS)

    def _suspend(self, seconds: float) -> None:
        """Everything sleeps, as on a laptop that is closed, and wakes with all its calls under way."""
        self._end_s += seconds
        self.suspended_s += seconds
        self._loop.leap(seconds)

    def _pause(self, host: Host, seconds: float) -> None:
        process = host.process
        if process is not None:
            self._figures.pauses += 1
            process.pause()
            self._loop.call_later(seconds, process.wake)

    def _add_twin(self, host: Host) -> None:
        """The same instance once more, as a careless operator starts it; not of what listens under its name."""
        name = f"{host.instance}{TWIN}"
        if host.service in ("matcher", "persister") and name not in self._hosts:
            twin = self._hosts[name] = self._new_host(name, host.instance)
            self._upset(twin)
            twin.start()

    def _outage(self, store: str, host: Host | None, seconds: float) -> None:
        """A store that one host cannot reach, or nobody."""
        for one in [host] if host else list(self._hosts.values()):
            one.faults.down(store)
            self._loop.call_later(seconds, one.faults.up, store)

    def _reshard(self) -> None:
        stream: Any = self._cloud.stream
        open_shards = [shard.shard_id for shard in stream._shards.values() if shard.is_open]
        if len(open_shards) < 2 * PARTITIONS:
            stream.split(self._random.choice(open_shards))
