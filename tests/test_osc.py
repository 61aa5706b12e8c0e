"""OSC by real datagrams: what a desk sends, what strangers send, and what nobody should."""

import logging
import os
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osc_sender import SENDER, bundle, message, text

from engine.errors import UserError
from live import osc
from live.addresses import ADDRESSES, Message
from live.endpoint import contains, default_allow, networks, parse_endpoint
from live.osc import Counts, OscServer
from live.show import CueFacts, Show
from live.trace import Heard


def psi(value: float) -> bytes:
    return message("/anthesis/psi", "f", value)


NEXT = message("/anthesis/cue/next")


@pytest.fixture
def server() -> Iterator[OscServer]:
    with OscServer("127.0.0.1:0") as opened:
        yield opened


@pytest.fixture
def desk() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(10)
        yield opened


def hear(server: OscServer, count: int) -> list[Message]:
    """Drain until so many messages have come in."""
    heard: list[Message] = []
    while len(heard) < count:
        assert server.wait(10)
        heard += [received.message for received in server.drain(10**12)]
    return heard


def unheard(*datagrams: bytes) -> OscServer:
    """A server with datagrams waiting as the receiving thread leaves them; no socket, no thread."""
    server = OscServer()
    for datagram in datagrams:
        server._queue(datagram, SENDER)
    return server


def drained(*datagrams: bytes) -> list[Message]:
    return [received.message for received in unheard(*datagrams).drain(10**12)]


def waiting(server: OscServer) -> int:
    """Datagrams that came in and have not been read."""
    counts = server.counts
    return counts.received - counts.applied - counts.merged - counts.refused - counts.malformed


def adds_up(counts: Counts) -> bool:
    parts = counts.applied + counts.merged + counts.refused + counts.malformed
    return counts.received == parts


# What desks send


@pytest.mark.parametrize(
    ("datagram", "meant"),
    [
        (psi(0.5), Message("psi", (0.5,))),
        (message("/anthesis/psi", "i", 1), Message("psi", (1.0,))),
        (message("/anthesis/psi", "h", 1), Message("psi", (1.0,))),
        (message("/anthesis/psi", "d", 0.25), Message("psi", (0.25,))),
        (message("/anthesis/psi", "s", "0.75"), Message("psi", (0.75,))),
        (message("/anthesis/psi", "S", "0.75"), Message("psi", (0.75,))),
        (message("/anthesis/psi", "f", 99.0), Message("psi", (2.0,))),
        (message("/anthesis/blackout", "T"), Message("blackout", (1,))),
        (message("/anthesis/blackout", "F"), Message("blackout", (0,))),
        (message("/anthesis/blackout", "I"), Message("blackout", (1,))),
        (message("/anthesis/cue/next"), Message("cue/next")),
        (message("/anthesis/cue/next", "I"), Message("cue/next")),
        (message("/anthesis/cue/next", "N"), Message("cue/next")),
        (message("/anthesis/cue/go", "s", "chorus"), Message("cue/go", ("chorus",))),
        (message("/anthesis/cue/go", "c", 2), Message("cue/go", (2,))),
        (message("/anthesis/fade", "fi", 0.5, 3), Message("fade", (0.5, 3.0))),
        (text("/anthesis/cue/next"), Message("cue/next")),  # no type tags: an old sender
        (bundle(psi(0.5)), Message("psi", (0.5,))),
        (bundle(bundle(psi(0.5)), time_tag=2**63), Message("psi", (0.5,))),  # in the year 1968
    ],
)
def test_what_a_desk_sends_is_understood(datagram: bytes, meant: Message) -> None:
    server = unheard(datagram)
    assert [received.message for received in server.drain(10**12)] == [meant]
    assert server.counts == Counts(received=1, applied=1)


def test_the_release_of_a_button_does_nothing() -> None:
    server = unheard(message("/anthesis/cue/next", "i", 0), message("/anthesis/cue/next", "F"))
    assert server.drain(10**12) == []
    assert server.counts == Counts(received=2, applied=2)


def test_real_datagrams_in_their_order(server: OscServer, desk: socket.socket) -> None:
    sent = [psi(0.1), NEXT, message("/anthesis/noise", "f", 0.0), NEXT]
    for datagram in sent:
        desk.sendto(datagram, server.address)
    names = [heard.address for heard in hear(server, 4)]
    assert names == ["psi", "cue/next", "noise", "cue/next"]
    assert server.counts == Counts(received=4, applied=4)


