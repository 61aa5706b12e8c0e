"""Staying awake: on a bare X server, on a desktop's D-Bus, on a D-Bus that never answers."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xvfb import xvfb

from live.awake import awake

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="X11 and D-Bus are Linux's")


class SaverInfo(ctypes.Structure):
    """Xlib's XScreenSaverInfo; times in milliseconds."""

    _fields_ = (
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),  # 0 off, 1 on
        ("kind", ctypes.c_int),
        ("since", ctypes.c_ulong),
        ("idle", ctypes.c_ulong),
        ("mask", ctypes.c_ulong),
    )


@contextmanager
def saver(display: str) -> Iterator[Callable[[], SaverInfo]]:
    """Asks the X server how its screen saver is."""
    try:
        extension = ctypes.CDLL("libXss.so.1")
    except OSError:
        pytest.skip("libXss is not installed (Debian: libxss1)")
    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    xlib.XDefaultRootWindow.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(xlib.XOpenDisplay(display.encode()))
    root = ctypes.c_ulong(xlib.XDefaultRootWindow(connection))

    def ask() -> SaverInfo:
        info = SaverInfo()
        extension.XScreenSaverQueryInfo(connection, root, ctypes.byref(info))
        return info

    yield ask
    xlib.XCloseDisplay(connection)


@pytest.fixture
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'absent'}")
    monkeypatch.delenv("DISPLAY", raising=False)


def test_a_bare_x_server_stays_lit(no_bus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("xset") is None:
        pytest.skip("xset is not installed (Debian: x11-xserver-utils)")
    with xvfb(320, 200) as display, saver(display) as ask:
        monkeypatch.setenv("DISPLAY", display)
        with awake() as vigil:
            assert vigil.settled.wait(20)
            assert vigil.held == ("X11 screen saver",)
            subprocess.run(["xset", "s", "1", "s", "blank", "s", "reset"], check=True)
            while ask().idle < 1500:  # the server's own count: the saver is due after 1000
                assert ask().state == 0
            assert ask().state == 0
        while ask().state == 0:  # given back: now it comes; pytest's time limit ends this
            pass


def test_where_nothing_helps_it_says_so_once(
    no_bus: None, caplog: pytest.LogCaptureFixture
) -> None:
    with awake() as vigil:
        assert vigil.settled.wait(20)
        assert vigil.held == ()
    assert caplog.text.count("by hand") == 1


def test_a_bus_that_never_answers_keeps_nobody_waiting(
    no_bus: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
        with awake() as vigil:
            bus.settimeout(20)
            silent, _ = bus.accept()  # it has called, and hears nothing
        assert not vigil.settled.is_set()
        silent.close()
        assert vigil.settled.wait(20)


@pytest.fixture
def session_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed (Debian: dbus-daemon)")
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        address = daemon.stdout.readline().strip()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address
    finally:
        daemon.terminate()
        daemon.communicate()


def test_a_desktop_is_asked_and_thanked(session_bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jeepney = pytest.importorskip("jeepney")
    blocking = pytest.importorskip("jeepney.io.blocking")
    monkeypatch.delenv("DISPLAY", raising=False)
    calls: list[str] = []
    thanked = threading.Event()

    def desktop(connection: object) -> None:
        """A screen saver, as desktops have it on the bus."""
        while not thanked.is_set():
            call = connection.receive()
            member = call.header.fields.get(jeepney.HeaderFields.member)
            if call.header.message_type is jeepney.MessageType.method_call:
                calls.append(member)
                cookie = ("u", (7,)) if member == "Inhibit" else (None, ())
                connection.send(jeepney.new_method_return(call, *cookie))
                if member == "UnInhibit":
                    thanked.set()

    with blocking.open_dbus_connection(os.environ["DBUS_SESSION_BUS_ADDRESS"]) as connection:
        connection.send_and_get_reply(
            jeepney.message_bus.RequestName("org.freedesktop.ScreenSaver")
        )
        thread = threading.Thread(target=desktop, args=[connection])
        thread.start()
        with awake() as vigil:
            assert vigil.settled.wait(20)
            assert vigil.held == ("desktop",)
            assert calls == ["Inhibit"]
        assert thanked.wait(20)
        thread.join()
    assert calls == ["Inhibit", "UnInhibit"]
