"""A stand-in for a microphone: see `live.microphone`. Time passes only when it is told so.

    microphone = FakeMicrophone(48_000, 2, drift_ppm=100, jitter_ns=10_000_000)
    microphone.listen(soundtrack.put)
    microphone.advance(1_000_000_000)   # hears all blocks that are complete at this show time

What it hears is known for any moment, so that it can be found again: `clicks` or a `tone`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from live.microphone import Hear

Signal = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The sound at moments, both float64 [n]: seconds of show time, and -1 to 1."""

_SECOND = 1_000_000_000
_CLICK_S = 0.25e-3  # half a click's width: smooth enough for 8000 samples a second


def clicks(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """A click at each full second; the only sound there is."""
    off = (seconds - np.rint(seconds)) / _CLICK_S
    return np.exp(-0.5 * np.minimum(off * off, 400.0))


def tone(hz: float) -> Signal:
    """A sine of half amplitude, 0 at show time 0."""
    return lambda seconds: 0.5 * np.sin(2 * np.pi * hz * seconds)


class FakeMicrophone:
    """A device of `rate` samples a second by its own clock, which is drift_ppm faster.

    channels: 1 or 2, alike. block: samples in each. jitter_ns: each time stamp is as much off as
    that at most, either way, spread evenly. starts_ns: the show time of its first sample. Between
    the show times in `lost` blocks are thrown away; between those in `stalls` they are kept, and
    come all at once at the end.
    """

    name = "a fake microphone"

    def __init__(
        self,
        rate: int = 48_000,
        channels: int = 1,
        *,
        signal: Signal = clicks,
        block: int = 480,
        drift_ppm: float = 0.0,
        jitter_ns: int = 0,
        starts_ns: int = 0,
        lost: Sequence[tuple[int, int]] = (),
        stalls: Sequence[tuple[int, int]] = (),
        seed: int = 0,
    ) -> None:
        self.rate = rate
        self.channels = channels
        self._signal = signal
        self._block = block
        self._sample_ns = _SECOND / rate / (1 + drift_ppm * 1e-6)  # by the show's clock
        self._jitter_ns = jitter_ns
        self._starts_ns = starts_ns
        self._lost = lost
        self._stalls = stalls
        self._random = random.Random(seed)
        self._heard = 0  # samples, those in lost blocks included
        self._hear: Hear | None = None

    def listen(self, hear: Hear) -> None:
        """Call `hear` from now on, within `advance`."""
        self._hear = hear

    def advance(self, show_time_ns: int) -> None:
        """Hand over the blocks that are complete at that time."""
        if _within(show_time_ns, self._stalls):
            return
        complete = int((show_time_ns - self._starts_ns) / self._sample_ns) // self._block
        ends = range(self._heard, complete * self._block + 1, self._block)
        if len(ends) < 2:
            return
        moments = self._starts_ns + np.arange(ends[0], ends[-1]) * self._sample_ns
        sound = self._signal(moments / _SECOND).astype(np.float32)
        for first, end in pairwise(ends):
            self._hand_over(sound[first - ends[0] : end - ends[0]], first)
        self._heard = ends[-1]

    def close(self) -> None:
        """Hear nothing any more."""
        self._hear = None

    def _hand_over(self, sound: NDArray[np.float32], first: int) -> None:
        begins_ns = self._starts_ns + round(first * self._sample_ns)
        off = self._random.randint(-self._jitter_ns, self._jitter_ns)
        if self._hear is not None and not _within(begins_ns, self._lost):
            self._hear(np.repeat(sound[:, None], self.channels, axis=1), begins_ns + off)


def _within(ns: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(begin <= ns < end for begin, end in spans)
