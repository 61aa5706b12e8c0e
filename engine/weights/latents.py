"""Latents on disk: one w, or one W+, from the files that projectors and encoders write."""

from __future__ import annotations

import math
import tokenize
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.weights import containers
from engine.weights.inert import Leaf, UnreadableError, shown

_EXPECTED = (
    "expected [w_dim], [1, w_dim], [num_ws, w_dim] or [1, num_ws, w_dim], such as [1, 18, 512]"
)
_MAX_WS = 64
_MAX_DIM = 8192
_MAX_BYTES = _MAX_WS * _MAX_DIM * 8 + 4096
# Projectors save more beside a latent: rosinality's the picture and its noise, 24 MB at 1024x1024.
_MAX_COMPANY = 256 << 20


def read_latent(path: Path) -> NDArray[np.float32]:
    """One latent, [1, w_dim] (a w for every layer) or [num_ws, w_dim], finite.

    `.npy`; `.npz` with the key `w`; otherwise torch.save's tensor, or the dictionary of
    rosinality's projector with one picture in it. Nothing in the file is executed.
    Whether w_dim and num_ws are those of the network is for the caller to say.
    Raises UserError that names the file, with the shape it has and those expected.
    """
    try:
        return _one_latent(_load(path))
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def _load(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    most = _MAX_BYTES if suffix == ".npy" else _MAX_COMPANY
    try:
        if (size := path.stat().st_size) > most:
            raise UnreadableError(f"is too large for a latent: {size} bytes, {most} at most")
        if suffix not in (".npy", ".npz"):
            return _from_tree(containers.read(path).tree)
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return _from_npy(data) if suffix == ".npy" else _from_npz(data)


def _from_npz(data: bytes) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if "w.npy" not in archive.namelist():
                raise UnreadableError("has no array named `w`, as NVIDIA's projector saves it")
            if archive.getinfo("w.npy").file_size > _MAX_BYTES:
                raise UnreadableError("its `w` is too large to be a latent")
            return _from_npy(archive.read("w.npy"))
    except containers.ZIP_ERRORS as error:
        raise UnreadableError(f"is a damaged .npz file ({shown(str(error))})") from error


def _from_npy(data: bytes) -> NDArray[Any]:
    """Header of literals, then raw numbers: numpy's own reader allocates what the header claims."""
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise UnreadableError(f"is .npy version {version}, which is not read")
        shape, fortran, dtype = _HEADERS[version](stream)
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError) as error:
        raise UnreadableError(f"is not a readable .npy array ({shown(str(error))})") from error
    raw = memoryview(data)[stream.tell() :]
    if dtype.hasobject or dtype.kind != "f":
        raise UnreadableError(f"holds {shown(str(dtype))} values, where real numbers are expected")
    if min(shape, default=1) < 1:
        raise _wrong_shape(shape)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise UnreadableError(f"says it has the shape {shown(shape)}, but holds {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _from_tree(tree: object) -> NDArray[Any]:
    if isinstance(tree, dict):
        pictures = [
            entry["latent"]
            for entry in tree.values()
            if isinstance(entry, dict) and "latent" in entry
        ]
        if len(pictures) > 1:
            names = ", ".join(shown(key) for key in list(tree)[:4])
            raise UnreadableError(f"holds {len(pictures)} latents ({names}): save the one you mean")
        tree = pictures[0] if pictures else tree
    if not isinstance(tree, Leaf):
        raise UnreadableError(f"holds {_kind(tree)}, not a latent; {_EXPECTED}")
    if 0 in tree.shape:
        raise _wrong_shape(tree.shape)
    return tree.array()


def _wrong_shape(shape: tuple[int, ...]) -> UnreadableError:
    return UnreadableError(f"has the shape [{', '.join(map(str, shape))}]; {_EXPECTED}")


def _kind(tree: object) -> str:
    if isinstance(tree, dict):
        return f"a dictionary of {', '.join(shown(key) for key in list(tree)[:4]) or 'nothing'}"
    return f"a {type(tree).__name__}"


def _one_latent(array: NDArray[Any]) -> NDArray[np.float32]:
    shape = array.shape
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    elif len(shape) == 1:
        shape = (1, *shape)
    if len(shape) != 2 or not 1 <= shape[0] <= _MAX_WS or not 1 <= shape[1] <= _MAX_DIM:
        raise _wrong_shape(array.shape)
    if array.dtype.kind != "f":
        raise UnreadableError(f"holds {array.dtype} numbers, where real numbers are expected")
    with np.errstate(over="ignore"):
        latent = np.array(array, dtype=np.float32).reshape(shape)
    if not np.isfinite(latent).all():
        raise UnreadableError("holds NaN or infinite numbers")
    return latent
