"""What this machine has for a show, what is wrong with it, and what to do.

What can crash a process (drivers, codecs) is tried in processes of their own.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import UserError
from live.endpoint import open_socket

TRY_S = 30
DEFAULT_LISTEN = "127.0.0.1:9000"
LITTLE_SPACE = 4 << 30  # bytes; about half an hour of 1080p at 20 Mbit/s

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `warn`: a show is possible, with less; `fail`: something will not do."""

    name: str
    state: State
    what: str
    todo: str = ""


class _CrashedError(Exception):
    """A process that tried something did not come back with an answer; how it ended."""


def run_checks() -> list[Finding]:
    """Look at everything; takes about a second. Never raises: a check that fails is a finding."""
    checks: dict[str, Callable[[], Finding]] = {
        "Python": check_python,
        "torch": check_torch,
        "GPU": check_gpu,
        "OpenGL": check_gl,
        "Codecs": check_codecs,
        "Display": check_display,
        "Monitors": check_monitors,
        "OSC": check_osc_port,
        "Disk": check_disk,
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(_finding, checks.keys(), checks.values()))


def _finding(name: str, check: Callable[[], Finding]) -> Finding:
    """What a check finds; that it failed itself is a finding as well, and the others count on."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - on the machine with the odd driver it must answer
        why = " ".join(f"{type(error).__name__}: {error}".split())
        todo = "this is a fault of Anthesis, not yours; please report it"
        return Finding(name, "fail", f"the check itself failed ({why})", todo)


def report(findings: list[Finding]) -> str:
    """The findings as a table, each to do under its finding."""
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:4}  {finding.name:{wide}}  {finding.what}")
        if finding.todo:
            lines.append(f"{'':4}  {'':{wide}}  -> {finding.todo}")
    return "\n".join(lines)


def check_python() -> Finding:
    """The interpreter."""
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok", version)


def check_torch() -> Finding:
    """torch, by its installed metadata: importing it takes seconds."""
    version = _torch_version()
    if version is None:
        return Finding("torch", "fail", "not installed", "pip install torch; or use ./run")
    return Finding("torch", "ok", version)


def _torch_version() -> str | None:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def check_gpu() -> Finding:
    """NVIDIA's driver, by NVML."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if sys.platform == "darwin":
            return Finding("GPU", "ok", "Apple's, through Metal (--device mps)")
        problem = f"no NVIDIA driver answers ({error}); networks run on the CPU, slowly"
        return Finding("GPU", "warn", problem, "with an NVIDIA card: install its driver")
    try:
        cards = _cards(pynvml)
    except pynvml.NVMLError as error:
        todo = "reboot if the driver was just updated; see nvidia-smi"
        return Finding("GPU", "warn", f"the NVIDIA driver answers, but: {error}", todo)
    finally:
        pynvml.nvmlShutdown()
    if "+cpu" in (_torch_version() or ""):
        todo = "install torch for CUDA: https://pytorch.org/get-started/locally"
        return Finding("GPU", "warn", f"{cards}; this torch is for the CPU only", todo)
    return Finding("GPU", "ok", cards)


def _cards(pynvml: Any) -> str:
    cards = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = _text(pynvml.nvmlDeviceGetName(handle))
        cards.append(f"{name} ({memory.free / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free)")
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    return f"{', '.join(cards) or 'no card'}, driver {driver}"


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name  # bytes before nvidia-ml-py 12


def check_gl() -> Finding:
    """OpenGL as the headless show uses it."""
    script = (
        "from live.offscreen import Offscreen\n"
        "output = Offscreen((16, 16))\n"
        "info = output.ctx.info\n"
        "answer = {'software': output.software, 'version': info['GL_VERSION'],\n"
        "          'renderer': info['GL_RENDERER'], 'vendor': info['GL_VENDOR']}\n"
    )
    packages = "Debian, Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri"
    try:
        found = _try(script)
    except _CrashedError as error:
        return Finding("OpenGL", "fail", f"the driver fails: {error}", f"reinstall it ({packages})")
    if "refused" in found:
        what, _, todo = found["refused"].partition("; ")
        return Finding("OpenGL", "fail", what, todo)
    what = f"{found['version']}, {found['renderer']}, {found['vendor']}"
    if found["software"]:
        todo = "for full rate at full size: a graphics card and its driver"
        return Finding("OpenGL", "warn", f"on the CPU: {what}", todo)
    return Finding("OpenGL", "ok", what)


