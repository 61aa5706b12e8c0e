"""The folded network as one function without side effects: for compilers, and for CUDA graphs.

Weights stay as they are and activations are scaled, because a compiler fuses that into what comes
before and after a convolution, and arranges constant weights once. Filters are sums of shifted
pictures for the same reason: the bundled network, compiled, took 2.6 ms a frame on two CPU threads,
and 3.2 with filters that are convolutions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.inference.folded import Convolution, Folded, ToPicture
from engine.inference.walk import picture_at

Colour = tuple[Tensor, Tensor]
"""An early picture's way to the colours of the full one: a matrix [4, 4] and a shift [4]."""


class Plain:
    """A player (see `walk.Player`) of which everything can be traced."""

    def convolve(
        self, layer: Convolution, x: Tensor, s: Tensor, d: Tensor, noise: Tensor
    ) -> Tensor:
        """See `Player.convolve`."""
        x = x * s[:, None, None]
        if layer.up:
            x = _smoothed(F.conv_transpose2d(x, layer.weight, stride=2))
        else:
            x = F.conv2d(x, layer.weight, padding=1)
        x = x * d[:, None, None] + layer.bias[:, None, None]
        if layer.noise is not None:
            x = x + layer.noise * noise
        x = F.leaky_relu(x, 0.2)
        return x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)

    def shortcut(self, weight: Tensor, x: Tensor) -> Tensor:
        """See `Player.shortcut`."""
        return _doubled(F.conv2d(x, weight)[0].permute(1, 2, 0))[None].permute(0, 3, 1, 2)

    def double(self, picture: Tensor) -> Tensor:
        """See `Player.double`."""
        return _doubled(picture)

    def add(self, layer: ToPicture, x: Tensor, s: Tensor, picture: Tensor | None) -> Tensor:
        """See `Player.add`."""
        weight = (layer.weight * s).to(x.dtype)
        size = x.shape[-1]
        rgba = F.linear(x[0].permute(1, 2, 0).reshape(size * size, -1), weight).float() + layer.bias
        if layer.clamp is not None:
            rgba = rgba.clamp(-layer.clamp, layer.clamp)
        rgba = rgba.reshape(size, size, 4)
        return rgba if picture is None else picture + rgba


class Finished(nn.Module):
    """Styles and demodulations to bytes, at one size, as `torch.export` wants it."""

    def __init__(self, folded: Folded, size: int, colour: Colour | None = None) -> None:
        super().__init__()
        self._folded, self._size, self._colour = folded, size, colour

    def forward(self, s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        """[S], [D] and a number to uint8 [size, size, 4]."""
        picture = picture_at(self._size, self._folded, Plain(), s, d, noise)
        return to_bytes(picture, self._folded, self._colour)


def frame(
    folded: Folded, ws: Tensor, noise: Tensor, size: int, colour: Colour | None = None
) -> Tensor:
    """ws [num_ws, w_dim] float32 to uint8 [size, size, 4].

    noise [] multiplies the network's own; size is that of one of its pictures; colour, for an early
    one, replaces the folded network's offset.
    """
    s, d = folded.styles(ws)
    return to_bytes(picture_at(size, folded, Plain(), s, d, noise), folded, colour)


def to_bytes(picture: Tensor, folded: Folded, colour: Colour | None = None) -> Tensor:
    """A sum of pictures [r, r, 4] as uint8 [r, r, 4], rounded and clamped; alpha is 255."""
    if colour is not None:
        matrix, shift = colour
        picture = picture @ matrix.t() + shift
    else:
        picture = picture + folded.offset
    return picture.clamp(0, 255).to(torch.uint8)


def _smoothed(x: Tensor) -> Tensor:
    """The filter [1, 3, 3, 1] after a stride-2 transpose: [1, C, r + 1, r + 1] -> [1, C, r, r]."""
    r = x.shape[-1] - 1
    x = F.pad(x, (1, 1, 1, 1))
    x = x[:, :, :r] + x[:, :, 3:] + 3 * (x[:, :, 1 : r + 1] + x[:, :, 2 : r + 2])
    x = x[..., :r] + x[..., 3:] + 3 * (x[..., 1 : r + 1] + x[..., 2 : r + 2])
    return x * (1 / 16)


def _doubled(x: Tensor) -> Tensor:
    """[r, r, C] -> [2r, 2r, C]: zeros between the samples, then the filter.

    Of its four taps two meet zeros: an even row is (row before + 3 row) / 4, an odd one the mirror.
    """
    r, _, channels = x.shape
    x = F.pad(x, (0, 0, 1, 1, 1, 1))
    x = torch.stack([x[:-2] + 3 * x[1:-1], 3 * x[1:-1] + x[2:]], 1).reshape(2 * r, r + 2, channels)
    x = torch.stack([x[:, :-2] + 3 * x[:, 1:-1], 3 * x[:, 1:-1] + x[:, 2:]], 2)
    return x.reshape(2 * r, 2 * r, channels) * (1 / 16)
