"""What the photos of one call share: the network, an encoder, VGG16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import UserError
from engine.generator import choose_device, cpu_threads
from engine.inference.apple import why_not
from engine.networks.encoder import Encoder
from engine.networks.stylegan2 import StyleGAN2
from engine.perceptual import Perceptual, load_perceptual
from engine.projection.objective import Kind, Objective
from engine.projection.options import Options
from engine.weights import load_network
from engine.weights.encoders import load_encoder

ENCODED = 256  # pixels a side that encoders see
_TOGETHER = 8  # photos at once, at most: more make no GPU quicker
_LEAST_FOR_VGG = 32  # pixels a side, which it halves five times


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Everything that is loaded once, on its device."""

    net: StyleGAN2
    kind: Kind
    encoder: Encoder | None = None
    perceptual: Perceptual | None = None

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.net.w_avg.device

    @property
    def capacity(self) -> int:
        """Photos that can be searched together in the memory that is free now."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            free = torch.cuda.mem_get_info(self.device)[0] * 3 // 4
        else:
            free = psutil.virtual_memory().available // 2
        return max(1, min(_TOGETHER, free // self._bytes_a_photo()))

    @property
    def side(self) -> int:
        """Pixels a side of what must be cut from a photo."""
        return self.net.resolution if self.encoder is None else max(self.net.resolution, ENCODED)

    def start(self, picture: Tensor) -> Tensor:
        """Where the search for a picture [1, 3, side, side] begins.

        [1, w_dim], the mean w, or [L, w_dim], what the encoder sees.
        """
        if self.encoder is None:
            return self.net.w_avg[None]
        with torch.no_grad():
            return self.encoder.encode(F.interpolate(picture, (ENCODED, ENCODED), mode="area"))[0]

    def objective(self, targets: Tensor) -> Objective:
        """The loss against pictures [N, C, R, R]."""
        return Objective(self.net, targets, self.kind, self.perceptual)

    def _bytes_a_photo(self) -> int:
        """Roughly, of what a gradient needs: eight arrays a convolution were seen to be kept."""
        config = self.net.config
        sizes = zip(config.resolutions, config.channels, strict=True)
        numbers = sum(2 * channels * side * side for side, channels in sizes)
        if self.kind == "video":
            numbers += 2 * 64 * config.resolution**2  # VGG16 at full size
        return 8 * 4 * numbers


def load_models(options: Options, say: Callable[[str], object]) -> Models:
    """Load what the options name. Raises UserError."""
    device = choose_device(options.device)
    net = load_network(options.network)
    if net.img_channels not in (1, 3):
        raise UserError(
            f"{options.network}: makes pictures of {net.img_channels} channels; photos are for "
            "networks of 1 or 3"
        )
    if options.noise_maps and not net.config.use_noise:
        raise UserError(f"--noise-maps: {options.network} has none")
    if options.loss == "vgg" and net.resolution < _LEAST_FOR_VGG:
        raise UserError(f"{options.network}: makes pictures too small for VGG16: --loss mse")
    if device.type == "mps" and (fault := why_not(net, device)):
        if options.device != "auto":
            raise UserError(f"device {options.device}: {fault}; use cpu")
        say(f"Apple's GPU is not used, the CPU is: {fault}")
        device = torch.device("cpu")
    if device.type == "cpu":
        torch.set_num_threads(cpu_threads())
    encoder = None
    if options.encoder is not None:
        encoder = load_encoder(options.encoder, net.config, device)
    if options.loss == "mse":
        return Models(net.to(device), "mse", encoder)
    # In float32: float16 has no room for slopes that are spread over a million pixels.
    kind: Kind = "video" if options.preset.name == "video" else "lpips"
    return Models(net.to(device), kind, encoder, load_perceptual(options.vgg, device=device))
