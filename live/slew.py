"""Levels that take their time: closed forms of the show time since they were last told.

Pure. Nothing is stepped: a ramp is its two ends and its two times, so that what a level is at a
moment depends neither on the frame rate nor on how often anybody looked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """A level that moves evenly to its target, and stays."""

    target: float
    start: float = 0.0
    start_ns: int = 0
    duration_ns: int = 0

    def at(self, ns: int) -> float:
        """The level at a show time."""
        elapsed = max(ns - self.start_ns, 0)
        if elapsed >= self.duration_ns:
            return self.target
        return self.start + (self.target - self.start) * (elapsed / self.duration_ns)

    def to(self, target: float, at: int, seconds: float) -> Ramp:
        """From where the level is at `at` (ns) to another, within `seconds`; 0 is at once."""
        if seconds <= 0.0:
            return Ramp(target)
        return Ramp(target, self.at(at), at, round(seconds * 1e9))

    def remaining(self, at: int) -> float:
        """Seconds from `at` (ns) until the target is reached."""
        return max(self.start_ns + self.duration_ns - at, 0) / 1e9


@dataclass(frozen=True, slots=True)
class Slew:
    """How long a level takes to what it was told: a time, or beats of the tempo at that moment."""

    amount: float
    unit: str = "s"  # or "beats"

    def seconds(self, bpm: float) -> float:
        """The time it takes at a tempo, an hour at most."""
        seconds = self.amount * 60.0 / bpm if self.unit == "beats" else self.amount
        return min(seconds, LONGEST_S)


def parse_slew(text: object) -> Slew:
    """A slew from "0.5 s", "200 ms" or "2 beats". Raises ValueError."""
    if isinstance(text, Slew):
        return text
    said = re.fullmatch(r"(\d{1,5}(?:\.\d{1,6})?) ?(ms|s|beats?)", str(text), re.ASCII)
    if said is None or not isinstance(text, str):
        raise ValueError(f'{text!r:.40} is no time: write "0.5 s", "200 ms" or "2 beats"')
    amount = float(said[1])
    if said[2] == "ms":
        return Slew(amount / 1000)
    return Slew(amount, "s" if said[2] == "s" else "beats")


FULL = Ramp(1.0)
"""Where levels begin."""
