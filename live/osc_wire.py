"""How OSC packets lie in a stream of TCP: with their length before them, or between END bytes.

OSC 1.0 puts a big-endian 32-bit length before each packet, OSC 1.1 frames it as SLIP does (RFC
1055), with an END on both sides. Which of them a sender uses shows in its first byte: a length
below 16 MB begins with 0, SLIP with END or with the packet's own "/" or "#". What has not come
whole is kept, never more than one packet of the largest size.
"""

from __future__ import annotations

from typing import Protocol

LARGEST_PACKET = 65_507  # bytes, as over UDP

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_END, _ESCAPE = bytes([END]), bytes([ESC])
_ESCAPED_END, _ESCAPED_ESCAPE = bytes([ESC, ESC_END]), bytes([ESC, ESC_ESC])


class FramingError(Exception):
    """What was sent is no frame."""


class Framing(Protocol):
    """One direction of a connection."""

    broken: bool
    """Whether nothing more can be made of the stream."""

    def feed(self, data: bytes) -> list[bytes | FramingError]:
        """The packets that are whole now, in their order; where one is damaged, the error."""

    def wrap(self, packet: bytes) -> bytes:
        """A packet as it is sent."""


class Lengths:
    """OSC 1.0: a length before each packet."""

    def __init__(self) -> None:
        self.broken = False
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[bytes | FramingError]:
        """See `Framing`; after a length that cannot be, the stream is lost."""
        self._kept += data
        found: list[bytes | FramingError] = []
        at = 0
        while len(self._kept) - at >= 4 and not self.broken:
            size = int.from_bytes(self._kept[at : at + 4], "big")
            if not 0 < size <= LARGEST_PACKET:
                self.broken = True
                found.append(FramingError(f"a packet of {size} bytes, {LARGEST_PACKET} at most"))
            elif len(self._kept) - at - 4 < size:
                break
            else:
                found.append(bytes(self._kept[at + 4 : at + 4 + size]))
                at += 4 + size
        del self._kept[: len(self._kept) if self.broken else at]
        return found

    def wrap(self, packet: bytes) -> bytes:
        """See `Framing`."""
        return len(packet).to_bytes(4, "big") + packet


class Slip:
    """OSC 1.1: END, the packet with its END and ESC bytes escaped, END."""

    def __init__(self) -> None:
        self.broken = False
        self._kept = bytearray()
        self._skipping = False  # the rest of a frame that is too long

    def feed(self, data: bytes) -> list[bytes | FramingError]:
        """See `Framing`; after a damaged frame the next END begins anew."""
        found: list[bytes | FramingError] = []
        *whole, rest = data.split(_END)
        for piece in whole:
            self._keep(piece, found)
            if self._kept and not self._skipping:
                found.append(_unescaped(bytes(self._kept)))
            self._kept.clear()
            self._skipping = False
        self._keep(rest, found)
        return found

    def wrap(self, packet: bytes) -> bytes:
        """See `Framing`."""
        escaped = packet.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_END, _ESCAPED_END)
        return _END + escaped + _END

    def _keep(self, piece: bytes, found: list[bytes | FramingError]) -> None:
        if self._skipping:
            return
        self._kept += piece
        if len(self._kept) > 2 * LARGEST_PACKET:  # escaping doubles it at most
            self._skipping = True
            self._kept.clear()
            found.append(FramingError(f"a packet of more than {LARGEST_PACKET} bytes"))


def framing_of(first: int) -> Framing:
    """The framing of a stream, by its first byte."""
    return Lengths() if first == 0 else Slip()


def _unescaped(frame: bytes) -> bytes | FramingError:
    pieces = frame.split(_ESCAPE)
    packet = bytearray(pieces[0])
    for piece in pieces[1:]:
        if piece[:1] not in (bytes([ESC_END]), bytes([ESC_ESC])):
            return FramingError("an escape byte before something that is not escaped")
        packet += (_END if piece[0] == ESC_END else _ESCAPE) + piece[1:]
    if len(packet) > LARGEST_PACKET:
        return FramingError(f"a packet of {len(packet)} bytes, {LARGEST_PACKET} at most")
    return bytes(packet)