@pytest.mark.skipif(shutil.which("oscsend") is None, reason="liblo-tools is not installed")
def test_liblo_is_understood(server: OscServer) -> None:
    port = str(server.address[1])
    for arguments, meant in (
        (["/anthesis/tempo/bpm", "f", "128"], Message("tempo/bpm", (128.0,))),
        (["/anthesis/tempo/b*", "d", "90"], Message("tempo/bpm", (90.0,))),
        (["/anthesis/cue/go", "s", "chorus"], Message("cue/go", ("chorus",))),
        (["/anthesis/cue/next", "I"], Message("cue/next")),
    ):
        subprocess.run(["oscsend", "127.0.0.1", port, *arguments], check=True)
        assert hear(server, 1)[0] == meant


def test_patterns_mean_several_addresses() -> None:
    heard = drained(message("/anthesis/{psi,noise}", "f", 0.5), message("/*/tempo/bp?", "i", 90))
    assert heard == [
        Message("psi", (0.5,)),
        Message("noise", (0.5,)),
        Message("tempo/bpm", (90.0,)),
    ]
    server = unheard(message("/anthesis/{psi,noise}", "f", 0.5), message("/anthesis/x*", "i", 1))
    server.drain(10**12)
    assert server.counts == Counts(received=3, applied=2, refused=1)


def test_a_prefix_of_ones_own_and_none() -> None:
    for prefix, address in (("/show/left/", "/show/left/psi"), ("", "/psi"), ("/", "/psi")):
        server = OscServer(prefix=prefix)
        server._queue(message(address, "f", 1.0), SENDER)
        server._queue(psi(0.0), SENDER)
        assert [received.message for received in server.drain(10**12)] == [Message("psi", (1.0,))]
        assert server.counts.refused == 1


# Merging and bounds


def test_a_flood_of_a_value_is_one_message_and_triggers_are_all() -> None:
    rng = random.Random(1)
    flood = [psi(i / 5000) for i in range(5000)] + [NEXT] * 20
    rng.shuffle(flood)
    last = [datagram for datagram in flood if datagram != NEXT][-1]
    server = unheard(*flood)
    assert waiting(server) == 21  # the flood takes one place
    heard = [received.message for received in server.drain(10**12)]
    assert [m.address for m in heard].count("cue/next") == 20
    assert [m for m in heard if m.address == "psi"] == drained(last)
    assert server.counts == Counts(received=5020, applied=21, merged=4999)


def test_a_newer_value_takes_effect_after_what_came_before_it() -> None:
    sent = [message("/anthesis/position", "f", 0.9), NEXT, message("/anthesis/position", "f", 0.1)]
    assert drained(*sent) == [Message("cue/next"), Message("position", (pytest.approx(0.1),))]


def test_values_merge_across_bundles_and_patterns_too() -> None:
    server = unheard(
        bundle(psi(0.1), NEXT, psi(0.2)), psi(0.3), message("/anthesis/{psi,play}", "i", 1)
    )
    heard = [received.message for received in server.drain(10**12)]
    assert heard == [Message("cue/next"), Message("play", (1,)), Message("psi", (1.0,))]
    assert server.counts == Counts(received=6, applied=3, merged=3)


def test_a_question_is_neither_merged_nor_merges() -> None:
    ask = text("/anthesis/psi") + text(",")
    heard = drained(psi(0.5), ask, psi(0.25), text("/anthesis/psi"))
    assert heard == [Message("psi"), Message("psi", (0.25,)), Message("psi")]


@pytest.mark.parametrize("other", [message("/anthesis/psi", "N"), message("/anthesis/psi", "b")])
def test_what_is_no_value_replaces_none(other: bytes) -> None:
    assert Message("psi", (0.5,)) in drained(psi(0.5), other)


def test_seeds_of_several_keys_do_not_replace_each_other() -> None:
    sent = [message("/anthesis/key/seed", "ii", seed, key) for seed, key in ((7, 1), (9, 2))]
    assert drained(*sent) == [Message("key/seed", (7, 1)), Message("key/seed", (9, 2))]


def test_too_many_triggers_are_refused_but_values_always_get_in() -> None:
    server = unheard(*[NEXT] * 2000, psi(0.5))
    heard = [received.message for received in server.drain(10**12)]
    assert heard == [Message("cue/next")] * 1024 + [Message("psi", (0.5,))]
    assert server.counts == Counts(received=2001, applied=1025, refused=976)
    server._queue(NEXT, SENDER)  # there is room again
    assert len(server.drain(10**12)) == 1


def test_large_bundles_are_bounded_by_their_bytes() -> None:
    large = bundle(*[NEXT] * 2000)
    server = unheard(*[large] * 1000)
    held = waiting(server)
    assert 50 < held < 100
    assert server.counts.refused == 1000 - held
    server.drain(10**12)
    for _ in range(held):  # there is room again
        server._queue(large, SENDER)
    assert waiting(server) == held
    server._queue(large, SENDER)
    assert waiting(server) == held


