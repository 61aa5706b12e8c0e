"""The game between generator and discriminator, as StyleGAN2 plays it.

Logits are positive where a picture is taken for real. Goodfellow et al., "Generative Adversarial
Nets" (2014), in its non-saturating form; Mescheder et al., "Which Training Methods for GANs do
actually Converge?" (2018), R1; Karras et al. (2020), path lengths and lazy regularisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """-log of what the fakes [N] are believed: falls as they are taken for real."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """Falls as fakes and real pictures are told apart."""
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def gradient_square(real_logits: Tensor, pictures: Tensor) -> Tensor:
    """R1: the squared gradient of the logits with regard to the real pictures, a mean of N.

    Differentiable once more. The loss is gamma / 2 of it.
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), pictures, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(pictures: Tensor, ws: Tensor, direction: Tensor) -> Tensor:
    """How far a small step in W+ goes in the picture [N]: |J^T y|, the mean of the layers' squares.

    direction: y, [N, C, R, R] of N(0, 1); scaled here so that its length doesn't grow with R.
    Differentiable once more.
    """
    y = direction / math.sqrt(pictures.shape[2] * pictures.shape[3])
    (slope,) = torch.autograd.grad((pictures * y).sum(), ws, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """How unlike the mean they are: a smooth W makes steps of the same length everywhere."""
    return (lengths - mean).square().mean()


def pair_distance(fakes: Tensor, pictures: Tensor, largest: int = 32) -> Tensor:
    """L1 between fakes and the pictures they should be, summed over `largest`, ... 4 pixels a side.

    Only where the latent is known that a picture was drawn from.
    """
    difference = fakes - pictures
    total = difference.new_zeros(())
    while difference.shape[2] > 4:
        difference = F.avg_pool2d(difference, 2)
        if difference.shape[2] <= largest:
            total = total + difference.abs().mean()
    return total


def feature_distance(fakes: Sequence[Tensor], pictures: Sequence[Tensor]) -> Tensor:
    """L1 between what each block of the discriminator made of both, relative to its size."""
    distances = [
        (fake - real.detach()).abs().mean() / (real.detach().abs().mean() + 1e-3)
        for fake, real in zip(fakes, pictures, strict=True)
    ]
    return torch.stack(distances).mean()
