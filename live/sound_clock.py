"""When each sample of a sound device was heard, by the show's clock.

A device counts its samples by a crystal of its own, some 100 ppm off the show's clock, and what it
says about when it heard a block is off by milliseconds, another way each time. Two numbers tell
the truth beneath: how late the device is, and how much later it gets each second. A Kalman filter
follows them. It needs no phases of settling and following: its first words count for much, as
little else is known, and after a minute each one for a three-thousandth.
"""

from __future__ import annotations

import math

_NS = 1e9

# What the filter believes, as standard deviations. With blocks of 10 ms it follows what lasts for
# some 40 s, knows the lateness within 0.3 ms and the drift within 3 ppm; see tests/test_sound.py.
_JITTER_S = 6e-3  # of one time stamp: what is spread evenly over +-10 ms
_DRIFT = 200e-6  # of a device not heard yet; one of 500 ppm is found all the same
_WANDER = 1e-6**2 / 10  # by which the drift changes, squared, a second: 1 ppm in 10 s
# After a gap it may be another device, or the same one, started anew.
_LATENESS_AFTER_GAP_S = 3e-3
_DRIFT_AFTER_GAP = 50e-6

MOST_DRIFT = 900e-6
"""A device that is further off is not followed, but falls behind, and is caught up with in gaps."""


class SoundClock:
    """The show times of a device's samples, which are counted from 0 without regard to gaps.

    rate: the samples a second that the device says it takes. It reads no clock. `observe` must be
    called once before anything is asked.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._anchor_ns: int | None = None  # show time of sample 0, were there neither error
        self._index = 0  # the sample that the following two are true of
        self._lateness = 0.0  # s after the time that anchor and rate say
        self._slowness = 0.0  # s that it gets later each second
        # How uncertain they are: variances of both, and their covariance.
        self._var_lateness = self._var_slowness = self._covariance = 0.0

    @property
    def started(self) -> bool:
        """Whether anything was observed."""
        return self._anchor_ns is not None

    @property
    def drift(self) -> float:
        """How much faster the device is than the show's clock: 100e-6 for 100 ppm."""
        return 1 / (1 + self._slowness) - 1

    @property
    def uncertainty(self) -> float:
        """By how much, in s, the time of the sample observed last is likely to be wrong."""
        return math.sqrt(self._var_lateness)

    def observe(self, index: int, at_ns: int) -> None:
        """Sample `index` is said to have been heard at show time `at_ns`."""
        if self._anchor_ns is None:
            self._anchor_ns = at_ns - round(index * _NS / self._rate)
            self._index = index
            self._var_lateness, self._var_slowness = _JITTER_S**2, _DRIFT**2
            return
        seconds = (index - self._index) / self._rate
        surprise = (at_ns - self.time_at(index)) / _NS
        self._foresee(index, seconds)
        certainty = 1 / (self._var_lateness + _JITTER_S**2)
        of_lateness = self._var_lateness * certainty
        of_slowness = self._covariance * certainty
        self._lateness += of_lateness * surprise
        slowness = self._slowness + of_slowness * surprise
        self._slowness = min(max(slowness, -MOST_DRIFT), MOST_DRIFT)
        self._var_slowness -= of_slowness * self._covariance
        self._covariance *= 1 - of_lateness
        self._var_lateness *= 1 - of_lateness

    def doubt(self) -> None:
        """Believe what comes next more than usual: there was a gap."""
        self._var_lateness += _LATENESS_AFTER_GAP_S**2
        self._var_slowness += _DRIFT_AFTER_GAP**2

    def time_at(self, index: float) -> float:
        """Show time (ns) at which sample `index` was or will be heard."""
        assert self._anchor_ns is not None
        later = self._lateness + (index - self._index) / self._rate * self._slowness
        return self._anchor_ns + (index / self._rate + later) * _NS

    def index_at(self, ns: float) -> float:
        """Which sample, with its fraction, was or will be heard at show time `ns`."""
        assert self._anchor_ns is not None
        since = (ns - self._anchor_ns) / _NS - self._index / self._rate - self._lateness
        return self._index + since * self._rate / (1 + self._slowness)

    def _foresee(self, index: int, seconds: float) -> None:
        """Carry lateness and uncertainty on to a later sample."""
        self._index = index
        self._lateness += seconds * self._slowness
        seconds = abs(seconds)  # what overlaps makes nothing more certain
        self._var_lateness += seconds * (2 * self._covariance + seconds * self._var_slowness)
        self._covariance += seconds * self._var_slowness
        self._var_slowness += seconds * _WANDER
