"""The doctor: what is there, what is not, and what crashes when it is touched."""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pynvml
import pytest
from xvfb import xvfb

from live import doctor, findings, gpu_checks
from live.doctor import check_photos, run_checks
from live.findings import CrashedError, Finding, report, tried


class Memory(NamedTuple):
    free: int
    total: int


@pytest.fixture
def one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML as it answers with one card."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda handle: Memory(10 << 30, 24 << 30),
        "nvmlDeviceGetName": lambda handle: b"NVIDIA GeForce RTX 4090",
        "nvmlSystemGetDriverVersion": lambda: "550.54",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def test_everything_is_looked_at_and_said_in_a_line_each() -> None:
    found = run_checks()
    names = [finding.name for finding in found]
    assert names[:6] == ["Python", "torch", "GPU", "Triton", "Compiler", "cuda-bindings"]
    assert names[6:] == ["OpenGL", "Codecs", "Display", "Monitors", "OSC", "Photos", "Disk"]
    states = {finding.name: finding.state for finding in found}
    assert states["Python"] == states["torch"] == "ok"
    for finding in found:
        assert finding.what
        assert "\n" not in finding.what + finding.todo
        assert finding.state != "fail" or finding.todo


def test_the_report_puts_what_to_do_under_what_is_wrong() -> None:
    found = [Finding("GPU", "warn", "none", "buy one"), Finding("OpenGL", "ok", "4.6")]
    assert report(found).splitlines() == [
        "warn  GPU     none",
        "              -> buy one",
        "ok    OpenGL  4.6",
    ]


def test_no_driver_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    monkeypatch.setattr(sys, "platform", "linux")
    finding = gpu_checks.check_gpu()
    assert finding.state == "warn"
    assert "no NVIDIA driver answers" in finding.what


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)


def test_a_card_is_named_with_its_memory(one_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "torch_cuda", lambda: "12.8")
    finding = gpu_checks.check_gpu()
    assert finding.state == "ok"
    assert finding.what == "NVIDIA GeForce RTX 4090 (10.0 of 24.0 GiB free), driver 550.54"


def test_a_card_that_torch_cannot_use(one_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "torch_cuda", lambda: None)
    finding = gpu_checks.check_gpu()
    assert finding.state == "warn"
    assert "pytorch.org" in finding.todo


