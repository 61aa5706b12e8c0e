"""The few functions of which everything is drawn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

Number = Tensor | float

LATTICE = 64  # cells after which the noise repeats


def smoothstep(edge0: Number, edge1: Number, x: Tensor) -> Tensor:
    """0 at edge0 and beyond, 1 at edge1 and beyond, 3 t^2 - 2 t^3 between; falls if edge1 < edge0.

    x is overwritten with what this needs on the way.
    """
    t = x.sub_(edge0).div_(edge1 - edge0).clamp_(0, 1)
    return (3 - 2 * t).mul_(t).mul_(t)


def lattice(device: torch.device) -> Tensor:
    """Random heights in 0..1, [1, 1, LATTICE + 1, LATTICE + 1]; the last of a row is its first."""
    return _lattice(str(device))


@lru_cache
def _lattice(device: str) -> Tensor:
    words = np.random.Philox(key=64).random_raw(LATTICE * LATTICE)
    heights = ((words >> np.uint64(11)) * 2.0**-53).reshape(LATTICE, LATTICE)
    wrapped = np.pad(heights, ((0, 1), (0, 1)), mode="wrap")
    return torch.from_numpy(wrapped).to(device, torch.float32)[None, None]


def noise(x: Tensor, y: Tensor) -> Tensor:
    """Value noise in 0..1 at x, y [M], in cells."""
    points = torch.stack([_on_lattice(x), _on_lattice(y)], dim=-1)[None, None]
    heights = lattice(x.device)
    return torch.nn.functional.grid_sample(heights, points, align_corners=True)[0, 0, 0]


def _on_lattice(x: Tensor) -> Tensor:
    """Cells to grid_sample's -1..1, eased so that bilinear samples have no kinks."""
    cell = x.floor()
    part = x - cell
    eased = (3 - 2 * part).mul_(part).mul_(part)
    return eased.add_(cell.remainder_(LATTICE)).mul_(2 / LATTICE).sub_(1)
