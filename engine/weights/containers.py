"""Every kind of file that weights and latents come in, read into a tree, nothing executed.

| file | written by |
|---|---|
| safetensors | Anthesis' `convert`, and others |
| torch zip (.pt, .pth) | torch.save since 1.6: data.pkl beside one stored member a storage |
| TorchScript (.pt) | torch.jit.save: such a zip with a program in it, which is not looked at |
| torch legacy (.pt, .pth) | torch.save before: five pickles, then the storages |
| pickle (.pkl) | NVIDIA's code, PyTorch and TensorFlow |

No torch here: one reader gives the same everywhere, and `inspect` and the stage need none.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from safetensors import SafetensorError, deserialize

from engine.errors import UserError
from engine.weights.inert import (
    STORAGE_TYPES,
    Builder,
    Global,
    Storage,
    Tensor,
    UnreadableError,
    shown,
)
from engine.weights.unpickle import unpickle

ACCEPTED = (
    "StyleGAN2 as rosinality .pt, NVIDIA .pkl (PyTorch or TensorFlow), PTI .pt, "
    "pSp or e4e .pt, or Anthesis .safetensors"
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x80\x02\x8a\n" + _LEGACY_MAGIC.to_bytes(10, "little")
_SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

_ENDS = 64  # bytes of either end that are looked at

# What people hand over by mistake, by how it begins.
_LOOKS = (
    (b"version https://git-lfs", "a Git LFS pointer: the weights themselves were not fetched"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x93NUMPY", "a numpy array"),
    (b"<", "a web page: the download was not the file itself"),
    (b"{", "JSON text"),
)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a file is read for.

    accepted: what to bring instead of a file that is not it.
    script: what stands for the names in a TorchScript archive; None: such archives are refused.
    """

    accepted: str
    script: Callable[[Global], Builder | None] | None = None


NETWORK = Purpose(ACCEPTED)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: dicts, lists, tuples, plain values and `inert` records."""

    container: str
    tree: object
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def read(path: Path, purpose: Purpose = NETWORK) -> Contents:
    """Read a file of any kind above. Raises UserError: what is wrong with it, by name."""
    with _recognized(path, purpose) as file:
        return parse(file.read(), purpose)


def glance(path: Path, purpose: Purpose = NETWORK) -> None:
    """Look at how a file begins, before any time is spent on it. Raises UserError.

    It may be damaged further on: only `read` knows.
    """
    with _recognized(path, purpose):
        pass


@contextmanager
def _recognized(path: Path, purpose: Purpose) -> Iterator[BinaryIO]:
    """The open file, if its ends are those of weights: a film of 50 GB is not read to be refused.

    Raises UserError, also for what is found wrong while it is open.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is not a file")
        with path.open("rb") as file:
            start = file.read(_ENDS)
            size = file.seek(0, SEEK_END)
            file.seek(max(size - _ENDS, 0))
            _kind(start, file.read(_ENDS), size, purpose)
            file.seek(0)
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def _kind(start: bytes, end: bytes, size: int, purpose: Purpose) -> str:
    """The kind of weights, by the first and last bytes and the size. Raises UnreadableError."""
    if start.startswith(b"PK\x03\x04"):
        return "torch zip"
    if start.startswith(_LEGACY_START):
        return "torch legacy"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return "safetensors"
    # Protocols 0 and 1 have no mark of their own, but all end with a full stop.
    if start[:1] == b"\x80" or (start[:1] in b"c(}]" and end.rstrip().endswith(b".")):
        return "pickle"
    raise UnreadableError(_unknown(start, purpose))


def _unknown(data: bytes, purpose: Purpose) -> str:
    """What data that is no kind of weights looks like."""
    look = next((look for start, look in _LOOKS if data.lstrip().startswith(start)), None)
    if not data:
        look = "an empty file"
    return f"looks like {look or 'no kind of weights'}; accepted: {purpose.accepted}"


def parse(data: bytes, purpose: Purpose = NETWORK) -> Contents:
    """Tell the kind of file by its ends, and read it. Raises UnreadableError."""
    kind = _kind(data[:_ENDS], data[-_ENDS:], len(data), purpose)
    if kind == "safetensors":
        return _safetensors(data)
    if kind == "torch zip":
        return Contents(kind, _torch_zip(data, purpose))
    if kind == "torch legacy":
        return Contents(kind, _torch_legacy(data))
    return Contents(kind, unpickle(BytesIO(data), from_bytes=_nested_storage))


def _safetensors(data: bytes) -> Contents:
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UnreadableError(f"is a damaged safetensors file ({shown(str(error))})") from error
    tree = {}
    for name, entry in sorted(tensors, key=lambda item: str(item[0])):
        dtype = _SAFETENSORS_TYPES.get(entry["dtype"])
        if dtype is None:
            raise UnreadableError(f"{shown(name)} is of type {entry['dtype']}, which is not read")
        shape = tuple(entry["shape"])
        count, strides = 1, list[int]()
        for length in reversed(shape):
            strides.insert(0, count)
            count *= length
        storage = Storage(dtype, count, entry["data"])
        tree[name] = Tensor(storage, 0, shape, tuple(strides))
    return Contents("safetensors", tree, header.get("__metadata__", {}))


