"""Which output size answers a request: the largest that the time for a frame allows.

The governor knows what a frame of each size costs while the machine is quiet, and how much slower
than that frames are just now. It goes down as soon as frames miss their budget, and comes back when
a larger size has been expected to fit for a while. A return that fails makes the next one wait
longer, so that a size on the edge does not come and go. Time is handed in; nothing here measures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

SECOND = 1_000_000_000
RECENT = 5  # frames that say what the load is
PATIENCE = 3  # frames of the last RECENT over their budget: one slow frame says nothing
FITS = 0.9  # of the budget: a size that is expected to take more is not chosen
FIRST_WAIT = 2 * SECOND  # that a larger size must have been expected to fit
LONGEST_WAIT = 32 * SECOND
SETTLED = 5 * SECOND  # a size that was good for so long was no mistake
IDLE = 2 * SECOND  # without a frame, what was known of the load is out of date


class Governor:
    """Chooses the size of every frame of one session. Sizes are sides in pixels, times in ns."""

    def __init__(self) -> None:
        self._cost: dict[int, float] = {}  # quietest time of a frame, by size
        self._size = 0
        self._loads: deque[float] = deque(maxlen=RECENT)
        self._missed: deque[bool] = deque(maxlen=RECENT)
        self._budget = 0
        self._fits_since: int | None = None
        self._wait = FIRST_WAIT
        self._raised_at: int | None = None
        self._last = 0

    def choose(self, sizes: Sequence[int], budget: int, now: int) -> int:
        """The size for a frame that may take `budget`, 0 meaning as long as it takes.

        sizes: what can be had now, the full one first.
        """
        if self._size not in sizes:
            self._size = sizes[0]
        if budget <= 0:
            self._budget = 0
            return sizes[0]
        if budget != self._budget:
            self._budget = budget
            self._missed.clear()
            self._fits_since = None
        if now - self._last > IDLE:
            self._loads.clear()
            self._missed.clear()
        if sum(self._missed) >= PATIENCE:
            self._fall(sizes, now)
        else:
            self._rise(sizes, now)
        return self._size

    def saw(self, size: int, duration: int, now: int) -> None:
        """A frame of `size` was made in `duration`, and was ready at `now`."""
        # A size that is played for the first time is so because of the load: that is not its cost.
        self._cost[size] = min(self._cost.get(size, duration / self._load), duration)
        self._loads.append(duration / self._cost[size])
        self._last = now
        if size == self._size:
            self._missed.append(0 < self._budget < duration)

    def _fall(self, sizes: Sequence[int], now: int) -> None:
        smaller = [size for size in sizes if size < self._size]
        if not smaller:
            return
        room = FITS * self._budget
        fitting = (size for size in smaller if self._expected(size) <= room)
        if self._raised_at is not None and now - self._raised_at < SETTLED:
            self._wait = min(2 * self._wait, LONGEST_WAIT)  # it came back too soon
        self._take(next(fitting, smaller[-1]))
        self._raised_at = None

    def _rise(self, sizes: Sequence[int], now: int) -> None:
        larger = [size for size in sizes if size > self._size]
        if self._raised_at is not None and now - self._raised_at >= SETTLED:
            self._raised_at, self._wait = None, FIRST_WAIT
        if not larger or self._expected(larger[-1]) > FITS * self._budget:
            self._fits_since = None
            return
        if self._fits_since is None:
            self._fits_since = now
        if now - self._fits_since >= self._wait:
            self._take(larger[-1])
            self._raised_at = now

    def _take(self, size: int) -> None:
        self._size, self._fits_since = size, None
        self._missed.clear()

    def _expected(self, size: int) -> float:
        """What a frame of a size would take under the load of the last frames.

        Of a size that was never played, the cost is guessed from the nearest one: a network's work
        at a resolution is at most four times, and in practice above twice, that at half of it.
        """
        if size in self._cost:
            return self._load * self._cost[size]
        known = min(self._cost, key=lambda other: abs(other - size), default=None)
        return 0.0 if known is None else self._load * self._cost[known] * size / known

    @property
    def _load(self) -> float:
        """How many times as long as on a quiet machine frames take now: the median of a few."""
        return sorted(self._loads)[len(self._loads) // 2] if self._loads else 1.0
