"""The invariants of DESIGN.md section 3, each as one check over the evidence: a name, what was looked at, differences.

The journal is the exchange: its fold says what wallets, database, history and caches must hold. Pure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from crossbook.audit.evidence import Evidence
from crossbook.audit.fold import Difference, JournalFold, WalletKey
from crossbook.audit.folded_orders import FoldedOrder
from exchange_core.codec import Slot, decode_commands, decode_slot
from exchange_core.commands import AmendOrder, Command, PlaceOrder, WithdrawFunds
from exchange_core.engine import PartitionEngine
from exchange_core.ports import Intent, Pending, Wallet
from exchange_core.topology import INTENT_TTL_S
from exchange_core.wire import DecodeError

_TTL_SLACK_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found; clean when there are no differences. `scope` says how much it looked at."""

    name: str
    scope: str
    differences: tuple[Difference, ...]

    @property
    def first(self) -> Difference | None:
        """The difference that arose first."""
        return min(self.differences, key=lambda difference: difference.order, default=None)


@dataclass(slots=True)
class Judgement:
    """The journal, decoded and folded: what all checks refer to. `engines` end after the last readable slot."""

    evidence: Evidence
    slots: dict[int, list[Slot]]
    fold: JournalFold
    engines: dict[int, PartitionEngine]
    journal: list[Difference]
    engine: list[Difference]


def judge(evidence: Evidence) -> Judgement:
    """Decode and fold the journal of every partition, once by the engine and once by the audit's own rules."""
    judgement = Judgement(evidence, {}, JournalFold(), {}, [], [])
    for partition in range(evidence.partitions):
        slots = judgement.slots[partition] = list(_decoded(partition, evidence, judgement.journal))
        engine = judgement.engines[partition] = PartitionEngine(partition)
        is_sound = True
        for slot in slots:
            judgement.fold.apply(slot)
            if is_sound:
                try:
                    engine.apply_slot(slot)
                except Exception as error:  # whatever it raises is what is to be told
                    text = f"the engine cannot follow: {type(error).__name__}: {error}"
                    judgement.engine.append(_at(partition, slot.n, "journal", text))
                    is_sound = False
    return judgement


def _decoded(partition: int, evidence: Evidence, differences: list[Difference]) -> Iterator[Slot]:
    due, last_ms = 1, 0
    for n, data in evidence.journal.get(partition, []):
        if n != due:
            differences.append(_at(partition, due, "journal", f"slots {due} to {n - 1} are missing"))
        due = n + 1
        try:
            slot = decode_slot(data)
        except DecodeError as error:
            differences.append(_at(partition, n, "journal", f"cannot be read: {error}"))
            continue
        if (slot.partition, slot.n) != (partition, n):
            differences.append(_at(partition, n, "journal", f"holds slot {slot.partition}:{slot.n}"))
        if slot.at_ms < last_ms:
            differences.append(_at(partition, n, "journal", f"is {last_ms - slot.at_ms} ms before the slot before it"))
        if not slot.fed_through < n:
            differences.append(_at(partition, n, "journal", f"claims to be fed through {slot.fed_through}"))
        last_ms = max(last_ms, slot.at_ms)
        yield slot


def check_journal(judgement: Judgement) -> CheckResult:
    """Slots are gapless, readable and in order of time."""
    count = sum(len(slots) for slots in judgement.slots.values())
    lost = _lost_tails(judgement.evidence)
    return _result("journal: slots gapless and readable", f"{count:,} slots", judgement.journal, lost)


def _lost_tails(evidence: Evidence) -> Iterator[Difference]:
    """What was settled was journaled, so a journal that ends before that has lost its end."""
    for partition in range(evidence.partitions):
        head = max(evidence.head(partition), evidence.later_heads.get(partition, 0))
        marks = [wallet.applied.get(partition, 0) for wallet in evidence.wallets]
        settled = max(evidence.database.positions.get(partition, 0), *marks, 0)
        if settled > head:
            yield _at(partition, head + 1, "journal", f"slots {head + 1} to {settled} were settled and are missing")


def check_numbers(judgement: Judgement) -> CheckResult:
    """`seq` is gapless per symbol, and so are the trade ids."""
    scope = f"{judgement.fold.event_count:,} events, {len(judgement.fold.trades):,} trades"
    return _result("journal: seq and trade ids gapless", scope, judgement.fold.numbering)


def check_engine(judgement: Judgement) -> CheckResult:
    """The engine can be rebuilt from the journal, and its books are those of the audit's own fold."""
    differences = list(judgement.engine)
    symbols = 0
    for engine in judgement.engines.values() if not differences else ():
        for symbol in engine.instruments:
            symbols += 1
            differences.extend(_book_differences(judgement.fold, engine, symbol))
    return _result("journal: engine rebuilds, books agree", f"{symbols} books", differences)


