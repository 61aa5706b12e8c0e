"""Every character of the overlay in one texture's pixels: the terminal's cells and the interface's.

Built without GL, on whichever thread has the time, and never changed: another size or another theme
is another atlas. It is to be sampled pixel by pixel, for neighbours in it have nothing between
them.

A terminal's character is one cell, cut out of the atlas as it is; the interface's text is
proportional, and each of its glyphs brings its own place and size. Both are looked up in tables by
code point: 100 cells take some 3 us, so that a screen full of new text costs no frame.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from live.overlay import drawn
from live.overlay.theme import Theme
from live.overlay.typefaces import Glyph, Typeface

Bitmap: TypeAlias = NDArray[np.uint8]

BLANK = (0, 0)
"""Where the empty cell lies: what shows nothing is at u = v = 0."""

_MISSING, _SOLID = 1, 2  # after the blank, the first cells of the atlas

_WIDTHS = (1024, 2048, 4096)  # of the texture; what draws the desktop has sides of 4096 and more
_MAX_PX = 128  # what is larger never fits, and need not be drawn to find that out

_SPACES = (0x20, 0xA0)

_SYMBOLS = (
    "ˆˇ˘˙˚˛˜˝ẀẁẂẃẄẅỲỳ⁄€₮₴₹ℓ™ΔΣΩαβγδεζηθλμνπρστφχψω∀∂∃∅∆∇∈∉∏∑−∕√∝∞∠∥∧∨∩∪∫≈≠≡≤≥⊂⊕⊗⋅⋮⋯"
    "■□▪▫▲△▶▷▼▽◀◁◆◇○●◦★✓✗"
)
_CHARACTERS: tuple[str, ...] = (
    *(
        chr(codepoint)
        for first, last in (
            (0x21, 0x7E),
            (0xA1, 0x24F),  # Latin-1, and Extended A and B
            (0x2010, 0x2027),  # dashes, quotation marks, dots
            (0x2030, 0x203A),
            (0x2190, 0x2199),  # arrows
        )
        for codepoint in range(first, last + 1)
    ),
    *_SYMBOLS,
)
"""What fonts are asked for; what the overlay writes is within it, and so is the names of people."""

_END = max(*drawn.CODEPOINTS, *map(ord, _CHARACTERS)) + 1
"""The tables' last entry, which stands for all beyond them."""


class Line(NamedTuple):
    """Proportional text.

    glyphs: int16 [n, 6]: of each visible glyph x, y, width and height in px, then u, v in the
    atlas. x counts from the pen's start; y from the top of a line of `Atlas.sans_height`, beyond
    which accents may reach. advance: the line's width in px.
    """

    glyphs: NDArray[np.int16]
    advance: int


