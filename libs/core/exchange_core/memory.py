"""What the matcher remembers of commands that are over, so that a repeat of one does nothing (DESIGN rule 5)."""

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from exchange_core.topology import DEDUP_WINDOW_MS

NO_OWNER: Final = ""
"""Stands for the owner of a command that was not an order."""

Group: TypeAlias = tuple[int, tuple[int, ...], tuple[str, ...]]
"""What was over at one journal time: that time in ms, the ids in the order in which they came, the owner of each.
Plain tuples all through: Python's collector of cycles stops looking at them, however many there are."""


class CommandMemory:
    """Ids of finished orders, with their owners, and of executed commands, for DEDUP_WINDOW_MS of journal time.

    Kept in groups of one journal time, oldest first: forgetting costs as much as remembering did.
    """

    __slots__ = ("_at_ms", "_new_ids", "_new_owners", "_settled", "owners")

    def __init__(self) -> None:
        self.owners: dict[int, str] = {}
        """Id → user id of the finished order, NO_OWNER for another command. To be read only."""
        self._settled: deque[Group] = deque()
        self._at_ms = 0
        self._new_ids: list[int] = []
        self._new_owners: list[str] = []

    def move_to(self, at_ms: int) -> None:
        """From now on it is `at_ms`, later than before: forget what is older than the window."""
        if self._new_ids:
            self._settled.append(self._present())
            self._new_ids.clear()
            self._new_owners.clear()
        self._at_ms = at_ms
        while self._settled and self._settled[0][0] + DEDUP_WINDOW_MS <= at_ms:
            _, ids, _ = self._settled.popleft()
            for command_id in ids:
                del self.owners[command_id]

    def remember(self, command_id: int, owner: str) -> None:
        """Keep an id that is not kept yet, as of the present time."""
        assert command_id not in self.owners, "a finished command is finished once"
        self.owners[command_id] = owner
        self._new_ids.append(command_id)
        self._new_owners.append(owner)

    def remember_all(self, command_ids: Sequence[int], owners: Sequence[str]) -> None:
        """Take over a group from a snapshot, as of the present time."""
        self.owners.update(zip(command_ids, owners, strict=True))
        self._new_ids.extend(command_ids)
        self._new_owners.extend(owners)

    def groups(self) -> Sequence[Group]:
        """All groups that are not empty, oldest first, as they are now, whatever is remembered or forgotten later."""
        return [*self._settled, self._present()] if self._new_ids else [*self._settled]

    def _present(self) -> Group:
        return self._at_ms, tuple(self._new_ids), tuple(self._new_owners)
