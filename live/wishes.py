"""What the desk wants of the set list, made ready on a thread, beside what somebody saves.

To the stage a wish is a set list that was saved: it takes over on the next beat, prepared, and a
take keeps it.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from typing import NamedTuple

from engine.errors import UserError
from engine.weights.containers import glance
from live.edits import Saved
from live.recast import Wish, recast
from live.reload import Editing
from live.setlist import SetList
from live.take import latents, sha256_of

log = logging.getLogger(__name__)

PATIENCE_NS = 5_000_000_000  # of show time: what has not come true by then is given up
MOST = 64  # wishes that wait
_MOST_SAID = 100  # different ones that could not be fulfilled


class _Asked(NamedTuple):
    setlist: SetList  # that was performed then
    wishes: list[Wish]


class Wishes:
    """An `Editing` that a desk can add to. `start` begins its thread; nothing here waits."""

    def __init__(self, edits: Editing) -> None:
        self._edits = edits
        self._waiting: queue.Queue[_Asked | None] = queue.Queue(MOST)
        self._ready: queue.Queue[Saved] = queue.Queue(MOST)
        self._said: set[str] = set()
        self._made: list[tuple[int, Wish]] = []  # and when; on the list that is performed now
        self._performed: SetList | None = None
        self._thread = threading.Thread(target=self._make, name="wishes", daemon=True)

    def start(self) -> None:
        """Begin to fulfil."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; nobody waits for a disk that hangs."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def wish(self, wish: Wish, setlist: SetList, at: int) -> None:
        """Want something of the set list that is performed at show time `at` (ns).

        What was wanted a moment ago and has not come yet is wanted still.
        """
        if setlist is not self._performed:
            self._performed, self._made = setlist, []
        same = wish[0], wish.network is None, wish.key
        self._made = [
            (since, one)
            for since, one in self._made
            if at - since < PATIENCE_NS and (one.cue, one.network is None, one.key) != same
        ]
        self._made = [*self._made[1 - MOST :], (at, wish)]
        with suppress(queue.Full):  # a flood: those that wait are as good
            self._waiting.put_nowait(_Asked(setlist, [one for _, one in self._made]))

    def newest(self) -> Saved | str | None:
        """See `Editing`; what was saved goes before what was wished."""
        saved = self._edits.newest()
        newest: Saved | None = None
        while not self._ready.empty():
            newest = self._ready.get_nowait()
        return newest if saved is None else saved

    def _make(self) -> None:
        """Thread: fulfil the newest of what waits."""
        while (asked := self._waiting.get()) is not None:
            while not self._waiting.empty():
                later = self._waiting.get()
                if later is None:
                    return
                asked = later
            made = self._fulfilled(asked)
            if made is not None:
                self._ready.put(made)

    def _fulfilled(self, asked: _Asked) -> Saved | None:
        """The set list with the wishes that can be fulfilled; what is wrong with others is said."""
        made, good = None, list[Wish]()
        with suppress(UserError, ValueError):
            return _saved(recast(asked.setlist, asked.wishes))
        for wish in asked.wishes:
            try:
                made = _saved(recast(asked.setlist, [*good, wish]))
                good.append(wish)
            except (UserError, ValueError) as error:
                self._refuse(str(error))
        return made

    def _refuse(self, why: str) -> None:
        """A desk that floods is not to push the operator's other lines away."""
        if why not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(why)
            log.warning("the set list stays as it was: %s", why)


def _saved(setlist: SetList) -> Saved:
    """Raises UserError for files that cannot be used."""
    for network in {cue.network for cue in setlist.cues}:
        glance(network)
    return Saved(setlist, {path: sha256_of(path) for path in sorted(latents(setlist))}, wished=True)
