"""When a datagram reached the machine, however late its reader comes."""

import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from live import osc_stamps
from live.osc import OscServer, encode
from live.osc_stamps import LONGEST_NS, waited

STAMP = (socket.SOL_SOCKET, 35, struct.pack("@ll", 1_700_000_000, 250))
NOW = 1_700_000_000 * 10**9 + 250


@pytest.fixture
def opened() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(10)
        yield opened


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps")
def test_what_waited_for_its_reader_is_as_old_as_it_is(opened: socket.socket) -> None:
    osc_stamps.stamp(opened)
    opened.sendto(b"beat", opened.getsockname())
    sent = time.perf_counter_ns()
    time.sleep(0.05)
    data, sender, wait = osc_stamps.receive(opened, 100)
    assert (data, sender) == (b"beat", opened.getsockname())
    assert 40_000_000 < wait <= time.perf_counter_ns() - sent + 10_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps")
def test_a_beat_is_as_old_as_it_is_though_the_servers_thread_comes_late(
    opened: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = OscServer._hear_udp
    monkeypatch.setattr(OscServer, "_hear_udp", lambda server: (time.sleep(0.05), hear(server)))
    with OscServer("127.0.0.1:0") as server:
        opened.sendto(encode("/anthesis/tempo/beat", 1), server.address)
        assert server.wait(10)
        (beat,) = server.drain()
    assert 40_000_000 < beat.age_ns < LONGEST_NS


def test_without_a_stamp_it_is_new(opened: socket.socket) -> None:
    opened.sendto(b"beat", opened.getsockname())
    assert osc_stamps.receive(opened, 100) == (b"beat", opened.getsockname(), 0)


@pytest.mark.parametrize(
    ("beside", "late", "wait"),
    [
        ([STAMP], 5_000_000, 5_000_000),
        ([(socket.SOL_SOCKET, 99, b"something else"), STAMP], 7, 7),
        ([STAMP], -1, 0),  # the wall's clock was put back
        ([STAMP], LONGEST_NS + 1, 0),  # or ahead
        ([(socket.SOL_SOCKET, 35, b"short")], 5, 0),
        ([], 5, 0),
    ],
)
def test_a_stamp_is_read(beside: list[tuple[int, int, bytes]], late: int, wait: int) -> None:
    assert waited(beside, NOW + late) == wait
