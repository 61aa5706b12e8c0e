"""The stage's clock. Its logic reads none: time is handed in."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of nanoseconds, and a way to wait for them."""

    def now(self) -> int:
        """Nanoseconds since some fixed moment; never goes back."""

    def sleep_until(self, deadline: int) -> None:
        """Return at `deadline`, or at once if that has passed."""


class WallClock:
    """`time.perf_counter_ns()`, which the engines use as well."""

    def now(self) -> int:
        """See `Clock.now`."""
        return time.perf_counter_ns()

    def sleep_until(self, deadline: int) -> None:
        """See `Clock.sleep_until`."""
        remaining = deadline - self.now()
        if remaining > 0:
            time.sleep(remaining / 1e9)


class FakeClock:
    """Time that passes only when somebody waits for it."""

    def __init__(self, now: int = 0) -> None:
        self.time = now

    def now(self) -> int:
        """See `Clock.now`."""
        return self.time

    def sleep_until(self, deadline: int) -> None:
        """See `Clock.sleep_until`; costs no real time."""
        self.time = max(self.time, deadline)


class Pacer:
    """Spaces the turns of a loop by one period, where nothing else does.

    Vertical sync does it on a projector's window; `slack` is the part of a period by which a turn
    may come early and still be let through, for sleeping on top of vertical sync would miss the
    next refresh. Headless, where nothing else waits, the slack is 0 and turns are spaced exactly,
    each from the deadline of the last so that errors do not add up.
    """

    def __init__(self, clock: Clock, hz: float, slack: float) -> None:
        self.period = round(1e9 / hz)  # ns; may be changed at any time
        self._slack = slack
        self._clock = clock
        self._last = clock.now()

    def wait(self) -> None:
        """Return when the next turn is due; call once a turn."""
        now = self._clock.now()
        due = self._last + self.period
        if due - now > self.period * self._slack:
            self._clock.sleep_until(due)
            self._last = due
        elif 0 <= now - due < self.period:  # a little late: keep the beat
            self._last = due
        else:
            self._last = now
