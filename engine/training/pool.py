"""Flowers drawn ahead: where drawing takes half as long as learning, each is used repeatedly.

A pool is an array in the training's folder; a training that goes on finds it there.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from engine.errors import UserError
from engine.flowers.source import flowers, latents
from engine.training.arrays import make_room, mapped, write_header
from engine.training.batches import Batch, Rendered
from engine.training.data import Pictures
from engine.training.options import InterruptedTrainingError, Report
from engine.weights.whole import whole

_VERSION = 1  # of what the renderer draws
_TOGETHER = 64
_TELL_S = 60.0


class Pool:
    """The first flowers of a series, in an order that is shuffled anew each time round.

    pictures: those flowers. seed: of the series, and of the order.
    """

    def __init__(self, pictures: Pictures, seed: int) -> None:
        self._pictures, self._order = pictures, pictures.order(seed)
        self._latents = latents(seed, len(pictures))
        self._seed = seed
        self.resolution: int = pictures.resolution
        self.count: int | None = len(pictures)

    def take(self, first: int, count: int, where: torch.device) -> Batch:
        """The pictures at those places of the order, with their latents."""
        indices = self._order.take(first, count)
        chosen = self._latents[torch.from_numpy(indices)].to(where)
        return Batch(self._pictures.batch(indices, where), chosen)

    def series(self) -> Rendered:
        """All of the series, which begins with those in the pool and never ends."""
        return Rendered(flowers, self.resolution, self._seed)


def draw_ahead(
    count: int, resolution: int, seed: int, cache: Path, report: Report, device: torch.device
) -> Pool:
    """The first `count` flowers of series `seed`, drawn on that device, or found in `cache`.

    Raises UserError for a disk that does not hold them, InterruptedTrainingError.
    """
    out = cache / f"flowers-{resolution}-v{_VERSION}-{seed}-{count}.npy"
    pixels = mapped(out, resolution)
    if pixels is None or len(pixels) != count:
        _draw(count, resolution, seed, out, report, device)
        pixels = mapped(out, resolution)
        if pixels is None:
            raise UserError(f"{out}: was changed as soon as it was written: try again")
    for other in cache.glob("flowers-*.npy"):
        if other != out:
            other.unlink()  # a pool is drawn again sooner than a disk is emptied
    return Pool(Pictures(pixels), seed)


def _draw(
    count: int, resolution: int, seed: int, out: Path, report: Report, device: torch.device
) -> None:
    make_room(out.parent, count, resolution, "flowers")
    began = told = time.monotonic()
    with whole(out) as stream:
        write_header(stream, count, resolution)
        for first in range(0, count, _TOGETHER):
            if report.stopped():
                raise InterruptedTrainingError
            some = min(_TOGETHER, count - first)
            _, pictures = flowers(seed, some, resolution, device, first)
            levels = pictures.add(1).mul(127.5).round().to(torch.uint8)
            stream.write(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy().tobytes())
            now, done = time.monotonic(), first + some
            if first == 0 or now - told > _TELL_S:
                told = now
                left = (now - began) / done * (count - done) / 60
                report.say(f"{done} of {count} flowers drawn ahead, {left:.0f} minutes left")
