"""What a StyleGAN2 generator is, in numbers: enough to name and shape every tensor it holds.

Kept apart from the network so that `inspect` can account for a file without loading torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Architecture = Literal["skip", "orig", "resnet"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StyleGAN2Config:
    """A generator's dimensions. Names are NVIDIA's; everything else follows from these.

    channels: feature channels of the blocks 4, 8, 16 ... resolution, in that order.
    mapping: output features of the mapping network's layers; the last is w_dim.
    embed: features of the embedded class, 0 for an unconditional network.
    conv_clamp: bound on activations (times the layer's gain), None for none.
    """

    z_dim: int
    channels: tuple[int, ...]
    mapping: tuple[int, ...]
    img_channels: int = 3
    num_classes: int = 0
    embed: int = 0
    architecture: Architecture = "skip"
    use_noise: bool = True
    conv_clamp: float | None = None
    mapping_lr_multiplier: float = 0.01

    @property
    def resolution(self) -> int:
        """Pixels along one side of the square picture."""
        return int(4 << (len(self.channels) - 1))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The blocks' resolutions: 4, 8, ... resolution."""
        return tuple(4 << i for i in range(len(self.channels)))

    @property
    def w_dim(self) -> int:
        """Length of one w."""
        return self.mapping[-1]

    @property
    def num_ws(self) -> int:
        """How many w the synthesis takes: one a convolution, and one for the last ToRGB."""
        return 2 * len(self.channels)

    def has_torgb(self, resolution: int) -> bool:
        """Only `skip` makes a picture at every resolution; the others make one at the end."""
        return self.architecture == "skip" or resolution == self.resolution

    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor a file must hold, by NVIDIA's names, but for `mapping.w_avg`."""
        shapes = self._mapping_shapes()
        previous = 0
        for resolution, channels in zip(self.resolutions, self.channels, strict=True):
            block = f"synthesis.b{resolution}"
            if previous:
                shapes |= self._layer_shapes(f"{block}.conv0", previous, channels, resolution)
                if self.architecture == "resnet":
                    shapes[f"{block}.skip.weight"] = (channels, previous, 1, 1)
            else:
                shapes[f"{block}.const"] = (channels, 4, 4)
            shapes |= self._layer_shapes(f"{block}.conv1", channels, channels, resolution)
            if self.has_torgb(resolution):
                shapes |= self._affine_shapes(f"{block}.torgb", channels)
                shapes[f"{block}.torgb.weight"] = (self.img_channels, channels, 1, 1)
                shapes[f"{block}.torgb.bias"] = (self.img_channels,)
            previous = channels
        return shapes

    def _mapping_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        if self.num_classes:
            shapes["mapping.embed.weight"] = (self.embed, self.num_classes)
            shapes["mapping.embed.bias"] = (self.embed,)
        inputs = self.z_dim + self.embed
        for index, outputs in enumerate(self.mapping):
            shapes[f"mapping.fc{index}.weight"] = (outputs, inputs)
            shapes[f"mapping.fc{index}.bias"] = (outputs,)
            inputs = outputs
        return shapes

    def _layer_shapes(self, name: str, inputs: int, outputs: int, size: int) -> dict[str, Shape]:
        shapes = self._affine_shapes(name, inputs)
        shapes[f"{name}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.bias"] = (outputs,)
        if self.use_noise:
            shapes[f"{name}.noise_const"] = (size, size)
            shapes[f"{name}.noise_strength"] = ()
        return shapes

    def _affine_shapes(self, name: str, inputs: int) -> dict[str, Shape]:
        return {
            f"{name}.affine.weight": (inputs, self.w_dim),
            f"{name}.affine.bias": (inputs,),
        }

    def parameters(self) -> int:
        """How many trained numbers the generator has (noise maps and w_avg are not trained)."""
        shapes = self.shapes().items()
        return sum(math.prod(shape) for name, shape in shapes if not name.endswith("noise_const"))
