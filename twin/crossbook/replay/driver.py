"""Drives the exchange with recorded orders over its public API, through whatever happens to it meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crossbook.clients.api_client import Account, ApiProblemError
from crossbook.clients.patience import Patience, ReplayStalledError
from crossbook.replay.recording import Recording, Row, price_text, volume_text
from crossbook.replay.schedule import Answered, Schedule, Skipped, Step, steps
from exchange_core.orders import Side


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
    place_latencies_s: list[float] = field(default_factory=list)
    cancel_latencies_s: list[float] = field(default_factory=list)
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
    recorded times, 0 does not wait. A call that finds no answer is repeated as long as there is `patience`.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        symbol: str,
        run_id: str,
        in_flight_max: int,
        speed: float,
        patience: Patience,
        advanced: Callable[[int], None],
    ) -> None:
        assert len(accounts) >= 2, "one to buy, one to sell"
        self._accounts = accounts
        self._symbol = symbol
        self._run_id = run_id
        self._slots = asyncio.Semaphore(in_flight_max)
        self._speed = speed
        self.patience = patience
        self._advanced = advanced
        self._loop = asyncio.get_running_loop()
        self.schedule = Schedule()
        self.tally = Tally()
        self.placed: dict[int, PlacedOrder] = {}
        self.refused: set[int] = set()

    async def run(self, recording: Recording) -> None:
        """Send everything; returns when all is answered. Raises ReplayStalledError."""
        self.tally.started_s = self._loop.time()
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
            if waits:
                await asyncio.wait(waits)  # unlike awaiting them one by one, this never cancels them
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
            answer = await self.patience.insist(lambda: account.place(**order), self.tally.place_latencies_s)
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
            await self.patience.insist(lambda: order.account.cancel(order.order_id), self.tally.cancel_latencies_s)
            order.is_cancel_sent = True
        except ApiProblemError as problem:
            self.tally.refused_cancels[problem.code] += 1
