"""Characters that are drawn by arithmetic: lines, blocks and braille dots, one cell each.

Fonts have them seldom, and draw them for cells of their own size. Here they fit the cell to the
pixel, so that what joins in text joins on the screen: a line's place in the cell depends on its
weight alone, and all that is straight is made of whole pixels.

Which way the lines of a character go is not typed here: Unicode's name says it, in words like
"BOX DRAWINGS DOWN LIGHT AND RIGHT HEAVY".
"""

from __future__ import annotations

import unicodedata
from math import floor
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bitmap: TypeAlias = NDArray[np.uint8]
"""Coverage of one cell, 0 to 255: [height, width]."""

_LINES = range(0x2500, 0x2580)
_BLOCKS = range(0x2580, 0x25A0)
_BRAILLE = range(0x2800, 0x2900)

CODEPOINTS: tuple[int, ...] = (*_LINES, *_BLOCKS, *_BRAILLE)
"""What is drawn, in the order of `bitmaps`."""


def bitmaps(width: int, height: int) -> NDArray[np.uint8]:
    """Draw every character of CODEPOINTS: [len(CODEPOINTS), height, width]."""
    lines = [_line(codepoint, _Cell(width, height)) for codepoint in _LINES]
    blocks = [_block(codepoint, width, height) for codepoint in _BLOCKS]
    return np.concatenate([np.stack(lines + blocks), _braille(width, height)])


