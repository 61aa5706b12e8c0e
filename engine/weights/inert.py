"""What stands in for everything a checkpoint's pickle may name: plain records, and a closed list.

None of this is the real thing: a "module" is its dictionary of tensors, a "tensor" a checked
window on bytes. Arrays are built from raw bytes alone, so no object array can exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class UnreadableError(Exception):
    """What is wrong with the file, without its name: the caller knows that."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name in a pickle. Never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


@dataclass(slots=True, eq=False)
class Storage:
    """A torch storage: `count` numbers of one type; the bytes may arrive after the pickle."""

    dtype: str
    count: int
    data: bytes | bytearray | memoryview | None = None

    def array(self) -> NDArray[Any]:
        """All numbers [count], read-only; bfloat16 as float32."""
        if self.data is None:
            raise UnreadableError("a tensor's numbers are missing from the file")
        if self.dtype == "bfloat16":
            halves = np.frombuffer(self.data, "<u2", self.count)
            return (halves.astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(self.data, self.dtype, self.count)

    @property
    def itemsize(self) -> int:
        """Bytes a number."""
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A torch tensor: a view of a storage that was checked to lie within it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        """The numbers, as a read-only view where the storage's type allows."""
        if 0 in self.shape:
            return np.empty(0, np.float32)  # its other sides may be absurd
        flat = self.storage.array()[self.offset :]  # never copied: at most the file's own bytes
        strides = tuple(stride * flat.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)


@dataclass(slots=True, eq=False)
class Dtype:
    """A numpy type of plain numbers; its byte order arrives after its code."""

    code: str
    order: str = "<"

    def set_state(self, state: object) -> None:
        """numpy's own state: (version, byte order, ...); the rest is for compound types."""
        match state:
            case (int(), "<" | ">" | "|" as order, None, None, None, *_):
                self.order = order
            case _:
                raise UnreadableError("a numpy type that is not plain numbers")

    def numpy(self) -> np.dtype[Any]:
        """The real one."""
        return np.dtype(self.order + self.code)


@dataclass(slots=True, eq=False)
class Array:
    """A numpy array; its contents arrive after its creation."""

    value: NDArray[Any] | None = None

    def set_state(self, state: object) -> None:
        """numpy's own state: (version, shape, dtype, Fortran order, raw bytes)."""
        match state:
            case (int(), tuple() as shape, Dtype() as dtype, bool() as fortran, bytes() as raw):
                pass
            case _:
                raise UnreadableError("a numpy array that is not plain numbers")
        count = math.prod(shape) if all(map(_is_size, shape)) else -1
        if count * dtype.numpy().itemsize != len(raw) or len(shape) > _MAX_DIMENSIONS:
            raise UnreadableError(f"a numpy array of shape {shown(shape)} from {len(raw)} bytes")
        flat = np.frombuffer(raw, dtype.numpy()) if count else np.empty(0, dtype.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C")

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy's."""
        return self.array().shape

    def array(self) -> NDArray[Any]:
        """The numbers, read-only."""
        if self.value is None:
            raise UnreadableError("an array's numbers are missing from the file")
        return self.value


@dataclass(slots=True, eq=False)
class Module:
    """An NVIDIA network: the `__dict__` of an nn.Module. Its source, in the file, is ignored."""

    state: dict[Any, Any]


@dataclass(slots=True, eq=False)
class TFNetwork:
    """A TensorFlow network of NVIDIA's dnnlib. Its source, in the file, is ignored."""

    state: dict[Any, Any] | None = None

    def set_state(self, state: object) -> None:
        """The dictionary of its name, components and variables."""
        if not isinstance(state, dict):
            raise UnreadableError("a TensorFlow network without its state")
        self.state = state


@dataclass(slots=True, eq=False)
class ScriptModule:
    """A module of a TorchScript archive: its attributes. Its code is never looked at."""

    state: dict[Any, Any] | None = None

    def set_state(self, state: object) -> None:
        """The dictionary of its attributes, parameters and modules."""
        if not isinstance(state, dict):
            raise UnreadableError("a TorchScript module without its state")
        self.state = state


Leaf = Tensor | Array
"""What holds numbers in a tree that was read."""

Builder = Callable[[tuple[Any, ...]], object]

STORAGE_TYPES = {
    Global("torch", "DoubleStorage"): "<f8",
    Global("torch", "FloatStorage"): "<f4",
    Global("torch", "HalfStorage"): "<f2",
    Global("torch", "BFloat16Storage"): "bfloat16",
    Global("torch", "LongStorage"): "<i8",
    Global("torch", "IntStorage"): "<i4",
    Global("torch", "ShortStorage"): "<i2",
    Global("torch", "CharStorage"): "i1",
    Global("torch", "ByteStorage"): "u1",
    Global("torch", "BoolStorage"): "?",
}

# A latent that was `expand`ed before it was saved is larger than its storage: 36 kB for 18 rows.
_EXPANDED_BYTES = 1 << 17
_MAX_DIMENSIONS = 16
_PLAIN_DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


def shown(value: object) -> str:
    """Something from a file, safe to print within one line."""
    if isinstance(value, str):
        text = ascii(value)[1:-1]
    elif isinstance(value, tuple | list) and all(map(_is_size, value)):
        text = repr(tuple(value))
    elif value is None or isinstance(value, float) or _is_short(value):
        text = repr(value)
    else:  # may be nested without end, or a number with a million digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _is_short(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() <= 64


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _rebuild_tensor(args: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...), or without the 2."""
    storage, offset, shape, strides = args[:4]
    if not isinstance(storage, Storage) or not (type(shape) is type(strides) is tuple):
        raise UnreadableError("a tensor without a storage, a size and a stride")
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise UnreadableError("a tensor whose size and stride don't go together")
    if not all(_is_size(number) for number in (offset, *shape, *strides)):
        raise UnreadableError("a tensor with an impossible size or stride")
    numel = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if numel and last >= storage.count:
        raise UnreadableError(
            f"a tensor of size {shown(shape)} reaches beyond its {storage.count} numbers"
        )
    if numel > storage.count and numel * storage.itemsize > _EXPANDED_BYTES:
        raise UnreadableError(f"a tensor of size {shown(shape)} from only {storage.count} numbers")
    return Tensor(storage, min(offset, storage.count), shape, strides)


def _rebuild_parameter(args: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_parameter(tensor, requires_grad, hooks)."""
    if not args or not isinstance(args[0], Tensor):
        raise UnreadableError("a parameter that is not a tensor")
    return args[0]


def _reconstruct_module(args: tuple[Any, ...]) -> Module:
    """torch_utils.persistence._reconstruct_persistent_obj(meta): the state, not the source."""
    meta = args[0] if args else None
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict):
        raise UnreadableError("an NVIDIA network without its state")
    return Module(state)


def _dtype(args: tuple[Any, ...]) -> Dtype:
    code = args[0] if args else None
    if not isinstance(code, str) or code not in _PLAIN_DTYPES:
        raise UnreadableError(
            f"a numpy array of type {shown(code)}, where only plain numbers are read"
        )
    return Dtype(code)


def _array(args: tuple[Any, ...]) -> Array:
    if not args or args[0] != Global("numpy", "ndarray"):
        raise UnreadableError("a numpy array of an unknown kind")
    return Array()


def _scalar(args: tuple[Any, ...]) -> object:
    dtype, raw = args
    if not isinstance(dtype, Dtype) or not isinstance(raw, bytes):
        raise UnreadableError("a numpy number without a type or a value")
    return np.frombuffer(raw, dtype.numpy(), 1)[0].item()


def _ordered_dict(args: tuple[Any, ...]) -> dict[Any, Any]:
    """Empty, its items to come; or, as Python 2 wrote it, made from a list of pairs."""
    if len(args) != 1 or type(args[0]) is not list:
        return _empty_dict(args)
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in args[0]):
        raise UnreadableError("a dictionary made from something else than pairs")
    made = {hashable(key): value for key, value in args[0]}
    args[0].clear()  # given again and again by a short loop of opcodes, it would unfold without end
    return made


