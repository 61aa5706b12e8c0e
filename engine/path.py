"""Splines through W+ and their timing: a beat in, the final W+ out.

Every kind of path is a chain of cubic Hermite segments over the keys. A kind only chooses the knot
spacing from which the tangents are taken, and how evenly a segment is travelled:

============  ===================  ======================================================
kind          knot spacing         travelled
============  ===================  ======================================================
catmull-rom   1                    evenly in the segment's own parameter, as in the video
bezier        1 (handles: thirds)  like catmull-rom
centripetal   sqrt(distance)       so that velocity is continuous at every key
hermite       beats                so that velocity is continuous at every key
linear        (chords)             evenly; the direction changes at the keys
============  ===================  ======================================================

The tangent at a key is the slope there of the parabola through it and its two neighbours. For
catmull-rom this is the uniform spline of the music video: where an open path joins segments of
unequal beats, the direction goes on and the speed changes with the ratio of the lengths. In a loop
the curve has the same shape, and the way along it is eased (monotone cubics after Fritsch and
Butland, 1984) so that the velocity per beat is continuous at every key, the seam included.

Arithmetic is element-wise float64 and cast at the end, so results repeat bit for bit.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kind: TypeAlias = Literal["catmull-rom", "centripetal", "linear", "hermite", "bezier"]
Ends: TypeAlias = Literal["through", "guide"]
Ending: TypeAlias = Literal["loop", "hold", "spring", "next"]

Floats: TypeAlias = NDArray[np.float64]

SPRING_RATE = 48.0  # steps a second: the video's frame rate
SPRING_PULL = 0.05  # of the distance to the target, each step
SPRING_KEPT = 0.9  # of the velocity, each step

# One step of the spring is (offset, velocity) -> (offset + velocity, KEPT * (velocity - PULL *
# new offset)): a 2x2 matrix whose eigenvalues are RADIUS * exp(+-i ANGLE). Its powers have a
# closed form, so the spring is known at any moment without stepping.
_RADIUS = math.sqrt(SPRING_KEPT)
_ANGLE = math.acos((1.0 + SPRING_KEPT * (1.0 - SPRING_PULL)) / (2.0 * _RADIUS))

SPRING_DECAY = -math.log(_RADIUS) * SPRING_RATE  # of the swing, 1/s: 2.5
SPRING_SWING = _ANGLE * SPRING_RATE  # rad/s: 10.2


def spring_gain(seconds: float) -> float:
    """How far the spring is from its target, in multiples of its first step v0.

    Exact at whole steps (1/48 s), smooth between: 0 at the start, 1 after the first step.
    """
    steps = seconds * SPRING_RATE
    return math.pow(_RADIUS, steps - 1.0) * math.sin(steps * _ANGLE) / math.sin(_ANGLE)


def segment_count(keys: int, ends: Ends, ending: Ending) -> int:
    """Number of segments that a path through `keys` keys has; ValueError when they are too few."""
    if ending == "loop" and ends == "guide":
        raise ValueError('ends = "guide" and a loop exclude each other: a loop passes every key')
    needed = 4 if ends == "guide" else 2
    if keys < needed:
        raise ValueError(f'ends = "{ends}" needs at least {needed} keys, here is {keys}')
    if ending == "loop":
        return keys
    return keys - 3 if ends == "guide" else keys - 1


class Path:
    """A path through W+ keys, asked by beat.

    Args:
        keys: [N, num_ws, w_dim], before truncation.
        beats: length of every segment in the order of travel, each above 0; one number stands for
            all. An open path has N - 1 segments (`ends="guide"`: N - 3), a loop N: the last one
            closes it.
        kind: see the module's table.
        ends: "through" passes every key (the end tangents are one-sided); with "guide" the first
            and the last key only shape the tangents.
        ending: "loop" closes the spline and takes the beat modulo its duration; the others clamp
            the beat ("spring" goes on with `spring_at`).
        psi: truncation of every key, [N] or per layer [N, num_ws]; runs along the same spline.
        w_avg: [w_dim], the centre of truncation; default zeros.
        tangents: for "hermite", velocity at every passed key in W per beat, [M, num_ws, w_dim].
        handles: for "bezier", the arriving and the leaving handle of every passed key as offsets
            from it, [M, 2, num_ws, w_dim]; default a third of the Catmull-Rom tangent.

    Raises ValueError on shapes and values that do not fit together.
    """

    def __init__(
        self,
        keys: ArrayLike,
        beats: float | Sequence[float],
        kind: Kind = "catmull-rom",
        *,
        ends: Ends = "through",
        ending: Ending = "hold",
        psi: ArrayLike | None = None,
        w_avg: ArrayLike | None = None,
        tangents: ArrayLike | None = None,
        handles: ArrayLike | None = None,
    ) -> None:
        points = np.asarray(keys, np.float64)
        if points.ndim != 3 or not np.isfinite(points).all():
            raise ValueError(f"keys must be finite [N, num_ws, w_dim], got {list(points.shape)}")
        lengths = _lengths(beats, segment_count(len(points), ends, ending))
        self._w_avg = np.zeros(points.shape[2]) if w_avg is None else np.asarray(w_avg, np.float64)
        chain = _chain(_with_psi(points - self._w_avg, psi), ends, ending)
        spacing = _spacing(kind, chain, lengths, ending)
        self._keys = chain[1:-1]
        self._leaving, self._arriving = _tangents(kind, chain, spacing)
        shares = _chain(np.eye(len(points))[:, None], ends, ending)
        own = tangents is None and handles is None
        slopes = _tangents(kind, shares, spacing)
        self._shares = (shares[1:-1], *(slope * own for slope in slopes))
        if tangents is not None:
            self._set_tangents(kind, np.asarray(tangents, np.float64), lengths)
        if handles is not None:
            self._set_handles(kind, np.asarray(handles, np.float64))
        self._pace = _pace(kind, spacing[1:-1], lengths, ending)
        self._lengths = lengths
        self._starts = [0.0, *accumulate(lengths)][:-1]
        self._loops = ending == "loop"
        self.duration: float = self._starts[-1] + lengths[-1]

    def at(self, beat: float, psi: float = 1.0) -> NDArray[np.float32]:
        """The final W+ at `beat`: float32 [num_ws, w_dim], truncated by the track times `psi`."""
        return self._final(self._truncated(beat), psi)

    def spring_at(
        self,
        seconds: float,
        beats_per_second: float,
        psi: float = 1.0,
        beat: float | None = None,
    ) -> NDArray[np.float32]:
        """The final W+ `seconds` after the end was passed at the given speed.

        The path's last step of 1/48 s is carried on, pulled back by 0.05 of the distance and damped
        by 0.9 every 1/48 s. `beat` is where the path itself is, if it has left its end again while
        the spring still swings.
        """
        end = self._truncated(self.duration)
        step = end - self._truncated(self.duration - beats_per_second / SPRING_RATE)
        base = end if beat is None else self._truncated(beat)
        return self._final(base + spring_gain(seconds) * step, psi)

    def weights(self, beat: float) -> Floats:
        """How much of every key is in the path's point at `beat`: [N], adding up to 1.

        Splines swing past their keys, so some are a little below 0. Tangents and handles that were
        given are of no key, and not counted.
        """
        i, u = self._place(beat)
        shares: Floats = _point(u, i, *self._shares)[0]
        return shares

    def spring_weights(
        self, seconds: float, beats_per_second: float, beat: float | None = None
    ) -> Floats:
        """The same for `spring_at`; exact where psi is the same along the last step."""
        end = self.weights(self.duration)
        step = end - self.weights(self.duration - beats_per_second / SPRING_RATE)
        base = end if beat is None else self.weights(beat)
        return base + spring_gain(seconds) * step

    def _final(self, offset: Floats, psi: float) -> NDArray[np.float32]:
        return (self._w_avg + psi * offset).astype(np.float32)

    def _truncated(self, beat: float) -> Floats:
        """psi * (w - w_avg) at a beat, before the live psi: float64 [num_ws, w_dim]."""
        i, u = self._place(beat)
        point = _point(u, i, self._keys, self._leaving, self._arriving)
        truncated: Floats = point[:, -1:] * point[:, :-1]
        return truncated

    def _place(self, beat: float) -> tuple[int, float]:
        """The segment in which a beat lies, and how far along it, 0 to 1."""
        beat = beat % self.duration if self._loops else min(max(beat, 0.0), self.duration)
        i = max(bisect_right(self._starts, beat) - 1, 0)
        u = min((beat - self._starts[i]) / self._lengths[i], 1.0)
        slow, fast = self._pace[i]
        return i, u * (slow + u * ((3.0 - 2.0 * slow - fast) + u * (slow + fast - 2.0)))

    def _set_tangents(self, kind: Kind, tangents: Floats, lengths: Sequence[float]) -> None:
        expected = self._per_key_shape()
        if kind != "hermite" or tangents.shape != expected:
            raise ValueError(f'tangents belong to kind "hermite" and are {list(expected)}')
        closed = _closed(tangents, len(self._keys))
        beats = np.asarray(lengths)[:, None, None]
        self._leaving[..., :-1] = closed[:-1] * beats
        self._arriving[..., :-1] = closed[1:] * beats

    def _set_handles(self, kind: Kind, handles: Floats) -> None:
        keys, *key = self._per_key_shape()
        expected = (keys, 2, *key)
        if kind != "bezier" or handles.shape != expected:
            raise ValueError(f'handles belong to kind "bezier" and are {list(expected)}')
        closed = _closed(handles, len(self._keys))
        self._leaving[..., :-1] = 3.0 * closed[:-1, 1]
        self._arriving[..., :-1] = -3.0 * closed[1:, 0]

    def _per_key_shape(self) -> tuple[int, int, int]:
        passed, num_ws, columns = self._keys.shape
        return passed, num_ws, columns - 1


def _point(u: float, i: int, keys: Floats, leaving: Floats, arriving: Floats) -> Floats:
    """The cubic of segment `i` at `u`; at 0 and 1 it is exactly its keys."""
    point: Floats = (u * u * (2.0 * u - 3.0) + 1.0) * keys[i]
    point += (u * (u - 1.0) * (u - 1.0)) * leaving[i]
    point += (u * u * (3.0 - 2.0 * u)) * keys[i + 1]
    point += (u * u * (u - 1.0)) * arriving[i]
    return point


def _closed(per_key: Floats, passed: int) -> Floats:
    """Values per key, with the first one repeated where a loop comes back to it."""
    return per_key if len(per_key) == passed else np.concatenate([per_key, per_key[:1]])


def _lengths(beats: float | Sequence[float], count: int) -> list[float]:
    given = [beats] * count if isinstance(beats, (int, float)) else beats
    lengths = [float(length) for length in given]
    if len(lengths) != count:
        raise ValueError(f"{count} segments need {count} beats, got {len(lengths)}")
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise ValueError(f"beats must be finite and above 0, got {lengths}")
    return lengths


def _with_psi(points: Floats, psi: ArrayLike | None) -> Floats:
    """The keys with their psi as one more column: [N, num_ws, w_dim + 1]."""
    count, num_ws, _ = points.shape
    track = np.ones((count, 1)) if psi is None else np.asarray(psi, np.float64)
    if track.ndim == 1:
        track = track[:, None]
    if track.shape not in ((count, 1), (count, num_ws)) or not np.isfinite(track).all():
        raise ValueError(f"psi must be finite [{count}] or [{count}, {num_ws}], got {track.shape}")
    column = np.broadcast_to(track, (count, num_ws))[..., None]
    return np.concatenate([points, column], axis=2)


def _chain(points: Floats, ends: Ends, ending: Ending) -> Floats:
    """The passed keys in order, with one neighbour before the first and one after the last."""
    if ending == "loop":
        return np.concatenate([points[-1:], points, points[:2]])
    if ends == "guide":
        return points
    before = 2.0 * points[:1] - points[1:2]
    after = 2.0 * points[-1:] - points[-2:-1]
    return np.concatenate([before, points, after])


def _spacing(kind: Kind, chain: Floats, lengths: Sequence[float], ending: Ending) -> Floats:
    """Knot spacing of the chain's intervals, guides included: [segments + 2], all above 0."""
    if kind == "hermite":
        ends = (lengths[-1], lengths[0]) if ending == "loop" else (lengths[0], lengths[-1])
        return np.array([ends[0], *lengths, ends[1]])
    if kind != "centripetal":
        return np.ones(len(lengths) + 2)
    # fsum is exactly rounded: the same knots on every machine, whatever its vector width.
    squares = np.square(np.diff(chain[..., :-1], axis=0)).reshape(len(chain) - 1, -1)
    roots = [math.sqrt(math.sqrt(math.fsum(row))) for row in squares.tolist()]
    # A key given twice is a rest: a spacing near zero brings the path to a stop there.
    floor = 1e-4 * max(roots) or 1.0
    return np.array([max(root, floor) for root in roots])


