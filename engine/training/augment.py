"""Adaptive discriminator augmentation: what lets a few hundred pictures train a network.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), with its
geometry and colour ("bgc") and its strengths. Both real and generated pictures pass through it on
their way to the discriminator, each operation with probability p; as long as p is below about 0.8
the generator still learns what the pictures look like without.

Flips, quarter turns and whole-pixel shifts only move pixels, and are exact. The rest is resampled
at twice the resolution through an orthogonal wavelet. All of it can be differentiated twice, as R1
needs it.

Matrices lead from output to input, in coordinates where the picture is [-1, 1] in both directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125  # of the picture: whole pixels, at most; fractions, standard deviation
SCALE = 0.2  # octaves, standard deviation; of the aspect as well
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # standard deviations; the latter two in octaves

# Symlet 6, low-pass (Daubechies, "Ten Lectures on Wavelets", 1992), of sum sqrt(2): as it is
# orthogonal to itself two samples on, doubling with it and halving with it changes nothing.
_SYMLET = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
_KEPT = 3  # pixels beyond each edge that are doubled, too
_AROUND = 2 * _KEPT  # samples at twice the resolution that halving needs beyond each edge
_EDGE = 5  # samples of the filter before its middle
_OFF = sum(k * tap for k, tap in enumerate(_SYMLET)) / math.sqrt(2) - _EDGE - 0.5
"""By how many samples its centre of mass is off the middle: it is not quite symmetric."""


@dataclass(frozen=True, slots=True)
class Transforms:
    """What happens to N pictures.

    flips: 0 or 1 [N]; turns: quarters [N]; shifts: x and y as a share of the picture [N, 2];
    matrices: all that needs resampling [N, 2, 3], of which resampled [N] is true where there is
    any; colours: [N, 3, 4], the last column is added.
    """

    flips: Tensor
    turns: Tensor
    shifts: Tensor
    matrices: Tensor
    resampled: Tensor
    colours: Tensor


def draw(count: int, p: Tensor, dice: torch.Generator) -> Transforms:
    """Transforms for that many pictures, each operation with probability p, on p's device."""
    device = p.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, device=device, generator=dice)

    def normal(deviation: float) -> Tensor:
        return torch.randn(count, device=device, generator=dice) * deviation

    def often(value: Tensor, probability: Tensor = p) -> Tensor:
        """The value, or 0 where it does not happen."""
        happens = uniform() < probability
        return value * happens.reshape(-1, *[1] * (value.ndim - 1))

    flips = often((uniform() * 2).floor())
    turns = often((uniform() * 4).floor())
    shifts = often((uniform(2) * 2 - 1) * SHIFT)
    # Two rotations, of which one at least happens with probability p.
    either = 1 - (1 - p).clamp(min=0).sqrt()
    scale = often(normal(SCALE))
    first = often((uniform() * 2 - 1) * math.pi, either)
    aspect = often(normal(SCALE))
    second = often((uniform() * 2 - 1) * math.pi, either)
    fraction = often(torch.stack([normal(SHIFT), normal(SHIFT)], dim=1))
    matrices = _matrices(scale, first, aspect, second, fraction)
    resampled = (scale != 0) | (first != 0) | (aspect != 0) | (second != 0) | fraction.any(dim=1)
    colours = _colours(
        brightness=often(normal(BRIGHTNESS)),
        contrast=often(normal(CONTRAST)),
        inverted=often((uniform() * 2).floor()),
        hue=often((uniform() * 2 - 1) * math.pi),
        saturation=often(normal(SATURATION)),
    )
    return Transforms(flips, turns, shifts, matrices, resampled, colours)


def augment(pictures: Tensor, transforms: Transforms) -> Tensor:
    """Pictures [N, 3, R, R] -> the same, transformed."""
    moved = _move(pictures, transforms)
    resampled = _resample(moved, transforms.matrices)
    geometry = torch.where(transforms.resampled[:, None, None, None], resampled, moved)
    matrix, added = transforms.colours[:, :, :3], transforms.colours[:, :, 3:]
    return (matrix @ geometry.flatten(2) + added).reshape(pictures.shape)


def _matrices(
    scale: Tensor, first: Tensor, aspect: Tensor, second: Tensor, fraction: Tensor
) -> Tensor:
    """Scale, rotate, stretch, rotate, shift, in that order, as it is undone: [N, 2, 3]."""

    def rotation(angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        return torch.stack([torch.stack([c, s], dim=1), torch.stack([-s, c], dim=1)], dim=1)

    stretch = torch.stack([torch.exp2(-aspect), torch.exp2(aspect)], dim=1)
    linear = torch.exp2(-scale)[:, None, None] * rotation(first)
    linear = linear @ torch.diag_embed(stretch) @ rotation(second)
    return torch.cat([linear, linear @ (-2 * fraction)[:, :, None]], dim=2)


def _colours(
    brightness: Tensor, contrast: Tensor, inverted: Tensor, hue: Tensor, saturation: Tensor
) -> Tensor:
    """Each N numbers -> [N, 3, 4].

    Brightness is added, contrast scales; then, along grey or around it: luma is inverted, the hue
    turned, saturation scaled.
    """
    eye = torch.eye(3, device=brightness.device)
    grey = torch.full_like(eye, 1 / 3)  # projects onto grey
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=eye.device) / math.sqrt(3)

    def each(numbers: Tensor) -> Tensor:
        return numbers[:, None, None]

    scaled = each(torch.exp2(contrast)) * eye
    flipped = eye - 2 * each(inverted) * grey
    turned = each(hue.cos()) * (eye - grey) + grey + each(hue.sin()) * cross
    saturated = grey + each(torch.exp2(saturation)) * (eye - grey)
    matrix = saturated @ turned @ flipped @ scaled
    return torch.cat([matrix, matrix @ brightness[:, None, None].expand(-1, 3, 1)], dim=2)


