"""What a bench measures: a network file, the bundled network, or one of random weights.

No torch until the network is loaded, so that options are judged before anything starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.link import MAX_RESOLUTION
from engine.nets import bundled_network
from engine.networks.config import StyleGAN2Config

if TYPE_CHECKING:
    from engine.networks.stylegan2 import StyleGAN2

BUNDLED = bundled_network("flowers")
CHANNEL_BASES = {"e": 16384, "f": 32768}
"""Channels x resolution of the paper's configurations E and F, up to 512 channels."""
DEFAULT_RESOLUTION = 1024
CHANNEL_MAX = 512
LATENT = 512  # z_dim and w_dim of every published network
MAPPING_LAYERS = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """The network to be measured: a file, or dimensions to be filled with random weights."""

    name: str
    network: Path | None
    config: StyleGAN2Config | None

    @classmethod
    def of(
        cls,
        network: Path | None = None,
        config: str | None = None,
        resolution: int | None = None,
        channel_base: int | None = None,
        channel_max: int | None = None,
    ) -> Subject:
        """What the options name; without any, the bundled network.

        config: "e" or "f", which is a channel_base of 16384 or 32768 (f without both).
        Raises UserError for options that contradict each other or make no network.
        """
        if (config, resolution, channel_base, channel_max) == (None, None, None, None):
            return cls((network or BUNDLED).name, network or BUNDLED, None)
        if network is not None:
            raise UserError(f"{network}: has its own dimensions; leave out the options for others")
        dimensions = _dimensions(config, resolution, channel_base, channel_max)
        kind = f"config {config}, " if config else ""
        if config is None:
            kind = f"channels up to {max(dimensions.channels)}, {dimensions.channels[-1]} at last, "
        size = dimensions.resolution
        return cls(f"{size}x{size}, {kind}random weights", None, dimensions)

    def load(self) -> StyleGAN2:
        """The reference network on the CPU. Raises UserError for a file that is none."""
        from engine.weights import load_network

        if self.config is None:
            assert self.network is not None
            return load_network(self.network)
        from engine.bench.synthetic import synthetic

        return synthetic(self.config)

    def file(self, net: StyleGAN2, folder: Path) -> Path:
        """The network's file: what was loaded, or random weights written into `folder`.

        A session that opens a file can do more than one that is handed a network: compile it.
        """
        if self.network is not None:
            return self.network
        from engine.weights import NetworkFile
        from engine.weights.saving import save_network

        path = folder / f"{net.resolution}.safetensors"
        if not path.exists():
            tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
            file = NetworkFile(path, "memory", "nvidia", net.config, tensors, {})
            save_network(file, path, np.float32)
        return path


def _dimensions(
    config: str | None, resolution: int | None, channel_base: int | None, channel_max: int | None
) -> StyleGAN2Config:
    if config is not None and config not in CHANNEL_BASES:
        raise UserError(f"--config {config}: configurations are {' and '.join(CHANNEL_BASES)}")
    if config is not None and channel_base is not None:
        raise UserError(f"--config {config} is a channel base: leave out --channel-base")
    size = DEFAULT_RESOLUTION if resolution is None else resolution
    if not 8 <= size <= MAX_RESOLUTION or size & (size - 1):
        raise UserError(f"--resolution {size}: a power of two from 8 to {MAX_RESOLUTION}")
    base = CHANNEL_BASES[config or "f"] if channel_base is None else channel_base
    if base < size:
        raise UserError(f"--channel-base {base}: less than one channel at {size}x{size}")
    most = CHANNEL_MAX if channel_max is None else channel_max
    if most < 1:
        raise UserError(f"--channel-max {most}: one or more")
    resolutions = [4 << octave for octave in range(int(math.log2(size)) - 1)]
    return StyleGAN2Config(
        z_dim=LATENT,
        channels=tuple(min(base // side, most) for side in resolutions),
        mapping=(LATENT,) * MAPPING_LAYERS,
    )
