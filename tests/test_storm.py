"""A hundred thousand datagrams of every kind of nonsense, at a show that goes on."""

import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from osc_sender import bundle, message, text

from live import osc
from live.addresses import ADDRESSES, Message
from live.control import advance, apply
from live.desks import bundled_desks, find_desk, joined
from live.osc import OscServer
from live.routes import Patch
from live.show import CueFacts, Show

PROGRAMME = tuple(CueFacts(f"cue {n}", 8.0, "loop") for n in range(1, 5))
STORM, BATCH = 100_000, 100
DEEP = bundle(message("/anthesis/psi", "f", 0.5))
for _ in range(40):
    DEEP = bundle(DEEP, DEEP[:0] + text("/x"))

Rng = random.Random


def noise(rng: Rng) -> bytes:
    return rng.randbytes(rng.randrange(0, 64))


def damaged(rng: Rng) -> bytes:
    """A good message with a byte changed, or cut off somewhere."""
    name = rng.choice(list(ADDRESSES))
    good = bytearray(message(f"/anthesis/{name}", "fsi", rng.random(), "word", rng.randrange(100)))
    good[rng.randrange(len(good))] = rng.randrange(256)
    return bytes(good[: rng.randrange(1, len(good) + 1)])


def mistyped(rng: Rng) -> bytes:
    tags = "".join(rng.choices("ihfdsSbrmtTFNIc[]x", k=rng.randrange(6)))
    address = text(f"/anthesis/{rng.choice(list(ADDRESSES))}")
    return address + text("," + tags) + rng.randbytes(4 * rng.randrange(8))


def oversized(rng: Rng) -> bytes:
    return message("/anthesis/cue/go", "s", "x" * rng.choice([2_000, 9_000, 60_000]))


def extreme(rng: Rng) -> bytes:
    values = [float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 5e-324]
    name = rng.choice(list(ADDRESSES))
    if rng.random() < 0.5:
        return message(f"/anthesis/{name}", "sd", rng.choice("+-*"), rng.choice(values))
    return message(f"/anthesis/{name}", "d", rng.choice(values))


def nested(rng: Rng) -> bytes:
    if rng.random() < 0.3:
        return DEEP
    inner = b"".join([noise(rng), b""])
    for _ in range(rng.randrange(1, 12)):
        inner = bundle(inner, damaged(rng), time_tag=rng.getrandbits(64))
    return inner


def backtracking(rng: Rng) -> bytes:
    unit = rng.choice(["*a", "{,a}", "*{,a}", "?*", "[!x]*", "{a,aa}*"])
    return message("/*/" + unit * rng.randrange(1, 60), "f", 1.0)


def naming(rng: Rng) -> bytes:
    """Files, programs and the end of the show."""
    name = rng.choice(["record/start", "quit", "help", "record", "overlay", "cue/go", "network"])
    what = rng.choice(["../../etc/passwd", "/tmp/x", "$(reboot)", "__import__('os')", "\0", "a\nb"])
    return message(f"/anthesis/{name}", "s", what)


KINDS: list[Callable[[Rng], bytes]] = [
    noise,
    damaged,
    mistyped,
    oversized,
    extreme,
    nested,
    backtracking,
    naming,
]


@pytest.mark.timeout(300)
def test_a_storm_of_nonsense_changes_only_what_it_may(caplog: pytest.LogCaptureFixture) -> None:
    rng = Rng(7)
    patch = Patch()
    for path in bundled_desks():
        patch = joined(patch, find_desk(path, Path()))
    show = Show.opening(PROGRAMME, 120.0)
    at = 0
    with (
        OscServer("127.0.0.1:0", patch=patch) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk,
    ):
        for _ in range(STORM // BATCH):
            for _ in range(BATCH):
                desk.sendto(rng.choice(KINDS)(rng), server.address)
            at += 16_000_000
            for told in server.messages(show, at, PROGRAMME):
                assert told.address in ADDRESSES
                try:
                    show = apply(show, told, at, PROGRAMME)
                except ValueError as error:
                    assert "\n" not in str(error)  # noqa: PT017 - it may also be obeyed
            show = advance(show, at, PROGRAMME)
            assert 20.0 <= show.transport.bpm <= 300.0
            assert -2.0 <= show.psi.at(at) <= 2.0
        desk.sendto(message("/anthesis/psi", "f", 0.125), server.address)
        last: list[Message] = []
        while Message("psi", (0.125,)) not in last:
            assert server.wait(10)
            last += server.messages(show, at, PROGRAMME)
        while server.wait(0.1):
            server.messages(show, at, PROGRAMME)
    counts = server.counts
    waits = len(server._schedule)
    parts = counts.applied + counts.merged + counts.refused + counts.malformed
    assert counts.received == parts + waits
    assert counts.received > STORM / 4  # the kernel drops what comes too fast; the rest was heard
    assert set(counts.kinds) == {
        "not OSC",
        "damaged",
        "too large",
        "type tags",
        "pattern",
        "bundle",
        "argument",
    }
    assert counts.malformed == sum(counts.kinds.values())
    logged = [record for record in caplog.records if record.name == osc.__name__]
    assert 5 < len(logged) <= 100
    assert not any("\n" in record.getMessage() for record in logged)
