"""rosinality/stylegan2-pytorch, whose names pSp and e4e share, to canonical names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights.found import W_AVG, Found, Weight
from engine.weights.inert import Leaf, UnreadableError, shown

_Array = NDArray[Any]


def _same(array: _Array) -> _Array:
    return array


def _unwrap(count: int) -> Callable[[_Array], _Array]:
    """Drop `count` leading sides of length 1; anything else stays, and is refused by its shape."""

    def unwrap(array: _Array) -> _Array:
        ones = array.shape[:count] == (1,) * count
        return array.reshape(array.shape[count:]) if ones else array

    return unwrap


def _vector(array: _Array) -> _Array:
    """[1, C, 1, 1] -> [C]."""
    return array.reshape(-1) if array.ndim == 4 and array.size == array.shape[1] else array


# What a layer's tensors are called after the layer's own name.
_LAYER = {
    "conv.weight": ("weight", _unwrap(1)),
    "conv.modulation.weight": ("affine.weight", _same),
    "conv.modulation.bias": ("affine.bias", _same),
    "activate.bias": ("bias", _vector),
    "noise.weight": ("noise_strength", _unwrap(1)),
    "bias": ("bias", _vector),
}
_FILTERS = re.compile(r"(convs\.\d+\.conv\.blur|to_rgbs\.\d+\.upsample)\.kernel")


def is_rosinality(names: Mapping[str, object]) -> bool:
    """Whether these are the names of a generator of this code."""
    return "input.input" in names and "conv1.conv.modulation.weight" in names


def translate(leaves: Mapping[str, Leaf], latent_avg: object, dialect: str) -> Found:
    """The generator's state dictionary and, where the file has it, its mean latent."""
    weights: dict[str, Weight] = {}
    filters: dict[str, _Array] = {}
    for source, leaf in leaves.items():
        array = leaf.array()
        if _FILTERS.fullmatch(source):
            filters[source] = array / 4  # stored with the gain of a doubling
        else:
            name, unwrap = _canonical(source)
            weights[name] = Weight(unwrap(array), source)
    if latent_avg is not None:
        weights[W_AVG] = Weight(_mean_latent(latent_avg), "latent_avg")
    return Found(dialect, weights, filters)


def _canonical(source: str) -> tuple[str, Callable[[_Array], _Array]]:
    if source == "input.input":
        return "synthesis.b4.const", _unwrap(1)
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", source):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", _same
    if match := re.fullmatch(r"noises\.noise_(\d\d?)", source):
        return f"{_layer(int(match[1]) - 1)}.noise_const", _unwrap(2)
    if match := re.fullmatch(r"(conv1|to_rgb1|convs\.(\d\d?)|to_rgbs\.(\d\d?))\.(.+)", source):
        layer, conv, torgb, rest = match.groups()
        known = _LAYER.get(rest)
        if known is not None:
            return f"{_block(layer, conv, torgb)}.{known[0]}", known[1]
    return source, _same


def _layer(index: int) -> str:
    """Convolution -1 is conv1 at 4x4; then there are two, 2k and 2k + 1, at 2^(k + 3)."""
    if index < 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 << index // 2}.conv{index % 2}"


def _block(layer: str, conv: str | None, torgb: str | None) -> str:
    if torgb is not None:
        return f"synthesis.b{8 << int(torgb)}.torgb"
    if layer == "to_rgb1":
        return "synthesis.b4.torgb"
    return _layer(int(conv) if conv is not None else -1)


def _mean_latent(value: object) -> _Array:
    """[D], [1, D], or the encoders' [L, D], whose rows are all the same."""
    if not isinstance(value, Leaf):
        raise UnreadableError("latent_avg is not a tensor")
    array = value.array()
    if array.ndim != 2:
        return array
    if not (array == array[0]).all():
        raise UnreadableError(f"latent_avg {shown(array.shape)} differs from layer to layer")
    return np.asarray(array[0])
