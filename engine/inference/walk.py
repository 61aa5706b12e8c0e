"""From styles to pictures: the way through the blocks, the same for every player."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from engine.inference.folded import Convolution, Folded, ToPicture

Sums = Generator[None, None, Mapping[int, Tensor]]
"""Work in steps, each about as long as a frame at most, that ends with pictures by resolution."""


class Player(Protocol):
    """One way to compute the layers of a folded network.

    x is [1, C, r, r], channels last; pictures are float32 [r, r, 4] on the scale of bytes. s and d
    are the styles and demodulations of the layer in hand, noise is a number that multiplies the
    network's own noise. Only the picture that is handed in may be overwritten.
    """

    def convolve(
        self, layer: Convolution, x: Tensor, s: Tensor, d: Tensor, noise: Tensor
    ) -> Tensor:
        """A whole layer, from its input to its activation: [1, O, r', r']."""

    def shortcut(self, weight: Tensor, x: Tensor) -> Tensor:
        """`resnet`'s way round a block: 1x1 convolution and doubling."""

    def double(self, picture: Tensor) -> Tensor:
        """The picture at twice the size."""

    def add(self, layer: ToPicture, x: Tensor, s: Tensor, picture: Tensor | None) -> Tensor:
        """The picture and what the layer makes of x."""


def pictures(
    folded: Folded, player: Player, s: Tensor, d: Tensor, noise: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """The sum of pictures at every resolution that has one, with the resolution, ascending.

    Stop taking where the picture is large enough: nothing is computed that was not asked for.
    """
    x, picture = folded.constant, None
    styles = iter(torch.split(s, folded.style_sizes))
    demodulations = iter(torch.split(d, folded.demodulation_sizes))
    for block in folded.blocks:
        came = x
        for layer in block.convolutions:
            x = player.convolve(layer, x, next(styles), next(demodulations), noise)
        if block.shortcut is not None:
            x = x + player.shortcut(block.shortcut, came)
        if picture is not None:
            picture = player.double(picture)
        if block.picture is not None:
            picture = player.add(block.picture, x, next(styles), picture)
            yield block.resolution, picture


def picture_at(
    size: int, folded: Folded, player: Player, s: Tensor, d: Tensor, noise: Tensor
) -> Tensor:
    """The sum of pictures [size, size, 4] at one resolution; nothing beyond it is computed."""
    return next(p for at, p in pictures(folded, player, s, d, noise) if at == size)
