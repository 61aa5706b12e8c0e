"""The doctor: what is there, what is not, and what crashes when it is touched."""

import importlib.metadata
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pynvml
import pytest
from xvfb import xvfb

from live import doctor
from live.doctor import Finding, report, run_checks


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
    findings = run_checks()
    names = [finding.name for finding in findings]
    expected = "Python torch GPU OpenGL Codecs Display Monitors OSC Disk"
    assert names == expected.split()
    states = {finding.name: finding.state for finding in findings}
    assert states["Python"] == states["torch"] == "ok"
    for finding in findings:
        assert finding.what
        assert "\n" not in finding.what + finding.todo
        assert finding.state != "fail" or finding.todo


def test_the_report_puts_what_to_do_under_what_is_wrong() -> None:
    findings = [Finding("GPU", "warn", "none", "buy one"), Finding("OpenGL", "ok", "4.6")]
    assert report(findings).splitlines() == [
        "warn  GPU     none",
        "              -> buy one",
        "ok    OpenGL  4.6",
    ]


def test_no_driver_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    monkeypatch.setattr(sys, "platform", "linux")
    finding = doctor.check_gpu()
    assert finding.state == "warn"
    assert "no NVIDIA driver answers" in finding.what


def test_a_card_is_named_with_its_memory(one_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.0+cu128")
    finding = doctor.check_gpu()
    assert finding.state == "ok"
    assert finding.what == "NVIDIA GeForce RTX 4090 (10.0 of 24.0 GiB free), driver 550.54"


def test_a_card_that_torch_cannot_use(one_card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.0+cpu")
    finding = doctor.check_gpu()
    assert finding.state == "warn"
    assert "pytorch.org" in finding.todo


def test_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert doctor.check_torch().state == "fail"


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
    monkeypatch.setattr(doctor, "TRY_S", 1 if "sleep" in script else 60)
    with pytest.raises(doctor._CrashedError, match=says):
        doctor._try(script)


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
    assert len(others) == 8
