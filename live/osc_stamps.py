"""How long a datagram has waited for the thread that reads it, by the kernel's own stamp.

A machine at work lets that thread wait: 8 ms were seen, and 120 on two cores with five busy
processes, more than a desk's beat is ever late. Where the kernel does not stamp (Linux does), what
is read counts from there.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

# Of Linux, as most of its platforms number it (socket(7)); Python does not name it.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")  # s and ns of the wall's clock
_ROOM = 64  # bytes for what comes beside the data: more than a stamp
LONGEST_NS = 1_000_000_000  # a longer wait is a wall's clock that was set meanwhile


def stamp(opened: socket.socket) -> None:
    """Have what comes in stamped, where the kernel can."""
    if sys.platform == "linux":
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def receive(opened: socket.socket, size: int) -> tuple[bytes, tuple[str, int], int]:
    """The next datagram, its sender, and how long it has waited in ns. Raises OSError."""
    if sys.platform != "linux":
        data, sender = opened.recvfrom(size)
        return data, sender[:2], 0
    data, beside, _, sender = opened.recvmsg(size, _ROOM)
    return data, sender[:2], waited(beside, time.time_ns())


def waited(beside: Sequence[tuple[int, int, bytes]], now: int) -> int:
    """How long, by a stamp beside the data, at `now` by the wall's clock; 0 where there is none."""
    for level, kind, data in beside:
        stamped = level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS
        if stamped and len(data) == _TIMESPEC.size:
            seconds, ns = _TIMESPEC.unpack(data)
            wait: int = now - (seconds * 1_000_000_000 + ns)
            return wait if 0 <= wait <= LONGEST_NS else 0
    return 0