def _storage_type(value: object) -> str:
    dtype = STORAGE_TYPES.get(value) if isinstance(value, Global) else None
    if dtype is None:
        raise UnreadableError("a storage of an unknown type")
    return dtype


def _storage(identity: object) -> tuple[str, Storage]:
    """Torch's persistent id ("storage", type, key, location, count, ...) -> key, empty storage."""
    match identity:
        case ("storage", kind, str() as key, _, int() as count, *rest) if count >= 0:
            if any(view is not None for view in rest):
                raise UnreadableError(
                    "a storage that is a view of another, as only old torch wrote"
                )
            return key, Storage(_storage_type(kind), count)
        case _:
            raise UnreadableError("its pickle refers to something that is not a torch storage")


def _torch_zip(data: bytes, purpose: Purpose) -> object:
    """data.pkl, and data/KEY for each storage, all under one folder, all stored uncompressed."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return _torch_archive(archive, len(data), purpose)
    except ZIP_ERRORS as error:
        raise UnreadableError(f"is a damaged zip file ({shown(str(error))})") from error


# What zipfile raises over garbled members: it was not made for hostile ones.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
)


def _torch_archive(archive: zipfile.ZipFile, size: int, purpose: Purpose) -> object:
    names = set(archive.namelist())
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UnreadableError(
            f"looks like a zip archive without weights; accepted: {purpose.accepted}"
        )
    folder = pickles[0].removesuffix("data.pkl")
    further = purpose.script if f"{folder}constants.pkl" in names else None
    if f"{folder}constants.pkl" in names and further is None:
        raise UnreadableError(f"is TorchScript, a program; accepted: {purpose.accepted}")
    # TorchScript's program is compressed, and is not read.
    code = f"{folder}code/"
    members = [member for member in archive.infolist() if not member.filename.startswith(code)]
    # torch compresses nothing else. So a member cannot hold more than the file, nor all together.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UnreadableError("is a compressed zip, which torch does not write: unpack it first")
    if sum(member.file_size for member in members) > size:
        raise UnreadableError("is a zip that claims to hold more than the file does")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise UnreadableError("was written on a big-endian machine, which is not read")
    storages: dict[str, Storage] = {}

    def persistent(identity: object) -> Storage:
        key, storage = _storage(identity)
        if key in storages:
            return storages[key]
        member = f"{folder}data/{key}"
        if member not in names:
            raise UnreadableError(f"the numbers of storage {shown(key)} are missing")
        _fill(storage, archive.read(member), key)
        storages[key] = storage
        return storage

    return unpickle(BytesIO(archive.read(pickles[0])), persistent, further=further)


def _fill(storage: Storage, data: bytes | memoryview, key: str) -> None:
    if len(data) < storage.count * storage.itemsize:
        raise UnreadableError(
            f"storage {shown(key)} says it has {storage.count} numbers, of which the file holds "
            f"{len(data) // storage.itemsize}"
        )
    storage.data = data


def _torch_legacy(data: bytes) -> object:
    """Five pickles (magic number, version, system, the object, storage keys), then the numbers.

    Each storage: its count as a 64-bit integer, then its numbers, in the order of the keys.
    """
    stream = BytesIO(data)
    storages: dict[str, Storage] = {}

    def persistent(identity: object) -> Storage:
        key, storage = _storage(identity)
        return storages.setdefault(key, storage)

    magic, version, system = unpickle(stream), unpickle(stream), unpickle(stream)
    if magic != _LEGACY_MAGIC or version != 1001 or not isinstance(system, dict):
        raise UnreadableError("is of a version of torch's format that is not known")
    if system.get("little_endian") is not True:
        raise UnreadableError("was written on a big-endian machine, which is not read")
    tree = unpickle(stream, persistent)
    keys = unpickle(stream)
    rest, position = memoryview(data)[stream.tell() :], 0
    for key in keys if isinstance(keys, list) else []:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise UnreadableError("lists a storage that nothing refers to")
        count = int.from_bytes(rest[position : position + 8], "little")
        if count != storage.count:
            raise UnreadableError(f"storage {shown(key)} is damaged or cut off")
        position += 8
        _fill(storage, rest[position : position + count * storage.itemsize], key)
        position += count * storage.itemsize
    return tree


def _nested_storage(data: bytes) -> Storage:
    """A storage inside a pickle, as torch.storage._load_from_bytes would read it."""
    storage = _torch_legacy(data)
    if not isinstance(storage, Storage):
        raise UnreadableError("a pickle inside a storage's bytes")
    return storage
