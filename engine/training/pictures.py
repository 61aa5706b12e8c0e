"""Where the pictures of a training come from, and what its samples are measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import UserError
from engine.flowers.source import flowers
from engine.generator import choose_device
from engine.training.batches import Batches, Rendered, Shuffled
from engine.training.data import prepare
from engine.training.fid import Gaussian, frechet_distance, inception_features
from engine.training.inception import Inception, load_inception
from engine.training.measure import Measure
from engine.training.options import Options, Report
from engine.training.pool import Pool, draw_ahead
from engine.weights.inception import find_inception

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
    if (
        options.out.exists()
        and options.pictures.exists()
        and options.out.samefile(options.pictures)
    ):
        raise UserError(
            f"-o {options.out}: is where the pictures are, and grids would be learned from: name "
            "another folder"
        )
    pictures = prepare(options.pictures, side, cache, report.say, mirror=options.mirror)
    return Shuffled(pictures, options.seed)


def open_inception(options: Options, device: torch.device, report: Report) -> Inception | None:
    """What FID is measured with, if the user has it. Raises UserError for a file that was named."""
    try:
        path = find_inception(options.inception)
        return None if path is None else load_inception(path, device)
    except UserError as error:
        if options.inception is not None:
            raise
        report.say(f"without fid: {error}")
        return None


def measure_of(
    batches: Batches, device: torch.device, inception: Inception | None, report: Report
) -> Callable[[Iterable[Tensor]], Mapping[str, float]]:
    """How far samples, batches [n, 3, R, R], are from these pictures, by name."""
    if isinstance(batches, Pool):
        batches = batches.series()
    if inception is None:
        measure = Measure.of(_references(batches, device), device)
        return lambda samples: _distances(measure, samples)
    count = _count(batches, device)
    report.say(
        f"fid: between {count} pictures and {measured(device)} of the network's: compares "
        "trainings on them, and nothing with published FIDs, which are of 50000"
    )
    features: list[Tensor] = []
    measure = Measure.of(_seen(_references(batches, device), inception, features), device)
    real = Gaussian.of(torch.cat(features))

    def distances(samples: Iterable[Tensor]) -> Mapping[str, float]:
        features: list[Tensor] = []
        found = _distances(measure, _seen(samples, inception, features))
        return {**found, "fid": frechet_distance(real, Gaussian.of(torch.cat(features)))}

    return distances


def measured(device: torch.device) -> int:
    """Generated pictures that are compared, and real ones at most."""
    return MEASURED.get(device.type, MEASURED["cpu"])


def _distances(measure: Measure, samples: Iterable[Tensor]) -> dict[str, float]:
    found = measure.distance(samples)
    return {"features": found.features, "patches": found.patches}


def _seen(
    pictures: Iterable[Tensor], inception: Inception, features: list[Tensor]
) -> Iterator[Tensor]:
    """The pictures, whose features are kept as they pass: drawing them twice takes minutes."""
    for batch in pictures:
        features.append(inception_features(inception, [batch]))
        yield batch


def _count(batches: Batches, device: torch.device) -> int:
    most = measured(device)
    return most if batches.count is None else min(batches.count, most)


def _references(batches: Batches, device: torch.device) -> Iterator[Tensor]:
    """Pictures drawn at random; of endless ones such as are not learned from."""
    count = _count(batches, device)
    first = _UNSEEN if batches.count is None else 0
    for begin in range(0, count, _TOGETHER):
        yield batches.take(first + begin, min(_TOGETHER, count - begin), device).pictures
