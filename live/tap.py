"""Reads the program picture from the GPU without making the frame wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import moderngl
import numpy as np
from numpy.typing import NDArray

from live.offscreen import is_software

_RING = 3  # pixel buffers on a GPU: a frame is read two frames after it was drawn


class Taken(NamedTuple):
    """A picture from the GPU: `pixels` uint8 [height, width, 4], top row first.

    The pixels are the tap's own and change with its next take(): copy what is to be kept.
    """

    pixels: NDArray[np.uint8]
    show_time_ns: int


class Tap:
    """Reads a framebuffer of `size` without making the frame wait for the GPU.

    On a GPU through a ring of three pixel buffers, each read two frames late. Software GL has
    drawn in this very memory, so it is read at once: 0.45 ms against 1.2 through the ring for
    1280x720, 1.6 against 3.3 for 1920x1080 (llvmpipe, two cores).
    """

    def __init__(self, ctx: moderngl.Context, size: tuple[int, int]) -> None:
        self.size = size
        self._direct = is_software(str(ctx.info["GL_RENDERER"]))
        self._rows = np.zeros((size[1], size[0], 4), np.uint8)  # as GL has them: bottom row first
        buffers = range(0 if self._direct else _RING)
        self._idle = deque(ctx.buffer(reserve=self._rows.nbytes) for _ in buffers)
        self._read: deque[tuple[moderngl.Buffer, int]] = deque()

    def take(self, source: moderngl.Framebuffer, show_time_ns: int) -> list[Taken]:
        """Begin to read the picture of `show_time_ns`; return the one that has arrived, if any.

        Raises ValueError if `source` has another size; a window's own framebuffer, whose number
        is 0, does not know it.
        """
        if source.glo != 0 and source.size != self.size:
            raise ValueError(f"a tap of {self.size} cannot read a picture of {source.size}")
        if self._direct:
            source.read_into(self._rows, self.size, components=4)
            return [Taken(self._rows[::-1], show_time_ns)]
        buffer = self._idle.popleft()
        source.read_into(buffer, self.size, components=4)
        self._read.append((buffer, show_time_ns))
        return [] if self._idle else [self._arrived()]

    def drain(self) -> Iterator[Taken]:
        """Wait for the pictures still on their way, oldest first; use each before the next."""
        while self._read:
            yield self._arrived()

    def release(self) -> None:
        """Free the pixel buffers; what was on its way is lost."""
        for buffer in [*self._idle, *(buffer for buffer, _ in self._read)]:
            buffer.release()
        self._idle.clear()
        self._read.clear()

    def _arrived(self) -> Taken:
        buffer, show_time_ns = self._read.popleft()
        buffer.read_into(self._rows)
        self._idle.append(buffer)
        return Taken(self._rows[::-1], show_time_ns)
