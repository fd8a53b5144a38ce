"""The wallets' half of settlement (DESIGN.md rule 6): every wallet changes once a run of slots, whoever repeats it.

A wallet remembers per partition the last slot that is in it, and a change of slots first..last is taken only if that is
before `first`. Holds at all times: a wallet that says n has the effects of all slots up to n of that partition, and the
database's position is never beyond the slots that all wallets have.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from exchange_core.codec import Slot
from exchange_core.errors import Fatal, PortError
from exchange_core.events import TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.ledger import postings, wallet_deltas
from exchange_core.ports import AlreadySettledError, Wallet, WalletSettlement

_ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.02
_SEEN_BATCH: Final = 25
"""As many deletions as DynamoDB takes in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletStep:
    """What one slot does to one wallet, in units."""

    slot: int
    available: int
    held: int


WalletChanges = Mapping[tuple[str, str], Sequence[WalletStep]]
"""(user_id, asset) → the steps, by slot."""


def wallet_changes(slots: Iterable[Slot], instruments: Mapping[str, Instrument]) -> WalletChanges:
    """All wallets that the slots touch; `instruments` as they stand after the slots.

    One whose steps add up to nothing is kept: another persister may have settled a part of this run before it died, and
    only the settled mark tells how much of it is in the wallet.
    """
    changes: dict[tuple[str, str], list[WalletStep]] = {}
    for slot in slots:
        posted = chain.from_iterable(postings(event, instruments, slot.partition) for event in slot.events)
        for wallet, delta in wallet_deltas(posted).items():
            step = WalletStep(slot=slot.n, available=delta.available, held=delta.held)
            changes.setdefault(wallet, []).append(step)
    return changes


def seen_commands(slots: Iterable[Slot]) -> list[int]:
    """The ids of the commands that the slots show, each once. A trade's cause always stands in another event too."""
    return list(
        {
            event.cause: None
            for slot in slots
            for event in slot.events
            if event.cause and not isinstance(event, TradeExecuted)
        }
    )


class Settlement:
    """Brings runs of slots into the wallets, with at most `calls_max` calls under way."""

    def __init__(self, wallets: WalletSettlement, *, calls_max: int) -> None:
        self._wallets = wallets
        self._calls_max = calls_max

    async def settle(self, slots: Sequence[Slot], changes: WalletChanges) -> list[Wallet]:
        """Settle all wallets that a contiguous run of one partition's slots touches, and take the commands it shows
        off the list of pending ones. Returns the wallets as they stand with it. Raises the worst PortError met, after
        all the rest was tried."""
        partition, first, last = slots[0].partition, slots[0].n, slots[-1].n
        settled: list[Wallet] = []

        async def settle_one(wallet: tuple[str, str], steps: Sequence[WalletStep]) -> None:
            settled.append(await self._settle_wallet(wallet, partition, steps, first, last))

        calls: list[Callable[[], Awaitable[None]]] = [
            lambda wallet=wallet, steps=steps: settle_one(wallet, steps)  # type: ignore[misc]
            for wallet, steps in changes.items()
        ]
        seen = seen_commands(slots)
        calls.extend(
            lambda ids=seen[at : at + _SEEN_BATCH]: self._wallets.mark_seen(partition, ids)  # type: ignore[misc]
            for at in range(0, len(seen), _SEEN_BATCH)
        )
        await self._call_all(calls)
        return settled

    async def _settle_wallet(
        self, wallet: tuple[str, str], partition: int, steps: Sequence[WalletStep], first: int, last: int
    ) -> Wallet:
        """One wallet; what it has settled already, by a run that was cut differently, is left out."""
        while True:
            available, held = sum(step.available for step in steps), sum(step.held for step in steps)
            try:
                return await self._wallets.settle(
                    *wallet, partition, first=first, last=last, available=available, held=held
                )
            except AlreadySettledError as settled:
                first = settled.applied + 1
                steps = [step for step in steps if step.slot >= first]
                if not steps:
                    return settled.wallet

    async def _call_all(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        rest = iter(calls)
        errors: list[PortError] = []

        async def work() -> None:
            for call in rest:
                try:
                    await _attempt(call)
                except PortError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._calls_max, len(calls))):
                workers.create_task(work())
        if errors:
            raise next((error for error in errors if isinstance(error, Fatal)), errors[0])


async def _attempt(call: Callable[[], Awaitable[None]]) -> None:
    """Repeat a call that may be repeated: an ambiguous settle that took place is refused the second time."""
    for attempt in range(_ATTEMPTS):
        try:
            return await call()
        except Fatal:
            raise
        except PortError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt)
    return None
