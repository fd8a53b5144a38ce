"""Waiting for what the matcher says, and telling it: an outcome is conclusive, a time-out is not (SEMANTICS.md).

Verdicts are read from the database, where they stand once they are settled: who is told that a cancel took place finds
its funds released.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from exchange_core.errors import PortError
from exchange_core.orders import Reason
from exchange_core.outcomes import CommandOutcome
from exchange_core.ports import DatabaseReader
from exchange_gateway.problems import Code, ProblemError

WAITING_MAX: Final = 200
"""Requests that may wait for a verdict at once; more are answered with what is known now."""
_POLL_FIRST_S: Final = 0.02
_POLL_MAX_S: Final = 0.25

Found = TypeVar("Found")

_CODES: Final[Mapping[Reason, Code]] = {
    Reason.ORDER_CLOSED: Code.ORDER_CLOSED,
    Reason.ORDER_NOT_FOUND: Code.ORDER_NOT_FOUND,
    Reason.INSUFFICIENT_HOLD: Code.INSUFFICIENT_HOLD,
    Reason.QUANTITY_NOT_ABOVE_FILLED: Code.QUANTITY_NOT_ABOVE_FILLED,
    Reason.WOULD_TAKE: Code.WOULD_TAKE,
    Reason.PRICE_BAND: Code.PRICE_OUT_OF_BAND,
    Reason.SYMBOL_HALTED: Code.SYMBOL_HALTED,
    Reason.SYMBOL_UNKNOWN: Code.UNKNOWN_SYMBOL,
    Reason.SYMBOL_EXISTS: Code.SYMBOL_EXISTS,
    Reason.TOO_LATE: Code.TOO_LATE,
}
"""What a refusal by the matcher is called outside; any other is `refused`, and its reason says more."""


class VerdictDesk:
    """Looks for verdicts on behalf of at most WAITING_MAX requests."""

    def __init__(self, reader: DatabaseReader) -> None:
        self._reader = reader
        self._waiting_count = 0

    async def until(self, look: Callable[[], Awaitable[Found | None]], wait_s: float) -> Found | None:
        """What `look` finds, as soon as it does; None when the time is up, or when too many wait already. A database
        that does not answer is asked again."""
        if wait_s <= 0 or self._waiting_count >= WAITING_MAX:
            return None
        self._waiting_count += 1
        pause_s = _POLL_FIRST_S
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    try:
                        found = await look()
                    except PortError:
                        found = None
                    if found is not None:
                        return found
                    await asyncio.sleep(pause_s)
                    pause_s = min(_POLL_MAX_S, 1.5 * pause_s)
        except TimeoutError:
            return None
        finally:
            self._waiting_count -= 1

    async def all_outcomes(self, command_ids: Sequence[int], wait_s: float) -> Mapping[int, CommandOutcome]:
        """The outcomes of these commands by id: all of them, or those that are known when the time is up."""
        known: dict[int, CommandOutcome] = {}

        async def look() -> bool | None:
            missing = [command_id for command_id in command_ids if command_id not in known]
            known.update({outcome.command_id: outcome for outcome in await self._reader.outcomes(missing)})
            return True if len(known) == len(command_ids) else None

        await self.until(look, wait_s)
        return known

    async def outcome(self, command_id: int, wait_s: float) -> CommandOutcome | None:
        """The outcome of one command; None if it is not known in time. Raises ProblemError when it was refused."""
        outcome = (await self.all_outcomes([command_id], wait_s)).get(command_id)
        if outcome is not None:
            raise_refused(outcome)
        return outcome


def raise_refused(outcome: CommandOutcome) -> None:
    """Raises the ProblemError of a refused command: whichever the journal has first wins, and the loser is told so."""
    if outcome.reason is None:
        return
    code = _CODES.get(outcome.reason, Code.REFUSED)
    members: dict[str, Any] = {"reason": outcome.reason, "command_id": str(outcome.command_id), "seq": outcome.seq}
    raise ProblemError(code, f"the matcher refused the command: {outcome.reason}", **members)
