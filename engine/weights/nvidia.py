"""NVIDIA's PyTorch networks, whose names are the canonical ones: modules and plain tensors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from engine.weights.found import Found, Weight
from engine.weights.inert import Leaf, Module, UnreadableError, shown

_FILTER = re.compile(r"synthesis\.b\d+\.(conv[01]\.|skip\.)?resample_filter")
_MAX_DEPTH = 8  # a generator's modules are four deep


def is_canonical(names: Mapping[str, object]) -> bool:
    """Whether these are the names of a StyleGAN2 generator of NVIDIA's."""
    return "synthesis.b4.const" in names


def translate(
    leaves: Mapping[str, Leaf], dialect: str, metadata: Mapping[str, str] | None = None
) -> Found:
    """Plain tensors. What they don't tell is in Anthesis' metadata, or as NVIDIA's defaults."""
    metadata = metadata or {}
    clamp = _number(metadata.get("conv_clamp", "null"), "conv_clamp")
    multiplier = _number(metadata.get("mapping_lr_multiplier", "0.01"), "mapping_lr_multiplier")
    if metadata.get("resample_filter", "[1, 3, 3, 1]") != "[1, 3, 3, 1]":
        raise UnreadableError(f"a resample_filter of {shown(metadata['resample_filter'])}")
    if multiplier is None:
        raise UnreadableError("its metadata has no mapping_lr_multiplier")
    return _found(leaves, dialect, clamp, multiplier)


def translate_module(generator: Module, dialect: str) -> Found:
    """A pickled generator: tensors, and the numbers that its modules carry as attributes.

    Not `_init_kwargs`: they hold what was passed, and the defaults differ between repositories.
    """
    leaves: dict[str, Leaf] = {}
    clamps: set[float | None] = set()
    multipliers: set[float | None] = set()
    for name, module in _walk(generator):
        leaves |= _own_tensors(name, module)
        kind = name.rsplit(".", 1)[-1]
        if name.startswith("mapping.fc"):
            multipliers.add(_attribute(module, name, "bias_gain"))
            _expect(module, name, "activation", "lrelu")
        if kind in ("conv0", "conv1", "torgb"):
            clamps.add(_attribute(module, name, "conv_clamp"))
        if kind in ("conv0", "conv1"):
            _expect(module, name, "activation", "lrelu")
    if len(clamps) > 1 or len(multipliers) > 1:
        raise UnreadableError(
            f"{dialect} network: its layers differ in conv_clamp or lr_multiplier"
        )
    multiplier = multipliers.pop() if multipliers else None
    return _found(leaves, dialect, clamps.pop() if clamps else None, multiplier or 0.01)


def flatten(generator: Module) -> dict[str, Leaf]:
    """All tensors of a module by their state dictionary's names."""
    leaves: dict[str, Leaf] = {}
    for name, module in _walk(generator):
        leaves |= _own_tensors(name, module)
    return leaves


def _found(
    leaves: Mapping[str, Leaf], dialect: str, clamp: float | None, multiplier: float
) -> Found:
    weights: dict[str, Weight] = {}
    filters: dict[str, NDArray[Any]] = {}
    for name, leaf in leaves.items():
        if _FILTER.fullmatch(name):
            filters[name] = leaf.array()
        else:
            weights[name] = Weight(leaf.array(), name)
    return Found(dialect, weights, filters, clamp, multiplier)


def _number(text: str, name: str) -> float | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"its metadata's {name} is {shown(text)}, not a number") from error
    return _checked(value, name)


def _checked(value: object, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and 0 < value < math.inf:
        return float(value)
    raise UnreadableError(f"{name} is {shown(value)}, where a positive number was expected")


def _attribute(module: Module, name: str, attribute: str) -> float | None:
    return _checked(module.state.get(attribute), f"{name}.{attribute}")


def _expect(module: Module, name: str, attribute: str, expected: str) -> None:
    value = module.state.get(attribute, expected)
    if value != expected:
        raise UnreadableError(f"{name}.{attribute} is {shown(value)}; only {expected} is supported")


def _walk(root: Module) -> Iterator[tuple[str, Module]]:
    """The module and all below it, with their dotted names. No module may hold itself."""
    seen: set[int] = set()
    pending = [("", root)]
    while pending:
        name, module = pending.pop()
        if id(module) in seen or name.count(".") > _MAX_DEPTH:
            raise UnreadableError("its modules contain each other")
        seen.add(id(module))
        yield name, module
        for child, value in _entries(module, "_modules"):
            if isinstance(value, Module):
                pending.append((f"{name}.{child}" if name else child, value))


def _own_tensors(name: str, module: Module) -> dict[str, Leaf]:
    transient = module.state.get("_non_persistent_buffers_set")
    transient = transient if isinstance(transient, set) else set()
    prefix = f"{name}." if name else ""
    return {
        prefix + key: value
        for group in ("_parameters", "_buffers")
        for key, value in _entries(module, group)
        if isinstance(value, Leaf) and key not in transient
    }


def _entries(module: Module, group: str) -> list[tuple[str, object]]:
    entries = module.state.get(group, {})
    if not isinstance(entries, dict):
        raise UnreadableError(f"an NVIDIA network whose {group} are not a dictionary")
    return [(key, value) for key, value in entries.items() if isinstance(key, str)]
