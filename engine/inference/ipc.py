"""The host's memory and other processes' memory of the GPU, as an engine on CUDA uses them.

Written from NVIDIA's documentation (CUDA Runtime API: memory management); run on an H100.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HANDLE_BYTES = 64  # CUDA_IPC_HANDLE_SIZE


def register(memory: NDArray[np.uint8]) -> str:
    """Let the GPU write to that memory of the host by itself; if it cannot, why.

    It stays so until the process ends, and must belong to something that does not end before.
    """
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    error = runtime.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)
    if int(error) == 0:
        return ""
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda")  # the next launch reports the error again, and clears it
    return f"cudaHostRegister: {runtime.cudaGetErrorString(error)}"


def opened(handle: bytes, nbytes: int, device: torch.device) -> Tensor:
    """Memory of this GPU that another process exported by cudaIpcGetMemHandle: uint8 [nbytes].

    Raises ImportError without cuda-bindings, RuntimeError if CUDA refuses.
    """
    from cuda.bindings import runtime

    opening = runtime.cudaIpcMemHandle_t()
    ctypes.memmove(opening.getPtr(), handle, HANDLE_BYTES)
    error, pointer = runtime.cudaIpcOpenMemHandle(opening, runtime.cudaIpcMemLazyEnablePeerAccess)
    if error != runtime.cudaError_t.cudaSuccess:
        runtime.cudaGetLastError()  # it would be told again otherwise
        raise RuntimeError(f"cudaIpcOpenMemHandle: {error.name}")
    memory = torch.as_tensor(_Memory(int(pointer), nbytes), device=device)
    if memory.data_ptr() != int(pointer):
        raise RuntimeError("PyTorch took a copy of the shared memory")
    return memory


class _Memory:
    """What is known of memory, as PyTorch takes it over without a copy."""

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (nbytes,),
            "data": (pointer, False),
        }