def test_reading_stops_when_the_budget_is_used_up_and_goes_on_in_the_next_frame() -> None:
    """The clock handed in ticks once each time that it is asked."""
    ticks = iter(range(10**6))
    server = unheard(*[NEXT] * 10)
    assert [len(server.drain(3, lambda: next(ticks))) for _ in range(5)] == [3, 3, 3, 1, 0]
    assert len(unheard(NEXT, NEXT).drain(0)) == 1  # never none


def test_a_small_bundle_is_not_torn_apart_and_a_large_one_may_be() -> None:
    small = bundle(*[NEXT] * 50)
    server = unheard(small, small)
    assert [len(server.drain(0)) for _ in range(3)] == [50, 50, 0]
    server = unheard(bundle(*[NEXT] * 200), psi(0.5))
    ticks = iter(range(10**6))
    assert [len(server.drain(60, lambda: next(ticks))) for _ in range(4)] == [60, 60, 60, 21]
    assert server.counts == Counts(received=201, applied=201)


def test_a_small_bundle_that_takes_very_long_is_torn_apart_all_the_same() -> None:
    """The clock handed in goes on by half a millisecond each time that it is asked."""
    ticks = iter(range(0, 10**12, 500_000))
    server = unheard(bundle(*[NEXT] * 50))
    heard = [len(server.drain(0, worked=lambda: next(ticks))) for _ in range(20)]
    assert 1 < heard[0] < 20
    assert sum(heard) == 50


