"""The Inception of FID: its convolutions, from the file people have; no torch.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2015), trained by
2015-12-05 and used by Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a
Local Nash Equilibrium" (2017). Others' weights give other distances: torchvision's are refused.

The file is the port of TensorFlow's that pytorch-fid and torch-fidelity publish, each under its
name, both the same to the byte. It is read only if it is that, where its name says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.networks.config import Shape
from engine.weights import as_published, containers
from engine.weights.found import Weight, mismatches, to_float32
from engine.weights.inert import Leaf, UnreadableError
from engine.weights.vgg_places import checkpoints

URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of the published file."""

EPSILON = 1e-3  # of its batch normalisations

_NAMES = (URL.rpartition("/")[2], "weights-inception-2015-12-05-6726825d.pth")
_PUBLISHED = re.compile(r".*inception-2015-12-05-6726825d\.pth")
_PURPOSE = containers.Purpose(f"FID's Inception as pytorch-fid's {_NAMES[0]}")


@dataclass(frozen=True, slots=True)
class Convolution:
    """Channels in and out; kernel and padding: height, width."""

    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int] = (0, 0)


def _same(inputs: int, outputs: int, height: int = 1, width: int = 1) -> Convolution:
    """As large a picture as before."""
    return Convolution(inputs, outputs, (height, width), 1, (height // 2, width // 2))


def _inner(inputs: int, outputs: int, stride: int) -> Convolution:
    """3x3, where all of the kernel lies within the picture."""
    return Convolution(inputs, outputs, (3, 3), stride)


def _block_a(inputs: int, pooled: int) -> dict[str, Convolution]:
    return {
        "branch1x1": _same(inputs, 64),
        "branch5x5_1": _same(inputs, 48),
        "branch5x5_2": _same(48, 64, 5, 5),
        "branch3x3dbl_1": _same(inputs, 64),
        "branch3x3dbl_2": _same(64, 96, 3, 3),
        "branch3x3dbl_3": _same(96, 96, 3, 3),
        "branch_pool": _same(inputs, pooled),
    }


def _block_b(inputs: int) -> dict[str, Convolution]:
    return {
        "branch3x3": _inner(inputs, 384, 2),
        "branch3x3dbl_1": _same(inputs, 64),
        "branch3x3dbl_2": _same(64, 96, 3, 3),
        "branch3x3dbl_3": _inner(96, 96, 2),
    }


def _block_c(inputs: int, between: int) -> dict[str, Convolution]:
    return {
        "branch1x1": _same(inputs, 192),
        "branch7x7_1": _same(inputs, between),
        "branch7x7_2": _same(between, between, 1, 7),
        "branch7x7_3": _same(between, 192, 7, 1),
        "branch7x7dbl_1": _same(inputs, between),
        "branch7x7dbl_2": _same(between, between, 7, 1),
        "branch7x7dbl_3": _same(between, between, 1, 7),
        "branch7x7dbl_4": _same(between, between, 7, 1),
        "branch7x7dbl_5": _same(between, 192, 1, 7),
        "branch_pool": _same(inputs, 192),
    }


def _block_d(inputs: int) -> dict[str, Convolution]:
    return {
        "branch3x3_1": _same(inputs, 192),
        "branch3x3_2": _inner(192, 320, 2),
        "branch7x7x3_1": _same(inputs, 192),
        "branch7x7x3_2": _same(192, 192, 1, 7),
        "branch7x7x3_3": _same(192, 192, 7, 1),
        "branch7x7x3_4": _inner(192, 192, 2),
    }


def _block_e(inputs: int) -> dict[str, Convolution]:
    return {
        "branch1x1": _same(inputs, 320),
        "branch3x3_1": _same(inputs, 384),
        "branch3x3_2a": _same(384, 384, 1, 3),
        "branch3x3_2b": _same(384, 384, 3, 1),
        "branch3x3dbl_1": _same(inputs, 448),
        "branch3x3dbl_2": _same(448, 384, 3, 3),
        "branch3x3dbl_3a": _same(384, 384, 1, 3),
        "branch3x3dbl_3b": _same(384, 384, 3, 1),
        "branch_pool": _same(inputs, 192),
    }


STEM: Mapping[str, Convolution] = {
    "Conv2d_1a_3x3": _inner(3, 32, 2),
    "Conv2d_2a_3x3": _inner(32, 32, 1),
    "Conv2d_2b_3x3": _same(32, 64, 3, 3),
    "Conv2d_3b_1x1": _same(64, 80),
    "Conv2d_4a_3x3": _inner(80, 192, 1),
}
"""What comes before the blocks, by torchvision's names."""

BLOCKS: Mapping[str, Mapping[str, Convolution]] = {
    "Mixed_5b": _block_a(192, 32),
    "Mixed_5c": _block_a(256, 64),
    "Mixed_5d": _block_a(288, 64),
    "Mixed_6a": _block_b(288),
    "Mixed_6b": _block_c(768, 128),
    "Mixed_6c": _block_c(768, 160),
    "Mixed_6d": _block_c(768, 160),
    "Mixed_6e": _block_c(768, 192),
    "Mixed_7a": _block_d(768),
    "Mixed_7b": _block_e(1280),
    "Mixed_7c": _block_e(2048),
}
"""Each block's convolutions, by torchvision's names, in the order in which a picture passes."""

CONVOLUTIONS: Mapping[str, Convolution] = {
    **STEM,
    **{
        f"{block}.{name}": convolution
        for block, convolutions in BLOCKS.items()
        for name, convolution in convolutions.items()
    },
}

_CLASSES = 1008  # that it tells apart; torchvision's Inception, 1000
_NORMALISED = ("weight", "bias", "running_mean", "running_var")
_HEAD = "fc.weight"
_UNUSED = re.compile(r"AuxLogits\..*|fc\.bias|.*\.num_batches_tracked")


def _shapes() -> dict[str, Shape]:
    """Of every tensor that is wanted. The head is, though it is not used: it says whose it is."""
    shapes: dict[str, Shape] = {_HEAD: (_CLASSES, 2048)}
    for name, each in CONVOLUTIONS.items():
        shapes[f"{name}.conv.weight"] = (each.outputs, each.inputs, *each.kernel)
        shapes |= {f"{name}.bn.{part}": (each.outputs,) for part in _NORMALISED}
    return shapes


def find_inception(named: Path | None = None) -> Path | None:
    """FID's Inception where the user says; None: where torch keeps it, or None if it doesn't.

    Raises UserError if it is not where the user says.
    """
    if named is None:
        return next((path for name in _NAMES if (path := checkpoints() / name).is_file()), None)
    if not named.exists():
        raise UserError(
            f"{named}: there are no such weights: get {URL}, or do without: leave --inception out"
        )
    return named


def read_inception(path: Path) -> dict[str, NDArray[np.float32]]:
    """`NAME.weight` [O, I, h, w] and `NAME.bias` [O] of each of CONVOLUTIONS.

    Its normalisation by training's statistics is folded in. Nothing in the file is executed.
    Raises UserError: not there, not FID's Inception, damaged, not what its name says.
    """
    containers.glance(path, _PURPOSE)
    as_published(path, DIGEST if _PUBLISHED.fullmatch(path.name) else None)
    try:
        return _folded(_accounted(containers.read(path, _PURPOSE).tree))
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def _accounted(tree: object) -> dict[str, NDArray[np.float32]]:
    """Every tensor by name and shape. Raises UnreadableError."""
    weights = {}
    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(name, str) and not _UNUSED.fullmatch(name):
            if not isinstance(value, Leaf):
                raise UnreadableError(f"has no tensors alone; accepted: {_PURPOSE.accepted}")
            weights[name] = Weight(value.array(), name)
    head = weights.get(_HEAD)
    if head is not None and head.array.shape == (1000, 2048):
        raise UnreadableError(
            "is torchvision's Inception, whose distances are no FID: "
            f"wanted: pytorch-fid's {_NAMES[0]}"
        )
    shapes = _shapes()
    if wrong := mismatches(shapes, weights):
        raise UnreadableError(
            f"is not FID's Inception: {'; '.join(wrong)}; accepted: {_PURPOSE.accepted}"
        )
    return {name: to_float32(weights[name]) for name in shapes if name != _HEAD}


def _folded(tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Normalised is weight (x - mean) / sqrt(variance + epsilon) + bias: a convolution again."""
    folded = {}
    for name in CONVOLUTIONS:
        weight, bias, mean, variance = (
            tensors[f"{name}.bn.{part}"].astype(np.float64) for part in _NORMALISED
        )
        if (variance < 0).any():
            raise UnreadableError(f"{name}.bn.running_var has numbers below 0: damaged")
        scale = weight / np.sqrt(variance + EPSILON)
        kernels = tensors[f"{name}.conv.weight"] * scale[:, None, None, None]
        folded[f"{name}.weight"] = kernels.astype(np.float32)
        folded[f"{name}.bias"] = (bias - mean * scale).astype(np.float32)
    return folded
