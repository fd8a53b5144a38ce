"""Holds and intents, many in one transaction: from its commit on, a command is promised.

Every submitter gets a verdict that is conclusive, or is told that it is not: a refusal is only ever given when the
store said so and no earlier attempt of the same transaction can still take place.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Self

import structlog

from exchange_adapters.group_commit import GroupCommit
from exchange_core.errors import Ambiguous, Conflict, Fatal, PortError, Throttled, Unavailable
from exchange_core.ports import MAX_TRANSACTION_ITEMS, HoldRefusedError, Intent, WalletHolds, item_count

COMMIT_TIMEOUT_S: Final = 6.0
"""How long a transaction is tried again before its submitters hear that the store is away."""
_PAUSE_FIRST_S: Final = 0.005
_PAUSE_MAX_S: Final = 0.25

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """An intent to store, and the units to hold for it in one wallet (no `asset`: nothing is held): of the intent's
    own user, or of `account_id` where somebody else's command is about it."""

    intent: Intent
    asset: str | None = None
    amount: int = 0
    account_id: str | None = None

    @property
    def wallet(self) -> tuple[str, str] | None:
        """(user_id, asset), or None."""
        return None if self.asset is None else (self.account_id or self.intent.user_id, self.asset)

    @property
    def client_key(self) -> tuple[str, str] | None:
        """(user_id, client_order_id), or None."""
        client_id = self.intent.client_order_id
        return None if client_id is None else (self.intent.user_id, client_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Stored, its funds held: it is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The same client id with the same body was stored before: that one stands."""

    intent: Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdTaken:
    """The client id was used before with another body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsShort:
    """The wallet had `available` units, too few for what came before it and for it."""

    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """An attempt broke off and may still take place: neither promised nor refused."""


Verdict = Admitted | Repeated | ClientIdTaken | FundsShort | OutcomeUnknown


class HoldDesk:
    """Takes hold requests in order of arrival and commits them in groups. Lifecycle: `async with`; leaving it
    commits what waits. `take` raises QueueFullError when too many wait, Unavailable when nothing happened."""

    def __init__(self, holds: WalletHolds, random: Random, *, waiting_max: int) -> None:
        self._holds = holds
        self._random = random
        self._groups: GroupCommit[HoldRequest, Verdict] = GroupCommit(
            self._write,
            max_items=MAX_TRANSACTION_ITEMS,
            max_size=MAX_TRANSACTION_ITEMS - 1,
            max_waiting=waiting_max,
            size_of=lambda request: item_count(request.intent),
        )

    async def __aenter__(self) -> Self:
        await self._groups.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._groups.__aexit__(*details)

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return self._groups.depth

    async def take(self, request: HoldRequest) -> Verdict:
        """Commit one; resolves when its transaction did."""
        return await self._groups.submit(request)

    async def _write(self, requests: Sequence[HoldRequest]) -> Sequence[Verdict | Exception]:
        verdicts: dict[int, Verdict | Exception] = {}
        for batch in _transactions(requests):
            transaction = _Transaction(self._holds, self._random, batch)
            verdicts.update(await transaction.run())
        return [verdicts[request.intent.order_id] for request in requests]


def _transactions(requests: Sequence[HoldRequest]) -> Iterator[list[HoldRequest]]:
    """Cut into runs that fit one transaction: few enough items, wallets included, and no client id twice (the second
    then finds the first one's intent, as if it had come later)."""
    batch: list[HoldRequest] = []
    wallets: set[tuple[str, str]] = set()
    client_keys: set[tuple[str, str]] = set()
    items = 0
    for request in requests:
        wallet, client_key = request.wallet, request.client_key
        added = item_count(request.intent) + (wallet is not None and wallet not in wallets)
        if batch and (items + added > MAX_TRANSACTION_ITEMS or client_key in client_keys):
            yield batch
            batch, wallets, client_keys, items = [], set(), set(), 0
            added = item_count(request.intent) + (wallet is not None)
        batch.append(request)
        items += added
        if wallet is not None:
            wallets.add(wallet)
        if client_key is not None:
            client_keys.add(client_key)
    if batch:
        yield batch


class _Transaction:
    """One batch on its way to verdicts: committed, or shrunk by what the store refuses and committed again."""

    def __init__(self, holds: WalletHolds, random: Random, batch: Sequence[HoldRequest]) -> None:
        self._holds = holds
        self._random = random
        self._remaining = list(batch)
        self._verdicts: dict[int, Verdict | Exception] = {}
        self._is_in_doubt = False
        self._attempts = 0

    async def run(self) -> dict[int, Verdict | Exception]:
        """A verdict for each order id."""
        deadline_s = asyncio.get_running_loop().time() + COMMIT_TIMEOUT_S
        cause: Exception = Unavailable("the wallets could not be reached")
        while self._remaining:
            if asyncio.get_running_loop().time() > deadline_s:
                self._give_up(cause)
                break
            try:
                await self._attempt()
            except Fatal as error:
                self._give_up(error)
            except (Ambiguous, Conflict, Throttled, Unavailable) as error:
                cause = error
                await self._pause(error)
            except PortError as error:
                self._give_up(error)
        return self._verdicts

    async def _attempt(self) -> None:
        """One commit. Returns with fewer remaining, or raises what makes another attempt worth while."""
        if self._is_in_doubt and await self._is_stored():
            self._settle_all(Admitted())
            return
        try:
            await self._holds.commit(self._total_holds(), [request.intent for request in self._remaining])
        except HoldRefusedError as refusal:
            if self._is_in_doubt and await self._is_stored():
                self._settle_all(Admitted())
            else:
                await self._drop_refused(refusal)
        except Ambiguous:
            self._is_in_doubt = True
            raise
        else:
            self._settle_all(Admitted())

    async def _is_stored(self) -> bool:
        """Whether an attempt that broke off took place: one intent tells for all, since they share its fate."""
        intent = self._remaining[0].intent
        return await self._holds.intent(intent.user_id, intent.order_id) is not None

    async def _drop_refused(self, refusal: HoldRefusedError) -> None:
        """Give their verdicts to those the store would not take; the others stay, in order of arrival."""
        left = dict(refusal.short)
        kept = []
        for request in self._remaining:
            if request.client_key in refusal.taken:
                verdict = await self._verdict_on_taken(request)
                if verdict is not None:
                    self._settle(request, verdict)
                    continue
            wallet = request.wallet
            if wallet is not None and wallet in left:
                if request.amount > left[wallet]:
                    self._settle(request, FundsShort(available=refusal.short[wallet]))
                    continue
                left[wallet] -= request.amount
            kept.append(request)
        is_stuck = len(kept) == len(self._remaining)
        self._remaining = kept
        if is_stuck:
            raise Conflict("what refused the transaction is gone again")

    async def _verdict_on_taken(self, request: HoldRequest) -> Verdict | None:
        """How a client id that exists already compares; None when it is gone again (expired just now)."""
        intent = request.intent
        assert intent.client_order_id is not None
        stored = await self._holds.intent_by_client_id(intent.user_id, intent.client_order_id)
        if stored is None:
            return None
        return Repeated(intent=stored) if stored.body_digest == intent.body_digest else ClientIdTaken()

    def _settle(self, request: HoldRequest, verdict: Verdict | Exception) -> None:
        """While an earlier attempt may still take place, no refusal is conclusive."""
        if self._is_in_doubt and not isinstance(verdict, Admitted | Repeated):
            verdict = OutcomeUnknown()
        self._verdicts[request.intent.order_id] = verdict

    def _settle_all(self, verdict: Verdict | Exception) -> None:
        for request in self._remaining:
            self._settle(request, verdict)
        self._remaining = []

    def _give_up(self, cause: Exception) -> None:
        log.warning("holds_not_committed", count=len(self._remaining), error=f"{type(cause).__name__}: {cause}")
        self._settle_all(cause if isinstance(cause, Fatal) else Unavailable(f"gave up: {cause}"))

    def _total_holds(self) -> dict[tuple[str, str], int]:
        totals: dict[tuple[str, str], int] = {}
        for request in self._remaining:
            if request.wallet is not None:
                totals[request.wallet] = totals.get(request.wallet, 0) + request.amount
        return totals

    async def _pause(self, error: Exception) -> None:
        self._attempts += 1
        log.info("hold_retried", attempt=self._attempts, error=type(error).__name__)
        longest_s = min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2**self._attempts)
        await asyncio.sleep(self._random.uniform(longest_s / 2, longest_s))
