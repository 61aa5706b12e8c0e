"""The link between the stage and an engine: a shared block of frames, and small messages.

Both processes import this module; it knows numpy and the standard library only.

The **block** is one anonymous mapping: the W+ that is asked for, then a ring of frame slots, each a
header, the W+ that made the frame, and its pixels. On POSIX it is an unlinked file passed as a
descriptor, on Windows a tagged mapping, so nothing in it has a name that outlives its users. Pages
that are never written are never allocated: the block is laid out for the largest frame and costs
what the network in use needs.

The **messages** travel over the engine's standard input and output. The stage names the slot that a
request may fill and sends the next request only when the last was answered, so every byte of the
block has exactly one writer at any time and the pipe's system calls are the memory barrier.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import sys
import tempfile
import uuid
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

LAYOUT_VERSION = 2
SLOTS = 3  # one on screen, one waiting, one being written
MAX_RESOLUTION = 2048
MAX_WS_VALUES = 32 * 1024  # num_ws * w_dim; 1024x1024 FFHQ has 18 * 512
PAGE = 4096

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_HEADER = struct.Struct("<IIQIIIIqqq?")
_FRAMING = struct.Struct("<II")


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


_WS_BYTES = _pages(MAX_WS_VALUES * 4)
_PIXEL_BYTES = _pages(MAX_RESOLUTION * MAX_RESOLUTION * 4)
_SLOT_BYTES = PAGE + _WS_BYTES + _PIXEL_BYTES
BLOCK_BYTES = _WS_BYTES + SLOTS * _SLOT_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFacts:
    """What the stage knows of a network once an engine has loaded it.

    `w_avg` is float32 [w_dim]; `sha256` is that of the file; `device` names the hardware in words.
    """

    name: str
    family: str
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    num_classes: int
    sha256: str
    device: str
    w_avg: Floats
    uuid: str = ""  # of the NVIDIA GPU that it runs on, 32 hexadecimal digits; empty on others


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame says of itself. Times are `time.perf_counter_ns()`, one clock for both sides."""

    generation: int  # which engine of this stage made it
    serial: int  # of the request
    width: int
    height: int
    num_ws: int
    w_dim: int
    show_time: int  # ns; the moment of the show that was asked for
    started: int
    finished: int
    on_gpu: bool = False  # the pixels are in the slot of the GPU's memory with the same number


