"""`anthesis osc`: list, send, monitor, learn, with shows and desks that are real datagrams."""

import json
import re
import socket
import subprocess
import sys
import threading
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from osc_sender import message
from typer.testing import CliRunner

from engine.errors import UserError
from live import osc_listing, touchosc
from live.addresses import ADDRESSES, coerce
from live.cli import app
from live.control import apply
from live.feedback import FEEDBACK
from live.learning import Learner
from live.osc import OscServer
from live.osc_client import Client
from live.show import CueFacts, Show
from live.trace import Heard

PROGRAMME = (CueFacts("garden", 8.0, "loop"), CueFacts("dusk", 8.0, "loop"))


class Stage:
    """A show that is on, without pictures."""

    def __init__(self) -> None:
        self.server = OscServer("127.0.0.1:0")
        self.server.start()
        host, port = self.server.address
        self.endpoint = f"{host}:{port}"
        self.show = Show.opening(PROGRAMME, 120.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._perform)
        self._thread.start()

    def _perform(self) -> None:
        at = 0
        while not self._over.is_set():
            self.server.wait(0.02)
            at += 20_000_000
            for told in self.server.messages(self.show, at, PROGRAMME):
                self.show = apply(self.show, told, at, PROGRAMME)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    opened = Stage()
    yield opened
    opened.close()


@pytest.fixture
def free() -> str:
    """An endpoint on which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["osc", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# list


def test_the_list_has_every_address_with_its_range_and_meaning() -> None:
    printed = run("list")
    for name, address in ADDRESSES.items():
        line = next(
            line for line in printed.splitlines() if line.split()[:1] == [f"/anthesis/{name}"]
        )
        assert address.meaning in line
    assert re.search(r"/anthesis/psi +psi:f -2\.\.2 \[seconds:f 0\.\.3600\]", printed)
    assert all(f"/anthesis/{name}" in printed for name in FEEDBACK)


def test_the_list_as_data() -> None:
    data = json.loads(run("list", "--json", "--prefix", "/left"))
    assert [row["parameter"] for row in data["addresses"]] == list(ADDRESSES)
    psi = next(row for row in data["addresses"] if row["address"] == "/left/psi")
    assert psi["relative"]
    assert psi["arguments"][0] == {
        "name": "psi",
        "types": "f",
        "kind": "number",
        "low": -2.0,
        "high": 2.0,
        "optional": False,
        "choices": [],
    }
    assert data == osc_listing.record("/left")


def test_the_layout_sends_what_is_understood(tmp_path: Path) -> None:
    """Every control's message, at both of its ends, is one that its address takes, in range."""
    file = tmp_path / "anthesis.tosc"
    run("list", "--touchosc", str(file))
    assert file.read_bytes() == touchosc.layout()
    root = ElementTree.fromstring(zlib.decompress(file.read_bytes()))
    sending = set()
    identities = [node.get("ID") for node in root.iter("node")]
    assert len(set(identities)) == len(identities)
    for osc in root.iter("osc"):
        address = osc.findtext("path/partial/value") or ""
        known = ADDRESSES[address.removeprefix("/anthesis/")]
        sending.add(known.name)
        argument = osc.find("arguments/partial")
        assert argument is not None
        if argument.findtext("type") == "CONSTANT":
            assert coerce(known, [argument.findtext("value")]) is not None
            continue
        for end in ("scaleMin", "scaleMax"):
            value = float(argument.findtext(end) or "nan")
            meant = coerce(known, [value])
            if known.relative:
                assert meant is not None
                assert meant.args[0] == value
    assert {name for name, a in ADDRESSES.items() if a.relative} <= sending
    assert {"blackout", "freeze", "cue/next", "cue/go", "tempo/tap"} <= sending
    frames = [
        tuple(int(float(v.findtext(key) or 0)) for key in "xywh")
        for v in root.iterfind(".//children/node/properties/property[@type='r']/value")
    ]
    assert len(set(frames)) == len(frames)  # nothing lies on anything else


# send


