"""How many orders a user has open in a symbol: refused before a hold is taken where it is too many already.

The count is the database's, which lags, and is at most COUNT_AGE_S old: it guards the wallets and the matcher from
those that are far beyond the limit; the matcher decides. Placing never waits for a count unless the last one known was
at the limit. Who has just asked for an end of orders is left to the matcher, which may know of it already.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import structlog

from exchange_core.errors import PortError
from exchange_core.instruments import Instrument
from exchange_core.open_order import RESTING_TIMES, TRIGGERED_TYPES
from exchange_core.ports import DatabaseReader
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading.order_form import OrderRequest

COUNT_AGE_S: Final = 2.0
COUNT_TIMEOUT_S: Final = 0.25
LENIENT_S: Final = 2.0
"""After a cancel, which takes that long to be settled at most as a rule."""
_KNOWN_MAX: Final = 20_000
_COUNTING_MAX: Final = 8

log = structlog.get_logger()


@dataclass(slots=True)
class _Known:
    count: int = 0
    fresh_until_s: float = 0.0
    lenient_until_s: float = 0.0
    is_counting: bool = False


class OpenOrderGuard:
    """What is known of each user and symbol lately seen. It counts in the background until it is closed."""

    def __init__(self, reader: DatabaseReader) -> None:
        self._reader = reader
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._counting: set[asyncio.Task[None]] = set()

    async def require_room(self, user_id: str, request: OrderRequest, instrument: Instrument) -> None:
        """Raises ProblemError `too_many_open_orders` for an order that may stay open and for which there is no room."""
        if request.time_in_force not in RESTING_TIMES and request.order_type not in TRIGGERED_TYPES:
            return
        now_s = asyncio.get_running_loop().time()
        known = self._of(user_id, instrument.symbol)
        limit = instrument.max_open_orders
        if known.count >= limit and now_s >= known.lenient_until_s:
            await self._count(known, user_id, instrument)
            if known.count >= limit:
                raise ProblemError(Code.TOO_MANY_OPEN_ORDERS, f"{limit} orders are open in {instrument.symbol}")
        elif now_s >= known.fresh_until_s and not known.is_counting and len(self._counting) < _COUNTING_MAX:
            task = asyncio.create_task(self._count(known, user_id, instrument))
            self._counting.add(task)
            task.add_done_callback(self._counting.discard)

    def expect_fewer(self, user_id: str, symbol: str) -> None:
        """The user has asked for the end of an order, or of all of them."""
        self._of(user_id, symbol).lenient_until_s = asyncio.get_running_loop().time() + LENIENT_S

    async def close(self) -> None:
        """Wait for the counts under way, which takes COUNT_TIMEOUT_S at most."""
        await asyncio.gather(*self._counting)

    async def _count(self, known: _Known, user_id: str, instrument: Instrument) -> None:
        """Count anew; what cannot be counted is taken for nothing, and left to the matcher."""
        known.is_counting = True
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                known.count = await self._reader.open_order_count(
                    user_id, instrument.symbol, instrument.max_open_orders
                )
        except (PortError, TimeoutError) as error:
            log.warning("open_orders_not_countable", error=type(error).__name__)
            known.count = 0
        finally:
            known.is_counting = False
            known.fresh_until_s = asyncio.get_running_loop().time() + COUNT_AGE_S

    def _of(self, user_id: str, symbol: str) -> _Known:
        key = (user_id, symbol)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return known
