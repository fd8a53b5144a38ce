"""A small exchange without processes: engines, simulated stores and the persister, and the evidence an audit reads."""

from dataclasses import replace
from random import Random

from crossbook.audit.evidence import (
    CANDLE_COLUMNS,
    FILL_COLUMNS,
    INSTRUMENT_COLUMNS,
    LEDGER_COLUMNS,
    ORDER_COLUMNS,
    TRADE_COLUMNS,
    DatabaseEvidence,
    Evidence,
    inflate,
)
from exchange_adapters import projection_rows
from exchange_adapters.sim import SimClock, SimCloud
from exchange_core.codec import Slot, decode_slot, encode_commands, encode_slot
from exchange_core.commands import CASH_DESK, Command, DepositFunds, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_core.outcomes import operator_commands_of, outcomes_of
from exchange_core.ports import Intent, StreamRecord
from exchange_core.topology import Topology
from exchange_matcher.publication import book_now, cache_entries
from exchange_matcher.slots import pack_slots
from exchange_persister.apply import Applier, SettlementPorts
from tests.unit.matcher.support import INSTRUMENT, SYMBOL, cancel, deposit, listing, order

USERS = ("alice", "bob", "carol")
PARTITIONS = 2
CASH_PARTITION = 1


class AuditWorld:
    """Commands go in one slot each call of `submit`; every slot is settled at once."""

    def __init__(self, seed: int = 7) -> None:
        self.clock = SimClock()
        self.engines = [PartitionEngine(partition) for partition in range(PARTITIONS)]
        self.journal: dict[int, list[tuple[int, bytes]]] = {partition: [] for partition in range(PARTITIONS)}
        self.cloud = SimCloud.build(Topology(partitions=PARTITIONS), clock=self.clock)
        self.random = Random(seed)
        self.next_id = 1
        ports = SettlementPorts(
            clock=self.clock,
            projections=self.cloud.projections,
            wallets=self.cloud.wallets,
            history=self.cloud.history,
            publisher=self.cloud.redis,
        )
        self.persister = Applier(ports, wallet_calls_max=1)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    async def submit(self, partition: int, *commands: Command) -> None:
        engine, slots = self.engines[partition], self.journal[partition]
        self.clock.advance(10)
        at_ms = self.clock.now_ms()
        units = [engine.begin_slot(at_ms), *(engine.execute(command, at_ms) for command in commands)]
        packed = pack_slots(
            [unit for unit in units if unit], partition=partition, after=len(slots), at_ms=at_ms, writer="w"
        )
        for encoded in packed:
            slots.append((encoded.slot.n, encoded.data))
            record = StreamRecord(sequence_number="1", partition_key=str(partition), data=encoded.data)
            outcome = await self.persister.apply([record])
            assert not outcome.unsettled and not outcome.errors

    async def place(self, command: PlaceOrder) -> None:
        """With hold and intent, as the gateway does it."""
        await self.cloud.wallets.commit({(command.user_id, command.hold_asset): command.hold}, [intent_of(command)])

    async def fund(self) -> None:
        await self.submit(0, listing())
        for user_id in USERS:
            for asset in ("BTC", "USDT"):
                await self.submit(CASH_PARTITION, deposit(self.new_id(), user_id, asset, 10**16))

    async def trade(self, rounds: int) -> None:
        """Orders of all users at few prices, some of them canceled or immediate."""
        placed: list[PlaceOrder] = []
        for _ in range(rounds):
            batch: list[Command] = []
            for _ in range(self.random.randint(1, 4)):
                if placed and self.random.random() < 0.2:
                    target = self.random.choice(placed)
                    batch.append(cancel(self.new_id(), target.order_id, target.user_id))
                    continue
                command = self._new_order()
                await self.place(command)
                placed.append(command)
                batch.append(command)
            await self.submit(0, *batch)

    def _new_order(self) -> PlaceOrder:
        command = order(
            self.new_id(),
            self.random.choice([Side.BUY, Side.SELL]),
            user_id=self.random.choice(USERS),
            price=5_000_000 + self.random.randint(-3, 3),
            quantity=self.random.randint(1, 50),
            entered_at_ms=self.clock.now_ms(),
            time_in_force=TimeInForce.IOC if self.random.random() < 0.2 else TimeInForce.GTC,
        )
        command = replace(command, self_trade_prevention=self.random.choice(list(SelfTradePrevention)))
        if command.side is Side.BUY and self.random.random() < 0.2:  # spends as much at the market
            terms = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, "quote_quantity": command.hold}
            command = replace(command, price=None, quantity=None, **terms)
        return command

    async def evidence(self) -> Evidence:
        found = Evidence(partitions=PARTITIONS, journal={p: list(slots) for p, slots in self.journal.items()})
        found.wallets = self.cloud.wallets.all_wallets()
        found.intents = self.cloud.wallets.all_intents()
        for partition in range(PARTITIONS):
            for pending in await self.cloud.wallets.pending(partition, 2**62, 10**6):
                found.pending[pending.order_id] = pending
        found.database = self.database()
        found.history = {key: inflate(data) for key, data in self.cloud.history.objects.items()}
        for engine in self.engines:
            for symbol in engine.instruments:
                instrument = engine.instruments[symbol]
                book = book_now(engine, instrument, None)
                found.cache.update(cache_entries(engine, instrument, book, self.clock.now_ms()))
        return found

    def slots(self, partition: int) -> list[Slot]:
        return [decode_slot(data) for _, data in self.journal[partition]]

    def database(self) -> DatabaseEvidence:
        """The rows that the persister's own fold makes of the whole journal."""
        database = DatabaseEvidence()
        for partition in range(PARTITIONS):
            slots = self.slots(partition)
            instruments = projection_rows.instruments_after({SYMBOL: INSTRUMENT}, slots)
            rows = projection_rows.rows_of(slots, instruments)
            database.positions[partition] = len(slots)
            picked = [projection_rows.ORDER_COLUMNS.index(name) for name in ORDER_COLUMNS]
            database.orders += [tuple(row[place] for place in picked) for row in rows.new_orders()]
            database.trades += rows.trades
            database.candles += [
                (one.symbol, one.interval.length_s, *(getattr(one, name) for name in CANDLE_COLUMNS[2:]))
                for one in rows.candles.candles()
            ]
            database.fills += rows.fills
            database.ledger += [row[: len(LEDGER_COLUMNS)] for row in rows.ledger]
            for slot in slots:
                database.outcomes += [
                    (one.command_id, one.user_id, one.reason, partition, slot.n) for one in outcomes_of(slot)
                ]
                database.operator_commands += [
                    (one.command_id, one.operator_id, one.reason, partition, slot.n)
                    for one in operator_commands_of(slot)
                ]
            for symbol, (_, seq) in rows.listings.items():
                database.instruments.append((symbol, partition, str(instruments[symbol].status), seq))
        assert projection_rows.TRADE_COLUMNS == TRADE_COLUMNS
        assert projection_rows.FILL_COLUMNS == FILL_COLUMNS
        assert projection_rows.LEDGER_COLUMNS[: len(LEDGER_COLUMNS)] == LEDGER_COLUMNS
        assert len(INSTRUMENT_COLUMNS) == 4
        return database


def intent_of(command: PlaceOrder) -> Intent:
    return Intent(
        user_id=command.user_id,
        order_id=command.order_id,
        client_order_id=command.client_order_id,
        body_digest="",
        partition=0,
        group=command.symbol,
        command=encode_commands([command]),
        created_at_ms=command.entered_at_ms,
    )


def rewritten(evidence: Evidence, partition: int, slot: Slot) -> None:
    """Put another slot in the place of one of the journal."""
    evidence.journal[partition] = [
        (n, encode_slot(slot) if n == slot.n else data) for n, data in evidence.journal[partition]
    ]


__all__ = ["CASH_DESK", "CASH_PARTITION", "PARTITIONS", "SYMBOL", "USERS", "AuditWorld", "DepositFunds", "rewritten"]
