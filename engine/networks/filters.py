"""The low-pass filter [1, 3, 3, 1] as training needs it: quick, and differentiable twice.

Torch's own second derivative of a grouped convolution goes from channel to channel (200 ms where
the convolution itself takes 6). This filter's derivative is the filter again, as it is symmetric,
with the padding that is left, and halving's is doubling: so every derivative is quick.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """[N, C, H, W] -> [N, C, H + 2 padding - 3, ...]: both directions, zeros around, sum `gain`."""
    filtered: Tensor = _Blur.apply(x, padding, gain)  # type: ignore[no-untyped-call]
    return filtered


def halve(x: Tensor, gain: float = 1.0) -> Tensor:
    """[N, C, 2r, 2r] -> [N, C, r, r], filtered before every second sample is left out."""
    halved: Tensor = _Halve.apply(x, gain)  # type: ignore[no-untyped-call]
    return halved


def double(x: Tensor, gain: float = 4.0) -> Tensor:
    """[N, C, r, r] -> [N, C, 2r, 2r]: zeros between the samples, then the filter."""
    doubled: Tensor = _Double.apply(x, gain)  # type: ignore[no-untyped-call]
    return doubled


def _kernel(x: Tensor, gain: float) -> Tensor:
    """One filter [4, 4] for each channel of x, of sum `gain`."""
    return _filter(gain, x.dtype, x.device).expand(x.shape[1], 1, 4, 4)


@lru_cache(maxsize=64)
def _filter(
    gain: float, dtype: torch.dtype, device: torch.device, taps: tuple[float, ...] = TAPS
) -> Tensor:
    """Kept: to bring 16 numbers to a GPU takes longer than to convolve with them."""
    filter_ = torch.outer(torch.tensor(taps), torch.tensor(taps))
    return (filter_ * (gain / filter_.sum())).to(device, dtype)


def pooled_blur(x: Tensor, padding: int, gain: float) -> Tensor:
    """As `blur`, padding 1 or 2: [1, 3, 3, 1] is what [1, 1], a mean of two, does three times.

    For GPUs, where means are quick in float16 and channels-last, and a filter a channel is not.
    """
    x = F.avg_pool2d(F.avg_pool2d(x, 2, 1, 1), 2, 1, padding - 1)
    return _scaled(F.avg_pool2d(x, 2, 1), gain)


def pooled_halve(x: Tensor, gain: float) -> Tensor:
    """As `halve`."""
    x = F.avg_pool2d(F.avg_pool2d(x, 2, 1, 1), 2, 1)
    return _scaled(F.avg_pool2d(x, 2), gain)


def pooled_double(x: Tensor, gain: float) -> Tensor:
    """As `double`."""
    x = F.avg_pool2d(F.interpolate(x, scale_factor=2), 2, 1, 1)
    return _scaled(F.avg_pool2d(x, 2, 1), gain / 4)


def stretched_double(x: Tensor, gain: float) -> Tensor:
    """As `double`: every sample four times, and [1, 2, 1] over them.

    For CPUs in bfloat16, where a transposed filter a channel takes ten times as long.
    """
    kernel = _filter(gain / 4, x.dtype, x.device, (1.0, 2.0, 1.0)).expand(x.shape[1], 1, 3, 3)
    x = F.interpolate(x, scale_factor=2)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def _scaled(x: Tensor, gain: float) -> Tensor:
    return x if gain == 1 else x.mul_(gain)


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int, gain: float) -> Tensor:
        ctx.padding, ctx.gain = padding, gain
        if x.is_cuda:
            return pooled_blur(x, padding, gain)
        return F.conv2d(x, _kernel(x, gain), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return blur(gradients[0], 3 - ctx.padding, ctx.gain), None, None


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        if x.is_cuda:
            return pooled_halve(x, gain)
        return F.conv2d(x, _kernel(x, gain), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return double(gradients[0], ctx.gain), None


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        if x.is_cuda:
            return pooled_double(x, gain)
        if x.dtype == torch.bfloat16:
            return stretched_double(x, gain)
        kernel = _kernel(x, gain)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return halve(gradients[0], ctx.gain), None
