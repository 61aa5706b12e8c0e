"""Lines of an exact width, and the borders around them."""

from __future__ import annotations

from collections.abc import Sequence

from live.overlay.text import Line, Span

BAR = Span("│")


def border(corners: str, line: str, widths: Sequence[int]) -> Line:
    """A border over columns of those widths: corners are one more, the outer ones included."""
    parts = (corner + line * width for corner, width in zip(corners, widths, strict=False))
    return (Span("".join(parts) + corners[-1]),)


def framed(wide: int, line: Line = ()) -> Line:
    """A line between its frame's sides, `wide` cells with them."""
    return (BAR, *padded(line, wide - 2), BAR)


def apart(left: Line, right: Line, width: int) -> Line:
    """Both at their ends of exactly `width` cells; the left one gives way."""
    right = cut(right, width)
    return (*padded(left, width - _length(right)), *right)


def padded(line: Line, width: int) -> Line:
    """Exactly that many cells."""
    line = cut(line, width)
    return (*line, Span(" " * (width - _length(line))))


def cut(line: Line, width: int) -> Line:
    """At most that many cells."""
    spans = []
    for span in line:
        text = span.text[: max(0, width)]
        width -= len(text)
        if text:
            spans.append(span._replace(text=text))
    return tuple(spans)


def _length(line: Line) -> int:
    return sum(len(span.text) for span in line)
