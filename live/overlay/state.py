"""Which overlay is on, where its panes are, and what moves: a part of the show's state.

Pure and immutable, as `live.show` is: the functions below answer messages at a show time in ns, and
`arranged` tells what is to be drawn at a moment. What moves by itself is a closed form of the time
since its last event.

An overlay gives way in two steps: its windows close, then those of the next one open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias, get_args

Name: TypeAlias = Literal["off", "terminal", "split", "desktop"]
PaneName: TypeAlias = Literal["terminal", "monitor", "picture"]
NAMES: tuple[Name, ...] = get_args(Name)
PANES: tuple[PaneName, ...] = get_args(PaneName)

OPENS_NS = CLOSES_NS = 150_000_000  # GNOME Shell's, for windows
LONG_AGO = -3_600_000_000_000  # before any show: nothing moves at its beginning


class Place(NamedTuple):
    """Where a pane is, in parts of the output's width and height."""

    left: float
    top: float
    width: float
    height: float


LAYOUTS: Mapping[Name, Mapping[PaneName, Place]] = MappingProxyType(
    {
        "off": {},
        "terminal": {"terminal": Place(0.03, 0.08, 0.5, 0.84)},
        "split": {
            "terminal": Place(0.012, 0.06, 0.385, 0.88),
            "monitor": Place(0.603, 0.06, 0.385, 0.88),
        },
        "desktop": {
            "terminal": Place(0.049, 0.042, 0.457, 0.946),
            "monitor": Place(0.512, 0.042, 0.482, 0.45),
            "picture": Place(0.512, 0.502, 0.482, 0.486),
        },
    }
)
"""The panes of every overlay, the hindmost first, where nobody has moved them."""