def test_send_tells_and_asks(stage: Stage) -> None:
    to = ("--to", stage.endpoint)
    run("send", "psi", "0.5", *to)
    run("send", "/anthesis/cue/go", "dusk", *to)
    run("send", "psi", "+", "0.25", *to)
    run("send", "noise", "-", "0.5", *to)
    assert run("send", "psi", *to) == "/anthesis/psi 0.75\n"
    assert run("send", "noise", *to) == "/anthesis/noise 0.5\n"
    assert run("send", "noise", "?", *to) == "/anthesis/noise 0.5\n"
    assert run("send", "ping", *to) == "/anthesis/pong\n"
    assert stage.show.voice.cue == 1


def test_a_prefix_of_ones_own_and_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as show:
        show.bind(("127.0.0.1", 0))
        show.settimeout(10)
        to = f"127.0.0.1:{show.getsockname()[1]}"
        for prefix, full in (("/stage", "/stage/psi"), ("stage/", "/stage/psi"), ("/", "/psi")):
            run("send", "psi", "1", "--to", to, "--prefix", prefix)
            assert show.recv(100) == message(full, "i", 1)


def test_what_cannot_be_sent(free: str) -> None:
    with pytest.raises(UserError, match="psi: cannot be sent: float too large"):
        run("send", "psi", "1e300", "--to", free)


def test_a_question_to_nobody(free: str) -> None:
    with pytest.raises(UserError, match="no answer from"):
        run("send", "psi", "--to", free)


# monitor


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "live", "osc", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def desk(endpoint: str, *datagrams: bytes) -> None:
    host, _, port = endpoint.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, (host, int(port)))


def test_the_monitor_listens_where_no_show_is(free: str) -> None:
    process = started("monitor", "--osc", free, "--desk", "grandma3")
    try:
        assert "no show is on" in told(process)
        for datagram, says in (
            (message("/Page1/Fader201", "f", 50.0), "/Page1/Fader201 50  ->  master 0.5 0.04"),
            (message("/Page1/Fader202", "i", 3), "->  not picked up yet: it is at 1"),
            (message("/Page7/Fader1", "f", 1.0), "->  refused: no such address"),
            (message("/anthesis/cue/go", "s", "no\nwhere"), "'no\\nwhere'  ->  cannot: no cue"),
            (b"hello", "->  malformed: it begins with"),
        ):
            desk(free, datagram)
            assert says in told(process)
    finally:
        ended(process)


def test_the_monitor_asks_a_show_that_is_on(stage: Stage) -> None:
    with Client(stage.endpoint) as client:
        lines = client.watch("/anthesis")
        while not stage.server.watched:
            next(lines)
        network = message("/anthesis/network", "s", "../a.pt")
        noise = message("/anthesis/noise", "f", 0.3)
        desk(stage.endpoint, message("/x/y", "sT", "a b"), network, noise)
        says = "passed on, the show's terminal says what comes of it: network ../a.pt"
        wanted = {
            ("/x/y 'a b' True", "refused: no such address"),
            ("/anthesis/noise 0.3", "noise 0.3"),
            ("/anthesis/network ../a.pt", says),
        }
        heard: set[tuple[str, str]] = set()
        while not wanted <= heard:
            line = next(lines)
            heard |= set() if line is None else {(str(line.heard), line.outcome)}


def test_the_monitor_says_when_it_leaves_something_out(stage: Stage) -> None:
    with Client(stage.endpoint) as client:
        lines = client.watch("/anthesis")
        while not stage.server.watched:
            next(lines)
        outcome = ""
        while "left out" not in outcome:
            desk(stage.endpoint, *[message("/x")] * 100)
            line = next(lines)
            outcome = "" if line is None else line.outcome


# learn


def learnt(*heard: Heard, to: str = "psi", counts_to: tuple[float, float] | None = None) -> object:
    learner = Learner()
    for one in heard:
        learner.hear(one)
    (entry,) = tomllib.loads(learner.entry(to, counts_to))["osc"]["map"]
    return entry


F201 = "/Page1/Fader201"


