"""VGG16's convolutions, and LPIPS's heads on them, from the files people have; no torch.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014);
Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018).

| file | trunk | heads |
|---|---|---|
| torchvision's vgg16-397923af.pth | features.{0, 2, 5 ... 28} | |
| NVIDIA's vgg16.pt, TorchScript | layers.conv{1 ... 13} | lpips{0 ... 4} |
| the package lpips' vgg.pth | | lin{0 ... 4}.model.1.weight |

A file that is published under a hash is read only if it has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.networks.config import Shape
from engine.weights import as_published, containers
from engine.weights.found import Weight, mismatches, to_float32
from engine.weights.inert import Leaf, ScriptModule, UnreadableError, script_builder

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
PUBLISHED = {
    "vgg16-397923af.pth": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "vgg16.pt": "b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
    "lpips/weights/v0.1/vgg.pth": (
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
    ),
}
"""SHA-256 of the published files, by how their paths end."""

CONVS = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
)
"""The 3x3 convolutions by stage: index among torchvision's layers, channels in and out."""

_TRUNK: Mapping[str, Shape] = {
    f"features.{index}.{name}": shape
    for stage in CONVS
    for index, inputs, outputs in stage
    for name, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
}
_INDICES = [index for stage in CONVS for index, _, _ in stage]
_HEADS = [stage[-1][2] for stage in CONVS]

_VGG = containers.Purpose(
    "VGG16 as torchvision's vgg16-397923af.pth or NVIDIA's vgg16.pt", script_builder
)
_LPIPS = containers.Purpose("the package lpips' weights/v0.1/vgg.pth")

# How torchvision names its files: by the beginning of their hash.
_HASHED = re.compile(r"vgg16-([0-9a-f]{8,64})\.pth")

Heads = tuple[NDArray[np.float32], ...]
"""What each channel [C] of each of the five stages counts for in LPIPS; none below 0."""


@dataclass(frozen=True, slots=True, eq=False)
class VGGFile:
    """VGG16, read and accounted for.

    trunk: float32, by torchvision's names, such as `features.0.weight` [64, 3, 3, 3].
    heads: LPIPS's, where the file has them.
    """

    path: Path
    source: str
    trunk: Mapping[str, NDArray[np.float32]]
    heads: Heads | None


def read_vgg(path: Path) -> VGGFile:
    """VGG16 from a file; nothing in it is executed. Takes 1.2 GB for the while.

    Raises UserError: not there, not VGG16, damaged, not what was published under its name.
    """
    tree = _checked(path, _VGG)
    try:
        if isinstance(tree, ScriptModule):
            return VGGFile(path, "NVIDIA", _trunk(_scripted_trunk(tree)), _scripted_heads(tree))
        return VGGFile(path, "torchvision", _trunk(_trunk_of(tree)), None)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def read_heads(path: Path) -> Heads:
    """LPIPS's heads as the package `lpips` has them. Raises UserError, as read_vgg does."""
    tree = _checked(path, _LPIPS)
    names = [f"lin{stage}.model.1.weight" for stage in range(len(_HEADS))]
    tensors = tree if isinstance(tree, dict) else {}
    try:
        return _heads({name: _weight(tensors.get(name), name, _LPIPS) for name in names})
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def published(path: Path) -> str | None:
    """The SHA-256, or the beginning of it, that a file of this name must have, if that is known.

    NVIDIA's code caches what it downloads as HASH_NAME, so an underline may stand before the name.
    """
    ends = ("/", "_")
    whole = f"/{path.as_posix()}"
    for name, digest in PUBLISHED.items():
        if whole.endswith(tuple(end + name for end in ends)):
            return digest
    match = _HASHED.fullmatch(path.name)
    return match[1] if match else None


def _checked(path: Path, purpose: containers.Purpose) -> object:
    """What is in the file, if it is the one its name says."""
    containers.glance(path, purpose)  # a film of 50 GB is not hashed to be refused
    as_published(path, published(path))
    return containers.read(path, purpose).tree


def _trunk(weights: Mapping[str, Weight]) -> Mapping[str, NDArray[np.float32]]:
    if wrong := mismatches(_TRUNK, weights):
        raise UnreadableError(f"is not VGG16: {'; '.join(wrong)}; accepted: {_VGG.accepted}")
    return {name: to_float32(weights[name]) for name in _TRUNK}


def _trunk_of(tree: object) -> Mapping[str, Weight]:
    """By torchvision's names; its classifier, most of the file, is not needed."""
    named = tree if isinstance(tree, dict) else {}
    return {
        name: _weight(value, name)
        for name, value in named.items()
        if isinstance(name, str) and name.startswith("features.")
    }


def _scripted_trunk(script: ScriptModule) -> Mapping[str, Weight]:
    layers = _attribute(script, "layers")
    weights = {}
    for number, index in enumerate(_INDICES, 1):
        conv = _attribute(layers, f"conv{number}")
        for name in ("weight", "bias"):
            source = f"layers.conv{number}.{name}"
            weights[f"features.{index}.{name}"] = _weight(_attribute(conv, name), source)
    return weights


def _scripted_heads(script: ScriptModule) -> Heads | None:
    names = [f"lpips{stage}" for stage in range(len(_HEADS))]
    if all(_attribute(script, name) is None for name in names):
        return None
    return _heads({name: _weight(_attribute(script, name), name) for name in names})


def _attribute(module: object, name: str) -> object:
    return (module.state or {}).get(name) if isinstance(module, ScriptModule) else None


def _weight(value: object, source: str, purpose: containers.Purpose = _VGG) -> Weight:
    if not isinstance(value, Leaf):
        raise UnreadableError(f"has no tensor {source}; accepted: {purpose.accepted}")
    return Weight(value.array(), source)


def _heads(weights: Mapping[str, Weight]) -> Heads:
    """[C] each, from [C] with any sides of 1 around."""
    heads = []
    for channels, weight in zip(_HEADS, weights.values(), strict=True):
        head: NDArray[Any] = to_float32(weight)
        if channels not in head.shape or head.size != channels:
            raise UnreadableError(f"{weight.source} is {head.shape}, not of {channels} channels")
        if (head < 0).any():
            raise UnreadableError(f"{weight.source} has numbers below 0: no heads of LPIPS")
        heads.append(head.reshape(channels))
    return tuple(heads)
