"""The rule of rate limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_core.rate_limits import Charge, RateLimit, judge


def test_a_limit_is_read_from_its_text_or_refused() -> None:
    assert RateLimit.parse("100/1s") == RateLimit(requests=100, window_ms=1_000)
    assert RateLimit.parse("20/1m") == RateLimit(requests=20, window_ms=60_000)
    assert RateLimit.parse("5/250ms").times(3) == RateLimit(requests=15, window_ms=250)
    for wrong in ("", "0/1s", "1/0s", "1/s", "1/1d", "-1/1s", "1/1s ", "1.5/1s"):
        with pytest.raises(ValueError, match="written like"):
            RateLimit.parse(wrong)


@given(
    limit=st.builds(RateLimit, requests=st.integers(1, 200), window_ms=st.integers(1_000, 60_000)),
    steps=st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 250)), max_size=60),
)
def test_no_span_of_time_lets_more_through_than_the_limit_and_what_filled_in(
    limit: RateLimit, steps: list[tuple[int, int]]
) -> None:
    now_us, full_at_us, passed = 10**15, 0, []
    for pause_us, requests in steps:
        now_us += pause_us
        charge = Charge(key="k", limit=limit, requests=requests)
        [standing] = judge([charge], [full_at_us], now_us)
        assert 0 <= standing.full_in_us <= limit.capacity_us
        if standing.is_allowed:
            full_at_us = now_us + standing.full_in_us
            passed.append((now_us, min(requests, limit.requests)))
        else:
            [later] = judge([charge], [full_at_us], now_us + standing.wait_us)
            assert later.is_allowed, "it passes after just that wait"
            [early] = judge([charge], [full_at_us], now_us + standing.wait_us - 1)
            assert not early.is_allowed, "and not before"
    for first, (began_us, _) in enumerate(passed):
        for last in range(first, len(passed)):
            count = sum(requests for _, requests in passed[first : last + 1])
            assert count <= limit.requests + (passed[last][0] - began_us) // limit.interval_us + 1


def test_a_clock_that_was_wrong_locks_nobody_out() -> None:
    limit = RateLimit(requests=10, window_ms=1_000)
    [standing] = judge([Charge(key="k", limit=limit)], [10**18], 1_000)
    assert standing.wait_us == limit.interval_us
