"""The few things that GLFW leaves undone under X11, by ctypes on the libraries it uses itself.

Every function does nothing where the library is missing.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class _ErrorEvent(ctypes.Structure):
    """Xlib's XErrorEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("resource", ctypes.c_ulong),
        ("serial", ctypes.c_ulong),
        ("error", ctypes.c_ubyte),
        ("request", ctypes.c_ubyte),
        ("minor", ctypes.c_ubyte),
    )


_Handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_ErrorEvent))
_seen: set[tuple[int, int, int]] = set()


def _log_once(_display: object, event: Any) -> int:
    kind = (event.contents.error, event.contents.request, event.contents.minor)
    if kind not in _seen:
        _seen.add(kind)
        log.warning("X11: error %d for request %d.%d (not repeated for this kind)", *kind)
    return 0


_handler = _Handler(_log_once)  # kept for the life of the process: Xlib holds its address


def survive_errors() -> None:
    """Log what the X server complains of, once per kind, instead of ending the process.

    Ending it is Xlib's default, and a monitor unplugged between two requests is enough for that.
    """
    xlib = _library("libX11.so.6")
    if xlib is not None:
        xlib.XSetErrorHandler.restype = ctypes.c_void_p
        xlib.XSetErrorHandler(_handler)


def blacken(display: int, window: int) -> None:
    """Let the server paint the window black itself wherever nothing has been drawn yet.

    GLFW's windows have no background: between being mapped and the first swap they show whatever
    lay there before.
    """
    xlib = _library("libX11.so.6")
    if xlib is not None:
        xlib.XSetWindowBackground(
            ctypes.c_void_p(display), ctypes.c_ulong(window), ctypes.c_ulong(0)
        )


def suspend_screen_saver(display: str) -> Callable[[], None] | None:
    """Suspend the X server's screen saver and its monitor's power saving.

    Works for as long as the connection made here lives: the function returned ends it, and so
    does the end of the process. None where there is no such display or extension.
    """
    xlib, saver = _library("libX11.so.6"), _library("libXss.so.1")
    if xlib is None or saver is None:
        return None
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xlib.XOpenDisplay(display.encode()))
    if not connection.value:
        return None
    event, error = ctypes.c_int(), ctypes.c_int()
    known = saver.XScreenSaverQueryExtension(connection, ctypes.byref(event), ctypes.byref(error))
    if not known:
        xlib.XCloseDisplay(connection)
        return None
    saver.XScreenSaverSuspend(connection, 1)
    xlib.XSync(connection, 0)
    return lambda: xlib.XCloseDisplay(connection)


def backdrop(display: str, x: int, y: int, width: int, height: int) -> bool:
    """Cover a part of the screen in black, beneath all other windows, until the process ends.

    It is a window of the desktop's kind: window managers stack it below every other and do not
    give it the keyboard, so that it can hide neither the show nor the operator's windows; without
    a window manager it is simply the lowest. The pointer is not seen on it. Whether it could be
    made.
    """
    xlib = _library("libX11.so.6")
    if xlib is None:
        return False
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    opened = xlib.XOpenDisplay(display.encode())
    if not opened:
        return False
    survive_errors()
    here = ctypes.c_void_p(opened)
    for name in ("XDefaultRootWindow", "XCreateSimpleWindow", "XCreateBitmapFromData"):
        getattr(xlib, name).restype = ctypes.c_ulong
    for name in ("XInternAtom", "XCreatePixmapCursor"):
        getattr(xlib, name).restype = ctypes.c_ulong
    root = ctypes.c_ulong(xlib.XDefaultRootWindow(here))
    window = ctypes.c_ulong(xlib.XCreateSimpleWindow(here, root, x, y, width, height, 0, 0, 0))

    def atom(name: str) -> int:
        return int(xlib.XInternAtom(here, name.encode(), 0))

    def put(name: str, kind: str, *values: int) -> None:
        data = (ctypes.c_ulong * len(values))(*values)
        where = ctypes.c_ulong(atom(name)), ctypes.c_ulong(atom(kind))
        xlib.XChangeProperty(here, window, *where, 32, 0, ctypes.byref(data), len(values))

    put("_NET_WM_WINDOW_TYPE", "ATOM", atom("_NET_WM_WINDOW_TYPE_DESKTOP"))
    put("WM_HINTS", "WM_HINTS", 1, 0, *[0] * 7)  # InputHint: it wants no keyboard
    us_position_and_size = 3
    put("WM_NORMAL_HINTS", "WM_SIZE_HINTS", us_position_and_size, x, y, width, height, *[0] * 13)
    xlib.XStoreName(here, window, b"Anthesis, behind the show")
    dot = ctypes.c_ulong(xlib.XCreateBitmapFromData(here, window, b"\0", 1, 1))
    colour = ctypes.create_string_buffer(64)  # an XColor; black
    nothing = xlib.XCreatePixmapCursor(here, dot, dot, colour, colour, 0, 0)
    xlib.XDefineCursor(here, window, ctypes.c_ulong(nothing))
    xlib.XLowerWindow(here, window)
    xlib.XMapWindow(here, window)
    xlib.XSync(here, 0)
    return True


def _library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
