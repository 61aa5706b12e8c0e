"""What a frame says of itself: where on which cue's path it lies, and the numbers that made it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.link import Floats
from live import control
from live.ensemble import Ensemble
from live.overlay.stream import Caption
from live.setlist import Cue, Key, SetList
from live.show import Programme, Reading, Show
from live.source import Frame

REMEMBERED = 256  # requests; an engine that is further behind gets no captions


class _Taken(NamedTuple):
    network: Path
    at: int  # show time, ns
    ws: Floats
    asked_in: Show
    number: int


class Captions:
    """Remembers for every frame that was asked for the show's state which it was asked in.

    A frame is seen some time after that, when a desk may have changed the state again.
    """

    def __init__(self, setlist: SetList, programme: Programme, ensemble: Ensemble) -> None:
        self._setlist = setlist
        self._programme = programme
        self._ensemble = ensemble
        self._asked: dict[int, Show] = {}  # by the frame's show time, oldest first
        self._taken: _Taken | None = None

    def asked(self, show_time: int, show: Show) -> None:
        """A frame for that show time (ns) was asked for."""
        self._asked[show_time] = show
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def taken(self, network: Path, frame: Frame, number: int) -> None:
        """It came, as the show's frame of that number, and is on screen from now on.

        Its W+ is copied, some 3 us: the engine writes another frame's to the same place as soon as
        the stage holds a later frame, shown or not.
        """
        at = frame.header.show_time
        show = self._asked.get(at)
        self._taken = None if show is None else _Taken(network, at, frame.ws.copy(), show, number)

    def newest(self) -> Caption | None:
        """The caption of the frame on screen; None while there is none that was asked for here."""
        if self._taken is None:
            return None
        network, at, ws, asked_in, number = self._taken
        source = self._ensemble.source(network)
        if source is None or source.facts is None:
            return None
        show = control.advance(asked_in, at, self._programme)
        cue = self._setlist.cues[show.voice.cue]
        return Caption(
            number=number,
            time_s=at / 1e9,
            cue=cue.name,
            cue_number=show.voice.cue + 1,
            cues=len(self._setlist.cues),
            beat=control.position(show, at, self._programme) * cue.duration,
            bpm=show.transport.bpm,
            psi=show.psi,
            weights=self._weights(network, show.readings(at)),
            ws=ws,
            w_avg=source.facts.w_avg,
            device=source.facts.device.partition(" ")[0],  # "cuda:0 (NVIDIA H100)"
            resolution=source.facts.resolution,
        )

    def _weights(
        self, network: Path, readings: tuple[Reading, ...]
    ) -> tuple[tuple[str, float], ...]:
        """The keys in the frame's W+ and how much of each, the most first.

        Of two cues in a cross-fade on one network those of both, as `live.app.blend` mixes them.
        """
        cues = [(reading, self._setlist.cues[reading.cue]) for reading in readings]
        there = [(reading, cue) for reading, cue in cues if cue.network == network]
        total = sum(reading.weight for reading, _ in there) or 1.0
        shares: dict[str, float] = {}
        for reading, cue in there:
            for name, share in self._keys(reading, cue):
                shares[name] = shares.get(name, 0.0) + share * reading.weight / total
        seen = [(name, share) for name, share in shares.items() if abs(share) >= 0.005]
        return tuple(sorted(seen, key=lambda pair: -abs(pair[1])))

    def _keys(self, reading: Reading, cue: Cue) -> list[tuple[str, float]]:
        path = self._ensemble.path(reading.cue)
        if path is None:
            return []
        if reading.spring is None:
            weights = path.weights(reading.beat)
        else:
            spring = reading.spring
            weights = path.spring_weights(spring.seconds, spring.beats_per_second, reading.beat)
        passed = np.flatnonzero(weights)
        return [(called(cue.keys[i]), float(weights[i])) for i in passed]


def called(key: Key) -> str:
    """What a key is called on screen: its seed, or its latent's name without its folder."""
    part = f"seed {key.seed}" if key.latent is None else key.latent.stem
    return f"{part}*" if key.mix is not None else part