def _book_differences(fold: JournalFold, engine: PartitionEngine, symbol: str) -> Iterator[Difference]:
    bids, asks = fold.levels(symbol)
    if fold.has_icebergs(symbol):
        return  # what they show is the engine's alone to know
    shown_bids, shown_asks = engine.depth(symbol, max(len(bids), len(asks)) + 1)
    for name, shown, expected in (("bids", shown_bids, bids), ("asks", shown_asks, asks)):
        if [tuple(level) for level in shown] != expected:
            yield Difference(place=f"book {symbol}", text=f"the {name} of the engine are not those of the open orders")
    if engine.seq(symbol) != fold.seq(symbol):
        yield Difference(place=f"book {symbol}", text=f"engine at seq {engine.seq(symbol)}, fold at {fold.seq(symbol)}")


def check_money(judgement: Judgement) -> CheckResult:
    """Per asset Σ(available + held) with fees equals deposits less withdrawals: at every slot, and in the wallets."""
    fold, evidence = judgement.fold, judgement.evidence
    differences = list(fold.money)
    stored: dict[str, int] = defaultdict(int)
    for wallet in evidence.wallets:
        stored[wallet.asset] += wallet.available + wallet.held
    expected: dict[str, int] = defaultdict(int)
    for (_, asset), entries in fold.entries.items():
        expected[asset] += sum(entry.available + entry.held for entry in entries)
    for asset in sorted(expected.keys() | fold.inflow.keys() | stored.keys()):
        if expected[asset] != fold.inflow[asset]:
            text = f"the journal holds {expected[asset]} of {fold.inflow[asset]} that came in"
            differences.append(Difference(place=asset, text=text))
        if stored[asset] != fold.inflow[asset]:
            text = f"wallets hold {stored[asset]}, deposits less withdrawals are {fold.inflow[asset]}"
            differences.append(Difference(place=asset, text=text))
    return _result("money: conserved per asset at every slot", f"{len(fold.inflow)} assets", differences)


def check_exposure(judgement: Judgement) -> CheckResult:
    """An open order holds what it has at stake, at every slot that touches it; one that is done holds nothing."""
    scope = f"{len(judgement.fold.orders):,} orders"
    return _result("holds: equal open exposure", scope, judgement.fold.exposure)


def check_trading(judgement: Judgement) -> CheckResult:
    """While a symbol is halted, or takes cancels only, no order of it enters, changes, triggers or trades."""
    scope = f"{judgement.fold.status_changes:,} changes of status"
    return _result("symbols: trade only while open", scope, judgement.fold.trading)


@dataclass(frozen=True, slots=True)
class _PendingHold:
    command_id: int
    amount: int


def check_wallets(judgement: Judgement) -> CheckResult:
    """Each wallet is the fold of the journal, less the holds of commands on their way; nothing is negative."""
    evidence, fold = judgement.evidence, judgement.fold
    waiting = _pending_holds(judgement)
    stored = {(wallet.user_id, wallet.asset): wallet for wallet in evidence.wallets}
    differences: list[Difference] = []
    for key in sorted(stored.keys() | fold.entries.keys() | fold.holds.keys()):
        wallet = stored.get(key) or Wallet(user_id=key[0], asset=key[1], available=0, held=0, applied={})
        differences.extend(_wallet_differences(judgement, wallet, waiting.get(key, [])))
    return _result("wallets: equal the journal's fold", f"{len(stored):,} wallets", differences)


def _wallet_differences(judgement: Judgement, wallet: Wallet, waiting: list[_PendingHold]) -> Iterator[Difference]:
    key = (wallet.user_id, wallet.asset)
    place = f"wallet {wallet.user_id} {wallet.asset}"
    if wallet.available < 0 or wallet.held < 0:
        text = f"negative: available {wallet.available}, held {wallet.held}"
        yield Difference(place=place, text=text, **_last_slot(wallet))
    positions = judgement.evidence.database.positions
    entries = [
        entry
        for entry in judgement.fold.entries.get(key, [])
        if entry.slot <= max(positions.get(entry.partition, 0), wallet.applied.get(entry.partition, 0))
    ]
    for entry in entries:
        if entry.slot > wallet.applied.get(entry.partition, 0):
            yield _at(entry.partition, entry.slot, place, "this slot's change is not settled")
            return
    taken = judgement.fold.holds.get(key, [])
    held_out = sum(hold.amount for hold in taken) + sum(hold.amount for hold in waiting)
    available = sum(entry.available for entry in entries) - held_out - wallet.available
    held = sum(entry.held for entry in entries) + held_out - wallet.held
    if not available and not held:
        return
    text = f"available is {-available:+}, held {-held:+} beside the journal"
    for entry in entries:
        for sign, story in ((1, "as if this slot had not been settled"), (-1, "as if it had been settled twice")):
            if (entry.available * sign, entry.held * sign) == (available, held):
                yield _at(entry.partition, entry.slot, place, f"{text}, {story}")
                return
    for hold in taken:
        if available + held == 0 and abs(held) == hold.amount:
            yield _at(hold.partition, hold.slot, place, f"{text}, as the hold of {hold.command_id}")
            return
    yield Difference(place=place, text=f"{text}; no slot explains it", **_last_slot(wallet))


