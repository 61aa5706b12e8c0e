"""pSp's and e4e's encoders: a picture of a face to W+, in one pass, in float32.

Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image Translation" (2021),
and Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (2021). Both put a small head
for every w on three levels of one backbone: IR-50 of Deng et al., "ArcFace" (2019), with the gates
of Hu et al., "Squeeze-and-Excitation Networks" (2018). Modules carry the checkpoints' own names: a
file must hold what the network holds. For use, not for training: normalisation is by the stored
statistics.

Shapes: N pictures, C channels, r x r pixels, L = num_ws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.stylegan2 import FullyConnected

Kind = Literal["psp", "e4e"]

INPUT_SIZE = 256  # pixels along a side; the heads' depths are made for it
UNITS = (3, 4, 14, 3)  # IR-50's residual units a stage; each stage halves the resolution
_TAPS = tuple(sum(UNITS[:stage]) - 1 for stage in (2, 3, 4))  # the levels: 6, 20, 23
SQUEEZE = 16  # channels that a gate makes into one
MIDDLE, FINE = 3, 7  # the first w of the 32 and of the 64 pixel level; those before: 16 pixels


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """An encoder's dimensions.

    kind: "psp", every head makes a w; "e4e", the first makes one and the others what is added.
    num_ws: heads, the generator's L.
    channels: of the backbone's four stages, as published 64, 128, 256, 512.
    """

    kind: Kind
    num_ws: int
    w_dim: int = 512
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)

    @property
    def resolution(self) -> int:
        """Pixels along a side of the generator's picture: it takes 2 log2(R) - 2 w."""
        return int(4 << (self.num_ws // 2 - 1))


class StoredNorm(nn.Module):
    """Batch normalisation by the statistics that training left behind."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, r, r] -> the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class Gate(nn.Module):
    """Squeeze and excitation: every channel scaled by what the means of all of them say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, r, r] -> the same shape."""
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class Unit(nn.Module):
    """IR-SE's residual unit: the stride is in its second convolution, and no activation ends it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.res_layer = nn.Sequential(
            StoredNorm(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            StoredNorm(outputs),
            Gate(outputs),
        )
        self.stride = stride
        self.shortcut_layer = None
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), StoredNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, r, r] -> [N, outputs, r / stride, r / stride]."""
        if self.shortcut_layer is None:
            shortcut = x[:, :, :: self.stride, :: self.stride]
        else:
            shortcut = self.shortcut_layer(x)
        added: Tensor = self.res_layer(x) + shortcut
        return added


class Head(nn.Module):
    """One level to one w: strided convolutions until a pixel is left, then a linear layer."""

    def __init__(self, inputs: int, w_dim: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(size))):
            layers += [nn.Conv2d(inputs, w_dim, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
            inputs = w_dim
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, size, size] -> [N, w_dim]."""
        w: Tensor = self.linear(self.convs(x).flatten(1))
        return w


class Encoder(nn.Module):
    """The whole encoder. All of it runs in the type and on the device of its parameters."""

    latent_avg: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.num_ws = config.num_ws
        self.w_dim = config.w_dim
        stem, widest = config.channels[0], config.channels[-1]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, stem, 3, padding=1, bias=False), StoredNorm(stem), nn.PReLU(stem)
        )
        units, inputs = list[Unit](), stem
        for outputs, count in zip(config.channels, UNITS, strict=True):
            units += [Unit(inputs, outputs, stride=2)]
            units += [Unit(outputs, outputs, stride=1) for _ in range(count - 1)]
            inputs = outputs
        self.body = nn.Sequential(*units)
        self.latlayer1 = nn.Conv2d(config.channels[2], widest, 1)
        self.latlayer2 = nn.Conv2d(config.channels[1], widest, 1)
        sizes = [16 if i < MIDDLE else 32 if i < FINE else 64 for i in range(config.num_ws)]
        self.styles = nn.ModuleList(Head(widest, config.w_dim, size) for size in sizes)
        self.register_buffer("latent_avg", torch.zeros(config.num_ws, config.w_dim))

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [N, 3, 256, 256] in [-1, 1], RGB, to W+ [N, L, w_dim].

        Faces as FFHQ aligns them; others give a w of the generator's, but of some other face.
        Raises ValueError for another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"pictures [N, 3, {INPUT_SIZE}, {INPUT_SIZE}] are needed, not "
                f"{list(pictures.shape)}"
            )
        return self.codes(pictures) + self.latent_avg

    def codes(self, pictures: Tensor) -> Tensor:
        """As `encode`, before the mean latent is added."""
        coarse, middle, fine = self.levels(pictures)
        ws = torch.stack(
            [
                head(coarse if i < MIDDLE else middle if i < FINE else fine)
                for i, head in enumerate(self.styles)
            ],
            dim=1,
        )
        if self.config.kind == "psp":
            return ws
        first = ws[:, :1]
        return torch.cat([first, first + ws[:, 1:]], dim=1)

    def levels(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the 16, 32 and 64 pixel levels, each with what the coarser ones know."""
        x, taps = self.input_layer(pictures), list[Tensor]()
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in _TAPS:
                taps.append(x)
        fine, middle, coarse = taps
        middle = self.latlayer1(middle) + _doubled(coarse)
        fine = self.latlayer2(fine) + _doubled(middle)
        return coarse, middle, fine


def _doubled(x: Tensor) -> Tensor:
    """[N, C, r, r] -> [N, C, 2r, 2r]; corner on corner, as the encoders were trained."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
