"""A GPU whose memory is the host's, for rehearsing what `live.cuda` does: it writes real textures.

An engine opens its memory by the handle, the name under which Linux shows the descriptor.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterable

import moderngl

from live.cuda import HANDLE_BYTES, CudaError


class FakeCuda:
    """See `live.cuda.Gpu`.

    broken: the methods that fail, and may change in mid-show; garbled: copies arrive inverted;
    copy_s: what a copy takes.
    """

    def __init__(
        self, broken: Iterable[str] = (), *, garbled: bool = False, copy_s: float = 0.0
    ) -> None:
        self.broken, self.garbled, self.copy_s = set(broken), garbled, copy_s
        self.registered: set[moderngl.Texture] = set()
        self.exported = 0
        self._memory: dict[int, mmap.mmap] = {}  # by its descriptor

    def suits(self, ctx: moderngl.Context) -> None:
        """See `Gpu.suits`."""
        self._try("suits")

    def prepare(self) -> None:
        """See `Gpu.prepare`."""
        self._try("prepare")

    def start(self, uuid: str) -> None:
        """See `Gpu.start`."""
        self._try("start")

    def allocate(self, nbytes: int) -> int:
        """See `Gpu.allocate`."""
        self._try("allocate")
        descriptor = os.memfd_create("anthesis-fake-gpu")
        os.ftruncate(descriptor, nbytes)
        self._memory[descriptor] = mmap.mmap(descriptor, nbytes)
        return descriptor

    def export(self, memory: int) -> bytes:
        """See `Gpu.export`."""
        self._try("export")
        self.exported += 1
        return f"/proc/{os.getpid()}/fd/{memory}".encode().ljust(HANDLE_BYTES, b"\0")

    def attach(self) -> None:
        """See `Gpu.attach`."""
        self._try("attach")

    def register(self, texture: moderngl.Texture) -> moderngl.Texture:
        """See `Gpu.register`."""
        self._try("register")
        self.registered.add(texture)
        return texture

    def unregister(self, registered: moderngl.Texture) -> None:
        """See `Gpu.unregister`."""
        self._try("unregister")
        self.registered.remove(registered)

    def copy(self, memory: int, registered: moderngl.Texture, size: tuple[int, int]) -> None:
        """See `Gpu.copy`."""
        self._try("copy")
        assert registered in self.registered
        time.sleep(self.copy_s)
        pixels = self._memory[memory][: size[0] * size[1] * 4]
        registered.write(bytes(255 - level for level in pixels) if self.garbled else pixels)

    def finish(self) -> None:
        """See `Gpu.finish`."""
        self._try("finish")

    def close(self) -> None:
        """Give the memory back."""
        for descriptor, memory in self._memory.items():
            memory.close()
            os.close(descriptor)
        self._memory.clear()

    def _try(self, what: str) -> None:
        if what in self.broken:
            raise CudaError(f"{what}: broken")
