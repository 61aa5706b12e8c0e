"""OSC as senders write it, independently of python-osc and of what reads it here."""

import struct

SENDER = ("127.0.0.1", 40000)


def text(string: str) -> bytes:
    data = string.encode()
    return data + b"\0" * (4 - len(data) % 4)


def message(address: str, tags: str = "", *args: object) -> bytes:
    packed = {"i": ">i", "h": ">q", "f": ">f", "d": ">d", "c": ">i", "t": ">Q"}
    data = text(address) + text("," + tags)
    rest = iter(args)
    for tag in tags:
        if tag in packed:
            data += struct.pack(packed[tag], next(rest))
        elif tag in "sS":
            data += text(str(next(rest)))
    return data


def bundle(*elements: bytes, time_tag: int = 1) -> bytes:
    sized = b"".join(len(element).to_bytes(4, "big") + element for element in elements)
    return b"#bundle\0" + time_tag.to_bytes(8, "big") + sized
