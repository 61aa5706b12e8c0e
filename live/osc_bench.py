"""What a desk costs a show: rows for `live.bench`.

osc_route is one message, from its bytes to what is meant by it, with 60 addresses and 20 patterns
mapped; osc_route (first) the same the first time that an address comes. In a storm another process
sends 5,000 messages a second for ten seconds, in turns of two seconds with as much silence:
interval (osc silence) and interval (osc storm) are between two frames in either, osc_frame is what
hearing takes of a frame in the storm. How many were sent, heard and lost stands beside it; lost is
what the show received and neither applied, merged, refused nor found malformed.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.bench.figures import Row
from live.addresses import Message
from live.mapping import MapEntry
from live.osc import OscServer, encode
from live.routes import Patch
from live.show import Programme, Show

ADDRESSES, PATTERNS = 60, 20
MESSAGES = 20_000
RATE, TURN_S, TURNS = 5_000, 2.0, 5
A_STORM = 10  # messages in a frame: more than anybody sends by hand
_SENDER = ("127.0.0.1", 40_000)


def patch() -> Patch:
    """A large desk: 60 faders by name, and 20 patterns."""
    levels = ("psi", "noise", "overlay/opacity")
    mapped = [
        MapEntry(address=(f"/desk/fader/{n}",), to=levels[n % 3], input=(0.0, 1.0))
        for n in range(ADDRESSES)
    ]
    mapped += [
        MapEntry(address=(f"/*/Page{n}/Fader[12]*",), to="psi", input=(0.0, 100.0))
        for n in range(PATTERNS)
    ]
    return Patch(tuple(mapped))


class TimedDesk(OscServer):
    """An OscServer that keeps how long hearing took, in ms, since it was last asked."""

    def __init__(self, listen: str) -> None:
        super().__init__(listen, patch=patch())
        self._took_ms = 0.0

    def messages(self, show: Show, at: int, programme: Programme) -> list[Message]:
        """See `OscServer.messages`."""
        began = time.perf_counter_ns()
        messages = super().messages(show, at, programme)
        self._took_ms += (time.perf_counter_ns() - began) / 1e6
        return messages

    def took(self) -> float:
        """The ms since the last call."""
        took, self._took_ms = self._took_ms, 0.0
        return took


def route_rows() -> list[Row]:
    """What one message takes, when its address is known and the first time."""
    known = [encode(f"/desk/fader/{n % ADDRESSES}", n / MESSAGES) for n in range(MESSAGES)]
    new = [encode(f"/gma{n}/Page{n % PATTERNS}/Fader201", 50.0) for n in range(MESSAGES // 20)]
    server = OscServer(patch=patch())
    _routed(server, known[: MESSAGES // 10])
    return [
        Row.of("osc_route", _routed(server, known)),
        Row.of("osc_route (first)", _routed(server, new)),
    ]


def _routed(server: OscServer, datagrams: Sequence[bytes]) -> list[float]:
    times = []
    for datagram in datagrams:
        began = time.perf_counter_ns()
        server.read(datagram, _SENDER)
        times.append((time.perf_counter_ns() - began) / 1e6)
    return times


def storm_rows(
    desk: TimedDesk, interval: Callable[[], float], turns: int = TURNS, turn_s: float = TURN_S
) -> list[Row]:
    """What a storm does to a show; `interval` takes a turn, and returns the ms between frames."""
    before = desk.counts
    intervals: dict[bool, list[float]] = {False: [], True: []}
    took = []
    call = f"from live.osc_bench import storm; storm({desk.address!r}, {turns}, {turn_s})"
    sending = subprocess.Popen([sys.executable, "-c", call], stdout=subprocess.PIPE, text=True)
    with sending as sender:
        while sender.poll() is None:
            received = desk.counts.received
            desk.took()
            ms = interval()
            storms = desk.counts.received - received > A_STORM
            intervals[storms].append(ms)
            if storms:
                took.append(desk.took())
        assert sender.stdout is not None
        sent = int(sender.stdout.read())
    while desk.wait(0.0):
        interval()
    after = desk.counts
    received = after.received - before.received
    lost = after.received - after.applied - after.merged - after.refused - after.malformed
    told = f"{sent} sent, {received} received, {lost} lost"
    return [
        Row.of("interval (osc silence)", intervals[False]),
        Row.of("interval (osc storm)", intervals[True]),
        replace(Row.of("osc_frame (storm)", took), how=told),
    ]


def storm(to: tuple[str, int], turns: int, turn_s: float) -> None:
    """Send, in turns with silence; print how many. Runs in a process of its own."""
    datagrams = [
        encode("/anthesis/record/marker", "storm")
        if n % 100 == 0
        else encode(f"/desk/fader/{n % ADDRESSES}", n % 997 / 997)
        for n in range(9_700)
    ]
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        for _ in range(turns):
            time.sleep(turn_s)
            began = time.perf_counter()
            of_turn = 0
            while (elapsed := time.perf_counter() - began) < turn_s:
                while of_turn < elapsed * RATE:
                    opened.sendto(datagrams[sent % len(datagrams)], to)
                    sent, of_turn = sent + 1, of_turn + 1
                time.sleep(0.0002)
    sys.stdout.write(f"{sent}\n")
