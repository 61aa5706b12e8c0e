"""The Fréchet distance between two sets of features, which is FID if they are Inception's.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017): the distance of the Gaussians that have the sets' means and covariances.

It is biased: the fewer pictures, the larger, and without end for those of one kind. Below 2049
pictures a covariance of 2048 features is not even of full rank. So two are comparable only where
as many pictures were looked at, and with published ones, "FID50k", only if those were 50,000.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.training.inception import Inception
from engine.training.measure import shown

_TOGETHER = 16  # pictures at a time, which bounds memory: 16 MB each


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """What is kept of features: mean [D] and covariance [D, D], float64, on the CPU."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Gaussian:
        """Of [N, D], N from 1; one alone has a covariance of 0."""
        points = features.cpu().double()  # Apple's GPUs have no float64
        mean = points.mean(dim=0)
        apart = points - mean
        return cls(mean, apart.T @ apart / max(len(points) - 1, 1))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), from 0; not a number where there are such.

    S1 S2 has the eigenvalues of S1^(1/2) S2 S1^(1/2), which is symmetric.
    """
    if not all(each.isfinite().all() for x in (one, other) for each in (x.mean, x.covariance)):
        return float("nan")
    root = _root(one.covariance)
    shared = torch.linalg.eigvalsh(root @ other.covariance @ root)
    apart = (one.mean - other.mean).square().sum()
    traces = one.covariance.trace() + other.covariance.trace()
    # Rounding takes eigenvalues, and the distance of equals, a little below 0.
    return float((apart + traces - 2 * shared.clamp(min=0).sqrt().sum()).clamp(min=0))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric matrix whose square this one is."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


@torch.no_grad()
def inception_features(network: Inception, pictures: Iterable[Tensor]) -> Tensor:
    """[N, 2048] of batches [*, 3, R, R], which are clamped and rounded as if shown.

    In whole float32, also where a training's convolutions are not.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = [network(shown(few)) for batch in pictures for few in torch.split(batch, _TOGETHER)]
    return torch.cat(found)
