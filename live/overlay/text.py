"""Text with colours, before it is laid out: what programs and the monitor write, screens show."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

Colour: TypeAlias = Literal[
    "foreground",
    "background",
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright_black",
    "bright_red",
    "bright_green",
    "bright_yellow",
    "bright_blue",
    "bright_magenta",
    "bright_cyan",
    "bright_white",
]
"""The names of a terminal's palette; a theme says what they look like."""

COLOURS: tuple[Colour, ...] = get_args(Colour)


class Span(NamedTuple):
    """Characters of one look. No control characters; every character takes one cell."""

    text: str
    colour: Colour = "foreground"
    bold: bool = False
    on: Colour = "background"  # the terminal's own background lets the picture shine through


Line: TypeAlias = tuple[Span, ...]
"""One line, without its line break; it may be longer than a screen is wide."""


def plain(line: Line) -> str:
    """The characters alone."""
    return "".join(span.text for span in line)
