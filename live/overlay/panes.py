"""The windows of an overlay as they are drawn: a frame, and in it characters or a picture.

A pane writes to the GPU only what has changed: its frame when its size or its title do, of its
screen the rows that were written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from live.overlay import desktop
from live.overlay.drawing import Drawing, Kit
from live.overlay.quads import CELL, GLYPH, QUAD, Box, Colour, Easel, Quads, Sheet
from live.overlay.screen import Screen
from live.overlay.text import COLOURS

BACKGROUND = COLOURS.index("background")
_MOST_CELLS = 1 << 17  # of one screen; a pane with more shows what fits


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """How a window is drawn, besides its place: everything that makes its frame another one."""

    kit: Kit
    title: str
    header: Colour
    body: Colour
    hole: Box | None = None  # where something else will be, from the window's top left

    def key(self) -> tuple[object, ...]:
        """Equal for styles that are drawn alike."""
        return (self.kit, self.title, tuple(self.header), tuple(self.body), self.hole)


class Pane:
    """A window with nothing in it but its ground."""

    def __init__(self, easel: Easel) -> None:
        self._easel = easel
        self.sheet: Sheet | None = None
        self._drawn: tuple[object, ...] | None = None
        self._frame = 0  # quads of it

    def lay_out(self, place: Box, style: Style) -> None:
        """Follow the window's size and style; `place` in pixels of the output."""
        key = (place.width, place.height, *style.key())
        if key == self._drawn:
            return
        drawing = Drawing(style.kit)
        desktop.window(place[2:], style.title, drawing, style.header, style.body, style.hole)
        frame = drawing.quads()
        self._renew(len(frame) + self._cells(place, style.kit))
        self._frame = len(frame)
        assert self.sheet is not None
        self.sheet.write(frame, 0)
        self.sheet.count = len(frame)
        self._fill(place, style.kit)
        self._drawn = key

    def scroll(self) -> tuple[float, float, float]:
        """See overlay.vert."""
        return (0.0, 0.0, 0.0)

    def release(self) -> None:
        """Free what was made on the GPU."""
        if self.sheet is not None:
            self.sheet.release()
            self.sheet = None
        self._drawn = None

    def _renew(self, quads: int) -> None:
        """Have a sheet for so many quads."""
        if self.sheet is not None and quads <= self.sheet.capacity:
            return
        sheet = Sheet(self._easel, quads)  # without memory for it the old one stays
        if self.sheet is not None:
            self.sheet.release()
        self.sheet = sheet

    def _cells(self, place: Box, kit: Kit) -> int:
        """How many quads its content takes."""
        return 0

    def _fill(self, place: Box, kit: Kit) -> None:
        """Write all of its content."""


class TextPane(Pane):
    """A window with a screen of characters, and on it a cursor or none."""

    def __init__(self, easel: Easel) -> None:
        super().__init__(easel)
        self.screen = Screen(1, 1)
        self._origin = (0, 0)  # of the first cell
        self._kit: Kit | None = None
        self._row = np.zeros(0, QUAD)
        self._cursor_drawn: tuple[object, ...] | None = None

    def scroll(self) -> tuple[float, float, float]:
        """See overlay.vert: the screen is a ring, and this is where it begins."""
        assert self._kit is not None
        height = self._kit.atlas.cell[1]
        return (self._origin[1], self.screen.first * height, self.screen.rows * height)

    def update(self) -> None:
        """Write the rows that have changed."""
        assert self.sheet is not None
        for row in self.screen.take_changes():
            self.sheet.write(self._row_quads(row), self._frame + row * self.screen.columns)

    def show_cursor(self, on: bool) -> None:
        """Draw the cursor, a block over its character, or do without."""
        assert self.sheet is not None
        assert self._kit is not None
        cells = self._frame + self.screen.rows * self.screen.columns
        self.sheet.count = cells + int(on)
        if not on:
            return
        row, column = self.screen.cursor
        ring_row = (self.screen.first + row) % self.screen.rows
        code, bold = self.screen.codes[ring_row, column], self.screen.bold[ring_row, column]
        drawn = (row, column, int(code), bool(bold), cells)
        if drawn != self._cursor_drawn:
            self.sheet.write(self._cursor_quad(row, column, ring_row), cells)
            self._cursor_drawn = drawn

    def _cells(self, place: Box, kit: Kit) -> int:
        columns, rows = _grid(place, kit)
        return columns * rows + 1

    def _fill(self, place: Box, kit: Kit) -> None:
        inner = desktop.content(*place[2:], kit)
        padding = kit.px(desktop.PADDING)
        self._kit, self._origin = kit, (inner.left + padding, inner.top + padding // 2)
        self.screen.resize(*_grid(place, kit))
        width, height = kit.atlas.cell
        self._row = np.zeros(self.screen.columns, QUAD)
        self._row["kind"] = CELL
        self._row["place"][:, 0] = self._origin[0] + np.arange(self.screen.columns) * width
        self._row["place"][:, 3] = height
        self.screen.changed.update(range(self.screen.rows))
        self._cursor_drawn = None

    def _row_quads(self, row: int) -> Quads:
        """A row of the screen's arrays; the quads of blanks have no width. Valid until the next."""
        assert self._kit is not None
        screen, quads, atlas = self.screen, self._row, self._kit.atlas
        palette = self._kit.palette
        codes, grounds = screen.codes[row], screen.grounds[row]
        quads["place"][:, 1] = self._origin[1] + row * atlas.cell[1]
        quads["place"][:, 2] = np.where((codes == 32) & (grounds == BACKGROUND), 0, atlas.cell[0])
        quads["texel"] = atlas.cells_of(codes, screen.bold[row])
        quads["ink"] = palette[screen.colours[row]]
        quads["ground"] = palette[grounds]
        quads["ground"][grounds == BACKGROUND, 3] = 0
        return quads

    def _cursor_quad(self, row: int, column: int, ring_row: int) -> Quads:
        assert self._kit is not None
        atlas, terminal = self._kit.atlas, self._kit.theme.terminal
        width, height = atlas.cell
        screen = self.screen
        quad = np.zeros(1, QUAD)
        left, top = self._origin[0] + column * width, self._origin[1] + row * height
        quad["place"] = (left, top, width, height)
        quad["kind"] = GLYPH
        here = slice(column, column + 1)
        quad["texel"] = atlas.cells_of(screen.codes[ring_row, here], screen.bold[ring_row, here])
        quad["ink"], quad["ground"] = terminal.background, terminal.foreground
        return quad


def _grid(place: Box, kit: Kit) -> tuple[int, int]:
    """Columns and rows that fit a window."""
    inner = desktop.content(*place[2:], kit)
    padding = kit.px(desktop.PADDING)
    columns = max(1, (inner.width - 2 * padding) // kit.atlas.cell[0])
    rows = max(1, (inner.height - padding) // kit.atlas.cell[1])
    columns = min(columns, 1000)
    return columns, min(rows, _MOST_CELLS // columns)
