"""What can be traded now, as this gateway knows it: read from the database every CATALOGUE_AGE_S while it is there."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from exchange_core.errors import Fatal, PortError
from exchange_core.instruments import Instrument
from exchange_core.ports import DatabaseReader
from exchange_gateway.problems import Code, ProblemError

CATALOGUE_AGE_S: Final = 1.0

log = structlog.get_logger()


class InstrumentCatalogue:
    """All listed instruments by symbol. Losing the database leaves it as it was: cancels and orders go on."""

    def __init__(self, reader: DatabaseReader) -> None:
        self._reader = reader
        self._instruments: Mapping[str, Instrument] = {}
        self._asset_decimals: dict[str, int] = {}
        self._is_loaded = False
        self._wake = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        """Whether the database was read at least once."""
        return self._is_loaded

    def get(self, symbol: str) -> Instrument | None:
        """The instrument, or None if it is not listed (as far as is known here)."""
        return self._instruments.get(symbol)

    def require(self, symbol: str, *, status: int | None = None) -> Instrument:
        """The instrument, or ProblemError `unknown_symbol` (with `status` in place of 422)."""
        instrument = self._instruments.get(symbol)
        if instrument is not None:
            return instrument
        if not self._is_loaded:
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "the instruments are not loaded yet")
        raise ProblemError(Code.UNKNOWN_SYMBOL, f"{symbol[:32]!r} is not listed", status=status, field="symbol")

    def listed(self) -> list[Instrument]:
        """All of them, by symbol."""
        return [self._instruments[symbol] for symbol in sorted(self._instruments)]

    def decimals_of(self, asset: str) -> int | None:
        """The decimals of an asset, or None if no instrument has it."""
        return self._asset_decimals.get(asset)

    def notify(self) -> None:
        """Somebody says that something changed: look now."""
        self._wake.set()

    async def refresh(self) -> None:
        """Read the database."""
        instruments = await self._reader.instruments()
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        for instrument in instruments:
            self._asset_decimals[instrument.base] = instrument.base_decimals
            self._asset_decimals[instrument.quote] = instrument.quote_decimals
        self._is_loaded = True

    async def keep_fresh(self) -> None:
        """Refresh for ever: every CATALOGUE_AGE_S, and when notified."""
        is_failing = False
        while True:
            try:
                await self.refresh()
                if is_failing:
                    log.info("instruments_readable_again")
                is_failing = False
            except Fatal:
                raise
            except PortError as error:
                if not is_failing:
                    log.warning("instruments_not_readable", error=f"{type(error).__name__}: {error}")
                is_failing = True
            try:
                async with asyncio.timeout(CATALOGUE_AGE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()
