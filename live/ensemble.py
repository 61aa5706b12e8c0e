"""The networks of a show: which engines run, and the paths that their mapping makes possible.

At any time there are engines for what is on screen and for what comes next, so that a cue on
another network begins without a wait. Where the device cannot hold two, which shows in an engine
that ends while it loads, the engine of the old picture makes room as soon as the new one is due,
and its last frame bridges the change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from engine.errors import UserError
from engine.link import NetworkFacts
from engine.path import Path as Morph
from live import keys
from live.setlist import Cue, SetList
from live.source import Outage, Seed, Source

BURIAL_S = 0.5  # that the end of a show waits for its engines to be gone
STILLBORN = 3  # engines that may end while loading before their network counts as refused

Start = Callable[[Path, Iterable[Seed], int], Source]
"""Begins to make pictures with a network: its file, the seeds to map, the clock in ns."""


class Score:
    """The paths of a set list's cues, as far as their seeds are mapped."""

    def __init__(self, setlist: SetList) -> None:
        self.setlist = setlist
        self.paths: dict[int, Morph] = {}
        self.resolved: dict[int, keys.Resolved] = {}  # the keys of cues that have a path
        self._fitting: set[Path] = set()

    def network(self, cue: int) -> Path:
        """That of a cue."""
        return self.setlist.cues[cue].network

    def seeds(self, network: Path) -> set[Seed]:
        """What a network has to map."""
        return set[Seed]().union(*(keys.wanted(cue) for _, cue in self._cues(network)))

    def fit(self, network: Path, facts: NetworkFacts) -> None:
        """See that all keys of a network's cues fit it, once. Raises UserError.

        So a key that does not fit is found before the show begins and not when its cue comes.
        """
        if network not in self._fitting:
            for _, cue in self._cues(network):
                keys.fit(cue, facts)
            self._fitting.add(network)

    def build(
        self, network: Path, source: Source, facts: NetworkFacts, most: int | None = None
    ) -> None:
        """Build the paths of a network's cues whose seeds are mapped, so many of them at the most.

        Raises UserError.
        """
        self.fit(network, facts)
        ready = [
            (number, cue)
            for number, cue in self._cues(network)
            if number not in self.paths and keys.wanted(cue) <= source.mapped.keys()
        ]
        for number, cue in ready[:most]:
            self.resolved[number] = keys.resolve(cue, facts, source.mapped)
            self.paths[number] = keys.path_through(cue, self.resolved[number])

    def _cues(self, network: Path) -> list[tuple[int, Cue]]:
        return [(n, cue) for n, cue in enumerate(self.setlist.cues) if cue.network == network]


