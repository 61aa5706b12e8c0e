"""The spring between the position fader and the playhead."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.path import SPRING_KEPT, SPRING_PULL
from live.control import CueFacts, Message, Programme, Show, advance, apply, value_of
from live.glide import NEAR, STIFFNESS, Drive, Spring, pulled

SECOND = 1_000_000_000
CUES: Programme = (
    CueFacts("loop", duration=16.0, ending="loop"),
    CueFacts("next", duration=8.0, ending="next"),
    CueFacts("last", duration=8.0, ending="spring"),
)
springs = st.sampled_from(["spring", "video"])


def opening(cue: int = 0, drive: Drive = "spring") -> Show:
    show = Show.opening(CUES, 60.0, cue=cue, drive=drive)
    return apply(show, Message("play", (1,)), 0, CUES)


def after(show: Show, *script: tuple[float, str, float]) -> Show:
    for second, address, value in script:
        show = apply(show, Message(address, (value,)), round(second * SECOND), CUES)
    return show


def place(show: Show, second: float) -> float:
    at = round(second * SECOND)
    return advance(show, at, CUES).voice.beat(show.transport, at)


def test_the_critical_spring_is_the_solution_of_its_equation() -> None:
    """x'' = -w^2 x - 2 w x', stepped so finely that steps do not matter."""
    glide = pulled(pulled(None, -3.0, 0, "spring"), 2.0, SECOND // 10, "spring")
    x, v, step = glide.offset, glide.velocity, 1e-6
    for _ in range(300_000):
        v += step * (-(STIFFNESS**2) * x - 2 * STIFFNESS * v)
        x += step * v
    at = SECOND // 10 + 300_000_000
    assert glide.at(at) == pytest.approx(x, abs=1e-4)
    assert glide.velocity_at(at) == pytest.approx(v, abs=1e-3)


def test_the_videos_spring_is_that_of_the_path() -> None:
    """Every 1/48 s it does what (offset, velocity) -> the video's step does, whatever the start."""
    glide = pulled(pulled(None, 5.0, 0, "video"), 3.0, 77_000_000, "video")
    x = [glide.at(77_000_000 + round(n * 1e9 / 48)) for n in range(100)]
    for n in range(98):
        step = (1 + SPRING_KEPT * (1 - SPRING_PULL)) * x[n + 1] - SPRING_KEPT * x[n]
        assert x[n + 2] == pytest.approx(step, abs=1e-7)
    assert min(x) < -0.5  # it swings


@given(
    st.lists(st.tuples(st.integers(0, SECOND), st.floats(-16, 16)), min_size=1, max_size=6), springs
)
def test_a_fader_that_moves_again_hands_over_place_and_velocity(
    moves: list[tuple[int, float]], spring: Spring
) -> None:
    glide, at = None, 0
    for wait, jump in moves:
        at += wait
        before = 0.0 if glide is None else glide.at(at)
        rate = 0.0 if glide is None else glide.velocity_at(at)
        glide = pulled(glide, before + jump, at, spring)
        assert glide.at(at) == before + jump
        assert glide.velocity_at(at) == pytest.approx(rate, abs=1e-9)
    assert glide is not None
    assert glide.near_ns >= at
    late = [glide.at(glide.near_ns + n * 7_000_000) for n in range(300)]
    assert max(map(abs, late)) <= NEAR + 1e-9


def test_the_fader_pulls_and_the_playhead_follows_without_a_step() -> None:
    show = after(opening(), (4.0, "position", 0.75))
    assert place(show, 4.0) == pytest.approx(4.0)
    beats = [place(show, 4.0 + n / 100) for n in range(200)]
    assert max(b - a for a, b in pairwise(beats)) < 0.4  # 8 beats, and nowhere a jump
    assert beats[-1] == pytest.approx(12.0 + 1.99, abs=1e-3)
    assert beats == sorted(beats)  # it does not swing past, and the clock goes on
    told = value_of(show, "position", 4 * SECOND, CUES)
    assert told == pytest.approx((4.0 / 16,))  # where the picture is


def test_a_coarse_fader_becomes_motion() -> None:
    """Sixteen steps at ten a second, as an old desk sends them: the speed hardly varies."""
    show = after(opening(), (0.0, "play", 0))
    script = [(1 + n / 10, "position", n / 16) for n in range(17)]
    positions = []
    for second in np.arange(1.6, 2.5, 1 / 60):
        moved = after(show, *[step for step in script if step[0] <= second])
        positions.append(place(moved, float(second)))
    speeds = np.diff(positions) * 60
    assert speeds.min() > 8.0  # of 10 beats a second
    assert speeds.max() < 12.0


def test_a_paused_and_a_held_show_are_scrubbed_too() -> None:
    for stop in (("play", 0.0), ("cue/hold", 1.0)):
        show = after(opening(), (1.0, *stop), (2.0, "position", 0.5))
        assert place(show, 2.0) == pytest.approx(1.0)
        assert place(show, 5.0) == pytest.approx(8.0, abs=1e-6)
    halfway = after(show, (2.1, "cue/hold", 0.0))
    assert place(halfway, 2.1) == pytest.approx(place(show, 2.1))
    assert place(halfway, 8.0) == pytest.approx(8.0 + 5.9)
    caught = after(after(opening(), (2.0, "position", 0.5)), (2.1, "cue/hold", 1.0))
    assert place(caught, 9.0) == pytest.approx(place(caught, 2.1))


def test_the_end_waits_for_the_playhead() -> None:
    show = after(opening(cue=1), (1.0, "position", 1.0))
    arrived = show.voice.glide.near_ns  # type: ignore[union-attr]
    assert SECOND < arrived < 2 * SECOND
    assert advance(show, arrived - 1, CUES).voice.cue == 1
    following = advance(show, arrived, CUES)
    assert following.voice.cue == 2
    assert following.voice.beat(following.transport, arrived) == 0.0
    nearly = after(opening(cue=1), (1.0, "position", 0.75))  # it has arrived long before the end
    assert advance(nearly, 3 * SECOND, CUES).voice == nearly.voice.__class__(2, 3.0, 3 * SECOND)


def test_scrubbing_leaves_a_spring_that_swings_without_a_step() -> None:
    show = after(opening(cue=2), (8.1, "position", 0.5))
    at = round(8.1 * SECOND)
    assert show.voice.spring is not None
    assert show.voice.beat(show.transport, at) == pytest.approx(8.0)  # the path was at its end


def test_a_swing_that_goes_on_is_not_begun_anew_where_the_end_is_passed_again() -> None:
    """That would be a step of the picture."""
    show = after(opening(cue=2), (8.2, "position", 0.995))
    swinging = show.voice.spring
    assert swinging is not None
    again = advance(show, 9 * SECOND, CUES)
    assert again.voice.arrived
    assert again.voice.spring == swinging
    later = after(again, (12.0, "position", 0.9))
    assert advance(later, 14 * SECOND, CUES).voice.spring != swinging


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 2 * SECOND))
def test_direct_is_there_at_once(first: float, then: float, wait: int) -> None:
    assume(first != then)
    show = after(opening(drive="direct"), (1.0, "position", first))
    show = apply(show, Message("position", (then,)), SECOND + wait, CUES)
    beat = show.voice.beat(show.transport, SECOND + wait)
    assert math.isclose(beat, then * 16.0, abs_tol=1e-9)
