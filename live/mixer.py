"""Which network's picture the audience sees, and the cross-fade from one to the next.

The show's state says which cue is on at once; a picture of its network may take seconds to be
there. The mixer bridges that: it leaves what is on screen until the new picture exists, and begins
the fade only then. Before the first frame what is on screen is nothing, or the holding picture, so
the fade in of a show is a cross-fade like any other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from live.levels import eased


@dataclass(frozen=True, slots=True)
class Mix:
    """Two pictures and how far the second has come in: 0 shows the first alone, 1 the second.

    None stands for what is there before any network's picture: black, or the holding picture.
    """

    first: Path | None
    second: Path | None
    amount: float


class Mixer:
    """Follows the network of the cue, one cross-fade at a time so that nothing ever jumps."""

    def __init__(self) -> None:
        self._shown: Path | None = None
        self._incoming: Path | None = None
        self._began = 0
        self._fade = 0

    @property
    def shown(self) -> tuple[Path, ...]:
        """The networks whose pictures are visible now."""
        return tuple(n for n in (self._shown, self._incoming) if n is not None)

    def follow(self, wanted: Path, there: Collection[Path], fade: int, at: int) -> Mix:
        """The mix at show time `at`, given the cue's network and those that have a picture.

        `fade` is how long a cross-fade that begins now takes, in ns.
        """
        if self._incoming is not None and at - self._began >= self._fade:
            self._shown, self._incoming = self._incoming, None
        if self._incoming is None:
            if wanted == self._shown or wanted not in there:
                return Mix(self._shown, None, 0.0)
            self._incoming, self._began, self._fade = wanted, at, fade
        share = eased((at - self._began) / self._fade) if self._fade else 1.0
        return Mix(self._shown, self._incoming, share)
