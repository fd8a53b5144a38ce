"""What happened to the one who asks: the lines of his ledger, and what became of his commands."""

from aiohttp import web

from exchange_core.errors import PortError
from exchange_core.ids import created_at_ms, parse_id
from exchange_core.market_data import timestamp_text
from exchange_core.orders import OrderStatus
from exchange_core.outcomes import OUTCOME_KEPT_MS
from exchange_core.ports import Clock, DatabaseReader, LedgerEntry, OrderView, WalletHolds
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.requests import authenticate, cursor_of, json_answer, limit_of, query_of, whole_number
from exchange_gateway.rest.views import ledger_entry_json, outcome_json


class LedgerRoutes:
    """Everything here is from the journal, as settled."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        catalogue: InstrumentCatalogue,
        reader: DatabaseReader,
        intents: WalletHolds,
        clock: Clock,
    ) -> None:
        self._authenticator = authenticator
        self._catalogue = catalogue
        self._reader = reader
        self._intents = intents
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.get("/api/v1/ledger", self.ledger),
            web.get("/api/v1/commands/{command_id}", self.command),
        ]

    async def ledger(self, request: web.Request) -> web.Response:
        """The user's own lines of the ledger, newest first."""
        principal = await authenticate(self._authenticator, request)
        cursor = cursor_of(request, 4)
        limit = limit_of(request)
        symbol = query_of(request).get("symbol")
        entries = await self._reader.ledger(
            principal.user_id,
            asset=self._asset(request),
            symbol=None if symbol is None else self._catalogue.require(symbol, status=404).symbol,
            before=None if cursor is None else _place(cursor),
            limit=limit,
        )
        decimals = await self._decimals({entry.asset for entry in entries})
        last = entries[-1] if len(entries) == limit else None
        return json_answer(
            {
                "entries": [ledger_entry_json(entry, decimals[entry.asset]) for entry in entries],
                "next_cursor": _cursor(last) if last else None,
            }
        )

    async def command(self, request: web.Request) -> web.Response:
        """What became of one of the user's commands. `pending` is all that can be said of one that may still come: a
        command without an intent cannot be told from one that nobody sent."""
        principal = await authenticate(self._authenticator, request)
        command_id = parse_id(request.match_info["command_id"])
        if command_id is None:
            raise _not_found()
        for outcome in await self._reader.outcomes([command_id]):
            if outcome.user_id == principal.user_id:
                return json_answer(outcome_json(outcome))
        order = await self._reader.order(principal.user_id, command_id)
        if order is not None:
            return json_answer(_order_outcome(order))
        age_ms = self._clock.now_ms() - created_at_ms(command_id)  # less than 0 where another gateway's clock is ahead
        is_young = age_ms < OUTCOME_KEPT_MS  # older than that, one that was carried out is not known either
        if not is_young and await self._intent_of(principal.user_id, command_id) is None:
            raise _not_found()
        return json_answer({"command_id": str(command_id), "status": "pending"})

    async def _intent_of(self, user_id: str, command_id: int) -> object | None:
        try:
            return await self._intents.intent(user_id, command_id)
        except PortError as error:
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "the promised commands cannot be read") from error

    def _asset(self, request: web.Request) -> str | None:
        asset = query_of(request).get("asset")
        if asset is not None and self._catalogue.decimals_of(asset) is None:
            raise ProblemError(
                Code.UNKNOWN_ASSET, f"no listed instrument has {asset[:32]!r}", status=404, field="asset"
            )
        return asset

    async def _decimals(self, assets: set[str]) -> dict[str, int]:
        """By asset; what moved money is listed, even if it was since the catalogue was read."""
        if any(self._catalogue.decimals_of(asset) is None for asset in assets):
            await self._catalogue.refresh()
        known = {asset: self._catalogue.decimals_of(asset) for asset in assets}
        found = {asset: decimals for asset, decimals in known.items() if decimals is not None}
        if len(found) < len(known):
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "the instruments are not loaded yet")
        return found


def _order_outcome(order: OrderView) -> dict[str, object]:
    """An order is its own command, and done once it was accepted."""
    is_refused = order.status is OrderStatus.REJECTED
    return {
        "command_id": str(order.order_id),
        "status": "refused" if is_refused else "done",
        "reason": order.reason if is_refused else None,
        "command": "place",
        "symbol": order.symbol,
        "order_id": str(order.order_id),
        "canceled": None,
        "seq": order.seq,
        "timestamp": timestamp_text(order.updated_at_ms),
    }


def _not_found() -> ProblemError:
    return ProblemError(Code.COMMAND_NOT_FOUND, "you have no such command, or it was more than a day ago")


def _place(cursor: tuple[str, ...]) -> tuple[int, int, int, int]:
    at_ms, partition, slot, line = (whole_number("cursor", part) for part in cursor)
    return at_ms, partition, slot, line


def _cursor(entry: LedgerEntry) -> str:
    return "~".join(map(str, entry.place))
