"""The folded network with Triton's kernels between the convolutions: for NVIDIA's GPUs.

Of `skip` networks only, as nearly all published ones are; the others are played by `plain`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.inference import kernels
from engine.inference.folded import Folded
from engine.inference.plain import Colour


class Fused:
    """Makes frames of W+ by convolutions and two kernels a block."""

    def __init__(self, folded: Folded) -> None:
        self._folded = folded
        self._demodulated = kernels.Demodulation(folded.convolutions, folded.epsilons)
        self._own = (torch.eye(4, device=folded.device), folded.offset)

    def frame(self, ws: Tensor, noise: Tensor, size: int, colour: Colour | None) -> Tensor:
        """See `plain.frame`."""
        if size not in self._folded.pictures():
            raise ValueError(f"no picture of {size}x{size} in this network")
        s = self._folded.affine(ws)
        scaled, d = self._demodulated(s)
        # Each kernel leaves its pixels as the convolution after it wants them.
        scales = (scaled[layer.inputs] for layer in self._folded.convolutions)
        x = (self._folded.constant * next(scales)[:, None, None]).to(self._folded.dtype)
        picture = None
        for block in self._folded.blocks:
            *doubling, last = block.convolutions
            for layer in doubling:
                x = F.conv_transpose2d(x, layer.weight, stride=2)
                x = kernels.smooth(layer, x, d[layer.outputs], noise, next(scales))
            x = F.conv2d(x, last.weight, padding=1)
            assert block.picture is not None, "not a skip network"
            style = s[block.picture.inputs]
            end = kernels.BlockEnd(last, block.picture, x, d[last.outputs], noise, style, picture)
            if block.resolution == size:
                return end.finish(colour or self._own)
            x, picture = end.go_on(next(scales))
        raise AssertionError("pictures end with the full size")
