"""Pictures of a training's average generator: the same latents at every snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.networks.stylegan2 import StyleGAN2
from engine.training.detours import STEP, detours
from engine.training.dice import classes, dice
from engine.training.synthesis import synthesize
from engine.training.trainer import Trainer

_TOGETHER = 32
_MEAN_OF = 10_000


def grid_shape(resolution: int) -> tuple[int, int]:
    """Columns and rows of a sheet that is about 2048 pixels wide."""
    columns = min(max(2048 // resolution, 4), 16)
    return columns, max(columns * 5 // 8, 2)


def samples(trainer: Trainer, count: int, purpose: str) -> Iterator[Tensor]:
    """[n, 3, R, R], about [-1, 1], until there are `count`: psi 1, and a show's noise."""
    net = trainer.average
    half = trainer.settings.half_resolutions
    for z, c in _latents(net, trainer.settings.seed, count, purpose, _TOGETHER):
        with torch.no_grad():
            yield synthesize(net, net.map(z, c), _shown_noise(trainer), half, trainer.half_type)


@torch.no_grad()
def morphs(trainer: Trainer, count: int) -> float:
    """How straight morphs between two of so many pictures are: `detours`.

    In float32: the steps are too small for 16 bits.
    """
    net = trainer.average
    latents = _latents(net, trainer.settings.seed, count, "morphs", count)
    ws = torch.cat([net.map(z, c) for z, c in latents])
    random = dice(trainer.settings.seed, 0, "places", ws.device)
    at = torch.rand(count // 2, device=ws.device, generator=random) * (1 - STEP)
    return detours(lambda some: synthesize(net, some, _shown_noise(trainer)), ws, at)


def _shown_noise(trainer: Trainer) -> list[Tensor] | None:
    """The maps a show has; None where noise is not learned."""
    net = trainer.average
    if not (trainer.settings.noise and net.config.use_noise):
        return None
    return [layer.noise_const for layer in net.synthesis.layers()]


@torch.no_grad()
def mean_w(net: StyleGAN2, seed: int) -> Tensor:
    """The mean w [w_dim] of 10,000 latents: what psi pulls towards."""
    total = torch.zeros(net.w_dim, dtype=torch.float64)
    for z, c in _latents(net, seed, _MEAN_OF, "mean", 1000):
        total += net.mapping(z, c).cpu().double().sum(dim=0)
    return (total / _MEAN_OF).float()


def _latents(
    net: StyleGAN2, seed: int, count: int, purpose: str, together: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """z [n, z_dim] and classes, always the same ones, some at a time."""
    device = net.w_avg.device
    random = dice(seed, 0, purpose, device)
    for begin in range(0, count, together):
        n = min(together, count - begin)
        z = torch.randn(n, net.z_dim, device=device, generator=random)
        yield z, classes(net, n, random)
