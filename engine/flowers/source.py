"""Flowers by number: picture i of seed s is the same, whichever others it is asked for with."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.flowers.chance import normals
from engine.flowers.render import render
from engine.flowers.scene import LATENTS, scene


def flowers(
    seed: int, count: int, size: int, device: torch.device | str = "cpu", first: int = 0
) -> tuple[Tensor, Tensor]:
    """Flowers first .. first + count - 1 of the endless series `seed`.

    Latents [count, 55], standard normals, the same bits on every machine; pictures
    [count, 3, size, size] in [-1, 1], the same on one machine's device, and within a step of 255
    or so on another. Both float32, on `device`.
    """
    drawn = latents(seed, count, first).to(device)
    return drawn, render(scene(drawn), size)


def latents(seed: int, count: int, first: int = 0) -> Tensor:
    """What those flowers are drawn from, alone: [count, 55] on the CPU."""
    return torch.from_numpy(normals(seed, first, count, LATENTS)).float()
