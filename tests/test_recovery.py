"""The real stage on the real engine, which dies: the morph goes on where the clock is."""

import io
import os
import signal
from functools import partial

import numpy as np
import pytest

from live import BEGAN
from live.app import Stage
from live.clock import WallClock
from live.ensemble import Ensemble
from live.offscreen import Offscreen
from live.prompter import Prompter
from live.setlist import bundled
from live.source import Supervised
from live.statistics import Statistics
from live.terminal import Terminal

TURNS = 60 * 90


@pytest.fixture
def stage():
    setlist = bundled()
    output = Offscreen((160, 90), 60.0)
    ensemble = Ensemble(setlist, partial(Supervised, "cpu"))
    prompter = Prompter(Terminal(io.StringIO()))
    statistics = Statistics(BEGAN)
    yield Stage(setlist, ensemble, output, WallClock(), statistics, prompter)
    ensemble.close()
    output.close()


def turned_until(stage, true):
    for _ in range(TURNS):
        stage.turn()
        if true():
            return
    raise AssertionError("it took too long")


@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGSTOP])
def test_frames_after_an_accident_carry_the_path_at_their_time(stage, accident):
    turned_until(stage, lambda: stage.statistics.generated > 5)
    (source,) = stage.ensemble.sources
    os.kill(source.pid, accident)
    turned_until(stage, lambda: stage.last_frame.header.generation == 1)
    times = []
    for _ in range(30):
        stage.turn()
        header = stage.last_frame.header
        (expected,) = stage.wplus(header.show_time).values()
        assert np.array_equal(stage.last_frame.ws, expected)
        times.append(header.show_time)
    assert len(set(times)) > 5
    assert times == sorted(times)
    assert stage.faults.count == 0
    summary = stage.statistics.summary(stage.clock.now(), stage.ensemble, {}, {}, 0)
    assert summary["engine_restarts"] == 1
    (outage,) = summary["engine_outages"]
    assert outage["seconds"] > 0
    assert outage["at_s"] > 0


def test_an_outage_that_has_not_ended_is_told(stage):
    turned_until(stage, lambda: stage.statistics.generated > 5)
    os.kill(stage.ensemble.sources[0].pid, signal.SIGKILL)
    turned_until(stage, lambda: stage.ensemble.sources[0].lost_at is not None)
    summary = stage.statistics.summary(stage.clock.now(), stage.ensemble, {}, {}, 0)
    assert len(summary["engine_outages"]) == 1