def check_codecs() -> Finding:
    """Whether encoders open: a picture is given to each."""
    script = (
        "from fractions import Fraction\n"
        "import av\n"
        "answer = {}\n"
        "for name in ('libx264', 'h264_nvenc'):\n"
        "    try:\n"
        "        codec = av.CodecContext.create(name, 'w')\n"
        "        codec.width, codec.height, codec.pix_fmt = 256, 256, 'yuv420p'\n"
        "        codec.framerate, codec.time_base = 30, Fraction(1, 30)\n"
        "        codec.encode(av.VideoFrame(256, 256, 'yuv420p'))\n"
        "        answer[name] = ''\n"
        "    except Exception as error:\n"
        "        answer[name] = f'{type(error).__name__}: {error}'\n"
    )
    try:
        found = _try(script)
    except _CrashedError as error:
        return Finding("Codecs", "fail", f"PyAV fails: {error}", "pip install --force-reinstall av")
    if "refused" in found or found["libx264"]:
        why = found.get("refused") or found["libx264"]
        todo = "pip install --force-reinstall av"
        return Finding("Codecs", "fail", f"libx264 does not open, no recording: {why}", todo)
    if found["h264_nvenc"]:
        return Finding("Codecs", "ok", "libx264 (CPU); h264_nvenc does not open here")
    return Finding("Codecs", "ok", "libx264 (CPU), h264_nvenc (GPU)")


def check_display() -> Finding:
    """Which kind of session this is."""
    if sys.platform != "linux":
        return Finding("Display", "ok", platform.system())
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if display:
        through = " (XWayland)" if wayland else ""
        return Finding("Display", "ok", f"X11{through}, DISPLAY={display}")
    if wayland:
        todo = "prefer an X11 session, or install XWayland: hidden Wayland windows stop the show"
        return Finding("Display", "warn", f"Wayland only, WAYLAND_DISPLAY={wayland}", todo)
    todo = "start from a desktop session; over ssh set DISPLAY=:0"
    return Finding("Display", "warn", "none: shows are headless here", todo)


def check_monitors() -> Finding:
    """The monitors, as `--monitor` numbers them."""
    script = (
        "from live.monitors import describe\n"
        "from live.window import list_monitors\n"
        "found = list_monitors()\n"
        "answer = {'count': len(found), 'list': describe(found)}\n"
    )
    try:
        found = _try(script)
    except _CrashedError as error:
        return Finding("Monitors", "fail", f"GLFW fails: {error}", "reinstall the package glfw")
    if "refused" in found:
        what, _, todo = found["refused"].partition("; ")
        return Finding("Monitors", "warn", what, todo)
    if not found["count"]:
        return Finding("Monitors", "warn", "none is connected", "connect one, and switch it on")
    return Finding("Monitors", "ok", found["list"])


def check_osc_port() -> Finding:
    """Whether the port that desks send to by default is free."""
    try:
        open_socket(DEFAULT_LISTEN).close()
    except UserError as error:
        what, _, todo = str(error).partition("; ")
        return Finding("OSC", "warn", what, todo)
    return Finding("OSC", "ok", f"{DEFAULT_LISTEN} is free")


def check_disk() -> Finding:
    """Room for recordings, where they go when nothing else is said."""
    free = shutil.disk_usage(Path.cwd()).free
    what = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < LITTLE_SPACE:
        return Finding("Disk", "warn", what, "make room before recording a show")
    return Finding("Disk", "ok", what)


def _try(script: str) -> dict[str, Any]:
    """Run a script that sets `answer`, in a process of its own.

    A UserError comes back as {"refused": its text}. Raises _CrashedError.
    """
    program = (
        "import json, sys\n"
        "from engine.errors import UserError\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in script.splitlines())
        + "except UserError as error:\n"
        "    answer = {'refused': str(error)}\n"
        "print(json.dumps(answer))\n"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=TRY_S
        )
    except subprocess.TimeoutExpired:
        raise _CrashedError(f"no answer within {TRY_S} s") from None
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        raise _CrashedError(words[-1])
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer
