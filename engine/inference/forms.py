"""Equal ways to compute one layer; which is fastest depends on device, channels and resolution.

A modulated convolution may scale its weights or what it is applied to: the first costs a pass over
the weights, the second one or two over activations. A doubling may be a stride-2 transposed
convolution and then the low-pass filter, or both as one convolution that makes the four pixels of
every doubled one as four sets of channels: more multiplications, no second pass.

A form of a convolution takes x [1, I, r, r], s [I] and d [O] and gives d * conv(x * s) + bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.inference.folded import Convolution, ToPicture

Form = Callable[..., Tensor]

LARGEST_MATRIX = 64  # pixels along a side; larger products with mostly zeros never paid
LARGEST_COMPOSED = 1 << 17  # weights; with more, four times the multiplications never paid


def of_convolution(layer: Convolution, taps: Tensor, x: Tensor) -> list[Form]:
    """The forms of a convolution for inputs like x, the likeliest first.

    taps [4, 4]: the filter of a doubling.
    """
    many = layer.weight.numel() > x.numel()
    forms = _doublings(layer, taps, x) if layer.up else _plain(layer)
    return forms[::-1] if many else forms


def _plain(layer: Convolution) -> list[Form]:
    return [partial(_scaled_weights, layer), partial(_scaled_activations, layer)]


def _doublings(layer: Convolution, taps: Tensor, x: Tensor) -> list[Form]:
    filters: list[Form] = [partial(_filtered, taps)]
    if x.shape[-1] <= LARGEST_MATRIX:
        filters.append(partial(_banded, band(2 * x.shape[-1], taps)))
    forms: list[Form] = []
    for transposed in (_transposed_weights, _transposed_activations):
        forms += [partial(_transposed, transposed, smoothing, layer) for smoothing in filters]
    if layer.weight.numel() <= LARGEST_COMPOSED:
        composed = compose(layer.weight, taps)
        forms.insert(2, partial(_polyphase_weights, composed, layer))
        forms.insert(3, partial(_polyphase_activations, composed, layer))
    return forms


def of_picture(layer: ToPicture) -> list[Form]:
    """The forms of ToRGB: x [1, C, r, r] and s [C] to [r, r, 4]."""
    return [partial(_convolved, layer), partial(_multiplied, layer)]


def of_doubling(taps: Tensor, picture: Tensor) -> list[Form]:
    """The forms of doubling a picture: [r, r, 4] to [2r, 2r, 4]."""
    forms: list[Form] = [partial(_doubled, taps.expand(4, 1, 4, 4).contiguous()), _interpolated]
    if len(picture) <= LARGEST_MATRIX:
        forms.append(partial(_multiplied_doubling, doubling(len(picture), taps)))
    return forms


def compose(weight: Tensor, taps: Tensor) -> Tensor:
    """A transposed convolution and its filter as one: [I, O, 3, 3] to [2 * 2 * O, I, 3, 3].

    Together they are a kernel of 6x6 taps over zero-stuffed input, of which an output pixel meets
    every second: even ones 0, 2 and 4, odd ones 1, 3 and 5, both from the far end.
    """
    inputs, outputs = weight.shape[:2]
    each = weight.transpose(0, 1).reshape(outputs * inputs, 1, 3, 3)
    kernel = F.conv2d(each, taps[None, None].to(weight), padding=3)
    kernel = kernel.reshape(outputs, inputs, 6, 6).flip(2, 3)
    # Flipped, tap 5 - q stands at q: even pixels take 1, 3, 5 of it, odd ones 0, 2, 4.
    phases = [kernel[:, :, 1 - a :: 2, 1 - b :: 2] for a in (0, 1) for b in (0, 1)]
    return torch.cat(phases).contiguous(memory_format=torch.channels_last)


def band(r: int, taps: Tensor) -> Tensor:
    """The filter of a doubling in one direction, as a matrix [r, r + 1]."""
    line = taps.sum(0) / 2  # the gain of 2 in each direction
    matrix = taps.new_zeros(r + 3, r)
    for tap, weight in enumerate(line.tolist()):
        matrix[tap : tap + r].diagonal().fill_(weight)
    return matrix[1:-1].t().contiguous()


def doubling(r: int, taps: Tensor) -> Tensor:
    """Zeros between the samples and the filter, in one direction, as a matrix [2r, r]."""
    return band(2 * r, taps)[:, 1::2].contiguous()


def _scaled_weights(layer: Convolution, x: Tensor, s: Tensor, d: Tensor) -> Tensor:
    weight = (layer.weight * s[:, None, None]).mul_(d[:, None, None, None])
    return F.conv2d(x, weight, layer.bias, padding=1)


def _scaled_activations(layer: Convolution, x: Tensor, s: Tensor, d: Tensor) -> Tensor:
    x = F.conv2d(x * s[:, None, None], layer.weight, padding=1)
    return x.mul_(d[:, None, None]).add_(layer.bias[:, None, None])


def _transposed(
    doubling: Form, smoothing: Form, layer: Convolution, x: Tensor, s: Tensor, d: Tensor
) -> Tensor:
    return smoothing(doubling(layer.weight, x, s), layer.bias, d)


def _transposed_weights(weight: Tensor, x: Tensor, s: Tensor) -> Tensor:
    return F.conv_transpose2d(x, weight * s[:, None, None, None], stride=2)


def _transposed_activations(weight: Tensor, x: Tensor, s: Tensor) -> Tensor:
    return F.conv_transpose2d(x * s[:, None, None], weight, stride=2)


def _filtered(taps: Tensor, x: Tensor, bias: Tensor, d: Tensor) -> Tensor:
    kernel = taps * d[:, None, None, None]
    return F.conv2d(x, kernel, bias, padding=1, groups=len(d))


def _banded(matrix: Tensor, x: Tensor, bias: Tensor, d: Tensor) -> Tensor:
    """The filter as a product with a banded matrix [r, r + 1], along y and along x."""
    channels, r = x.shape[1], x.shape[-1]
    x = torch.mm(matrix, x.permute(0, 2, 3, 1).reshape(r, r * channels))
    x = torch.matmul(matrix, x.reshape(-1, r, channels)).mul_(d).add_(bias)
    return x[None].permute(0, 3, 1, 2)


def _polyphase_weights(
    composed: Tensor, layer: Convolution, x: Tensor, s: Tensor, d: Tensor
) -> Tensor:
    weight = (composed * s[:, None, None]).mul_(d.repeat(4)[:, None, None, None])
    return _interleaved(F.conv2d(x, weight, layer.bias.repeat(4), padding=1))


def _polyphase_activations(
    composed: Tensor, layer: Convolution, x: Tensor, s: Tensor, d: Tensor
) -> Tensor:
    x = _interleaved(F.conv2d(x * s[:, None, None], composed, padding=1))
    return x.mul_(d[:, None, None]).add_(layer.bias[:, None, None])


def _interleaved(x: Tensor) -> Tensor:
    """[1, 2 * 2 * C, r, r], the phases of y and x first, to [1, C, 2r, 2r]."""
    r, channels = x.shape[-1], x.shape[1] // 4
    x = x.permute(0, 2, 3, 1).reshape(r, r, 2, 2, channels).permute(0, 2, 1, 3, 4)
    return x.reshape(1, 2 * r, 2 * r, channels).permute(0, 3, 1, 2)


def _convolved(layer: ToPicture, x: Tensor, s: Tensor) -> Tensor:
    weight = (layer.weight * s)[:, :, None, None]
    return F.conv2d(x, weight, layer.bias)[0].permute(1, 2, 0)


def _multiplied(layer: ToPicture, x: Tensor, s: Tensor) -> Tensor:
    r, channels = x.shape[-1], x.shape[1]
    pixels = x.permute(0, 2, 3, 1).reshape(r * r, channels)
    return torch.addmm(layer.bias, pixels, (layer.weight * s).t()).reshape(r, r, 4)


def _doubled(kernel: Tensor, picture: Tensor) -> Tensor:
    x = picture[None].permute(0, 3, 1, 2)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=4)[0].permute(1, 2, 0)


def _multiplied_doubling(matrix: Tensor, picture: Tensor) -> Tensor:
    r = len(picture)
    rows = torch.mm(matrix, picture.reshape(r, 4 * r))
    return torch.matmul(matrix, rows.reshape(2 * r, r, 4))


def _interpolated(picture: Tensor) -> Tensor:
    """The filter between zeros is linear interpolation, with black beyond the border."""
    x = F.pad(picture[None].permute(0, 3, 1, 2), (1, 1, 1, 1))
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return x[0, :, 2:-2, 2:-2].permute(1, 2, 0)
