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


def _library(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
