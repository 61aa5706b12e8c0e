"""Bars of block elements and graphs of braille: numbers as characters, a cell each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

EIGHTHS = " ▏▎▍▌▋▊▉█"
BRAILLE = 0x2800
DOTS = 4  # a cell is four dots high and two wide


class _Fill(NamedTuple):
    """The dots of a cell by how many are on, 0 to 4, of its left and its right column."""

    left: tuple[int, int, int, int, int]
    right: tuple[int, int, int, int, int]


FROM_BELOW = _Fill((0x00, 0x40, 0x44, 0x46, 0x47), (0x00, 0x80, 0xA0, 0xB0, 0xB8))
FROM_ABOVE = _Fill((0x00, 0x01, 0x03, 0x07, 0x47), (0x00, 0x08, 0x18, 0x38, 0xB8))


def bar(percent: float, cells: int) -> str:
    """A bar of at most that many cells.

    It is rounded down, so that only 100 % fills it; whatever is above 0 % shows.
    """
    whole = 8 * cells
    eighths = int(whole * min(100.0, max(0.0, percent)) / 100)
    if percent > 0 and whole:
        eighths = max(1, eighths)
    return EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()


@lru_cache(maxsize=32)
def upward(values: tuple[float | None, ...], cells: int, rows: int) -> tuple[str, ...]:
    """A graph of percentages that stands on its last row: `rows` texts of `cells` characters.

    There are two values a cell, the newest at the right end. A value has a dot at least, so that
    0 % is a line; None has none.
    """
    heights = _heights(values, cells, rows)
    return tuple(_row(heights, DOTS * (rows - 1 - row), FROM_BELOW) for row in range(rows))


@lru_cache(maxsize=32)
def downward(values: tuple[float | None, ...], cells: int, rows: int) -> tuple[str, ...]:
    """The same, hanging from its first row."""
    heights = _heights(values, cells, rows)
    return tuple(_row(heights, DOTS * row, FROM_ABOVE) for row in range(rows))


def axis(cells: int, seconds_a_cell: float, marks: Sequence[int] = (30, 60, 120)) -> str:
    """The line between two graphs, with seconds before now, as many as have room."""
    line = ["─"] * cells
    places = [cells - round(seconds / seconds_a_cell) - 1 for seconds in marks]
    taken = [cells, *places]
    for seconds, (before, place) in zip(marks, pairwise(taken), strict=True):
        label = f"╴{seconds}s├"
        start = place - len(label) + 1
        if start > 0 and before - place > len(label) + 1:
            line[start : place + 1] = label
    return "".join(line)


def _heights(values: tuple[float | None, ...], cells: int, rows: int) -> list[int]:
    """How many dots each of the newest values is high, a value for every column of dots."""
    top = rows * DOTS
    newest = values[-2 * cells :] if cells > 0 else ()
    heights = [0 if v is None else max(1, round(top * min(1.0, v / 100))) for v in newest]
    return [0] * (2 * cells - len(heights)) + heights


def _row(heights: list[int], below: int, fill: _Fill) -> str:
    """The row of cells that begins at that many dots from the graph's foot."""
    on = [min(DOTS, max(0, height - below)) for height in heights]
    return "".join(
        chr(BRAILLE | fill.left[left] | fill.right[right])
        for left, right in zip(on[::2], on[1::2], strict=True)
    )
