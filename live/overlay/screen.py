"""A grid of characters that scrolls: what a pane of the desktop shows, ready for the GPU.

The rows form a ring, so that scrolling moves nothing: the oldest row is wiped and becomes the
newest, and `first` tells which one is on top. Only rows that were written have to go to the GPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from live.overlay.text import COLOURS, Line, Span

KEPT = 400  # lines that are wrapped anew when the size changes
LONGEST = 4096  # characters of a line; the rest of it is not shown

_INDEX = {colour: i for i, colour in enumerate(COLOURS)}
_NO_CHARACTER = "\ufffd"


class Screen:
    """What `columns` x `rows` cells show; every character takes one cell.

    Either lines are written and characters typed as on a terminal, or `show` is told all of it.
    Text may come from anywhere: what is not printable is shown as U+FFFD.

    Attributes:
        codes: uint32 [rows, columns], code points.
        colours, grounds: uint8 [rows, columns], indices into `live.overlay.text.COLOURS`.
        bold: bool [rows, columns].
        first: the row of these arrays that is on top; below it are the next ones, around the end.
        changed: rows of these arrays that were written since `take_changes`.
    """

    def __init__(self, columns: int, rows: int) -> None:
        """Raises ValueError where there is not at least one cell."""
        self._past: deque[Line] = deque(maxlen=KEPT)  # finished lines
        self._open: list[Span] = []  # of the line that is being typed
        self._length = 0  # its characters
        self._shown: list[Line] = []  # by `show`, as long as it is all there is
        self._allocate(columns, rows)

    @property
    def cursor(self) -> tuple[int, int]:
        """Row, counted from the top, and column of the next character."""
        return self._row, min(self._column, self.columns - 1)

    def take_changes(self) -> list[int]:
        """Rows of the arrays that were written since the last call, in order."""
        rows = sorted(self.changed)
        self.changed.clear()
        return rows

    def write(self, line: Line) -> None:
        """Append a line, after what has been typed, and go to the next row."""
        for span in line:
            self.type(span)
        self.end_line()

    def type(self, span: Span) -> None:
        """Append characters to the unfinished line; what goes past the edge is wrapped."""
        self._shown = []
        text = _printable(span.text[: LONGEST - self._length])
        if not text:
            return
        span = Span(text, *span[1:])
        self._length += len(text)
        if self._open and self._open[-1][1:] == span[1:]:
            self._open[-1] = Span(self._open[-1].text + text, *span[1:])
        else:
            self._open.append(span)
        self._place(span)

    def end_line(self) -> None:
        """Go to the beginning of the next row."""
        self._shown = []
        self._past.append(tuple(self._open))
        self._open, self._length = [], 0
        self._next_row()

    def show(self, lines: Sequence[Line]) -> None:
        """Show exactly these lines from the top, cut at the edges; marks the rows that differ."""
        before, self._shown = self._shown, [*lines, *[()] * (self.rows - len(lines))]
        for i, line in enumerate(self._shown[: self.rows]):
            if before[i : i + 1] != [line]:
                self._replace_row((self.first + i) % self.rows, line)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size: the newest lines stay. Raises ValueError as the constructor does."""
        if (columns, rows) == (self.columns, self.rows):
            return
        shown, typed = self._shown, self._open
        self._allocate(columns, rows)
        if shown:
            self._shown = []
            self.show(shown)
            return
        room = rows
        seen: list[Line] = []  # the newest first, as far as they are seen
        for line in (tuple(typed), *reversed(self._past)):
            length = sum(len(span.text) for span in line)
            taken = max(1, -(-length // columns))
            seen.append(_without(line, max(taken - room, 0) * columns))
            room -= taken
            if room <= 0:
                break
        for line in reversed(seen[1:]):
            for span in line:
                self._place(span)
            self._next_row()
        for span in seen[0]:
            self._place(span)

    def _allocate(self, columns: int, rows: int) -> None:
        if columns < 1 or rows < 1:
            raise ValueError(f"a screen has at least one cell, not {columns} x {rows}")
        self.columns, self.rows = columns, rows
        self.codes = np.empty((rows, columns), np.uint32)
        self.colours = np.empty((rows, columns), np.uint8)
        self.grounds = np.empty((rows, columns), np.uint8)
        self.bold = np.empty((rows, columns), np.bool_)
        self.changed = set(range(rows))
        for row in self.changed:
            self._wipe(row)
        self.first = 0
        self._row = 0  # from the top
        self._column = 0  # `columns` after the last one: only the next character goes to a new row

    def _wipe(self, row: int, start: int = 0) -> None:
        """Empty a row of the arrays from a column on."""
        self.codes[row, start:] = ord(" ")
        self.colours[row, start:] = _INDEX["foreground"]
        self.grounds[row, start:] = _INDEX["background"]
        self.bold[row, start:] = False

    def _place(self, span: Span) -> None:
        left = np.frombuffer(span.text.encode("utf-32-le"), "<u4")
        while left.size:
            if self._column == self.columns:
                self._next_row()
            fitting = left[: self.columns - self._column]
            left = left[fitting.size :]
            row = (self.first + self._row) % self.rows
            self._set(row, self._column, span, fitting)
            self.changed.add(row)
            self._column += fitting.size

    def _set(self, row: int, column: int, span: Span, codes: NDArray[np.uint32]) -> None:
        cells = row, slice(column, column + codes.size)
        self.codes[cells] = codes
        self.colours[cells] = _INDEX[span.colour]
        self.grounds[cells] = _INDEX[span.on]
        self.bold[cells] = span.bold

    def _next_row(self) -> None:
        self._column = 0
        if self._row < self.rows - 1:
            self._row += 1
            return
        self._wipe(self.first)
        self.changed.add(self.first)
        self.first = (self.first + 1) % self.rows

    def _replace_row(self, row: int, line: Line) -> None:
        """Let a row of the arrays show a line; it counts as changed only if it looks different."""
        arrays = (self.codes, self.colours, self.grounds, self.bold)
        before = [array[row].copy() for array in arrays]
        column = 0
        for span in line:
            text = _printable(span.text[: self.columns - column])
            codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
            self._set(row, column, span, codes)
            column += codes.size
        self._wipe(row, column)
        now = (array[row] for array in arrays)
        if not all(map(np.array_equal, before, now)):
            self.changed.add(row)


def _without(line: Line, count: int) -> Line:
    """A line without its first characters."""
    left = []
    for span in line:
        text = span.text[count:]
        count = max(count - len(span.text), 0)
        if text:
            left.append(span._replace(text=text))
    return tuple(left)


def _printable(text: str) -> str:
    """The text without control characters, marks of direction, halves of characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _NO_CHARACTER for c in text)
