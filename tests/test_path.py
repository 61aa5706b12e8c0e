"""Splines through W+: the video's numbers, independent formulas, and what every kind must keep."""

import json
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from engine.path import SPRING_RATE, Ending, Ends, Kind, Path, spring_gain

DATA = FilePath(__file__).parent / "data"
KINDS: tuple[Kind, ...] = ("catmull-rom", "centripetal", "linear", "hermite", "bezier")
SMOOTH: tuple[Kind, ...] = ("catmull-rom", "centripetal", "hermite", "bezier")

beat_lengths = st.floats(0.25, 16.0)


def keys(count: int, seed: int = 0, layers: int = 2, columns: int = 5) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, layers, columns).astype(np.float32)


def velocity(path: Path, beat: float, step: float) -> np.ndarray:
    """One-sided derivative per beat, second order; a negative step looks back."""
    near, middle, far = (path.at(beat + i * step).astype(np.float64) for i in range(3))
    return (4.0 * middle - 3.0 * near - far) / (2.0 * step)


# --- the video ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def video() -> tuple[Path, np.ndarray, np.ndarray]:
    """The path as the set list would build it, and the video's own frames without repeats."""
    name = DATA / "video_path.safetensors"
    tensors = load_file(name)
    with safe_open(name, "np") as file:
        points = json.loads(file.metadata()["parity"])["num_points"]
    lengths = [(count - 1) / 48 for count in points]
    repeats = list(accumulate(points))[:-1]  # the first point of every segment but the first
    frames = np.delete(tensors["path"], repeats, axis=0)
    return Path(tensors["keys"], lengths, ends="guide", ending="spring"), frames, tensors["spring"]


