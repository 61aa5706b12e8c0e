"""What the doctor finds of the things that make frames fast: GPU, driver, Triton, a compiler.

torch is looked at without importing it, which takes seconds.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from engine.drivers import oldest_driver
from live.findings import CrashedError, Finding, tried


def check_torch() -> Finding:
    """torch, by its installed metadata."""
    version = _version("torch")
    if version is None:
        return Finding("torch", "fail", "not installed", "pip install torch; or use ./run")
    return Finding("torch", "ok", version)


def check_gpu() -> Finding:
    """NVIDIA's cards and driver, by NVML, and whether this torch can use them."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if sys.platform == "darwin":
            return Finding("GPU", "ok", "Apple's, through Metal (--device mps)")
        problem = f"no NVIDIA driver answers ({error}); networks run on the CPU, slowly"
        return Finding("GPU", "warn", problem, "with an NVIDIA card: install its driver")
    try:
        cards, driver = _cards(pynvml), _text(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        todo = "reboot if the driver was just updated; see nvidia-smi"
        return Finding("GPU", "warn", f"the NVIDIA driver answers, but: {error}", todo)
    finally:
        pynvml.nvmlShutdown()
    what = f"{', '.join(cards) or 'no card'}, driver {driver}"
    cuda = torch_cuda()
    if cuda is None and _version("torch") is not None:
        todo = "install torch for CUDA: https://pytorch.org/get-started/locally"
        return Finding("GPU", "warn", f"{what}; this torch is for the CPU only", todo)
    needed = needed_driver(cuda, driver)
    if needed:
        todo = f"install driver {needed} or newer; or a torch for an older CUDA"
        return Finding("GPU", "warn", f"{what}: too old for this torch, CUDA {cuda}", todo)
    return Finding("GPU", "ok", what)


def check_triton() -> Finding:
    """Whether Triton's kernels can be made: it is imported, in a process of its own."""
    if not has_card():
        return Finding("Triton", "ok", "not needed: no NVIDIA GPU here")
    slower = "frames take PyTorch's own kernels, slower"
    todo = "pip install triton" + ("-windows" if sys.platform == "win32" else "")
    if importlib.util.find_spec("triton") is None:
        return Finding("Triton", "warn", f"not installed: {slower}", todo)
    try:
        found = tried("import triton\nanswer = {'version': triton.__version__}\n")
    except CrashedError as error:
        todo += " --force-reinstall, of the version that torch asks for"
        return Finding("Triton", "warn", f"cannot be imported ({error}): {slower}", todo)
    return Finding("Triton", "ok", str(found["version"]))


def check_compiler() -> Finding:
    """What makes a frame's last bit of speed: C for Triton's launcher, C++ for a CPU's own form."""
    return _compiler_for_triton() if has_card() else _compiler_for_cpu()


def _compiler_for_triton() -> Finding:
    if sys.platform == "win32":
        return Finding("Compiler", "ok", "triton-windows brings its own")
    slower = "frames take PyTorch's own kernels, slower"
    found = _first(os.environ.get("CC"), "gcc", "clang", "cc")
    if found is None:
        what = f"no C compiler (gcc or clang), which Triton needs: {slower}"
        return Finding("Compiler", "warn", what, "Debian, Ubuntu: apt-get install gcc")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        what = f"{found}, but no {header}, which Triton needs: {slower}"
        return Finding("Compiler", "warn", what, "Debian, Ubuntu: apt-get install python3-dev")
    return Finding("Compiler", "ok", f"{found}, for Triton")


def _compiler_for_cpu() -> Finding:
    found = _first(os.environ.get("CXX"), "g++", "clang++", "cl")
    if found is None:
        what = "no C++ compiler (g++ or clang++): frames stay uncompiled, slower"
        todo = {
            "darwin": "xcode-select --install",
            "win32": "install Visual Studio's build tools, for C++",
        }.get(sys.platform, "Debian, Ubuntu: apt-get install g++")
        return Finding("Compiler", "warn", what, todo)
    return Finding("Compiler", "ok", f"{found}, for the compiled form of a network")


def check_cuda_bindings() -> Finding:
    """NVIDIA's Python bindings, through which frames stay on the GPU."""
    if not has_card():
        return Finding("cuda-bindings", "ok", "not needed: no NVIDIA GPU here")
    version = _version("cuda-bindings")
    if version is None:
        what = "not installed: frames go through the host's memory, a little slower"
        major = (torch_cuda() or "").partition(".")[0]
        todo = f"pip install 'cuda-bindings=={major}.*'" if major else "pip install cuda-bindings"
        return Finding("cuda-bindings", "warn", what, todo)
    return Finding("cuda-bindings", "ok", version)


def needed_driver(cuda: str | None, driver: str) -> str | None:
    """The oldest driver for that version of CUDA, if `driver` is older; None if it will do."""
    needed = oldest_driver(cuda)
    return needed if needed and _numbers(driver) < _numbers(needed) else None


def torch_cuda() -> str | None:
    """The version of CUDA that the installed torch is for, such as "12.8"; None: none.

    It stands in torch/version.py: the metadata of PyPI's own builds do not tell.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return None if found is None else found[1]


def has_card() -> bool:
    """Whether NVIDIA's driver knows of a card."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    try:
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False
    finally:
        pynvml.nvmlShutdown()


def _cards(pynvml: Any) -> list[str]:
    cards = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = _text(pynvml.nvmlDeviceGetName(handle))
        cards.append(f"{name} ({memory.free / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free)")
    return cards


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name  # bytes before nvidia-ml-py 12


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)) or (0,)


def _first(*programs: str | None) -> str | None:
    """The first of those programs that is there, by its name."""
    return next((program for program in programs if program and shutil.which(program)), None)
