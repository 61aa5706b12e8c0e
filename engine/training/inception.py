"""Inception as FID looks at pictures, 2048 numbers each, from weights that the user has.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2015), in the form
that Heusel et al. (2017) measure with: averages leave a picture's border out, and the last block
takes the largest neighbour instead. Shapes: N pictures, C channels, H x W places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.weights.inception import BLOCKS, STEM, Convolution, read_inception

_SIDE = 299  # pixels that it was trained on


class _Convolutions(nn.Module):
    """Convolutions by name."""

    def __init__(self, convolutions: Mapping[str, Convolution]) -> None:
        super().__init__()
        for name, each in convolutions.items():
            self.add_module(
                name, nn.Conv2d(each.inputs, each.outputs, each.kernel, each.stride, each.padding)
            )

    def along(self, x: Tensor, *names: str) -> Tensor:
        """One after the other, each with its ReLU."""
        for name in names:
            x = F.relu_(self.get_submodule(name)(x))
        return x


class _Block(_Convolutions):
    """Ways through which a picture goes side by side: [N, C, H, W] -> [N, sum of theirs, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        """What all ways come to, one behind the other."""
        return torch.cat(list(self.ways(x)), dim=1)

    def ways(self, x: Tensor) -> Iterable[Tensor]:
        """Each way's channels."""
        raise NotImplementedError


class _A(_Block):
    def ways(self, x: Tensor) -> Iterable[Tensor]:
        yield self.along(x, "branch1x1")
        yield self.along(x, "branch5x5_1", "branch5x5_2")
        yield self.along(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        yield self.along(_averages(x), "branch_pool")


class _B(_Block):
    """Halves H and W."""

    def ways(self, x: Tensor) -> Iterable[Tensor]:
        yield self.along(x, "branch3x3")
        yield self.along(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        yield F.max_pool2d(x, 3, 2)


class _C(_Block):
    def ways(self, x: Tensor) -> Iterable[Tensor]:
        yield self.along(x, "branch1x1")
        yield self.along(x, *(f"branch7x7_{number}" for number in range(1, 4)))
        yield self.along(x, *(f"branch7x7dbl_{number}" for number in range(1, 6)))
        yield self.along(_averages(x), "branch_pool")


class _D(_Block):
    """Halves H and W."""

    def ways(self, x: Tensor) -> Iterable[Tensor]:
        yield self.along(x, "branch3x3_1", "branch3x3_2")
        yield self.along(x, *(f"branch7x7x3_{number}" for number in range(1, 5)))
        yield F.max_pool2d(x, 3, 2)


class _E(_Block):
    def ways(self, x: Tensor) -> Iterable[Tensor]:
        yield self.along(x, "branch1x1")
        once = self.along(x, "branch3x3_1")
        yield self.along(once, "branch3x3_2a")
        yield self.along(once, "branch3x3_2b")
        twice = self.along(x, "branch3x3dbl_1", "branch3x3dbl_2")
        yield self.along(twice, "branch3x3dbl_3a")
        yield self.along(twice, "branch3x3dbl_3b")
        yield self.along(self.pooled(x), "branch_pool")

    def pooled(self, x: Tensor) -> Tensor:
        """What its last way begins with."""
        return _averages(x)


class _Last(_E):
    def pooled(self, x: Tensor) -> Tensor:
        """The largest neighbour: a slip when it was trained, and so part of FID."""
        return F.max_pool2d(x, 3, 1, 1)


_KINDS: Mapping[str, type[_Block]] = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _A),
    "Mixed_6a": _B,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _C),
    "Mixed_7a": _D,
    "Mixed_7b": _E,
    "Mixed_7c": _Last,
}


def _averages(x: Tensor) -> Tensor:
    """Of 3x3 places, at the border of those that there are."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Inception(_Convolutions):
    """Parameters have torchvision's names, its normalisation folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__(STEM)
        for name, convolutions in BLOCKS.items():
            self.add_module(name, _KINDS[name](convolutions))

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> [N, 2048], the mean over all places.

        Resized without a filter, as pytorch-fid does, whose numbers these are.
        """
        x = F.interpolate(pictures, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.along(x, "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")
        x = self.along(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1", "Conv2d_4a_3x3")
        x = F.max_pool2d(x, 3, 2)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def load_inception(path: Path, device: str | torch.device = "cpu") -> Inception:
    """From a file, float32, its gradients off. Raises UserError, as read_inception does."""
    tensors = {name: torch.from_numpy(array) for name, array in read_inception(path).items()}
    with torch.device("meta"):
        network = Inception().eval().requires_grad_(False)
    network.load_state_dict(tensors, assign=True)
    return network.to(device)
