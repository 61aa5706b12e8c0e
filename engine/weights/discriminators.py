"""The discriminator beside a generator, where a file holds one that can be trained on.

Only NVIDIA's PyTorch pickles do, and none with classes is read: its pictures' classes are unknown.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from engine.networks.discriminator import DiscriminatorConfig
from engine.weights import containers, nvidia
from engine.weights.found import Weight, mismatches, to_float32
from engine.weights.inert import Module, UnreadableError


def read_discriminator(
    path: Path, resolution: int
) -> tuple[DiscriminatorConfig, dict[str, Tensor]] | None:
    """Its dimensions and tensors by name, or None where there is none of the residual kind.

    Nothing in the file is executed. Raises UserError for a file that cannot be read.
    """
    tree = containers.read(path).tree
    module = tree.get("D") if isinstance(tree, dict) else None
    if not isinstance(module, Module):
        return None
    try:
        weights = {
            name: Weight(leaf.array(), name)
            for name, leaf in nvidia.flatten(module).items()
            if not name.endswith("resample_filter")
        }
        config = _infer(weights, resolution)
        if config is None or mismatches(config.shapes(), weights):
            return None
        tensors = {name: torch.from_numpy(to_float32(w).copy()) for name, w in weights.items()}
    except UnreadableError:
        return None  # a new one learns to be as good, and the generator is what was asked for
    return config, tensors


def _infer(weights: dict[str, Weight], resolution: int) -> DiscriminatorConfig | None:
    """The dimensions, if the tensors that tell them are there."""
    channels: list[int] = []
    for side in (4 << octave for octave in range(1, resolution.bit_length() - 2)):
        weight = weights.get(f"b{side}.conv1.weight")
        if weight is None or weight.array.ndim != 4:
            return None
        outputs, inputs = weight.array.shape[:2]
        channels += [inputs] if channels else [outputs, inputs]
    return DiscriminatorConfig(tuple(channels)) if channels else None
