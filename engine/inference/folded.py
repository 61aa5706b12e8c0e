"""A StyleGAN2 with everything folded that does not change from frame to frame.

One convolution of the reference is

    y = clamp(lrelu(d * conv(W, x * s) + strength * noise + bias) * gain),
    s = affine(w),  d = 1 / sqrt(sum (W s)^2 + 1e-8)

Leaky ReLU is positively homogeneous, lrelu(gain u) = gain lrelu(u), so the gain goes into d, the
noise and the bias. All affines of all layers are rows of one matrix, with their gains. The sums of
squared weights over the kernel are kept, so that demodulation is a small product of them and s^2.
Pictures are summed on the scale of 0 to 255, with a fourth channel, alpha: ToRGB's weights carry
the 127.5, and what they make is bytes but for clamping and cutting off the fraction.

In float16 products could overflow. The published remedy (Karras et al. 2020, "Training Generative
Adversarial Networks with Limited Data", appendix) scales weights and styles to a largest magnitude
of 1 before they meet, which demodulation undoes by itself: it divides by the norm of their product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.networks.stylegan2 import LRELU_GAIN, StyleGAN2, SynthesisLayer, ToRGB

EPSILON = 1e-8  # of demodulation
LEVELS = 127.5  # of the byte scale in a picture's 1.0
TINY = 1e-15  # for 0 where something is divided by the largest of some numbers, or its square


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A modulated 3x3 convolution, after a doubling if `up`, with noise, bias and leaky ReLU.

    x [1, I, r, r] becomes lrelu(d * conv(x * s) + noise + bias), clamped.
    """

    weight: Tensor  # [O, I, 3, 3], channels last; for `up` [I, O, 3, 3], as conv_transpose2d wants
    squares: Tensor  # [O, I] float32: sums over the kernel of the weights' squares
    bias: Tensor  # [O]
    noise: Tensor | None  # [1, 1, r', r'], strength and gain in it; None where it is all zero
    up: bool
    clamp: float | None
    inputs: slice  # of the styles
    outputs: slice  # of the demodulations


