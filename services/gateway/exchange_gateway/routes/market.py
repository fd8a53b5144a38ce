"""What everybody may read: instruments, book, trades, candles, tickers, time."""

from typing import Any, Final

from aiohttp import web

from exchange_core.candles import CandleInterval
from exchange_core.instruments import Instrument
from exchange_core.market_data import BOOK_CACHE_LEVELS, timestamp_text
from exchange_core.ports import Clock, DatabaseReader, MarketCache
from exchange_core.topology import order_book_key
from exchange_gateway.exact_json import parse_cached
from exchange_gateway.market.candles import candle_page
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.tickers import TickerBoard
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.requests import (
    cursor_of,
    json_answer,
    limit_of,
    query_of,
    stages_of,
    time_ms_of,
    whole_number,
)
from exchange_gateway.rest.views import candle_json, instrument_json, ticker_json, trade_json

_DEPTH_DEFAULT: Final = 100


class MarketRoutes:
    """Public: no token is looked at."""

    def __init__(
        self, *, catalogue: InstrumentCatalogue, cache: MarketCache, reader: DatabaseReader, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._cache = cache
        self._reader = reader
        self._clock = clock
        self._tickers = TickerBoard(catalogue=catalogue, cache=cache, reader=reader, clock=clock)

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.get("/api/v1/time", self.time),
            web.get("/api/v1/instruments", self.instruments),
            web.get("/api/v1/instruments/{symbol}", self.instrument),
            web.get("/api/v1/orderbook", self.order_book),
            web.get("/api/v1/orderbook/{symbol}", self.order_book),
            web.get("/api/v1/trades", self.trades),
            web.get("/api/v1/trades/{symbol}", self.trades),
            web.get("/api/v1/ticker", self.ticker),
            web.get("/api/v1/ticker/{symbol}", self.ticker),
            web.get("/api/v1/tickers", self.all_tickers),
            web.get("/api/v1/candles", self.candles),
            web.get("/api/v1/candles/{symbol}", self.candles),
        ]

    async def time(self, _: web.Request) -> web.Response:
        """The gateway's clock."""
        now_ms = self._clock.now_ms()
        return json_answer({"time": timestamp_text(now_ms), "epoch_ms": now_ms})

    async def instruments(self, _: web.Request) -> web.Response:
        """All that is listed."""
        return json_answer({"instruments": [instrument_json(instrument) for instrument in self._catalogue.listed()]})

    async def instrument(self, request: web.Request) -> web.Response:
        """One of them."""
        return json_answer(instrument_json(self._instrument(request)))

    async def order_book(self, request: web.Request) -> web.Response:
        """The top of the book as the matcher last published it; empty with `seq` 0 before it has published one."""
        instrument = self._instrument(request)
        limit = limit_of(request)
        with stages_of(request).measure("book"):
            data = await self._cache.get(order_book_key(instrument.symbol))
        if data is None:
            return json_answer({"symbol": instrument.symbol, "seq": 0, "timestamp": None, "bids": [], "asks": []})
        if limit >= BOOK_CACHE_LEVELS:
            return web.Response(body=data, content_type="application/json")
        book = _cached_object(data)
        book["bids"], book["asks"] = book["bids"][:limit], book["asks"][:limit]
        return json_answer(book)

    async def trades(self, request: web.Request) -> web.Response:
        """The trades of a symbol, newest first."""
        instrument = self._instrument(request)
        cursor = cursor_of(request, 1)
        limit = limit_of(request)
        trades = await self._reader.trades(
            instrument.symbol,
            before_trade_id=None if cursor is None else whole_number("cursor", cursor[0]),
            limit=limit,
        )
        return json_answer(
            {
                "trades": [trade_json(trade, instrument) for trade in trades],
                "next_cursor": str(trades[-1].trade_id) if len(trades) == limit else None,
            }
        )

    async def candles(self, request: web.Request) -> web.Response:
        """The candles of a symbol, oldest first and without a gap."""
        instrument = self._instrument(request)
        query = query_of(request)
        interval = CandleInterval(query["interval"])
        limit = limit_of(request)
        end_ms = self._clock.now_ms() + 1
        to_ms = time_ms_of(request, "to")
        page = await candle_page(
            self._reader,
            instrument.symbol,
            interval,
            from_ms=time_ms_of(request, "from"),
            to_ms=end_ms if to_ms is None else min(to_ms, end_ms),
            limit=limit,
        )
        return json_answer(
            {
                "symbol": instrument.symbol,
                "interval": interval,
                "candles": [candle_json(candle, instrument) for candle in page.candles],
                "next_from": None if page.next_from_ms is None else timestamp_text(page.next_from_ms),
            }
        )

    async def ticker(self, request: web.Request) -> web.Response:
        """The last price, the best prices and the last 24 hours of a symbol."""
        instrument = self._instrument(request)
        with stages_of(request).measure("book"):
            found = await self._tickers.now(instrument)
        return json_answer(ticker_json(found, instrument))

    async def all_tickers(self, request: web.Request) -> web.Response:
        """The same of all symbols."""
        with stages_of(request).measure("book"):
            found = await self._tickers.all()
        return json_answer({"tickers": [ticker_json(now, instrument) for instrument, now in found]})

    def _instrument(self, request: web.Request) -> Instrument:
        symbol = request.match_info.get("symbol") or query_of(request)["symbol"]
        return self._catalogue.require(symbol, status=404)


def _cached_object(data: bytes) -> dict[str, Any]:
    try:
        value = parse_cached(data)
    except ValueError as error:
        raise ProblemError(Code.SERVICE_UNAVAILABLE, "the market data cannot be read") from error
    if not isinstance(value, dict):
        raise ProblemError(Code.SERVICE_UNAVAILABLE, "the market data cannot be read")
    return value
