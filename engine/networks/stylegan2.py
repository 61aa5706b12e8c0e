"""StyleGAN2's generator: the reference, in float32, readable and differentiable.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), with the class
conditioning, clamping and `orig`/`resnet` forms of "Training Generative Adversarial Networks with
Limited Data" (2020). Tensors carry NVIDIA's names. Everything faster is measured against this file.

Shapes: N pictures, C channels, r x r pixels, R the full resolution, L = num_ws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.config import StyleGAN2Config

Noise = Literal["const", "none", "random"] | Sequence[Tensor]

LRELU_GAIN = math.sqrt(2.0)  # keeps the variance of what a leaky ReLU of slope 0.2 lets through


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """Scale the rows of x [N, D] to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def leaky_relu(x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2, scaled by sqrt(2) * gain, clamped to +-clamp * gain."""
    x = F.leaky_relu(x, 0.2).mul_(LRELU_GAIN * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class FullyConnected(nn.Module):
    """y = W x * lr_multiplier / sqrt(inputs) + b * lr_multiplier."""

    def __init__(self, inputs: int, outputs: int, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] -> [N, outputs], without an activation."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """z, and for a conditional network the class, to w."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        if config.num_classes:
            self.embed = FullyConnected(config.num_classes, config.embed)
        inputs = config.z_dim + config.embed
        self.layers = []
        for index, outputs in enumerate(config.mapping):
            layer = FullyConnected(inputs, outputs, config.mapping_lr_multiplier)
            self.add_module(f"fc{index}", layer)
            self.layers.append(layer)
            inputs = outputs
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [N, z_dim] and c [N, num_classes], one-hot, to w [N, w_dim]."""
        x = normalize_2nd_moment(z)
        if c is not None:
            x = torch.cat([x, normalize_2nd_moment(self.embed(c))], dim=1)
        for layer in self.layers:
            x = leaky_relu(layer(x))
        return x


class Resample(nn.Module):
    """The low-pass filter [1, 3, 3, 1], in both directions, that goes with every doubling.

    Its gain is 4: three of four samples it sees are the zeros that were put in.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        kernel = torch.outer(taps, taps) / taps.sum().square() * 4
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def smooth(self, x: Tensor) -> Tensor:
        """[N, C, r + 1, r + 1] -> [N, C, r, r]: what is left to do after a stride-2 transpose."""
        return F.conv2d(x, self.kernel.expand(x.shape[1], 1, 4, 4), padding=1, groups=x.shape[1])

    def upsample(self, x: Tensor) -> Tensor:
        """[N, C, r, r] -> [N, C, 2r, 2r]: zeros between the samples, then the filter."""
        kernel = self.kernel.expand(x.shape[1], 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, doubling the resolution first if `up`; noise; bias; leaky ReLU.

    Modulation scales the input channels by s = affine(w) and demodulation the output channels by
    1 / sqrt(sum (W s)^2 + 1e-8). The paper scales the weights; scaling what goes in and what comes
    out is the same sum, needs no weights per picture, and leaves the convolution a plain one.
    """

    noise_const: Tensor

    def __init__(
        self, config: StyleGAN2Config, inputs: int, outputs: int, resolution: int, up: bool = False
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.resample = Resample() if up else None
        self.clamp = config.conv_clamp
        if config.use_noise:
            self.register_buffer("noise_const", torch.zeros(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        """x [N, inputs, r, r], w [N, w_dim], noise broadcastable to [N, 1, r', r'], or None."""
        s = self.affine(w)
        x = x * s[:, :, None, None]
        if self.resample is None:
            x = F.conv2d(x, self.weight, padding=1)
        else:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = self.resample.smooth(x)
        squares = F.linear(s.square(), self.weight.square().sum(dim=(2, 3)))
        x = x * (squares + 1e-8).rsqrt()[:, :, None, None]
        # In place: nothing before needs x as it was, and on a CPU every fresh tensor of this size
        # costs page faults, 2.6 ms against 0.7 ms a layer of 12 channels at 128 x 128.
        if noise is not None:
            x.add_(noise)
        x.add_(self.bias[:, None, None])
        return leaky_relu(x, gain, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the picture's channels: no demodulation, no activation."""

    def __init__(self, config: StyleGAN2Config, inputs: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs)
        self.weight = nn.Parameter(torch.zeros(config.img_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))
        self.weight_gain = 1 / math.sqrt(inputs)
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, inputs, r, r], w [N, w_dim] -> [N, img_channels, r, r]."""
        weight = self.weight[:, :, 0, 0] * (self.affine(w) * self.weight_gain)[:, None]
        x = torch.einsum("noc,nchw->nohw", weight, x).add_(self.bias[:, None, None])
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Skip(nn.Module):
    """`resnet`'s shortcut: a 1x1 convolution without bias, then the doubling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.weight_gain = 1 / math.sqrt(inputs)
        self.resample = Resample()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, r, r] -> [N, outputs, 2r, 2r], scaled by sqrt(1/2)."""
        return self.resample.upsample(
            F.conv2d(x, self.weight * (self.weight_gain * math.sqrt(0.5)))
        )


class SynthesisBlock(nn.Module):
    """Everything at one resolution: conv0 doubles it (but in the first block), conv1, ToRGB.

    `skip` adds up a picture from every block, `orig` and `resnet` make one at the end; `resnet`
    also adds each block's input to its output.
    """

    def __init__(self, config: StyleGAN2Config, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        if inputs:
            self.conv0 = SynthesisLayer(config, inputs, outputs, size, up=True)
        else:
            self.const = nn.Parameter(torch.zeros(outputs, size, size))
        self.conv1 = SynthesisLayer(config, outputs, outputs, size)
        self.first = inputs == 0
        self.skip = Skip(inputs, outputs) if config.architecture == "resnet" and inputs else None
        self.torgb = ToRGB(config, outputs) if config.has_torgb(size) else None
        self.resample = Resample()

    def layers(self) -> list[SynthesisLayer]:
        """The convolutions that take noise, in order."""
        return [self.conv1] if self.first else [self.conv0, self.conv1]

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Sequence[Tensor],
        noise: Sequence[Tensor | None],
    ) -> tuple[Tensor, Tensor | None]:
        """Features and picture at r / 2 (None before the first block) -> both at r.

        ws: one w [N, w_dim] a convolution and one for ToRGB; noise: one map a convolution.
        """
        if x is None:
            x = self.conv1(self.const.expand(len(ws[0]), -1, -1, -1), ws[0], noise[0])
        elif self.skip is None:
            x = self.conv1(self.conv0(x, ws[0], noise[0]), ws[1], noise[1])
        else:
            shortcut = self.skip(x)
            x = self.conv0(x, ws[0], noise[0])
            x = shortcut + self.conv1(x, ws[1], noise[1], gain=math.sqrt(0.5))
        if img is not None:
            img = self.resample.upsample(img)
        if self.torgb is not None:
            rgb = self.torgb(x, ws[-1])
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nn.Module):
    """W+ to the picture, doubling from a learned 4x4 constant."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.blocks = []
        inputs = 0
        for resolution, channels in zip(config.resolutions, config.channels, strict=True):
            block = SynthesisBlock(config, inputs, channels, resolution)
            self.add_module(f"b{resolution}", block)
            self.blocks.append(block)
            inputs = channels

    def layers(self) -> list[SynthesisLayer]:
        """The 2 log2(R) - 3 convolutions that take noise, in order."""
        return [layer for block in self.blocks for layer in block.layers()]

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        """ws [N, L, w_dim], one noise map or None a convolution -> [N, img_channels, R, R].

        Convolution i takes ws[:, i]; ToRGB takes the w of the convolution that follows it.
        """
        x: Tensor | None = None
        img: Tensor | None = None
        styles, maps = ws.unbind(dim=1), list(noise)
        for block in self.blocks:
            count = len(block.layers())
            x, img = block(x, img, styles[: count + 1], maps[:count])
            styles, maps = styles[count:], maps[count:]
        assert img is not None
        return img


