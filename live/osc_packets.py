"""OSC packets read: bundles to messages, and messages to address and arguments.

Numbers and strings, which is what desks send, are read here, in 3 us a message. The rest is left to
python-osc, in `live.osc`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from live.osc_schedule import IMMEDIATELY
from live.tally import Malformation

LARGEST_MESSAGE = 2048
"""Bytes of one message, also within a bundle: 2 kB of anything are read in 0.2 ms at most."""
MOST_ARGUMENTS = 32
DEEPEST_BUNDLE = 8

_HEAD = b"#bundle\0"
_READABLE = b"ihfdsSbrmtTFNIc"
_NUMBERS = {  # without a string among them, arguments lie at places that follow from their tags
    b"f": struct.Struct(">f"),
    b"i": struct.Struct(">i"),
    b"d": struct.Struct(">d"),
    b"h": struct.Struct(">q"),
}
_CONSTANTS: dict[int, object] = {ord("T"): True, ord("F"): False, ord("N"): None, ord("I"): True}


class MalformedError(Exception):
    """What arrived is not OSC, or not as it is taken here; `kind` is what it is counted as."""

    def __init__(self, kind: Malformation, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Element(NamedTuple):
    """A message of a packet, unread, or what is wrong there; `tag` is its bundle's time."""

    data: bytes | MalformedError
    tag: int = 1


def elements(data: bytes, depth: int = 0, tag: int = 1) -> Iterator[Element]:
    """The messages in a packet, in order, those of bundles within bundles too.

    Where a bundle is damaged comes the error instead, and what is left of it is passed over. A
    bundle that is to be obeyed immediately within another is obeyed when that is.
    """
    if not data.startswith(_HEAD):
        yield Element(data, tag)
        return
    if depth == DEEPEST_BUNDLE:
        yield _broken(f"bundles nested deeper than {DEEPEST_BUNDLE}")
        return
    if len(data) < 16:
        yield _broken("a bundle without time tag")
    own = int.from_bytes(data[8:16], "big")
    tag = tag if own in IMMEDIATELY else own
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if size == 0 or size % 4 or size > len(data) - at:
            yield _broken(f"a bundle element of {size} bytes with {len(data) - at} left")
            return
        yield from elements(data[at : at + size], depth + 1, tag)
        at += size


def _broken(text: str) -> Element:
    return Element(MalformedError("bundle", text))


def parse(
    data: bytes, others: Callable[[bytes, bytes, bytes], list[object]]
) -> tuple[str, list[object]]:
    """Address and arguments of one message. Raises MalformedError.

    `others` reads what has unusual tags, given address, tags and arguments, each as it came.
    """
    if not data.startswith(b"/"):
        raise MalformedError("not OSC", f"it begins with {data[:8]!r}")
    if len(data) > LARGEST_MESSAGE:
        raise MalformedError("too large", f"{len(data)} bytes, {LARGEST_MESSAGE} at most")
    end = data.find(0)
    start = (end + 4) & ~3
    if end < 0 or start > len(data):
        raise MalformedError("damaged", "the address has no end")
    try:
        address = data[:end].decode()
    except UnicodeDecodeError:
        raise MalformedError("not OSC", "the address is no text") from None
    if start == len(data):
        return address, []  # no type tags: an old sender
    tags_end = data.find(0, start)
    tags = data[start : max(tags_end, start)]
    if not tags.startswith(b",") or (tags_end + 4) & ~3 > len(data):
        raise MalformedError("type tags", f"there are none but {data[start : start + 8]!r}")
    if len(tags) > 1 + MOST_ARGUMENTS:
        raise MalformedError("too large", f"{len(tags) - 1} arguments, {MOST_ARGUMENTS} at most")
    return address, _arguments(data, start, tags, others)


def _arguments(
    data: bytes, start: int, tags: bytes, others: Callable[[bytes, bytes, bytes], list[object]]
) -> list[object]:
    at = (start + len(tags) + 4) & ~3
    number = _NUMBERS.get(tags[1:])
    if number is not None and len(data) - at >= number.size:
        return [*number.unpack_from(data, at)]
    args: list[object] = []
    for tag in tags[1:]:
        if tag in _CONSTANTS:
            args.append(_CONSTANTS[tag])
            continue
        number = _NUMBERS.get(bytes((tag,)))
        if number is not None:
            if at + number.size > len(data):
                raise MalformedError("damaged", f"{chr(tag)} has no number")
            args += number.unpack_from(data, at)
            at += number.size
        elif tag in b"sS":
            text, at = _string(data, at)
            args.append(text)
        else:
            return _unusual(data, start, tags, others)
    return args


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(0, at)
    after = (end + 4) & ~3
    if end < 0 or after > len(data):
        raise MalformedError("damaged", "a string has no end")
    try:
        return data[at:end].decode(), after
    except UnicodeDecodeError:
        raise MalformedError("damaged", "a string is no text") from None


def _unusual(
    data: bytes, start: int, tags: bytes, others: Callable[[bytes, bytes, bytes], list[object]]
) -> list[object]:
    unknown = tags[1:].translate(None, _READABLE)
    if unknown:
        raise MalformedError("type tags", f"unknown here: {unknown!r}")
    return others(data[:start], tags, data[start + len(tags) :])
