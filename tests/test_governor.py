"""The governor: down at once when frames slip, back with patience, and never to and fro."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.governor import LONGEST_WAIT, PATIENCE, SECOND, Governor

SIZES = (1024, 512, 256)
MS = 1_000_000
QUIET = {1024: 10 * MS, 512: 5 * MS, 256: 3 * MS}
PERIOD = 16 * MS


class Engine:
    """Plays frames under a load, a factor on every quiet time; 60 requests a second."""

    def __init__(self, sizes=SIZES):
        self.governor = Governor()
        self.sizes = sizes
        self.now = 0
        self.history = []

    def play(self, seconds, load=1.0, budget=14 * MS, jitter=None):
        chosen = []
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            size = self.governor.choose(self.sizes, budget, self.now)
            factor = load * (jitter() if jitter else 1.0)
            duration = round(QUIET[size] * factor)
            self.now += max(duration, PERIOD)
            self.governor.saw(size, duration, self.now)
            chosen.append(size)
        self.history += chosen
        return chosen


def changes(chosen):
    return sum(a != b for a, b in pairwise(chosen))


def test_a_quiet_engine_gives_full_frames():
    assert set(Engine().play(20)) == {1024}


def test_without_a_budget_frames_are_full_however_long_they_take():
    assert set(Engine().play(20, load=50, budget=0)) == {1024}


def test_one_slow_frame_changes_nothing():
    engine = Engine()
    engine.play(2)
    engine.governor.saw(1024, 500 * MS, engine.now)
    assert set(engine.play(5)) == {1024}


def test_frames_that_slip_become_smaller_within_a_few():
    engine = Engine()
    engine.play(2)
    slipping = engine.play(5, load=2.0)
    assert slipping[PATIENCE] == 512
    assert set(slipping[PATIENCE:]) == {512}


def test_it_goes_straight_to_the_size_that_fits():
    engine = Engine()
    engine.play(1)
    engine.play(3, load=2.0)  # so that it knows what 512 costs
    engine.play(10)
    assert engine.play(5, load=4.5)[-1] == 256


def test_the_smallest_answers_when_none_fits():
    engine = Engine()
    assert engine.play(10, load=40)[-1] == 256


def test_full_frames_come_back_when_the_load_ends():
    engine = Engine()
    engine.play(2)
    engine.play(5, load=2.0)
    back = engine.play(10)
    assert back[0] == 512
    assert back[-1] == 1024
    assert changes(back) == 1


def test_a_return_that_fails_makes_the_next_wait_longer():
    """The load is such that half a frame suggests the full one would fit, which it does not."""
    engine = Engine()
    engine.play(1)
    waits = []
    for _ in range(4):
        engine.play(0.1, load=2.0)
        began = engine.now
        while engine.play(PERIOD / SECOND)[-1] != 1024:
            pass
        waits.append(engine.now - began)
    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]
    assert waits[-1] <= LONGEST_WAIT + SECOND


def test_another_budget_is_looked_at_afresh():
    engine = Engine()
    engine.play(2, budget=30 * MS)
    assert engine.play(2, budget=8 * MS)[-1] == 512
    assert engine.play(8, budget=30 * MS)[-1] == 1024


def test_sizes_may_come_and_go():
    engine = Engine(sizes=(1024,))
    assert set(engine.play(3, load=3.0)) == {1024}
    engine.sizes = SIZES
    assert engine.play(3, load=3.0)[-1] == 256
    engine.sizes = (1024, 512)
    assert set(engine.play(1, load=1.0)) <= {1024, 512}


@settings(max_examples=25)
@given(load=st.floats(0.2, 20), budget=st.integers(2 * MS, 50 * MS))
def test_a_steady_load_settles_and_stays(load, budget):
    engine = Engine()
    engine.play(90, load=load, budget=budget)
    late = engine.play(60, load=load, budget=budget)
    assert changes(late) <= 4  # a size on the edge is tried every half minute at most
    if QUIET[1024] * load < 0.89 * budget:
        assert set(late) == {1024}
    if QUIET[256] * load > budget:
        assert set(late) == {256}


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), load=st.floats(0.5, 4))
def test_a_restless_load_does_not_make_it_flap(seed, load):
    engine = Engine()
    noise = random.Random(seed)
    chosen = engine.play(60, load=load, jitter=lambda: noise.lognormvariate(0, 0.3))
    assert set(chosen) <= set(SIZES)
    assert changes(chosen) <= 40


@pytest.mark.parametrize("gap", [3 * SECOND, 600 * SECOND])
def test_after_a_pause_the_old_load_is_forgotten(gap):
    engine = Engine()
    engine.play(1)
    engine.play(2, load=30)
    engine.now += gap
    assert engine.play(8)[-1] == 1024
