"""The reconciler: compares wallets and database with the journal for as long as it runs, and halts what differs.

A mode of the persister (`python -m exchange_persister.reconcile`), beside the one that settles and sharing nothing with
it but the rules. A round:

    1 journal    the slots written since, folded into what each wallet must hold
    2 database   its positions; the ledger's lines and the trades of the slots it has gained, row by row
    3 wallets    those that the slots touched, those that differed before, and the next few of all others
    4 verdict    a wallet that is off by the same amount CONFIRMATIONS times running is a difference

The stores are read one after the other while the exchange runs. So a few wallets at a time are read between two looks
at the holds on their way, and then the journal to its end: of a wallet whose holds or slots moved in between nothing is
said, and it is looked at again. While the journal has more than is kept in mind nothing is said of any wallet: a hold
may be that of a slot still to come. A difference halts every symbol that trades the asset by a journaled command, as an
operator would, and is told until somebody mends it. It writes nothing else.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import DIFFERENCES, SLOTS_RECONCILED
from exchange_adapters.projection_rows import instruments_after, rows_of
from exchange_core.codec import Slot, decode_commands, decode_slot, encode_commands
from exchange_core.commands import SetSymbolStatus
from exchange_core.errors import PortError
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.ledger import hold_of
from exchange_core.ports import (
    Clock,
    CommandMessage,
    CommandSink,
    JournalReader,
    SettledRows,
    Wallet,
    WalletReader,
)
from exchange_core.wire import DecodeError
from exchange_persister.reconcile_books import Discrepancy, WalletBooks, WalletKey

OPERATOR_ID: Final = "$reconciler"
CONFIRMATIONS: Final = 3
READ_SLOTS: Final = 200
SLOTS_A_ROUND: Final = 2_000
"""How many slots of a partition are kept in mind while the database does not have them."""
WALLETS_A_ROUND: Final = 500
"""How many of the wallets that slots have touched are looked at each round, the longest waiting first."""
SWEPT_A_ROUND: Final = 50
"""How many wallets that nothing points to are looked at each round."""
_READS_AT_ONCE: Final = 16

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerPorts:
    """All that the reconciler needs from the outside."""

    clock: Clock
    journal: JournalReader
    rows: SettledRows
    wallets: WalletReader
    commands: CommandSink


@dataclass(slots=True)
class _Suspicion:
    """A wallet that was off by this much, this many times running."""

    discrepancy: Discrepancy
    count: int = 1


@dataclass(slots=True, kw_only=True)
class Reconciler:
    """Lifecycle: `round` again and again. `found` are the differences told so far, by what they are about."""

    ports: ReconcilerPorts
    partitions: int
    found: dict[str, str] = field(default_factory=dict)
    _books: WalletBooks = field(default_factory=WalletBooks)
    _instruments: dict[int, Mapping[str, Instrument]] = field(default_factory=dict)
    _unsettled: dict[int, list[Slot]] = field(default_factory=dict)
    _suspects: dict[WalletKey, _Suspicion] = field(default_factory=dict)
    _touched: dict[WalletKey, None] = field(default_factory=dict)
    _swept: int = 0
    _has_more: bool = False
    _since_ms: int = 0

    @property
    def is_up_to_date(self) -> bool:
        """Whether another round at once would find nothing new: all is looked at, or waits for the database."""
        return not self._has_more

    async def round(self) -> None:
        """Compare what there is now. Raises PortError when a store does not answer: try again, after a pause."""
        self._has_more = False
        self._since_ms = self._since_ms or self.ports.clock.now_ms()
        heads, settled = dict(self._books.heads), dict(self._books.settled)
        moved = await self._read_journal()
        positions = await self.ports.rows.positions()
        for partition in range(self.partitions):
            await self._compare_rows(partition, positions.get(partition, 0))
        if moved is None:
            self._has_more = (heads, settled) != (self._books.heads, self._books.settled)
        else:
            await self._compare_wallets()
            self._has_more = len(self._touched) > WALLETS_A_ROUND
        recorder.gauge(DIFFERENCES, len(self.found))

    async def _read_journal(self) -> set[WalletKey] | None:
        """Take in what was written since. The wallets it moved; None when there may be more than is kept in mind."""
        moved: set[WalletKey] = set()
        is_all = True
        for partition in range(self.partitions):
            is_all &= await self._read_partition(partition, moved)
        return moved if is_all else None

    async def _read_partition(self, partition: int, moved: set[WalletKey]) -> bool:
        """Whether the journal was read to its end."""
        instruments = self._instruments.setdefault(partition, {})
        waiting = self._unsettled.setdefault(partition, [])
        while room := min(READ_SLOTS, SLOTS_A_ROUND - len(waiting)):
            page = await self.ports.journal.read(partition, self._books.heads.get(partition, 0), room)
            slots = [decode_slot(data) for _, data in page]
            instruments = self._instruments[partition] = instruments_after(instruments, slots)
            for slot in slots:
                wallets = self._books.add(slot, instruments)
                self._touched.update(dict.fromkeys(sorted(wallets)))
                moved |= wallets
            waiting.extend(slots)
            if len(page) < room:
                return True
        return False

    async def _compare_rows(self, partition: int, position: int) -> None:
        """What a committed slot wrote never changes again, so here one look is enough. What a round could not read is
        compared in the next one."""
        self._books.settle(partition, position)
        through = self._books.settled[partition]
        waiting = self._unsettled[partition]
        gained = [slot for slot in waiting if slot.n <= through]
        if not gained:
            return
        before = gained[0].n - 1
        expected = rows_of(gained, self._instruments[partition])
        ledger = await self.ports.rows.ledger(partition, before, through)
        trades = await self.ports.rows.trades(partition, before, through)
        self._unsettled[partition] = waiting[len(gained) :]
        recorder.count(SLOTS_RECONCILED, len(gained), partition=partition)
        for name, due, has in (("ledger", expected.ledger, ledger), ("trades", sorted(expected.trades), trades)):
            if list(map(tuple, due)) != list(map(tuple, has)):
                symbols = {str(part) for row in _differing(due, has) for part in row} & self._symbols().keys()
                place = f"{name} of slots {partition}:{before + 1} to {through}"
                await self._tell(place, "the rows are not those of the journal", symbols or set(self._symbols()))

    async def _compare_wallets(self) -> None:
        keys = list(dict.fromkeys([*self._suspects, *islice(self._touched, WALLETS_A_ROUND), *self._next_swept()]))
        before = await self._pending()
        for at in range(0, len(keys), _READS_AT_ONCE):
            chunk = keys[at : at + _READS_AT_ONCE]
            wallets = await asyncio.gather(*map(self._wallet, chunk))
            after = await self._pending()
            moved = await self._read_journal()
            if moved is None:
                return
            for key, wallet in zip(chunk, wallets, strict=True):
                self._touched.pop(key, None)
                if key in moved or before.get(key) != after.get(key):
                    self._touched[key] = None
                else:
                    await self._judge(wallet, after.get(key, ()))
            before = after

    async def _judge(self, wallet: Wallet, pending: Sequence[tuple[int, int]]) -> None:
        """A wallet that stood still while it was read."""
        key = (wallet.user_id, wallet.asset)
        discrepancy = self._books.discrepancy(wallet, pending)
        if discrepancy is None:
            self._suspects.pop(key, None)
            return
        suspicion = self._suspects.get(key)
        if suspicion is None or suspicion.discrepancy != discrepancy:
            self._suspects[key] = _Suspicion(discrepancy)
            return
        suspicion.count += 1
        if suspicion.count >= CONFIRMATIONS:
            await self._tell_wallet(key, discrepancy)

    async def _tell_wallet(self, key: WalletKey, discrepancy: Discrepancy) -> None:
        user_id, asset = key
        symbols = {
            symbol for symbol, instrument in self._symbols().items() if asset in (instrument.base, instrument.quote)
        }
        await self._tell(f"wallet {user_id} {asset}", str(discrepancy), symbols)

    async def _wallet(self, key: WalletKey) -> Wallet:
        found = await self.ports.wallets.wallet(*key)
        return found or Wallet(user_id=key[0], asset=key[1], available=0, held=0, applied={})

    async def _pending(self) -> dict[WalletKey, list[tuple[int, int]]]:
        """The holds on their way, by wallet."""
        found: dict[WalletKey, list[tuple[int, int]]] = {}
        for partition in range(self.partitions):
            for intent in await self.ports.wallets.all_pending(partition):
                try:
                    hold = hold_of(decode_commands(intent.command)[0])
                except (DecodeError, IndexError):
                    continue
                if hold is not None:
                    found.setdefault(hold[:2], []).append((intent.order_id, hold[2]))
        return found

    def _next_swept(self) -> list[WalletKey]:
        everyone = list(self._books.wallets)
        if not everyone:
            return []
        self._swept %= len(everyone)
        chosen = everyone[self._swept : self._swept + SWEPT_A_ROUND]
        self._swept += SWEPT_A_ROUND
        return chosen

    def _symbols(self) -> dict[str, Instrument]:
        return {symbol: one for known in self._instruments.values() for symbol, one in known.items()}

    async def _tell(self, place: str, text: str, symbols: set[str]) -> None:
        """Loudly, and halt; a halt that cannot be sent now is sent the next time."""
        if self.found.get(place) == text:
            return
        log.error("difference_found", place=place, difference=text, symbols=sorted(symbols))
        for symbol in sorted(symbols):
            await self._halt(symbol, f"{place}: {text}")
        self.found[place] = text

    async def _halt(self, symbol: str, why: str) -> None:
        """Sent again it is the same command; told anew after a restart, when somebody may have opened the symbol
        meanwhile, it is another one, or the matcher would take it for a repeat."""
        partition = self._symbols()[symbol].partition
        identity = hashlib.sha256(f"halt {symbol} since {self._since_ms}: {why}".encode()).digest()
        command_id = int.from_bytes(identity[:8], "big") >> 1
        command = SetSymbolStatus(
            command_id=command_id,
            user_id=OPERATOR_ID,
            symbol=symbol,
            entered_at_ms=self.ports.clock.now_ms(),
            status=SymbolStatus.HALTED,
        )
        message = CommandMessage(
            partition=partition,
            group=symbol,
            dedup_id=f"reconciler-{command_id}",
            body=encode_commands([command]),
        )
        await self.ports.commands.send(partition, [message])
        log.error("symbol_halted", symbol=symbol, command_id=str(command_id))


def _differing(due: Sequence[Any], has: Sequence[Any]) -> list[Any]:
    """The rows that only one side has."""
    expected, stored = set(map(tuple, due)), set(map(tuple, has))
    return [*(expected - stored), *(stored - expected)]


async def run_rounds(reconciler: Reconciler, stopping: asyncio.Event, interval_s: float) -> None:
    """Rounds until `stopping` is set; a store that does not answer is asked again in the next one."""
    while not stopping.is_set():
        try:
            await reconciler.round()
        except PortError as error:
            log.warning("round_failed", error=f"{type(error).__name__}: {error}")
        if reconciler.is_up_to_date:
            try:
                async with asyncio.timeout(interval_s):
                    await stopping.wait()
            except TimeoutError:
                continue
