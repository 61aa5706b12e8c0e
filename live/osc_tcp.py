"""Desks that send by TCP: their connections, few and bounded.

Accepting and reading is the receiving thread's, answering the frame's; neither waits. A sender that
does not read its answers loses its connection rather than holding anything up.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import NamedTuple

from live.osc_wire import Framing, FramingError, framing_of

MOST_LINES, MOST_OF_A_HOST = 32, 8  # connections at once
_READ = 65_536  # bytes at a time
_UNREAD = 32_768  # bytes of answers that may wait
_KEPT_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds of silence, between tries, and tries. A desk that lost its power never says good-bye; its
connections would keep their places, until it is one too many of its own."""


class Caller(NamedTuple):
    """Who sent something over a connection: as a UDP sender, and which connection it was."""

    host: str
    port: int
    line: int


class Line:
    """A connection."""

    def __init__(self, opened: socket.socket, caller: Caller) -> None:
        opened.setblocking(False)
        with suppress(OSError):  # systems else let megabytes wait for one who does not read
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEPT_ALIVE.items():
                if hasattr(socket, option):  # systems differ; else it takes them two hours
                    opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.socket = opened
        self.caller = caller
        self._framing: Framing | None = None

    def read(self) -> list[bytes | FramingError] | None:
        """The packets that have come; None when the connection is over."""
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        if self._framing is None:
            self._framing = framing_of(data[0])
        return self._framing.feed(data)

    @property
    def broken(self) -> bool:
        """Whether nothing more can be made of what it sends."""
        return self._framing is not None and self._framing.broken

    def send(self, packet: bytes) -> None:
        """Send a packet, framed as the other side frames its own, or end the connection."""
        if self._framing is None:
            return
        data = self._framing.wrap(packet)
        try:
            if self.socket.send(data) == len(data):
                return
        except OSError:
            pass
        with suppress(OSError):  # half a packet is none: the receiving thread hears of the end
            self.socket.shutdown(socket.SHUT_RDWR)


class Lines:
    """All connections of a server."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._serial = 0

    def accept(self, listener: socket.socket) -> Line | None:
        """The next connection that somebody asks for, whoever it is; None if there is none."""
        try:
            opened, address = listener.accept()
        except OSError:
            return None
        self._serial += 1
        return Line(opened, Caller(address[0], address[1], self._serial))

    def keep(self, line: Line) -> bool:
        """Add a connection, if there are not too many."""
        of_host = sum(one.caller.host == line.caller.host for one in self._lines.values())
        if len(self._lines) >= MOST_LINES or of_host >= MOST_OF_A_HOST:
            return False
        self._lines[line.caller.line] = line
        return True

    def to(self, caller: Caller) -> Line | None:
        """The connection of a sender, if it still stands."""
        return self._lines.get(caller.line)

    def end(self, line: Line) -> None:
        """Close a connection."""
        self._lines.pop(line.caller.line, None)
        line.socket.close()

    def close(self) -> None:
        """Close all."""
        for line in list(self._lines.values()):
            self.end(line)