def _empty_dict(args: tuple[Any, ...]) -> dict[Any, Any]:
    if args:
        raise UnreadableError("a dictionary made from something else")
    return {}


def _set(args: tuple[Any, ...]) -> set[Any]:
    items = args[0] if args else []
    if not isinstance(items, list):
        raise UnreadableError("a set made from something else than a list")
    return {hashable(item) for item in items}


def hashable(key: object) -> object:
    """Pass plain keys only: hashing a tuple nested a million deep would overflow the C stack."""
    if key is None or isinstance(key, str | bytes | int | float):
        return key
    raise UnreadableError(f"a {type(key).__name__} as the key of a dictionary")


BUILDERS: Mapping[Global, Builder] = {
    Global("collections", "OrderedDict"): _ordered_dict,
    Global("dnnlib.util", "EasyDict"): _empty_dict,
    Global("argparse", "Namespace"): _empty_dict,  # rosinality's training options: not needed
    Global("builtins", "set"): _set,
    Global("__builtin__", "set"): _set,
    Global("torch._utils", "_rebuild_tensor"): _rebuild_tensor,  # torch before 0.4
    Global("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    Global("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_module,
    Global("dnnlib.tflib.network", "Network"): lambda args: TFNetwork(),
    Global("numpy", "dtype"): _dtype,
    Global("numpy.core.multiarray", "_reconstruct"): _array,
    Global("numpy._core.multiarray", "_reconstruct"): _array,
    Global("numpy.core.multiarray", "scalar"): _scalar,
    Global("numpy._core.multiarray", "scalar"): _scalar,
}
"""The closed list: what a checkpoint's pickle may name, and what stands for it here."""


def script_builder(wanted: Global) -> Builder | None:
    """What stands for a name that TorchScript's pickles have beside those; None: not read.

    Every class there has a name of its own, below `__torch__`; all are dictionaries here.
    """
    if wanted.module.partition(".")[0] == "__torch__":
        return _script_module
    if wanted.module == "torch.jit._pickle" and wanted.name in _SCRIPT_VALUES:
        return _script_value
    return None


# How TorchScript writes lists of one type, and what type a value has: the value itself matters.
_SCRIPT_VALUES = frozenset(
    {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"}
)


def _script_module(args: tuple[Any, ...]) -> ScriptModule:
    if args:
        raise UnreadableError("a TorchScript module made from something else than its state")
    return ScriptModule()


def _script_value(args: tuple[Any, ...]) -> object:
    return args[0]


NAMES_ONLY = frozenset({Global("numpy", "ndarray"), *STORAGE_TYPES})
"""Names that only ever stand as arguments of others."""