@pytest.mark.parametrize(
    ("cuda", "driver", "system", "needed"),
    [
        ("11.8", "450.80.02", "linux", None),
        ("11.8", "450.51.06", "linux", "450.80.02"),
        ("12.4", "525.60.13", "linux", None),
        ("12.8", "525.60.11", "linux", "525.60.13"),
        ("12.8", "528.24", "win32", "528.33"),
        ("13.0", "575.57.08", "linux", "580.65.06"),
        ("13.0", "580.95.05", "linux", None),
        ("13.2", "581.15", "win32", None),
        ("14.0", "1.0", "linux", None),
        (None, "1.0", "linux", None),
    ],
)
def test_the_driver_that_a_torch_needs(
    cuda: str | None,
    driver: str,
    system: str,
    needed: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert gpu_checks.needed_driver(cuda, driver) == needed


def test_a_driver_too_old_is_told_with_what_is_needed(
    one_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(gpu_checks, "torch_cuda", lambda: "13.0")
    finding = gpu_checks.check_gpu()
    assert finding.state == "warn"
    assert "driver 550.54: too old for this torch, CUDA 13.0" in finding.what
    assert "580.65.06 or newer" in finding.todo


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = '12.8'", "12.8"),
        ('cuda = "13.0"', "13.0"),
        ("cuda: Optional[str] = None", None),
        ("", None),
    ],
)
def test_torchs_cuda_is_read_where_it_says(
    line: str, cuda: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '2.9.0'\n{line}\nhip = '6.0'\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert gpu_checks.torch_cuda() == cuda


def test_torchs_cuda_is_what_torch_itself_says() -> None:
    script = "import torch\nanswer = {'cuda': torch.version.cuda}\n"
    assert tried(script)["cuda"] == gpu_checks.torch_cuda()


def test_without_a_card_nothing_of_nvidias_is_missed(no_card: None) -> None:
    for check in (gpu_checks.check_triton, gpu_checks.check_cuda_bindings):
        finding = check()
        assert finding.state == "ok"
        assert "not needed" in finding.what


def test_triton_is_imported(
    one_card: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    (tmp_path / "triton.py").write_text("__version__ = '3.6.0'\n")
    assert gpu_checks.check_triton() == Finding("Triton", "ok", "3.6.0")
    (tmp_path / "triton.py").write_text("raise ImportError('libcuda.so.1 is not there')\n")
    finding = gpu_checks.check_triton()
    assert finding.state == "warn"
    assert "libcuda.so.1 is not there" in finding.what


def test_no_triton_and_no_bindings_are_slower(
    one_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(gpu_checks, "torch_cuda", lambda: "13.0")
    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    triton, bindings = gpu_checks.check_triton(), gpu_checks.check_cuda_bindings()
    assert (triton.state, bindings.state) == ("warn", "warn")
    assert "slower" in triton.what
    assert "pip install triton" in triton.todo
    assert "cuda-bindings==13.*" in bindings.todo


def installed(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)


def test_a_card_wants_a_c_compiler(one_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "g++")
    finding = gpu_checks.check_compiler()
    assert finding.state == "warn"
    assert "no C compiler" in finding.what
    assert "apt-get install gcc" in finding.todo
    installed(monkeypatch, "clang")
    assert gpu_checks.check_compiler().what == "clang, for Triton"
    monkeypatch.setattr(gpu_checks.sysconfig, "get_path", lambda name: "/nowhere")
    finding = gpu_checks.check_compiler()
    assert "/nowhere/Python.h" in finding.what
    assert "python3-dev" in finding.todo


def test_a_cpu_wants_a_cpp_compiler(no_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "gcc")
    finding = gpu_checks.check_compiler()
    assert finding.state == "warn"
    assert "no C++ compiler" in finding.what
    assert "apt-get install g++" in finding.todo
    installed(monkeypatch, "g++", "mycc")
    assert gpu_checks.check_compiler().what.startswith("g++,")
    monkeypatch.setenv("CXX", "mycc")
    assert gpu_checks.check_compiler().what.startswith("mycc,")


def test_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert gpu_checks.check_torch().state == "fail"


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
def test_without_gl_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCONTEXT_LINUX_LIBEGL", "/dev/null")
    finding = doctor.check_gl()
    assert finding.state == "fail"
    assert "libegl1" in finding.todo


def test_a_gl_driver_that_crashes_is_survived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "moderngl.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = doctor.check_gl()
    assert finding.state == "fail"
    assert "ended with" in finding.what


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import os\nos.abort()", "ended with -6"),
        ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
        ("import time\ntime.sleep(60)", "no answer within 1 s"),
    ],
)
def test_what_crashes_or_hangs_is_told(
    script: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "TRY_S", 1 if "sleep" in script else 60)
    with pytest.raises(CrashedError, match=says):
        tried(script)


@pytest.mark.parametrize(
    ("x11", "wayland", "state", "says"),
    [
        (":0", None, "ok", "X11, DISPLAY=:0"),
        (":0", "wayland-0", "ok", "X11 (XWayland)"),
        (None, "wayland-0", "warn", "Wayland only"),
        (None, None, "warn", "none"),
    ],
)
def test_the_session(
    x11: str | None, wayland: str | None, state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name, value in (("DISPLAY", x11), ("WAYLAND_DISPLAY", wayland)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    finding = doctor.check_display()
    assert finding.state == state
    assert says in finding.what


@pytest.mark.skipif(sys.platform != "linux", reason="X11 is Linux's")
def test_monitors_are_listed_as_the_option_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with xvfb(640, 480) as display:
        monkeypatch.setenv("DISPLAY", display)
        assert doctor.check_monitors() == Finding("Monitors", "ok", "1 screen@0,0 640x480")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    finding = doctor.check_monitors()
    assert finding.state == "warn"
    assert "--headless" in finding.todo


def test_a_port_in_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setattr(doctor, "DEFAULT_LISTEN", f"127.0.0.1:{holder.getsockname()[1]}")
        finding = doctor.check_osc_port()
        assert finding.state == "warn"
        assert "is taken by" in finding.what
        assert "--osc HOST:PORT" in finding.todo
    assert doctor.check_osc_port().state == "ok"


@pytest.mark.parametrize(("free", "state"), [(1 << 30, "warn"), (100 << 30, "ok")])
def test_room_for_recordings(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert doctor.check_disk().state == state


def test_a_check_that_fails_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError("the folder\nis gone")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    *others, disk = run_checks()
    assert (disk.name, disk.state) == ("Disk", "fail")
    assert "OSError: the folder is gone" in disk.what
    assert disk.todo
    assert len(others) == 12


def test_what_photos_are_found_with_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert str(weights) in check_photos().what
    weights.unlink()
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("engine.projection.faces.find_spec", lambda name: None)
    found = check_photos()
    assert (found.state, found.what) == ("ok", "pixels only")
    assert "anthesis[faces]" in found.todo
    assert "--fetch-vgg" in found.todo
