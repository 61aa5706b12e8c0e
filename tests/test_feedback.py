"""What desks are told, from the facts to liblo's own receiver."""

import re
import selectors
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from osc_sender import SENDER, message

from live.addresses import Message
from live.cards import Card
from live.control import apply
from live.feedback import FEEDBACK, feedback
from live.gpus import Sample
from live.osc import OscServer, read_message
from live.show import CueFacts, Show
from live.subscribers import LIFETIME

SECOND = 1_000_000_000
PROGRAMME = (CueFacts("garden", 8.0, "loop"), CueFacts("dusk", 8.0, "loop"))
CARDS = (
    Card(0, "first", utilisation=93.04, memory_used=1, memory_total=4, temperature=61.0),
    Card(3, "silent"),
)


def playing() -> Show:
    return apply(Show.opening(PROGRAMME, 120.0), Message("play", (1,)), 0, PROGRAMME)


def test_what_is_told_is_true() -> None:
    show = apply(playing(), Message("cue/next"), 3 * SECOND, PROGRAMME)
    told = dict(
        feedback(show, 3 * SECOND + 125_000_000, PROGRAMME, SECOND // 50, Sample(0, cards=CARDS))
    )
    assert told == {
        "out/bpm": (120.0,),
        "out/beat": (6, 0.25),
        "out/cue": (2, "dusk"),
        "out/fps": (50.0,),
        "out/heartbeat": (3,),
        "out/gpu/0": (93.0, 25.0, 61.0),
        "out/gpu/3": (-1.0, -1.0, -1.0),
    }


def test_everything_that_is_told_is_listed_with_its_types() -> None:
    kinds = {int: "i", float: "f", str: "s"}
    for address, args in feedback(playing(), SECOND, PROGRAMME, 0, Sample(0, cards=CARDS)):
        name = re.sub(r"\d+$", "<n>", address)
        assert FEEDBACK[name][0] == " ".join(kinds[type(arg)] for arg in args)


@pytest.fixture
def server() -> Iterator[OscServer]:
    with OscServer("127.0.0.1:0") as opened:
        yield opened


def ear() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.settimeout(10)
    return opened


def frame(server: OscServer, at: int) -> None:
    server.messages(playing(), at, PROGRAMME)
    for address, args in feedback(playing(), at, PROGRAMME, SECOND // 60, None):
        server.publish(address, args, at)


def test_who_subscribes_is_told_at_his_own_address_for_a_minute(server: OscServer) -> None:
    with ear() as desk, ear() as other:
        port = desk.getsockname()[1]
        other.sendto(
            message("/anthesis/subscribe", "is", port, "/anthesis/out/heartbeat"), server.address
        )
        assert server.wait(10)
        for tenth in range(0, 900):
            frame(server, tenth * SECOND // 10)
        beats = []
        desk.setblocking(False)
        try:
            while True:
                beats.append(read_message(desk.recv(1000)))
        except BlockingIOError:
            pass
    assert beats == [("/anthesis/out/heartbeat", [n]) for n in range(LIFETIME // SECOND)]


def test_who_watches_is_told_what_arrives_and_what_it_did(server: OscServer) -> None:
    with ear() as desk:
        port = desk.getsockname()[1]
        ask = message("/anthesis/subscribe", "is", port, "/anthesis/out/heard")
        desk.sendto(ask, server.address)
        assert server.wait(10)
        frame(server, 0)
        for datagram in (
            message("/anthesis/psi", "f", 0.5),
            message("/anthesis/psi", "s", "loud"),
            message("/x", "dh", 1e300, 2**63 - 1),
            message("/eos/out/ping"),
            message("/anthesis/cue/next", "i", 0),
        ):
            desk.sendto(datagram, server.address)
        lines = []
        at = 0
        while len(lines) < 5:
            at += 1
            frame(server, at)
            desk.setblocking(False)
            try:
                while True:
                    lines.append(read_message(desk.recv(1000))[1])
            except BlockingIOError:
                server.wait(0.01)
    assert all(line[0] == "127.0.0.1" for line in lines)
    assert sorted(line[1:] for line in lines) == [
        ["cue/next: released, or repeated", 0, "/anthesis/cue/next", 0],
        ["malformed: psi: psi must be a finite number, got 'loud'", 0, "/anthesis/psi", "loud"],
        ["psi 0.5", 0, "/anthesis/psi", 0.5],
        ["refused: no such address", 0, "/eos/out/ping"],
        ["refused: no such address", 0, "/x", "1e+300", "9223372036854775807"],
    ]


def test_nobody_who_has_not_asked_for_it_is_told_what_arrives(server: OscServer) -> None:
    with ear() as desk:
        port = desk.getsockname()[1]
        for pattern in ("/anthesis/out/*", "/anthesis/out/h*"):
            desk.sendto(message("/anthesis/subscribe", "is", port, pattern), server.address)
        assert server.wait(10)
        desk.sendto(message("/anthesis/psi", "f", 0.5), server.address)
        frame(server, SECOND)
        assert not server.watched
        desk.settimeout(0.2)
        told = set()
        with suppress(TimeoutError):
            while True:
                told.add(read_message(desk.recv(1000))[0])
        assert told
        assert "/anthesis/out/heard" not in told


def test_who_watches_later_is_not_told_what_is_long_past(server: OscServer) -> None:
    with ear() as first, ear() as second:
        for desk in (first, second):
            watch = ("/anthesis/subscribe", "is", desk.getsockname()[1], "/anthesis/out/heard")
            server._queue(message(*watch), SENDER)
            frame(server, 0 if desk is first else 2 * LIFETIME)
            if desk is first:
                frame(server, LIFETIME)  # nobody watches any more
                server._queue(message("/anthesis/psi", "f", 0.5), SENDER)
                frame(server, LIFETIME + 1)
        server._queue(message("/anthesis/noise", "f", 0.5), SENDER)
        frame(server, 2 * LIFETIME + 1)
        assert read_message(second.recv(1000))[1][3] == "/anthesis/noise"


@pytest.mark.skipif(shutil.which("oscdump") is None, reason="liblo-tools is not installed")
def test_liblo_hears_it(server: OscServer) -> None:
    with ear() as free:
        port = free.getsockname()[1]
    dump = subprocess.Popen(
        ["stdbuf", "-oL", "oscdump", "-L", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert dump.stdout is not None
        at, line = 0, ""
        subscribe = message("/anthesis/subscribe", "is", port, "/anthesis/out/cue")
        with ear() as desk:
            while not server.counts.applied:
                desk.sendto(subscribe, server.address)
                server.wait(1)
                frame(server, at)
            # It may not be listening yet: what is told once is told again to who subscribes again.
            with selectors.DefaultSelector() as selector:
                selector.register(dump.stdout, selectors.EVENT_READ)
                while not selector.select(0.05):
                    at += SECOND
                    desk.sendto(subscribe, server.address)
                    server.wait(1)
                    frame(server, at)
            line = dump.stdout.readline()
    finally:
        dump.kill()
        dump.wait()
        dump.stdout.close()
    assert '/anthesis/out/cue is 1 "garden"' in line
