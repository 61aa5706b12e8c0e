"""The overlay as the stage sees it: told what is to be seen, it draws that over the picture.

What takes long, the glyphs of another size, is made on a thread; until the first are there, the
picture is shown without an overlay, and later those there were are used. All else belongs to the
render thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import moderngl

from live.compositor import Compositor, Layer, Rectangle, placed
from live.gpus import Sample
from live.overlay import desktop, drawing, monitor
from live.overlay.background import Backdrop, Furniture
from live.overlay.drawing import Kit
from live.overlay.foundry import Foundry
from live.overlay.panes import Pane, Style, TextPane
from live.overlay.quads import Box, Colour, Easel, Setting
from live.overlay.settings import OverlayTable
from live.overlay.state import NAMES, Arrangement, OverlayState, PaneName, Window, arranged
from live.overlay.stream import Caption, Identity, Stream

TRANSLUCENT = 0.78  # the ground of panes that lie over the full picture
MOST_PIXELS = 30_000  # of a window's side; quads count in 16 bits

_PREMULTIPLIED = (moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA)


class Gauges(Protocol):
    """What the GPU monitor reads: `live.gpus.Sampler`."""

    @property
    def latest(self) -> Sample | None:
        """The newest sample, at once; None before the first."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What there is to be seen over a program picture.

    at: show time in ns; now: the clock in ns, as the gauges have it. level: the master. reveal: how
    far the show has come in from what was there before its first picture. pictures: what the
    picture's own window shows; their weights add up to 1.
    """

    at: int
    now: int
    arrangement: Arrangement
    level: float
    reveal: float
    pictures: Sequence[Layer]
    caption: Callable[[], Caption | None]


class Overlay:
    """Terminal, GPU monitor and desktop, over whatever picture."""

    def __init__(
        self,
        ctx: moderngl.Context,
        table: OverlayTable,
        identity: Identity,
        gauges: Gauges,
        opened: datetime,
    ) -> None:
        """`opened`: local time at show time 0, for the clock in the bar and in the monitor."""
        self._ctx = ctx
        self._table = table
        self._gauges = gauges
        self._opened = opened
        self._easel = Easel(ctx)
        self._backdrop = Backdrop(ctx, table)
        self._furniture = Furniture(self._easel)
        self._terminal, self._monitor, self._picture = (
            TextPane(self._easel),
            TextPane(self._easel),
            Pane(self._easel),
        )
        self._panes: dict[PaneName, Pane] = {
            "terminal": self._terminal,
            "monitor": self._monitor,
            "picture": self._picture,
        }
        self._program = table.find_program(identity.program)
        self._stream = Stream(self._program, identity, self._terminal.screen, 0)
        # What the monitor shows: the sample, its age in s, and the second it is.
        self._read: tuple[Sample | None, int, datetime] | None = None
        self._foundry = Foundry(table)
        self._kit: Kit | None = None
        self._rehearsed = False
        self._whole = False  # whether the last picture came to its end

    def hear(self, at: int, address: str, args: Sequence[object]) -> None:
        """A message came in at show time `at`, for programs that print them."""
        self._stream.hear(at, address, args)

    def play(self, identity: Identity, at: int) -> None:
        """Another cue is played from show time `at` on; its program may be another."""
        before, self._program = self._program, self._table.find_program(identity.program)
        if self._program != before:
            self._stream.begin(self._program, at, identity)

    def learn(self, table: OverlayTable) -> None:
        """Other programs, for the next cue; how the overlay looks is made when a show begins."""
        self._table = self._table.with_programs(table)

    def prepare(self, size: tuple[int, int]) -> bool:
        """Have what an output of `size` needs made; whether it is there."""
        kit = self._foundry.kit(drawing.scale_of(size, self._table.scale))
        if kit is not None and kit is not self._kit:
            self._easel.take(kit.pixels)
            self._kit = kit
        return self._kit is not None

    def wait(self, size: tuple[int, int]) -> None:
        """The same, and wait for it: where no audience waits."""
        self._foundry.wait(drawing.scale_of(size, self._table.scale))
        self.prepare(size)

    def covers(self, view: View) -> bool:
        """Whether nothing of the picture behind is seen, so that it need not be drawn.

        Never after a picture in which something went wrong: rather the show without its desktop.
        """
        return self._whole and view.arrangement.backdrop == 1.0

    def draw(self, compositor: Compositor, view: View) -> None:
        """Draw over the program picture in the compositor's target.

        Whatever is drawn takes `view.level` and `view.reveal` with it: a blackout blacks it out.
        """
        self._whole = False
        if not self.prepare(compositor.size):
            return
        if view.reveal == 0.0 and not self._rehearsed:
            self._rehearse(compositor.size, view)
        if view.reveal * view.level > 0.0:
            self._draw(compositor, view)
        self._whole = True

    def skim(self, size: tuple[int, int], view: View) -> None:
        """Let a view pass that nobody sees: the terminal goes on as if it had been drawn."""
        self._whole = self.prepare(size)
        if not self._whole or view.reveal * view.level == 0.0:
            return
        for window in view.arrangement.windows:
            if window.pane == "terminal":
                place = _pixels(window, size)
                self._terminal.lay_out(place, self._style("terminal", place, view))
                self._stream.advance(view.at, view.caption)

    def release(self) -> None:
        """Free what was made on the GPU, and let threads go."""
        self._foundry.close()
        for pane in self._panes.values():
            pane.release()
        self._furniture.release()
        self._backdrop.release()
        self._easel.release()

    def _rehearse(self, size: tuple[int, int], view: View) -> None:
        """Draw every overlay where nobody sees it, before the first picture is there.

        Drivers finish a shader when it is first used, and the wallpaper is painted once: the first
        desktop of 1280x720 takes 75 ms on software GL, each that follows 14.
        """
        self._rehearsed = True
        nowhere = Compositor(self._ctx, size)
        try:
            for name in NAMES:
                still = arranged(OverlayState(name), view.at)
                # Before show time 0 nothing happens in a terminal: its script is not for nobody.
                before = replace(view, at=-1, arrangement=still, level=1.0, reveal=1.0)
                self._draw(nowhere, before)
        finally:
            nowhere.release()

    def _draw(self, compositor: Compositor, view: View) -> None:
        self._begin(compositor)
        if view.arrangement.backdrop > 0.0:
            self._draw_desktop(compositor, view)
        for window in view.arrangement.windows:
            self._draw_window(compositor, window, view)
        self._ctx.enable_only(moderngl.NOTHING)

    def _begin(self, compositor: Compositor) -> None:
        compositor.target.use()
        self._ctx.enable_only(moderngl.BLEND)
        self._ctx.blend_func = _PREMULTIPLIED

    def _wall(self, at: int) -> datetime:
        return self._opened + timedelta(microseconds=at // 1000)

    def _draw_desktop(self, compositor: Compositor, view: View) -> None:
        assert self._kit is not None
        opacity = view.arrangement.backdrop * view.reveal
        self._backdrop.draw(compositor, opacity, view.level)
        self._begin(compositor)
        running = tuple(window.pane for window in view.arrangement.windows)
        clock = f"{self._wall(view.at):%b} {self._wall(view.at).day}  {self._wall(view.at):%H:%M}"
        self._furniture.lay_out(compositor.size, clock, running, self._kit)
        setting = Setting(compositor.size, (0, 0), opacity=opacity, level=view.level)
        self._easel.draw(self._furniture.sheet, setting)

    def _draw_window(self, compositor: Compositor, window: Window, view: View) -> None:
        assert self._kit is not None
        place = _pixels(window, compositor.size)
        pane = self._panes[window.pane]
        pane.lay_out(place, self._style(window.pane, place, view))
        if pane is self._terminal:
            self._run_terminal(view)
        elif pane is self._monitor:
            self._read_gauges(view)
        assert pane.sheet is not None
        opacity = window.opacity * view.reveal
        pivot = (window.pivot[0] * place.width, window.pivot[1] * place.height)
        setting = Setting(
            compositor.size,
            (place.left, place.top),
            pivot,
            window.zoom,
            pane.scroll(),
            opacity,
            view.level,
        )
        self._easel.draw(pane.sheet, setting)
        if window.pane == "picture":
            self._draw_pictures(compositor, window, place, view)

    def _draw_pictures(
        self, compositor: Compositor, window: Window, place: Box, view: View
    ) -> None:
        """The picture in its window, zoomed with it."""
        assert self._kit is not None
        inner = desktop.content(place.width, place.height, self._kit)
        pivot = (window.pivot[0] * place.width, window.pivot[1] * place.height)
        edges = [
            round(start + around + (edge - around) * zoom)
            for start, around, zoom, edge in (
                (place.left, pivot[0], window.zoom[0], inner.left),
                (place.top, pivot[1], window.zoom[1], inner.top),
                (place.left, pivot[0], window.zoom[0], inner.left + inner.width),
                (place.top, pivot[1], window.zoom[1], inner.top + inner.height),
            )
        ]
        within = Rectangle(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1])
        if within.width > 0 and within.height > 0:
            compositor.inset(view.pictures, within, window.opacity * view.reveal, view.level)
            self._begin(compositor)

    def _run_terminal(self, view: View) -> None:
        self._stream.advance(view.at, view.caption)
        self._terminal.update()
        self._terminal.show_cursor(self._stream.cursor_on(view.at))

    def _read_gauges(self, view: View) -> None:
        sample = self._gauges.latest
        age = 0.0 if sample is None else (view.now - sample.taken_ns) / 1e9
        screen = self._monitor.screen
        wall = self._wall(view.at)
        shown = (sample, int(age), wall.replace(microsecond=0))
        if self._read != shown or screen.changed:
            screen.show(monitor.screen(sample, screen.columns, screen.rows, wall, age))
            self._read = shown
        self._monitor.update()
        self._monitor.show_cursor(False)

    def _style(self, name: PaneName, place: Box, view: View) -> Style:
        assert self._kit is not None
        theme = self._kit.theme
        body: Colour = theme.desktop.viewer if name == "picture" else theme.terminal.background
        if name != "picture" and view.arrangement.backdrop == 0.0:
            body = (*body[:3], round(255 * TRANSLUCENT))
        header = theme.desktop.header if name == "terminal" else theme.desktop.unfocused
        hole = self._hole(place, view) if name == "picture" else None
        return Style(self._kit, self._title(name), header, body, hole)

    def _hole(self, place: Box, view: View) -> Box | None:
        """Where in its window the picture will be."""
        assert self._kit is not None
        there = (layer.picture for layer in view.pictures if layer.picture.texture is not None)
        picture = next(there, None)
        if picture is None:
            return None
        inner = desktop.content(place.width, place.height, self._kit)
        left, top, width, height = placed(picture.size, (inner.width, inner.height), "contain")
        return Box(inner.left + left, inner.top + top, width, height)

    def _title(self, name: PaneName) -> str:
        terminal = self._table.terminal
        titles: dict[PaneName, str] = {
            "terminal": f"{terminal.user}@{terminal.host}: ~",
            "monitor": "GPU monitor",
            "picture": "Image viewer",
        }
        return self._table.pane(name).title or titles[name]


def _pixels(window: Window, size: tuple[int, int]) -> Box:
    """Where a window is in an output of `size`."""
    left, right = (
        round(part * size[0])
        for part in (window.place.left, window.place.left + window.place.width)
    )
    top, bottom = (
        round(part * size[1]) for part in (window.place.top, window.place.top + window.place.height)
    )
    width, height = right - left, bottom - top
    return Box(left, top, min(max(width, 1), MOST_PIXELS), min(max(height, 1), MOST_PIXELS))
