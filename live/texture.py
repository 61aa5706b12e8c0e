"""A frame becomes a GL texture: the one place through which pixels enter the GPU.

Row 0 of every picture, in memory and in its texture, is its top row. Nothing is turned here; the
compositor's last pass (shaders/picture.vert) turns pictures as it draws them.

All calls belong to the one render thread.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from live.cuda import CudaError, Gpu
from live.offscreen import is_software

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_RING = 3  # pixel buffers: one being filled, one in transfer, one in use by the frame on screen


def new_texture(ctx: moderngl.Context, size: tuple[int, int]) -> moderngl.Texture:
    """Return an RGBA8 texture that shaders fetch from, never sample.

    Raises moderngl.Error if the GPU has no memory for it; moderngl itself does not look.
    """
    texture = ctx.texture(size, 4)
    if ctx.error == "GL_OUT_OF_MEMORY":
        texture.release()
        raise moderngl.Error(f"no memory for a texture of {size[0]}x{size[1]}")
    texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
    return texture


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSlot:
    """Memory of the GPU that an engine fills: the densely packed pixels of a frame."""

    gpu: Gpu
    memory: int


class Picture:
    """One picture on the GPU, RGBA8 without mipmaps; its alpha is ignored, pictures are opaque.

    It may have another size with every upload. Software GL takes the pixels as they are, a GPU
    through a ring of pixel buffers, whose transfer overlaps the frame. Measured on llvmpipe, two
    cores, direct against ring: 128x128 0.005 and 0.009 ms, 1024x1024 0.6 and 1.4 ms.
    """

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        self._largest = int(ctx.info["GL_MAX_TEXTURE_SIZE"])
        self._texture: moderngl.Texture | None = None
        self._ring: list[moderngl.Buffer] = []
        self._next = cycle(range(_RING))
        self._registered: tuple[Gpu, Any] | None = None  # the texture, for copies on the GPU
        self._direct = is_software(str(ctx.info["GL_RENDERER"]))
        self.uploads = 0  # how often the pixels changed: lets others keep what they made of them

    @property
    def texture(self) -> moderngl.Texture | None:
        """The texture, None before the first upload; another object after a change of size."""
        return self._texture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; (0, 0) before the first upload."""
        return self._texture.size if self._texture is not None else (0, 0)

    def upload(
        self, pixels: ReadableBuffer | NDArray[np.uint8] | DeviceSlot, width: int, height: int
    ) -> None:
        """Take `pixels`, width * height * 4 contiguous bytes, R G B A, the top row first.

        They are copied before this returns; from a slot, before its GPU's `finish` does. Raises
        ValueError if their number, order or size is wrong, moderngl.Error if there is no memory,
        CudaError if the GPU does not copy; the picture then stays as it was.
        """
        if not (0 < width <= self._largest and 0 < height <= self._largest):
            raise ValueError(f"a picture of {width}x{height}: sides are 1 to {self._largest} here")
        if isinstance(pixels, DeviceSlot):
            self._copy(pixels, width, height)
        else:
            self._write(pixels, width, height)
        self.uploads += 1

    def _copy(self, slot: DeviceSlot, width: int, height: int) -> None:
        if self.size != (width, height):
            self._resize(width, height)
        assert self._texture is not None
        if self._registered is None:
            self._registered = (slot.gpu, slot.gpu.register(self._texture))
        slot.gpu.copy(slot.memory, self._registered[1], (width, height))

    def _write(self, pixels: ReadableBuffer | NDArray[np.uint8], width: int, height: int) -> None:
        view = pixels.data if isinstance(pixels, np.ndarray) else memoryview(pixels)
        if view.nbytes != width * height * 4 or not view.c_contiguous:
            kind = "contiguous" if view.c_contiguous else "scattered"
            raise ValueError(f"{view.nbytes} {kind} bytes for {width}x{height} RGBA pixels")
        if self._texture is None or self._texture.size != (width, height):
            self._resize(width, height)
        assert self._texture is not None
        if self._direct:
            self._texture.write(view)
        else:
            buffer = self._ring[next(self._next)]
            buffer.orphan()
            buffer.write(view)
            self._texture.write(buffer)

    def release(self) -> None:
        """Free the texture and the buffers; the picture is then as before its first upload."""
        for buffer in self._ring:
            buffer.release()
        self._ring = []
        if self._registered is not None:
            gpu, registered = self._registered
            self._registered = None
            with suppress(CudaError):  # it ends with the texture
                gpu.unregister(registered)
        if self._texture is not None:
            self._texture.release()
            self._texture = None

    def _resize(self, width: int, height: int) -> None:
        """Make the texture and the buffers, and only then free those that they replace."""
        texture = new_texture(self._ctx, (width, height))
        ring: list[moderngl.Buffer] = []
        for _ in range(0 if self._direct else _RING):
            ring.append(self._ctx.buffer(reserve=width * height * 4, dynamic=True))
            if self._ctx.error == "GL_OUT_OF_MEMORY":
                texture.release()
                for made in ring:
                    made.release()
                raise moderngl.Error(f"no memory for pixel buffers of {width}x{height}")
        self.release()
        self._texture, self._ring = texture, ring
