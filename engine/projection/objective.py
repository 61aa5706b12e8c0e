"""What a search minimises, and its gradient; on a GPU recorded once and replayed.

Shapes: N photos, C channels, R x R pixels, L layers of W+.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.networks.stylegan2 import StyleGAN2
from engine.perceptual import Perceptual
from engine.projection.noise_maps import WEIGHT, likeness

Kind = Literal["mse", "video", "lpips"]
"""Beside the pixels' mean squared error: nothing; VGG16's features as in the video; LPIPS."""

VIDEO_WEIGHT = 0.1
# Richardson et al., "Encoding in Style" (2021), whose pSp is trained with it. Not tried here.
LPIPS_WEIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of pictures against their photos.

    targets: [N, C, R, R] in [-1, 1]. perceptual: for all kinds but "mse".
    """

    net: StyleGAN2
    targets: Tensor
    kind: Kind = "mse"
    perceptual: Perceptual | None = None

    def pictures(self, ws: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """ws [N, L, w_dim] -> [N, C, R, R], with the stored noise where no maps are given."""
        return self.net.synthesize(ws, list(maps) or "const")

    def features(self) -> list[Tensor]:
        """What the photos are compared by beside their pixels: computed once."""
        with torch.no_grad():
            if self.perceptual is None:
                return []
            targets = coloured(self.targets)
            if self.kind == "video":
                return [self.perceptual.video_features(targets)]
            return self.perceptual.lpips_features(targets)

    def losses(self, pictures: Tensor, features: Sequence[Tensor]) -> Tensor:
        """[N], without what guards noise maps."""
        losses = (pictures - self.targets).square().mean(dim=(1, 2, 3))
        if self.perceptual is None:
            return losses
        pictures = coloured(pictures)
        if self.kind == "video":
            return losses + VIDEO_WEIGHT * self.perceptual.video(pictures, features[0])
        return losses + LPIPS_WEIGHT * self.perceptual.lpips(pictures, features)

    def lpips(self, pictures: Tensor) -> float | None:
        """Mean LPIPS of pictures [N, C, R, R] from the photos; None without its weights."""
        if self.perceptual is None or not self.perceptual.has_heads:
            return None
        features = self.perceptual.lpips_features(coloured(self.targets))
        return float(self.perceptual.lpips(coloured(pictures), features).mean())


def coloured(pictures: Tensor) -> Tensor:
    """[N, 3, R, R] of [N, 1 or 3, R, R]: VGG16 knows no grey pictures."""
    return pictures.expand(-1, 3, -1, -1)


class Gradients(Protocol):
    """Losses and their slopes, at a place in W+."""

    def __call__(
        self, ws: Tensor, maps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """ws [N, L, w_dim] -> losses [N], their gradient by ws, and by each map.

        What is returned may be overwritten by the next call.
        """


class Eager:
    """Operation by operation, on any device."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._features = objective.features()

    def __call__(
        self, ws: Tensor, maps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """See `Gradients`."""
        leaves = [x.detach().requires_grad_() for x in (ws, *maps)]
        losses = self._objective.losses(
            self._objective.pictures(leaves[0], leaves[1:]), self._features
        )
        total = losses.sum()
        if maps:
            total = total + WEIGHT * likeness(leaves[1:]).sum()
        of_ws, *of_maps = torch.autograd.grad(total, leaves)
        return losses.detach(), of_ws, tuple(of_maps)


class Graph:
    """The same on an NVIDIA GPU, as one CUDA graph: a step is hundreds of small kernels.

    ws and maps: of the shapes that all calls will have.
    """

    _WARM_UP = 3  # as PyTorch's manual has it: cuDNN chooses its algorithms meanwhile

    def __init__(self, objective: Objective, ws: Tensor, maps: Sequence[Tensor]) -> None:
        self._inputs = [x.detach().clone() for x in (ws, *maps)]
        self._eager = eager = Eager(objective)  # whose features the graph reads where they lie
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(self._WARM_UP):
                eager(self._inputs[0], self._inputs[1:])
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = eager(self._inputs[0], self._inputs[1:])

    def __call__(
        self, ws: Tensor, maps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """See `Gradients`."""
        for mine, given in zip(self._inputs, (ws, *maps), strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._outputs


@contextmanager
def tensor_cores() -> Iterator[None]:
    """TF32 in convolutions and products, within this block only.

    A gradient's 10 bits are plenty, where a loss is the mean of millions of them. cuDNN may not
    try its algorithms: on an H100 a step took as long without, and 3 GB of memory instead of 35.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    cudnn.benchmark = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
