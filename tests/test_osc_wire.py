"""OSC over TCP: framings by properties, connections by real ones."""

import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osc_sender import message, text

from live import osc_tcp
from live.addresses import Message
from live.osc import Counts, OscServer
from live.osc_wire import LARGEST_PACKET, FramingError, Lengths, Slip, framing_of
from live.show import CueFacts, Show

PROGRAMME = (CueFacts("one", 8.0, "loop"),)
PSI = message("/anthesis/psi", "f", 0.5)
NEXT = message("/anthesis/cue/next")

packets = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces(stream: bytes, at: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in at), len(stream)]
    return (stream[a:b] for a, b in pairwise(edges))


@given(packets, cuts)
def test_what_is_framed_by_its_length_comes_out_however_it_is_cut(
    sent: list[bytes], at: list[int]
) -> None:
    sender, receiver = Lengths(), Lengths()
    stream = b"".join(map(sender.wrap, sent))
    got = [packet for piece in pieces(stream, at) for packet in receiver.feed(piece)]
    assert got == sent
    assert not receiver.broken


@given(packets, cuts, st.booleans())
def test_what_is_framed_by_slip_comes_out_with_one_end_or_two(
    sent: list[bytes], at: list[int], double: bool
) -> None:
    receiver = Slip()
    frames = [Slip().wrap(packet) for packet in sent]
    stream = b"".join(frame if double else frame[1:] for frame in frames)
    assert [p for piece in pieces(stream, at) for p in receiver.feed(piece)] == sent


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_whatever_is_fed_nothing_is_raised_and_little_is_kept(stream: list[bytes]) -> None:
    first = b"".join(stream)[:1]
    receiver = framing_of(first[0] if first else 0)
    for piece in stream:
        for packet in receiver.feed(piece):
            assert isinstance(packet, FramingError) or len(packet) <= LARGEST_PACKET


def test_slip_as_the_standard_writes_it() -> None:
    assert Slip().wrap(b"a\xc0b\xdbc") == b"\xc0a\xdb\xdcb\xdb\xddc\xc0"
    assert Slip().feed(b"\xc0a\xdb\xdcb\xdb\xddc\xc0") == [b"a\xc0b\xdbc"]
    bad, good = Slip().feed(b"\xc0a\xdbx\xc0\xc0b\xc0")
    assert isinstance(bad, FramingError)
    assert good == b"b"


def test_what_is_too_long_is_not_kept() -> None:
    lengths = Lengths()
    (error,) = lengths.feed(struct.pack(">I", LARGEST_PACKET + 1) + b"abc")
    assert isinstance(error, FramingError)
    assert lengths.broken
    slip = Slip()
    found = [one for _ in range(100) for one in slip.feed(b"x" * 10_000)]
    assert len(found) == 1
    assert len(slip._kept) == 0
    assert slip.feed(b"\xc0/a\xc0") == [b"/a"]


@pytest.fixture
def server() -> Iterator[OscServer]:
    with OscServer("127.0.0.1:0") as opened:
        yield opened


def connected(server: OscServer) -> socket.socket:
    opened = socket.create_connection(server.address, timeout=10)
    opened.settimeout(10)
    return opened


def said(desk: socket.socket, data: bytes) -> bool:
    """Whether the connection still took this."""
    try:
        desk.sendall(data)
    except ConnectionError:
        return False
    return True


def hung_up_on(desk: socket.socket) -> bool:
    try:
        return desk.recv(10) == b""
    except ConnectionError:
        return True


def hear(server: OscServer, count: int) -> list[Message]:
    heard: list[Message] = []
    show = Show.opening(PROGRAMME, 120.0)
    while len(heard) < count:
        assert server.wait(10)
        heard += server.messages(show, 0, PROGRAMME)
    return heard


@pytest.mark.parametrize("framing", [Lengths(), Slip()])
def test_a_connection_is_heard_and_answered_in_its_own_framing(
    server: OscServer, framing: Lengths | Slip
) -> None:
    with connected(server) as desk:
        for packet in (PSI, text("/anthesis/tempo/bpm"), NEXT):
            desk.sendall(framing.wrap(packet))
        assert hear(server, 2) == [Message("psi", (0.5,)), Message("cue/next")]
        answer = framing.wrap(message("/anthesis/tempo/bpm", "f", 120.0))
        got = b""
        while len(got) < len(answer):
            got += desk.recv(1000)
        assert got == answer
    assert server.counts == Counts(received=3, applied=3)


@pytest.mark.skipif(shutil.which("oscsend") is None, reason="liblo-tools is not installed")
def test_liblo_is_understood_over_tcp(server: OscServer) -> None:
    url = f"osc.tcp://127.0.0.1:{server.address[1]}"
    subprocess.run(["oscsend", url, "/anthesis/tempo/bpm", "f", "128"], check=True, timeout=30)
    assert hear(server, 1) == [Message("tempo/bpm", (128.0,))]


def test_a_stream_that_is_none_is_ended_and_counted(
    server: OscServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with connected(server) as desk:
            desk.sendall(b"\0\xff\xff\xff" + PSI)
            assert desk.recv(10) == b""  # the server hangs up
    assert server.counts.kinds == {"framing": 3}
    assert caplog.text.count("malformed stream") == 1


def test_strangers_are_hung_up_on_and_never_answered() -> None:
    with OscServer("127.0.0.1:0", ["10.0.0.0/8"]) as server:
        with connected(server) as stranger:
            said(stranger, Lengths().wrap(message("/anthesis/ping")))
            assert hung_up_on(stranger)
        assert server.counts == Counts(received=1, refused=1)


def test_a_host_has_few_connections(server: OscServer) -> None:
    desks = [connected(server) for _ in range(osc_tcp.MOST_OF_A_HOST + 1)]
    try:
        assert hung_up_on(desks[-1])
        desks[0].close()
        desks[1].sendall(Lengths().wrap(NEXT))
        assert hear(server, 1) == [Message("cue/next")]
    finally:
        for desk in desks:
            desk.close()


def test_a_desk_that_lost_its_power_is_noticed(server: OscServer) -> None:
    """After some 25 seconds of silence; here only that the system is asked to see to it."""
    with connected(server) as desk:
        desk.sendall(Lengths().wrap(PSI))
        hear(server, 1)
        (line,) = server._lines._lines.values()
        assert line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            assert line.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


def test_one_who_does_not_read_his_answers_loses_his_connection(server: OscServer) -> None:
    show = Show.opening(PROGRAMME, 120.0)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as desk:
        desk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        desk.settimeout(60)
        desk.connect(server.address)
        question = Lengths().wrap(text("/anthesis/ping")) * 500
        while said(desk, question):
            server.wait(1)
            server.messages(show, 0, PROGRAMME)
    with connected(server) as other:
        other.sendall(Lengths().wrap(NEXT))
        while server.messages(show, 0, PROGRAMME) != [Message("cue/next")]:
            assert server.wait(10)


def test_where_tcp_is_taken_udp_is_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with OscServer(f"127.0.0.1:{port}") as server:
            assert "UDP alone" in server.describe()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk:
                desk.sendto(NEXT, server.address)
                assert hear(server, 1) == [Message("cue/next")]
