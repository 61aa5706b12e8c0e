"""How straight a network's pictures change along a path between two of them.

Perceptual path length (Karras et al., "A Style-Based Generator", 2019, section 4.1) with a distance
that needs no trained network: the square difference of both pictures' pyramids, each scale counted
alike. What VGG16 sees in a change of texture it does not.

The unit is the square distance of two pictures of the same network that have nothing to do with
each other, so that 1 is a plain cross-fade, and sharp networks can be compared with soft ones: what
is above is detours on the way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.training.patches import pyramid

STEP = 1 / 64  # of the way between two pictures: longer than rounding, shorter than what is seen
_TOGETHER = 32
_NOTHING = 1e-12  # of a network that makes one picture alone


@torch.no_grad()
def detours(synthesize: Callable[[Tensor], Tensor], ws: Tensor, at: Tensor) -> float:
    """Mean square speed along straight lines in W+, from each ws [2N, L, w_dim] to its neighbour.

    synthesize: ws [n, L, w_dim] -> pictures [n, 3, R, R]. at: [N] in [0, 1 - STEP], where on the
    lines a step is taken. Each picture at 0 is compared with that at 1, and is as far from it as
    any other two.
    """
    begin, end = ws[0::2], ws[1::2]
    share = at[:, None, None]
    speed, apart = 0.0, 0.0
    for first in range(0, len(begin), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        here = begin[some].lerp(end[some], share[some])
        there = begin[some].lerp(end[some], share[some] + STEP)
        speed += _distance(synthesize(here), synthesize(there)) / STEP**2
        apart += _distance(synthesize(begin[some]), synthesize(end[some]))
    return speed / max(apart, _NOTHING)


def _distance(one: Tensor, other: Tensor) -> float:
    """Sum over pictures of the mean square difference, scale by scale."""
    differences = [level.square().mean(dim=(1, 2, 3)).sum() for level in pyramid(one - other)]
    return float(torch.stack(differences).sum())
