"""What the traders of a world do: few users, few prices, few client ids, so that all of it collides.

A client that got no answer, or one that says "not known", often sends the same again, as a good client does.
"""

import asyncio
from random import Random
from typing import Any, Final

from exchange_adapters.sim import START_MS
from exchange_core.market_data import timestamp_text
from simulation.clients.credentials import Key
from simulation.clients.desk import RETRIES_MAX, Desk, now_ms
from simulation.clients.history import Call
from simulation.market import LOTS, SPREAD_TICKS, SYMBOLS, TICKS, steps_text

BOMB_PREFIX: Final = "bomb-"
"""A client id that begins like this makes the matcher's engine fail its own assertions."""
_REMEMBERED: Final = 12
_CLIENT_IDS: Final = 40
_RETRY_SHARE: Final = 0.6
_WAITING_SHARE: Final = 0.2
_SIGNED_SHARE: Final = 0.3


class Trader:
    """One user at work until `ending` is set. `has_bombs`: whether some of the orders are bombs."""

    def __init__(
        self, desk: Desk, user_id: str, random: Random, *, pause_s: float, has_bombs: bool, ending: asyncio.Event
    ) -> None:
        self._desk = desk
        self._user_id = user_id
        self._random = random
        self._pause_s = pause_s
        self._has_bombs = has_bombs
        self._ending = ending
        self._orders: list[str] = []
        self._bodies: dict[str, dict[str, Any]] = {}
        self._bombs = 0

    async def run(self) -> None:
        """Act, pause, act."""
        actions = (
            (self._place, 55),
            (self._cancel, 17),
            (self._amend, 8),
            (self._cancel_all, 2),
            (self._look, 10),
            (self._batch, 3),
            (self._balances, 2),
            (self._cancel_after, 1),
        )
        acts, weights = [act for act, _ in actions], [weight for _, weight in actions]
        while not self._ending.is_set():
            (act,) = self._random.choices(acts, weights)
            await act()
            await asyncio.sleep(self._random.uniform(0, 2 * self._pause_s))

    def order_body(self) -> dict[str, Any]:
        """An order of any type, near the reference price."""
        random = self._random
        symbol = random.choice(SYMBOLS)
        tick, reference = TICKS[symbol]
        price = steps_text(tick, reference + random.randint(-SPREAD_TICKS, SPREAD_TICKS))
        body: dict[str, Any] = {
            "symbol": symbol,
            "side": random.choice(("buy", "sell")),
            "type": "limit",
            "price": price,
            "quantity": steps_text(LOTS[symbol], random.choice((1, 2, 3, 10, 40, 150))),
        }
        if random.random() < 0.15:
            body["self_trade_prevention"] = random.choice(("cancel_maker", "cancel_both", "decrement"))
        match random.randrange(13):
            case 0:
                body["time_in_force"] = "ioc"
            case 1:
                body["time_in_force"] = "fok"
            case 2:
                body["post_only"] = True
            case 3:
                body["type"] = "market"
                del body["price"]
                if random.random() < 0.5:
                    body["quote_quantity"] = steps_text(tick, reference * random.choice((1, 4)))
                    del body["quantity"]
            case 4:
                body["type"] = random.choice(("stop_limit", "stop", "take_profit_limit", "take_profit"))
                body["trigger_price"] = steps_text(tick, reference + random.randint(-SPREAD_TICKS, SPREAD_TICKS))
                if not body["type"].endswith("_limit"):
                    del body["price"]
            case 5:
                body["display_quantity"] = LOTS[symbol]
            case 6:
                body["time_in_force"] = "gtd"
                body["expires_at"] = iso_time(now_ms() + random.randint(500, 15_000))
        return body

    async def _place(self) -> None:
        random = self._random
        body = self.order_body()
        draw = random.random()
        if draw < 0.12 and self._bodies:
            body = dict(self._bodies[random.choice(sorted(self._bodies))])  # the same again
        elif draw < 0.75:
            body["client_order_id"] = f"{self._user_id}-{random.randrange(_CLIENT_IDS)}"  # perhaps a clash
        if self._has_bombs and random.random() < 0.05 and self._bombs < 3:
            self._bombs += 1
            body["client_order_id"] = f"{BOMB_PREFIX}{self._user_id}-{self._bombs}"
        client_id = body.get("client_order_id")
        if client_id is not None:
            self._bodies.setdefault(client_id, body)
        await self._persist("place", "POST", "/api/v1/order", body, may_retry=client_id is not None)

    async def _persist(self, kind: str, method: str, path: str, body: dict[str, Any], *, may_retry: bool) -> None:
        """Send it; where the answer is unknown, perhaps send it again, perhaps elsewhere."""
        for _ in range(RETRIES_MAX):
            by = Key(self._user_id) if self._random.random() < _SIGNED_SHARE else None
            call = await self._command(kind, method, path, body=body, by=by)
            if call.is_promise:
                self._remember(call.answer["order_id"])
                return
            if call.is_conclusive_refusal or not may_retry or self._random.random() > _RETRY_SHARE:
                return
            await asyncio.sleep(self._random.uniform(0, 1.0))

    async def _cancel(self) -> None:
        order_id = self._some_order()
        path = f"/api/v1/order/{order_id}"
        await self._command("cancel", "DELETE", path, target=order_id)

    async def _cancel_all(self) -> None:
        query = self._random.choice(("", f"?symbol={self._random.choice(SYMBOLS)}"))
        await self._desk.call(self._user_id, "cancel_all", "DELETE", f"/api/v1/orders{query}", host=self._gateway())

    async def _cancel_after(self) -> None:
        body = {"timeout_s": self._random.choice((0, 2, 5)), "symbol": self._random.choice(SYMBOLS)}
        path = "/api/v1/orders/cancel-all-after"
        await self._desk.call(self._user_id, "cancel_after", "POST", path, host=self._gateway(), body=body)

    async def _amend(self) -> None:
        order_id = self._some_order()
        order = self.order_body()
        names = ("price", "quantity")
        body: dict[str, Any] = {name: order[name] for name in names if name in order and self._random.random() < 0.7}
        if body:
            path = f"/api/v1/order/{order_id}"
            await self._command("amend", "PATCH", path, body=body, target=order_id)

    async def _look(self) -> None:
        order_id = self._some_order()
        path = f"/api/v1/order/{order_id}"
        await self._desk.call(self._user_id, "look", "GET", path, host=self._gateway(), target=order_id)

    async def _balances(self) -> None:
        await self._desk.call(self._user_id, "balances", "GET", "/api/v1/balances", host=self._gateway())

    async def _batch(self) -> None:
        items: list[dict[str, Any]] = [{"op": "place", **self.order_body()} for _ in range(2)]
        items.insert(0, {"op": "cancel", "order_id": self._some_order()})
        path = "/api/v1/orders/batch"
        call = await self._desk.call(self._user_id, "batch", "POST", path, host=self._gateway(), body={"items": items})
        if call.is_promise:
            for result in call.answer.get("results", []):
                if result["op"] == "place" and "answer" in result:
                    self._remember(result["answer"]["order_id"])

    async def _command(self, kind: str, method: str, path: str, **options: Any) -> Call:
        """Now and then he waits for what the matcher says."""
        wait_s = 2 if self._random.random() < _WAITING_SHARE else 0
        return await self._desk.call(self._user_id, kind, method, path, host=self._gateway(), wait_s=wait_s, **options)

    def _gateway(self) -> str:
        return self._random.choice(self._desk.gateways)

    def _some_order(self) -> str:
        if self._orders and self._random.random() < 0.95:
            return self._random.choice(self._orders)
        return str(self._random.getrandbits(62))

    def _remember(self, order_id: str) -> None:
        self._orders.append(order_id)
        del self._orders[:-_REMEMBERED]


def iso_time(at_ms: int) -> str:
    """The text of a moment of virtual time."""
    return timestamp_text(START_MS + at_ms)