def test_what_is_moved_is_learnt() -> None:
    moving = [Heard(F201, [n / 10]) for n in range(5)]
    assert learnt(*moving) == {"address": F201, "to": "psi", "input": [0, 1]}
    chatter = [Heard("/eos/out/ping", []), Heard("/eos/out/active/cue/1/1", [0.5])] * 9
    assert learnt(*chatter, *moving, *chatter) == learnt(*moving)
    assert learnt(Heard("/button", [1])) == {"address": "/button", "to": "psi", "input": [0, 1]}


def test_the_value_is_the_number_that_changes_and_the_word_before_it_a_guard() -> None:
    sequence = "/14.14.1.6.1"
    moving = [Heard(sequence, ["FaderMaster", 1, float(n)]) for n in (3, 50, 70)]
    assert learnt(*moving, to="master", counts_to=(0, 100)) == {
        "address": sequence,
        "to": "master",
        "arg": 2,
        "input": [0, 100],
        "when": {"0": "FaderMaster"},
    }
    assert learnt(Heard(sequence, ["Go+", 1, "Cue 2"]), to="cue/next") == {
        "address": sequence,
        "to": "cue/next",
        "arg": 1,
        "input": [0, 1],
        "when": {"0": "Go+"},
    }
    assert learnt(Heard("/go", []), to="cue/next") == {"address": "/go", "to": "cue/next"}
    assert learnt(Heard("/go", [3]), to="cue/go") == {"address": "/go", "to": "cue/go"}


def test_what_a_fader_counts_to_is_never_guessed() -> None:
    with pytest.raises(UserError, match="sent 37: say what it counts to"):
        learnt(Heard(F201, [37.0]))
    with pytest.raises(UserError, match="nothing was moved"):
        learnt()
    with pytest.raises(UserError, match="nothing was moved"):
        learnt(Heard("/a*", [1.0]))


@pytest.mark.parametrize(
    ("address", "to", "counts_to", "says"),
    [
        ("/a", "overlay", (0, 100), r"\[\[osc.map\]\] 1 \"/a\".* takes words"),
        ("/a", "psi", (1, 1), "its two ends are the same"),
        ("/\u00e9", "psi", None, "is no OSC address"),
    ],
)
def test_what_makes_no_entry_is_said_in_one_line(
    address: str, to: str, counts_to: tuple[float, float] | None, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        learnt(Heard(address, (0.5,)), to=to, counts_to=counts_to)


def test_learn_writes_the_entry_and_it_works(free: str, tmp_path: Path) -> None:
    file = tmp_path / "desk.toml"
    process = started("learn", "psi", "--osc", free, "-o", str(file), "--input", "0", "100")
    try:
        assert "no show is on" in told(process)
        assert "move what is to drive psi" in told(process)
        desk(free, *[message(F201, "f", value) for value in (1.0, 50.0, 75.0)])
        printed, _ = process.communicate(timeout=60)
    finally:
        ended(process)
    assert process.returncode == 0
    assert file.read_text() == printed
    assert tomllib.loads(printed)["osc"]["map"][0]["address"] == F201


def test_learn_is_not_distracted_by_who_only_asks(stage: Stage) -> None:
    """Everybody who is told something subscribes again and again, learn itself among them."""
    asks = [
        message("/anthesis/subscribe", "i", 9),
        message("/anthesis/ping"),
        message("/anthesis/psi"),
    ]
    process = started("learn", "psi", "--osc", stage.endpoint)
    try:
        assert "watching the show" in told(process)
        assert "move what is to drive psi" in told(process)
        while not stage.server.watched:
            assert process.poll() is None
        desk(stage.endpoint, *asks)
        desk(stage.endpoint, message("/fader", "f", 0.5))
        printed, _ = process.communicate(timeout=60)
    finally:
        ended(process)
    assert tomllib.loads(printed)["osc"]["map"][0]["address"] == "/fader"


def test_learn_knows_its_parameters_and_its_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such parameter"):
        run("learn", "psy")
    file = tmp_path / "desk.toml"
    file.write_text("[[osc.map]]\naddress = 1\n")
    with pytest.raises(UserError, match=r"\[\[osc\.map\]\] 1"):
        run("learn", "psi", "-o", str(file))
    assert file.read_text() == "[[osc.map]]\naddress = 1\n"
