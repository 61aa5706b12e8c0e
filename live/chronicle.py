"""The last minutes of the GPUs and of the host, as the monitor's graphs draw them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from live.cards import Card
from live.host import Host

INTERVAL_S = 0.5
HISTORY = 400  # values: two a cell of a graph, 200 cells wide

Percentages: TypeAlias = tuple[float | None, ...]
"""The oldest first, 0 to 100, `Histories.interval_s` apart; None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class CardHistory:
    """One card's last minutes."""

    utilisation: Percentages
    memory: Percentages


@dataclass(frozen=True, slots=True)
class Histories:
    """The last minutes: at most `HISTORY` values of each; `cards` in the order of the sample's."""

    interval_s: float = INTERVAL_S
    cpu: Percentages = ()
    memory: Percentages = ()
    cards: tuple[CardHistory, ...] = ()


class Chronicle:
    """The last minutes of everything, a value an interval, with gaps where a sample was late."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._began: int | None = None
        self._place = -1  # of the newest values, in intervals since then
        self._lines: dict[tuple[str, int], deque[float | None]] = {}

    def add(self, now: int, host: Host, cards: Sequence[Card]) -> Histories:
        """Note the values of a sample taken at `now`, and return all."""
        values = {("cpu", 0): host.cpu, ("memory", 0): host.memory_share}
        for card in cards:
            values["utilisation", card.index] = card.utilisation
            values["card memory", card.index] = card.memory_share
        for name in values.keys() - self._lines.keys():
            self._lines[name] = deque(maxlen=HISTORY)
        self._advance(now)
        for name, line in self._lines.items():
            line.append(values.get(name))
        return Histories(
            self._interval_s,
            tuple(self._lines["cpu", 0]),
            tuple(self._lines["memory", 0]),
            tuple(
                CardHistory(
                    tuple(self._lines["utilisation", card.index]),
                    tuple(self._lines["card memory", card.index]),
                )
                for card in cards
            ),
        )

    def _advance(self, now: int) -> None:
        """Make the next value's place the last one, so that a place back is an interval ago."""
        if self._began is None:
            self._began = now
        place = round((now - self._began) / 1e9 / self._interval_s)
        steps = min(HISTORY, place - self._place)
        for line in self._lines.values():
            if steps > 0:
                line.extend([None] * (steps - 1))
            elif line:
                line.pop()  # two samples of one interval: the newer counts
        self._place = max(place, self._place)
