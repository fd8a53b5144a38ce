"""The node number: two gateways never share one, and one that loses its own stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from exchange_adapters.sim import Faults, SimClock, SimLeases
from exchange_core.ids import created_at_ms
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading import nodes as module
from exchange_gateway.trading.nodes import LEASE_MS, NodeLease
from tests.eventually import eventually


@asynccontextmanager
async def kept(lease: NodeLease) -> AsyncIterator[NodeLease]:
    task = asyncio.create_task(lease.keep())
    try:
        await eventually(lambda: lease.is_held)
        yield lease
    finally:
        task.cancel()
        await asyncio.wait([task])


def node_of(identifier: int) -> int:
    return (identifier >> 12) & 1023


async def test_two_gateways_have_two_numbers() -> None:
    clock = SimClock()
    leases = SimLeases(clock=clock)
    async with (
        kept(NodeLease(leases, clock, Random(7), "a")) as first,
        kept(NodeLease(leases, clock, Random(7), "b")) as second,
    ):
        ids = [first.next_id(), second.next_id()]
        assert node_of(ids[0]) != node_of(ids[1])
        assert created_at_ms(ids[0]) == pytest.approx(clock.now_ms(), abs=1000)
        await first.release()
        with pytest.raises(ProblemError) as refused:
            first.next_id()
    assert refused.value.code is Code.SERVICE_UNAVAILABLE


async def test_a_lease_that_cannot_be_renewed_stops_being_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    monkeypatch.setattr(module, "MARGIN_S", LEASE_MS / 1000 - 0.1)
    clock, faults = SimClock(), Faults()
    async with kept(NodeLease(SimLeases(clock=clock, faults=faults), clock, Random(7), "a")) as lease:
        faults.down("leases")
        await eventually(lambda: not lease.is_held)
        faults.up("leases")
        await eventually(lambda: lease.is_held)


async def test_a_lease_taken_by_another_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    clock = SimClock()
    leases = SimLeases(clock=clock)
    async with kept(NodeLease(leases, clock, Random(7), "a")) as lease:
        node = node_of(lease.next_id())
        assert await leases.acquire(f"node#{node}", "b", clock.now_ms() + 2 * LEASE_MS, LEASE_MS), "its clock is ahead"
        await eventually(lambda: lease.is_held and node_of(lease.next_id()) != node)
