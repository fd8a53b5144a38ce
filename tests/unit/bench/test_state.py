"""The states that the bench takes are as large as it says."""

from bench.state import StateSize, engine_of, measure_state


def test_a_state_is_of_the_size_that_is_given() -> None:
    # so long that an order which was entered at the start would be too late at the end
    size = StateSize(remembered=25_000, slot_commands=1, open_orders=40)
    state = engine_of(size)._state
    listing = 1
    assert (len(state.memory.owners), len(state.orders)) == (25_000 + listing, 40)
    result = measure_state(size)
    assert result.snapshot_bytes > 500
    assert 0 < result.encoding_step_s <= result.encoding_s and 0 < result.restoring_step_s <= result.restoring_s
