"""Boxes, shadows and interface text become quads: what the desktop is drawn with.

All sizes are those of a screen 1080 pixels high, times one number: the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from live.overlay.atlas import Atlas
from live.overlay.quads import FILL, GLYPH, QUAD, Box, Colour, Quads
from live.overlay.shapes import Shapes
from live.overlay.theme import Theme

FULL_WIDTH, FULL_HEIGHT = 1920, 1080
MONO, SANS = 18, 16  # pixels of the fonts: 100 columns in a pane of the desktop
SMALLEST_MONO, SMALLEST_SANS = 6, 7
LARGEST_SCALE = 5.0  # beyond it the glyphs do not fit into one texture
LARGEST_RADIUS, SHADOW = 18, 26

TOP, ALL = (True, True, False, False), (True, True, True, True)  # corners
_CLEAR = (0, 0, 0, 0)


def scale_of(size: tuple[int, int], factor: float) -> float:
    """The scale for an output of `size`: its smaller side decides, so that 100 columns fit."""
    return min(factor * min(size[0] / FULL_WIDTH, size[1] / FULL_HEIGHT), LARGEST_SCALE)


def mono_px(scale: float) -> int:
    """Pixels of the terminal's font; even, for half of it is the width of a cell."""
    return max(SMALLEST_MONO, 2 * round(MONO * scale / 2))


def sans_px(scale: float) -> int:
    """Pixels of the interface's font."""
    return max(SMALLEST_SANS, round(SANS * scale))


class Kit:
    """What everything is drawn with: the scale, the colours, and one texture to cut from.

    pixels: uint8 [height, width], the atlas of glyphs, and below it the shapes.
    """

    def __init__(self, scale: float, theme: Theme, atlas: Atlas) -> None:
        self.scale = scale
        self.theme = theme
        self.palette = theme.palette
        self.atlas = atlas
        height, width = atlas.pixels.shape
        self.shapes = Shapes(self.px(LARGEST_RADIUS), self.px(SHADOW), width, height)
        self.pixels: NDArray[np.uint8] = np.concatenate([atlas.pixels, self.shapes.pixels])

    def px(self, length: float) -> int:
        """A length in whole pixels of this scale, at least one."""
        return max(1, round(length * self.scale))


class Drawing:
    """A list of quads that grows as things are drawn, the hindmost first."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._rows: list[tuple[Any, ...]] = []

    def quads(self) -> Quads:
        """All of it."""
        return np.array(self._rows, QUAD)

    def fill(self, place: Box, ink: Colour) -> None:
        """A plain rectangle."""
        if place.width > 0 and place.height > 0:
            self._add(place, self.kit.atlas.solid, FILL, ink)

    def rounded(self, place: Box, ink: Colour, radius: int, corners: Sequence[bool] = ALL) -> None:
        """A rectangle with round corners: top left, top right, bottom left, bottom right."""
        r = min(radius, place.width // 2, place.height // 2, max(self.kit.shapes.corners))
        if r < 1:
            self.fill(place, ink)
            return
        left, top, width, height = place
        piece = self.kit.shapes.corners[r]
        for number, is_round in enumerate(corners):
            right, below = bool(number & 1), bool(number & 2)
            square = Box(left + (width - r) * right, top + (height - r) * below, r, r)
            run = (0, -1 if right else 1, -1 if below else 1, 0)
            if is_round:
                self._add(square, (piece.u, piece.v), run, ink)
            else:
                self.fill(square, ink)
        self.fill(Box(left + r, top, width - 2 * r, r), ink)
        self.fill(Box(left, top + r, width, height - 2 * r), ink)
        self.fill(Box(left + r, top + height - r, width - 2 * r, r), ink)

    def outlined(self, place: Box, ink: Colour, ground: Colour, radius: int) -> None:
        """The same with a line of one pixel around it; both colours opaque."""
        self.rounded(place, ink, radius)
        self.rounded(place.inset(1), ground, radius - 1)

    def shadow(self, place: Box, ink: Colour) -> None:
        """The shadow of a box: its rim alone, and what it shows of itself below the box."""
        piece = self.kit.shapes.rim
        reach, sinks = piece.side, piece.side // 4
        left, top, width, height = place.left, place.top + sinks, place.width, place.height
        inner = (piece.u + reach - 1, piece.v + reach - 1)  # of a quarter, beside the box
        for x, run_x, wide in (
            (left - reach, 1, reach),
            (left, 0, width),
            (left + width, -1, reach),
        ):
            for y, run_y, high in (
                (top - reach, 1, reach),
                (top, 0, height),
                (top + height, -1, reach),
            ):
                if not run_x and not run_y:
                    continue
                texel = (piece.u if run_x else inner[0], piece.v if run_y else inner[1])
                self._add(Box(x, y, wide, high), texel, (0, run_x, run_y, 0), ink)
        self.fill(Box(left, top + height - sinks, width, sinks), ink)

    def text(self, text: str, left: int, top: int, ink: Colour, *, bold: bool) -> int:
        """Interface text with the top left of its line there; returns how wide it is."""
        glyphs, advance = self.kit.atlas.line(text, bold)
        for x, y, width, height, u, v in glyphs.tolist():
            self._add(Box(left + x, top + y, width, height), (u, v), GLYPH, ink)
        return advance

    def _add(self, place: Box, texel: Sequence[int], kind: tuple[int, ...], ink: Colour) -> None:
        self._rows.append((tuple(place), tuple(texel), kind, tuple(ink), _CLEAR))
