"""What a desk sent and what became of it, for somebody who watches; bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

KEPT = 500  # lines
ANSWERED, SUBSCRIBED = "answered", "subscribed"  # outcomes of what asks rather than moves anything


class Heard(NamedTuple):
    """A message as it came."""

    address: str
    args: Sequence[object] = ()

    def __str__(self) -> str:
        said = " ".join(map(_word, (self.address, *self.args)))
        return said if len(said) <= 120 else said[:119] + "…"


class Line(NamedTuple):
    """A message, who sent it, and what it did or why it did nothing."""

    host: str
    heard: Heard
    outcome: str


class Trace:
    """The newest lines that nobody has taken."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self.lost = 0  # lines, because they were not taken

    def add(self, line: Line) -> None:
        """One more; the oldest is lost where there are too many."""
        self.lost += len(self._lines) == KEPT
        self._lines.append(line)

    def take(self, most: int) -> list[Line]:
        """Up to so many lines, the oldest first."""
        return [self._lines.popleft() for _ in range(min(most, len(self._lines)))]


def _word(arg: object) -> str:
    """An argument as a person types it: strings come from strangers, and stay in one line."""
    if isinstance(arg, float):
        return f"{arg:.6g}"
    if isinstance(arg, str):
        plain = arg.isprintable() and arg and " " not in arg
        return arg if plain else repr(arg)
    return f"{len(arg)} bytes" if isinstance(arg, bytes) else str(arg)
