"""Triton's part of a frame: all that lies between two convolutions, in one pass over memory.

PyTorch's own kernels read and write the activations once for each of demodulation, filter, noise,
bias, leaky ReLU, clamping, the next layer's styles and ToRGB. At high resolutions that is most of a
frame's time, for a GPU multiplies faster than it remembers.

Everything is computed in float32, whatever the activations are stored in. Activations are channels
last: [side * side, C] in memory. Pictures between blocks are float32 [3, side, side], on the scale
of bytes (see `folded`).

Importing this imports Triton, whose LLVM must not share a process with that of Mesa's OpenGL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.inference.folded import TINY, Convolution, ToPicture
from engine.inference.plain import Colour

# Values in the hands of one program of 128 threads. Compiled for compute capability 9.0 a thread
# then takes 48 to 84 registers and spills none; with twice the tile it took 64 to 130.
TILE = 2048
ROWS = 4  # that a program filters one after another: of 7 rows read it makes 4
SHARE = 16  # demodulations of one program
OPTIONS = {"enable_fp_fusion": True}  # a * b + c at once; Triton is about to change its default


@triton.jit
def _demodulate(
    s, squares, epsilons, scaled, d, parts,
    tiny: tl.constexpr, share: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """See `demodulate`. parts [programs, 6]: the layer's first style, their number, the first
    demodulation of this program, the end of the layer's, where its squares begin, is it the first.
    """
    part = parts + tl.program_id(0) * 6
    begin, inputs = tl.load(part), tl.load(part + 1)
    outputs = tl.load(part + 2) + tl.arange(0, share)
    end, weights, writes = tl.load(part + 3), tl.load(part + 4), tl.load(part + 5)
    i = tl.arange(0, block)
    style = tl.load(s + begin + i, mask=i < inputs, other=0.0)
    greatest = tl.maximum(tl.max(tl.abs(style), 0), tiny)
    style = style / greatest
    tl.store(scaled + begin + i, style, mask=i < inputs * writes)
    there = outputs < end
    row = tl.arange(0, share)
    at = weights + row[:, None] * inputs + i[None, :]
    square = tl.load(squares + at, mask=there[:, None] & (i < inputs)[None, :], other=0.0)
    epsilon = tl.load(epsilons + outputs, mask=there, other=1.0) / (greatest * greatest)
    tl.store(d + outputs, 1 / tl.sqrt(tl.sum(square * style * style, 1) + epsilon), mask=there)


@triton.jit
def _activated(x, c, known, d, bias, noise, clamp):
    """lrelu(x * d + bias + noise), clamped; x [pixels, channels], noise [pixels]."""
    x = x * tl.load(d + c, mask=known, other=0.0)[None, :]
    x += tl.load(bias + c, mask=known, other=0.0).to(tl.float32)[None, :]
    x += noise[:, None]
    x = tl.where(x < 0, 0.2 * x, x)
    return tl.minimum(tl.maximum(x, -clamp), clamp)


@triton.jit
def _value(y, i, j, c, known, side, channels):
    """Row i of y [side, side, channels] at columns j and channels c; 0 outside."""
    row = i + tl.zeros_like(j)  # Triton's interpreter has no masks of single numbers
    inside = (row >= 0) & (row < side) & (j >= 0) & (j < side)
    at = (row * side + j)[:, None] * channels + c[None, :]
    return tl.load(y + at, mask=inside[:, None] & known[None, :], other=0.0).to(tl.float32)


@triton.jit
def _across(y, i, j, c, known, side, channels):
    """Row i of y, filtered by [1, 3, 3, 1] from the column before j on."""
    outer = _value(y, i, j - 1, c, known, side, channels)
    outer += _value(y, i, j + 2, c, known, side, channels)
    inner = _value(y, i, j, c, known, side, channels)
    inner += _value(y, i, j + 1, c, known, side, channels)
    return outer + 3 * inner


@triton.jit(do_not_specialize=["side"])
def _smooth(
    y, out, d, bias, noise, factor, scale, side, channels, clamp,
    noisy: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """See `smooth`. A program makes `rows` rows of `columns` pixels, `block` channels of each."""
    strips = tl.cdiv(side, columns)
    i = tl.program_id(0) // strips * rows
    j = tl.program_id(0) % strips * columns + tl.arange(0, columns)
    c = tl.program_id(1) * block + tl.arange(0, block)
    known = c < channels
    style = tl.load(scale + c, mask=known, other=0.0)
    first = _across(y, i - 1, j, c, known, side + 1, channels)
    second = _across(y, i, j, c, known, side + 1, channels)
    third = _across(y, i + 1, j, c, known, side + 1, channels)
    for _ in tl.static_range(rows):
        fourth = _across(y, i + 2, j, c, known, side + 1, channels)
        x = (first + fourth + 3 * (second + third)) * 0.0625
        inside = (i + tl.zeros_like(j) < side) & (j < side)
        grain = tl.zeros_like(j).to(tl.float32)
        if noisy:
            grain = tl.load(noise + i * side + j, mask=inside, other=0.0).to(tl.float32)
            grain *= tl.load(factor)
        x = _activated(x, c, known, d, bias, grain, clamp) * style[None, :]
        at = (i * side + j)[:, None] * channels + c[None, :]
        tl.store(out + at, x.to(out.dtype.element_ty), mask=inside[:, None] & known[None, :])
        first, second, third = second, third, fourth
        i += 1


@triton.jit
def _sample(picture, i, j, side):
    """A plane [side, side] at rows i and columns j; 0 outside."""
    inside = (i >= 0) & (i < side) & (j >= 0) & (j < side)
    return tl.load(picture + i * side + j, mask=inside, other=0.0)


@triton.jit
def _doubled(plane, i, j, side):
    """A plane [side, side] at twice the size, at rows i and columns j.

    Of the filter's four taps two meet zeros: nearer samples count three times the farther ones.
    """
    row, column = i // 2, j // 2
    far_row, far_column = row + i % 2 * 2 - 1, column + j % 2 * 2 - 1
    near = 3 * _sample(plane, row, column, side) + _sample(plane, row, far_column, side)
    far = 3 * _sample(plane, far_row, column, side) + _sample(plane, far_row, far_column, side)
    return (3 * near + far) * 0.0625


@triton.jit
def _level(red, green, blue, colour, shift, row: tl.constexpr):
    """One of three levels 0 to 255 by row `row` of a matrix [4, 4] and a shift, fraction cut."""
    level = red * tl.load(colour + row * 4) + green * tl.load(colour + row * 4 + 1)
    level += blue * tl.load(colour + row * 4 + 2) + tl.load(shift + row)
    return tl.minimum(tl.maximum(level, 0.0), 255.0).to(tl.int32)


@triton.jit(do_not_specialize=["side"])
def _finish(
    y, out, d, bias, noise, factor, scale, rgb, rgb_style, rgb_bias, before, picture,
    colour, shift, side, channels, clamp, rgb_clamp,
    noisy: tl.constexpr, first: tl.constexpr, last: tl.constexpr,
    pixels: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """See `BlockEnd`. A program makes `pixels` pixels, all channels of each."""
    at = tl.program_id(0) * pixels + tl.arange(0, pixels)
    inside = at < side * side
    c = tl.arange(0, block)
    known = c < channels
    where = at[:, None] * channels + c[None, :]
    held = inside[:, None] & known[None, :]
    grain = tl.zeros_like(at).to(tl.float32)
    if noisy:
        grain = tl.load(noise + at, mask=inside, other=0.0).to(tl.float32) * tl.load(factor)
    x = tl.load(y + where, mask=held, other=0.0).to(tl.float32)
    x = _activated(x, c, known, d, bias, grain, clamp)
    style = tl.load(rgb_style + c, mask=known, other=0.0)
    red = tl.sum(x * (style * tl.load(rgb + c, mask=known, other=0.0))[None, :], 1)
    rgb += channels
    green = tl.sum(x * (style * tl.load(rgb + c, mask=known, other=0.0))[None, :], 1)
    rgb += channels
    blue = tl.sum(x * (style * tl.load(rgb + c, mask=known, other=0.0))[None, :], 1)
    red = tl.minimum(tl.maximum(red + tl.load(rgb_bias), -rgb_clamp), rgb_clamp)
    green = tl.minimum(tl.maximum(green + tl.load(rgb_bias + 1), -rgb_clamp), rgb_clamp)
    blue = tl.minimum(tl.maximum(blue + tl.load(rgb_bias + 2), -rgb_clamp), rgb_clamp)
    if not first:
        i, j, half = at // side, at % side, side // 2
        red += _doubled(before, i, j, half)
        green += _doubled(before + half * half, i, j, half)
        blue += _doubled(before + 2 * half * half, i, j, half)
    if last:
        rgba = _level(red, green, blue, colour, shift, 0)
        rgba |= _level(red, green, blue, colour, shift, 1) << 8
        rgba |= _level(red, green, blue, colour, shift, 2) << 16
        tl.store(picture + at, rgba | -16777216, mask=inside)  # alpha: 255 << 24
    else:
        tl.store(picture + at, red, mask=inside)
        tl.store(picture + side * side + at, green, mask=inside)
        tl.store(picture + 2 * side * side + at, blue, mask=inside)
        x *= tl.load(scale + c, mask=known, other=0.0)[None, :]
        tl.store(out + where, x.to(out.dtype.element_ty), mask=held)


class Demodulation:
    """Scales the styles of all convolutions and computes their demodulations, in one launch.

    The styles of each convolution are divided by the largest magnitude among them, which keeps
    float16 from overflowing and which demodulation undoes by itself (see `folded`).
    """

    def __init__(self, layers: list[Convolution], epsilons: Tensor) -> None:
        self._epsilons = epsilons  # [D]
        self._squares = torch.cat([layer.squares.reshape(-1) for layer in layers])
        parts, weights = [], 0
        for layer in layers:
            outputs, inputs = layer.squares.shape
            begin, end = layer.outputs.start, layer.outputs.stop
            for first in range(begin, end, SHARE):
                at = weights + (first - begin) * inputs
                parts.append([layer.inputs.start, inputs, first, end, at, int(first == begin)])
            weights += outputs * inputs
        self._parts = torch.tensor(parts, dtype=torch.int32, device=epsilons.device)
        self._block = max(triton.next_power_of_2(layer.squares.shape[1]) for layer in layers)

    def __call__(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """All styles [S], ToRGB's too, to those of convolutions, scaled [S], and d [D]; float32."""
        scaled, d = torch.empty_like(s), torch.empty_like(self._epsilons)
        _demodulate[(len(self._parts),)](
            s, self._squares, self._epsilons, scaled, d, self._parts,
            tiny=TINY, share=SHARE, block=self._block, **OPTIONS,
        )  # fmt: skip
        return scaled, d


