"""Where scenarios are performed: many side by side, since most of their time goes by waiting for the exchange.

    @rule("hold-improvement-returned")
    async def test_a_buyer_below_his_limit_gets_the_difference_back(market: Market, alice: Trader, bob: Trader) -> None:

A scenario says by its parameters what it needs: `market`, a freshly listed instrument (on terms of its own with
`@listed(...)`); `outage`, a time without matchers, or `crash`, one that begins with `kill -9`, both after all else;
`config` of the run; and traders of any other name, new users with funds in that market's own assets. So no scenario
sees another.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest

from crossbook.twin import Twin
from tests.acceptance.exchange import Exchange
from tests.acceptance.outage import Outage, Visit

SIDE_BY_SIDE: Final = 8
LONGEST_S: Final = 300.0
KINDS_OF_OUTAGE: Final = ("outage", "crash")

Scenario = Callable[..., Awaitable[None]]


def rule(*ids: str) -> Callable[[Scenario], Any]:
    """Tell which rules of docs/semantics.md a scenario shows, and let the stage play it."""

    def staged(scenario: Scenario) -> Any:
        async def test(stage: Stage) -> None:
            await stage.played(scenario)

        test.__name__, test.__doc__, test.__module__ = scenario.__name__, scenario.__doc__, scenario.__module__
        test.scenario = scenario  # type: ignore[attr-defined]
        return pytest.mark.rule(*ids)(test)

    return staged


def listed(**terms: Any) -> Callable[[Scenario], Scenario]:
    """List the scenario's instrument on these terms, in human units, where they differ from the usual ones."""

    def with_terms(scenario: Scenario) -> Scenario:
        scenario.terms = terms  # type: ignore[attr-defined]
        return scenario

    return with_terms


def kind_of_outage(scenario: Scenario) -> str | None:
    """Which outage the scenario asks for, if any."""
    wanted = [kind for kind in KINDS_OF_OUTAGE if kind in inspect.signature(scenario).parameters]
    return wanted[0] if wanted else None


class Stage:
    """Plays scenarios: `start` it, ask for each whether it was `played` well, and `stop` it."""

    def __init__(self, exchange: Exchange, twin: Twin, config: pytest.Config, scenarios: Sequence[Scenario]) -> None:
        self._exchange = exchange
        self._config = config
        self._twin = twin
        self._scenarios = scenarios
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)
        self._ends: dict[Scenario, asyncio.Future[None]] = {}
        self._director: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to play all of them."""
        loop = asyncio.get_running_loop()
        self._ends = {scenario: loop.create_future() for scenario in self._scenarios}
        self._director = asyncio.create_task(self._direct(), name="stage")

    async def played(self, scenario: Scenario) -> None:
        """Wait for the end of one; raises what it raised."""
        await asyncio.shield(self._ends[scenario])

    async def stop(self) -> None:
        """End what is still played."""
        assert self._director is not None, "not started"
        self._director.cancel()
        await asyncio.wait([self._director])
        for end in self._ends.values():
            end.cancel()
            if not end.cancelled():
                end.exception()  # somebody has looked at it: the run was cut short

    async def _direct(self) -> None:
        """First the scenarios without an outage; then those with one, together, so that one serves them all."""
        plain = [scenario for scenario in self._scenarios if kind_of_outage(scenario) is None]
        await asyncio.gather(*[self._play_among_others(scenario) for scenario in plain])
        for kind in KINDS_OF_OUTAGE:
            touched = [scenario for scenario in self._scenarios if kind_of_outage(scenario) == kind]
            if touched:
                outage = Outage(self._twin, len(touched), is_kill=kind == "crash")
                plays = map(self._play, touched, outage.visits)
                await asyncio.gather(outage.happen(), *plays)

    async def _play_among_others(self, scenario: Scenario) -> None:
        async with self._room:
            await self._play(scenario)

    async def _play(self, scenario: Scenario, visit: Visit | None = None) -> None:
        end = self._ends[scenario]
        try:
            async with asyncio.timeout(LONGEST_S + self._config.getoption("--promises")):
                await scenario(**await self._cast(scenario, visit))
        except Exception as error:  # a scenario's failure is its own test's
            end.set_exception(error)
        else:
            end.set_result(None)
        finally:
            if visit is not None:
                await visit.leave()

    async def _cast(self, scenario: Scenario, visit: Visit | None) -> dict[str, Any]:
        """What the scenario's parameters stand for."""
        names = list(inspect.signature(scenario).parameters)
        cast: dict[str, Any] = {"config": self._config} | dict.fromkeys(KINDS_OF_OUTAGE, visit)
        traders = [name for name in names if name not in (*cast, "market")]
        if "market" in names or traders:
            terms = getattr(scenario, "terms", {})
            cast["market"], *users = await asyncio.gather(
                self._exchange.list_market(**terms), *map(self._exchange.sign_up, traders)
            )
            cast |= dict(zip(traders, await cast["market"].admit(*users), strict=True))
        return {name: cast[name] for name in names}
