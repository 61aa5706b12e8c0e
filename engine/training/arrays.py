"""Pictures in one array on disk, [N, R, R, 3] uint8 in a .npy: written by a stream, then mapped.

Mapped, a set of pictures may be larger than the memory; mapped while it is written, a full disk
would end the process, where a stream raises.
"""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError


def make_room(folder: Path, count: int, resolution: int, what: str) -> None:
    """The folder, made if need be, on a disk that holds so many pictures. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from error
    if (needed := count * 3 * resolution**2) > free:  # known now rather than after an hour
        raise UserError(
            f"{folder}: {count} {what} of {resolution}x{resolution} take {needed / 1e6:.0f} MB, "
            f"and {free / 1e6:.0f} MB are free: make room, or train with a smaller --resolution"
        )


def mapped(path: Path, resolution: int) -> NDArray[np.uint8] | None:
    """An array that was written before, if it is there and whole."""
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or not len(pixels):
        return None
    return pixels if pixels.shape[1:] == (resolution, resolution, 3) else None


def write_header(stream: IO[bytes], count: int, resolution: int) -> None:
    """Of a .npy; always as long, since numpy leaves room for a first axis that grows."""
    header = BytesIO()
    shape = (count, resolution, resolution, 3)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    stream.write(header.getvalue())
