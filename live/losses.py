"""What a film lacks, by name: pictures that are missing and frames that repeat the one before.

Both are kept as runs of whole numbers, 32 bytes at the most each: a good show keeps none.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple


class Missing(NamedTuple):
    """Pictures in a row that a film should have had: the show times (ns) of the first and last."""

    first_ns: int
    last_ns: int
    pictures: int


class Repeated(NamedTuple):
    """Frames in a row that repeat the one before them: the index of the first, and how many."""

    first: int
    frames: int


class Lost:
    """Pictures that are lost, each with its number among all that the film was due, ascending."""

    def __init__(self) -> None:
        self.pictures = 0
        self._runs = array("q")  # first number, pictures, first_ns, last_ns of each run

    def add(self, number: int, show_time_ns: int) -> None:
        """Note one more."""
        runs = self._runs
        if runs and runs[-4] + runs[-3] == number:
            runs[-1] = show_time_ns
            runs[-3] += 1
        else:
            runs.extend((number, 1, show_time_ns, show_time_ns))
        self.pictures += 1

    def runs(self, newest: int | None = None) -> list[tuple[int, Missing]]:
        """Every run with the number of its first picture, or only the newest."""
        kept = self._runs[:] if newest is None else self._runs[-4 * newest :]
        rows = (kept[i : i + 4] for i in range(0, len(kept) - 3, 4))
        return [(number, Missing(first, last, n)) for number, n, first, last in rows]


class Repeats:
    """Frames that repeat the one before them."""

    def __init__(self) -> None:
        self._runs = array("q")  # first index, frames of each run

    def add(self, index: int) -> None:
        """Note one more; the indices ascend."""
        runs = self._runs
        if runs and runs[-2] + runs[-1] == index:
            runs[-1] += 1
        else:
            runs.extend((index, 1))

    def runs(self, newest: int | None = None) -> list[Repeated]:
        """Every run, or only the newest."""
        kept = self._runs[:] if newest is None else self._runs[-2 * newest :]
        return [Repeated(kept[i], kept[i + 1]) for i in range(0, len(kept) - 1, 2)]


def joined(runs: Iterable[tuple[int, Missing]]) -> list[Missing]:
    """The runs of several `Lost` in the order of their numbers; what adjoins becomes one."""
    found: list[Missing] = []
    after = None
    for number, run in sorted(runs):
        if found and number == after:
            first_ns, _, pictures = found[-1]
            found[-1] = Missing(first_ns, run.last_ns, pictures + run.pictures)
        else:
            found.append(run)
        after = number + run.pictures
    return found
