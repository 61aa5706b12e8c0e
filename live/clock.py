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
    may come early, for sleeping on top of vertical sync would miss the next refresh. One that is
    earlier still, after a stall, waits for no more than that, so that in a few turns all waiting is
    the display's again. Headless, where nothing else waits, the slack is 0 and turns are spaced
    exactly, each from the deadline of the last so that errors do not add up.
    """

    def __init__(self, clock: Clock, hz: float, slack: float) -> None:
        self.period = round(1e9 / hz)  # ns; may be changed at any time
        self._slack = slack
        self._clock = clock
        self._last = clock.now()

    def wait(self) -> int:
        """Return when the next turn is due, and how long that took in ns; call once a turn."""
        now = self._clock.now()
        due = self._last + self.period
        earliest = due - round(self.period * self._slack)
        if now < earliest:
            self._clock.sleep_until(earliest)
            self._last = earliest
        elif 0 <= now - due < self.period:  # a little late: keep the beat
            self._last = due
        else:
            self._last = now
        return self._clock.now() - now


class Outlook:
    """When the pictures of turns to come will be seen, from when those before were; pure, in ns.

    Turns are presented at even intervals but for some jitter, which is averaged, and for a refresh
    missed now and then, after which all that follow are as much later. Should new pictures be seen
    later than foreseen all the same, or earlier than repeated ones, the outlook slowly follows.
    """

    PHASE, DRIFT, CORRECTION = 0.1, 0.05, 0.05  # shares of an error that are believed
    LONGEST_DELAY = 500_000_000

    def __init__(self, now: int, interval: int) -> None:
        self._last = now
        self._seen = now
        self._interval: float = interval
        self._delay = 0.0

    @property
    def interval(self) -> int:
        """Between two turns, of late; one that is much longer or shorter hardly counts."""
        return round(self._interval)

    def presented(self, now: int) -> None:
        """A turn's picture has just been presented; call once a turn."""
        most = self._interval / 10
        drift = min(max(now - self._seen - self._interval, -most), most)
        self._seen = now
        expected = self._last + self._interval
        error = now - expected
        self._interval += self.DRIFT * drift
        missed = abs(error) > self._interval / 2
        self._last = now if missed else round(expected + self.PHASE * error)

    def corrected(self, lateness: int) -> None:
        """A new picture was seen so much later than foreseen, or earlier if negative.

        One that was very late says no more than one that was a little late: the outlook follows
        what most of them do.
        """
        most = self._interval / 10
        step = self.CORRECTION * min(max(lateness, -most), most)
        self._delay = min(max(self._delay + step, -self._interval), self.LONGEST_DELAY)

    def seen(self, turns: int) -> int:
        """When the turn so many after the last one will be presented."""
        return self._last + round(turns * self._interval + self._delay)
