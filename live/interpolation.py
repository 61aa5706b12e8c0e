"""Sound between its samples: a windowed sinc, for steps of very nearly one sample.

What a resampling library does is convert between two fixed rates; here the ratio is a few ppm off
one, changes all the time, and must be known to a hundredth of a sample. FFmpeg's own follower of a
drifting clock (aresample's async) works on the time stamps' jitter, and PyAV has no way to tell its
resampler by how much to stretch.

Measured at 48 kHz: what differs from a tone of 1 to 20 kHz is 100 dB below it. A second of stereo
takes 7 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

BEFORE, AFTER = 31, 32
"""Samples that are looked at on both sides of a place, besides the one just before it."""

_TAPS = BEFORE + 1 + AFTER
_PHASES = 256  # places between two samples whose weights are kept; linear between those
_KAISER = 9.0  # of the window: what is passed over is 90 dB down


def _weights() -> NDArray[np.float32]:
    """float32 [_PHASES + 1, _TAPS]: the weight of each sample, by the place's fraction."""
    fractions = np.arange(_PHASES + 1)[:, None] / _PHASES
    distances = np.arange(-BEFORE, AFTER + 1)[None, :] - fractions
    inside = np.clip(1 - (distances / (_TAPS / 2)) ** 2, 0, None)
    weights = np.sinc(distances) * np.i0(_KAISER * np.sqrt(inside)) / np.i0(_KAISER)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


_WEIGHTS = _weights()
_SLOPES = np.diff(_WEIGHTS, axis=0)


def interpolate(
    samples: NDArray[np.float32], first: float, step: float, count: int
) -> NDArray[np.float32]:
    """The sound at the places first, first + step, ...: float32 [count, channels].

    samples: float32 [n, channels]. Places are counted in samples; each must have BEFORE samples
    before its own one, and AFTER samples after that: IndexError for one beyond the last.
    """
    places = first + step * np.arange(count)
    whole = places.astype(np.int64)
    phases = (places - whole) * _PHASES
    rows = phases.astype(np.int64)
    weights = _SLOPES.take(rows, axis=0)
    weights *= (phases - rows).astype(np.float32)[:, None]
    weights += _WEIGHTS.take(rows, axis=0)
    windows = sliding_window_view(samples, _TAPS, axis=0)[whole - BEFORE]
    result: NDArray[np.float32] = np.matmul(windows, weights[:, :, None])[:, :, 0]
    return result
