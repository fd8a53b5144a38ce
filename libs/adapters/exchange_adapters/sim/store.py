"""What all simulated stores share: their clock, their faults, and that several hosts look at one store."""

import copy
from typing import Self

from exchange_adapters.sim.clock import SimClock
from exchange_adapters.sim.faults import Faults
from exchange_core.ports import Clock


class SimStore:
    """One store of the simulated cloud, as one host sees it.

    The state lives in containers that all views share and that are never replaced; a view differs in its faults only.
    """

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        self._clock: Clock = clock or SimClock()
        self._faults = faults or Faults()

    @property
    def clock(self) -> Clock:
        """The store's own clock; the hosts that use it have theirs."""
        return self._clock

    def seen_by(self, faults: Faults) -> Self:
        """The same store as another host sees it, with that host's faults."""
        view = copy.copy(self)
        view._faults = faults
        return view
