"""Networks of random weights: as fast as trained ones of their dimensions, and for everyone.

Demodulation keeps the activations near a variance of 1 whatever the weights are, so these are
normal numbers. The pictures' contrast is that of trained networks: it lies about [-1, 1], and every
octave adds less than the one before, so that a picture made early is near the whole one.
"""

from __future__ import annotations

import math

import torch

from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2

CONTRAST = 0.5  # standard deviation of the picture, whose range is 2
OCTAVE = 0.8  # an octave's contrast to that of the one before
NOISE_STRENGTH = 0.1
STYLE_SQUARE = 2.0  # mean of s squared, where s is 1 + N(0, 1)


def synthetic(config: StyleGAN2Config, seed: int = 0) -> StyleGAN2:
    """A network of those dimensions on the CPU, float32, its gradients off; the same at each call.

    Weights are N(0, 1), biases of the styles 1, others small, noise strengths 0.1.
    """
    random = torch.Generator().manual_seed(seed)
    net = StyleGAN2(config).eval().requires_grad_(False)
    for name, tensor in net.state_dict().items():
        if name.endswith("noise_strength"):
            tensor.fill_(NOISE_STRENGTH)
        elif name.endswith("affine.bias"):
            tensor.fill_(1.0)
        elif name.endswith(".bias"):
            tensor.normal_(0.0, 0.1, generator=random)
        elif name != "mapping.w_avg":
            tensor.normal_(generator=random)
    for module in net.mapping.layers:
        module.weight.div_(config.mapping_lr_multiplier)  # as they are when training begins
    _give_contrast(net)
    return net


def _give_contrast(net: StyleGAN2) -> None:
    """Scale each ToRGB so that the octaves' sum has the contrast wanted."""
    torgbs = [block.torgb for block in net.synthesis.blocks if block.torgb is not None]
    shares = [OCTAVE**octave for octave in range(len(torgbs))]
    whole = math.sqrt(sum(share**2 for share in shares))
    for torgb, share in zip(torgbs, shares, strict=True):
        torgb.weight.mul_(CONTRAST * share / whole / math.sqrt(STYLE_SQUARE))
        torgb.bias.mul_(share / whole)
