"""What a frame says of itself: where on which cue's path it lies, and the numbers that made it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from engine.link import Floats, NetworkFacts
from engine.path import Path as Morph
from live import control
from live.control import within
from live.overlay.stream import Caption, Identity
from live.setlist import Key, SetList
from live.show import Programme, Reading, Show

REMEMBERED = 256  # requests; an engine that is further behind gets no captions
LEAST_SHARE = 0.005  # of a key that is told: two digits are


class Known(Protocol):
    """What is known of networks and paths: `live.ensemble.Ensemble`."""

    def facts_of(self, network: Path) -> NetworkFacts | None:
        """Of a network that an engine plays."""

    def path(self, cue: int) -> Morph | None:
        """Of a cue whose keys are known."""


class _Taken(NamedTuple):
    at: int  # show time, ns
    ws: Floats
    asked_in: Show
    number: int


class Captions:
    """Remembers for every frame that was asked for the show's state which it was asked in.

    A frame is seen some time after that, when a desk may have changed the state again. In a
    cross-fade of two networks each has a frame on screen.
    """

    def __init__(self, setlist: SetList, programme: Programme, known: Known) -> None:
        self._setlist = setlist
        self._programme = programme
        self._known = known
        self._asked: dict[int, Show] = {}  # by the frame's show time, oldest first
        self._taken: dict[Path, _Taken] = {}

    def relist(self, setlist: SetList, programme: Programme) -> None:
        """Another set list is performed: frames that were asked for in the old one say nothing."""
        self._setlist, self._programme = setlist, programme
        self._asked.clear()
        self._taken.clear()

    def asked(self, show_time: int, show: Show) -> None:
        """Frames for that show time (ns) were asked for."""
        self._asked[show_time] = show
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def taken(self, network: Path, at: int, ws: Floats, number: int) -> None:
        """That for show time `at` came, as the show's frame of that number, and is on screen now.

        Its W+ is copied, some 3 us: the engine writes another frame's to the same place as soon as
        the stage holds a later frame, shown or not.
        """
        show = self._asked.get(at)
        if show is None:
            self.forget(network)
        else:
            self._taken[network] = _Taken(at, ws.copy(), show, number)

    def forget(self, network: Path) -> None:
        """Nothing of a network is on screen any more."""
        self._taken.pop(network, None)

    def newest(self, network: Path | None) -> Caption | None:
        """The caption of a network's frame on screen; None while there is none that is known."""
        if network is None or network not in self._taken:
            return None
        at, ws, asked_in, number = self._taken[network]
        facts = self._known.facts_of(network)
        if facts is None:
            return None
        show = control.advance(asked_in, at, self._programme)
        readings = [
            reading
            for reading in show.readings(at)
            if self._setlist.cues[reading.cue].network == network
            and self._known.path(reading.cue) is not None
        ]
        if not readings:
            return None
        main = max(readings, key=lambda reading: reading.weight)
        cue = self._setlist.cues[main.cue]
        return Caption(
            number=number,
            time_s=at / 1e9,
            cue=cue.name,
            cue_number=main.cue + 1,
            cues=len(self._setlist.cues),
            beat=within(main.beat, self._programme[main.cue]),
            bpm=show.transport.bpm,
            psi=show.psi.at(at),
            weights=self._weights(readings),
            ws=ws,
            w_avg=facts.w_avg,
            device=facts.device.partition(" ")[0],  # "cuda:0 (NVIDIA H100)"
            resolution=facts.resolution,
        )

    def _weights(self, readings: Sequence[Reading]) -> tuple[tuple[str, float], ...]:
        """The keys in a frame's W+ and how much of each, the most first.

        Of two cues in a cross-fade on one network those of both, as `live.wplus.blend` mixes them.
        """
        total = sum(reading.weight for reading in readings)
        shares: dict[str, float] = {}
        for reading in readings if total > 0.0 else readings[:1]:
            part = reading.weight / total if total > 0.0 else 1.0
            for name, share in self._keys(reading):
                shares[name] = shares.get(name, 0.0) + share * part
        seen = [(name, share) for name, share in shares.items() if abs(share) >= LEAST_SHARE]
        return tuple(sorted(seen, key=lambda pair: -abs(pair[1])))

    def _keys(self, reading: Reading) -> list[tuple[str, float]]:
        path = self._known.path(reading.cue)
        assert path is not None
        if reading.spring is None:
            weights = path.weights(reading.beat)
        else:
            spring = reading.spring
            weights = path.spring_weights(spring.seconds, spring.beats_per_second, reading.beat)
        keys = self._setlist.cues[reading.cue].keys
        return [(called(keys[i]), float(weights[i])) for i in np.flatnonzero(weights)]


def identity(setlist: SetList, cue: int) -> Identity:
    """Who plays what, as the terminal's scripts have it."""
    terminal, played = setlist.overlay.terminal, setlist.cues[cue]
    return Identity(
        user=terminal.user,
        host=terminal.host,
        setlist=setlist.file.name,
        cue=played.name,
        network=played.network.name,
        title=setlist.show.title,
        program=played.program,
    )


def called(key: Key) -> str:
    """What a key is called on screen, in few letters: one that is mixed has an asterisk."""
    return f"{key.called}*" if key.mix is not None else key.called
