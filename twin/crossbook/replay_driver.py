"""Drives the exchange with recorded orders over its public API, through whatever happens to it meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crossbook.api_client import Account, ApiProblemError, ApiUnavailableError
from crossbook.errors import TwinError
from crossbook.replay_recording import Recording, Row, price_text, volume_text
from crossbook.replay_schedule import Answered, Schedule, Skipped, Step, steps
from exchange_core.orders import Side

PAUSE_FIRST_S: Final = 0.05
PAUSE_LAST_S: Final = 2.0


class ReplayStalledError(TwinError):
    """The exchange answered nothing for too long."""


@dataclass(slots=True, kw_only=True)
class PlacedOrder:
    """An order that the exchange accepted."""

    row: Row
    account: Account
    order_id: str
    client_order_id: str
    is_cancel_sent: bool = False


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened, as it happens. Latencies in seconds, of calls that were accepted at their first attempt."""

    place_count: int = 0
    cancel_count: int = 0
    refused_places: Counter[str] = field(default_factory=Counter)
    refused_cancels: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    retried_calls: int = 0
    place_latencies_s: list[float] = field(default_factory=list)
    cancel_latencies_s: list[float] = field(default_factory=list)
    longest_outage_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0
    skipped: Skipped = field(default_factory=Skipped)

    @property
    def elapsed_s(self) -> float:
        """From the first submission to the last answer."""
        return self.ended_s - self.started_s


def account_of(row: Row, accounts: Sequence[Account]) -> Account:
    """Whose order it is: the first half of the accounts only buy, the others only sell."""
    half = len(accounts) // 2
    group = accounts[:half] if row.side is Side.BUY else accounts[half:]
    return group[row.recorded_id % len(group)]


class ReplayDriver:
    """Sends the steps of a recording, at most `in_flight_max` at a time, each until it is answered for good.

    Half of `accounts` only buy and the other half only sell, so that no order can meet one of its own account and
    self-trade prevention has nothing to do: the venue's own accounts are not in the recording. `speed` 1 keeps the
    recorded times, 0 does not wait. A call that finds no answer is repeated; when no call at all was answered for
    `patience_s`, ReplayStalledError ends the replay.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        symbol: str,
        run_id: str,
        in_flight_max: int,
        speed: float,
        patience_s: float,
        advanced: Callable[[int], None],
    ) -> None:
        assert len(accounts) >= 2, "one to buy, one to sell"
        self._accounts = accounts
        self._symbol = symbol
        self._run_id = run_id
        self._slots = asyncio.Semaphore(in_flight_max)
        self._speed = speed
        self._patience_s = patience_s
        self._advanced = advanced
        self._loop = asyncio.get_running_loop()
        self._answered_s = self._loop.time()
        self.schedule = Schedule()
        self.tally = Tally()
        self.placed: dict[int, PlacedOrder] = {}
        self.refused: set[int] = set()

    async def run(self, recording: Recording) -> None:
        """Send everything; returns when all is answered. Raises ReplayStalledError."""
        self._answered_s = self.tally.started_s = self._loop.time()
        try:
            async with asyncio.TaskGroup() as calls:
                for step in steps(recording, self.tally.skipped):
                    await self._wait_until_due(step, recording)
                    await self._slots.acquire()
                    self._advanced(step.number)
                    answered: Answered = self._loop.create_future()
                    calls.create_task(self._submit(step, self.schedule.admit(step, answered), answered))
        except* ReplayStalledError as group:
            raise group.exceptions[0] from None
        self.tally.ended_s = self._loop.time()

    async def _wait_until_due(self, step: Step, recording: Recording) -> None:
        if not self._speed:
            return
        recorded_s = (step.due_ms - recording.rows[0].at_ms) / 1000
        due_s = self.tally.started_s + recorded_s / self._speed
        await asyncio.sleep(max(0.0, due_s - self._loop.time()))

    async def _submit(self, step: Step, waits: list[Answered], answered: Answered) -> None:
        try:
            for other in waits:
                await other
            await (self._cancel(step.row) if step.is_cancel else self._place(step.row))
        finally:
            answered.set_result(None)
            self._slots.release()

    async def _place(self, row: Row) -> None:
        account = account_of(row, self._accounts)
        client_order_id = f"replay-{self._run_id}-{row.recorded_id}"
        order = {
            "symbol": self._symbol,
            "side": row.side.value,
            "type": "limit",
            "time_in_force": "gtc",
            "price": price_text(row.price),
            "quantity": volume_text(row.volume),
            "client_order_id": client_order_id,
        }
        self.tally.place_count += 1
        try:
            answer = await self.insist(lambda: account.place(**order), self.tally.place_latencies_s)
        except ApiProblemError as problem:
            self.tally.refused_places[problem.code] += 1
            self.refused.add(row.recorded_id)
            self.schedule.model.cancel(row.recorded_id)
            return
        self.placed[row.recorded_id] = PlacedOrder(
            row=row, account=account, order_id=answer["order_id"], client_order_id=client_order_id
        )

    async def _cancel(self, row: Row) -> None:
        order = self.placed.get(row.recorded_id)
        if order is None:
            return
        self.tally.cancel_count += 1
        try:
            await self.insist(lambda: order.account.cancel(order.order_id), self.tally.cancel_latencies_s)
            order.is_cancel_sent = True
        except ApiProblemError as problem:
            self.tally.refused_cancels[problem.code] += 1

    async def insist(self, call: Callable[[], Awaitable[Any]], latencies_s: list[float] | None = None) -> Any:
        """Make the call until it is answered. Raises ApiProblemError as it comes, or ReplayStalledError."""
        pause_s, attempts, first_s = PAUSE_FIRST_S, 0, self._loop.time()
        while True:
            attempts += 1
            try:
                answer = await call()
            except ApiUnavailableError as error:
                self.tally.retries[f"{error.status or ''} {error.code}".strip()] += 1
                await self._pause(max(pause_s, error.retry_after_s), error)
                pause_s = min(2 * pause_s, PAUSE_LAST_S)
                continue
            except ApiProblemError:
                self._note_answer(attempts, first_s)
                raise
            self._note_answer(attempts, first_s)
            if attempts == 1 and latencies_s is not None:
                latencies_s.append(self._answered_s - first_s)
            return answer

    def _note_answer(self, attempts: int, first_s: float) -> None:
        self._answered_s = self._loop.time()
        if attempts > 1:
            self.tally.retried_calls += 1
            self.tally.longest_outage_s = max(self.tally.longest_outage_s, self._answered_s - first_s)

    async def _pause(self, pause_s: float, error: ApiUnavailableError) -> None:
        if self._loop.time() - self._answered_s > self._patience_s:
            raise ReplayStalledError(f"no call was answered for {self._patience_s:.0f} s; the last error: {error}")
        await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads load, guards nothing
