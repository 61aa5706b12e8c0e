"""Bundles whose time has not come, and those whose time has passed; in made-up time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osc_sender import SENDER, bundle, message

from live.addresses import Message
from live.inbox import Datagram
from live.osc import Counts, OscServer
from live.osc_schedule import FURTHEST_NS, PLACES, Schedule, unix_ns
from live.show import CueFacts, Show

SECOND = 1_000_000_000
TODAY = 1_800_000_000 * SECOND
NEXT = message("/anthesis/cue/next")


def tag(unix: int) -> int:
    """The time tag of nanoseconds since 1970, rounded up."""
    seconds, rest = divmod(unix, SECOND)
    return ((seconds + 2_208_988_800) % 2**32 << 32) + -(-rest * 2**32 // SECOND)


def psi(value: float) -> bytes:
    return message("/anthesis/psi", "f", value)


class Evening:
    """A server whose two clocks, of the machine and on the wall, are moved by hand."""

    def __init__(self) -> None:
        self.now = 77 * SECOND
        self.wall = TODAY
        self.server = OscServer(wall=lambda: self.wall)

    def passes(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.wall += round(seconds * SECOND)

    def hear(self, *datagrams: bytes) -> list[Message]:
        for datagram in datagrams:
            self.server._queue(datagram, SENDER)
        return [received.message for received in self.server.drain(10**12, lambda: self.now)]


def test_time_tags_are_read_across_2036() -> None:
    for unix in (0, 1, TODAY, TODAY + 123_456_789, 2_085_978_495 * SECOND, 3_000_000_000 * SECOND):
        assert abs(unix_ns(tag(unix)) - unix) <= 1
    assert abs(unix_ns(tag(time.time_ns())) - time.time_ns()) < 60 * SECOND


def test_a_bundle_waits_for_its_time() -> None:
    evening = Evening()
    assert evening.hear(bundle(psi(0.5), NEXT, time_tag=tag(TODAY + SECOND)), psi(0.25)) == [
        Message("psi", (0.25,))
    ]
    evening.passes(0.999)
    assert evening.hear() == []
    evening.passes(0.001)
    assert evening.hear() == [Message("psi", (0.5,)), Message("cue/next")]
    assert evening.hear() == []
    assert evening.server.counts == Counts(received=3, applied=3)
    assert evening.server.counts.late == 0


def test_what_is_late_runs_at_once_and_is_counted() -> None:
    evening = Evening()
    late = bundle(psi(0.5), NEXT, time_tag=tag(TODAY - SECOND))
    assert evening.hear(late, bundle(NEXT), bundle(NEXT, time_tag=0)) == [
        Message("psi", (0.5,)),
        *[Message("cue/next")] * 3,
    ]
    assert evening.server.counts.late == 2


def test_bundles_within_bundles_have_times_of_their_own() -> None:
    evening = Evening()
    later = bundle(psi(0.3), time_tag=tag(TODAY + 2 * SECOND))
    outer = bundle(psi(0.1), bundle(psi(0.2)), later, time_tag=tag(TODAY + SECOND))
    assert evening.hear(outer) == []
    evening.passes(1)
    assert evening.hear() == [Message("psi", (pytest.approx(0.2),))]  # it merged the first
    evening.passes(1)
    assert evening.hear() == [Message("psi", (pytest.approx(0.3),))]


def test_a_clock_that_is_set_in_the_meantime_changes_nothing() -> None:
    evening = Evening()
    evening.hear(bundle(NEXT, time_tag=tag(TODAY + SECOND)))
    evening.wall -= 3600 * SECOND
    evening.passes(1)
    assert evening.hear() == [Message("cue/next")]


def test_too_far_ahead_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    evening = Evening()
    for seconds in (1, 3, 5):
        too_far = tag(TODAY + FURTHEST_NS + seconds * SECOND)
        assert evening.hear(bundle(NEXT, time_tag=too_far)) == []
    assert evening.server.counts == Counts(received=3, refused=3)
    assert caplog.text.count("whose clock?") == 1
    evening.passes(FURTHEST_NS / SECOND + 10)
    assert evening.hear() == []


def test_what_waits_is_bounded() -> None:
    evening = Evening()
    soon = bundle(*[NEXT] * 50, time_tag=tag(TODAY + SECOND))
    assert evening.hear(*[soon] * 30) == []
    assert evening.server.counts == Counts(received=1500, refused=1500 - PLACES)
    evening.passes(1)
    assert len(evening.hear()) == PLACES
    assert evening.hear(soon) == [Message("cue/next")] * 50  # its time is now


def test_what_is_due_does_not_overtake_what_was_due_before() -> None:
    evening = Evening()
    times = (0.3, 0.1, 0.2)
    sent = [
        bundle(message("/anthesis/cue/go", "i", n), time_tag=tag(TODAY + round(t * SECOND)))
        for n, t in enumerate(times, start=1)
    ]
    evening.hear(*sent)
    evening.passes(1)
    assert [heard.args for heard in evening.hear()] == [(2,), (3,), (1,)]


def test_a_message_knows_how_long_ago_it_was_due() -> None:
    evening = Evening()
    evening.hear(bundle(NEXT, time_tag=tag(TODAY + SECOND)))
    evening.passes(1.004)
    (received,) = evening.server.drain(10**12, lambda: evening.now)
    assert abs(received.age_ns - 4_000_000) <= 1


def test_a_message_knows_how_long_ago_it_came() -> None:
    server = OscServer()
    before = time.perf_counter_ns()
    server._queue(message("/anthesis/tempo/beat", "i", 1), SENDER)
    after = time.perf_counter_ns()
    now = after + 5_000_000
    (received,) = server.drain(10**12, lambda: now)
    assert 5_000_000 <= received.age_ns <= now - before
    programme = (CueFacts("one", 8.0, "loop"),)
    server._queue(message("/anthesis/tempo/beat", "i", 1), SENDER)
    (told,) = server.messages(Show.opening(programme, 120.0), 0, programme)
    assert told.age_ns > 0


@given(st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=12)), max_size=60))
def test_the_schedule_gives_back_what_it_took_in_order_and_makes_room(
    entries: list[tuple[int, bytes]],
) -> None:
    schedule = Schedule(places=20, room=120)
    took = [(due, data) for due, data in entries if schedule.put(due, Datagram(data, SENDER))]
    assert len(schedule) == len(took) <= 20
    got = []
    for now in range(51):
        while (datagram := schedule.take(now)) is not None:
            got.append((now, datagram.data))
    assert got == sorted(took, key=lambda entry: entry[0])
    assert schedule.put(0, Datagram(b"x" * 120, SENDER))
