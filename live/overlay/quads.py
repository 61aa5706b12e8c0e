"""What the overlay is made of on the GPU: instances of one quad, in one draw call a pane.

A quad is a piece of the atlas in two colours; see overlay.vert. They are drawn in their order, so
that what comes later covers what came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import moderngl
import numpy as np
from numpy.typing import NDArray

import shaders

QUAD = np.dtype(
    [
        ("place", "i2", 4),  # left, top, width, height: pixels from the pane's top left
        ("texel", "u2", 2),  # in the atlas
        ("kind", "i1", 4),  # whether it scrolls; how the atlas runs along x and y: 1, -1 or 0
        ("ink", "u1", 4),  # RGBA
        ("ground", "u1", 4),
    ]
)
"""One instance, as the shader reads it: 24 bytes."""

CELL, GLYPH, FILL = (1, 1, 1, 0), (0, 1, 1, 0), (0, 0, 0, 0)  # kinds

Quads: TypeAlias = NDArray[np.void]
Colour: TypeAlias = Sequence[int] | NDArray[np.uint8]
"""RGBA, 0 to 255."""


class Box(NamedTuple):
    """A rectangle in pixels, from the pane's top left."""

    left: int
    top: int
    width: int
    height: int

    def inset(self, by: int) -> Box:
        """The rectangle inside it, `by` pixels from every side."""
        return Box(self.left + by, self.top + by, self.width - 2 * by, self.height - 2 * by)


@dataclass(frozen=True, slots=True)
class Setting:
    """How a pane's quads are drawn: pixels of the output, from its top left."""

    screen: tuple[int, int]
    origin: tuple[float, float]
    pivot: tuple[float, float] = (0.0, 0.0)
    zoom: tuple[float, float] = (1.0, 1.0)
    scroll: tuple[float, float, float] = (0.0, 0.0, 0.0)  # see overlay.vert
    opacity: float = 1.0
    level: float = 1.0


class Easel:
    """The program that draws quads, and the atlas that they are cut from; on the render thread."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self.ctx = ctx
        self.program = shaders.build(ctx, "overlay.vert", "overlay.frag")
        self._atlas: moderngl.Texture | None = None

    def take(self, pixels: NDArray[np.uint8]) -> None:
        """Cut from this atlas from now on: coverage, uint8 [height, width], the top row first."""
        height, width = pixels.shape
        texture = self.ctx.texture((width, height), 1, np.ascontiguousarray(pixels), alignment=1)
        texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
        if self._atlas is not None:
            self._atlas.release()
        self._atlas = texture

    def draw(self, sheet: Sheet, setting: Setting) -> None:
        """Draw a sheet over what the framebuffer in use holds; blending is set by who calls."""
        assert self._atlas is not None
        self._atlas.use(0)
        program = self.program
        program["screen"] = setting.screen
        program["origin"] = setting.origin
        program["pivot"] = setting.pivot
        program["zoom"] = setting.zoom
        program["scroll"] = setting.scroll
        program["opacity"] = setting.opacity
        program["level"] = setting.level
        sheet.vertices.render(moderngl.TRIANGLE_STRIP, vertices=4, instances=sheet.count)

    def release(self) -> None:
        """Free what was made on the GPU."""
        if self._atlas is not None:
            self._atlas.release()
            self._atlas = None


class Sheet:
    """The quads of one pane, in a buffer of a fixed size of which parts are written anew."""

    def __init__(self, easel: Easel, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0  # so many are drawn
        self._buffer = easel.ctx.buffer(reserve=capacity * QUAD.itemsize, dynamic=True)
        self.vertices = easel.ctx.vertex_array(
            easel.program,
            [(self._buffer, "4i2 2u2 4i1 4f1 4f1 /i", "place", "texel", "kind", "ink", "ground")],
        )

    def write(self, quads: Quads, at: int) -> None:
        """Put quads at a place; those between it and others never written are nothing."""
        self._buffer.write(quads, offset=at * QUAD.itemsize)

    def release(self) -> None:
        """Free the buffer."""
        self.vertices.release()
        self._buffer.release()
