"""The desk files that come with Anthesis: what a desk sends does what its file says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from osc_sender import SENDER, message

from engine.errors import UserError
from live.control import apply, target_of
from live.desks import bundled_desks, find_desk, load_desk, patch_of
from live.osc import OscServer
from live.rehearsal import check
from live.setlist import load_setlist
from live.show import CueFacts, Show
from live.slew import Slew

PROGRAMME = tuple(CueFacts(f"cue {n}", 8.0, "loop") for n in range(1, 14))
SECOND = 1_000_000_000


class Hall:
    """A show in made-up time, and the desk that drives it, by real packets."""

    def __init__(self, desk: str) -> None:
        self.server = OscServer(patch=find_desk(desk, Path()))
        self.show = Show.opening(PROGRAMME, 120.0, cue=2)
        self.at = 0

    def send(self, *datagrams: bytes) -> None:
        """A frame in which these arrive, and ten seconds for whatever slews."""
        for datagram in datagrams:
            self.server._queue(datagram, SENDER)
        for told in self.server.messages(self.show, self.at, PROGRAMME):
            self.show = apply(self.show, told, self.at, PROGRAMME)
        self.at += 10 * SECOND

    def value(self, address: str) -> object:
        if address == "cue":
            return self.show.voice.cue + 1
        return target_of(self.show, address, self.at, PROGRAMME)[0]


Sent = bytes | tuple[bytes, ...]
F201, F202 = "/Page1/Fader201", "/Page1/Fader202"
SEQUENCE = "/14.14.1.6.1"
ROWS: list[tuple[str, Sent, str, object]] = [
    # grandMA3: every tag, 0 to 100, with a prefix and without
    ("grandma3", message(F201, "i", 50), "master", 0.5),
    ("grandma3", message(F201, "f", 99.5), "master", 0.995),
    ("grandma3", message(F201, "s", "25"), "master", 0.25),
    ("grandma3", message(F201, "T"), "master", 0.01),
    ("grandma3", message(F201, "F"), "master", 0.0),
    ("grandma3", message("/gma3" + F201, "i", 50), "master", 0.5),
    ("grandma3", message(F202, "f", 66.66667), "psi", 1.0),
    ("grandma3", message("/Page1/Fader203", "f", 50.0), "noise", 1.0),
    ("grandma3", message("/Page1/Fader204", "f", 50.0), "tempo/bpm", 60.0),
    ("grandma3", message("/Page1/Fader204", "f", 100.0), "tempo/bpm", 225.0),
    ("grandma3", message("/Page1/Fader205", "f", 25.0), "position", 0.25),
    ("grandma3", message("/Page1/Fader206", "f", 25.0), "overlay/opacity", 0.25),
    ("grandma3", message("/Page1/Key101", "i", 1), "cue", 4),
    ("grandma3", message("/Page1/Key102", "i", 1), "cue", 2),
    ("grandma3", message("/Page1/Key102", "i", 0), "cue", 3),
    ("grandma3", message("/Page1/Key104", "i", 1), "blackout", 1),
    ("grandma3", message("/Page1/Key105", "i", 1), "freeze", 1),
    ("grandma3", message(SEQUENCE, "sif", "FaderMaster", 1, 99.5), "master", 0.995),
    ("grandma3", message(SEQUENCE, "sis", "Go+", 1, "Cue 2"), "cue", 4),
    ("grandma3", message(SEQUENCE, "sis", "Go-", 1, "Cue 2"), "cue", 2),
    ("grandma3", message(SEQUENCE, "si", "Top", 1), "cue", 1),
    ("grandma3", (message(SEQUENCE, "si", "On", 1),), "play", 1),
    ("grandma3", (message(SEQUENCE, "si", "On", 1), message(SEQUENCE, "si", "Off", 1)), "play", 0),
    ("grandma3", message("/anthesis/tempo/bpm", "f", 128.0), "tempo/bpm", 128.0),
    ("grandma3", message("/anthesis/cue/go", "s", "cue 9"), "cue", 9),
    # ETC Eos: a decimal point makes a float, none an integer, anything else a string
    ("eos", message("/anthesis/psi", "f", 1.5), "psi", 1.5),
    ("eos", message("/anthesis/psi", "i", 1), "psi", 1.0),
    ("eos", message("/anthesis/psi", "sf", "+", 0.25), "psi", 1.25),
    ("eos", message("/anthesis/fade", "fi", 0.0, 4), "master", 0.0),
    ("eos", message("/anthesis/cue/go", "s", "cue 9"), "cue", 9),
    ("eos", message("/eos/out/active/cue/1/7", "f", 0.0), "cue", 7),
    ("eos", message("/eos/out/active/cue/2/7", "f", 0.0), "cue", 3),
    ("eos", message("/eos/fader/1/1", "f", 0.5), "master", 0.5),
    ("eos", message("/eos/fader/1/2", "f", 2 / 3), "psi", 1.0),
    ("eos", message("/eos/fader/1/3", "f", 0.5), "noise", 1.0),
    ("eos", message("/eos/fader/1/4", "f", 0.5), "tempo/bpm", 160.0),
    # MagicQ: floats to 1, integers to 100
    ("magicq", message("/pb/1", "f", 0.5), "master", 0.5),
    ("magicq", message("/exec/1/11", "i", 50), "master", 0.5),
    ("magicq", message("/pb/2", "f", 2 / 3), "psi", 1.0),
    ("magicq", message("/pb/3", "f", 0.5), "noise", 1.0),
    ("magicq", message("/pb/4", "f", 0.5), "tempo/bpm", 160.0),
    ("magicq", message("/pb/5", "f", 0.25), "position", 0.25),
    ("magicq", message("/pb/6", "f", 0.25), "overlay/opacity", 0.25),
    ("magicq", message("/exec/1/1", "i", 100), "cue", 4),
    ("magicq", message("/exec/1/2", "i", 100), "cue", 2),
    ("magicq", message("/exec/1/4", "i", 100), "blackout", 1),
    ("magicq", message("/exec/1/5", "i", 100), "freeze", 1),
    ("magicq", message("/exec/1/6", "i", 100), "cue/hold", 1),
    ("magicq", message("/anthesis/cue/go", "i", 2), "cue", 2),
    # QLC+: a datagram for each channel that changed
    ("qlcplus", message("/0/dmx/0", "f", 0.5), "master", 0.5),
    ("qlcplus", message("/0/dmx/1", "f", 1.0), "blackout", 1),
    ("qlcplus", message("/0/dmx/2", "f", 1.0), "freeze", 1),
    ("qlcplus", message("/0/dmx/3", "f", 2 / 3), "psi", 1.0),
    ("qlcplus", (message("/0/dmx/3", "f", 0.0), message("/0/dmx/3", "f", 0.9)), "psi", 1.35),
    ("qlcplus", message("/0/dmx/4", "f", 0.5), "noise", 1.0),
    ("qlcplus", message("/0/dmx/5", "f", 0.5), "tempo/bpm", 160.0),
    ("qlcplus", message("/0/dmx/6", "f", 0.25), "speed", -1.0),
    ("qlcplus", message("/0/dmx/7", "f", 0.25), "position", 0.25),
    ("qlcplus", message("/0/dmx/8", "f", 1.0), "play", 1),
    ("qlcplus", message("/0/dmx/9", "f", 1.0), "cue", 4),
    ("qlcplus", message("/0/dmx/10", "f", 1.0), "cue", 2),
    ("qlcplus", message("/0/dmx/11", "f", 1.0), "cue/hold", 1),
    ("qlcplus", message("/0/dmx/14", "f", 0.0), "overlay/visible", 0),
    ("qlcplus", message("/0/dmx/15", "f", 0.25), "overlay/opacity", 0.25),
    ("qlcplus", message("/0/dmx/20", "f", 1.0), "cue", 1),
    ("qlcplus", message("/0/dmx/31", "f", 1.0), "cue", 12),
    ("qlcplus", (message("/0/dmx/20", "f", 1.0), message("/0/dmx/20", "f", 0.0)), "cue", 1),
    # QLab: its own words, and Anthesis'
    ("qlab", message("/go"), "cue", 4),
    ("qlab", message("/cue/7/start"), "cue", 7),
    ("qlab", message("/cue/cue 7/start"), "cue", 7),
    ("qlab", message("/playhead/previous"), "cue", 2),
    ("qlab", message("/resume"), "play", 1),
    ("qlab", (message("/resume"), message("/pause")), "play", 0),
    ("qlab", (message("/resume"), message("/stop")), "play", 0),
    ("qlab", message("/anthesis/master", "f", 0.25), "master", 0.25),
    # TouchOSC
    ("touchosc", message("/1/fader1", "f", 2 / 3), "psi", 1.0),
    ("touchosc", message("/1/fader2", "f", 0.5), "noise", 1.0),
    ("touchosc", message("/1/fader3", "f", 0.5), "tempo/bpm", 160.0),
    ("touchosc", message("/1/fader4", "f", 0.75), "speed", 1.0),
    ("touchosc", message("/1/fader5", "f", 0.5), "master", 0.5),
    ("touchosc", message("/1/toggle1", "f", 1.0), "blackout", 1),
    ("touchosc", message("/1/toggle2", "f", 1.0), "freeze", 1),
    ("touchosc", message("/1/toggle3", "f", 1.0), "cue/hold", 1),
    ("touchosc", message("/1/toggle4", "f", 1.0), "play", 1),
    ("touchosc", (message("/1/push1", "f", 1.0), message("/1/push1", "f", 0.0)), "cue", 4),
    ("touchosc", message("/1/push2", "f", 1.0), "cue", 2),
    ("touchosc", message("/2/push12", "f", 1.0), "cue", 12),
    ("touchosc", message("/1/xy1", "ff", 0.5, 0.25), "psi", 0.75),
    ("touchosc", message("/1/xy1", "ff", 0.5, 0.25), "noise", 0.5),
    # Resolume's ways hold for everybody
    ("touchosc", message("/anthesis/psi", "sf", "-", 0.25), "psi", 0.75),
    ("touchosc", message("/anthesis/psi", "sf", "*", 0.5), "psi", 0.5),
    (
        "touchosc",
        (message("/anthesis/cue/next", "i", 1), message("/anthesis/cue/next", "i", 0)),
        "cue",
        4,
    ),
]


@pytest.mark.parametrize(("desk", "sent", "parameter", "value"), ROWS)
def test_what_a_desk_sends_does_what_its_file_says(
    desk: str, sent: Sent, parameter: str, value: object
) -> None:
    hall = Hall(desk)
    for datagram in sent if isinstance(sent, tuple) else (sent,):
        hall.send(datagram)
    assert hall.value(parameter) == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(
    ("desk", "address", "parameter"),
    [
        ("grandma3", "/Page1/Key103", "taps"),
        ("magicq", "/exec/1/3", "taps"),
        ("qlcplus", "/0/dmx/12", "taps"),
        ("touchosc", "/1/push3", "taps"),
    ],
)
def test_taps_set_the_tempo(desk: str, address: str, parameter: str) -> None:
    hall = Hall(desk)
    for _ in range(4):
        hall.send(message(address, "i", 100))
        hall.at -= 10 * SECOND - SECOND // 4
        hall.send(message(address, "i", 0))
        hall.at -= 10 * SECOND - SECOND // 4
    # To what the way through the socket took, in real time.
    assert hall.show.transport.bpm == pytest.approx(120.0, abs=0.05)
    assert len(hall.show.transport.taps) == 4


def test_every_entry_of_every_desk_is_tried_above() -> None:
    """But for those that differ from one that is in a number, and what records."""
    tried: set[tuple[str, str]] = set()
    for desk, sent, *_ in ROWS:
        hall = Hall(desk)
        for datagram in sent if isinstance(sent, tuple) else (sent,):
            address = datagram[: datagram.index(0)].decode()
            routes = hall.server._routes.of(address)
            tried |= {(desk, rule.target.name) for _, rules, _ in routes for rule in rules}
    for desk in bundled_desks():
        for entry in find_desk(desk, Path()).entries:
            if not re.match(r"record|tempo/tap|tempo/downbeat", entry.to):
                assert (desk, entry.to) in tried


def test_every_desk_tells_how_to_patch_it() -> None:
    assert {"grandma3", "eos", "qlcplus", "magicq", "qlab", "touchosc"} <= bundled_desks().keys()
    for name, path in bundled_desks().items():
        load_desk(path)
        head = path.read_text().partition("[[")[0]
        assert 15 <= head.count("\n") <= 45, name
        assert f"--desk {name}" in head


def test_a_show_whose_desk_is_wrong_does_not_begin(tmp_path: Path) -> None:
    show = tmp_path / "show.toml"
    show.write_text('[osc]\ndesk = "hog.toml"\n[[cue]]\nname = "a"\nkeys = [{seed=1}, {seed=2}]\n')
    with pytest.raises(UserError, match=r"hog\.toml"):
        check(show)
    (tmp_path / "hog.toml").write_text('[[osc.map]]\naddress = "/a"\nto = "psy"\n')
    done = subprocess.run(
        [sys.executable, "-m", "live", "play", str(show), "--headless", "--osc", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f'{tmp_path / "hog.toml"}: [[osc.map]] 1 "/a" to: ' in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_entry_in_the_readme_is_one(tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    block = next(b for b in re.findall(r"```toml\n(.*?)```", readme, re.S) if "[[osc.map]]" in b)
    show = tmp_path / "show.toml"
    show.write_text(f'{block}\n[[cue]]\nname = "a"\nkeys = [{{seed = 1}}, {{seed = 2}}]\n')
    osc = load_setlist(show).osc
    patch = patch_of(osc, osc.desk, tmp_path)
    assert patch.entries[0].to == "psi"
    assert patch.slew == {"master": Slew(0.04)}
    assert len(patch.entries) == 1
    assert patch.beneath == find_desk("grandma3", tmp_path).entries


def test_a_desk_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="eos, grandma3, magicq, qlab, qlcplus, touchosc"):
        find_desk("hog", tmp_path)
    with pytest.raises(UserError, match=r"hog\.toml"):
        find_desk("hog.toml", tmp_path)
    (tmp_path / "hog.toml").write_text('[[osc.map]]\naddress = "/a"\nto = "psi"\n')
    assert len(find_desk("hog.toml", tmp_path).entries) == 1