class Ensemble:
    """Every network of a set list, each with an engine only while it is needed.

    Another set list can be prepared meanwhile, and take over once its paths are there.
    """

    def __init__(self, setlist: SetList, start: Start) -> None:
        self._score = Score(setlist)
        self._coming: Score | None = None  # what is prepared...
        self._coming_cue = 0  # ...and the cue with which it takes over
        self.unfit: str | None = None  # why that cannot be performed
        self._start = start
        self._playing: dict[Path, Source] = {}
        self._not_beside: set[Path] = set()  # too large to be warmed up beside another
        self.refused: dict[Path, str] = {}  # networks that cannot be performed, and why
        self.facts: NetworkFacts | None = None  # of the first network that performed
        self.hashes: dict[Path, str] = {}  # SHA-256 of every network that performed
        self.restarts = 0  # of engines that are no longer needed
        self.outages: list[Outage] = []  # likewise

    @property
    def setlist(self) -> SetList:
        """What is performed."""
        return self._score.setlist

    @property
    def resolved(self) -> dict[int, keys.Resolved]:
        """The keys of cues that have a path."""
        return self._score.resolved

    @property
    def sources(self) -> tuple[Source, ...]:
        """Those that play just now."""
        return tuple(self._playing.values())

    def source(self, network: Path) -> Source | None:
        """What makes this network's pictures just now."""
        return self._playing.get(network)

    def facts_of(self, network: Path) -> NetworkFacts | None:
        """What is known of a network that plays just now."""
        source = self.source(network)
        return None if source is None else source.facts

    def path(self, cue: int) -> Morph | None:
        """The path of a cue, once its network has mapped the cue's seeds."""
        return self._score.paths.get(cue)

    def prepare(self, setlist: SetList, cue: int) -> bool:
        """Have a set list ready that is to take over with this cue; whether it is.

        Where its network cannot be loaded beside the present one it is as ready as it can be: the
        last picture bridges the change. Call it until it is; `unfit` says why it never will.
        """
        if self._coming is None or self._coming.setlist is not setlist:
            self._coming, self.unfit = Score(setlist), None
            self.refused.pop(self._coming.network(cue), None)  # its file may have been mended
        self._coming_cue = cue
        network = self._coming.network(cue)
        self.unfit = self.unfit or self.refused.get(network)
        if self.unfit is not None:
            return False
        return cue in self._coming.paths or network in self._not_beside

    def take_over(self) -> None:
        """The set list that was prepared is performed from here on; nothing is refused yet."""
        assert self._coming is not None
        self._score, self._coming = self._coming, None
        self.refused.clear()

    def drop(self) -> None:
        """What was prepared is not wanted any more."""
        self._coming, self.unfit = None, None

    def tend(self, due: Path, visible: Collection[Path], next_up: Path, now: int) -> None:
        """Once a frame: the network of the cue, those still on screen, the one that comes next."""
        if due not in self._playing and due not in self.refused:
            self._begin(due, now)
        lead = self._playing.get(due)
        wanted = {due, *visible}
        if lead is not None and lead.facts is not None:
            soon = [next_up]
            if self._coming is not None and self.unfit is None:
                soon.insert(0, self._coming.network(self._coming_cue))
            wanted |= set(soon)
            for network in soon:
                if network not in {*self._playing, *self.refused, *self._not_beside}:
                    self._begin(network, now)
        elif lead is not None and lead.stillborn:
            wanted = {due}  # it dies as it loads: give it the device to itself
        for network in self._playing.keys() - wanted:
            self._leave(network)
        for network, source in list(self._playing.items()):
            source.tend(now)
            self._look_at(network, source, is_due=network == due)

    def close(self) -> None:
        """End every engine."""
        for source in self.sources:
            source.close()
        deadline = time.monotonic() + BURIAL_S
        for source in self.sources:
            source.join(max(deadline - time.monotonic(), 0.0))

    def _look_at(self, network: Path, source: Source, is_due: bool) -> None:
        if source.refusal is not None:
            self._refuse(network, source.refusal)
        elif source.facts is not None:
            self.facts = self.facts or source.facts
            self.hashes[network] = source.facts.sha256
            self._build_paths(network, source, source.facts)
        elif not is_due and source.stillborn == 2:
            self._not_beside.add(network)
            self._leave(network)
        elif is_due and source.stillborn == STILLBORN:
            why = f"{network}: {STILLBORN} engines ended while loading it; try --device cpu"
            self._refuse(network, why)

    def _begin(self, network: Path, now: int) -> None:
        seeds = self._score.seeds(network)
        self._playing[network] = self._start(network, sorted(seeds, key=str), now)

    def _build_paths(self, network: Path, source: Source, facts: NetworkFacts) -> None:
        """All cues of the network at once, and those of the set list that is prepared."""
        try:
            self._score.build(network, source, facts)
        except UserError as error:
            self._refuse(network, str(error))
            return
        if self._coming is None or self.unfit is not None:
            return
        try:
            self._coming.fit(network, facts)  # before anything is asked of an engine that performs
            missing = self._coming.seeds(network) - source.mapped.keys()
            if missing:
                source.map(sorted(missing, key=str))
            self._coming.build(network, source, facts, most=1)  # all take longer than a frame
        except UserError as error:
            self.unfit = str(error)

    def _refuse(self, network: Path, why: str) -> None:
        if network in {cue.network for cue in self.setlist.cues}:
            self.refused[network] = why
        else:  # a mistake in what is prepared, which may be mended
            self.unfit = why
        self._leave(network)

    def _leave(self, network: Path) -> None:
        source = self._playing.pop(network)
        self.restarts += source.restarts
        self.outages += source.outages
        source.close()
