"""From the show's state to the final W+ of every network that is on. Pure, and exact to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.link import Floats
from engine.path import Path as Morph
from live.show import Programme, Reading, Show, advance


def wplus_at(
    show: Show,
    at: int,
    programme: Programme,
    networks: Sequence[Path],
    path_of: Callable[[int], Morph | None],
) -> dict[Path, Floats]:
    """The final W+ at show time `at` (ns), for each network that is on: [num_ws, w_dim].

    `networks` and `path_of` are those of the cues; what has no path yet is left out. Two cues in a
    cross-fade on one network become one W+ between theirs, so that a flower turns into the other
    instead of fading through it.
    """
    show = advance(show, at, programme)
    layers: dict[Path, list[tuple[float, Floats]]] = {}
    for reading in show.readings(at):
        path = path_of(reading.cue)
        if path is not None:
            layer = (reading.weight, read(path, reading, show.psi.at(at)))
            layers.setdefault(networks[reading.cue], []).append(layer)
    return {network: blend(readings) for network, readings in layers.items()}


def read(path: Morph, reading: Reading, psi: float) -> Floats:
    """The final W+ at a place of a cue's path, or of its swing past the end."""
    if reading.spring is None:
        return path.at(reading.beat, psi)
    spring = reading.spring
    return path.spring_at(spring.seconds, spring.beats_per_second, psi, reading.beat)


def blend(layers: Sequence[tuple[float, Floats]]) -> Floats:
    """The weighted mean of W+, in float64 as everything along a path; of one, itself."""
    if len(layers) == 1:
        return layers[0][1]
    total = sum(weight for weight, _ in layers)
    if total <= 0.0:  # all of them covered by other networks' pictures
        return layers[0][1]
    mean = sum(weight / total * ws.astype(np.float64) for weight, ws in layers)
    return np.asarray(mean, np.float32)
