"""What a training tells of itself: a line of JSON now and then, and a chart of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from engine.errors import UserError
from engine.weights.whole import whole

_PANELS = (
    ("losses", ("generator", "discriminator")),
    ("R1", ("r1",)),
    ("path length", ("path",)),
    ("sign of the discriminator, p of the augmentation", ("sign", "p")),
    ("distance to the data", ("features", "patches")),
    ("FID to the data, of the pictures that were measured", ("fid",)),
    ("distance to the pair", ("pairs",)),
    ("detours of a morph", ("detours",)),
)
_COLOURS = ((233, 84, 32), (94, 170, 220))
_PAPER, _INK, _FAINT = (24, 24, 26), (220, 220, 220), (64, 64, 68)
_WIDTH, _HEIGHT = 1200, 220  # of a panel
_LEFT, _RIGHT, _ABOVE, _BELOW = 90, 30, 36, 28
_POINTS = 1100  # drawn of each line; more would not be seen


class Log:
    """The lines of one training, kept in its file as they come."""

    def __init__(self, path: Path, pictures: int) -> None:
        """Goes on after so many pictures: what was told of later ones is taken back."""
        self._path = path
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            for text in path.read_text("utf-8", "replace").splitlines():
                line = _parsed(text)
                if line is not None and line["pictures"] <= pictures:
                    self.lines.append(line)
            self.rewrite()

    def rewrite(self) -> None:
        """Write all lines as they are now. Raises UserError."""
        with whole(self._path) as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in self.lines).encode())

    def add(self, line: dict[str, Any]) -> None:
        """Append it. Raises UserError."""
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written ({error.strerror})") from error
        self.lines.append(line)


def _parsed(text: str) -> dict[str, Any] | None:
    """A line, or None if a kill cut it."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("pictures"), int) else None


def write_chart(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """A panel for each kind of number there is, over kimg. Raises UserError."""
    panels = [
        (title, found)
        for title, names in _PANELS
        if (found := [(name, _series(lines, name)) for name in names if _series(lines, name)])
    ]
    sheet = Image.new("RGB", (_WIDTH, max(len(panels), 1) * _HEIGHT), _PAPER)
    for index, (title, found) in enumerate(panels):
        panel = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
        _draw(ImageDraw.Draw(panel), title, found, lines[-1]["pictures"] / 1000)
        sheet.paste(panel, (0, index * _HEIGHT))
    with whole(path) as stream:
        sheet.save(stream, "PNG")


Series = list[tuple[float, float]]


def _series(lines: Sequence[dict[str, Any]], name: str) -> Series:
    """(kimg, value), at most as many as can be seen: neighbours are averaged."""
    points = [(line["pictures"] / 1000, float(line[name])) for line in lines if name in line]
    together = -(-len(points) // _POINTS)
    groups = [points[i : i + together] for i in range(0, len(points), max(together, 1))]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _draw(
    draw: ImageDraw.ImageDraw, title: str, found: list[tuple[str, Series]], last: float
) -> None:
    """One panel, from 0 to `last` kimg."""
    font = ImageFont.load_default(14)
    ys = sorted(y for _, series in found for _, y in series)
    # A few wild numbers at the start would press all others flat.
    low, high = ys[len(ys) // 100], ys[-1 - len(ys) // 100]
    low, high = min(low, 0.0), max(high, low + 1e-6)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BELOW

    def place(x: float, y: float) -> tuple[float, float]:
        share = min(max((y - low) / (high - low), 0), 1)
        return _LEFT + x / last * (right - _LEFT), bottom - share * (bottom - _ABOVE)

    for tick in range(5):
        value = low + (high - low) * tick / 4
        y = place(0, value)[1]
        draw.line([(_LEFT, y), (right, y)], _FAINT)
        draw.text((_LEFT - 8, y), f"{value:.3g}", _INK, font, anchor="rm")
        x = place(last * tick / 4, low)[0]
        unit = " kimg" if tick == 4 else ""
        anchor = "rt" if tick == 4 else "mt"
        draw.text((x, bottom + 6), f"{last * tick / 4:.4g}{unit}", _INK, font, anchor=anchor)
    draw.text((_LEFT, 10), title, _INK, font)
    for index, (name, series) in enumerate(found):
        draw.text((right - 150 * index, 10), name, _COLOURS[index], font, anchor="ra")
        points = [place(x, y) for x, y in series]
        if len(points) == 1:
            points.append(points[0])
        draw.line(points, _COLOURS[index], 2)
