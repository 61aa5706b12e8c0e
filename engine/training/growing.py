"""Networks that become larger and, at first, do what they did.

After Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer" (2016): what is added is
there, but nothing listens to it yet. Where it is doubled a generator shows its picture enlarged;
a discriminator gets a new block in front, and has to learn what the others are told.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.networks.discriminator import Discriminator
from engine.networks.stylegan2 import StyleGAN2


@torch.no_grad()
def grow_generator(net: StyleGAN2, larger: StyleGAN2) -> None:
    """Make `larger`, fresh, show what `net` does, enlarged to its size.

    Both of the skip architecture, with one mapping; `larger` has at least as many channels in
    every block. Raises ValueError.
    """
    old, new = net.config, larger.config
    if old.architecture != "skip" or new.architecture != "skip":
        raise ValueError("only networks of the skip architecture grow")
    if any(a > b for a, b in zip(old.channels, new.channels, strict=False)):
        raise ValueError(f"channels {list(old.channels)} don't fit into {list(new.channels)}")
    tensors = larger.state_dict()
    for block in list(larger.synthesis.blocks)[len(old.channels) :]:
        assert block.torgb is not None
        block.torgb.weight.zero_()
    for name, tensor in net.state_dict().items():
        _place(name, tensor, tensors[name])


def _place(name: str, old: Tensor, new: Tensor) -> None:
    """Write `old` into the beginning of `new`; what is added goes unheard by it."""
    if old.ndim == 4:
        inputs = old.shape[1]
        new[: old.shape[0], inputs:] = 0
        if ".torgb." in name:  # divided by the root of its inputs when it is used
            old = old * math.sqrt(new.shape[1] / inputs)
    new[tuple(slice(length) for length in old.shape)] = old


@torch.no_grad()
def grow_discriminator(tensors: dict[str, Tensor], larger: Discriminator) -> bool:
    """Give `larger`, fresh, the blocks of another whose pictures were smaller.

    Returns False, and changes nothing, if they are other blocks than its own.
    """
    own = larger.state_dict()
    known = {name: x for name, x in tensors.items() if ".fromrgb." not in name}
    if any(name not in own or own[name].shape != x.shape for name, x in known.items()):
        return False
    for name, tensor in known.items():
        own[name].copy_(tensor)
    return True
