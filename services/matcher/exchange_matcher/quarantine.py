"""Commands at which the engine failed: what a bug of ours would otherwise make of one message (ADR 10).

A failure leaves the engine half changed, so it is thrown away and recovered from the journal, as if the process had
died. A command that fails again is then refused without being looked at, by an event, its hold given back: it costs its
owner an order and nobody else anything.
"""

from collections import OrderedDict
from typing import Final

FAILURES_MAX: Final = 2
"""The first failure may be the machine's fault; one that comes again is the command's."""
_REMEMBERED_MAX: Final = 10_000


class CommandFailedError(Exception):
    """The engine failed at this command: its state is not to be trusted any more."""

    def __init__(self, command_id: int, error: Exception) -> None:
        super().__init__(f"command {command_id}: {type(error).__name__}: {error}")
        self.command_id = command_id


class Quarantine:
    """How often each command failed, in this process. Forgetting one costs two more recoveries, nothing else."""

    def __init__(self) -> None:
        self._failures: OrderedDict[int, int] = OrderedDict()

    def note(self, failure: CommandFailedError) -> bool:
        """Count a failure; whether the command is in quarantine from now on."""
        count = self._failures.pop(failure.command_id, 0) + 1
        self._failures[failure.command_id] = count
        if len(self._failures) > _REMEMBERED_MAX:
            self._failures.popitem(last=False)
        return count >= FAILURES_MAX

    def holds(self, command_id: int) -> bool:
        """Whether the command is to be refused unseen."""
        return self._failures.get(command_id, 0) >= FAILURES_MAX
