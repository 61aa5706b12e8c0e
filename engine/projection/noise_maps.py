"""The network's noise maps as part of a search, kept noise.

Where maps may change, they take the hair and the pores upon themselves, and W+ need not. Without a
guard they would take the whole picture. Both parts of the guard are those of Karras et al.,
"Analyzing and Improving the Image Quality of StyleGAN" (2020), appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHT = 1e5  # as published
_COARSEST = 8  # pixels along a side, from which a map is not halved again


def likeness(maps: Sequence[Tensor]) -> Tensor:
    """How much pixels [N, 1, r, r] of each map tell of their neighbours: [N], 0 for white noise.

    Squared autocorrelation by one pixel, across and down, of the map and of its halvings.
    """
    total = maps[0].new_zeros(len(maps[0]))
    for x in maps:
        while True:
            for dimension in (2, 3):
                total = total + (x * x.roll(1, dimension)).mean(dim=(1, 2, 3)).square()
            if x.shape[2] <= _COARSEST:
                break
            x = F.avg_pool2d(x, 2)
    return total


@torch.no_grad()
def normalize(maps: Sequence[Tensor]) -> None:
    """Bring each map back to a mean of 0 and a mean square of 1, in place."""
    for x in maps:
        x -= x.mean(dim=(1, 2, 3), keepdim=True)
        x *= x.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