def test_path_equals_the_video_at_48_a_second(
    video: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    path, frames, _ = video
    assert path.duration * 48 == pytest.approx(len(frames) - 1)
    ours = np.stack([path.at(i / 48) for i in range(len(frames))])
    np.testing.assert_allclose(ours, frames, rtol=0, atol=1e-5)


def test_spring_equals_the_video_at_48_a_second(
    video: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    path, _, frames = video
    ours = np.stack([path.spring_at((i + 1) / 48, 1.0) for i in range(len(frames))])
    np.testing.assert_allclose(ours, frames, rtol=0, atol=1e-5)


def test_spring_equals_its_recurrence_for_a_minute_and_is_smooth_between() -> None:
    offset, speed, stepped = 0.0, 1.0, [0.0]
    for _ in range(48 * 60):
        offset += speed
        speed = (speed - 0.05 * offset) * 0.9
        stepped.append(offset)
    closed = [spring_gain(i / SPRING_RATE) for i in range(len(stepped))]
    np.testing.assert_allclose(closed, stepped, rtol=0, atol=1e-12)
    fine = np.array([spring_gain(i / 4800) for i in range(4800)])
    assert np.abs(np.diff(fine, 2)).max() < 2e-4  # no kink at the steps


def test_spring_starts_and_settles_at_the_end_and_takes_the_speed_of_arrival() -> None:
    path = Path(keys(4), 2.0, ending="spring")
    end = path.at(path.duration)
    np.testing.assert_array_equal(path.spring_at(0.0, 2.0), end)
    np.testing.assert_allclose(path.spring_at(20.0, 2.0), end, atol=1e-6)
    slow = path.spring_at(0.1, 0.5) - end
    fast = path.spring_at(0.1, 2.0) - end
    np.testing.assert_allclose(fast, slow * 4, rtol=0.1, atol=2e-3)


def test_spring_can_swing_on_while_the_path_runs_back() -> None:
    path = Path(keys(4), 2.0, ending="spring")
    swing = path.spring_at(0.2, 2.0) - path.at(path.duration)
    back = path.spring_at(0.2, 2.0, beat=1.3)
    np.testing.assert_allclose(back, path.at(1.3) + swing, atol=1e-6)


# --- independent formulas ----------------------------------------------------------------------


def test_catmull_rom_equals_its_matrix() -> None:
    points = keys(6)
    path = Path(points, [1.0, 5.0, 0.5], ends="guide")
    matrix = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    for segment, start, length in ((0, 0.0, 1.0), (1, 1.0, 5.0), (2, 6.0, 0.5)):
        for u in (0.0, 0.25, 0.6, 0.99):
            weights = np.array([1, u, u * u, u**3]) @ matrix
            expected = np.tensordot(weights, points[segment : segment + 4], 1)
            np.testing.assert_allclose(path.at(start + u * length), expected, atol=1e-5)


def test_centripetal_equals_the_pyramid_of_barry_and_goldman() -> None:
    points = keys(6, seed=3)
    points[2] *= 4.0  # far from its neighbours: the spacing matters
    steps = np.linalg.norm(np.diff(points.reshape(6, -1), axis=0), axis=1) ** 0.5
    knots = np.concatenate([[0.0], np.cumsum(steps)])
    # Beats in proportion to the knots: then the curve is travelled evenly in its parameter.
    path = Path(points, list(steps[1:-1]), "centripetal", ends="guide")

    def pyramid(t: float, i: int) -> np.ndarray:
        level = list(points[i : i + 4].astype(np.float64))
        for height in (1, 2, 3):
            level = [
                _between(level[j], level[j + 1], *_span(knots, i, height, j), t)
                for j in range(len(level) - 1)
            ]
        return level[0]

    for i in range(3):
        for u in (0.0, 0.3, 0.7):
            t = knots[i + 1] + u * steps[i + 1]
            np.testing.assert_allclose(path.at(t - knots[1]), pyramid(t, i), atol=1e-4)


def _span(knots: np.ndarray, first: int, height: int, j: int) -> tuple[float, float]:
    """The knots between which the pyramid's j-th point of a height is interpolated."""
    if height == 2:
        return knots[first + j], knots[first + j + 2]
    if height == 3:
        return knots[first + 1], knots[first + 2]
    return knots[first + j], knots[first + j + 1]


def _between(a: np.ndarray, b: np.ndarray, start: float, end: float, t: float) -> np.ndarray:
    return ((end - t) * a + (t - start) * b) / (end - start)


def test_linear_equals_interpolation() -> None:
    points = keys(4)
    path = Path(points, [1.0, 2.0, 4.0], "linear")
    for beat in np.linspace(0, 7, 40):
        flat = points.reshape(4, -1)
        expected = [np.interp(beat, [0, 1, 3, 7], flat[:, c]) for c in range(flat.shape[1])]
        np.testing.assert_allclose(path.at(beat).ravel(), expected, atol=1e-5)


def test_hermite_takes_given_tangents_per_beat() -> None:
    points, tangents = keys(3), keys(3, seed=9)
    path = Path(points, [2.0, 4.0], "hermite", tangents=tangents)
    for i, beat in enumerate((0.0, 2.0)):
        np.testing.assert_allclose(velocity(path, beat, 1e-2), tangents[i], atol=2e-2)
    for i, beat in ((1, 2.0), (2, 6.0)):
        np.testing.assert_allclose(velocity(path, beat, -1e-2), tangents[i], atol=2e-2)


def test_bezier_takes_given_handles() -> None:
    points, offsets = keys(3), keys(6, seed=9).reshape(3, 2, 2, 5)
    path = Path(points, 2.0, "bezier", handles=offsets)
    for i in range(2):
        hull = [points[i], points[i] + offsets[i, 1], points[i + 1] + offsets[i + 1, 0]]
        for u in (0.1, 0.5, 0.8):
            level: Sequence[np.ndarray] = [*hull, points[i + 1]]
            while len(level) > 1:
                level = [(1 - u) * a + u * b for a, b in pairwise(level)]
            np.testing.assert_allclose(path.at(2 * i + 2 * u), level[0], atol=1e-5)


@pytest.mark.parametrize("ending", ["hold", "loop"])
def test_bezier_without_handles_is_catmull_rom(ending: Ending) -> None:
    points = keys(5)
    beats = [1.0, 2.0, 3.0, 4.0, 5.0][: 5 if ending == "loop" else 4]
    bezier = Path(points, beats, "bezier", ending=ending)
    catmull_rom = Path(points, beats, "catmull-rom", ending=ending)
    for beat in np.linspace(0, catmull_rom.duration, 50):
        np.testing.assert_array_equal(bezier.at(beat), catmull_rom.at(beat))


def test_an_even_loop_is_travelled_evenly() -> None:
    """With equal beats the eased loop is the plain closed Catmull-Rom spline."""
    points = keys(5)
    loop = Path(points, 3.0, ending="loop")
    unrolled = Path(np.concatenate([points[-1:], points, points[:2]]), 3.0, ends="guide")
    for beat in np.linspace(0, 15, 77):
        np.testing.assert_allclose(loop.at(beat), unrolled.at(beat), atol=1e-6)


def test_the_shape_of_a_loop_does_not_depend_on_its_beats() -> None:
    points = keys(4)
    uneven = Path(points, [1.0, 6.0, 2.0, 3.0], ending="loop")
    even = np.stack([Path(points, 1.0, ending="loop").at(b) for b in np.linspace(0, 4, 4001)])
    for beat in np.linspace(0, 12, 60):
        distances = np.abs(even - uneven.at(beat)).max(axis=(1, 2))
        assert distances.min() < 3e-3


# --- what every path keeps ---------------------------------------------------------------------


@given(
    kind=st.sampled_from(KINDS),
    ending=st.sampled_from(("hold", "loop", "next", "spring")),
    lengths=st.lists(beat_lengths, min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_passes_through_every_key(
    kind: Kind, ending: Ending, lengths: list[float], seed: int
) -> None:
    points = keys(6, seed)
    beats = lengths if ending == "loop" else lengths[:5]
    path = Path(points, beats, kind, ending=ending)
    for beat, key in zip([0.0, *accumulate(beats)], points, strict=False):
        np.testing.assert_allclose(path.at(beat), key, atol=1e-5)
    last = points[0] if ending == "loop" else points[-1]
    np.testing.assert_allclose(path.at(path.duration), last, atol=1e-5)


@given(
    kind=st.sampled_from(KINDS),
    ending=st.sampled_from(("hold", "loop")),
    lengths=st.lists(beat_lengths, min_size=6, max_size=6),
    beat=st.floats(0, 100),
)
def test_a_point_of_the_path_is_its_keys_by_their_weights(
    kind: Kind, ending: Ending, lengths: list[float], beat: float
) -> None:
    points = keys(6)
    path = Path(points, lengths if ending == "loop" else lengths[:5], kind, ending=ending)
    weights = path.weights(beat)
    assert weights.sum() == pytest.approx(1)
    assert np.count_nonzero(weights) <= 4
    np.testing.assert_allclose(np.tensordot(weights, points, 1), path.at(beat), atol=1e-5)


def test_the_weights_of_guides_are_counted() -> None:
    path = Path(keys(4), 2.0, ends="guide")
    assert path.weights(0.0).tolist() == [0, 1, 0, 0]
    assert path.weights(1.0) == pytest.approx([-1 / 16, 9 / 16, 9 / 16, -1 / 16])


@given(kind=st.sampled_from(KINDS), lengths=st.lists(beat_lengths, min_size=3, max_size=3))
def test_guides_shape_but_are_not_passed(kind: Kind, lengths: list[float]) -> None:
    points = keys(6)
    path = Path(points, lengths, kind, ends="guide")
    for beat, key in zip([0.0, *accumulate(lengths)], points[1:-1], strict=True):
        np.testing.assert_allclose(path.at(beat), key, atol=1e-5)
    moved = points.copy()
    moved[0] += 1.0
    moved[-1] -= 1.0
    other = Path(moved, lengths, kind, ends="guide")
    middle = lengths[0] / 2
    assert np.array_equal(path.at(middle), other.at(middle)) == (kind == "linear")


@given(
    kind=st.sampled_from(SMOOTH),
    lengths=st.lists(beat_lengths, min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
def test_velocity_is_continuous_at_every_key_of_a_loop(
    kind: Kind, lengths: list[float], seed: int
) -> None:
    path = Path(keys(4, seed), lengths, kind, ending="loop")
    for beat in accumulate(lengths):
        step = 4e-3 * min(lengths)
        before, after = velocity(path, beat, -step), velocity(path, beat, step)
        scale = max(1.0, float(np.abs(before).max()))
        np.testing.assert_allclose(after / scale, before / scale, atol=3e-2)


@pytest.mark.parametrize("kind", ["centripetal", "hermite"])
def test_velocity_is_continuous_on_uneven_open_paths(kind: Kind) -> None:
    path = Path(keys(4), [1.0, 8.0, 2.0], kind)
    for beat in (1.0, 9.0):
        after, before = velocity(path, beat, 4e-3), velocity(path, beat, -4e-3)
        np.testing.assert_allclose(after, before, atol=2e-2)


def test_open_catmull_rom_keeps_the_direction_and_changes_speed_as_the_video_does() -> None:
    path = Path(keys(4), [1.0, 8.0, 2.0])
    np.testing.assert_allclose(
        velocity(path, 1.0, -1e-3), 8.0 * velocity(path, 1.0, 8e-3), atol=5e-2
    )


@given(kind=st.sampled_from(KINDS), beat=st.floats(-100, 100))
def test_loops_wrap_and_the_others_clamp(kind: Kind, beat: float) -> None:
    loop = Path(keys(4), 2.0, kind, ending="loop")
    np.testing.assert_allclose(loop.at(beat), loop.at(beat + 3 * loop.duration), atol=1e-4)
    hold = Path(keys(4), 2.0, kind)
    np.testing.assert_array_equal(hold.at(beat), hold.at(min(max(beat, 0.0), hold.duration)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["hold", "loop"])
def test_a_key_given_twice_is_a_rest(kind: Kind, ending: Ending) -> None:
    points = keys(3)
    path = Path(points[[0, 1, 1, 2]], 2.0, kind, ending=ending)
    middle = path.at(3.0)
    assert np.isfinite(middle).all()
    if kind in ("linear", "centripetal"):
        np.testing.assert_allclose(middle, points[1], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_two_keys_and_equal_keys_are_enough(kind: Kind) -> None:
    same = np.repeat(keys(1), 2, axis=0)
    for ending in ("loop", "hold"):
        np.testing.assert_allclose(Path(same, 1.0, kind, ending=ending).at(0.5), same[0], atol=1e-6)


# --- psi ---------------------------------------------------------------------------------------


def test_psi_runs_along_the_path_and_live_psi_multiplies_it() -> None:
    points, centre = keys(3), np.arange(5, dtype=np.float32)
    path = Path(points, 2.0, "linear", psi=[1.0, 0.5, 0.0], w_avg=centre)
    np.testing.assert_allclose(path.at(0.0), points[0], atol=1e-6)
    np.testing.assert_allclose(path.at(2.0), centre + 0.5 * (points[1] - centre), atol=1e-6)
    np.testing.assert_allclose(path.at(4.0), np.broadcast_to(centre, (2, 5)), atol=1e-6)
    halfway = (points[0] + points[1]) / 2
    np.testing.assert_allclose(path.at(1.0), centre + 0.75 * (halfway - centre), atol=1e-6)
    live = centre + 0.4 * 0.75 * (halfway - centre)
    np.testing.assert_allclose(path.at(1.0, psi=0.4), live, atol=1e-6)


def test_psi_may_differ_from_layer_to_layer() -> None:
    points = keys(2)
    path = Path(points, 2.0, psi=[[0.5, 1.0], [0.5, 1.0]])
    np.testing.assert_allclose(path.at(0.0)[0], 0.5 * points[0, 0], atol=1e-6)
    np.testing.assert_allclose(path.at(0.0)[1], points[0, 1], atol=1e-6)


def test_the_spring_is_truncated_like_the_path() -> None:
    centre = np.ones(5, np.float32)
    path = Path(keys(3), 2.0, ending="spring", psi=[0.7, 0.7, 0.7], w_avg=centre)
    full = path.spring_at(0.1, 2.0)
    half = path.spring_at(0.1, 2.0, psi=0.5)
    np.testing.assert_allclose(half - centre, 0.5 * (full - centre), atol=1e-6)
    np.testing.assert_allclose(path.spring_at(0.0, 2.0), path.at(4.0), atol=1e-6)


# --- repeatable, refused -----------------------------------------------------------------------


@given(st.lists(st.floats(0, 20), min_size=2, max_size=8), st.sampled_from(KINDS))
def test_results_do_not_depend_on_what_was_asked_before(beats: list[float], kind: Kind) -> None:
    path = Path(keys(4), 2.0, kind, ending="loop")
    forwards = [path.at(beat) for beat in beats]
    again = [Path(keys(4), 2.0, kind, ending="loop").at(beat) for beat in reversed(beats)]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(forwards, reversed(again), strict=True))
    assert forwards[0].dtype == np.float32
    assert forwards[0].shape == (2, 5)


@pytest.mark.parametrize(
    ("count", "ends", "ending", "beats", "match"),
    [
        (1, "through", "hold", 1.0, "at least 2 keys"),
        (3, "guide", "hold", 1.0, "at least 4 keys"),
        (5, "guide", "loop", 1.0, "exclude each other"),
        (3, "through", "hold", [1.0], "2 segments need 2 beats"),
        (3, "through", "loop", [1.0, 1.0], "3 segments need 3 beats"),
        (3, "through", "hold", [1.0, 0.0], "above 0"),
        (3, "through", "hold", [1.0, float("nan")], "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    count: int, ends: Ends, ending: Ending, beats: float | list[float], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        Path(keys(count), beats, ends=ends, ending=ending)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="num_ws, w_dim"):
        Path(np.zeros((3, 5)), 1.0)
    with pytest.raises(ValueError, match="finite"):
        Path(np.full((3, 2, 5), np.nan), 1.0)
    with pytest.raises(ValueError, match="psi must be"):
        Path(keys(3), 1.0, psi=[1.0, 1.0])
    with pytest.raises(ValueError, match="tangents belong"):
        Path(keys(3), 1.0, "bezier", tangents=keys(3))
    with pytest.raises(ValueError, match="handles belong"):
        Path(keys(3), 1.0, "bezier", handles=keys(3))
