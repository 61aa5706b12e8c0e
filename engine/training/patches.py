"""Sliced Wasserstein distance between patches of pictures, scale by scale.

Karras et al., "Progressive Growing of GANs" (2018), section 5: a Laplacian pyramid from 16 pixels
to the full size, patches of 7x7 from random places of each level, and the mean distance between
their sorted projections on random directions (Rabin et al., "Wasserstein Barycenter and Its
Application to Texture Mixing", 2011).

Otherwise than there, both sets are scaled by the deviation of the real one, level by level and
colour by colour: there each by its own mean and deviation, which hides a shift of colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PATCH = 7
"""Pixels along a patch's side."""

A_PICTURE = 64
"""Patches that are cut from each level of a picture."""

_SMALLEST = 16  # pixels along a side of the last level
_DIRECTIONS = 128
_QUANTILES = 2048  # of a projection, that are compared
_GREY_LEVEL = 2 / 255  # for pictures in [-1, 1]


@dataclass(frozen=True, slots=True)
class Level:
    """What is kept of the real patches of one level.

    deviation: [3, 1], of each colour.
    quantiles: [_QUANTILES, _DIRECTIONS] of what patches are on each direction, ascending.
    """

    deviation: Tensor
    quantiles: Tensor


def cut(pictures: Tensor, random: np.random.RandomState) -> list[Tensor]:
    """[N, 3, R, R], R >= 7 -> patches [N * A_PICTURE, 3, 49] of each level, the finest first.

    random: numpy's, drawn from picture by picture, so that places are the same on all devices and
        however pictures are batched.
    """
    levels = pyramid(pictures)
    drawn = random.random_sample((len(pictures), len(levels), A_PICTURE, 2))
    return [_patches(level, drawn[:, number]) for number, level in enumerate(levels)]


def pyramid(pictures: Tensor) -> list[Tensor]:
    """[N, 3, R, R] -> what each size adds to the one half of it, down to 16 pixels or an odd size.

    The last is the picture itself at that size; all, each enlarged and added to the next finer,
    give the picture.
    """
    levels = []
    current = pictures
    while current.shape[2] >= 2 * _SMALLEST and current.shape[2] % 2 == 0:
        smaller = _blurred(current)[:, :, ::2, ::2]
        levels.append(current - enlarged(smaller))
        current = smaller
    return [*levels, current]


def enlarged(pictures: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], as the pyramid has it."""
    count, channels, height, width = pictures.shape
    apart = pictures.new_zeros(count, channels, 2 * height, 2 * width)
    apart[:, :, ::2, ::2] = 4 * pictures
    return _blurred(apart)


def summarised(patches: Sequence[Tensor], directions: Tensor) -> Level:
    """Real patches [*, 3, 49] of one level, in pieces; directions [147, D]."""
    colours = torch.cat(list(patches)).transpose(0, 1).flatten(1)
    # Below a grey level there is but rounding, which no network need learn.
    deviation = colours.std(dim=1, correction=0).clamp(min=_GREY_LEVEL)[:, None]
    return Level(deviation, _quantiles(patches, deviation, directions))


def distance(level: Level, patches: Sequence[Tensor], directions: Tensor) -> float:
    """Mean over directions of Wasserstein-1, in deviations of the real patches."""
    return float((_quantiles(patches, level.deviation, directions) - level.quantiles).abs().mean())


def directions_for(device: torch.device, seed: int) -> Tensor:
    """[147, _DIRECTIONS], of length 1."""
    random = torch.Generator().manual_seed(seed)
    directions = torch.randn(3 * PATCH**2, _DIRECTIONS, generator=random)
    return F.normalize(directions, dim=0).to(device)


def _quantiles(patches: Sequence[Tensor], deviation: Tensor, directions: Tensor) -> Tensor:
    projected = torch.cat([(part / deviation).flatten(1) @ directions for part in patches])
    ordered = projected.sort(dim=0).values
    # The middles of equal parts, so that sets of different sizes can be compared.
    places = (torch.arange(_QUANTILES, device=ordered.device) + 0.5) / _QUANTILES
    return ordered[(places * len(ordered)).long().clamp(max=len(ordered) - 1)]


def _patches(level: Tensor, drawn: NDArray[np.float64]) -> Tensor:
    """[N, 3, S, S], places [N, A_PICTURE, 2] in [0, 1) -> [N * A_PICTURE, 3, 49]."""
    count, channels, side, _ = level.shape
    corners = torch.from_numpy((drawn * (side - PATCH + 1)).astype(np.int64))
    rows, columns = corners[..., None, None].unbind(2)  # [N, A_PICTURE, 1, 1]
    inside = torch.arange(PATCH)
    places = (rows + inside[:, None]) * side + columns + inside  # [N, A_PICTURE, 7, 7]
    chosen = places.reshape(count, 1, -1).expand(-1, channels, -1).to(level.device)
    found = level.flatten(2).gather(2, chosen).view(count, channels, A_PICTURE, PATCH**2)
    return found.transpose(1, 2).flatten(0, 1)


def _blurred(pictures: Tensor) -> Tensor:
    """By [1, 4, 6, 4, 1] / 16 both ways, mirrored at the edges."""
    # Sums of slices: on a CPU a sixth of the time that convolutions of one channel take.
    x = F.pad(pictures, (2, 2, 2, 2), "reflect")
    x = x[:, :, :-4] + x[:, :, 4:] + 4 * (x[:, :, 1:-3] + x[:, :, 3:-1]) + 6 * x[:, :, 2:-2]
    x = x[..., :-4] + x[..., 4:] + 4 * (x[..., 1:-3] + x[..., 3:-1]) + 6 * x[..., 2:-2]
    return x / 256
