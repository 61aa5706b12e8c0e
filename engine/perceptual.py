"""How far two pictures are from each other to the eye: VGG16's features, differentiable.

Two distances, from one network:

video  The loss beside the pixels' of the video this instrument is made after: mean squared error
       between the features behind the last pooling, at full resolution. Its own file for this is
       lost; the network is shown what it was trained on, ImageNet's normalisation.
lpips  Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"
       (2018): all five stages, each pixel's features scaled to length 1, weighted by the heads;
       at 256 x 256 at most, as the published StyleGAN2 projector looks at pictures.

Features of a target are computed once and compared with again and again. Shapes: N pictures,
H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.weights.vgg import CONVS, Heads, read_heads, read_vgg
from engine.weights.vgg_places import find_heads, find_vgg

LPIPS_SIDE = 256
"""Pixels of the longer side that lpips reduces larger pictures to."""

# ImageNet's mean and standard deviation for pictures in [-1, 1], rounded as LPIPS has them.
_MEAN = (-0.030, -0.088, -0.188)
_DEVIATION = (0.458, 0.448, 0.450)


class VGG16(nn.Module):
    """The thirteen convolutions, in five stages.

    Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
    (2014). Parameters have torchvision's names. Runs in the type, on the device and in the memory
    format of its parameters.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                str(index): nn.Conv2d(inputs, outputs, 3, padding=1)
                for stage in CONVS
                for index, inputs, outputs in stage
            }
        )
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in [-1, 1], 16 pixels a side at least -> the five stages' last ReLUs.

        [N, 64, H, W], [N, 128, H/2, W/2], [N, 256, H/4, W/4], [N, 512, H/8, W/8],
        [N, 512, H/16, W/16], sides rounded down.
        """
        _check(pictures, 16)
        x = ((pictures - self.mean) / self.deviation).to(self.mean.dtype)
        stages = []
        for number, stage in enumerate(CONVS):
            if number:
                x = F.max_pool2d(x, 2)
            for index, _, _ in stage:
                x = F.relu(self.features[str(index)](x))
            stages.append(x)
        return stages


class Perceptual(nn.Module):
    """Both distances. Its parameters take no gradients; pictures that want them get them.

    `half()` and `to(memory_format=torch.channels_last)` make it faster on a GPU; what is summed
    up is summed in float32 all the same.
    """

    def __init__(self, vgg: VGG16, heads: Heads | None = None) -> None:
        """heads: what each channel of each stage counts for in lpips; None: all count 1."""
        super().__init__()
        self.vgg = vgg.eval().requires_grad_(False)
        self.has_heads = heads is not None
        for number, head in enumerate(heads or ()):
            # The roots: then lpips is a plain squared difference between features.
            root = torch.from_numpy(head.copy()).sqrt()[:, None, None]
            self.register_buffer(f"head{number}", root, persistent=False)

    def video_features(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1], 32 pixels a side at least -> [N, 512, H/32, W/32], float32."""
        _check(pictures, 32)
        return F.max_pool2d(self.vgg(pictures)[-1], 2).float()

    def video(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Distance [N] of pictures [N, 3, H, W] from a target's `video_features` (N or 1)."""
        return (self.video_features(pictures) - target).square().mean(dim=(1, 2, 3))

    def lpips_features(self, pictures: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in [-1, 1], 16 pixels a side at least -> five stages, float32.

        Weighted, and divided by the root of their pixels' number: the sum of squared differences
        of a stage is its part of the distance.
        """
        _check(pictures, 16)
        stages = []
        for number, x in enumerate(self.vgg(reduced(pictures))):
            # In float16 the squares of 512 features would not fit. 1e-20 is nothing beside any
            # length but 0, whose gradient it keeps finite.
            x = x.float()
            x = x * (x.square().sum(dim=1, keepdim=True) + 1e-20).rsqrt()
            if self.has_heads:
                x = x * self.get_buffer(f"head{number}").float()
            stages.append(x / (x.shape[2] * x.shape[3]) ** 0.5)
        return stages

    def lpips(self, pictures: Tensor, target: Sequence[Tensor]) -> Tensor:
        """Distance [N] of pictures [N, 3, H, W] from a target's `lpips_features` (N or 1)."""
        differences = [
            (mine - its).square().sum(dim=(1, 2, 3))
            for mine, its in zip(self.lpips_features(pictures), target, strict=True)
        ]
        return torch.stack(differences).sum(dim=0)


def load_perceptual(
    path: Path | None = None, heads: Path | None = None, device: str | torch.device = "cpu"
) -> Perceptual:
    """VGG16 from a file (None: where torch or NVIDIA's code keep it), float32.

    heads: a file of the package `lpips`. None: those in VGG16's file (NVIDIA's has them), those
    of the package if it is installed, or none: then all channels count alike.
    Raises UserError: not found, with where to get it; not VGG16; damaged.
    """
    file = read_vgg(find_vgg(path))
    weights = file.heads
    if heads is not None:
        weights = read_heads(heads)
    elif weights is None and (installed := find_heads()) is not None:
        weights = read_heads(installed)
    vgg = VGG16()
    trunk = {name: torch.from_numpy(array.copy()) for name, array in file.trunk.items()}
    vgg.load_state_dict(trunk)
    return Perceptual(vgg, weights).to(device)


def reduced(pictures: Tensor) -> Tensor:
    """[N, C, H, W] with its longer side at most 256, by averaging areas; smaller ones as is."""
    height, width = pictures.shape[2:]
    longest = max(height, width)
    if longest <= LPIPS_SIDE:
        return pictures
    size = [max(round(side * LPIPS_SIDE / longest), 1) for side in (height, width)]
    return F.interpolate(pictures, size=size, mode="area")


def _check(pictures: Tensor, least: int) -> None:
    if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < least:
        raise ValueError(
            f"pictures [N, 3, {least}.., {least}..] are needed, not {[*pictures.shape]}"
        )
