"""What a translator found in a file, and its accounting: every tensor by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.networks.config import Architecture, Shape, StyleGAN2Config
from engine.weights.inert import UnreadableError, shown

W_AVG = "mapping.w_avg"

_MAX_RESOLUTION = 4096
_MAX_MAPPING = 64  # layers
_FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


@dataclass(frozen=True, slots=True)
class Weight:
    """An array under its name in the file."""

    array: NDArray[Any]
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """A generator as a translator hands it over.

    weights: by canonical name; what it did not know stays under its own name.
    filters: resampling filters, which are constants of the network, scaled to a sum of 1.
    """

    dialect: str
    weights: Mapping[str, Weight]
    filters: Mapping[str, NDArray[Any]]
    conv_clamp: float | None = None
    mapping_lr_multiplier: float = 0.01


def account(found: Found) -> tuple[StyleGAN2Config, dict[str, NDArray[np.float32]]]:
    """Config and float32 tensors by canonical name; `mapping.w_avg` only if the file has it.

    Raises UnreadableError that names what is missing, unexpected, of the wrong shape, not finite.
    """
    config = infer(found)
    expected = config.shapes()
    if W_AVG in found.weights:
        expected[W_AVG] = (config.w_dim,)
    wrong = problems(expected, found.weights)
    for name, kernel in found.filters.items():
        if kernel.shape != (4, 4) or not np.allclose(kernel, _FILTER, atol=1e-4):
            wrong.append(f"the filter {shown(name)} is not [1, 3, 3, 1]")
    if wrong:
        raise UnreadableError(f"{found.dialect} network: {'; '.join(wrong)}")
    tensors = {name: float32(found.weights[name]) for name in expected}
    return config, tensors


def problems(expected: Mapping[str, Shape], weights: Mapping[str, Weight]) -> list[str]:
    """What is missing, unexpected, or of the wrong shape, each in a few words."""
    missing = [name for name in expected if name not in weights]
    unexpected = [weight.source for name, weight in weights.items() if name not in expected]
    wrong = [
        f"{shown(weights[name].source)} {weights[name].array.shape} instead of {shape}"
        for name, shape in expected.items()
        if name in weights and weights[name].array.shape != shape
    ]
    return [
        f"{what} {_some(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", list(map(shown, unexpected))),
            ("of the wrong shape:", wrong),
        )
        if names
    ]


def _some(names: list[str]) -> str:
    rest = len(names) - 4
    return ", ".join(names[:4]) + (f" and {rest} more" if rest > 0 else "")


def float32(weight: Weight) -> NDArray[np.float32]:
    """The array in float32, copied only if it has to be. Raises UnreadableError: not finite."""
    if weight.array.dtype.kind != "f":
        raise UnreadableError(f"{shown(weight.source)} is {weight.array.dtype}, not real numbers")
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused
        array = np.ascontiguousarray(weight.array, dtype=np.float32).reshape(weight.array.shape)
    if not np.isfinite(array).all():
        raise UnreadableError(f"{shown(weight.source)} holds NaN or infinite numbers: damaged")
    return array


def infer(found: Found) -> StyleGAN2Config:
    """The dimensions, from the shapes of the tensors that decide them."""

    def shape(name: str, dimensions: int) -> Shape:
        weight = found.weights.get(name)
        if weight is None:
            raise UnreadableError(f"{found.dialect} network: missing {name}")
        if weight.array.ndim != dimensions or 0 in weight.array.shape:
            raise UnreadableError(
                f"{found.dialect} network: of the wrong shape: "
                f"{shown(weight.source)} {shown(weight.array.shape)}"
            )
        return weight.array.shape

    resolution = _largest(found, r"synthesis\.b(\d{1,5})\.", 4)
    if resolution & (resolution - 1) or not 4 <= resolution <= _MAX_RESOLUTION:
        raise UnreadableError(f"{found.dialect} network: a resolution of {resolution}")
    blocks = [4 << i for i in range(resolution.bit_length() - 2)]
    layers = _largest(found, r"mapping\.fc(\d{1,3})\.", 0) + 1
    if layers > _MAX_MAPPING:
        raise UnreadableError(f"{found.dialect} network: a mapping of {layers} layers")
    conditional = "mapping.embed.weight" in found.weights
    embed, classes = shape("mapping.embed.weight", 2) if conditional else (0, 0)
    z_dim = shape("mapping.fc0.weight", 2)[1] - embed
    if z_dim < 1:
        raise UnreadableError(f"{found.dialect} network: a z of {z_dim} numbers")
    return StyleGAN2Config(
        z_dim=z_dim,
        channels=tuple(shape(f"synthesis.b{block}.conv1.weight", 4)[0] for block in blocks),
        mapping=tuple(shape(f"mapping.fc{i}.weight", 2)[0] for i in range(layers)),
        img_channels=shape(f"synthesis.b{resolution}.torgb.weight", 4)[0],
        num_classes=classes,
        embed=embed,
        architecture=_architecture(found),
        use_noise="synthesis.b4.conv1.noise_strength" in found.weights,
        conv_clamp=found.conv_clamp,
        mapping_lr_multiplier=found.mapping_lr_multiplier,
    )


def _largest(found: Found, pattern: str, least: int) -> int:
    matches = (re.match(pattern, name) for name in found.weights)
    return max((int(match[1]) for match in matches if match), default=least)


def _architecture(found: Found) -> Architecture:
    if "synthesis.b8.skip.weight" in found.weights:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in found.weights else "orig"
