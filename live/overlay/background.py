"""What lies behind the windows of the desktop: the wallpaper, the bar, the dock."""

from __future__ import annotations

import moderngl

import shaders
from live.compositor import Compositor, new_canvas, release
from live.overlay import desktop
from live.overlay.drawing import Drawing, Kit
from live.overlay.quads import Easel, Sheet
from live.overlay.settings import OverlayTable
from live.overlay.state import PaneName


class Backdrop:
    """The wallpaper: drawn once for a size of the output, then laid over the picture."""

    def __init__(self, ctx: moderngl.Context, table: OverlayTable) -> None:
        self._ctx = ctx
        self._colours = table.theme.desktop.wallpaper
        self._paint = ctx.vertex_array(shaders.build(ctx, "quad.vert", "wallpaper.frag"), [])
        self._lay = ctx.vertex_array(shaders.build(ctx, "quad.vert", "backdrop.frag"), [])
        self._canvas: moderngl.Framebuffer | None = None

    def draw(self, compositor: Compositor, opacity: float, level: float) -> None:
        """Lay it over the compositor's target, which is in use, with blending on."""
        if self._canvas is None or self._canvas.size != compositor.size:
            self._repaint(compositor)
        assert self._canvas is not None
        if opacity == level == 1.0:
            self._ctx.copy_framebuffer(compositor.target, self._canvas)
            return
        self._canvas.color_attachments[0].use(0)  # type: ignore[union-attr]
        self._lay.program["opacity"] = opacity
        self._lay.program["level"] = level
        self._lay.render(moderngl.TRIANGLE_STRIP, vertices=4)

    def release(self) -> None:
        """Free what was made on the GPU."""
        if self._canvas is not None:
            release(self._canvas)
            self._canvas = None

    def _repaint(self, compositor: Compositor) -> None:
        canvas = new_canvas(self._ctx, compositor.size)
        self.release()
        self._canvas = canvas
        canvas.use()
        self._ctx.enable_only(moderngl.NOTHING)
        stops = [tuple(channel / 255 for channel in colour[:3]) for colour in self._colours]
        self._paint.program["screen"] = canvas.size
        self._paint.program["colours"] = [*stops[:1] * (4 - len(stops)), *stops]
        self._paint.render(moderngl.TRIANGLE_STRIP, vertices=4)
        compositor.target.use()
        self._ctx.enable_only(moderngl.BLEND)


class Furniture:
    """Bar and dock, made anew when the minute or what is open changes."""

    MOST = 2048  # quads: every line of a cross is one

    def __init__(self, easel: Easel) -> None:
        self.sheet = Sheet(easel, self.MOST)
        self._drawn: tuple[object, ...] | None = None

    def lay_out(
        self, size: tuple[int, int], clock: str, running: tuple[PaneName, ...], kit: Kit
    ) -> None:
        """Follow what is to be seen."""
        key = (size, clock, running, kit)
        if key == self._drawn:
            return
        drawn = Drawing(kit)
        desktop.bar(size[0], clock, drawn)
        desktop.dock(size[1], running, drawn)
        quads = drawn.quads()[: self.MOST]
        self.sheet.write(quads, 0)
        self.sheet.count = len(quads)
        self._drawn = key

    def release(self) -> None:
        """Free the buffer."""
        self.sheet.release()
