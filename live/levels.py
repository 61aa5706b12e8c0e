"""Levels that move by themselves: eased, evenly, in a panic. Pure; times are show times in ns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from live.slew import FULL, Ramp

PANIC_NS = 500_000_000  # to black, and back
SAME_PRESS_NS = 1_000_000_000  # after the last press of panic: it is the same one


def eased(fraction: float) -> float:
    """0 to 1 without a kink at either end: 3x^2 - 2x^3, clamped."""
    x = min(max(fraction, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@dataclass(frozen=True, slots=True)
class Panic:
    """Black within half a second and the picture held, until somebody says it is over.

    Presses that come less than a second after one another are one press, even where it was undone
    meanwhile: whoever hammers on the button stays in the dark, and a desk that repeats it for ever
    cannot have it again after the operator has undone it.
    """

    on: bool = False
    light: Ramp = FULL
    pressed_ns: int | None = None

    def pressed(self, at: int) -> Panic:
        """To black, or back if it is black."""
        same = self.pressed_ns is not None and at - self.pressed_ns < SAME_PRESS_NS
        heard = replace(self, pressed_ns=at)
        return heard if same else heard._turned(not self.on, at)

    def undone(self, at: int) -> Panic:
        """Back, whatever was pressed."""
        return self._turned(False, at) if self.on else self

    def _turned(self, on: bool, at: int) -> Panic:
        ramp = Ramp(0.0 if on else 1.0, self.light.at(at), at, PANIC_NS)
        return replace(self, on=on, light=ramp)
