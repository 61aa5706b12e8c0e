"""The beginning of the process, on systems of different kinds."""

import time

import pytest

from live.statistics import process_started


def test_the_process_began_before_now_on_any_system(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = process_started()
    assert exact < time.perf_counter_ns()
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert abs(process_started() - exact) < 60_000_000_000  # the wall clock may have been set
