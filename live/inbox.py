"""Datagrams on their way from the receiving thread to the frame: bounded, and floods merged."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from live.osc_tcp import Caller

Sender: TypeAlias = "tuple[str, int] | Caller"
"""Host and port, as the socket gives them; over a connection also which one it is."""


class Datagram(NamedTuple):
    """What came in, unread."""

    data: bytes
    sender: Sender
    came_ns: int = 0  # when, by the clock of whoever reads it


class Inbox:
    """A queue that any thread fills and the frame empties.

    A datagram put under a name replaces the waiting one of that name and goes to the end, so that
    of a flood of one value only the newest waits, and nothing overtakes it that came before.
    Datagrams without a name keep their order and are bounded, `places` of them and `room` bytes
    altogether; named ones need no bound, for the caller has few names.
    """

    def __init__(self, places: int = 1024, room: int = 4 << 20) -> None:
        self._places = places
        self._room = room
        self._waiting: OrderedDict[bytes | int, Datagram] = OrderedDict()
        self._serial = 0
        self._changed = threading.Condition()

    def put(self, datagram: Datagram, name: bytes | None = None) -> Datagram | None:
        """Queue it. Returns the datagram that is lost by it: the one it replaces, or itself."""
        with self._changed:
            if name is None:
                if not self._places or len(datagram.data) > self._room:
                    return datagram
                self._places -= 1
                self._room -= len(datagram.data)
                self._serial += 1
            key = self._serial if name is None else name
            replaced = self._waiting.pop(key, None)
            self._waiting[key] = datagram
            self._changed.notify_all()
            return replaced

    def take(self) -> Datagram | None:
        """The datagram that has waited longest; None when none waits."""
        with self._changed:
            if not self._waiting:
                return None
            key, datagram = self._waiting.popitem(last=False)
            if isinstance(key, int):
                self._places += 1
                self._room += len(datagram.data)
            return datagram

    def wait(self, timeout: float) -> bool:
        """Wait until something is there, `timeout` seconds at most; whether something is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._waiting), timeout)