@dataclass(frozen=True, slots=True, eq=False)
class ToPicture:
    """ToRGB as a product: rgba = (weight * s) @ x + bias, clamped; on the scale of bytes."""

    weight: Tensor  # [4, C] float32, the last row 0
    bias: Tensor  # [4] float32
    clamp: float | None
    inputs: slice  # of the styles


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Everything at one resolution: one convolution in the first block, two in the others."""

    resolution: int
    convolutions: tuple[Convolution, ...]
    picture: ToPicture | None
    shortcut: Tensor | None  # `resnet`: [O, I, 1, 1], the gain of sqrt(1/2) in it


class Folded:
    """The numbers that a frame is made of, on one device in one type.

    styles and demodulations are computed in float32 whatever the type. offset [4] is what a
    finished picture needs beside its ToRGBs: half the range, half a level for rounding, and alpha.
    """

    def __init__(
        self, net: StyleGAN2, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.device, self.dtype = device, dtype
        self._safe = dtype == torch.float16
        self._matrix: list[Tensor] = []
        self._shift: list[Tensor] = []
        self._row: list[int] = []  # of ws, for every style
        self._epsilons: list[Tensor] = []
        self._demodulations = 0
        with torch.no_grad():
            self.constant = self._put(net.synthesis.blocks[0].const[None])
            self.blocks = tuple(self._blocks(net))
            self.matrix = torch.cat(self._matrix).to(device)  # [S, w_dim]: all affines
            self.shift = torch.cat(self._shift).to(device)  # [S]
            self.epsilons = torch.cat(self._epsilons).to(device)  # [D]
        self.style_sizes = [len(part) for part in self._matrix]  # in the order of their use
        self.demodulation_sizes = [len(part) for part in self._epsilons]
        rows = torch.tensor(self._row, device=device)
        self._taken = rows * len(rows) + torch.arange(len(rows), device=device)
        self.offset = torch.tensor([LEVELS + 0.5] * 3 + [255.0], device=device)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device)
        self.filter = torch.outer(taps, taps) / 16  # [1, 3, 3, 1] both ways, gain 4, for doubling

    @property
    def resolution(self) -> int:
        """Of the full picture."""
        return self.blocks[-1].resolution

    @property
    def convolutions(self) -> list[Convolution]:
        """All of them, in order."""
        return [layer for block in self.blocks for layer in block.convolutions]

    def pictures(self) -> tuple[int, ...]:
        """Resolutions at which there is a sum of pictures, ascending: all of them for `skip`."""
        return tuple(block.resolution for block in self.blocks if block.picture is not None)

    def affine(self, ws: Tensor) -> Tensor:
        """ws [num_ws, w_dim] float32 to all styles [S] float32."""
        # Every affine for every row of ws, and then those that belong together: L times the work,
        # and the matrix, which is what takes the time, is read but once.
        return torch.addmm(self.shift, ws, self.matrix.t()).take(self._taken)

    def styles(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """ws [num_ws, w_dim] float32 to all styles [S] and demodulations [D].

        In float16 the styles of a convolution are scaled to a largest magnitude of 1.
        """
        s = self.affine(ws)
        if self._safe:
            return self._scaled(s)
        squared = s.square()
        sums = [torch.mv(layer.squares, squared[layer.inputs]) for layer in self.convolutions]
        return s, torch.cat(sums).add_(self.epsilons).rsqrt_()

    def _scaled(self, s: Tensor) -> tuple[Tensor, Tensor]:
        sums = []
        for layer in self.convolutions:
            part = s[layer.inputs]
            greatest = part.abs().amax().clamp_min(TINY)
            part.div_(greatest)
            # In sum (W s)^2 + 1e-8 everything has shrunk by the same factor, the 1e-8 too.
            epsilon = self.epsilons[layer.outputs] / greatest.square()
            sums.append(torch.mv(layer.squares, part.square()).add_(epsilon))
        return s.to(self.dtype), torch.cat(sums).rsqrt_().to(self.dtype)

    def _put(self, tensor: Tensor) -> Tensor:
        tensor = tensor.to(self.device, self.dtype)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.contiguous() if tensor.ndim < 4 else tensor

    def _blocks(self, net: StyleGAN2) -> Iterator[Block]:
        layer = 0
        for resolution, block in zip(net.config.resolutions, net.synthesis.blocks, strict=True):
            convolutions, shortcut = [], None
            for module in block.layers():
                added = module is block.conv1 and block.skip is not None
                convolutions.append(
                    self._convolution(module, layer, math.sqrt(0.5) if added else 1.0)
                )
                layer += 1
            if block.skip is not None:
                shortcut = self._put(block.skip.weight * (block.skip.weight_gain * math.sqrt(0.5)))
            picture = None if block.torgb is None else self._to_picture(block.torgb, layer)
            yield Block(resolution, tuple(convolutions), picture, shortcut)

    def _affine(self, module: SynthesisLayer | ToRGB, layer: int, gain: float = 1.0) -> slice:
        affine = module.affine
        begin = len(self._row)
        self._matrix.append((affine.weight * (affine.weight_gain * gain)).float())
        self._shift.append((affine.bias * (affine.bias_gain * gain)).float())
        self._row += [layer] * len(affine.bias)
        return slice(begin, len(self._row))

    def _convolution(self, module: SynthesisLayer, layer: int, gain: float) -> Convolution:
        weight: Tensor = module.weight
        scale = 1.0
        if self._safe:
            fan_in = math.sqrt(weight[0].numel())
            scale = float(weight.abs().amax().clamp_min(TINY)) * fan_in
            weight = weight / scale
        whole = gain * LRELU_GAIN
        self._epsilons.append(torch.full_like(module.bias, EPSILON / (whole * scale) ** 2).float())
        squares = weight.square().sum(dim=(2, 3)) / whole**2
        noise = None
        if hasattr(module, "noise_const") and bool(module.noise_strength):
            noise = self._put((module.noise_const * (module.noise_strength * whole))[None, None])
        outputs = slice(self._demodulations, self._demodulations + len(module.bias))
        self._demodulations = outputs.stop
        up = module.resample is not None
        return Convolution(
            weight=self._put(weight.transpose(0, 1) if up else weight),
            squares=squares.float().to(self.device),
            bias=self._put(module.bias * whole),
            noise=noise,
            up=up,
            clamp=None if module.clamp is None else module.clamp * gain,
            inputs=self._affine(module, layer),
            outputs=outputs,
        )

    def _to_picture(self, module: ToRGB, layer: int) -> ToPicture:
        """Grey becomes equal red, green and blue. Alpha has no weights: `offset` brings its 255."""
        weight, bias = module.weight[:, :, 0, 0], module.bias * LEVELS
        channels = 3 // len(bias)
        return ToPicture(
            weight=F.pad(weight.repeat(channels, 1), (0, 0, 0, 1)).float().to(self.device),
            bias=F.pad(bias.repeat(channels), (0, 1)).float().to(self.device),
            clamp=None if module.clamp is None else module.clamp * LEVELS,
            inputs=self._affine(module, layer, gain=module.weight_gain * LEVELS),
        )