# What nobody should send


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0",
        b"hello",
        b"/anthesis/psi",  # not terminated
        b"/anthesis/psi\0\0\0,f\0\0",  # the number is missing
        text("/anthesis/cue/go") + text(",sf") + text("a"),
        b"/\xff\xfe\0",
        text("/anthesis/psi") + b"no tags\0",
        text("/anthesis/psi") + b",Qf\0\0\0\0\0",
        message("/anthesis/psi", "[" * 30),
        message("/anthesis/psi", "]"),
        text("/anthesis/psi") + text("," + "f" * 1000) + b"\0" * 2000,
        b"/" + b"a" * 60000 + b"\0\0\0",
        message("/anthesis/psi", "s", "x" * 3000),
        text("/anthesis/psi") + text(",b") + b"\xff\xff\xff\xff",
        message("/anthesis/psi", "f", float("nan")),
        message("/anthesis/psi", "f", float("inf")),
        message("/anthesis/psi", "s", "loud"),
        message("/anthesis/speed", "ff", 1.0, 2.0),
        message("/anthesis/psi", "t", 2**64 - 1),
        message("/anthesis/fade", "f", 1.0),
        message("/anthesis/[a", "f", 1.0),
        message("/anthesis/" + "*a" * 200, "f", 1.0),
        b"#bundle\0",
        b"#bundle\0" + b"\0" * 7,
        bundle() + b"\xff\xff\xff\xfc",  # an element of -4 bytes
        bundle() + b"\0\0\0\0",
        bundle() + b"\0\0\0\x07/a\0\0,\0\0\0",
        bundle(b"spam"),
    ],
)
def test_the_malformed_is_counted_logged_once_and_ignored(
    datagram: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = unheard()
    for _ in range(3):
        server._queue(datagram, SENDER)
        assert server.drain(10**12) == []
    assert server.counts.malformed == 3
    assert adds_up(server.counts)
    assert len(caplog.records) == 1
    assert "\n" not in caplog.messages[0]


@pytest.mark.parametrize(
    ("datagram", "says"),
    [
        (message("/anthesis/psi", "T" * 33), "33 arguments, 32 at most"),
        (message("/anthesis/psi", "s", "x" * 3000), "3024 bytes, 2048 at most"),
    ],
)
def test_what_would_take_long_is_not_even_read(
    datagram: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert drained(datagram) == []
    assert says in caplog.text


def test_what_is_whole_in_a_damaged_bundle_is_obeyed() -> None:
    server = unheard(bundle(NEXT, b"spam", NEXT) + b"\0\0\0\x08")
    assert len(server.drain(10**12)) == 2
    assert server.counts == Counts(received=4, applied=2, malformed=2)


def test_bundles_nest_to_a_depth_and_no_further() -> None:
    nested = NEXT
    for _ in range(osc.DEEPEST_BUNDLE):
        nested = bundle(nested)
    assert drained(nested) == [Message("cue/next")]
    assert drained(bundle(nested)) == []
    for _ in range(2000):
        nested = bundle(nested)
    server = unheard(nested)
    assert server.drain(10**12) == []
    assert server.counts == Counts(received=1, malformed=1)


def test_an_empty_bundle_is_fine() -> None:
    server = unheard(bundle(), bundle(bundle(), bundle()))
    assert server.drain(10**12) == []
    assert server.counts == Counts(received=2, applied=2)


def test_unknown_addresses_are_refused_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    eos = message("/eos/out/active/cue/1/2", "f", 0.5)
    server = unheard(eos, eos, message("/anthesis/PSI", "f", 1.0))
    assert server.drain(10**12) == []
    assert server.counts == Counts(received=3, refused=3)
    assert len(caplog.records) == 2


def test_what_strangers_write_cannot_steer_the_operators_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = "/\x1b]2;hello\x07\n\u202eolleh"
    drained(message(address, "i", 1))
    assert "no such address: /\\x1b]2;hello\\x07\\n\\u202eolleh" in caplog.text
    assert str(Heard(address, (1,))).isprintable()


def test_a_hundred_kinds_of_nonsense_are_logged_and_then_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = unheard(*[message(f"/spam/{number}") for number in range(500)])
    server.drain(10**12)
    assert len(caplog.records) == 100
    assert server.counts.refused == 500


def test_python_osc_itself_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert drained(message("/anthesis/psi", "I"), message("/anthesis/cue/next", "c", 1))
    assert not [record for record in caplog.records if record.name != osc.__name__]


DATAGRAMS = st.one_of(
    st.binary(max_size=64),
    st.binary(max_size=64).map(lambda rest: text("/anthesis/psi") + rest),
    st.binary(max_size=64).map(lambda rest: b"#bundle\0" + b"\0" * 8 + rest),
    st.lists(st.binary(max_size=32), max_size=4).map(lambda parts: bundle(*parts)),
    st.tuples(
        st.sampled_from([*ADDRESSES, "*", "tempo/[a-z]*", "{psi,play}"]),
        st.text("ihfdsbrmtTFNISc[]x,", max_size=6),
        st.binary(max_size=48),
    ).map(lambda t: text(f"/anthesis/{t[0]}") + text("," + t[1]) + t[2]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(DATAGRAMS, max_size=12), st.integers(0, 20))
def test_whatever_arrives_nothing_is_raised_and_the_counts_add_up(
    datagrams: list[bytes], budget: int
) -> None:
    ticks = iter(range(10**6))
    server = unheard(*datagrams)
    heard: list[Message] = []
    while server.wait(0):
        heard += [received.message for received in server.drain(budget, lambda: next(ticks))]
    assert all(isinstance(m, Message) and m.address in ADDRESSES for m in heard)
    assert adds_up(server.counts)
    assert server.counts.applied >= len(heard)


# Who may send


def test_strangers_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    with (
        OscServer("0.0.0.0:0", ["127.0.0.1/32"]) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as friend,
    ):
        port = server.address[1]
        try:
            stranger.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this system has only one loopback address")
        for _ in range(3):
            stranger.sendto(psi(0.9), ("127.0.0.1", port))
        friend.bind(("127.0.0.1", 0))
        friend.sendto(psi(0.5), ("127.0.0.1", port))
        assert hear(server, 1) == [Message("psi", (0.5,))]
        assert server.counts == Counts(received=4, applied=1, refused=3)
    assert caplog.text.count("127.0.0.2") == 1


@pytest.mark.parametrize(
    ("listen", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "192.168.0.7", False),
        ("0.0.0.0", "192.168.0.7", True),
        ("0.0.0.0", "10.1.2.3", True),
        ("0.0.0.0", "8.8.8.8", False),
        ("192.168.0.5", "192.168.0.7", True),
        ("::", "::ffff:192.168.0.7", True),
        ("::", "fe80::1%eth0", True),
        ("::", "2001:db8::1", False),
        ("::1", "::1", True),
    ],
)
def test_who_may_send_when_nobody_said(listen: str, host: str, allowed: bool) -> None:
    assert contains(networks(default_allow(listen)), host) == allowed


def test_it_says_where_it_listens_and_to_whom() -> None:
    assert "this machine only" in OscServer("127.0.0.1:9000").describe()
    assert "private networks only" in OscServer("0.0.0.0:9000").describe()
    said = OscServer("0.0.0.0:9000", ["2.0.0.0/8"]).describe()
    assert "0.0.0.0:9000" in said
    assert "to 2.0.0.0/8" in said


# Answers


def test_questions_and_pings_are_answered_to_who_asked(
    server: OscServer, desk: socket.socket
) -> None:
    programme = (CueFacts("one", 8.0, "loop"),)
    show = Show.opening(programme, 120.0)
    desk.sendto(message("/anthesis/ping"), server.address)
    desk.sendto(text("/anthesis/tempo/bpm"), server.address)
    desk.sendto(NEXT, server.address)
    heard: list[Message] = []
    while not heard:
        assert server.wait(10)
        heard += server.messages(show, 0, programme)
    assert heard == [Message("cue/next")]
    assert desk.recv(100) == message("/anthesis/pong")
    assert desk.recv(100) == message("/anthesis/tempo/bpm", "f", 120.0)


def test_an_answer_knows_what_was_said_before_the_question(
    server: OscServer, desk: socket.socket
) -> None:
    programme = (CueFacts("one", 8.0, "loop"),)
    show = Show.opening(programme, 120.0)
    ask = [text("/anthesis/psi"), text("/anthesis/noise")]
    nowhere = message("/anthesis/cue/go", "s", "nowhere")  # the show will say so, not the answer
    noise = message("/anthesis/noise", "f", 0.25)
    desk.sendto(bundle(nowhere, psi(0.5), *ask, noise, ask[1]), server.address)
    assert server.wait(10)
    heard = server.messages(show, 0, programme)
    assert [m.address for m in heard] == ["cue/go", "psi", "noise"]  # the stage obeys them itself
    assert desk.recv(100) == psi(0.5)
    assert desk.recv(100) == message("/anthesis/noise", "f", show.noise.at(0))
    assert desk.recv(100) == noise


def test_an_answer_that_cannot_be_sent_costs_none_of_the_frames_messages(
    server: OscServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers["network"] = lambda: ("\udcff.pt",)  # a file's name that is no Unicode
    server._queue(message("/anthesis/network"), SENDER)
    server._queue(psi(0.5), SENDER)
    show, programme = Show.opening((CueFacts("a", 8.0, "loop"),), 120.0), ()
    assert server.messages(show, 0, programme) == [Message("psi", (0.5,))]
    assert "network: cannot be sent" in caplog.text


def test_an_answer_to_nobody_disturbs_nothing(server: OscServer, desk: socket.socket) -> None:
    for _ in range(10):
        server.reply(("127.0.0.1", 1), "pong")
        server.reply(("no such host", 1), "pong")
    desk.sendto(psi(0.5), server.address)
    assert hear(server, 1) == [Message("psi", (0.5,))]


# Opening and closing


@pytest.mark.parametrize(
    "listen",
    ["", "9000", ":9000", "localhost", "localhost:x", "localhost:99999", "::1:9000", "a:²"],
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"):
        OscServer(listen)


def test_endpoints() -> None:
    assert parse_endpoint("0.0.0.0:9000") == ("0.0.0.0", 9000)
    assert parse_endpoint("[::1]:53000") == ("::1", 53000)


@pytest.mark.parametrize("network", ["192.168.0.0/99", "the desk", "10.0.0", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(UserError, match=network):
        OscServer(allow=["10.0.0.0/8", network])


def test_a_taken_port_is_said_with_who_has_it(server: OscServer) -> None:
    with (
        pytest.raises(UserError, match=rf"taken by .+ \(process {os.getpid()}\)") as refusal,
        OscServer(f"127.0.0.1:{server.address[1]}"),
    ):
        pass
    assert "--osc HOST:PORT" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("listen", ["192.0.2.1:9000", "no.such.host.invalid:9000"])
def test_an_address_that_is_not_ours_is_refused(listen: str) -> None:
    with pytest.raises(UserError, match=r"0\.0\.0\.0|no such host"), OscServer(listen):
        pass


def test_closing_ends_the_thread_and_frees_the_port(desk: socket.socket) -> None:
    with OscServer("127.0.0.1:0") as server:
        listen = f"127.0.0.1:{server.address[1]}"
        desk.sendto(NEXT, server.address)
        assert server.wait(10)
        assert "osc" in [thread.name for thread in threading.enumerate()]
    assert "osc" not in [thread.name for thread in threading.enumerate()]
    server.close()
    assert len(server.drain(10**12)) == 1  # what had come in is still there
    with OscServer(listen):
        pass


def test_ipv6() -> None:
    server = OscServer("[::1]:0")
    try:
        server.start()
    except UserError:
        pytest.skip("no IPv6 here")
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as desk:
            desk.sendto(psi(0.5), ("::1", server.address[1]))
            assert hear(server, 1) == [Message("psi", (0.5,))]
    finally:
        server.close()