class Atlas:
    """Coverage of all glyphs, and where they lie.

    pixels: uint8 [height, width], row 0 on top; at most 4096 either way. mono_px, sans_px: the
    sizes of the fonts. cell: width and height of
    the terminal's cells in px; ascent: px from a cell's top to its baseline. sans_height,
    sans_ascent: the same of a line of the interface. solid: (u, v) of a texel that is covered, in
    the midst of others, for filled rectangles.
    """

    def __init__(self, theme: Theme, mono_px: int, sans_px: int) -> None:
        """Draw everything, in a tenth of a second or two; the sizes are those of the fonts, in px.

        Raises ValueError if a size is below 1 px, or if both are too large for one texture: up to
        100 px each they are not.
        """
        if max(mono_px, sans_px) > _MAX_PX:
            raise ValueError(f"a font of {max(mono_px, sans_px)} px is too large for an atlas")
        self.mono_px, self.sans_px = mono_px, sans_px
        fonts = theme.fonts
        mono = [Typeface(names, theme.folder, mono_px) for names in (fonts.mono, fonts.mono_bold)]
        sans = [Typeface(names, theme.folder, sans_px) for names in (fonts.sans, fonts.sans_bold)]
        self.cell, self.ascent = _cell(mono[0], mono_px), mono[0].ascent
        self.sans_ascent = sans[0].ascent
        self.sans_height = sans[0].ascent + sans[0].descent
        cells, slots = _terminal(mono, self.cell, self.ascent)
        glyphs, self._glyphs = _interface(sans, sans_px)
        self.pixels, corners, places = _packed(cells, [glyph.ink for glyph in glyphs])
        # One number of 32 bits a cell is looked up sooner than two of 16.
        self._cells = corners.astype(np.uint16).view(np.uint32)[slots, 0]
        left, top, self._advances = np.array([glyph[1:] for glyph in glyphs]).T
        sizes = [glyph.ink.shape[::-1] for glyph in glyphs]
        self._boxes = np.column_stack([left, self.sans_ascent - top, sizes, places])
        u, v = corners[_SOLID]
        self.solid = (int(u) + self.cell[0] // 2, int(v) + self.cell[1] // 2)

    def cells_of(
        self, codepoints: NDArray[np.uint32], bold: NDArray[np.bool_]
    ) -> NDArray[np.uint16]:
        """Return where cells lie, for code points of any shape and their weights.

        (u, v) of each one's top left: [..., 2]. That of a space is BLANK; that of a control
        character or one that no font has is a box.
        """
        found: NDArray[np.uint32] = self._cells[bold.astype(np.intp), np.minimum(codepoints, _END)]
        return found[..., None].view(np.uint16)

    def line(self, text: str, bold: bool) -> Line:
        """Set a line of the interface's text, one glyph after the other, without kerning.

        Pillow's basic layout reads kerning from old tables that the fonts at hand do not have.
        """
        found = self._glyphs[int(bold)].take(_codepoints(text))
        pens = np.cumsum(self._advances[found])
        glyphs = self._boxes[found]
        glyphs[1:, 0] += pens[:-1]
        visible = glyphs[glyphs[:, 2] > 0].clip(-(2**15), 2**15 - 1)  # a line longer than a screen
        return Line(visible.astype(np.int16), int(pens[-1]) if len(pens) else 0)


def _codepoints(text: str) -> NDArray[np.uint32]:
    """Indices into the tables. Halves of surrogate pairs, as of file names, are looked up too."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    known: NDArray[np.uint32] = np.minimum(codes, np.uint32(_END))
    return known


def _table(slots: list[dict[int, int]]) -> NDArray[np.intp]:
    """Slots by weight and code point: [2, _END + 1]."""
    table = np.full((2, _END + 1), _MISSING)
    table[:, _SPACES] = 0
    for row, found in zip(table, slots, strict=True):
        row[list(found)] = list(found.values())
    return table


# --- the terminal ------------------------------------------------------------------------------


def _cell(regular: Typeface, px: int) -> tuple[int, int]:
    """Width and height as GNOME's terminal has them: a digit's advance; no leading."""
    digit = regular.glyph("0")
    advance = digit.advance if digit is not None else px
    return min(max(advance, 1), 2 * px), regular.ascent + regular.descent


def _terminal(
    faces: list[Typeface], cell: tuple[int, int], ascent: int
) -> tuple[Bitmap, NDArray[np.intp]]:
    """Draw all cells, [n, height, width], and tell which is whose, [2, _END + 1].

    The blank, the box and the solid come first, then what is drawn by arithmetic, then the fonts'.
    """
    width, height = cell
    first = np.zeros((3, height, width), np.uint8)
    first[_MISSING] = drawn.missing(width, height)
    first[_SOLID] = 255
    lines = drawn.bitmaps(width, height)
    common = {codepoint: len(first) + i for i, codepoint in enumerate(drawn.CODEPOINTS)}
    wide = np.zeros((len(faces) * len(_CHARACTERS), height, width + 2), np.uint8)
    slots: list[dict[int, int]] = []
    count = 0
    for face in faces:
        found = dict(common)
        for character in _CHARACTERS:
            glyph = face.glyph(character)
            if glyph is not None:
                found[ord(character)] = len(first) + len(lines) + count
                _put(wide[count], glyph, ascent)
                count += 1
        slots.append(found)
    return np.concatenate([first, lines, _folded(wide[:count])]), _table(slots)


def _put(wide: Bitmap, glyph: Glyph, ascent: int) -> None:
    """Draw a glyph into a cell with one column more on either side.

    Its advance is centred and its baseline is the line's; whatever reaches farther is cut.
    """
    height, width = wide.shape
    ink = _lowered(glyph.ink, glyph.top - ascent)
    top = max(0, ascent - glyph.top)
    left = glyph.left + (width - glyph.advance) // 2
    ink = ink[: max(0, height - top), max(0, -left) : max(0, width - left)]
    left = max(left, 0)
    wide[top : top + ink.shape[0], left : left + ink.shape[1]] = ink


def _folded(wide: Bitmap) -> Bitmap:
    """Add the columns beside the cells to the cells' own: [n, height, width + 2] to [n, .., width].

    A cell shows nothing of its neighbours, but the fringe of smooth edges often lies there, in the
    bold face most. So it is not lost, and letters keep their places.
    """
    cells = wide[:, :, 1:-1].copy()
    for edge in (0, -1):
        column = cells[:, :, edge]
        column += np.minimum(wide[:, :, edge], 255 - column)  # 255 at most
    return cells


def _lowered(ink: Bitmap, rows: int) -> Bitmap:
    """Take out so many rows, with the least ink, of the upper half: accents of capitals sink.

    They reach above the line in many fonts, whose lines overlap where lines may.
    """
    if rows <= 0:
        return ink
    upper = ink[: len(ink) // 2].sum(axis=1)
    emptiest = np.argsort(upper, kind="stable")[:rows]
    return np.delete(ink, emptiest, axis=0)


# --- the interface -----------------------------------------------------------------------------


def _interface(faces: list[Typeface], px: int) -> tuple[list[Glyph], NDArray[np.intp]]:
    """Draw all glyphs, and tell which is whose, [2, _END + 1]; the first two as in the terminal."""
    digit = faces[0].glyph("0")
    advance = digit.advance if digit is not None else px
    blank = np.zeros((0, 0), np.uint8)
    box = drawn.missing(max(1, advance), faces[0].ascent)
    glyphs = [Glyph(blank, 0, 0, advance // 2), Glyph(box, 0, faces[0].ascent, advance)]
    slots: list[dict[int, int]] = []
    for face in faces:
        found: dict[int, int] = {}
        for character in _CHARACTERS:
            glyph = face.glyph(character)
            if glyph is not None:
                found[ord(character)] = len(glyphs)
                # No letter is larger than this; the outlines of a broken font may be.
                glyphs.append(glyph._replace(ink=glyph.ink[: 3 * px, : 4 * px]))
        slots.append(found)
    return glyphs, _table(slots)


# --- one texture -------------------------------------------------------------------------------


def _packed(
    cells: Bitmap, glyphs: list[Bitmap]
) -> tuple[Bitmap, NDArray[np.intp], NDArray[np.intp]]:
    """Lay the cells out in a grid, and the glyphs on shelves below it, of about a square.

    Returns the pixels, and (u, v) of all cells, [n, 2], and of all glyphs, [m, 2].
    """
    count, high, wide = cells.shape
    for width in _WIDTHS:
        columns = max(1, width // wide)
        rows = -(-count // columns)
        places, height = _shelved([ink.shape for ink in glyphs], width, rows * high)
        if height <= width:
            break
    else:
        raise ValueError(f"cells of {wide}x{high} px do not fit into a texture of {width} px")
    pixels = np.zeros((height, width), np.uint8)
    grid = np.zeros((rows * columns, high, wide), np.uint8)
    grid[:count] = cells
    grid = grid.reshape(rows, columns, high, wide).swapaxes(1, 2)
    pixels[: rows * high, : columns * wide] = grid.reshape(rows * high, columns * wide)
    for ink, (u, v) in zip(glyphs, places, strict=True):
        pixels[v : v + ink.shape[0], u : u + ink.shape[1]] = ink
    index = np.arange(count)
    return pixels, np.column_stack([index % columns * wide, index // columns * high]), places


def _shelved(sizes: list[tuple[int, ...]], width: int, top: int) -> tuple[NDArray[np.intp], int]:
    """Place boxes of (height, width) on shelves below `top`, the highest first.

    Returns (u, v) of each, [n, 2], and where the last shelf ends.
    """
    places = np.zeros((len(sizes), 2), np.intp)
    u, v, shelf = 0, top, 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
        if u + sizes[i][1] > width:
            u, v, shelf = 0, v + shelf, 0
        places[i] = u, v
        u, shelf = u + sizes[i][1], max(shelf, sizes[i][0])
    return places, v + shelf
