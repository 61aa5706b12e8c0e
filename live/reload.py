"""The set list that was saved while another is performed: prepared, and there on the next beat."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from live.edits import Saved
from live.ensemble import Ensemble
from live.relist import heir
from live.setlist import SetList, programme
from live.show import Show


class Editing(Protocol):
    """What tells of a set list that was saved: `live.edits.Edits`."""

    def newest(self) -> Saved | str | None:
        """What was saved since the last call, or what is wrong with it, in one line."""


class Reload:
    """Brings in what was saved. The stage asks it once a frame; it never waits.

    `say` tells the operator a line.
    """

    def __init__(self, edits: Editing, ensemble: Ensemble, say: Callable[[str], None]) -> None:
        self._edits = edits
        self._ensemble = ensemble
        self._say = say
        self._saved: Saved | None = None  # and is being prepared
        self._beat: float | None = None  # of the transport, on which it takes over
        self._looked_ns = 0  # when it was last asked what is due: nothing happens before

    def tend(self, show: Show, at: int) -> None:
        """Once a frame: prepare what was saved, and choose the beat once that is done."""
        newest = self._edits.newest()
        if isinstance(newest, str):
            self._refuse(newest)
        elif newest is not None and not (newest.wished and self._edited):
            self._saved, self._beat = newest, None
        if self._saved is None:
            return
        ready = self._prepared(self._saved, show)
        if self._ensemble.unfit is not None:
            self._refuse(self._ensemble.unfit)
        elif not ready:
            self._beat = None  # another cue came meanwhile
        elif self._beat is None:
            self._beat = math.floor(show.transport.beat_at(at)) + 1.0

    def due(self, show: Show, at: int) -> tuple[int, Saved] | None:
        """Once a frame, before anything else happens to the show: what takes over, and when (ns).

        That is in the very ns of the beat, `at` or a little before; at once where no beat comes.
        """
        since, self._looked_ns = self._looked_ns, at
        if self._saved is None or self._beat is None or not self._prepared(self._saved, show):
            return None
        moment = show.transport.reaches(self._beat, since)
        if moment is not None and moment > at:
            return None
        saved, self._saved, self._beat = self._saved, None, None
        return (at if moment is None else moment), saved

    def tell(self, before: SetList, after: SetList) -> None:
        """Say that it was done, and what of the new list counts only from the next start."""
        later = {
            "[osc]": before.osc != after.osc,
            "[output]": before.output != after.output,
            "[overlay]": before.overlay.with_programs(after.overlay) != after.overlay,
        }
        tables = " and ".join(table for table, differs in later.items() if differs)
        rest = f"; {tables} from the next start" if tables else ""
        self._say(f"{after.file}: performed from here{rest}")

    @property
    def _edited(self) -> bool:
        """Whether what somebody saved is on its way: a wish knows nothing of it, and is void."""
        return self._saved is not None and not self._saved.wished

    def _prepared(self, saved: Saved, show: Show) -> bool:
        old, new = programme(self._ensemble.setlist), programme(saved.setlist)
        return self._ensemble.prepare(saved.setlist, heir(old, show.voice.cue, new))

    def _refuse(self, why: str) -> None:
        """The old one is performed on, whatever was on its way before."""
        self._saved = self._beat = None
        self._ensemble.drop()
        self._say(f"the set list stays as it was: {why}")