def _last_slot(wallet: Wallet) -> dict[str, int]:
    if not wallet.applied:
        return {}
    partition, slot = max(wallet.applied.items(), key=lambda mark: mark[1])
    return {"partition": partition, "slot": slot}


def _pending_holds(judgement: Judgement) -> dict[WalletKey, list[_PendingHold]]:
    waiting: dict[WalletKey, list[_PendingHold]] = defaultdict(list)
    for pending in judgement.evidence.pending.values():
        if pending.order_id in judgement.fold.causes:
            continue
        hold = _hold_of(_command(pending))
        if hold is not None:
            key, amount = hold
            waiting[key].append(_PendingHold(pending.order_id, amount))
    return waiting


def _hold_of(command: Command | None) -> tuple[WalletKey, int] | None:
    match command:
        case PlaceOrder() | AmendOrder() if command.hold:
            return (command.user_id, command.hold_asset), command.hold
        case WithdrawFunds():
            return (command.account_id, command.asset), command.amount
    return None


def _command(stored: Intent | Pending) -> Command | None:
    try:
        return decode_commands(stored.command)[0]
    except (DecodeError, IndexError):
        return None


def check_intents(judgement: Judgement) -> CheckResult:
    """Every intent is in the journal as it was sent, or still pending; what the database has is pending no more."""
    evidence, fold = judgement.evidence, judgement.fold
    differences: list[Difference] = []
    for intent in evidence.intents:
        place = f"order {intent.order_id}"
        if intent.order_id not in fold.causes:
            if intent.order_id not in evidence.pending:
                differences.append(Difference(place=place, text="was accepted, and is neither journaled nor pending"))
            continue
        difference = _terms_difference(_command(intent), fold.orders.get(intent.order_id))
        if difference:
            partition, slot = fold.causes[intent.order_id]
            differences.append(_at(partition, slot, place, difference))
    for order_id in evidence.pending.keys() & fold.causes.keys():
        partition, slot = fold.causes[order_id]
        if slot <= evidence.database.positions.get(partition, 0):
            differences.append(_at(partition, slot, f"order {order_id}", "is settled, and still marked as pending"))
    differences.extend(_phantoms(judgement))
    scope = f"{len(evidence.intents):,} intents, {len(evidence.pending):,} pending"
    return _result("intents: journaled as sent, or pending", scope, differences)


def _phantoms(judgement: Judgement) -> Iterator[Difference]:
    """Orders that nobody was promised. Intents are forgotten after a time, so only the younger orders are looked at."""
    newest_ms = max((slots[-1].at_ms for slots in judgement.slots.values() if slots), default=0)
    known = {intent.order_id for intent in judgement.evidence.intents}
    for order_id, order in judgement.fold.orders.items():
        is_young = order.terms.entered_at_ms > newest_ms - (INTENT_TTL_S - _TTL_SLACK_S) * 1000
        if is_young and order_id not in known:
            yield _at(order.partition, order.slot, f"order {order_id}", "entered without an intent")


_SENT_TERMS: Final = (
    "user_id",
    "symbol",
    "side",
    "order_type",
    "price",
    "quantity",
    "quote_quantity",
    "hold",
    "hold_asset",
)


def _terms_difference(command: Command | None, order: FoldedOrder | None) -> str | None:
    if not isinstance(command, PlaceOrder) or order is None:
        return None if not isinstance(command, PlaceOrder) else "its command is known, and no such order entered"
    for name in _SENT_TERMS:
        sent, journaled = getattr(command, name), getattr(order.terms, name)
        if sent != journaled:
            return f"{name} was {sent} when it was sent and {journaled} in the journal"
    return None


def compare(
    expected: Mapping[Any, Any],
    stored: Mapping[Any, Any],
    *,
    place: Callable[[Any], str],
    where: Callable[[Any], tuple[int, int] | None],
    columns: tuple[str, ...] = (),
) -> Iterator[Difference]:
    """What is missing, too many, or not equal; `where` gives the slot that the key's value comes from."""
    for key in expected.keys() | stored.keys():
        if key in expected and key in stored and expected[key] == stored[key]:
            continue
        if key not in stored:
            text = "is missing"
        elif key not in expected:
            text = "is in no slot"
        else:
            text = _columns_text(expected[key], stored[key], columns)
        partition, slot = where(key) or (None, None)
        yield Difference(place=place(key), text=text, partition=partition, slot=slot)


def _columns_text(expected: Any, stored: Any, columns: tuple[str, ...]) -> str:
    wrong = [
        f"{name} is {has}, not {due}" for name, due, has in zip(columns, expected, stored, strict=False) if due != has
    ]
    return ", ".join(wrong) or "is not as the journal has it"


def _at(partition: int, slot: int, place: str, text: str) -> Difference:
    return Difference(place=place, text=text, partition=partition, slot=slot)


def _result(name: str, scope: str, *differences: Iterable[Difference]) -> CheckResult:
    return CheckResult(name=name, scope=scope, differences=tuple(chain.from_iterable(differences)))