class SharedBlock:
    """The mapping itself; the stage makes it with `create`, the engine joins it with `attach`."""

    def __init__(self, memory: mmap.mmap, handle: str, descriptor: int | None = None) -> None:
        self._memory = memory
        self.handle = handle  # what the other side passes to `attach`
        self.descriptor = descriptor  # to hand to the child process; None on Windows

    @classmethod
    def create(cls) -> SharedBlock:
        """A new block without a name, zeroed and not yet backed by memory."""
        if sys.platform == "win32":
            tag = f"anthesis-{uuid.uuid4().hex}"
            return cls(mmap.mmap(-1, BLOCK_BYTES, tagname=tag), tag)
        if sys.platform == "linux":
            descriptor = os.memfd_create("anthesis-frames")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, BLOCK_BYTES)
        return cls(mmap.mmap(descriptor, BLOCK_BYTES), str(descriptor), descriptor)

    @classmethod
    def attach(cls, handle: str) -> SharedBlock:
        """The block that another process created, by the handle it passed on."""
        if sys.platform == "win32":
            return cls(mmap.mmap(-1, BLOCK_BYTES, tagname=handle), handle)
        descriptor = int(handle)
        memory = mmap.mmap(descriptor, BLOCK_BYTES)
        os.close(descriptor)
        return cls(memory, handle)

    def request_ws(self, num_ws: int, w_dim: int) -> Floats:
        """View of the W+ that is asked for, float32 [num_ws, w_dim]."""
        return self._floats(0, num_ws, w_dim)

    def write_header(self, slot: int, header: FrameHeader) -> None:
        """The engine's last act for a frame; the message that follows publishes it."""
        _HEADER.pack_into(
            self._memory,
            self._offset(slot),
            LAYOUT_VERSION,
            header.generation,
            header.serial,
            header.width,
            header.height,
            header.num_ws,
            header.w_dim,
            header.show_time,
            header.started,
            header.finished,
            header.on_gpu,
        )

    def read_header(self, slot: int) -> FrameHeader:
        """What stands in a slot. Raises ValueError for a block of another layout."""
        version, *fields = _HEADER.unpack_from(self._memory, self._offset(slot))
        if version != LAYOUT_VERSION:
            raise ValueError(f"frame of layout {version}, this stage reads {LAYOUT_VERSION}")
        return FrameHeader(*fields)

    def frame_ws(self, slot: int, num_ws: int, w_dim: int) -> Floats:
        """View of the W+ that made the frame in a slot, float32 [num_ws, w_dim]."""
        return self._floats(self._offset(slot) + PAGE, num_ws, w_dim)

    def pixels(self, slot: int, width: int, height: int) -> Pixels:
        """View of a slot's picture, uint8 [height, width, 4], RGBA, top row first."""
        offset = self._offset(slot) + PAGE + _WS_BYTES
        count = width * height * 4
        flat = np.frombuffer(self._memory, dtype=np.uint8, count=count, offset=offset)
        return flat.reshape(height, width, 4)

    def close(self) -> None:
        """Let the mapping go. Views still held keep it alive until they are dropped."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        with contextlib.suppress(BufferError):
            self._memory.close()

    @staticmethod
    def _offset(slot: int) -> int:
        return _WS_BYTES + slot * _SLOT_BYTES

    def _floats(self, offset: int, num_ws: int, w_dim: int) -> Floats:
        count = num_ws * w_dim
        flat = np.frombuffer(self._memory, dtype=np.float32, count=count, offset=offset)
        return flat.reshape(num_ws, w_dim)


def pattern(slot: int, side: int) -> Pixels:
    """What a slot of the GPU's memory is filled with for trial: uint8 [side, side, 4].

    Noise that is repeated after a prime number of bytes: quick to make, and no two rows are alike.
    """
    return np.resize(_noise(slot), (side, side, 4))


def is_pattern(pixels: bytes, slot: int) -> bool:
    """Whether pixels are the pattern of a slot.

    For 1024x1024 it takes a millisecond, where making the pattern to compare with takes six: the
    stage asks while frames are due.
    """
    found, noise = np.frombuffer(pixels, np.uint8), _noise(slot)
    begins = np.array_equal(found[: noise.size], noise[: found.size])
    return begins and np.array_equal(found[noise.size :], found[: -noise.size])


def _noise(slot: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(np.random.RandomState(slot).bytes(4099), np.uint8)


Message = dict[str, Any]
"""JSON over the pipe: `{"do": ...}` asks an engine, `{"is": ...}` is its answer."""


def send(stream: BinaryIO, message: Message, *arrays: npt.NDArray[Any]) -> None:
    """Write one message, with any arrays behind it, and flush. Raises OSError on a closed pipe."""
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    text = json.dumps({**message, "arrays": described}).encode()
    payload = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    stream.write(_FRAMING.pack(len(text), len(payload)) + text + payload)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[Message, list[npt.NDArray[Any]]] | None:
    """The next message and its arrays; None once the other side has closed or broken off."""
    framing = stream.read(_FRAMING.size)
    if len(framing) < _FRAMING.size:
        return None
    text_size, payload_size = _FRAMING.unpack(framing)
    body = stream.read(text_size + payload_size)
    if len(body) < text_size + payload_size:
        return None
    message: Message = json.loads(body[:text_size])
    arrays = []
    offset = text_size
    for dtype, shape in message.pop("arrays"):
        array = np.frombuffer(body, dtype=dtype, count=int(np.prod(shape)), offset=offset)
        arrays.append(array.reshape(shape))
        offset += array.nbytes
    return message, arrays
