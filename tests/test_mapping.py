"""Maps: what an entry makes of a message, and what is said of an entry that is wrong."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osc_sender import SENDER, message
from pydantic import ValidationError

from engine.errors import UserError
from live.addresses import ADDRESSES, Message
from live.desks import joined, load_desk
from live.mapping import MapEntry
from live.osc import OscServer
from live.routes import Patch
from live.setlist import load_setlist
from live.slew import Slew

FADER = "/Page1/Fader201"


def server(*entries: dict[str, object], **patch: object) -> OscServer:
    rules = tuple(MapEntry.model_validate(entry) for entry in entries)
    return OscServer(patch=Patch(rules, **patch))  # type: ignore[arg-type]


def meant(entry: dict[str, object], *datagrams: bytes) -> list[Message]:
    """What a desk with one entry means by some messages, each in a frame of its own."""
    opened = server({"address": FADER, **entry})
    heard = []
    for datagram in datagrams:
        opened._queue(datagram, SENDER)
        heard += [received.message for received in opened.drain(10**12)]
    return heard


def fader(value: float) -> bytes:
    return message(FADER, "f", value)


@pytest.mark.parametrize(
    ("entry", "sent", "args"),
    [
        # as it comes
        ({"to": "psi"}, 0.5, (0.5,)),
        ({"to": "blackout"}, 0.5, (1,)),
        ({"to": "cue/go"}, 3.0, (3,)),
        # ranges: the output is the parameter's own unless it is given
        ({"to": "master", "input": (0, 100)}, 50, (0.5,)),
        ({"to": "psi", "input": (0, 100)}, 75, (1.0,)),
        ({"to": "psi", "input": (0, 100), "output": (0, 1)}, 75, (0.75,)),
        ({"to": "psi", "output": (1, 2)}, 0.25, (1.25,)),
        ({"to": "psi", "output": (1, 2), "invert": True}, 0.25, (1.75,)),
        ({"to": "master", "invert": True}, 0.25, (0.75,)),
        ({"to": "master", "input": (100, 0)}, 25, (0.75,)),
        ({"to": "blackout", "input": (0, 100)}, 49, (0,)),
        ({"to": "blackout", "input": (0, 100)}, 50, (1,)),
        # clamped, or not; the parameter's range holds whatever the entry says
        ({"to": "psi", "input": (0, 1), "output": (0, 1)}, 1.5, (1.0,)),
        ({"to": "psi", "input": (0, 1), "output": (0, 1), "clamp": False}, 1.5, (1.5,)),
        ({"to": "psi", "input": (0, 1), "output": (0, 1), "clamp": False}, 9, (2.0,)),
        # curves
        ({"to": "master", "curve": "gamma", "gamma": 2}, 0.5, (0.25,)),
        ({"to": "tempo/bpm", "curve": "exp", "output": (30, 120)}, 0.5, (60.0,)),
        ({"to": "master", "curve": "table", "table": [(0, 0), (0.5, 0.1), (1, 1)]}, 0.75, (0.55,)),
        ({"to": "master", "curve": "table", "table": [(0.2, 0.3), (1, 1)]}, 0.1, (0.3,)),
        ({"to": "tempo/bpm", "curve": "speedmaster", "input": (0, 100)}, 50, (60.0,)),
        ({"to": "tempo/bpm", "curve": "speedmaster", "input": (0, 100)}, 100, (225.0,)),
    ],
)
def test_a_value_goes_through_its_entry(
    entry: dict[str, object], sent: float, args: tuple[float, ...]
) -> None:
    assert meant(entry, fader(sent)) == [Message(str(entry["to"]), pytest.approx(args, abs=0.01))]


def test_arguments_are_selected_and_guarded() -> None:
    entry = {"to": "master", "arg": 2, "when": {"0": "FaderMaster"}, "input": (0, 100)}
    moved = message(FADER, "sif", "FaderMaster", 1, 50.0)
    assert meant(entry, moved) == [Message("master", (0.5,))]
    opened = server({"address": FADER, **entry})
    opened._queue(message(FADER, "sis", "Go+", 1, "Cue 1"), SENDER)
    assert opened.drain(10**12) == []
    assert opened.counts.refused == 1
    assert meant({"to": "fade", "arg": (1, 0)}, message(FADER, "ff", 4.0, 0.5)) == [
        Message("fade", (0.5, 4.0))
    ]
    assert meant({"to": "psi", "when": {"1": 2}}, message(FADER, "ff", 0.5, 2.0)) == [
        Message("psi", (0.5,))
    ]


def test_what_an_entry_selects_must_be_there_and_be_a_number() -> None:
    opened = server({"address": FADER, "to": "psi", "arg": 1, "input": (0, 1)})
    nothing = message(FADER, "f", 1.0)
    words = message(FADER, "fs", 1.0, "loud")
    nan = message(FADER, "ff", 1.0, math.nan)
    for datagram in (nothing, words, nan, message(FADER)):
        opened._queue(datagram, SENDER)
        assert opened.drain(10**12) == []
    assert opened.counts.kinds == {"argument": 4}


def test_a_mapped_message_never_asks() -> None:
    for nothing in (message(FADER), message(FADER, "N")):
        opened = server({"address": FADER, "to": "psi"})
        assert opened.read(nothing, SENDER) == []
        assert opened.counts.kinds == {"argument": 1}


def test_a_part_of_the_address_is_a_value_too() -> None:
    entry = {"address": "/eos/out/active/cue/1/*", "to": "cue/go", "part": -1, "fires": "change"}
    opened = server(entry)
    heard = []
    for cue in (1, 1, 1, 2, 2, 1):  # once a second, whichever is active
        opened._queue(message(f"/eos/out/active/cue/1/{cue}", "f", 0.5), SENDER)
        heard += [received.message.args for received in opened.drain(10**12)]
    assert heard == [("1",), ("2",), ("1",)]  # a name, or else a number


def test_a_fader_presses_once_on_its_way_up() -> None:
    sent = [fader(value) for value in (0.1, 0.4, 0.6, 0.9, 1.0, 0.7, 0.3, 0.8)]
    assert meant({"to": "cue/next"}, *sent) == [Message("cue/next")] * 2
    hundred = [fader(value) for value in (10, 40, 60, 90, 100, 70, 30, 80)]
    assert meant({"to": "cue/next", "input": (0, 100)}, *hundred) == [Message("cue/next")] * 2
    recorded = {"to": "record/start", "input": (0, 100)}
    assert meant(recorded, *hundred) == [Message("record/start")] * 2
    assert meant({"to": "record/start"}, *sent) == [Message("record/start")] * 2
    assert meant(recorded, message(FADER, "s", "0.3")) == [Message("record/start", ("0.3",))]
    assert meant({"to": "cue/go", "args": [3]}, *sent) == [Message("cue/go", (3,))] * 2
    down = [fader(value) for value in (0.9, 0.2, 0.1, 0.8, 0.3)]
    assert meant({"to": "cue/next", "invert": True}, *down) == [Message("cue/next")] * 2


def test_a_button_that_never_says_it_is_released_fires_every_time() -> None:
    presses = [message(FADER, "i", value) for value in (1, 1, 0, 1)]
    assert meant({"to": "cue/next", "fires": "every"}, *presses) == [Message("cue/next")] * 3
    assert meant({"to": "cue/next"}, message(FADER), message(FADER)) == [Message("cue/next")] * 2


def test_one_fader_can_drive_two_parameters_and_a_map_hides_the_address_it_is_for() -> None:
    opened = server(
        {"address": FADER, "to": "psi"},
        {"address": "/*/Fader201", "to": "noise", "invert": True},
        {"address": "/anthesis/master", "to": "noise"},
    )
    opened._queue(fader(0.25), SENDER)
    opened._queue(message("/anthesis/master", "f", 0.5), SENDER)
    heard = [received.message for received in opened.drain(10**12)]
    assert heard == [Message("psi", (0.25,)), Message("noise", (0.5,))]  # the later noise counts
    assert opened.counts.merged == 1


def test_a_pattern_from_a_desk_means_mapped_addresses_too() -> None:
    opened = server({"address": FADER, "to": "psi"})
    opened._queue(message("/Page[12]/Fader*", "f", 0.25), SENDER)
    assert [received.message for received in opened.drain(10**12)] == [Message("psi", (0.25,))]


def test_a_flood_of_a_mapped_fader_takes_one_place_and_buttons_take_theirs() -> None:
    opened = server({"address": FADER, "to": "psi"}, {"address": "/button", "to": "cue/next"})
    for number in range(3000):
        opened._queue(fader(number / 3000), SENDER)
    for pressed in (1, 0, 1, 0):
        opened._queue(message("/button", "i", pressed), SENDER)
    heard = [received.message for received in opened.drain(10**12)]
    assert heard == [Message("psi", (pytest.approx(2999 / 3000),)), *[Message("cue/next")] * 2]
    assert (opened.counts.merged, opened.counts.applied) == (2999, 5)


def test_any_number_of_addresses_is_heard_and_few_are_remembered() -> None:
    opened = server({"address": "/*/Fader201", "to": "psi"})
    for number in range(10_000):
        opened._queue(message(f"/desk{number}/Fader201", "f", 0.5), SENDER)
        opened.drain(10**12)
    assert opened._routes.of.cache_info().currsize <= 4096
    assert opened.counts.applied == 10_000


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["lin", "exp", "gamma", "table", "speedmaster"]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_a_fader_says_the_parameter_stays_in_its_range(
    value: float, curve: str, clamp: bool, invert: bool
) -> None:
    entry: dict[str, object] = {"to": "tempo/bpm", "curve": curve, "clamp": clamp, "invert": invert}
    entry |= {"gamma": {"gamma": 2.2}, "table": {"table": [(0, 1), (0.5, 0), (1, 1)]}}.get(
        curve, {}
    )
    opened = server({"address": FADER, **entry})
    opened._queue(message(FADER, "d", value), SENDER)
    for received in opened.drain(10**12):
        assert 20.0 <= float(received.message.args[0]) <= 300.0
    assert opened.counts.applied + opened.counts.malformed == 1
    assert math.isfinite(value) or opened.counts.malformed == 1


# What is wrong with an entry

WRONG = [
    ('address = "psi"', '[[osc.map]] 1 "psi" address', 'it begins with "/"'),
    ('address = "/[a"', "address", "'[' is not closed"),
    ("address = []", "address", "names no address"),
    ('to = "psy"', f'[[osc.map]] 1 "{FADER}" to', "did you mean psi?"),
    ("", "to", "is missing"),
    ('to = "psi"\nfrom = 1', "from", "no such key"),
    ('to = "psi"\ncurve = "log"', "curve", '"log"'.replace('"', "'")),
    ('to = "psi"\ncurve = "gamma"', "", 'gamma goes with curve = "gamma"'),
    ('to = "psi"\ngamma = 2.0', "", 'gamma goes with curve = "gamma"'),
    ('to = "psi"\ncurve = "table"', "", "table goes with"),
    ('to = "psi"\ncurve = "table"\ntable = [[1, 0], [0, 1]]', "", "rising inputs"),
    ('to = "psi"\ncurve = "exp"', "", "both ends are above 0"),
    ('to = "psi"\ninput = [1, 1]', "", "two ends are the same"),
    ('to = "psi"\ninput = [0, nan]', "input[1]", "finite"),
    ('to = "psi"\ninput = [0, 1, 2]', "input", "at most 2"),
    ('to = "cue/go"\ninput = [0, 100]', "", "output is missing"),
    ('to = "overlay"\ninput = [0, 100]', "", "takes words"),
    ('to = "psi"\narg = -1', "arg[0]", "greater than or equal to 0"),
    ('to = "psi"\narg = [0, 1, 2]', "", "takes 2 arguments"),
    ('to = "psi"\npart = 0', "", "counted from 1"),
    ('to = "psi"\npart = 1\narg = 1', "", "either an argument or a part"),
    ('to = "psi"\nwhen = { first = 1 }', "when", "numbered"),
    ('to = "psi"\nargs = ["loud"]', "", "args: psi: psi must be a finite number"),
    ('to = "psi"\nargs = []', "", "ask for the value"),
    ('to = "psi"\nslew = "soon"', "slew", '"0.5 s"'),
    ('to = "speed"\nslew = "1 s"', "", "slew: speed has none"),
    ('to = "blackout"\ntakeover = "pickup"', "", "no level"),
    ('to = "psi"\nfires = "twice"', "fires", "'rise'"),
]


@pytest.mark.parametrize(("lines", "place", "says"), WRONG)
def test_a_wrong_entry_is_named_with_file_entry_and_key(
    tmp_path: Path, lines: str, place: str, says: str
) -> None:
    address = "" if lines.startswith("address") else f'address = "{FADER}"\n'
    to = 'to = "psi"\n' if lines.startswith("address") else ""
    entry = f"[[osc.map]]\n{address}{to}{lines}\n"
    desk = tmp_path / "desk.toml"
    desk.write_text(entry)
    with pytest.raises(UserError) as refusal:
        load_desk(desk)
    said = str(refusal.value)
    assert said.startswith(f"{desk}: [[osc.map]] 1")
    assert "\n" not in said
    assert place in said
    assert says in said or says.replace("'", '"') in said
    show = tmp_path / "show.toml"
    show.write_text(f'[[cue]]\nname = "a"\nkeys = [{{seed = 1}}, {{seed = 2}}]\n{entry}')
    with pytest.raises(UserError) as refusal:
        load_setlist(show)
    assert str(refusal.value) == said.replace(str(desk), str(show))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[osc.map]\naddress = '/a'", "two brackets"),
        ("[osc.slew]\npsy = '1 s'", "did you mean psi?"),
        ("[osc.slew]\nspeed = '1 s'", "set at once"),
        ("[osc.takeover]\nposition = 'pickup'", "picked up"),
        ("[osc.takeover]\npsi = 'later'", "'jump'"),
        ("[osc]\nlisten = '0.0.0.0:9000'", "listen"),
        ("[[osc.map]\n", "TOML"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, says: str) -> None:
    desk = tmp_path / "desk.toml"
    desk.write_text(text)
    with pytest.raises(UserError, match=str(desk)) as refusal:
        load_desk(desk)
    assert says in str(refusal.value) or says.replace("'", '"') in str(refusal.value)


def test_nothing_in_an_entry_is_evaluated() -> None:
    with pytest.raises(ValidationError):
        MapEntry(address=("/a",), to="psi", input=("__import__('os')", 1))  # type: ignore[arg-type]


def test_a_set_lists_entries_go_before_a_desks() -> None:
    """Also where the desk's file names the address among others, or by a pattern."""
    own = Patch((MapEntry(address=("/gma/Page1/F1",), to="noise"),), {"psi": Slew(1.0)})
    desk = Patch(
        (
            MapEntry(address=("/Page1/F1", "/*/Page1/F1"), to="psi"),
            MapEntry(address=("/gma/Page1/F1",), to="master"),
        ),
        {"psi": Slew(2.0), "noise": Slew(3.0)},
    )
    both = joined(own, desk)
    opened = OscServer(patch=both)
    for address, to in (("/gma/Page1/F1", "noise"), ("/Page1/F1", "psi"), ("/x/Page1/F1", "psi")):
        heard = opened.read(message(address, "f", 0.5), SENDER)
        assert [one.message.address for one in heard] == [to]
    assert both.slew == {"psi": Slew(1.0), "noise": Slew(3.0)}


def test_every_parameter_can_be_mapped() -> None:
    for name in ADDRESSES:
        assert MapEntry(address=("/a",), to=name).target.name == name
