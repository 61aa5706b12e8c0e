"""Tempo and beats: where the music is at a show time.

Pure: show time is handed in as an integer of nanoseconds. Between two operations the beat is a
closed form of the time, and every operation sets a new anchor at its own time, with the beat that
was reached there, so the beat never jumps.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

BPM_LOW, BPM_HIGH = 20.0, 300.0
SPEED_LIMIT = 8.0
SPEED_LEAST = 1e-6  # below it is 0: a grid of such steps has more of them than floats can count

SHIFT_NS = 250_000_000  # a nudge is spread over this time, like a finger on a turntable
PULL = 0.5  # of the beat's own speed: pulls are spread so that they add or take no more
BEATS_A_BAR = 4

TAP_SILENCE_NS = 2_000_000_000  # a longer pause starts a new series of taps
TAP_BOUNCE_NS = 100_000_000  # a second tap within this time is the same tap
TAP_COUNT = 6  # five intervals: their median survives two bad ones

_BEATS_PER_NS = 1.0 / 60e9  # at 1 BPM
_NEVER_NS = 10**18  # 31 years: what comes later never comes


@dataclass(frozen=True, slots=True)
class Transport:
    """The beat as a function of show time, and the operations that change it.

    Attributes:
        bpm: beats a minute, 20 to 300.
        speed: factor on the tempo, -8 to 8; below 0 the beat runs back.
        playing: whether the beat runs at all.
        anchor_ns: show time of the last operation.
        anchor_beat: the beat at that time.
        shift: beats that are added evenly after the anchor, also when paused...
        shift_ns: ...over this time.
        pull: as much of the shift is a pull, which a beat that stands still is not moved by.
        taps: times of the present series of taps.
    """

    bpm: float
    speed: float = 1.0
    playing: bool = True
    anchor_ns: int = 0
    anchor_beat: float = 0.0
    shift: float = 0.0
    shift_ns: int = SHIFT_NS
    pull: float = 0.0
    taps: tuple[int, ...] = ()

    @property
    def beats_per_second(self) -> float:
        """Signed; 0 when paused. A shift in progress does not count."""
        return self.bpm * self.speed / 60.0 if self.playing else 0.0

    def beat_at(self, ns: int) -> float:
        """The beat at a show time, which is not before the anchor."""
        elapsed = ns - self.anchor_ns
        beat = self.anchor_beat + elapsed * self._rate
        return beat + self.shift * min(elapsed / self.shift_ns, 1.0) if self.shift else beat

    def reaches(self, beat: float, since_ns: int) -> int | None:
        """The first show time, not before `since_ns`, at which `beat` is reached going forwards.

        None if the beat does not run forwards, or gets there only in decades.
        """
        rate = self._rate
        if rate <= 0.0:
            return None
        start = max(since_ns, self.anchor_ns)
        distance = (beat - self.beat_at(start)) / rate
        if distance <= 0.0:
            return start
        return self._crossing(beat, start, distance) if distance < _NEVER_NS else None

    def with_bpm(self, bpm: float, ns: int) -> "Transport":
        """Another tempo from `ns` on, kept within 20 to 300."""
        return replace(self.anchored(ns), bpm=min(max(bpm, BPM_LOW), BPM_HIGH))._bearable()

    def with_speed(self, speed: float, ns: int) -> "Transport":
        """Another speed from `ns` on, kept within -8 to 8; next to nothing is nothing."""
        speed = min(max(speed, -SPEED_LIMIT), SPEED_LIMIT)
        speed = speed if abs(speed) >= SPEED_LEAST else 0.0
        return replace(self.anchored(ns), speed=speed)._bearable()

    def play(self, ns: int) -> "Transport":
        """Let the beat run."""
        return replace(self.anchored(ns), playing=True)

    def pause(self, ns: int) -> "Transport":
        """Stop the beat where it is."""
        return replace(self.anchored(ns), playing=False)._bearable()

    def multiplied(self, factor: float, ns: int) -> "Transport":
        """The tempo times `factor` (2 double, 0.5 half); ValueError if that leaves 20 to 300.

        It is refused rather than clamped, so that half always undoes double.
        """
        bpm = self.bpm * factor
        if not BPM_LOW <= bpm <= BPM_HIGH:
            raise ValueError(f"{self.bpm:g} BPM times {factor:g} is not within 20 to 300 BPM")
        return self.with_bpm(bpm, ns)

    def nudged(self, beats: float, ns: int) -> "Transport":
        """Forwards (or back) by `beats`, spread over a quarter of a second, or a pull's time."""
        here = self.anchored(ns)
        return replace(here, shift=here.shift + beats, shift_ns=SHIFT_NS)._bearable()

    def pulled(self, beats: float, ns: int) -> "Transport":
        """The same, but never faster than the beat can bear: it slows down, and does not turn."""
        here = self.anchored(ns)
        shift, pull = here.shift + beats, here.pull + beats
        return replace(here, shift=shift, shift_ns=SHIFT_NS, pull=pull)._bearable()

    def tapped(self, ns: int, age: int = 0) -> "Transport":
        """One tap, `age` ns before `ns`: from the second on, their median interval is the tempo."""
        tap = ns - age
        if not self.taps or tap - self.taps[-1] > TAP_SILENCE_NS:
            return replace(self, taps=(tap,))
        if tap - self.taps[-1] < TAP_BOUNCE_NS:
            return self
        taps = (*self.taps, tap)[-TAP_COUNT:]
        intervals = sorted(b - a for a, b in pairwise(taps))
        middle = len(intervals) // 2
        median = (intervals[middle] + intervals[~middle]) / 2
        return replace(self.with_bpm(60e9 / median, ns), taps=taps)

    def anchored(self, ns: int) -> "Transport":
        """The same course, told from `ns`."""
        elapsed = ns - self.anchor_ns
        if elapsed >= self.shift_ns:
            return replace(self, anchor_ns=ns, anchor_beat=self.beat_at(ns), shift=0.0, pull=0.0)
        rest = self.shift_ns - elapsed
        here = replace(self, anchor_ns=ns, anchor_beat=self.beat_at(ns), shift_ns=rest)
        share = rest / self.shift_ns
        return replace(here, shift=self.shift * share, pull=self.pull * share)

    def _bearable(self) -> "Transport":
        """With a pull spread so that the beat, as fast as it now is, does not turn."""
        if not self.pull:
            return self
        rate = PULL * abs(self._rate)
        if rate == 0.0:
            return replace(self, shift=self.shift - self.pull, pull=0.0)
        spread = max(self.shift_ns, math.ceil(abs(self.shift) / rate))
        return replace(self, shift_ns=spread)

    @property
    def _rate(self) -> float:
        """Beats a nanosecond, without a shift."""
        return self.bpm * self.speed * _BEATS_PER_NS if self.playing else 0.0

    def _crossing(self, beat: float, start: int, distance: float) -> int:
        """The nanosecond at which a later beat is reached, as `beat_at` rounds it.

        It lies about `distance` after `start`; a shift displaces it. Even a shift back leaves one
        crossing only: the beat falls at most once, first, before it rises for good.
        """
        low = high = start + math.ceil(distance)
        reach = 1
        while self.beat_at(high) < beat:
            low, high, reach = high, high + reach, 2 * reach
        while low > start and self.beat_at(low) >= beat:
            low, high, reach = max(low - reach, start), low, 2 * reach
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.beat_at(middle) >= beat else (middle, high)
        return high
