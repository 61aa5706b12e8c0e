"""Themes: the colours of the overlay and its fonts, from a TOML file; every fault is one line.

A theme is only data: the models mirror the tables of the file, and nothing else of the overlay
knows a colour. Themes come from friends, so a font is a bare name, never a path.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from engine.errors import UserError
from live.overlay.text import COLOURS
from live.setlist_faults import fault
from live.toml_file import read_toml

Rgba: TypeAlias = tuple[int, int, int, int]
"""Red, green, blue and alpha, 0 to 255 each, sRGB-encoded; alpha is 255."""

_MAX_BYTES = 1 << 16  # a theme is a page of text
_MAX_FONTS = 16  # of one list: every one is asked for every character that those before it lack
_FOLDER = Path(str(files("live.overlay") / "themes"))


def _rgba(value: object) -> Rgba:
    if isinstance(value, str) and len(value) == 7 and value[0] == "#" and value.isascii():
        try:
            red, green, blue = bytes.fromhex(value[1:])
        except ValueError:  # no hexadecimal digits, or blanks, which fromhex passes over
            pass
        else:
            return red, green, blue, 255
    raise ValueError(f'must be a colour like "#E95420", got {value!r:.60}')


def _font(value: object) -> str:
    if not isinstance(value, str) or not value.strip(". ") or not value.isprintable():
        raise ValueError(f"must be the name of a font's file, got {value!r:.60}")
    if not {"/", "\\", ":"}.isdisjoint(value):
        raise ValueError(
            f"{value!r:.60} is a path; give a name alone, of a file beside the theme or of a font"
            " that the system has"
        )
    return value


Colour: TypeAlias = Annotated[Rgba, PlainValidator(_rgba)]
Fonts: TypeAlias = tuple[Annotated[str, PlainValidator(_font)], ...]

_TABLE = ConfigDict(frozen=True, extra="forbid")


class TerminalTable(BaseModel):
    """[terminal]: what the names of `live.overlay.text.COLOURS` look like."""

    model_config = _TABLE

    background: Colour
    foreground: Colour
    black: Colour
    red: Colour
    green: Colour
    yellow: Colour
    blue: Colour
    magenta: Colour
    cyan: Colour
    white: Colour
    bright_black: Colour
    bright_red: Colour
    bright_green: Colour
    bright_yellow: Colour
    bright_blue: Colour
    bright_magenta: Colour
    bright_cyan: Colour
    bright_white: Colour


class DesktopTable(BaseModel):
    """[desktop]: the wallpaper, from its far corner to the light; the bar, the dock, windows."""

    model_config = _TABLE

    wallpaper: tuple[Colour, ...]  # 2 to 4
    bar: Colour
    bar_text: Colour
    dock: Colour
    header: Colour
    header_text: Colour
    unfocused: Colour
    border: Colour
    button: Colour
    viewer: Colour
    accent: Colour

    @field_validator("wallpaper")
    @classmethod
    def _a_gradient(cls, colours: tuple[Rgba, ...]) -> tuple[Rgba, ...]:
        if not 2 <= len(colours) <= 4:
            raise ValueError(f"needs 2 to 4 colours, got {len(colours)}")
        return colours


class FontsTable(BaseModel):
    """[fonts]: for each role names of files; the first that has a character draws it."""

    model_config = _TABLE

    mono: Fonts
    mono_bold: Fonts
    sans: Fonts
    sans_bold: Fonts

    @field_validator("*")
    @classmethod
    def _a_chain(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(names) <= _MAX_FONTS:
            raise ValueError(f"needs 1 to {_MAX_FONTS} fonts, got {len(names)}")
        return names


class Theme(BaseModel):
    """A whole theme."""

    model_config = _TABLE

    terminal: TerminalTable
    desktop: DesktopTable
    fonts: FontsTable
    _folder: Path = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Keep the folder, which is not a key of the file."""
        assert isinstance(context, Path)
        self._folder = context

    @property
    def folder(self) -> Path:
        """Where the file lies; fonts are looked up there first."""
        return self._folder

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The terminal's colours as RGBA in the order of COLOURS: [len(COLOURS), 4]."""
        return np.array([getattr(self.terminal, name) for name in COLOURS], np.uint8)


def bundled_themes() -> list[str]:
    """The names of the themes that come with Anthesis."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_theme(name_or_path: str, folder: Path) -> Theme:
    """Read and validate a theme: a bundled one by its name, or a .toml file relative to `folder`.

    Raises UserError: one line with the file, the table, the key, what is wrong and what is right.
    Fonts are not looked at yet; what is missing of them is passed over later.
    """
    path = _found(name_or_path, folder)
    _, document = read_toml(path, "theme", _MAX_BYTES)
    try:
        return Theme.model_validate(document, context=path.parent)
    except ValidationError as error:
        raise UserError(f"{path}: {fault(error, Theme, document)}") from error


def _found(name_or_path: str, folder: Path) -> Path:
    names = bundled_themes()
    if name_or_path in names:
        return _FOLDER / f"{name_or_path}.toml"
    if not name_or_path.endswith(".toml"):
        close = get_close_matches(name_or_path, names, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        raise UserError(
            f"there is no theme {name_or_path!r:.60}{hint}; accepted are {', '.join(names)}"
            " and files that end in .toml"
        )
    try:
        return folder / Path(name_or_path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{name_or_path!s:.200}: there is no such user's folder") from error