def _tangents(kind: Kind, chain: Floats, spacing: Floats) -> tuple[Floats, Floats]:
    """Tangents in the segments' own parameter, at their start and at their end."""
    steps = np.diff(chain, axis=0)
    if kind == "linear":
        return steps[1:-1].copy(), steps[1:-1].copy()
    h = spacing[:, None, None]
    slopes = steps / h
    at_keys = (h[1:] * slopes[:-1] + h[:-1] * slopes[1:]) / (h[:-1] + h[1:])
    return at_keys[:-1] * h[1:-1], at_keys[1:] * h[1:-1]


def _pace(
    kind: Kind, spacing: Floats, lengths: Sequence[float], ending: Ending
) -> list[tuple[float, float]]:
    """Speed of the segments' parameter at their start and end, relative to even travel."""
    uniform = kind in ("catmull-rom", "bezier")
    if kind == "linear" or (uniform and ending != "loop"):
        return [(1.0, 1.0)] * len(lengths)
    rates = [float(h) / length for h, length in zip(spacing, lengths, strict=True)]
    around = [rates[-1], *rates, rates[0]] if ending == "loop" else [rates[0], *rates, rates[-1]]
    # The harmonic mean is at most twice the smaller rate, which keeps the cubics monotone.
    keys = [2.0 / (1.0 / a + 1.0 / b) for a, b in pairwise(around)]
    return [(keys[i] / rate, keys[i + 1] / rate) for i, rate in enumerate(rates)]