def missing(width: int, height: int) -> Bitmap:
    """Draw the box that stands for a character that no font has."""
    line = _Cell(width, height).line
    across, down = min(line, (width - 1) // 2), height // 6
    box = np.zeros((height, width), np.uint8)
    box[down : height - down, across : width - across] = 255
    box[down + line : height - down - line, across + line : width - across - line] = 0
    return box


# --- lines -------------------------------------------------------------------------------------

_Span: TypeAlias = tuple[int, int]

_WEIGHTS = ("LIGHT", "HEAVY", "SINGLE", "DOUBLE")  # a single line is a light one
_DIRECTIONS = {
    "LEFT": ("LEFT",),
    "RIGHT": ("RIGHT",),
    "UP": ("UP",),
    "DOWN": ("DOWN",),
    "HORIZONTAL": ("LEFT", "RIGHT"),
    "VERTICAL": ("UP", "DOWN"),
}
_OPPOSITE = {"LEFT": "RIGHT", "RIGHT": "LEFT", "UP": "DOWN", "DOWN": "UP"}
_DASHES = {"DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}


class _Cell(NamedTuple):
    """A cell in pixels. All lines meet about its middle, whichever cell they come from."""

    width: int
    height: int

    @property
    def line(self) -> int:
        """Thickness of a light line, of each half of a double one, and of the gap between them."""
        return max(1, round(self.width / 8))

    def columns(self, weight: str) -> _Span:
        """Where a vertical line lies."""
        return self._span(self.width, weight)

    def rows(self, weight: str) -> _Span:
        """Where a horizontal line lies."""
        return self._span(self.height, weight)

    def _span(self, length: int, weight: str) -> _Span:
        start = (length - self.line) // 2
        if weight == "HEAVY":  # twice as thick; the light line lies within it
            start -= self.line // 2
            return max(0, start), start + 2 * self.line
        if weight == "DOUBLE":  # either side of the light line's place, which is the gap
            return max(0, start - self.line), start + 2 * self.line
        return start, start + self.line


def _line(codepoint: int, cell: _Cell) -> Bitmap:
    name = unicodedata.name(chr(codepoint)).removeprefix("BOX DRAWINGS ")
    words = name.split()
    if "DIAGONAL" in words:
        return _diagonal(words, cell)
    if "ARC" in words:
        return _arc(words, cell)
    if "DASH" in words:
        return _dashes(words, cell)
    return _strokes(arms(name), cell)


def arms(name: str) -> dict[str, str]:
    """Read which lines go from the middle, by direction, and their weights.

    `name` is Unicode's, like "DOWN LIGHT AND RIGHT HEAVY"; in "LIGHT DOWN AND RIGHT" the weight
    holds for both.
    """
    weights: dict[str, str] = {}
    weight = ""
    for clause in name.split(" AND "):
        words = clause.split()
        weight = next((word for word in words if word in _WEIGHTS), weight)
        for word in words:
            weights |= dict.fromkeys(_DIRECTIONS.get(word, ()), weight)
    return weights


def _strokes(weights: dict[str, str], cell: _Cell) -> Bitmap:
    """Lines from the edges to the far side of those that they meet; then the gaps of double ones.

    A gap is as wide as a light line and lies where that would. Gaps meet in the middle, unless a
    single line goes across them, or stands where the double one ends.
    """
    bitmap = np.zeros((cell.height, cell.width), np.uint8)
    rows = _union([cell.rows(weights.get(way, "LIGHT")) for way in ("LEFT", "RIGHT")])
    columns = _union([cell.columns(weights.get(way, "LIGHT")) for way in ("UP", "DOWN")])
    for way, weight in weights.items():
        _far_side(bitmap, way, rows, columns)[_across(way, cell, weight)] = 255
    middle = cell.rows("LIGHT"), cell.columns("LIGHT")
    for way in [way for way, weight in weights.items() if weight == "DOUBLE"]:
        others = [weights[other] for other in weights if other not in (way, _OPPOSITE[way])]
        ends = _OPPOSITE[way] not in weights
        stopped = "SINGLE" in others and (ends or len(others) == 2)
        # What is the far side of a span from one edge is the near side of it turned around.
        reached = [span[::-1] if stopped else span for span in middle]
        _far_side(bitmap, way, *reached)[_across(way, cell, "LIGHT")] = 0
    return bitmap


def _union(spans: list[_Span]) -> _Span:
    return min(start for start, _ in spans), max(stop for _, stop in spans)


def _far_side(bitmap: Bitmap, way: str, rows: _Span, columns: _Span) -> Bitmap:
    """The part of a cell from the edge on one side to the far side of what lies in the middle."""
    return {
        "LEFT": bitmap[:, : columns[1]],
        "RIGHT": bitmap[:, columns[0] :],
        "UP": bitmap[: rows[1]],
        "DOWN": bitmap[rows[0] :],
    }[way]


def _across(way: str, cell: _Cell, weight: str) -> tuple[slice, slice]:
    """The rows or the columns of a line of some weight."""
    if way in ("LEFT", "RIGHT"):
        return slice(*cell.rows(weight)), slice(None)
    return slice(None), slice(*cell.columns(weight))


def _dashes(words: list[str], cell: _Cell) -> Bitmap:
    """Dashes, as many as have a pixel each and one between them; each cell ends with a gap."""
    bitmap = np.zeros((cell.height, cell.width), np.uint8)
    way = _DIRECTIONS[words[-1]][0]
    length = cell.width if way == "LEFT" else cell.height
    count = min(_DASHES[words[1]], max(1, length // 2))
    marks = np.zeros(length, np.uint8)
    gap = max(1, round(length / count / 3))
    for i in range(count):
        marks[length * i // count : length * (i + 1) // count - gap] = 255
    bitmap[_across(way, cell, words[0])] = marks if way == "LEFT" else marks[:, None]
    return bitmap


def _arc(words: list[str], cell: _Cell) -> Bitmap:
    """A rounded corner: a quarter of a circle, and straight on to the edges."""
    (top, bottom), (left, right) = cell.rows("LIGHT"), cell.columns("LIGHT")
    y, x = (top + bottom) / 2, (left + right) / 2  # the middle of the lines that it joins
    # The last pixel towards an edge is straight, to be that of the line beyond.
    radius = max(0.5, min(x, cell.width - x, y, cell.height - y) - 0.5)
    # From the circle's middle towards the corner, which lies opposite to where the lines go.
    rows, columns = _middles(cell.height, cell.width)
    down = (y - rows if "DOWN" in words else rows - y) + radius
    along = (x - columns if "RIGHT" in words else columns - x) + radius
    # Distance to the edge of a rectangle with rounded corners; one corner of it lies in the cell.
    outside = np.hypot(np.maximum(along, 0), np.maximum(down, 0))
    distance = np.abs(outside + np.minimum(np.maximum(along, down), 0) - radius)
    return _covered(cell.line / 2 - distance)


def _diagonal(words: list[str], cell: _Cell) -> Bitmap:
    rows, columns = _middles(cell.height, cell.width)
    distance = np.abs(columns * cell.height - rows * cell.width) / np.hypot(*cell)
    falling = _covered(cell.line / 2 - distance)  # from the upper left
    rising = falling[:, ::-1]
    if "CROSS" in words:
        return np.maximum(falling, rising)
    return falling if words.index("LEFT") < words.index("RIGHT") else rising


def _middles(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixels' middles lie: [height, 1] and [1, width]."""
    rows, columns = (np.arange(n, dtype=np.float64) + 0.5 for n in (height, width))
    return rows[:, None], columns[None]


def _covered(depth: NDArray[np.float64]) -> Bitmap:
    """Coverage of pixels whose middles lie so far within an edge, in px."""
    return np.rint(255 * np.clip(depth + 0.5, 0, 1)).astype(np.uint8)


# --- blocks ------------------------------------------------------------------------------------

_Part: TypeAlias = tuple[int, int, int, int]
"""A rectangle in eighths of the cell: from left and bottom, to right and top."""

_LOWER_LEFT, _LOWER_RIGHT = (0, 0, 4, 4), (4, 0, 8, 4)
_UPPER_LEFT, _UPPER_RIGHT = (0, 4, 4, 8), (4, 4, 8, 8)

_PARTS: tuple[tuple[_Part, ...], ...] = (
    ((0, 4, 8, 8),),  # upper half
    *(((0, 0, 8, top),) for top in range(1, 9)),  # lower eighths, up to all
    *(((0, 0, right, 8),) for right in range(7, 0, -1)),  # left eighths
    ((4, 0, 8, 8),),  # right half
    *[((0, 0, 8, 8),)] * 3,  # shades
    ((0, 7, 8, 8),),
    ((7, 0, 8, 8),),
    (_LOWER_LEFT,),
    (_LOWER_RIGHT,),
    (_UPPER_LEFT,),
    (_UPPER_LEFT, _LOWER_LEFT, _LOWER_RIGHT),
    (_UPPER_LEFT, _LOWER_RIGHT),
    (_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT),
    (_UPPER_LEFT, _UPPER_RIGHT, _LOWER_RIGHT),
    (_UPPER_RIGHT,),
    (_UPPER_RIGHT, _LOWER_LEFT),
    (_UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT),
)
"""What is covered of the blocks, in Unicode's order."""

_SHADES = {0x2591: 64, 0x2592: 128, 0x2593: 191}


def _block(codepoint: int, width: int, height: int) -> Bitmap:
    bitmap = np.zeros((height, width), np.uint8)
    for left, bottom, right, top in _PARTS[codepoint - _BLOCKS.start]:
        rows = slice(height - _eighths(height, top), height - _eighths(height, bottom))
        columns = slice(_eighths(width, left), _eighths(width, right))
        bitmap[rows, columns] = _SHADES.get(codepoint, 255)
    return bitmap


def _eighths(length: int, count: int) -> int:
    """Whole pixels, the half rounded up; some of the cell is never none of it, nor all."""
    pixels = (2 * length * count + 8) // 16
    return pixels if count in (0, 8) else min(max(pixels, 1), max(1, length - 1))


# --- braille -----------------------------------------------------------------------------------

# Row and column of the dots, from the lowest bit: the two below were added to six.
_DOTS = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1))


def _braille(width: int, height: int) -> NDArray[np.uint8]:
    """All patterns: [256, height, width]. Dots lie evenly, across cells too, and do not touch."""
    size = max(1, round(0.6 * min(width / 2, height / 4)))
    rows, columns = _middles(size, size)
    dot = _covered(size / 2 - np.hypot(rows - size / 2, columns - size / 2))
    if size < 3:
        dot[:] = 255  # there is no circle of so few pixels, only a pale square
    dots = np.zeros((len(_DOTS), height, width), np.uint8)
    for cell, (row, column) in zip(dots, _DOTS, strict=True):
        # The half rounded up, always: to even numbers, every other dot would touch the next.
        top = max(0, floor((row + 0.5) * height / 4 - size / 2 + 0.5))
        left = max(0, floor((column + 0.5) * width / 2 - size / 2 + 0.5))
        part = cell[top : top + size, left : left + size]
        part[:] = dot[: part.shape[0], : part.shape[1]]
    raised = (np.arange(256)[:, None] >> np.arange(len(_DOTS)) & 1).astype(np.uint8)
    patterns: NDArray[np.uint8] = (raised[:, :, None, None] * dots).max(axis=1)
    return patterns