class StyleGAN2(nn.Module):
    """The whole generator. All of it runs in the type and on the device of its parameters."""

    family = "stylegan2"

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        self.w_dim = config.w_dim
        self.num_ws = config.num_ws
        self.num_classes = config.num_classes
        self.resolution = config.resolution
        self.img_channels = config.img_channels
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    @property
    def w_avg(self) -> Tensor:
        """The mean w [w_dim], towards which psi pulls."""
        return self.mapping.w_avg

    def map(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """z [N, z_dim] to ws [N, L, w_dim], the same w for every layer.

        c: classes [N, num_classes], one-hot; needed if num_classes > 0, ignored if it is 0.
        psi: truncation, w_avg + psi (w - w_avg), of the first `cutoff` layers (None: of all).
        """
        if self.num_classes == 0:
            c = None
        elif c is None:
            raise ValueError(f"the network is conditional: c [N, {self.num_classes}] is needed")
        ws: Tensor = self.mapping(z, c)[:, None].repeat(1, self.num_ws, 1)
        if psi != 1:
            ws[:, :cutoff] = self.w_avg + psi * (ws[:, :cutoff] - self.w_avg)
        return ws

    def synthesize(self, ws: Tensor, noise: Noise = "const", noise_strength: float = 1.0) -> Tensor:
        """ws [N, L, w_dim] to pictures [N, img_channels, R, R], about [-1, 1], not clamped.

        noise: the stored maps ("const"), none, fresh ones for every picture ("random"), or a map
        [1 or N, 1, r, r] for each of the L - 1 convolutions. noise_strength scales all of them.
        """
        img: Tensor = self.synthesis(ws, self._noise_maps(noise, len(ws), noise_strength))
        return img

    def _noise_maps(self, noise: Noise, n: int, strength: float) -> list[Tensor | None]:
        layers = self.synthesis.layers()
        if noise == "none" or not self.config.use_noise:
            return [None] * len(layers)
        if noise == "const":
            maps = [layer.noise_const for layer in layers]
        elif noise == "random":
            maps = [
                torch.randn(n, 1, *const.shape, dtype=const.dtype, device=const.device)
                for const in (layer.noise_const for layer in layers)
            ]
        else:
            maps = list(noise)
        return [
            map_ * (layer.noise_strength * strength)
            for map_, layer in zip(maps, layers, strict=True)
        ]