def smooth(layer: Convolution, y: Tensor, d: Tensor, factor: Tensor, scale: Tensor) -> Tensor:
    """What follows a stride-2 transposed convolution: y [1, C, r + 1, r + 1] to [1, C, r, r].

    Filter, demodulation d [C], noise times factor, bias, leaky ReLU, clamp, and the styles
    scale [C] of the next convolution.
    """
    y = y.contiguous(memory_format=torch.channels_last)
    channels, side = y.shape[1], y.shape[2] - 1
    out = torch.empty_like(y[:, :, :side, :side], memory_format=torch.channels_last)
    block = min(triton.next_power_of_2(channels), 64)
    columns = TILE // 2 // block  # also where a row is shorter: one more form is one to compile
    grid = (triton.cdiv(side, ROWS) * triton.cdiv(side, columns), triton.cdiv(channels, block))
    _smooth[grid](
        y, out, d, layer.bias, *_noise(layer, y, factor), scale, side, channels,
        _limit(layer.clamp), noisy=layer.noise is not None,
        rows=ROWS, columns=columns, block=block, **OPTIONS,
    )  # fmt: skip
    return out


@dataclass(frozen=True, slots=True, eq=False)
class BlockEnd:
    """What follows a block's last convolution: its activation, and ToRGB's part of the picture."""

    layer: Convolution
    to_picture: ToPicture
    y: Tensor  # [1, C, r, r], of the convolution
    d: Tensor  # [C]
    factor: Tensor  # [], of the noise
    style: Tensor  # [C], of ToRGB
    before: Tensor | None  # the sum of pictures so far [3, r/2, r/2]

    def go_on(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The activations [1, C, r, r], multiplied with scale [C], the styles of the convolution
        that comes next; and the sum of pictures [3, r, r]."""
        side = self.y.shape[2]
        out = torch.empty_like(self.y, memory_format=torch.channels_last)
        picture = torch.empty(3, side, side, device=self.y.device)
        self._launch(out, scale, picture, (self.style, self.style), last=False)
        return out, picture

    def finish(self, colour: Colour) -> Tensor:
        """The frame, uint8 [r, r, 4], opaque; colour [4, 4] and [4] make levels of the sum."""
        side = self.y.shape[2]
        frame = torch.empty(side, side, 4, dtype=torch.uint8, device=self.y.device)
        self._launch(self.y, self.style, frame.view(torch.int32), colour, last=True)
        return frame

    def _launch(
        self, out: Tensor, scale: Tensor, picture: Tensor, colour: Colour, *, last: bool
    ) -> None:
        """One kernel for both; where one of them needs nothing, some memory that nobody reads."""
        layer, rgb, before = self.layer, self.to_picture, self.before
        y = self.y.contiguous(memory_format=torch.channels_last)
        channels, side = y.shape[1], y.shape[2]
        block = triton.next_power_of_2(channels)
        # Enough for one program, and enough programs for a GPU at 4x4, too.
        pixels = max(1, min(TILE // block, triton.next_power_of_2(side * side) // 16))
        _finish[(triton.cdiv(side * side, pixels),)](
            y, out, self.d, layer.bias, *_noise(layer, y, self.factor), scale,
            rgb.weight, self.style, rgb.bias, picture if before is None else before, picture,
            *colour, side, channels, _limit(layer.clamp), _limit(rgb.clamp),
            noisy=layer.noise is not None, first=before is None, last=last,
            pixels=pixels, block=block, **OPTIONS,
        )  # fmt: skip


def _noise(layer: Convolution, y: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """The noise and its factor; where there is none, some memory that nobody reads."""
    return (y if layer.noise is None else layer.noise), factor


def _limit(clamp: float | None) -> float:
    return math.inf if clamp is None else clamp
