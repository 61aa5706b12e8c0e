"""The networks of a show: which engines run, and the paths that their mapping makes possible.

At any time there are engines for what is on screen and for what comes next, so that a cue on
another network begins without a wait. Where the device cannot hold two, the engine of the old
picture makes room as soon as the new one is due, and its last frame bridges the change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.errors import UserError
from engine.link import NetworkFacts
from engine.path import Path as Morph
from live import keys
from live.setlist import Cue, SetList
from live.source import Seed, Source

log = logging.getLogger(__name__)

Start = Callable[[Path, Iterable[Seed], int], Source]
"""Begins to make pictures with a network: its file, the seeds to map, the clock in ns."""


class Ensemble:
    """Every network of a set list, each with an engine only while it is needed."""

    def __init__(self, setlist: SetList, start: Start) -> None:
        self._setlist = setlist
        self._start = start
        self._playing: dict[Path, Source] = {}
        self._paths: dict[int, Morph] = {}
        self._fitting: set[Path] = set()
        self.refused: dict[Path, str] = {}  # networks that cannot be performed, and why
        self.sources: list[Source] = []  # every one there was, for the statistics

    def source(self, network: Path) -> Source | None:
        """What makes this network's pictures just now."""
        return self._playing.get(network)

    def path(self, cue: int) -> Morph | None:
        """The path of a cue, once its network has mapped the cue's seeds."""
        return self._paths.get(cue)

    def tend(self, due: Path, visible: Iterable[Path], next_up: Path, now: int) -> None:
        """Once a frame: the network of the cue, those still on screen, the one that comes next."""
        lead = self._playing.get(due)
        wanted = [due, *visible]
        if lead is not None and lead.facts is not None:
            wanted.append(next_up)
        elif lead is not None and lead.restarts:
            wanted = [due]  # it dies as it loads: give it the device to itself
        for network in [n for n in self._playing if n not in wanted]:
            self._leave(network)
        for network in wanted:
            if network not in self._playing and network not in self.refused:
                self._begin(network, now)
        for network, source in list(self._playing.items()):
            source.tend(now)
            if source.refusal is not None:
                self._refuse(network, source.refusal)
            elif source.facts is not None:
                self._prepare(network, source, source.facts)

    def close(self) -> None:
        """End every engine."""
        for source in self._playing.values():
            source.close()
        for source in self._playing.values():
            source.join(timeout_s=1.0)
        self._playing.clear()

    def _begin(self, network: Path, now: int) -> None:
        seeds = set[Seed]().union(*(keys.wanted(cue) for _, cue in self._cues(network)))
        source = self._start(network, sorted(seeds, key=str), now)
        self._playing[network] = source
        self.sources.append(source)

    def _prepare(self, network: Path, source: Source, facts: NetworkFacts) -> None:
        """See that the keys fit, once the network is known; build the paths, once seeds are mapped.

        All cues of the network at once: a key that does not fit is found before the show begins
        and not when its cue comes.
        """
        try:
            if network not in self._fitting:
                for _, cue in self._cues(network):
                    keys.fit(cue, facts)
                self._fitting.add(network)
            for number, cue in self._cues(network):
                if number not in self._paths and keys.wanted(cue) <= source.mapped.keys():
                    self._paths[number] = keys.build_path(cue, facts, source.mapped)
        except UserError as error:
            self._refuse(network, str(error))

    def _refuse(self, network: Path, why: str) -> None:
        log.error("%s", why)
        self.refused[network] = why
        self._leave(network)

    def _leave(self, network: Path) -> None:
        self._playing.pop(network).close()

    def _cues(self, network: Path) -> list[tuple[int, Cue]]:
        return [(n, cue) for n, cue in enumerate(self._setlist.cues) if cue.network == network]
