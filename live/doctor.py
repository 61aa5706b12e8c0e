"""What this machine has for a show, what is wrong with it, and what to do.

What can crash a process (drivers, codecs) is tried in processes of their own.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.errors import UserError
from engine.projection.faces import predictor_file
from engine.weights.vgg_places import find_vgg
from live.codecs import CODECS
from live.endpoint import open_socket
from live.findings import CrashedError, Finding, tried
from live.gpu_checks import (
    check_compiler,
    check_cuda_bindings,
    check_gpu,
    check_torch,
    check_triton,
)

DEFAULT_LISTEN = "127.0.0.1:9000"
LITTLE_SPACE = 4 << 30  # bytes; about half an hour of 1080p at 20 Mbit/s


def run_checks() -> list[Finding]:
    """Look at everything; takes about a second. Never raises: a check that fails is a finding."""
    checks: dict[str, Callable[[], Finding]] = {
        "Python": check_python,
        "torch": check_torch,
        "GPU": check_gpu,
        "Triton": check_triton,
        "Compiler": check_compiler,
        "cuda-bindings": check_cuda_bindings,
        "OpenGL": check_gl,
        "Codecs": check_codecs,
        "Display": check_display,
        "Monitors": check_monitors,
        "OSC": check_osc_port,
        "Photos": check_photos,
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


def check_python() -> Finding:
    """The interpreter."""
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok", version)


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
        found = tried(script)
    except CrashedError as error:
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
    """Which encoders open: a picture is given to each."""
    script = (
        "import os\n"
        "os.environ['SVT_LOG'] = '0'\n"
        "from fractions import Fraction\n"
        "import av\n"
        "from live.codecs import CODECS\n"
        "answer = {}\n"
        "for codec in CODECS.values():\n"
        "    pixels = next(iter(codec.pixels.values()))\n"
        "    for name, options in (codec.live.name, codec.live.options), (codec.nvenc, {}):\n"
        "        if name is None:\n"
        "            continue\n"
        "        try:\n"
        "            coder = av.CodecContext.create(name, 'w')\n"
        "            coder.width, coder.height, coder.pix_fmt = 256, 256, pixels\n"
        "            coder.framerate, coder.time_base = 30, Fraction(1, 30)\n"
        "            coder.options = dict(options)\n"
        "            coder.encode(av.VideoFrame(256, 256, pixels))\n"
        "            answer[name] = ''\n"
        "        except Exception as error:\n"
        "            answer[name] = f'{type(error).__name__}: {error}'\n"
    )
    todo = "pip install --force-reinstall av"
    try:
        found = tried(script)
    except CrashedError as error:
        return Finding("Codecs", "fail", f"PyAV fails: {error}", todo)
    if "refused" in found or found["libx264"]:
        why = found.get("refused") or found["libx264"]
        return Finding("Codecs", "fail", f"libx264 does not open, no recording: {why}", todo)
    there = [name for name, codec in CODECS.items() if not found[codec.live.name]]
    fast = [name for name, codec in CODECS.items() if codec.nvenc and not found[codec.nvenc]]
    what = f"{', '.join(there)} (CPU); {', '.join(fast) or 'none'} (GPU: NVENC)"
    missing = [name for name in CODECS if name not in there]
    if missing:
        return Finding("Codecs", "warn", f"{what}; not {', '.join(missing)}", todo)
    return Finding("Codecs", "ok", what)


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
        found = tried(script)
    except CrashedError as error:
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


def check_photos() -> Finding:
    """What `project` finds photos with; a show needs none of it."""
    there, todo = [], []
    try:
        predictor_file()
        there.append("faces by dlib")
    except UserError:
        todo.append("pip install 'anthesis[faces]' finds faces")
    try:
        there.append(f"VGG16 at {find_vgg()}")
    except UserError:
        todo.append("project --fetch-vgg gets VGG16's weights (528 MB)")
    return Finding("Photos", "ok", ", ".join(there) or "pixels only", "; ".join(todo))
