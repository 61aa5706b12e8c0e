"""What is behind the flower: a gradient, a cloud that mottles it, discs of light out of focus."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from engine.flowers.light import COLOUR
from engine.flowers.scene import CELLS, DISCS, Backdrop, Chance
from engine.flowers.shapes import smoothstep

GRID = 64  # pixels across that show all there is to see, as nothing here is sharper
BOKEH = 0.75  # how bright the discs are


def backdrop(here: Backdrop, chance: Chance, size: int) -> Tensor:
    """Linear light [N, 3, size, size], without the flower's shadow."""
    grid = min(size, GRID)
    axis = pixel_centres(grid, here.light.device)
    x, y = axis, -axis[:, None]
    along = y * here.gradient.sin()[:, None, None] + x * here.gradient.cos()[:, None, None]
    cloud = _cloud(chance.cloud, axis)
    blend = smoothstep(0.0, 1.0, along * 0.5 + 0.25 * cloud[0] + 0.375)
    dark, mid, drift = (c.T[:, :, None, None] for c in (here.dark, here.mid, here.drift))
    light = torch.tensor(COLOUR, device=axis.device)[None, :, None, None]
    ground = torch.lerp(dark, mid, blend[:, None])
    mottle = smoothstep(0.35, 0.85, cloud[1])[:, None]
    ground = torch.lerp(ground, drift, 0.55 * mottle)
    opacity, tint, gain = _discs(chance.discs, x, y)
    for disc in range(DISCS):
        own = torch.lerp((mid, drift)[disc % 2], light, tint[disc][:, None, None, None])
        ground = torch.lerp(ground, own * gain[disc][:, None, None, None], opacity[disc][:, None])
    shade = here.brightness[:, None, None] * (1 - 0.11 * (x * x + y * y))
    ground = ground * shade[:, None]
    if grid == size:
        return ground
    enlarge = _enlarge(grid, size, str(axis.device))
    return (enlarge @ ground @ enlarge.T).clamp_(min=0)


def pixel_centres(size: int, device: torch.device) -> Tensor:
    """Where the pixels of a row are: [size], from just above -1 to just below 1."""
    return (torch.arange(size, device=device, dtype=torch.float32) * 2 + 1) / size - 1


def _cloud(heights: Tensor, axis: Tensor) -> Tensor:
    """Two fields of value noise [2, N, g, g] from their lattices [2, CELLS, CELLS, N]."""
    fields = []
    for lattice, scale, start in zip(heights, (1.3, 1.1), (2.0, 1.1), strict=True):
        across = _weights(axis * scale + start)
        up = _weights(-axis * scale + start)
        fields.append(up @ lattice.permute(2, 0, 1) @ across.T)
    return torch.stack(fields)


def _weights(cells: Tensor) -> Tensor:
    """How much each of the lattice's points counts at `cells` [g]: [g, CELLS]."""
    points = torch.arange(CELLS, device=cells.device)
    return smoothstep(1.0, 0.0, (cells[:, None] - points).abs())


def _discs(chance: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Opacity [DISCS, N, g, g], tint towards the light [DISCS, N] and brightness [DISCS, N]."""
    dx = chance[0] * 2.4 - 1.2
    dy = chance[1] * 2.4 - 1.2
    radius, softness = 0.12 + 0.33 * chance[2], 0.10 + 0.10 * chance[3]
    tint, gain = 0.10 + 0.22 * chance[4], 1.0 + 0.3 * chance[5]
    strength = BOKEH * (0.15 + 0.42 * chance[6])

    def wide(t: Tensor) -> Tensor:
        return t[:, :, None, None]

    away = ((x - wide(dx)) ** 2 + (y - wide(dy)) ** 2).sqrt_()
    ring = smoothstep(wide(radius * 0.4), wide(radius), away.clone()).mul_(0.3).add_(0.7)
    inside = smoothstep(wide(radius), wide(radius - softness), away)
    return inside.mul_(ring).mul_(wide(strength)), tint, gain


@lru_cache
def _enlarge(grid: int, size: int, device: str) -> Tensor:
    """Catmull-Rom interpolation from `grid` pixels to `size`: [size, grid], edges held."""
    at = (torch.arange(size, dtype=torch.float64) + 0.5) * grid / size - 0.5
    first = at.floor()
    t = at - first
    taps = torch.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        dim=1,
    )
    columns = (first[:, None].long() + torch.arange(-1, 3)).clamp(0, grid - 1)
    matrix = torch.zeros(size, grid, dtype=torch.float64).scatter_add_(1, columns, taps)
    return matrix.to(device, torch.float32)
