"""A matcher that takes a partition over from a later version whose slots it cannot read."""

import pytest
import zstandard

from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Fatal
from tests.unit.matcher.support import World


@in_virtual_time
async def test_a_matcher_that_is_behind_stands_back_from_a_slot_it_cannot_read() -> None:
    world = World()
    # GIVEN a journal that begins with a slot of the version to come
    later = zstandard.ZstdCompressor().compress(b'{"v":2}')
    await world.cloud.journal.put(0, 1, later)
    # WHEN a matcher of this version starts on it
    host = world.start()
    assert host.task is not None
    # THEN it ends, for whoever runs it to see, and has added nothing
    with pytest.raises(ExceptionGroup) as raised:
        await host.task
    (reason,) = raised.value.exceptions
    assert isinstance(reason, Fatal)
    assert str(reason) == "slot 1 of partition 0 cannot be read: slot version 2 is not known"
    assert await world.cloud.journal.read(0, 0, 10) == [(1, later)]
