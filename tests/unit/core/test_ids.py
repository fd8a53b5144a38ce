"""Order ids: unique, increasing, and readable."""

import pytest

from exchange_core.ids import EPOCH_MS, IdGenerator, created_at_ms, parse_id

NOW_MS = EPOCH_MS + 86_400_000


def test_ids_increase_even_if_the_clock_goes_back_and_when_a_millisecond_is_full() -> None:
    generator = IdGenerator(3)
    ids = [generator.next_id(NOW_MS - index % 7) for index in range(10_000)]
    assert ids == sorted(set(ids))
    assert created_at_ms(ids[0]) == NOW_MS and created_at_ms(ids[-1]) == NOW_MS + 2


def test_two_nodes_never_make_the_same_id() -> None:
    left, right = IdGenerator(0), IdGenerator(1023)
    assert not {left.next_id(NOW_MS) for _ in range(5_000)} & {right.next_id(NOW_MS) for _ in range(5_000)}


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1.0", "x", "١", " 1", "9223372036854775808", "1" * 20])
def test_text_that_is_no_id_names_none(text: str) -> None:
    assert parse_id(text) is None


@pytest.mark.parametrize("identifier", [0, 1, 2**63 - 1])
def test_an_id_is_read_from_its_digits(identifier: int) -> None:
    assert parse_id(str(identifier)) == identifier
