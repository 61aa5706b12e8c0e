"""How far generated pictures are from real ones, with nothing downloaded.

Two distances, both 0 for two samples of the same pictures, both larger for worse ones:

features  Energy distance between features of a random network (`features`), times 1000. Sees
          palette, texture, and missing variety: a network that repeats a few pictures.
patches   Sliced Wasserstein distance between 7x7 patches (`patches`), times 1000, mean over the
          scales. Sees blur, noise, ripples, contrast; from the finest detail to the coarse.

Their limits. Neither knows what a picture is of: a flower with its parts in the wrong places may
measure well; eyes are needed. They compare runs on the same pictures with the same settings and
numbers of pictures; between data sets they mean nothing, and they are not FID, nor in its unit.
Pictures learned by heart measure best of all. Features have no places in them: where in a picture
things are counts only through the textures it makes. Differences of a few units between samples of
some hundred pictures are chance: `Measure.of` one half of the real pictures, `distance` to the
other, says how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training import patches
from engine.training.features import RandomFeatures, energy_distance, mean_distance

MOST = 2048
"""Pictures that are looked at, of either kind; what comes after them is left alone."""

_BATCH = 32  # pictures at a time, which bounds memory
_SEED = 0


@dataclass(frozen=True, slots=True)
class Distances:
    """What `Measure.distance` finds.

    Not a number where a picture holds what is none.

    features: 0 to 1000; chance can bring it a little below 0.
    patches: from 0, in thousandths of the real patches' deviation.
    scales: `patches` by scale: pixels along a level's side, and its distance; the finest first.
    """

    features: float
    patches: float
    scales: tuple[tuple[int, float], ...]


class Measure:
    """What is kept of the real pictures: made once, compared with again and again.

    The same pictures give the same distances on a CPU, and nearly the same on a GPU.
    """

    def __init__(
        self,
        network: RandomFeatures,
        features: Tensor,
        levels: list[patches.Level],
        resolution: int,
    ) -> None:
        """features: [N, D] of real pictures; levels: of the pyramid of this resolution."""
        self.resolution = resolution
        self._network = network
        self._levels = levels
        deviation, self._mean = torch.std_mean(features, dim=0, correction=0)
        # Each feature counts alike, whatever its size; one that never varies, hardly.
        self._scale = 1 / deviation.clamp(min=1e-3)
        self._features = self._scaled(features)
        self._within = mean_distance(self._features)

    @classmethod
    @torch.no_grad()
    def of(cls, real: Iterable[Tensor], device: str | torch.device = "cpu") -> Measure:
        """Batches [*, 3, R, R] in [-1, 1] of real pictures; at most MOST pictures are taken.

        They should be drawn at random from all. Raises ValueError: none, not square, below 7x7.
        """
        place = torch.device(device)
        network = RandomFeatures(_SEED).to(place)
        features, levels, resolution = _seen(real, network, place)
        directions = patches.directions_for(place, _SEED)
        summaries = [patches.summarised(level, directions) for level in levels]
        return cls(network, features, summaries, resolution)

    @torch.no_grad()
    def distance(self, fakes: Iterable[Tensor]) -> Distances:
        """Of generated pictures, batches as for `of`; they are clamped and rounded as if shown.

        As many as there were real ones are best. Raises ValueError: none, another resolution.
        """
        place = self._features.device
        features, levels, resolution = _seen(fakes, self._network, place)
        if resolution != self.resolution:
            raise ValueError(f"pictures of {resolution} pixels, real ones of {self.resolution}")
        apart = energy_distance(self._features, self._scaled(features), self._within)
        directions = patches.directions_for(place, _SEED)
        found = [
            1000 * patches.distance(mine, its, directions)
            for mine, its in zip(self._levels, levels, strict=True)
        ]
        scales = tuple((resolution >> number, value) for number, value in enumerate(found))
        return Distances(1000 * apart, sum(found) / len(found), scales)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features - self._mean) * self._scale


def _seen(
    pictures: Iterable[Tensor], network: RandomFeatures, device: torch.device
) -> tuple[Tensor, list[list[Tensor]], int]:
    """Features [N, D], each level's patches in pieces, and the resolution."""
    random = np.random.RandomState(_SEED)
    features: list[Tensor] = []
    levels: list[list[Tensor]] = []
    resolution = 0
    for batch in _batches(pictures):
        if batch.ndim != 4 or batch.shape[1] != 3 or not 7 <= batch.shape[2] == batch.shape[3]:
            raise ValueError(f"pictures [N, 3, R, R], R from 7, are needed, not {[*batch.shape]}")
        if resolution not in (0, batch.shape[2]):
            raise ValueError(f"pictures of {batch.shape[2]} pixels among some of {resolution}")
        resolution = batch.shape[2]
        seen = shown(batch.to(device))
        features.append(network(seen))
        for number, cut in enumerate(patches.cut(seen, random)):
            if number == len(levels):
                levels.append([])
            levels[number].append(cut)
    if not features:
        raise ValueError("there are no pictures to measure")
    return torch.cat(features), levels, resolution


def _batches(pictures: Iterable[Tensor]) -> Iterator[Tensor]:
    """The first MOST pictures, a few at a time. No more batches are asked for than are needed."""
    left = MOST
    for batch in pictures:
        for start in range(0, min(len(batch), left), _BATCH):
            yield batch[start : min(start + _BATCH, left)]
        left -= len(batch)
        if left <= 0:
            return


def shown(pictures: Tensor) -> Tensor:
    """What can be seen of them: 256 levels between -1 and 1, as real pictures have."""
    return pictures.float().clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)
