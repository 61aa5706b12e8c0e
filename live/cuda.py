"""NVIDIA's GPU as the stage shares its memory: with engines by CUDA IPC, with OpenGL's textures.

The only home of cuda.bindings in `live`. Written from NVIDIA's documentation (CUDA Runtime API:
OpenGL interoperability, device memory, interprocess communication). On an H100, headless, a frame
of 1024x1024 takes 0.4 ms from the engine to its texture by this, and 3.1 through the host's memory;
with a window's OpenGL, and with several GPUs, it has not run. `live.fake_cuda` needs no GPU.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Protocol

import moderngl

from live.offscreen import is_software

if TYPE_CHECKING:
    from types import ModuleType

GL_TEXTURE_2D = 0x0DE1
HANDLE_BYTES = 64  # CUDA_IPC_HANDLE_SIZE
PAGE = 2 << 20  # bytes; of less, CUDA shares all that lies in the same page, and gives one handle
MOST_DEVICES = 16


class CudaError(Exception):
    """Why the GPU's memory cannot be shared; one line."""


class Gpu(Protocol):
    """What the stage asks of it, in the order of its use. Everything raises CudaError."""

    def suits(self, ctx: moderngl.Context) -> None:
        """See that it could be of use at all, without touching it."""

    def prepare(self) -> None:
        """Do what can be done before it is known which GPU it will be. On any thread: it takes
        its time, and whatever else asks something of the driver meanwhile may have to wait."""

    def start(self, uuid: str) -> None:
        """Open the GPU of that name. On any thread, for the same reason."""

    def allocate(self, nbytes: int) -> int:
        """Some of its memory, which stays until the process ends. On any thread."""

    def export(self, memory: int) -> bytes:
        """The handle, 64 bytes, by which another process opens that memory. On any thread."""

    def attach(self) -> None:
        """Join it with the current OpenGL context. This and the rest: on the render thread."""

    def register(self, texture: moderngl.Texture) -> Any:
        """Let it write to an RGBA8 texture; what is returned stands for the texture."""

    def unregister(self, registered: Any) -> None:
        """The texture will be released."""

    def copy(self, memory: int, registered: Any, size: tuple[int, int]) -> None:
        """Begin to copy densely packed pixels to a texture of that width and height."""

    def finish(self) -> None:
        """Wait until everything is copied: the memory may then be written to again."""


class Cuda:
    """The real one."""

    def __init__(self) -> None:
        self._device: int | None = None
        self._stream: Any = None

    def suits(self, ctx: moderngl.Context) -> None:
        """See `Gpu.suits`."""
        if sys.platform != "linux":
            raise CudaError("CUDA shares memory between processes on Linux only")
        renderer = str(ctx.info["GL_RENDERER"])
        if is_software(renderer):
            raise CudaError(f"OpenGL runs on the CPU ({renderer})")

    def prepare(self) -> None:
        """See `Gpu.prepare`. Where there is one GPU, which it will be is known."""
        if _done("cudaGetDeviceCount", _runtime().cudaGetDeviceCount()) == 1:
            self._open(0)

    def start(self, uuid: str) -> None:
        """See `Gpu.start`."""
        runtime = _runtime()
        for device in range(_done("cudaGetDeviceCount", runtime.cudaGetDeviceCount())):
            properties = _done("cudaGetDeviceProperties", runtime.cudaGetDeviceProperties(device))
            if bytes(properties.uuid.bytes).hex() == uuid:
                self._open(device)
                self._device = device
                return
        raise CudaError("the stage does not see the engine's GPU (CUDA_VISIBLE_DEVICES?)")

    def _open(self, device: int) -> None:
        """Make the device's context, which takes longest; a second time it is there."""
        _done("cudaSetDevice", _runtime().cudaSetDevice(device))
        _done("cudaFree", _runtime().cudaFree(0))

    def allocate(self, nbytes: int) -> int:
        """See `Gpu.allocate`."""
        whole = -(-nbytes // PAGE) * PAGE
        return int(_done("cudaMalloc", _runtime().cudaMalloc(whole)))

    def export(self, memory: int) -> bytes:
        """See `Gpu.export`."""
        handle = _done("cudaIpcGetMemHandle", _runtime().cudaIpcGetMemHandle(memory))
        return ctypes.string_at(handle.getPtr(), HANDLE_BYTES)

    def attach(self) -> None:
        """See `Gpu.attach`."""
        runtime = _runtime()
        every = runtime.cudaGLDeviceList.cudaGLDeviceListAll
        count, devices = _done("cudaGLGetDevices", runtime.cudaGLGetDevices(MOST_DEVICES, every))
        if self._device not in [int(device) for device in devices[:count]]:
            raise CudaError("OpenGL runs on another GPU than the engine")
        _done("cudaSetDevice", runtime.cudaSetDevice(self._device))
        # Not the legacy stream, which waits for all others.
        flags = runtime.cudaStreamNonBlocking
        self._stream = _done("cudaStreamCreate", runtime.cudaStreamCreateWithFlags(flags))

    def register(self, texture: moderngl.Texture) -> Any:
        """See `Gpu.register`."""
        runtime = _runtime()
        flags = runtime.cudaGraphicsRegisterFlags.cudaGraphicsRegisterFlagsWriteDiscard
        registered = runtime.cudaGraphicsGLRegisterImage(texture.glo, GL_TEXTURE_2D, flags)
        return _done("cudaGraphicsGLRegisterImage", registered)

    def unregister(self, registered: Any) -> None:
        """See `Gpu.unregister`."""
        runtime = _runtime()
        _done("cudaGraphicsUnregisterResource", runtime.cudaGraphicsUnregisterResource(registered))

    def copy(self, memory: int, registered: Any, size: tuple[int, int]) -> None:
        """See `Gpu.copy`."""
        runtime, row = _runtime(), size[0] * 4
        mapped = runtime.cudaGraphicsMapResources(1, registered, self._stream)
        _done("cudaGraphicsMapResources", mapped)
        try:
            array = _done(
                "cudaGraphicsSubResourceGetMappedArray",
                runtime.cudaGraphicsSubResourceGetMappedArray(registered, 0, 0),
            )
            within = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
            copied = runtime.cudaMemcpy2DToArrayAsync(
                array, 0, 0, memory, row, row, size[1], within, self._stream
            )
            _done("cudaMemcpy2DToArrayAsync", copied)
        finally:
            # OpenGL waits for the stream by itself from here on.
            unmapped = runtime.cudaGraphicsUnmapResources(1, registered, self._stream)
        _done("cudaGraphicsUnmapResources", unmapped)

    def finish(self) -> None:
        """See `Gpu.finish`."""
        _done("cudaStreamSynchronize", _runtime().cudaStreamSynchronize(self._stream))


def _runtime() -> ModuleType:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise CudaError(f"cuda-bindings is not here: pip install cuda-bindings ({error})") from None
    found: ModuleType = runtime
    return found


def _done(call: str, answer: tuple[Any, ...]) -> Any:
    """What a call returned besides its error. Raises CudaError; the next call knows nothing of it.

    Without a value None, with several a tuple of them.
    """
    error, *values = answer
    if int(error) != 0:
        runtime = _runtime()
        runtime.cudaGetLastError()
        text = runtime.cudaGetErrorString(error)[1]
        raise CudaError(f"{call}: {text.decode() if isinstance(text, bytes) else text}")
    return values[0] if len(values) == 1 else tuple(values) or None
