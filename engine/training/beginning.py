"""What networks are before they have learned anything."""

from __future__ import annotations

import torch
from torch import nn

from engine.networks.discriminator import Discriminator, DiscriminatorConfig
from engine.networks.stylegan2 import StyleGAN2
from engine.training.dice import dice
from engine.training.settings import Settings

CPU = torch.device("cpu")


def new_generator(settings: Settings) -> StyleGAN2:
    """Weights of N(0, 1), which equalised learning rates scale as they are used; styles of 1.

    Noise has a strength of 0.
    """
    net = StyleGAN2(settings.generator)
    _draw(net, settings.seed, "generator")
    for layer in net.mapping.layers:
        layer.weight.data.div_(settings.generator.mapping_lr_multiplier)
    net.w_avg.zero_()
    return net


def new_discriminator(settings: Settings) -> Discriminator:
    """The same for the discriminator."""
    config = DiscriminatorConfig(
        settings.discriminator, settings.generator.img_channels, settings.generator.conv_clamp
    )
    net = Discriminator(config)
    _draw(net, settings.seed, "discriminator")
    return net


@torch.no_grad()
def _draw(net: nn.Module, seed: int, purpose: str) -> None:
    random = dice(seed, 0, purpose, CPU)
    for name, tensor in net.state_dict().items():
        if name.endswith("affine.bias"):
            tensor.fill_(1.0)
        elif name.endswith((".bias", "noise_strength")):
            tensor.zero_()
        else:
            tensor.normal_(generator=random)
