"""A phase-locked loop on the beats of a clock that somebody else keeps.

Pure: told where the show's own beat was when the clock's was heard, it says how far the show's beat
is to be moved and its tempo to be stretched. It is a loop of second order, so that neither a wrong
phase nor a wrong tempo remains. Its gains are those of a loop of `BANDWIDTH` and `DAMPING` (M.
Rice, "Digital Communications", 2009, C.58, after F. Gardner, "Phaselock Techniques"). As long as
they would be the smaller ones, it takes those of the least-squares line through all that was heard
since it began to listen (E. Brookner, "Tracking and Kalman Filtering Made Easy", 1998, 7.2): the
second beat gives the tempo, and each that follows counts for less.

A beat that is missed is a longer interval. One that comes too early or far off is doubted and moves
nothing; when many are, the music has changed and the loop begins anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from live.transport import BEATS_A_BAR

BANDWIDTH = 0.08  # of the loop's noise, in cycles a beat: jitter of 5 ms becomes one of 2 ms
DAMPING = 1.0  # critical: an error dies away without swinging

GATE = 0.2  # beats: what is further off is doubted
EARLY = 0.5  # beats after the last one: no beat comes sooner
SAME = 0.1  # beats after the last one: it is the same beat, told twice
CLOSEST = 1 / 64  # beats between two phases that are worth a look
DOUBT, BELIEF = 2, 1  # a doubt weighs so much, and what is believed takes so much of it away...
MOST_DOUBT = 5  # ...and whoever has so much is wrong: it begins anew
LOST = 4.5  # beats without one: four were missed, the clock is lost
KNOWN = (
    8  # beats: as much as a tempo is worth that is told, or was held; and who has them is locked
)
SHORTEST_NS, LONGEST_NS = 200_000_000, 3_000_000_000  # a beat's length: 300 and 20 BPM


@dataclass(frozen=True, slots=True)
class Lock:
    """What the loop knows."""

    heard: int = 0  # beats or phases that were believed, since it began to listen
    ns: int = 0  # show time of the last of them
    doubt: int = 0  # that it is right
    known: bool = False  # whether the tempo is right already, and only the phase is to be found

    @property
    def locked(self) -> bool:
        """Whether it follows, and does not seek."""
        return self.heard >= KNOWN and not self.doubt

    def lost(self, bpm: float, at: int) -> bool:
        """Whether at show time `at` (ns) the clock has been silent for too long."""
        most = LOST * 60e9 / bpm
        return at - self.ns > (most if self.heard > 1 else max(most, LONGEST_NS))

    def released(self, at: int) -> Lock:
        """Begun anew at `at`: the beat was moved by others, or the clock was lost."""
        return Lock(0, at, 0, self.known or self.heard >= KNOWN)


@dataclass(frozen=True, slots=True)
class Correction:
    """What the loop does to the beat it steers."""

    beats: float  # to be moved by, ahead or back
    stretch: float  # factor on the tempo


def gains(beats: float) -> tuple[float, float]:
    """The proportional and the integral gain of the loop, for an interval of so many beats."""
    theta = BANDWIDTH * beats / (DAMPING + 0.25 / DAMPING)
    whole = 1.0 + 2.0 * DAMPING * theta + theta * theta
    return 4.0 * DAMPING * theta / whole, 4.0 * theta * theta / whole


def on_beat(lock: Lock, place: float, beats: float, at: int) -> tuple[Lock, Correction | None]:
    """The clock's beat was heard at show time `at` (ns).

    place: the show's beat then, in beats of the clock's. beats: how far it has come since the last
    that was believed. None: nothing is to be done.
    """
    error = math.floor(place + 0.5) - place
    if lock.heard == 0:
        return _first(lock, error, at)
    if lock.heard == 1:  # the interval is the tempo, whatever it was thought to be
        if at - lock.ns < SHORTEST_NS:
            return lock, None
        if at - lock.ns > LONGEST_NS:
            return _first(lock, error, at)
        return Lock(2, at), Correction(error, 1.0 / beats)
    if beats < SAME:
        return lock, None
    if beats < EARLY or abs(error) > GATE:
        return _doubted(lock, error, at)
    return _believed(lock, error, beats, at)


def on_downbeat(lock: Lock, place: float, beats: float, at: int) -> tuple[Lock, Correction | None]:
    """The same for the first beat of a bar, which may be all that is ever told.

    What comes after the only one that was heard, nearer to a bar later than to a beat as the show
    counts them, is a bar later.
    """
    bar_later = lock.heard == 1 and beats >= math.sqrt(BEATS_A_BAR)
    lock, correction = on_beat(lock, place, beats, at)
    if correction is not None and bar_later and lock.heard == 2:
        correction = replace(correction, stretch=correction.stretch * BEATS_A_BAR)
    return lock, correction


def in_phase(lock: Lock, place: float, beats: float, at: int) -> tuple[Lock, Correction | None]:
    """The same for a clock that tells its phase, and often: `place` is less that phase.

    They come too close for two of them to give a tempo, so that they begin with that of the show.
    """
    error = math.floor(place + 0.5) - place
    if lock.heard == 0:
        return _first(replace(lock, known=True), error, at)
    if beats < CLOSEST:
        return lock, None
    if abs(error) > GATE:
        return _doubted(lock, error, at)
    return _believed(lock, error, beats, at)


def _first(lock: Lock, error: float, at: int) -> tuple[Lock, Correction]:
    return Lock(KNOWN if lock.known else 1, at), Correction(error, 1.0)


def _doubted(lock: Lock, error: float, at: int) -> tuple[Lock, Correction | None]:
    if lock.doubt + DOUBT < MOST_DOUBT:
        return replace(lock, doubt=lock.doubt + DOUBT), None
    return _first(Lock(), error, at)


def _believed(lock: Lock, error: float, beats: float, at: int) -> tuple[Lock, Correction]:
    n = lock.heard + 1
    proportional, integral = gains(beats)
    proportional = max(proportional, 2.0 * (2 * n - 1) / (n * (n + 1)))
    integral = max(integral, 6.0 / (n * (n + 1)))
    stretch = 1.0 + integral * error / beats
    return Lock(n, at, max(lock.doubt - BELIEF, 0), lock.known), Correction(
        proportional * error, stretch
    )
