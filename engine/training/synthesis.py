"""The generator's forward pass as training needs it: the reference's numbers, sooner.

Three things differ from `engine.networks.stylegan2`, which tests hold it against. Gains (sqrt(2)
of the leaky ReLU) are folded into demodulation, noise and bias, which saves a pass over every
activation, forwards and backwards. Filters differentiate as filters. And the blocks in `half` run
in 16 bits. In float16 weights and styles are scaled to a largest number of 1 before the
convolution, and demodulation, computed in float32, takes that back, so that nothing overflows on
the way; bfloat16 has the range of float32.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.networks.filters import blur, double
from engine.networks.stylegan2 import (
    LRELU_GAIN,
    StyleGAN2,
    SynthesisBlock,
    SynthesisLayer,
    ToRGB,
)

NOTHING: frozenset[int] = frozenset()


def synthesize(
    net: StyleGAN2,
    ws: Tensor,
    noise: Sequence[Tensor] | None,
    half: Collection[int] = NOTHING,
    half_type: torch.dtype = torch.float16,
) -> Tensor:
    """ws [N, L, w_dim] -> pictures [N, img_channels, R, R], float32.

    noise: a map [N, 1, r, r] for each convolution, or None for none. half: resolutions whose
    block runs in half_type.
    """
    styles = ws.unbind(dim=1)
    x: Tensor | None = None
    img: Tensor | None = None
    first = 0
    for block, resolution in zip(net.synthesis.blocks, net.config.resolutions, strict=True):
        count = len(block.layers())
        dtype = half_type if resolution in half else torch.float32
        maps = [None] * count if noise is None else noise[first : first + count]
        x, img = _block(block, x, img, styles[first : first + count + 1], maps, dtype)
        first += count
    assert img is not None
    return img


def _block(
    block: SynthesisBlock,
    x: Tensor | None,
    img: Tensor | None,
    ws: Sequence[Tensor],
    noise: Sequence[Tensor | None],
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor | None]:
    """Features, in `dtype`, and picture, float32, at r / 2 -> both at r."""
    if x is None:
        const = block.const.to(dtype)[None].expand(len(ws[0]), -1, -1, -1)
        x = const.contiguous(memory_format=torch.channels_last)
        x = _layer(block.conv1, x, ws[0], noise[0])
    else:
        x = x.to(dtype)
        shortcut = None
        if block.skip is not None:
            weight = block.skip.weight * (block.skip.weight_gain * math.sqrt(0.5))
            shortcut = double(F.conv2d(x, weight.to(dtype)))
        x = _layer(block.conv0, x, ws[0], noise[0])
        x = _layer(block.conv1, x, ws[1], noise[1], 1.0 if shortcut is None else math.sqrt(0.5))
        x = x if shortcut is None else x + shortcut
    if img is not None:
        img = double(img)
    if block.torgb is not None:
        rgb = _torgb(block.torgb, x, ws[-1])
        img = rgb if img is None else img + rgb
    return x, img


def _layer(
    layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1.0
) -> Tensor:
    s: Tensor = layer.affine(w)
    weight: Tensor = layer.weight
    gain *= LRELU_GAIN
    squares = F.linear(s.square(), weight.square().sum(dim=(2, 3)))
    scale = (squares + 1e-8).rsqrt() * gain
    if x.dtype == torch.float16:
        s, weight, scale = _within_half(s, weight, scale)
    x = x * s.to(x.dtype)[:, :, None, None]
    weight = weight.to(x.dtype)
    if layer.resample is None:
        x = F.conv2d(x, weight, padding=1)
    else:
        x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 4.0)
    shift = (layer.bias * gain)[:, None, None]
    if noise is not None:
        shift = shift + noise * (layer.noise_strength * gain)
    x = torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype)[:, :, None, None])
    x = F.leaky_relu(x, 0.2, inplace=True)
    if layer.clamp is None:
        return x
    bound = layer.clamp * gain / LRELU_GAIN
    return x.clamp(-bound, bound)


def _within_half(s: Tensor, weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Style [N, I] and weight [O, I, k, k] of a convolution that stays within float16's range.

    What they are divided by comes back in scale [N, O].
    """
    largest = s.abs().amax(dim=1, keepdim=True)
    per_output = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    per_output = per_output * math.sqrt(weight[0].numel())
    return s / largest, weight / per_output, scale * largest * per_output[:, 0, 0, 0]


def _torgb(torgb: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """[N, C, r, r] -> [N, img_channels, r, r], float32."""
    s = torgb.affine(w) * torgb.weight_gain
    rgb = F.conv2d(x * s.to(x.dtype)[:, :, None, None], torgb.weight.to(x.dtype)).float()
    rgb = rgb + torgb.bias[:, None, None]
    return rgb if torgb.clamp is None else rgb.clamp(-torgb.clamp, torgb.clamp)
