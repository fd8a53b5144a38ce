"""AWS Lambda behind a Kinesis event source mapping: `exchange_persister.lambda_handler.handler`.

The mapping hands over records of one shard in order and must be set to report batch item failures and to try for ever:
a slot that fails is handed over again with all after it, and is never given up. A gap therefore stops the shard, which
the age of its iterator shows. It may halve batches whose invocation failed as a whole, as one that takes too long does:
a half that comes too early is a gap, and is handed back. Event loop and clients live as long as the environment.
"""

import asyncio
import atexit
import base64
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any, Final

import structlog
import uvloop

from exchange_adapters.emf import open_recorder, recorder
from exchange_adapters.system import configure_logging
from exchange_adapters.tracing import exporting, flush_spans
from exchange_core.errors import PortError
from exchange_core.ports import StreamRecord
from exchange_persister.apply import Applier, SettlementPorts
from exchange_persister.bootstrap import open_settlement_ports
from exchange_persister.config import Config

_ATTEMPTS: Final = 3
_FIRST_PAUSE_S: Final = 0.1
_RESERVED_S: Final = 3.0
"""Left of the invocation's time for the answer, and for a collector that does not answer."""
_UNBOUNDED_S: Final = 60.0


class LambdaRuntime:
    """An event loop with open ports, used invocation after invocation."""

    def __init__(self, ports: AbstractAsyncContextManager[SettlementPorts], *, wallet_calls_max: int) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._opened = ports
        self._applier = Applier(self._runner.run(ports.__aenter__()), wallet_calls_max=wallet_calls_max)

    def handle(self, event: Mapping[str, Any], timeout_s: float) -> dict[str, list[dict[str, str]]]:
        """The answer to one event: the sequence numbers of what is not settled, in order."""
        records = stream_records(event)
        failed = self._runner.run(_apply(self._applier, records, timeout_s))
        return {"batchItemFailures": [{"itemIdentifier": records[index].sequence_number} for index in failed]}

    def close(self) -> None:
        """Close the ports and the loop."""
        self._runner.run(self._opened.__aexit__(None, None, None))
        self._runner.close()


def stream_records(event: Mapping[str, Any]) -> list[StreamRecord]:
    """The records of a Kinesis event."""
    return [
        StreamRecord(
            sequence_number=record["kinesis"]["sequenceNumber"],
            partition_key=record["kinesis"]["partitionKey"],
            data=base64.b64decode(record["kinesis"]["data"]),
        )
        for record in event["Records"]
    ]


async def _apply(applier: Applier, records: Sequence[StreamRecord], timeout_s: float) -> Sequence[int]:
    log = structlog.get_logger()
    failed: Sequence[int] = range(len(records))
    try:
        async with asyncio.timeout(timeout_s):
            for attempt in range(_ATTEMPTS):
                outcome = await applier.apply(records)
                failed = outcome.unsettled
                if not outcome.errors:
                    break
                log.warning("settlement_failed", errors=[f"{type(e).__name__}: {e}" for e in outcome.errors])
                await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt)
    except (PortError, TimeoutError) as error:
        log.error("settlement_failed", errors=[f"{type(error).__name__}: {error}"])
    log.info("batch_applied", records=len(records), failed=len(failed), halted=sorted(applier.halts))
    return failed


_runtimes: Final[list[LambdaRuntime]] = []
_process: Final = ExitStack()
"""What is open as long as the environment lives."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Lambda's entry. The first invocation opens everything; a fault while opening is raised, and tried again."""
    if not _runtimes:
        config = Config()
        configure_logging("persister", config.log_level)
        open_recorder()
        _runtimes.append(LambdaRuntime(open_settlement_ports(config), wallet_calls_max=config.wallet_calls_max))
        _process.callback(_runtimes[0].close)
        _process.enter_context(exporting("persister"))
        atexit.register(_process.close)
    remaining_s = context.get_remaining_time_in_millis() / 1000 if context else _UNBOUNDED_S
    try:
        return _runtimes[0].handle(event, max(remaining_s - _RESERVED_S, _RESERVED_S))
    finally:
        recorder.flush()  # between invocations nothing of ours runs
        flush_spans()
