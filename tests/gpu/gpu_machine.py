"""What machine this is: versions, clocks, and what the doctor says of it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator

import torch
from gpu_lines import FAILED, OK, Line, Told

CLOCKS = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu"


def versions(told: Told) -> Iterator[Line]:
    """Of everything that decides how fast it is."""
    name, properties = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0)
    yield _fact(
        "GPU",
        f"{name}, {properties.total_memory / 2**30:.0f} GiB, "
        f"sm_{properties.major}{properties.minor}",
    )
    yield _fact("Python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    cudnn = torch.backends.cudnn.version()
    yield _fact("torch", f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}")
    for package in ("triton", "cuda-bindings", "moderngl", "numpy", "safetensors"):
        yield _fact(package, _version(package))
    yield _fact("nvidia-smi", smi())
    _work()
    yield _fact("nvidia-smi, after work", smi())


def doctor(told: Told) -> Iterator[Line]:
    """The doctor's findings of the GPU, on a machine that has one, and of what draws there."""
    from live import gpu_checks
    from live.doctor import check_gl

    for check in (
        check_gl,
        gpu_checks.check_gpu,
        gpu_checks.check_triton,
        gpu_checks.check_compiler,
        gpu_checks.check_cuda_bindings,
    ):
        finding = check()
        what = finding.what + (f" -> {finding.todo}" if finding.todo else "")
        verdict = f"{FAILED}: {finding.state}" if finding.state == "fail" else finding.state
        yield Line("doctor", finding.name, what, verdict=verdict.replace("ok", OK))


def smi() -> str:
    """nvidia-smi's name and clocks; why not, where it does not answer."""
    command = ["nvidia-smi", f"--query-gpu={CLOCKS}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no answer ({error})"
    return (done.stdout.strip() or done.stderr.strip() or "no answer").splitlines()[0]


def _fact(what: str, found: str) -> Line:
    return Line("versions", what, found)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _work() -> None:
    """Half a second of products, so that the clocks are those of work."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    for _ in range(200):
        a @ a
    torch.cuda.synchronize()
