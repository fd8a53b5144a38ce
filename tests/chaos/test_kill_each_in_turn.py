"""All that can be killed is killed, once each, while order flow runs: nothing is lost, and the audit is clean."""

import asyncio
from pathlib import Path

from crossbook.audit.run import audit_exchange
from crossbook.replay.command import ReplayOptions, replay
from crossbook.replay.recording import read_recording
from crossbook.twin import Twin
from tests.chaos.order_flow import write_order_flow

ORDERS = 900
VICTIMS = ("gateway", "matcher-1", "matcher-2", "persister", "fanout", "redis", "postgres")


async def test_no_accepted_order_is_lost_whichever_process_is_killed(twin: Twin, tmp_path: Path) -> None:
    flow = tmp_path / "flow.csv"
    write_order_flow(flow, seed=7, orders=ORDERS)
    recording = read_recording(flow)
    restarts = {process.name: process.restarts for process in twin.processes}
    waiting = list(VICTIMS)
    every = sum(1 for _ in recording.rows) // (len(VICTIMS) + 1)

    def kill_next(row: int) -> None:
        if waiting and row >= every * (len(VICTIMS) - len(waiting) + 1):
            twin.kill(waiting.pop(0))

    options = ReplayOptions(
        gateway_url=twin.gateway_url,
        websocket_url=twin.websocket_url,
        operator=twin.operator,
        operator_password=twin.password,
        patience_s=90.0,
    )
    report = await replay(recording, options, advanced=kill_next)
    await twin.wait_ready()

    assert not waiting, "all of them were killed"
    came_back = {process.name for process in twin.processes if process.restarts > restarts[process.name]}
    assert came_back >= set(VICTIMS)
    assert report.accepted == report.found == report.placed > ORDERS // 2
    assert report.modeled_trades > 50, "orders met"
    assert report.is_clean
    async with asyncio.timeout(120):
        results = await audit_exchange(twin.client_environment, 60.0)
    assert not [result for result in results if result.differences]
