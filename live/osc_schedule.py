"""Messages whose time has not come: a bounded schedule, and the time tags that fill it. Pure."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from live.inbox import Datagram

PLACES, ROOM = 1024, 1 << 20  # messages, and bytes of all of them
FURTHEST_NS = 600_000_000_000
"""Nobody schedules ten minutes ahead in a live show: such a clock is wrong."""

IMMEDIATELY = (0, 1)  # time tags; 0 is none, and some senders mean it
_EPOCH_S = 2_208_988_800  # from 1900, where time tags begin, to 1970
_ERA_S = 1 << 32  # they begin again in 2036


def unix_ns(tag: int) -> int:
    """The nanoseconds since 1970 that an OSC (NTP) time tag of 64 bits says, until 2104."""
    seconds, fraction = tag >> 32, tag & 0xFFFFFFFF
    era = 0 if seconds & 0x80000000 else _ERA_S  # as RFC 4330 reads them
    return (seconds + era - _EPOCH_S) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)


class _Waiting(NamedTuple):
    due: int
    serial: int
    datagram: Datagram


class Schedule:
    """Single messages by the time at which they are to be read, in ns of any one clock."""

    def __init__(self, places: int = PLACES, room: int = ROOM) -> None:
        self._places = places
        self._room = room
        self._waiting: list[_Waiting] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, due: int, datagram: Datagram) -> bool:
        """Keep it until `due`; False, and nothing is kept, when there is no room."""
        if len(self._waiting) >= self._places or len(datagram.data) > self._room:
            return False
        self._room -= len(datagram.data)
        self._serial += 1
        heapq.heappush(self._waiting, _Waiting(due, self._serial, datagram))
        return True

    def take(self, now: int) -> Datagram | None:
        """What has been due longest at `now`; of what was due at once, in the order it came."""
        if not self._waiting or self._waiting[0].due > now:
            return None
        datagram = heapq.heappop(self._waiting).datagram
        self._room += len(datagram.data)
        return datagram
