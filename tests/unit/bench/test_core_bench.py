"""The compared engines do the same work: the same trades, lot for lot, on the same commands."""

import pytest

from bench import core
from bench.core import measure_core, synthetic_flow


def test_the_flow_is_the_same_in_every_run() -> None:
    assert synthetic_flow(500) == synthetic_flow(500)


def test_both_engines_make_the_same_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "RUNS_MIN", 1)  # each run collects the garbage of the whole test session first
    monkeypatch.setattr(core, "CPU_S", 0.0)
    pytest.importorskip("bourse", reason="bourse has no build for this Python")
    ours, other = measure_core({"synthetic": synthetic_flow(2_000)})
    assert (ours.engine, other.engine) == ("crossbook", "bourse")
    assert ours.trades > 100
    assert (ours.trades, ours.volume) == (other.trades, other.volume)
    assert ours.operations_per_s > 0 and other.operations_per_s > 0
    assert ours.journal_bytes_per_operation is not None and ours.journal_bytes_per_operation > 1
