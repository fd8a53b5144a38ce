"""The exchange without one of its safeguards: each must be caught, or the checks prove nothing.

An ablation is a part with a safeguard taken out, put in the place of the real one from outside, and the weather that
the safeguard is there for. `catch` lives through seeds until every check that is expected to tell has told.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

import exchange_adapters.sessions
import exchange_adapters.sim.database_reader
import exchange_fanout.desk
import exchange_gateway.access.api_keys
import exchange_gateway.routes.ledger
import exchange_gateway.routes.orders
import exchange_gateway.trading.orders
import exchange_matcher.old_commands
import exchange_matcher.recovery
import exchange_matcher.worker
import exchange_persister.notices
from exchange_adapters.sim import SimDatabaseReader, SimHistory, SimJournal, SimRedis, SimWallets
from exchange_adapters.sim.projections import SimProjection, SimProjections
from exchange_core.memory import CommandMemory
from exchange_core.orders import OrderStatus
from exchange_core.symbol_state import SymbolState
from exchange_core.topology import Topology
from exchange_core.triggers import TriggerBook
from exchange_fanout.hub import Hub
from exchange_gateway.trading.holds import _Transaction
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.sweeper import Sweeper
from exchange_matcher.commit import SlotCommit
from exchange_matcher.publication import MarketPublication
from exchange_matcher.worker import _Rounds
from exchange_persister.notices import Notices
from exchange_persister.reconciler import Reconciler
from simulation import broken
from simulation.checks.examine import Verdict, examine
from simulation.trouble.weather import Weather
from simulation.world import live

SEEDS_MAX: Final = 40
"""Every ablation is caught within this many seeds, counted from 0."""

_FAIR: Final = Weather(delay_ms=(0, 20))
_LOSSY: Final = Weather(rates={"lost_requests": 0.1, "lost_answers": 0.2}, delay_ms=(0, 20))
_DEADLY: Final = Weather(events=("kills",), delay_ms=(0, 200))
_SLOW_AND_DEADLY: Final = Weather(events=("kills", "pauses"), delay_ms=(0, 1_500))
_STALLING_AND_DEADLY: Final = Weather(
    rates={"throttled": 0.6}, events=("kills", "kills"), delay_ms=(0, 200), victims=("matcher",), pause_s=0.1
)
"""Matchers die, and what they write between two steps of a batch takes several attempts."""
_DOUBLED: Final = Weather(events=("twins", "pauses", "pauses"), delay_ms=(0, 20))
_NO_QUEUE: Final = Weather(rates={"unavailable": 0.2}, events=("outages",), pause_s=0.1)
_HALTED: Final = Weather(events=("halts",), delay_ms=(0, 20))
_OVERHEARD: Final = Weather(events=("replays",), pause_s=0.1)
_OVERHEARD_AND_FORGOTTEN: Final = Weather(events=("replays", "cache_losses"), pause_s=0.1)
_UNHEARD: Final = Weather(rates={"lost_messages": 0.6})
_FORGETFUL: Final = Weather(events=("cache_losses",), delay_ms=(0, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """`patches` are (owner, attribute, replacement); `tells` the checks that must tell; `covers_checks` says that the
    checks too run on the broken part."""

    patches: Sequence[tuple[Any, str, Any]]
    weather: Weather
    tells: frozenset[str]
    covers_checks: bool = False


def catch(ablation: Ablation, seeds: int = SEEDS_MAX) -> int | None:
    """Live until all checks of `tells` have told; how many seeds that took, None if more than `seeds`."""
    told: set[str] = set()
    for seed in range(seeds):
        told |= _examined(ablation, seed).found.keys()
        if ablation.tells <= told:
            return seed + 1
    return None


def _examined(ablation: Ablation, seed: int) -> Verdict:
    with contextlib.ExitStack() as stack:
        for owner, attribute, replacement in ablation.patches:
            stack.enter_context(patch.object(owner, attribute, replacement))
        aftermath = live(seed, weather=ablation.weather)
        if ablation.covers_checks:
            return examine(aftermath)
    return examine(aftermath)


ABLATIONS: Final[dict[str, Ablation]] = {
    "commands are not remembered": Ablation(
        patches=[(CommandMemory, "remember", lambda *_: None)],
        weather=_LOSSY,
        tells=frozenset({"engine: commands lead to the journal", "holds: equal open exposure"}),
    ),
    "acknowledged before journaled": Ablation(
        patches=[(_Rounds, "_commit_batch", broken.acknowledge_first)],
        weather=_STALLING_AND_DEADLY,
        tells=frozenset({"clients: cancels come true"}),
    ),
    "published before journaled": Ablation(
        patches=[(_Rounds, "_commit_batch", broken.publish_first)],
        weather=_DOUBLED,
        tells=frozenset({"feed: every trade true and told once", "depth feed: every book was so"}),
    ),
    "fed before journaled": Ablation(
        patches=[(SlotCommit, "commit", broken.feed_first)],
        weather=_DOUBLED,
        tells=frozenset({"stream: carries the journal"}),
    ),
    "a slot can be written again": Ablation(
        patches=[(SimJournal, "put", broken.put_over)],
        weather=_DOUBLED,
        tells=frozenset({"stream: carries the journal", "journal: engine rebuilds, books agree"}),
    ),
    "an ambiguous put is taken for done": Ablation(
        patches=[(SlotCommit, "_put", broken.guess_the_put)],
        weather=_LOSSY,
        tells=frozenset(
            {
                "journal: slots gapless and readable",
                "journal: seq and trade ids gapless",
                "clients: commands are journaled",
            }
        ),
    ),
    "recovery does not feed again": Ablation(
        patches=[(exchange_matcher.recovery, "decode_slot", broken.as_if_fed)],
        weather=_STALLING_AND_DEADLY,
        tells=frozenset({"liveness: at rest a minute after healing", "database: at the journal's head"}),
    ),
    "a repeat is as old as its message": Ablation(
        patches=[(exchange_matcher.old_commands, "unseen_at_ms", lambda _: math.inf)],
        weather=Weather(
            rates={"lost_answers": 0.1},
            events=("suspends", "outages", "outages"),
            delay_ms=(0, 1_500),
            victims=("gateway",),
            pause_s=0.1,
            chaos_s=50.0,
        ),
        tells=frozenset({"holds: equal open exposure", "wallets: equal the journal's fold"}),
    ),
    "cancels wait no longer than orders": Ablation(
        patches=[(exchange_matcher.old_commands, "WITHOUT_INTENT", ())],
        weather=Weather(
            events=("suspends", "outages", "outages", "outages"), delay_ms=(0, 1_500), pause_s=0.1, chaos_s=50.0
        ),
        tells=frozenset({"clients: commands are journaled"}),
    ),
    "old cancels are not looked for": Ablation(
        patches=[(exchange_matcher.worker, "carried_out", broken.none_carried_out)],
        weather=Weather(
            rates={"unavailable": 0.2},
            events=("suspends", "kills"),
            delay_ms=(0, 1_500),
            victims=("matcher",),
            pause_s=0.1,
        ),
        tells=frozenset({"database: outcomes of commands"}),
    ),
    "no quarantine": Ablation(
        patches=[(_Rounds, "_execute_one", broken.execute_unguarded)],
        weather=_FAIR,
        tells=frozenset({"processes: none fails", "poison: other symbols go on"}),
    ),
    "a message gets one chance": Ablation(
        patches=[(Topology, "orders_queue", broken.one_chance)],
        weather=_SLOW_AND_DEADLY,
        tells=frozenset({"queues: no dead letters"}),
    ),
    "caches are written once": Ablation(
        patches=[(MarketPublication, "refresh", broken.nothing)],
        weather=_FORGETFUL,
        tells=frozenset({"Redis: orderbook and price"}),
    ),
    "trades are not published": Ablation(
        patches=[(MarketPublication, "publish", broken.nothing)],
        weather=_FAIR,
        tells=frozenset({"feed: whole when healthy"}),
    ),
    "halted symbols trade on": Ablation(
        patches=[(SymbolState, "set_status", broken.stay_open)],
        weather=_HALTED,
        tells=frozenset({"symbols: trade only while open"}),
    ),
    "snapshots lack waiting orders": Ablation(
        patches=[(TriggerBook, "__iter__", broken.none_waiting)],
        weather=_DEADLY,
        tells=frozenset({"snapshots: are the fold"}),
    ),
    "wallets settle whatever comes": Ablation(
        patches=[(SimWallets, "settle", broken.settle_regardless)],
        weather=_LOSSY,
        tells=frozenset(
            {
                "wallets: equal the journal's fold",
                "money: conserved per asset at every slot",
                "settlement: again changes nothing",
                "reconciler: tells nothing",
            }
        ),
        covers_checks=True,
    ),
    "position outside the transaction": Ablation(
        patches=[
            (SimProjections, "_transaction", broken.rows_then_position),
            (SimProjection, "_follow", broken.follow_nothing),
        ],
        weather=_LOSSY,
        tells=frozenset({"database: recorded the journal"}),
    ),
    "rows are committed in part": Ablation(
        patches=[(SimProjection, "record", broken.record_in_part), (SimProjection, "_follow", broken.follow_nothing)],
        weather=Weather(pause_s=0.1),
        tells=frozenset(
            {
                "database: orders",
                "database: trades and fills",
                "database: candles",
                "database: ledger",
                "database: instruments",
                "database: outcomes of commands",
                "database: operators' commands",
            }
        ),
    ),
    "no archive": Ablation(
        patches=[(SimHistory, "put", broken.nothing)],
        weather=_FAIR,
        tells=frozenset({"history in S3: covers and agrees"}),
    ),
    "users share a channel": Ablation(
        patches=[
            (exchange_persister.notices, "user_channel", broken.one_channel),
            (exchange_fanout.desk, "user_channel", broken.one_channel),
        ],
        weather=_FAIR,
        tells=frozenset({"private feed: true, told once, and his own"}),
    ),
    "users are told nothing": Ablation(
        patches=[(Notices, "publish", broken.nothing)],
        weather=_FAIR,
        tells=frozenset({"private feed: whole when healthy"}),
    ),
    "lost books are not read again": Ablation(
        patches=[(Hub, "_read_book", broken.read_once)],
        weather=Weather(rates={"lost_messages": 0.2}, delay_ms=(0, 20)),
        tells=frozenset({"depth feed: whole when healthy"}),
    ),
    "no sweeper": Ablation(
        patches=[(Sweeper, "sweep", broken.sweep_nothing)],
        weather=_NO_QUEUE,
        tells=frozenset({"liveness: at rest a minute after healing"}),
    ),
    "holds and intents apart": Ablation(
        patches=[(SimWallets, "commit", broken.hold_then_promise)],
        weather=_LOSSY,
        tells=frozenset({"holds: none without an order", "wallets: equal the journal's fold"}),
    ),
    "no hold is taken": Ablation(
        patches=[(_Transaction, "_total_holds", broken.hold_nothing)],
        weather=_FAIR,
        tells=frozenset({"wallets: equal the journal's fold"}),
    ),
    "an ambiguous hold is told as refused": Ablation(
        patches=[(_Transaction, "_attempt", broken.refuse_in_doubt)],
        weather=_LOSSY,
        tells=frozenset({"clients: refusals are final"}),
    ),
    "intents are not listed as pending": Ablation(
        patches=[(SimWallets, "_store", broken.store_unlisted)],
        weather=_NO_QUEUE,
        tells=frozenset({"intents: journaled as sent, or pending", "clients: promises are kept"}),
    ),
    "client ids are not unique": Ablation(
        patches=[(SimWallets, "_refuse", broken.refuse_no_repeat)],
        weather=_FAIR,
        tells=frozenset({"clients: an id names one order", "clients: transfers happen once"}),
    ),
    "a signature stands in for no client id": Ablation(
        patches=[(exchange_gateway.routes.orders, "client_order_id_of", lambda *_: None)],
        weather=_OVERHEARD_AND_FORGOTTEN,
        tells=frozenset({"clients: a signature is one order"}),
    ),
    "gateways share no signatures": Ablation(
        patches=[(SimRedis, "claim", broken.claim_alone)],
        weather=_OVERHEARD,
        tells=frozenset({"clients: a signature is good once"}),
    ),
    "log-ins are believed for ever": Ablation(
        patches=[(exchange_adapters.sessions, "SESSION_CACHE_S", math.inf)],
        weather=_UNHEARD,
        tells=frozenset({"clients: what was ended is over"}),
    ),
    "keys are believed for ever": Ablation(
        patches=[(exchange_gateway.access.api_keys, "KEY_CACHE_S", math.inf)],
        weather=_UNHEARD,
        tells=frozenset({"clients: what was ended is over"}),
    ),
    "node numbers are not leased": Ablation(
        patches=[
            (NodeLease, "_acquire_any", broken.same_node),
            (NodeLease, "_acquire", lambda self, _: broken.same_node(self)),
        ],
        weather=Weather(pause_s=0.1),
        tells=frozenset({"clients: promises are kept"}),
    ),
    "only settled orders are found": Ablation(
        patches=[(exchange_gateway.trading.orders, "_on_its_way", broken.only_what_is_settled)],
        weather=Weather(delay_ms=(0, 200)),
        tells=frozenset({"clients: reads are true"}),
    ),
    "lists show everybody's orders": Ablation(
        patches=[(SimDatabaseReader, "orders", broken.everybodys_orders)],
        weather=_FAIR,
        tells=frozenset({"reads: orders stood so"}),
    ),
    "lists lack what is partly filled": Ablation(
        patches=[(exchange_adapters.sim.database_reader, "_OPEN", (OrderStatus.OPEN,))],
        weather=_FAIR,
        tells=frozenset({"reads: lists are whole"}),
    ),
    "trades are listed in part": Ablation(
        patches=[(SimDatabaseReader, "trades", broken.some_trades)],
        weather=_FAIR,
        tells=frozenset({"reads: fills and trades happened"}),
    ),
    "balances lack what is held": Ablation(
        patches=[(SimWallets, "balances", broken.without_holds)],
        weather=_FAIR,
        tells=frozenset({"reads: balances stood so"}),
    ),
    "what is not settled is not known": Ablation(
        patches=[(exchange_gateway.routes.ledger, "OUTCOME_KEPT_MS", 0)],
        weather=Weather(delay_ms=(0, 200)),
        tells=frozenset({"reads: verdicts are true"}),
    ),
    "wallets are judged before the journal is read": Ablation(
        patches=[(Reconciler, "_read_journal", broken.read_in_part)],
        weather=Weather(events=("kills",), delay_ms=(0, 200), victims=("reconciler",)),
        tells=frozenset({"reconciler: tells nothing"}),
    ),
    "the gateway rounds prices": Ablation(
        patches=[(exchange_gateway.trading.orders, "price_order", broken.round_up)],
        weather=_FAIR,
        tells=frozenset({"clients: orders were asked for"}),
    ),
}


def main() -> None:
    """The rows of the table in docs/RELIABILITY.md."""
    for name, ablation in ABLATIONS.items():
        tells = ", ".join(f"`{check}`" for check in sorted(ablation.tells))
        print(f"| {name} | {tells} | {catch(ablation) or f'more than {SEEDS_MAX}'} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
