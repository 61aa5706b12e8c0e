"""Where the pictures of a training come from, and what its samples are measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine.flowers.source import flowers
from engine.generator import choose_device
from engine.training.batches import Batches, Rendered, Shuffled
from engine.training.data import prepare
from engine.training.measure import Measure
from engine.training.options import Options, Report
from engine.training.pool import draw_ahead

MEASURED = {"cuda": 2048, "cpu": 512}
"""Pictures of either kind that are compared: more take a CPU, which draws flowers too, minutes."""

_TOGETHER = 64
_UNSEEN = 1 << 40  # of endless pictures: no training comes as far


def open_pictures(options: Options, side: int, cache: Path, report: Report) -> Batches:
    """Flowers, drawn when they are needed, or pictures, prepared in `cache`. Raises UserError."""
    if options.draws_flowers and options.pool is not None:
        device = choose_device(options.device)
        return draw_ahead(options.pool, side, options.seed, cache, report, device)
    if options.draws_flowers:
        return Rendered(flowers, side, options.seed)
    pictures = prepare(options.pictures, side, cache, report.say, mirror=options.mirror)
    return Shuffled(pictures, options.seed)


def measure_of(batches: Batches, device: torch.device) -> Callable[[Tensor], Mapping[str, float]]:
    """How far samples [N, 3, R, R] are from these pictures, by name."""
    measure = Measure.of(_references(batches, device), device)

    def distance(samples: Tensor) -> Mapping[str, float]:
        found = measure.distance([samples])
        return {"features": found.features, "patches": found.patches}

    return distance


def _references(batches: Batches, device: torch.device) -> Iterator[Tensor]:
    """Pictures drawn at random; of endless ones such as are not learned from."""
    most = MEASURED.get(device.type, MEASURED["cpu"])
    count = most if batches.count is None else min(batches.count, most)
    first = _UNSEEN if batches.count is None else 0
    for begin in range(0, count, _TOGETHER):
        yield batches.take(first + begin, min(_TOGETHER, count - begin), device).pictures
