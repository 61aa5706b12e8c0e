"""NVIDIA's TensorFlow networks (StyleGAN2 and StyleGAN2-ADA pickles) to canonical names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights.found import W_AVG, Found, Weight
from engine.weights.inert import Array, TFNetwork, UnreadableError, shown

_Array = NDArray[Any]

# Only kept while training, or the same for every network.
_IGNORED = frozenset({"lod", "pl_mean_var"})


def _same(array: _Array) -> _Array:
    return array


def _transposed(array: _Array) -> _Array:
    return array.T if array.ndim == 2 else array


def _convolution(array: _Array) -> _Array:
    """[kh, kw, I, O] -> [O, I, kh, kw]."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def _flipped(array: _Array) -> _Array:
    """The same for layers that double: TensorFlow's kernel is turned about."""
    return _convolution(array[::-1, ::-1]) if array.ndim == 4 else array


def _plus_one(array: _Array) -> _Array:
    return np.add(array, 1, dtype=array.dtype)


def _unwrap(array: _Array) -> _Array:
    return array.reshape(array.shape[2:]) if array.shape[:2] == (1, 1) else array


def _first(array: _Array) -> _Array:
    return array[0] if array.ndim == 4 and len(array) == 1 else array


_LAYER: dict[str, tuple[str, Callable[[_Array], _Array]]] = {
    "weight": ("weight", _convolution),
    "bias": ("bias", _same),
    "mod_weight": ("affine.weight", _transposed),
    "mod_bias": ("affine.bias", _plus_one),
    "noise_strength": ("noise_strength", _same),
}
_CONVS = {"Conv": "conv1", "Conv1": "conv1", "Conv0_up": "conv0", "ToRGB": "torgb"}


def variables(network: TFNetwork) -> dict[str, _Array]:
    """All variables of a network and its components, by name."""
    state = network.state or {}
    components = state.get("components")
    found: dict[str, _Array] = {}
    for part in (network, *(components.values() if isinstance(components, dict) else ())):
        entries = part.state.get("variables") if isinstance(part, TFNetwork) and part.state else []
        for entry in entries if isinstance(entries, list) else []:
            match entry:
                case (str() as name, Array() as value):
                    found[name] = value.array()
                case (str() as name, int() | float() as value):
                    found[name] = np.asarray(value, np.float32)
                case _:
                    raise UnreadableError("a TensorFlow variable without a name or a value")
    return found


def translate(network: TFNetwork, dialect: str) -> Found:
    """`Gs`, the averaged generator."""
    named = variables(network)
    if "LabelConcat/weight" in named:
        raise UnreadableError(
            "is a class-conditional network from before StyleGAN2-ADA, which is not supported"
        )
    settings = (network.state or {}).get("static_kwargs")
    settings = settings if isinstance(settings, dict) else {}
    resolution = max(_resolutions(named), default=0)
    weights = {}
    for source, array in named.items():
        name, convert = _canonical(source, resolution)
        if source not in _IGNORED and name is not None:
            weights[name] = Weight(convert(array), source)
    _check_filter(settings)
    clamp = _setting(settings, "conv_clamp", None)
    return Found(dialect, weights, {}, clamp, _setting(settings, "mapping_lrmul", 0.01) or 0.01)


def _resolutions(named: Mapping[str, object]) -> list[int]:
    matches = (re.match(r"(\d{1,5})x\1/", name) for name in named)
    return [int(match[1]) for match in matches if match]


def _canonical(source: str, resolution: int) -> tuple[str | None, Callable[[_Array], _Array]]:
    """Canonical name (None: not needed) and what to do with the array."""
    if source == "dlatent_avg":
        return W_AVG, _same
    if match := re.fullmatch(r"(Dense(\d\d?)|LabelEmbed)/(weight|bias)", source):
        layer = "embed" if match[2] is None else f"fc{int(match[2])}"
        return f"mapping.{layer}.{match[3]}", _transposed if match[3] == "weight" else _same
    if match := re.fullmatch(r"noise(\d\d?)", source):
        return _noise(int(match[1])), _unwrap
    if source == "4x4/Const/const":
        return "synthesis.b4.const", _first
    if match := re.fullmatch(r"(\d{1,5})x\1/(Conv|Conv1|Conv0_up|ToRGB|Skip)/(.+)", source):
        return _layer(int(match[1]), match[2], match[3], source)
    if match := re.fullmatch(r"ToRGB_lod(\d)/(.+)", source):
        # `orig` networks that grew keep a ToRGB for every size, and use the last.
        name, convert = _layer(resolution >> int(match[1]), "ToRGB", match[2], source)
        return (name if match[1] == "0" else None), convert
    return source, _same


def _noise(index: int) -> str:
    """noise0 is 4x4's; then two a resolution, from 8x8 on: 2 log2(r) - 5 and - 4."""
    if index == 0:
        return "synthesis.b4.conv1.noise_const"
    return f"synthesis.b{8 << (index - 1) // 2}.conv{(index - 1) % 2}.noise_const"


def _layer(size: int, layer: str, rest: str, source: str) -> tuple[str, Callable[[_Array], _Array]]:
    block = f"synthesis.b{size}"
    if (layer, rest) == ("Skip", "weight"):
        return f"{block}.skip.weight", _flipped
    if layer not in _CONVS or rest not in _LAYER:
        return source, _same
    name, convert = _LAYER[rest]
    if (layer, rest) == ("Conv0_up", "weight"):
        convert = _flipped
    return f"{block}.{_CONVS[layer]}.{name}", convert


def _setting(settings: Mapping[str, object], name: str, default: float | None) -> float | None:
    value = settings.get(name, default)
    if value is None or (isinstance(value, int | float) and 0 < value < math.inf):
        return value
    raise UnreadableError(f"its {name} is {shown(value)}, where a positive number was expected")


def _check_filter(settings: Mapping[str, object]) -> None:
    kernel = settings.get("resample_kernel") or [1, 3, 3, 1]
    nonlinearity = settings.get("nonlinearity", "lrelu")
    if kernel != [1, 3, 3, 1] and kernel != (1, 3, 3, 1):
        raise UnreadableError(
            f"its resample_kernel is {shown(kernel)}; only [1, 3, 3, 1] is supported"
        )
    if nonlinearity != "lrelu":
        raise UnreadableError(f"its nonlinearity is {shown(nonlinearity)}; only lrelu is supported")
