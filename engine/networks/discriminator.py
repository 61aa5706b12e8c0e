"""StyleGAN2's discriminator, residual, with the standard deviation of its minibatch.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), in the form of
"Training Generative Adversarial Networks with Limited Data" (2020). Tensors carry NVIDIA's names.
It exists to be trained: the gains of equalised learning rates and of the leaky ReLU (sqrt(2)) are
folded into the weights before each convolution, and the highest resolutions can run in 16 bits.

Shapes: N pictures, C channels, r x r pixels, R the full resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.config import Shape
from engine.networks.filters import blur, halve
from engine.networks.stylegan2 import LRELU_GAIN, FullyConnected, leaky_relu

GROUP = 4
"""Pictures of a minibatch that are compared with each other."""


@dataclass(frozen=True, slots=True)
class DiscriminatorConfig:
    """A discriminator's dimensions.

    channels: of the blocks 4, 8, 16 ... resolution, in that order.
    conv_clamp: bound on activations (times the layer's gain), None for none.
    """

    channels: tuple[int, ...]
    img_channels: int = 3
    conv_clamp: float | None = None

    @property
    def resolution(self) -> int:
        """Pixels along one side of the square picture."""
        return int(4 << (len(self.channels) - 1))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The blocks' resolutions, as a picture passes them: resolution, ... 8, 4."""
        return tuple(4 << i for i in reversed(range(len(self.channels))))

    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor by NVIDIA's names."""
        top, last = self.channels[-1], self.channels[0]
        shapes: dict[str, Shape] = {
            f"b{self.resolution}.fromrgb.weight": (top, self.img_channels, 1, 1),
            f"b{self.resolution}.fromrgb.bias": (top,),
        }
        for index, resolution in enumerate(self.resolutions[:-1]):
            inputs, outputs = self.channels[-1 - index], self.channels[-2 - index]
            shapes[f"b{resolution}.conv0.weight"] = (inputs, inputs, 3, 3)
            shapes[f"b{resolution}.conv0.bias"] = (inputs,)
            shapes[f"b{resolution}.conv1.weight"] = (outputs, inputs, 3, 3)
            shapes[f"b{resolution}.conv1.bias"] = (outputs,)
            shapes[f"b{resolution}.skip.weight"] = (outputs, inputs, 1, 1)
        return shapes | {
            "b4.conv.weight": (last, last + 1, 3, 3),
            "b4.conv.bias": (last,),
            "b4.fc.weight": (last, last * 16),
            "b4.fc.bias": (last,),
            "b4.out.weight": (1, last),
            "b4.out.bias": (1,),
        }


class Convolution(nn.Module):
    """k x k convolution and leaky ReLU, weights scaled by 1 / sqrt(inputs k^2), times `gain`.

    halved: the picture is filtered first, and every second place convolved.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        clamp: float | None,
        gain: float = 1.0,
        halved: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = LRELU_GAIN * gain
        self.weight_gain = self.gain / math.sqrt(inputs * size**2)
        self.clamp = None if clamp is None else clamp * gain
        self.padding, self.halved = size // 2, halved

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, r, r] -> [N, outputs, r, r], or r / 2, in the type of x."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = (self.bias * self.gain).to(x.dtype)
        if self.halved:
            x = F.conv2d(blur(x, 2), weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=self.padding)
        x = F.leaky_relu(x, 0.2, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Shortcut(nn.Module):
    """The residual: halved, then a 1x1 convolution without bias, times sqrt(1/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.weight_gain = math.sqrt(0.5 / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, r, r] -> [N, outputs, r / 2, r / 2]."""
        return F.conv2d(halve(x), (self.weight * self.weight_gain).to(x.dtype))


class DiscriminatorBlock(nn.Module):
    """Everything at one resolution above 4; the first one begins with the picture's channels."""

    def __init__(self, config: DiscriminatorConfig, inputs: int, outputs: int, first: bool) -> None:
        super().__init__()
        clamp = config.conv_clamp
        self.fromrgb = Convolution(config.img_channels, inputs, 1, clamp) if first else None
        self.conv0 = Convolution(inputs, inputs, 3, clamp)
        self.conv1 = Convolution(inputs, outputs, 3, clamp, math.sqrt(0.5), halved=True)
        self.skip = Shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [N, 3, R, R], or features [N, inputs, r, r], to [N, outputs, r / 2, r / 2]."""
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        out: Tensor = self.conv1(self.conv0(x)) + self.skip(x)
        return out


class Epilogue(nn.Module):
    """The 4x4 block: how much the minibatch varies, as one more channel, and one number out."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = config.channels[0]
        if config.resolution == 4:
            raise ValueError("a discriminator of 4 x 4 pixels")
        self.conv = Convolution(channels + 1, channels, 3, config.conv_clamp)
        self.fc = FullyConnected(channels * 16, channels)
        self.out = FullyConnected(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, 4, 4] -> logits [N]."""
        x = self.conv(with_deviation(x))
        logits: Tensor = self.out(leaky_relu(self.fc(x.flatten(1))))
        return logits[:, 0]


def with_deviation(x: Tensor) -> Tensor:
    """[N, C, r, r] -> [N, C + 1, r, r]: the last channel is the group's mean standard deviation.

    Groups of 4, or of the largest number below that divides N: picture i is compared with those
    i + N / 4 apart. Karras et al., "Progressive Growing of GANs" (2018).
    """
    n, c, h, w = x.shape
    group = next(size for size in range(min(GROUP, n), 0, -1) if n % size == 0)
    y = x.reshape(group, n // group, c, h, w)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, y.repeat(group)[:, None, None, None].expand(n, 1, h, w)], dim=1)


class Discriminator(nn.Module):
    """Pictures to logits: positive where they are taken for real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = []
        for index, resolution in enumerate(config.resolutions[:-1]):
            inputs, outputs = config.channels[-1 - index], config.channels[-2 - index]
            block = DiscriminatorBlock(config, inputs, outputs, first=index == 0)
            self.add_module(f"b{resolution}", block)
            self.blocks.append(block)
        self.b4 = Epilogue(config)
        self.half_resolutions: frozenset[int] = frozenset()
        """Resolutions whose block runs in `half_type`."""
        self.half_type = torch.float16

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> logits [N], float32."""
        return self.judge(pictures)[0]

    def judge(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits [N], and what each block made of the pictures, [N, C, r / 2, r / 2] each."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        features = []
        for block, resolution in zip(self.blocks, self.config.resolutions, strict=False):
            x = block(
                x.to(self.half_type if resolution in self.half_resolutions else torch.float32)
            )
            features.append(x)
        logits: Tensor = self.b4(x.float())
        return logits, features
