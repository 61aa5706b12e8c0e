"""A distribution that takes the same memory after a minute as after a week of frames."""

from __future__ import annotations

import math
from collections import Counter

GROWTH = 1.01  # a bucket's upper end over its lower one
FINEST = 1e-6  # what is smaller counts as 0
COARSEST = 1e12  # what is larger counts as that, except for `largest` and `smallest`

_LOG_GROWTH = math.log(GROWTH)
_LAST_BUCKET = math.ceil(math.log(COARSEST / FINEST) / _LOG_GROWTH)


class Distribution:
    """Counts values, negative ones too, in buckets whose bounds grow by 1 %.

    Every order statistic is known within 0.5 % of itself, or within FINEST near 0; there are at
    most 8400 buckets, of which a show touches some hundred. (This is the idea of DDSketch: Masson,
    Rim and Lee 2019, https://arxiv.org/abs/1908.10693.)
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.total = 0
        self.smallest = math.inf
        self.largest = -math.inf

    def add(self, value: float) -> None:
        """Count a finite value."""
        self._counts[_bucket(value)] += 1
        self.total += 1
        self.smallest = min(self.smallest, value)
        self.largest = max(self.largest, value)

    def percentile(self, percent: float) -> float | None:
        """As numpy.percentile, interpolated between the two nearest values; None without values."""
        if not self.total:
            return None
        rank = (self.total - 1) * percent / 100
        below = self._ranked(math.floor(rank))
        above = self._ranked(math.ceil(rank))
        return below + (above - below) * (rank - math.floor(rank))

    def _ranked(self, rank: int) -> float:
        """The value with so many before it when all are sorted."""
        if rank == self.total - 1:
            return self.largest
        if rank == 0:
            return self.smallest
        before = 0
        for bucket in sorted(self._counts):
            before += self._counts[bucket]
            if before > rank:
                return min(max(_middle(bucket), self.smallest), self.largest)
        raise AssertionError("more values than were counted")


def _bucket(value: float) -> int:
    """0 for what is nearly 0, else from 1 on, counted away from 0, with the value's sign."""
    size = abs(value)
    if size < FINEST:
        return 0
    number = 1 + min(math.floor(math.log(size / FINEST) / _LOG_GROWTH), _LAST_BUCKET)
    return number if value > 0 else -number


def _middle(bucket: int) -> float:
    """The geometric mean of a bucket's bounds."""
    if bucket == 0:
        return 0.0
    return math.copysign(FINEST * GROWTH ** (abs(bucket) - 0.5), bucket)