def _move(pictures: Tensor, transforms: Transforms) -> Tensor:
    """Flip, turn and shift by whole pixels; what comes in from beyond an edge is reflected."""
    n, channels, side, _ = pictures.shape
    place = torch.arange(side, device=pictures.device)
    shift = (transforms.shifts * side).round().long()[:, :, None, None]
    # From the middle, in half pixels: a quarter turn stays among integers.
    x = 2 * (place[None, None, :] - shift[:, 0]) - (side - 1)
    y = 2 * (place[None, :, None] - shift[:, 1]) - (side - 1)
    turns = transforms.turns.long()[:, None, None]
    cos, sin = (1 - turns % 4).clamp(-1) * (turns % 2 == 0), (2 - turns % 4) * (turns % 2)
    x, y = cos * x + sin * y, cos * y - sin * x
    x = torch.where(transforms.flips.bool()[:, None, None], -x, x)
    index = _reflected(y, side) * side + _reflected(x, side)
    index = index.reshape(n, 1, side * side).expand(-1, channels, -1)
    return pictures.flatten(2).gather(2, index).reshape(pictures.shape)


def _reflected(place: Tensor, side: int) -> Tensor:
    """Half pixels from the middle -> pixels from the edge, mirrored at the outermost ones."""
    pixels = torch.div(place + side - 1, 2, rounding_mode="floor") % (2 * (side - 1))
    return torch.minimum(pixels, 2 * (side - 1) - pixels)


def _resample(pictures: Tensor, matrices: Tensor) -> Tensor:
    """[N, C, R, R] through matrices [N, 2, 3], at twice the resolution, reflected at the edges."""
    n, channels, side, _ = pictures.shape
    taps = torch.tensor(_SYMLET, dtype=pictures.dtype, device=pictures.device) / math.sqrt(2)
    # Channels as pictures: the second derivative of grouped convolutions is slow.
    x = pictures.reshape(n * channels, 1, side, side)
    margin = min(2 * _KEPT, side - 1)
    x = F.pad(x, (margin,) * 4, mode="reflect")
    for kernel, stride in ((taps[:, None], (2, 1)), (taps[None], (1, 2))):
        x = F.conv_transpose2d(x, 2 * kernel[None, None], stride=stride)
    begin, end = _EDGE + 2 * (margin - _KEPT), _EDGE + 2 * (side + margin + _KEPT)
    x = x[:, :, begin:end, begin:end].reshape(n, channels, end - begin, end - begin)
    x = _sample(x, (_grid(matrices, side) + _OFF / side) * (side / (side + 2 * _KEPT)))
    x = x.reshape(n * channels, 1, *x.shape[2:])[:, :, 1:-1, 1:-1]
    for kernel, stride in ((taps[:, None], (2, 1)), (taps[None], (1, 2))):
        x = F.conv2d(x, kernel[None, None], stride=stride)
    return x.reshape(pictures.shape)


def _grid(matrices: Tensor, side: int) -> Tensor:
    """Where to look for each sample at twice the resolution, and 6 around: [N, S, S, 2]."""
    place = torch.arange(-_AROUND, 2 * side + _AROUND, device=matrices.device).to(matrices)
    place = (place + 0.5 - _OFF) / side - 1
    x, y = torch.meshgrid(place, place, indexing="xy")
    points = torch.stack([x, y, torch.ones_like(x)], dim=2)
    return (points.flatten(0, 1) @ matrices.mT).reshape(len(matrices), *x.shape, 2)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of x at a grid, which torch differentiates only once."""
    sampled: Tensor = _Sample.apply(x, grid)  # type: ignore[no-untyped-call]
    return sampled


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(x, grid)
        return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, grid = ctx.saved_tensors
        return _Spread.apply(gradients[0], x, grid), None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The transpose of sampling, whose own derivative is sampling again: both are linear."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        bilinear, reflection = 0, 2
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, x, grid, bilinear, reflection, False, [True, False]
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _sample(gradients[0], grid), None, None


@dataclass(slots=True)
class Adaptation:
    """p, moved so that the discriminator stays as sure of real pictures as it was meant to be.

    It overfits where it is surer: more augmentation, then. target: of the mean of sign(logit);
    ramp: pictures in which p would go from 0 to 1.
    """

    target: float
    ramp: float
    p: float = 0.0

    def adapt(self, sign: float, pictures: int) -> None:
        """After so many pictures whose logits had that mean sign."""
        direction = (sign > self.target) - (sign < self.target)
        self.p = min(max(self.p + direction * pictures / self.ramp, 0.0), 1.0)
