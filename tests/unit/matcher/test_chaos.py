"""Two matchers, with leases or without, while everything fails at random and one of them is killed now and then."""

import asyncio
from random import Random

import pytest

from exchange_adapters.sim import Fault, Faults
from exchange_adapters.sim.virtual_time import run_virtual
from exchange_core.orders import Side
from tests.unit.matcher.support import Host, World, cancel, listing, order

COMMANDS = 120
CHAOS = {Fault.BEFORE: 0.05, Fault.THROTTLED: 0.02, Fault.LOST: 0.05, Fault.AFTER: 0.05, Fault.CONFLICT: 0.02}


class Scenario:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World()
        self.ids = [1]
        self.hosts = [self.start(number) for number in (1, 2)]

    def start(self, number: int) -> Host:
        faults = Faults(Random(self.random.random()))
        faults.set_rates("*", CHAOS)
        faults.set_delay("*", 0, 200)
        has_own_leases = self.random.random() < 0.5
        slots = self.random.choice([3, 2_000])
        return self.world.start(f"matcher-{number}", faults=faults, has_own_leases=has_own_leases, snapshot_slots=slots)

    async def run(self) -> None:
        await self.world.send(listing())
        for number in range(COMMANDS):
            await self.send(10 + number)
            if self.random.random() < 0.05:
                victim = self.random.randrange(2)
                await self.hosts[victim].kill()
                await asyncio.sleep(self.random.uniform(0, 5))
                self.hosts[victim] = self.start(victim + 1)
            if self.random.random() < 0.3:
                await asyncio.sleep(self.random.uniform(0, 1))
        for host in self.hosts:
            host.faults.heal()
        await self.world.until_drained()
        for host in self.hosts:
            await host.stop()
        await self.world.assert_sound(self.ids)

    async def send(self, number: int) -> None:
        now_ms = self.world.clock.now_ms()
        if number > 12 and self.random.random() < 0.2:
            command = cancel(number, self.random.randrange(10, number), f"user-{self.random.randrange(3)}")
            await self.world.send(command)
        else:
            side = self.random.choice([Side.BUY, Side.SELL])
            user_id = f"user-{self.random.randrange(3)}"
            price = 5_000_000 + self.random.randrange(3)
            await self.world.send(order(number, side, user_id=user_id, price=price, entered_at_ms=now_ms))
        self.ids.append(number)


@pytest.mark.parametrize("seed", range(25))
def test_one_gapless_journal_with_every_command_once(seed: int):
    async def scenario() -> None:
        await Scenario(seed).run()

    run_virtual(scenario())
