"""The transport in made-up time: the beat never jumps, and events have an exact nanosecond."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.transport import SHIFT_NS, Transport

SECOND = 1_000_000_000

Operation = Callable[[Transport, int], Transport]

operations = st.one_of(
    st.floats(1, 500).map(lambda bpm: lambda t, ns: t.with_bpm(bpm, ns)),
    st.floats(-10, 10).map(lambda speed: lambda t, ns: t.with_speed(speed, ns)),
    st.floats(-4, 4).map(lambda beats: lambda t, ns: t.nudged(beats, ns)),
    st.floats(-4, 4).map(lambda beats: lambda t, ns: t.pulled(beats, ns)),
    st.just(lambda t, ns: t.play(ns)),
    st.just(lambda t, ns: t.pause(ns)),
    st.just(lambda t, ns: t.tapped(ns)),
)
scripts = st.lists(st.tuples(st.integers(1, 3 * SECOND), operations), max_size=12)


def test_beat_of_a_table_of_moments() -> None:
    at_start = Transport(bpm=120.0)
    faster = at_start.with_bpm(60.0, 1 * SECOND)  # at beat 2
    reverse = faster.with_speed(-2.0, 3 * SECOND)  # at beat 4
    paused = reverse.pause(4 * SECOND)  # at beat 2
    again = paused.play(10 * SECOND)
    table = [
        (at_start, 0.0, 0.0),
        (at_start, 0.25, 0.5),
        (faster, 1.0, 2.0),
        (faster, 2.5, 3.5),
        (reverse, 3.5, 3.0),
        (paused, 9.0, 2.0),
        (again, 11.0, 0.0),
    ]
    for transport, seconds, beat in table:
        assert transport.beat_at(round(seconds * SECOND)) == pytest.approx(beat, abs=1e-12)


@given(st.lists(operations, min_size=1, max_size=12), st.integers(0, 3 * SECOND))
def test_no_operation_makes_the_beat_jump(script: list[Operation], pause: int) -> None:
    transport, now = Transport(bpm=120.0), 0
    for operate in script:
        now += pause
        after = operate(transport, now)
        assert after.beat_at(now) == transport.beat_at(now)
        # and a frame later it has moved by no more than 300 BPM times 8, and the shift, allow
        frame = now + SECOND // 60
        moved = abs(after.beat_at(frame) - after.beat_at(now))
        shifted = abs(after.shift) * min(1.0, (SECOND // 60) / after.shift_ns)
        assert moved <= 40.0 / 60 + shifted + 1e-9
        transport = after


@given(scripts, st.floats(-20, 60), st.integers(0, 2 * SECOND))
def test_reaches_is_the_first_nanosecond(
    script: list[tuple[int, Operation]], target: float, since: int
) -> None:
    transport, now = Transport(bpm=97.3), 0
    for pause, operate in script:
        now += pause
        transport = operate(transport, now)
    start = max(now, since)
    found = transport.reaches(target, start)
    if found is None:
        assert transport.beats_per_second <= 1e-6
    elif found == start:
        assert transport.beat_at(start) >= target
    else:
        assert transport.beat_at(found - 1) < target <= transport.beat_at(found)
        samples = [start + (found - 1 - start) * i // 50 for i in range(51)]
        assert all(transport.beat_at(ns) < target for ns in samples)


def test_reaches_within_a_nudge_and_against_one() -> None:
    ahead = Transport(bpm=60.0).nudged(1.0, 0)  # 5 beats a second for a quarter of a second
    assert ahead.reaches(0.5, 0) == 100_000_000
    back = Transport(bpm=60.0).nudged(-1.0, 0)  # falls to -0.75 first
    assert back.reaches(0.0, 1) == SECOND
    assert Transport(bpm=60.0).pause(0).reaches(0.5, 0) is None
    assert Transport(bpm=60.0, speed=-1.0).reaches(0.5, 0) is None
    assert Transport(bpm=60.0, speed=1e-300).reaches(0.5, 0) is None


def test_limits() -> None:
    transport = Transport(bpm=120.0)
    assert transport.with_bpm(5.0, 0).bpm == 20.0
    assert transport.with_bpm(1000.0, 0).bpm == 300.0
    assert transport.with_speed(-50.0, 0).speed == -8.0


def test_half_and_double_undo_each_other() -> None:
    transport = Transport(bpm=100.0)
    assert transport.multiplied(2.0, 0).bpm == 200.0
    assert transport.multiplied(2.0, 0).multiplied(0.5, 0).bpm == 100.0
    with pytest.raises(ValueError, match="20 to 300"):
        transport.multiplied(4.0, 0)


# --- tapping -----------------------------------------------------------------------------------


def tapped(seconds: list[float]) -> Transport:
    transport = Transport(bpm=120.0)
    for second in seconds:
        transport = transport.tapped(round(second * SECOND))
    return transport


@pytest.mark.parametrize(
    ("taps", "bpm"),
    [
        ([1.0], 120.0),  # one tap is no tempo
        ([1.0, 1.6], 100.0),
        ([1.0, 1.6, 2.2, 2.8], 100.0),
        ([0.0, 0.5, 1.1, 1.7, 2.2, 2.9], 100.0),  # intervals .5 .6 .6 .5 .7
        ([0.0, 0.6, 1.2, 1.3, 1.8, 2.4], 100.0),  # a double tap does not spoil it
        ([0.0, 0.6, 1.2, 3.3], 100.0),  # silence: a new series, no tempo of 28 BPM
        ([0.0, 0.6, 1.2, 3.3, 3.8], 120.0),
        ([0.0, 2.0], 30.0),  # the slowest that can be tapped
        ([0.0, 0.15], 300.0),
        ([0.0, 0.6, 0.65, 1.2], 100.0),  # the bounce of a button is not a tap
        ([0.0, 0.5, 1.2], 100.0),  # of two intervals the mean
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.5, 6.0, 6.5], 120.0),  # the old tempo is forgotten
    ],
)
def test_tap_tempo(taps: list[float], bpm: float) -> None:
    assert tapped(taps).bpm == pytest.approx(bpm)


# --- nudge and phase ---------------------------------------------------------------------------


def test_a_nudge_is_spread_and_adds_up() -> None:
    transport = Transport(bpm=60.0).nudged(0.4, 0)
    assert transport.beat_at(SHIFT_NS // 2) == pytest.approx(0.125 + 0.2)
    assert transport.beat_at(SHIFT_NS) == pytest.approx(0.25 + 0.4)
    twice = transport.nudged(0.4, SHIFT_NS // 2)
    assert twice.beat_at(2 * SECOND) == pytest.approx(2.8)
    assert transport.pause(0).beat_at(SECOND) == pytest.approx(0.4)  # moves a paused show too


@given(
    st.floats(20, 300), st.floats(-8, 8), st.floats(-4, 4), st.lists(st.floats(-1, 1), max_size=6)
)
def test_a_pull_slows_the_beat_down_and_never_turns_it(
    bpm: float, speed: float, beats: float, more: list[float]
) -> None:
    transport = Transport(bpm).with_speed(speed, 0)
    rate = transport.beats_per_second
    if rate == 0.0:
        return
    total, now = 0.0, 0
    for pull in (beats, *more):
        total += pull
        transport = transport.pulled(pull, now)
        for _ in range(4):
            moved = transport.beat_at(now + SECOND // 50) - transport.beat_at(now)
            if transport.shift_ns > SHIFT_NS:
                assert 0.49 <= moved / (rate / 50) <= 1.51
            now += SECOND // 50
    end = transport.anchor_ns + transport.shift_ns + SECOND
    expected = rate * end / 1e9 + total
    assert transport.beat_at(end) == pytest.approx(expected, rel=1e-9, abs=1e-6)


pulls = st.one_of(
    st.floats(-4, 4).map(lambda beats: lambda t, ns: t.pulled(beats, ns)),
    st.floats(20, 300).map(lambda bpm: lambda t, ns: t.with_bpm(bpm, ns)),
    st.floats(0, 8).map(lambda speed: lambda t, ns: t.with_speed(speed, ns)),
    st.just(lambda t, ns: t.play(ns)),
    st.just(lambda t, ns: t.pause(ns)),
)


@given(st.lists(st.tuples(st.integers(1, 2 * SECOND), pulls), max_size=12))
def test_whatever_happens_during_a_pull_the_beat_does_not_turn(
    script: list[tuple[int, Operation]],
) -> None:
    transport, now = Transport(bpm=120.0), 0
    for wait, operate in script:
        transport = operate(transport, now)
        before = transport.beat_at(now)
        for n in range(1, 11):
            beat = transport.beat_at(now + wait * n // 10)
            assert beat >= before - 1e-9
            assert beat <= before + 1e-9 or transport.beats_per_second
            before = beat
        now += wait


def test_a_nudge_does_not_hurry_a_pull() -> None:
    pulled = Transport(bpm=60.0).pulled(-2.0, 0)  # half as fast for four seconds
    nudged = pulled.nudged(0.5, SECOND)
    beats = [nudged.beat_at(SECOND + SECOND * n // 20) for n in range(80)]
    assert beats == sorted(beats)
    assert nudged.beat_at(9 * SECOND) == pytest.approx(7.5)


def test_what_is_told_again_takes_the_same_course() -> None:
    transport = Transport(bpm=97.3).nudged(1.5, 0)
    again = transport.anchored(SHIFT_NS // 3).anchored(SHIFT_NS // 2)
    for ns in (SHIFT_NS // 2, SHIFT_NS * 2 // 3, SHIFT_NS, 2 * SECOND):
        assert again.beat_at(ns) == pytest.approx(transport.beat_at(ns), abs=1e-12)


@pytest.mark.parametrize("speed", [5e-324, -2.2e-311, 1e-9, -1e-7])
def test_a_speed_next_to_nothing_stands_still(speed: float) -> None:
    """A fader's rounding error: its grid of beats is too fine to be counted."""
    slow = Transport(120.0).with_speed(speed, SECOND)
    assert slow.beat_at(9 * SECOND) == slow.beat_at(SECOND)