@dataclass(frozen=True, slots=True)
class Pane:
    """What was set of a pane. `places` are those it was moved to, by overlay."""

    shown: bool = True
    since_ns: int = LONG_AGO  # when it was shown or hidden
    opacity: float = 1.0
    places: Mapping[Name, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OverlayState:
    """The overlay of a show. Hidden, it keeps its name and its panes."""

    name: Name = "off"
    visible: bool = True
    opacity: float = 1.0
    panes: Mapping[PaneName, Pane] = field(default_factory=lambda: dict.fromkeys(PANES, Pane()))
    left: Name = "off"  # what was seen before...
    since_ns: int = LONG_AGO  # ...until then
    left_opened_ns: int = LONG_AGO  # when that began to open

    @property
    def seen(self) -> Name:
        """The overlay that is seen, or comes to be."""
        return self.name if self.visible else "off"

    @property
    def opens_ns(self) -> int:
        """When it begins to open: after what was there has closed."""
        return self.since_ns + (CLOSES_NS if self.left != "off" else 0)


class Window(NamedTuple):
    """A pane as it is to be drawn. `zoom` is about the middle of its lower edge while it opens."""

    pane: PaneName
    place: Place
    opacity: float  # 0 to 1
    zoom: tuple[float, float] = (1.0, 1.0)
    pivot: tuple[float, float] = (0.5, 0.5)  # in parts of the window


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is to be drawn at a moment: the windows from back to front.

    backdrop: how far wallpaper, bar and dock cover the picture, 0 to 1.
    """

    backdrop: float = 0.0
    windows: tuple[Window, ...] = ()


NOTHING = Arrangement()


def switched(state: OverlayState, name: Name, at: int) -> OverlayState:
    """Another overlay, from `at` on."""
    return _leaving(state, replace(state, name=name), at)


def shown(state: OverlayState, visible: bool, at: int) -> OverlayState:
    """All of it shown, or hidden."""
    return _leaving(state, replace(state, visible=visible), at)


def pane_shown(state: OverlayState, pane: PaneName, visible: bool, at: int) -> OverlayState:
    """One pane shown or hidden, in every overlay that has it."""
    if state.panes[pane].shown == visible:
        return state
    return _with(state, pane, replace(state.panes[pane], shown=visible, since_ns=at))


def pane_faded(state: OverlayState, pane: PaneName, opacity: float) -> OverlayState:
    """One pane's opacity, in every overlay that has it."""
    return _with(state, pane, replace(state.panes[pane], opacity=opacity))


def pane_moved(state: OverlayState, pane: PaneName, place: Place) -> OverlayState:
    """One pane elsewhere: in the overlay that is on, or if that has no such pane, in all others."""
    before = state.panes[pane]
    moved = dict.fromkeys(_overlays(state, pane), place)
    return _with(state, pane, replace(before, places={**before.places, **moved}))


def place_of(state: OverlayState, pane: PaneName) -> Place:
    """Where a pane is in the overlay that is on, or in the first that has it."""
    return _place(state, _overlays(state, pane)[0], pane)


def following(state: OverlayState) -> Name:
    """The overlay after this one, the first after the last: what the key O goes through."""
    return NAMES[(NAMES.index(state.name) + 1) % len(NAMES)]


def arranged(state: OverlayState, at: int) -> Arrangement:
    """What is to be drawn at show time `at`."""
    closing = max((at - state.since_ns) / CLOSES_NS, 0.0)
    if state.left != "off" and closing < 1.0:
        before = _open(state, state.left, state.left_opened_ns, state.since_ns)
        return Arrangement(
            before.backdrop * (1.0 - closing),
            tuple(_closing(window, closing) for window in before.windows),
        )
    return _open(state, state.seen, state.opens_ns, at)


def _leaving(before: OverlayState, after: OverlayState, at: int) -> OverlayState:
    if after.seen == before.seen:
        return after
    if before.left != "off" and at - before.since_ns < CLOSES_NS:
        return after  # nobody has seen yet what was to come: what closes goes on closing
    return replace(after, left=before.seen, left_opened_ns=before.opens_ns, since_ns=at)


def _with(state: OverlayState, name: PaneName, pane: Pane) -> OverlayState:
    return replace(state, panes={**state.panes, name: pane})


def _overlays(state: OverlayState, pane: PaneName) -> list[Name]:
    """The overlay that is on, if it has the pane, or else those that do."""
    having = [overlay for overlay in NAMES if pane in LAYOUTS[overlay]]
    return [state.name] if state.name in having else having


def _place(state: OverlayState, overlay: Name, pane: PaneName) -> Place:
    return state.panes[pane].places.get(overlay, LAYOUTS[overlay][pane])


def _open(state: OverlayState, overlay: Name, began: int, at: int) -> Arrangement:
    """An overlay that opens at `began`, each pane as far as it has opened or closed."""
    windows = []
    for name in LAYOUTS[overlay]:
        pane, place = state.panes[name], _place(state, overlay, name)
        window = Window(name, place, pane.opacity * state.opacity)
        if pane.shown:
            window = _opening(window, (at - max(began, pane.since_ns)) / OPENS_NS)
        else:
            window = _closing(window, (at - pane.since_ns) / CLOSES_NS)
        if window.opacity > 0.0:
            windows.append(window)
    covered = float(overlay == "desktop") * min(max((at - began) / OPENS_NS, 0.0), 1.0)
    return Arrangement(covered * state.opacity, tuple(windows))


def _opening(window: Window, progress: float) -> Window:
    """GNOME Shell's way: it grows out of its lower edge, fast at first."""
    if progress >= 1.0:
        return window
    eased = 1.0 - 2.0 ** (-10.0 * max(progress, 0.0))
    zoom = (0.01 + 0.99 * eased, 0.05 + 0.95 * eased)
    return window._replace(opacity=window.opacity * eased, zoom=zoom, pivot=(0.5, 1.0))


def _closing(window: Window, progress: float) -> Window:
    """GNOME Shell's way: it shrinks a little about its middle, and fades."""
    x = min(max(progress, 0.0), 1.0)
    eased = x * (2.0 - x)
    zoom = 1.0 - 0.2 * eased
    return window._replace(
        opacity=window.opacity * (1.0 - eased),
        zoom=(window.zoom[0] * zoom, window.zoom[1] * zoom),  # it may not have opened altogether
    )
