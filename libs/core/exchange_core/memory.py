"""What the matcher remembers of commands that are over, so that a repeat of one does nothing (DESIGN rule 5)."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from exchange_core.topology import DEDUP_WINDOW_MS

NO_OWNER: Final = ""
"""Stands for the owner of a command that was not an order."""


class CommandMemory:
    """Ids of finished orders, with their owners, and of executed commands, for DEDUP_WINDOW_MS of journal time.

    Kept in groups of one journal time, oldest first: forgetting costs as much as remembering did.
    """

    __slots__ = ("_groups", "_ids", "owners")

    def __init__(self) -> None:
        self.owners: dict[int, str] = {}
        """Id → user id of the finished order, NO_OWNER for another command. To be read only."""
        self._ids: list[int] = []
        """The ids of the newest group."""
        self._groups: deque[tuple[int, list[int]]] = deque([(0, self._ids)])

    def move_to(self, at_ms: int) -> None:
        """From now on it is `at_ms`, later than before: forget what is older than the window."""
        groups = self._groups
        while groups and groups[0][0] + DEDUP_WINDOW_MS <= at_ms:
            for command_id in groups.popleft()[1]:
                del self.owners[command_id]
        if groups and not self._ids:
            groups.pop()
        self._ids = []
        groups.append((at_ms, self._ids))

    def remember(self, command_id: int, owner: str) -> None:
        """Keep an id that is not kept yet, as of the present time."""
        assert command_id not in self.owners, "a finished command is finished once"
        self.owners[command_id] = owner
        self._ids.append(command_id)

    def remember_all(self, command_ids: Sequence[int], owners: Sequence[str]) -> None:
        """Take over a group from a snapshot, as of the present time."""
        self.owners.update(zip(command_ids, owners, strict=True))
        self._ids.extend(command_ids)

    def __iter__(self) -> Iterator[tuple[int, Sequence[int], Sequence[str]]]:
        """(journal time, ids in ascending order, their owners), oldest first: the same whoever built it."""
        for at_ms, ids in self._groups:
            if ids:
                ordered = sorted(ids)
                yield at_ms, ordered, [*map(self.owners.__getitem__, ordered)]
