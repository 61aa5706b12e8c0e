"""StyleGAN2's synthesis computed step by step as it was published, to measure others against.

"Times as fast as published" has to be measured side by side, in one run on one machine. This is the
published arithmetic: every picture has weights of its own, modulated and demodulated, in a grouped
convolution; the doubling is a stride-2 transposed convolution, and the low-pass filter after it a
pass of its own over padded features; noise, bias, activation, gain and clamp are a pass each; the
picture is doubled by zeros put between its pixels, then filtered. Tensors lie in PyTorch's default
format, all in float32. What it lacks are the CUDA extensions (filter; bias and activation) that
came with the published code and that its own reference forms stand in for here: on a CPU the code
that people run does the same work as this, on CUDA somewhat less.

The weights are those of the reference network, and so, to rounding, is the picture.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.networks.stylegan2 import (
    LRELU_GAIN,
    StyleGAN2,
    SynthesisBlock,
    SynthesisLayer,
    ToRGB,
)


class Published:
    """A network performed as published, with a copy of the reference's weights.

    Shapes as in `engine.networks.stylegan2`. It has no gradients and no mapping.
    """

    def __init__(self, net: StyleGAN2) -> None:
        contiguous = torch.contiguous_format
        self._net = copy.deepcopy(net).to(memory_format=contiguous)  # type: ignore[call-overload]
        self._kernel = net.synthesis.blocks[0].resample.kernel[0, 0]

    @torch.inference_mode()
    def synthesize(self, ws: Tensor, noise_strength: float = 1.0) -> Tensor:
        """ws [N, L, w_dim] to pictures [N, img_channels, R, R], with the stored noise maps."""
        x: Tensor | None = None
        img: Tensor | None = None
        styles = list(ws.unbind(dim=1))
        for block in self._net.synthesis.blocks:
            x, img = self._block(block, x, img, styles, noise_strength)
            styles = styles[len(block.layers()) :]
        assert img is not None
        return img

    def _block(
        self,
        block: SynthesisBlock,
        x: Tensor | None,
        img: Tensor | None,
        ws: list[Tensor],
        noise_strength: float,
    ) -> tuple[Tensor, Tensor | None]:
        if x is None:
            x = block.const[None].repeat(len(ws[0]), 1, 1, 1)
            x = self._layer(block.conv1, x, ws[0], noise_strength)
        elif block.skip is None:
            x = self._layer(block.conv0, x, ws[0], noise_strength)
            x = self._layer(block.conv1, x, ws[1], noise_strength)
        else:
            gain = math.sqrt(0.5)
            shortcut = F.conv2d(x, block.skip.weight * block.skip.weight_gain)
            shortcut = zero_inserted(shortcut, self._kernel) * gain
            x = self._layer(block.conv0, x, ws[0], noise_strength)
            x = shortcut + self._layer(block.conv1, x, ws[1], noise_strength, gain)
        if img is not None:
            img = zero_inserted(img, self._kernel)
        if block.torgb is not None:
            rgb = self._to_rgb(block.torgb, x, ws[len(block.layers())])
            img = rgb if img is None else img + rgb
        return x, img

    def _layer(
        self, layer: SynthesisLayer, x: Tensor, w: Tensor, noise_strength: float, gain: float = 1.0
    ) -> Tensor:
        weight = modulated(layer.weight, layer.affine(w))
        weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        if layer.resample is None:
            x = grouped(x, weight)
        else:
            x = filtered(grouped_up(x, weight), self._kernel, (1, 1, 1, 1))
        if self._net.config.use_noise:
            x = x + layer.noise_const * layer.noise_strength * noise_strength
        x = x + layer.bias[:, None, None]
        x = F.leaky_relu(x, 0.2)
        x = x * (LRELU_GAIN * gain)
        return x if layer.clamp is None else x.clamp(-layer.clamp * gain, layer.clamp * gain)

    def _to_rgb(self, torgb: ToRGB, x: Tensor, w: Tensor) -> Tensor:
        x = grouped(x, modulated(torgb.weight, torgb.affine(w) * torgb.weight_gain))
        x = x + torgb.bias[:, None, None]
        return x if torgb.clamp is None else x.clamp(-torgb.clamp, torgb.clamp)


def modulated(weight: Tensor, s: Tensor) -> Tensor:
    """weight [O, I, k, k] and styles [N, I] -> one set of weights a picture, [N, O, I, k, k]."""
    return weight[None] * s[:, None, :, None, None]


def grouped(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, I, r, r], weight [N, O, I, k, k] -> [N, O, r, r]: the pictures as groups of one."""
    n, outputs, inputs, k, _ = weight.shape
    x = x.reshape(1, n * inputs, *x.shape[2:])
    x = F.conv2d(x, weight.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)
    return x.reshape(n, outputs, *x.shape[2:])


def grouped_up(x: Tensor, weight: Tensor) -> Tensor:
    """x [N, I, r, r], weight [N, O, I, 3, 3] -> [N, O, 2r + 1, 2r + 1]."""
    n, outputs, inputs, k, _ = weight.shape
    x = x.reshape(1, n * inputs, *x.shape[2:])
    weight = weight.transpose(1, 2).reshape(n * inputs, outputs, k, k)
    x = F.conv_transpose2d(x, weight, stride=2, groups=n)
    return x.reshape(n, outputs, *x.shape[2:])


def filtered(x: Tensor, kernel: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Filter every channel of x [N, C, h, w] with the symmetric kernel [4, 4], after padding."""
    channels = x.shape[1]
    x = F.pad(x, padding)
    return F.conv2d(x, kernel[None, None].repeat(channels, 1, 1, 1), groups=channels)


def zero_inserted(x: Tensor, kernel: Tensor) -> Tensor:
    """x [N, C, r, r] -> [N, C, 2r, 2r]: a zero after every sample, then the filter."""
    n, channels, height, width = x.shape
    x = F.pad(x.reshape(n, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    return filtered(x.reshape(n, channels, 2 * height, 2 * width), kernel, (2, 1, 2, 1))
