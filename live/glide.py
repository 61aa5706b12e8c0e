"""A spring between a fader and the playhead, so that a coarse or late fader becomes motion.

The fader sets where the playhead belongs; where it is instead is an offset that dies away. Pure,
and a closed form since the fader's last move, which hands over place and velocity. "spring" is
critically damped: it arrives soonest without swinging past. "video" has the constants of the music
video's spring, see `engine.path`, which swings. Both are equally stiff.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.path import SPRING_DECAY, SPRING_SWING

Drive: TypeAlias = Literal["spring", "video", "direct"]
"""How the position fader moves the playhead; "direct" sets it there at once."""
Spring: TypeAlias = Literal["spring", "video"]

STIFFNESS = math.hypot(SPRING_DECAY, SPRING_SWING)  # natural frequency, rad/s: 10.5
NEAR = 1 / 16  # beats: the playhead has arrived


@dataclass(frozen=True, slots=True)
class Glide:
    """The way of the playhead to where it belongs; made by `pulled`."""

    spring: Spring
    start_ns: int
    offset: float  # beats from where it belongs, at the start
    velocity: float  # beats a second, likewise relative to that
    near_ns: int  # from then on it is within NEAR

    def at(self, ns: int) -> float:
        """The offset in beats at a show time, which is not before the start."""
        return self._swing(ns)[0]

    def velocity_at(self, ns: int) -> float:
        """The same for the velocity."""
        return self._swing(ns)[1]

    def _swing(self, ns: int) -> tuple[float, float]:
        """Offset and velocity: the solution of a damped oscillator from its state at the start."""
        seconds = (ns - self.start_ns) / 1e9
        x, v = self.offset, self.velocity
        if self.spring == "spring":
            drift = v + STIFFNESS * x
            fading = math.exp(-STIFFNESS * seconds)
            offset = (x + drift * seconds) * fading
            return offset, drift * fading - STIFFNESS * offset
        fading = math.exp(-SPRING_DECAY * seconds)
        sine = math.sin(SPRING_SWING * seconds) * fading
        cosine = math.cos(SPRING_SWING * seconds) * fading
        side = (v + SPRING_DECAY * x) / SPRING_SWING
        offset = x * cosine + side * sine
        turning = SPRING_SWING * (side * cosine - x * sine)
        return offset, turning - SPRING_DECAY * offset


def pulled(before: Glide | None, offset: float, ns: int, spring: Spring) -> Glide:
    """The playhead is `offset` beats from where the fader, moved at `ns`, wants it.

    It keeps the velocity with which it was under way.
    """
    velocity = 0.0 if before is None else before.velocity_at(ns)
    near = ns + math.ceil(_seconds_until_near(offset, velocity, spring) * 1e9)
    return Glide(spring, ns, offset, velocity, near)


def _seconds_until_near(offset: float, velocity: float, spring: Spring) -> float:
    """When the bound of the swing has fallen to NEAR."""
    if spring == "video":
        side = (velocity + SPRING_DECAY * offset) / SPRING_SWING
        return math.log(max(math.hypot(offset, side) / NEAR, 1.0)) / SPRING_DECAY
    drift = abs(velocity + STIFFNESS * offset)
    if abs(offset) + drift / (math.e * STIFFNESS) <= NEAR:
        return 0.0

    def bound(seconds: float) -> float:  # falls from 1 / STIFFNESS on
        return (abs(offset) + drift * seconds) * math.exp(-STIFFNESS * seconds)

    low, high = 1.0 / STIFFNESS, 2.0 / STIFFNESS
    while bound(high) > NEAR:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if bound(middle) > NEAR else (low, middle)
    return high
