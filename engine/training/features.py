"""Features of pictures without trained weights: a fixed random convolutional network.

Random convolutional features tell textures, colours and scales apart, though not what a picture is
of (Saxe et al., "On Random Weights and Unsupervised Feature Learning", 2011; Ulyanov et al., "Deep
Image Prior", 2018). Filters are orthogonal (Saxe et al., "Exact Solutions to the Nonlinear Dynamics
of Learning", 2014), so that no two of a layer see the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_SIDE = 256
"""Pixels along a side; larger pictures are made smaller, by averaging. Detail is for patches."""

_CHANNELS = (16, 32, 64, 128, 128)
_SLOPE = 0.2
_GAIN = (2 / (1 + _SLOPE**2)) ** 0.5  # keeps the variance behind a leaky ReLU
_SMALLEST = 4  # pixels along a side of what a stage is given


class RandomFeatures(nn.Module):
    """Up to five stages: 3x3 convolution, leaky ReLU, halved. The same for the same seed.

    Half of a stage's filters see differences only: the others would drown them in what is bright.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        inputs = 3
        for stage, outputs in enumerate(_CHANNELS):
            filters = _filters(outputs, inputs, random)
            filters = filters.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"filters{stage}", filters)
            inputs = outputs

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1], R >= 4 -> [N, D]: each channel's mean and deviation over space.

        D is 736 from R = 64 on; below, there are fewer stages.
        """
        x = pictures.contiguous(memory_format=torch.channels_last)  # on CPUs twice as fast
        if (factor := x.shape[2] // MOST_SIDE) > 1:
            x = F.avg_pool2d(x, factor)
        pooled = []
        for stage in range(len(_CHANNELS)):
            if x.shape[2] < _SMALLEST:
                break
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.get_buffer(f"filters{stage}"))
            x = F.leaky_relu_(x, _SLOPE)
            mean = x.mean(dim=(2, 3), keepdim=True)
            # std_mean does the same in twice the time.
            deviation = (x - mean).square_().mean(dim=(2, 3)).sqrt()
            pooled += [mean[:, :, 0, 0], deviation]
            x = F.avg_pool2d(x, 2)
        return torch.cat(pooled, dim=1)


def _filters(outputs: int, inputs: int, random: torch.Generator) -> Tensor:
    """[outputs, inputs, 3, 3], rows of length _GAIN, orthogonal as far as there are dimensions."""
    rows = torch.randn(outputs, inputs, 9, generator=random)
    rows[outputs // 2 :] -= rows[outputs // 2 :].mean(dim=2, keepdim=True)
    halves = []
    for half in rows.flatten(1).chunk(2):
        basis, upper = torch.linalg.qr(half.T)
        halves.append((basis * upper.diagonal().sign()).T)
    return torch.cat(halves).mul(_GAIN).reshape(outputs, inputs, 3, 3)


def energy_distance(one: Tensor, other: Tensor, within_one: Tensor) -> float:
    """How far two sets of points [N, D], [M, D] are apart, as a part of how far points are at all.

    Székely, Rizzo, "Energy Statistics: A Class of Statistics Based on Distances" (2013):
    (2 E|x - y| - E|x - x'| - E|y - y'|) / (2 E|x - y|): 0 for sets of one distribution, whatever
    it is, and up to 1. Without bias: around 0 it may be a little less.
    within_one: E|x - x'|, from `mean_distance`.
    """
    between = torch.cdist(one, other).mean()
    apart = 2 * between - within_one - mean_distance(other)
    return float(apart / (2 * between)) if between != 0 else 0.0


def mean_distance(points: Tensor) -> Tensor:
    """E|x - x'| between different ones of [N, D]; 0 for one alone."""
    count = len(points)
    total: Tensor = torch.cdist(points, points).sum()
    return total / max(count * (count - 1), 1)
