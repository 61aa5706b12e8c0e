"""Which monitor the show is on: choosing one, losing it, finding it again.

Pure: lists of monitors and times are handed in, so that a fake list rehearses every accident.
`live.window` reads the real list and obeys the moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import UserError

SETTLE_NS = 1_000_000_000
"""A list must have stood still this long before it is believed: a projector that is switched on,
or an HDMI link that is renegotiated, comes and goes several times within a second."""


@dataclass(frozen=True, slots=True)
class MonitorFacts:
    """A monitor as the desktop sees it; position and size in screen coordinates."""

    name: str
    x: int
    y: int
    width: int
    height: int
    refresh_hz: float
    """Of the current video mode; 0 where the system does not say."""
    primary: bool = False

    def __str__(self) -> str:
        rate = f" {self.refresh_hz:g} Hz" if self.refresh_hz else ""
        return f"{self.name}@{self.x},{self.y} {self.width}x{self.height}{rate}"


@dataclass(frozen=True, slots=True)
class Fill:
    """Go full screen on this monitor."""

    monitor: MonitorFacts


@dataclass(frozen=True, slots=True)
class FallBack:
    """The wanted monitor is gone: go on in a window, on `monitor` where there still is one."""

    monitor: MonitorFacts | None


Move = Fill | FallBack


def describe(monitors: Sequence[MonitorFacts]) -> str:
    """The list in one line, numbered as `choose` numbers them."""
    if not monitors:
        return "none"
    return "; ".join(f"{number} {monitor}" for number, monitor in enumerate(monitors, start=1))


def choose(monitors: Sequence[MonitorFacts], wanted: str) -> MonitorFacts:
    """The monitor meant by `wanted`.

    A number counts from 1 in the list's order. Otherwise it is a name or a part of one, whatever
    the case, with `@X,Y` behind it where names repeat; a whole name beats a part. Raises
    `UserError`, which lists the monitors, when none or several match.
    """
    if wanted.isdecimal() and 1 <= int(wanted) <= len(monitors):
        return monitors[int(wanted) - 1]
    name, _, position = wanted.rpartition("@")
    matches = _called(monitors, wanted)
    if not matches and name:
        matches = [m for m in _called(monitors, name) if f"{m.x},{m.y}" == position.strip()]
    if len(matches) == 1:
        return matches[0]
    problem = f"{len(matches)} monitors match" if matches else "no monitor matches"
    raise UserError(
        f"--monitor {wanted!r}: {problem}; there are: {describe(monitors)} "
        "(give the number, or the name as NAME@X,Y)"
    )


def _called(monitors: Sequence[MonitorFacts], name: str) -> list[MonitorFacts]:
    folded = name.strip().casefold()
    if not folded:
        return []
    whole = [m for m in monitors if m.name.casefold() == folded]
    return whole or [m for m in monitors if folded in m.name.casefold()]


def find_again(monitors: Sequence[MonitorFacts], lost: MonitorFacts) -> MonitorFacts | None:
    """The monitor in the list that is `lost`, or None.

    It has the same name. Of several, the one at the same place wins, then the one of the same
    size: a projector often returns with another mode, and then sits elsewhere.
    """
    named = [m for m in monitors if m.name == lost.name]
    if not named:
        return None

    def likeness(monitor: MonitorFacts) -> tuple[bool, bool]:
        return (
            (monitor.x, monitor.y) == (lost.x, lost.y),
            (monitor.width, monitor.height) == (lost.width, lost.height),
        )

    return max(named, key=likeness)


def under(monitors: Sequence[MonitorFacts], x: float, y: float) -> MonitorFacts | None:
    """The monitor that holds this point, else the primary one, else None where there is none."""
    for monitor in monitors:
        inside_x = monitor.x <= x < monitor.x + monitor.width
        if inside_x and monitor.y <= y < monitor.y + monitor.height:
            return monitor
    primary = [m for m in monitors if m.primary]
    return primary[0] if primary else next(iter(monitors), None)


class MonitorWatch:
    """Keeps a full-screen window on its monitor through unplugging and mode changes."""

    def __init__(self) -> None:
        self._wanted: MonitorFacts | None = None
        self._fallen_back = False
        self._others: frozenset[MonitorFacts] = frozenset()
        self._list: tuple[MonitorFacts, ...] | None = None
        self._since_ns = 0

    @property
    def wanted(self) -> MonitorFacts | None:
        """The monitor the show belongs on, there or not; None: it is windowed by choice."""
        return self._wanted

    def want(self, monitor: MonitorFacts | None) -> None:
        """The show belongs on this monitor from now on; None: in a window."""
        self._wanted = monitor
        self._fallen_back = False
        self._others = frozenset()

    def see(
        self, monitors: Sequence[MonitorFacts], filled: MonitorFacts | None, now_ns: int
    ) -> Move | None:
        """What to do, given the list now and the monitor that the window fills now (None: none).

        Call it about once a second and whenever the system reports a change. `filled` is what the
        window system says and not what was asked: the window system itself takes a window off a
        monitor that blinks, and the list can be the old one again before anyone looked.
        """
        seen = tuple(monitors)
        if seen != self._list:
            self._since_ns = now_ns if self._list is not None else now_ns - SETTLE_NS
            self._list = seen
        if self._wanted is None or now_ns - self._since_ns < SETTLE_NS:
            return None
        # One that was there beside ours is not ours, though it may carry the same name.
        found = find_again([m for m in seen if m not in self._others], self._wanted)
        if found is None:
            if self._fallen_back:
                return None
            self._fallen_back = True
            return FallBack(under(seen, self._wanted.x, self._wanted.y))
        self._fallen_back = False
        if found == filled:
            self._others = frozenset(seen) - {found}
            return None
        self._wanted = found
        return Fill(found)
