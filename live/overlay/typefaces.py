"""Fonts by role: of a list of files, the first font that has a character draws it.

A name is looked up beside the theme's file, among the fonts that come with Anthesis, and among the
system's. What is missing or damaged is passed over and said once, and the list goes on: no theme
of a friend's, no system without its usual fonts may keep the overlay from the screen. The last of
every list is the font that Pillow carries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

log = logging.getLogger(__name__)

_FOLDER = Path(str(files("live.overlay") / "fonts"))
_MAX_BYTES = 1 << 25  # the largest fonts, of all of Chinese, have 20 MB

# A noncharacter, which no font has: the picture that stands for it stands for all that it lacks.
_NOWHERE = chr(0x10FFFF)

# What Pillow and FreeType raise at a file that is no font, and at outlines that make no sense.
_DAMAGED = (OSError, ValueError, OverflowError, MemoryError, Image.DecompressionBombError)

_said: set[str] = set()


class Glyph(NamedTuple):
    """The picture of one character, and where it lies at the pen.

    ink: coverage, uint8 [height, width], without any pixels for a blank. left: px from the pen to
    its first column; top: px from the baseline up to its first row. advance: px to the next pen.
    """

    ink: NDArray[np.uint8]
    left: int
    top: int
    advance: int


class Typeface:
    """A chain of fonts at one size.

    ascent, descent: px above and below the baseline, of the font that draws the digits. Fonts after
    that one whose digits are wider are made smaller until they are not, so that a fallback keeps
    to a terminal's cells.
    """

    def __init__(self, names: Iterable[str], folder: Path, px: int) -> None:
        """Open the fonts; `folder` is that of the theme's file. Raises ValueError if px < 1."""
        if px < 1:
            raise ValueError(f"a font of {px} px cannot be drawn")
        self._faces: list[_Face] = []
        self.ascent, self.descent = px, 0  # at 1 px no font's digits differ from what it lacks
        digits = 0
        for name, font in _opened(names, folder, px):
            face = _Face(name, font)
            zero = face.glyph("0")
            advance = 0 if zero is None else zero.advance
            if advance > 0 and digits == 0:
                digits = advance
                self.ascent, self.descent = font.getmetrics()
            elif advance > digits > 0:
                face = _Face(name, font.font_variant(size=px * digits / advance))
            self._faces.append(face)

    def glyph(self, character: str) -> Glyph | None:
        """Draw one character; None if no font of the chain has it."""
        for face in self._faces:
            glyph = face.glyph(character)
            if glyph is not None:
                return glyph
        return None


class _Face:
    """One font at one size, and what it shows for characters that it lacks."""

    def __init__(self, name: str, font: ImageFont.FreeTypeFont) -> None:
        self._name = name
        self._font = font
        self._nothing = self._mask(_NOWHERE)

    def glyph(self, character: str) -> Glyph | None:
        """Pillow does not tell which characters a font has: a picture like that for none is none.

        White space looks like none where none is blank, and is therefore never asked here.
        """
        try:
            mask = self._mask(character)
            if mask == self._nothing:
                return None
            (width, height), (left, top), ink = mask
            advance = round(self._font.getlength(character))
        except _DAMAGED as error:
            _say(self._name, error)
            return None
        return Glyph(np.frombuffer(ink, np.uint8).reshape(height, width), left, -top, advance)

    def _mask(self, character: str) -> tuple[tuple[int, int], tuple[int, int], bytes]:
        """Width and height, the place of its top left to the pen, and coverage by rows."""
        mask, place = self._font.getmask2(character, "L", anchor="ls")
        return mask.size, place, bytes(mask)


def _opened(
    names: Iterable[str], folder: Path, px: int
) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """Every font of the list that can be opened, and Pillow's own.

    Raqm would shape text where it is installed: the basic layout draws the same everywhere.
    """
    for name in names:
        try:
            font = ImageFont.truetype(
                _source(name, folder), px, layout_engine=ImageFont.Layout.BASIC
            )
            font.getmask(_NOWHERE)
            if not 0 < sum(font.getmetrics()) <= 4 * px:
                raise ValueError("its ascent and descent make no sense")
        except _DAMAGED as error:
            _say(name, error)
        else:
            yield name, font
    last = ImageFont.load_default(px)
    assert isinstance(last, ImageFont.FreeTypeFont)
    yield "of Pillow", last.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _source(name: str, folder: Path) -> BytesIO | str:
    """The font's file, or the path of one of the system's. Raises OSError if there is none."""
    for path in (folder / name, _FOLDER / name):
        if path.is_file():
            if path.stat().st_size > _MAX_BYTES:
                raise OSError("it is too large for a font")
            return BytesIO(path.read_bytes())
    found = _of_system(name)
    if found is None:
        raise OSError("it is neither beside the theme nor one of Anthesis' or the system's")
    return found


@cache
def _of_system(name: str) -> str | None:
    """The path of a font of the system; Pillow walks through all of its folders for it."""
    try:
        return str(ImageFont.truetype(name).path)
    except OSError:
        return None


def _say(name: str, error: BaseException) -> None:
    if name not in _said:
        _said.add(name)
        log.warning("font %s is passed over: %s", name, error or type(error).__name__)
