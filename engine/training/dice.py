"""Every random number of a training, by what it is for and when: nothing to save, nothing to lose.

A step that is taken again, after a kill, throws the same dice.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from engine.networks.stylegan2 import StyleGAN2


def dice(seed: int, step: int, purpose: str, device: torch.device) -> torch.Generator:
    """A generator of random numbers on that device, for one purpose in one step."""
    mixed = np.random.SeedSequence([seed, step, zlib.crc32(purpose.encode())])
    generator = torch.Generator(device)
    generator.manual_seed(int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return generator


def noise_maps(net: StyleGAN2, count: int, random: torch.Generator) -> list[Tensor]:
    """Fresh noise [count, 1, r, r] for each convolution."""
    return [
        torch.randn(count, 1, *layer.noise_const.shape, device=random.device, generator=random)
        for layer in net.synthesis.layers()
    ]


def classes(net: StyleGAN2, count: int, random: torch.Generator) -> Tensor | None:
    """Classes [count, num_classes], one-hot, drawn evenly; None for a network without."""
    if net.num_classes == 0:
        return None
    drawn = torch.randint(net.num_classes, (count,), device=random.device, generator=random)
    return torch.nn.functional.one_hot(drawn, net.num_classes).float()


def mixed_ws(net: StyleGAN2, z: Tensor, share: float, random: torch.Generator) -> Tensor:
    """z [N, z_dim] -> ws [N, L, w_dim], of which a share has another latent's w from some layer on.

    Style mixing, Karras et al., "A Style-Based Generator" (2019): neighbouring layers must not
    come to rely on each other.
    """
    count = len(z)
    ws = net.map(z, classes(net, count, random))
    if share == 0:
        return ws
    other = torch.randn(z.shape, device=z.device, generator=random)
    others = net.map(other, classes(net, count, random))
    cutoff = torch.randint(1, net.num_ws, (count, 1), device=z.device, generator=random)
    mixes = torch.rand(count, 1, device=z.device, generator=random) < share
    theirs = mixes & (torch.arange(net.num_ws, device=z.device) >= cutoff)
    return torch.where(theirs[:, :, None], others, ws)
