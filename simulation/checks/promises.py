"""What clients were told, held against what the journal says in the end: no promise broken, no refusal taken back,
nothing done that nobody asked for."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from crossbook.audit.fold import JournalFold
from crossbook.audit.folded_orders import FoldedOrder
from exchange_core.events import FundsDeposited, FundsWithdrawn
from exchange_core.money import to_steps
from exchange_core.orders import OrderStatus
from exchange_gateway.access.redis_patience import REDIS_TIMEOUT_S
from simulation.clients.history import Call, Fate, History
from simulation.clients.readers import promised_commands
from simulation.market import LOTS, QUOTE_UNIT, SYMBOLS, TICKS
from simulation.trouble.weather import Weather
from simulation.world import Aftermath

_KEEPS_MARKS_APART: Final = frozenset({"outages", "cache_losses", "pauses", "suspends", "clock_steps"})
"""What keeps a gateway from finding another's mark of a signature, or from asking in time."""
_TURNED_AWAY: Final = frozenset({"request_replayed", "timestamp_outside_window", "api_key_invalid"})
_ENDED_WITHIN_MS: Final = 5_000
"""ADR 4."""
ClientCheck = Callable[[History, JournalFold, Aftermath], Iterator[str]]


def promises_are_kept(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """Every order that was accepted is in the journal, as its client wrote it."""
    for user_id, order_id, body in _placed(history):
        order = fold.orders.get(order_id)
        if order is None:
            yield f"order {order_id} of {user_id} was accepted and is nowhere"
        elif order.terms.user_id != user_id:
            yield f"order {order_id} of {user_id} belongs to {order.terms.user_id}"
        elif not _is_asked_for(order, body):
            yield f"order {order_id} is not what {user_id} asked for: {order.terms}"


def client_ids_name_one_order(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """A client id is one order, however often it was sent; whoever sent the same body was given that one."""
    by_client_id: dict[tuple[str, str], list[int]] = defaultdict(list)
    for order in fold.orders.values():
        if order.terms.client_order_id:
            by_client_id[order.terms.user_id, order.terms.client_order_id].append(order.terms.order_id)
    for (user_id, client_id), order_ids in by_client_id.items():
        if len(order_ids) > 1:
            yield f"{client_id} of {user_id} became {len(order_ids)} orders"
    for user_id, order_id, body in _placed(history):
        named = body.get("client_order_id")
        if named and order_id not in by_client_id[user_id, named]:
            yield f"{named} of {user_id} was said to be order {order_id}"


def refusals_are_final(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """What was refused for certain, and never sent again, never happens."""
    bodies: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in history.calls:
        if call.kind == "place" and call.request and call.request.get("client_order_id"):
            bodies[call.user_id, call.request["client_order_id"]].append(call)
    known = {(order.terms.user_id, order.terms.client_order_id) for order in fold.orders.values()}
    for key, calls in bodies.items():
        if all(call.is_conclusive_refusal for call in calls) and key in known:
            yield f"{key[1]} of {key[0]} was refused ({calls[-1].code}) and is in the journal"
    anonymous = [
        call
        for call in history.calls
        if call.kind == "place" and call.request and not call.request.get("client_order_id")
    ]
    sent = sum(not call.is_conclusive_refusal for call in anonymous)
    entered = sum(not order.terms.client_order_id for order in fold.orders.values())
    in_batches = sum(len(call.request["items"]) for call in history.calls if call.kind == "batch" and call.request)
    if entered > sent + in_batches:
        yield f"{entered} orders without a client id are in the journal, at most {sent + in_batches} were sent"


def orders_were_asked_for(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """No order that no client has sent."""
    asked: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for call in history.calls:
        if call.request and call.kind == "place":
            asked[call.user_id].append(call.request)
        elif call.request and call.kind == "batch":
            asked[call.user_id].extend(item for item in call.request["items"] if item["op"] == "place")
    for order in fold.orders.values():
        if not any(_is_asked_for(order, body) for body in asked[order.terms.user_id]):
            yield f"nobody asked for order {order.terms.order_id}: {order.terms}"


def cancels_come_true(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A cancel that was taken on ends its order, unless something else did; who waited is shown an order that ended."""
    for order_id in sorted(aftermath.acknowledged_cancels):
        order = fold.orders.get(order_id)
        if order is not None and not order.status.is_final:
            yield f"order {order_id} is {order.status} although its cancel was accepted"
    for call in history.calls:
        is_told = call.kind == "cancel" and call.fate is Fate.ANSWERED and call.status == 200
        if is_told and not OrderStatus(call.answer["status"]).is_final:
            yield f"order {call.target} was said to be canceled, and shown as {call.answer['status']}"


def commands_are_journaled(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """So is every other command, carried out or refused: one of a batch, or of many symbols, too."""
    for call in history.calls:
        for command_id in promised_commands(call):
            if command_id not in fold.causes:
                yield f"{call.kind} {command_id} of {call.user_id} was promised and is nowhere"


def reads_are_true(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """An order that was accepted is never unknown again, and what is told of it never goes back."""
    accepted: dict[int, int] = {}
    filled: dict[int, Decimal] = {}
    final: dict[int, str] = {}
    for call in history.calls:
        if call.kind == "place" and call.is_promise and call.order_id is not None:
            accepted.setdefault(call.order_id, call.ended_ms)
    for call in sorted(history.calls, key=lambda call: (call.ended_ms, call.number)):
        if call.kind != "look" or call.target is None or call.fate != "answered":
            continue
        order_id = int(call.target)
        if call.status == 404 and accepted.get(order_id, call.at_ms) < call.at_ms:
            yield f"order {order_id} was accepted and not found at {call.at_ms} ms"
        if call.status != 200:
            continue
        order = fold.orders.get(order_id)
        shown = Decimal(str(call.answer["filled_quantity"]))
        status = call.answer["status"]
        if order is not None and shown > order.filled_quantity * Decimal(LOTS[order.terms.symbol]):
            yield f"order {order_id} was shown as filled by {shown}"
        if shown < filled.get(order_id, shown) and call.at_ms >= final_read(order_id, history, call):
            yield f"order {order_id} was shown as filled by {filled[order_id]}, then by {shown}"
        if order_id in final and status != final[order_id]:
            yield f"order {order_id} was {final[order_id]}, then {status}"
        filled[order_id] = max(shown, filled.get(order_id, shown))
        if status in ("filled", "canceled", "expired", "rejected"):
            final[order_id] = status
            if order is not None and str(order.status) != status:
                yield f"order {order_id} was told to be {status} and is {order.status}"


def final_read(order_id: int, history: History, call: Call) -> int:
    """When the last answer about the order came before this call was sent: reads that overlap may swap."""
    return max(
        (
            one.ended_ms
            for one in history.calls
            if one.kind == "look" and one.target == str(order_id) and one.number < call.number
        ),
        default=0,
    )


def signatures_are_one_order(history: History, _: JournalFold, __: Aftermath) -> Iterator[str]:
    """A signed request is one order, whoever sends it again, and wherever."""
    orders: dict[str, set[int]] = defaultdict(set)
    for call in history.calls:
        if call.signature and call.is_promise and call.order_id is not None:
            orders[call.signature].add(call.order_id)
    for signature, order_ids in orders.items():
        if len(order_ids) > 1:
            yield f"the request signed {signature[:8]} was said to be orders {sorted(order_ids)}"


def signatures_are_good_once(history: History, _: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """Where Redis is there and clocks agree, whoever sends a signed request again is turned away, at every gateway."""
    if not _shares_marks(aftermath.weather):
        return
    passed: dict[str, list[int]] = defaultdict(list)
    for call in history.calls:
        if call.signature and (call.is_promise or (call.is_conclusive_refusal and call.code not in _TURNED_AWAY)):
            passed[call.signature].append(call.number)
    for signature, calls in passed.items():
        if len(calls) > 1:
            yield f"the request signed {signature[:8]} was let in by calls {calls}"


def what_was_ended_is_over(history: History, _: JournalFold, __: Aftermath) -> Iterator[str]:
    """A log-in or an API key that was ended lets nobody in who comes more than five seconds later, at any gateway."""
    ended: dict[str, int] = {}
    for call in history.calls:
        if call.is_leave and call.target is not None:
            ended.setdefault(call.target, call.ended_ms)
    for call in history.calls:
        since_ms = call.at_ms - ended.get(call.credential, call.at_ms)
        if since_ms > _ENDED_WITHIN_MS and call.fate is Fate.ANSWERED and call.status < 400:
            yield f"{call.credential} was let in by {call.host} {since_ms} ms after its end"


def _shares_marks(weather: Weather) -> bool:
    """Whether every gateway finds in Redis what the others have written there, and in time."""
    is_slow = weather.delay_ms[1] > REDIS_TIMEOUT_S * 1000 / 2
    return not is_slow and "unavailable" not in weather.rates and not set(weather.events) & _KEEPS_MARKS_APART


def transfers_happen_once(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A transfer id moves funds at most once, and one that was accepted is in the journal."""
    moved: dict[str, int] = defaultdict(int)
    for partition in range(2):
        for slot in aftermath.cloud.projections.recorded(partition):
            for event in slot.events:
                if isinstance(event, FundsDeposited | FundsWithdrawn):
                    moved[event.transfer_id] += 1
    for transfer_id, count in moved.items():
        if count > 1:
            yield f"transfer {transfer_id} happened {count} times"
    for call in history.calls:
        if call.kind in ("deposits", "withdrawals") and call.is_promise:
            command_id = int(call.answer["command_id"])
            if command_id not in fold.causes:
                yield f"transfer {command_id} was accepted and is nowhere"


CLIENT_CHECKS: Final[dict[str, ClientCheck]] = {
    "clients: promises are kept": promises_are_kept,
    "clients: an id names one order": client_ids_name_one_order,
    "clients: refusals are final": refusals_are_final,
    "clients: orders were asked for": orders_were_asked_for,
    "clients: cancels come true": cancels_come_true,
    "clients: commands are journaled": commands_are_journaled,
    "clients: reads are true": reads_are_true,
    "clients: transfers happen once": transfers_happen_once,
    "clients: a signature is one order": signatures_are_one_order,
    "clients: a signature is good once": signatures_are_good_once,
    "clients: what was ended is over": what_was_ended_is_over,
}


def _placed(history: History) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """(user, order id, body) of every order that a client was promised."""
    for call in history.calls:
        if not call.is_promise or not call.request:
            continue
        if call.kind == "place" and call.order_id is not None:
            yield call.user_id, call.order_id, call.request
        elif call.kind == "batch":
            for item, result in zip(call.request["items"], call.answer["results"], strict=True):
                if item["op"] == "place" and "answer" in result:
                    yield call.user_id, int(result["answer"]["order_id"]), item


def _is_asked_for(order: FoldedOrder, body: Mapping[str, Any]) -> bool:
    """Whether the order's terms are what the body says. Where it gives no price, the gateway gave its protection."""
    terms = order.terms
    if terms.symbol != body["symbol"] or terms.symbol not in SYMBOLS or str(terms.side) != body["side"]:
        return False
    return (
        str(terms.order_type) == body["type"]
        and terms.quantity == _steps(body.get("quantity"), LOTS[terms.symbol])
        and terms.quote_quantity == _steps(body.get("quote_quantity"), QUOTE_UNIT)
        and ("price" not in body or terms.price == _steps(body["price"], TICKS[terms.symbol][0]))
        and (terms.client_order_id or None) in (body.get("client_order_id"), str(terms.order_id))
    )


def _steps(text: str | None, step: str) -> int | None:
    return None if text is None else to_steps(Decimal(text), Decimal(step))
