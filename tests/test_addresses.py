"""What arrives from a desk, and the message it becomes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.addresses import ADDRESSES, Message, coerce

# STAGE's table: type tags of this landing's addresses; brackets are optional arguments.
TABLE = {
    "tempo/bpm": "f",
    "tempo/norm": "f",
    "tempo/tap": "[i]",
    "tempo/nudge": "f",
    "tempo/mult": "f",
    "tempo/beat": "i [f]",
    "tempo/downbeat": "[i]",
    "tempo/phase": "f",
    "play": "i",
    "stop": "[i]",
    "speed": "f",
    "position": "f",
    "cue/go": "[i]",
    "cue/next": "[i]",
    "cue/back": "[i]",
    "cue/hold": "i",
    "psi": "f [f]",
    "noise": "f [f]",
    "master": "f [f]",
    "blackout": "i",
    "freeze": "i",
    "fade": "f f",
    "fullscreen": "i",
    "monitor": "i",
    "key/seed": "i [i]",
    "network": "s",
    "overlay": "s",
    "overlay/visible": "i",
    "overlay/opacity": "f",
    "overlay/pane/terminal": "i",
    "overlay/pane/monitor": "i",
    "overlay/pane/picture": "i",
    "record/start": "[s]",
    "record/stop": "[i]",
    "record/marker": "[s]",
    "panic": "[i]",
    "ping": "",
    "subscribe": "i [s]",
}
# Beyond it: who leads the tempo, and a message that ends a panic whatever was pressed.
TIME = {"tempo/source": "s", "panic/undo": "[i]"}
# Beyond it: panes are moved, resized and faded, too.
PANES = {
    f"overlay/pane/{pane}/{key}": tags
    for pane in ("terminal", "monitor", "picture")
    for key, tags in (("opacity", "f"), ("place", "f f f f"))
}
SAMPLES = {"f": 1.0, "[f]": 1.0, "i": 1, "[i]": 1, "s": "desktop", "[s]": "words"}


def test_the_addresses_are_those_of_the_table() -> None:
    assert set(ADDRESSES) == {*TABLE, *TIME, *PANES}
    for name, tags in (TABLE | TIME | PANES).items():
        words = [argument.choices[-1] for argument in ADDRESSES[name].arguments if argument.choices]
        sample = words or [SAMPLES[tag] for tag in tags.split()]
        assert coerce(ADDRESSES[name], sample) is not None
        assert ADDRESSES[name].meaning


@pytest.mark.parametrize(
    ("address", "args", "expected"),
    [
        # one number, in every type that desks send
        ("tempo/bpm", (128.0,), (128.0,)),
        ("tempo/bpm", (128,), (128.0,)),
        ("tempo/bpm", ("128.5",), (128.5,)),
        ("master", (True,), (1.0,)),
        ("master", (False,), (0.0,)),
        ("master", ("1e-1",), (0.1,)),
        # ranges are explicit: nothing above 1 is taken for a percentage
        ("master", (50,), (1.0,)),
        ("master", (-0.1,), (0.0,)),
        ("tempo/bpm", (5,), (20.0,)),
        ("tempo/bpm", (900,), (300.0,)),
        ("noise", (3.0,), (2.0,)),
        ("position", (1.5,), (1.0,)),
        ("fade", (2.0, -1.0), (1.0, 0.0)),
        ("fade", ("0", 3), (0.0, 3.0)),
        # switches
        ("play", (1,), (1,)),
        ("play", (0,), (0,)),
        ("blackout", (255,), (1,)),
        ("blackout", (0.49,), (0,)),
        ("blackout", (0.5,), (1,)),
        ("freeze", ("1",), (1,)),
        # triggers, with or without an argument
        ("tempo/tap", (), ()),
        ("tempo/tap", (1,), ()),
        ("tempo/tap", (0.3,), ()),
        ("cue/next", (True,), ()),
        ("ping", (), ()),
        # cues
        ("cue/go", (2,), (2,)),
        ("cue/go", (2.0,), (2,)),
        ("cue/go", ("chorus",), ("chorus",)),
        ("cue/go", ("2",), ("2",)),
        ("cue/go", (), ()),
        ("cue/go", (True,), ()),
        # words, or the number of a pressed button
        ("record/start", (), ()),
        ("record/start", (1,), ()),
        ("record/start", ("  the\nend ",), ("the end",)),
        ("record/marker", ("x" * 300,), ("x" * 200,)),
        ("record/marker", ("bell \a",), ()),
        ("subscribe", (9001,), (9001,)),
        ("subscribe", (9001.0, "/anthesis/out/*"), (9001, "/anthesis/out/*")),
        # optional arguments
        ("tempo/beat", (3,), (3,)),
        ("tempo/beat", (3.0, 400), (3, 300.0)),
        ("tempo/beat", (0, 120), (0, 120.0)),
        ("tempo/beat", (), ()),
        # N is no argument
        ("psi", (None, 0.5), (0.5,)),
        ("tempo/tap", (None,), ()),
        # a value without an argument is a question
        ("master", (), ()),
        ("fade", (None,), ()),
        ("psi", ("?",), ()),  # as Resolume is asked
    ],
)
def test_coercion(address: str, args: tuple[object, ...], expected: tuple[object, ...]) -> None:
    message = coerce(ADDRESSES[address], args)
    assert message == Message(address, expected)  # type: ignore[arg-type]
    assert message is not None
    assert [type(arg) for arg in message.args] == [type(arg) for arg in expected]


@pytest.mark.parametrize("release", [0, 0.0, False, "0", "0.0"])
def test_a_lone_zero_to_a_trigger_is_the_release_of_a_button(release: object) -> None:
    for address in ADDRESSES.values():
        if address.kind == "trigger":
            assert coerce(address, [release]) is None
    assert coerce(ADDRESSES["play"], [release]) == Message("play", (0,))


@pytest.mark.parametrize(
    ("address", "args", "match"),
    [
        ("tempo/bpm", ("fast",), "bpm must be a finite number, got 'fast'"),
        ("tempo/bpm", (math.nan,), "finite"),
        ("tempo/bpm", (math.inf,), "finite"),
        ("tempo/bpm", ("nan",), "finite"),
        ("tempo/bpm", ("1_000",), "finite"),
        ("tempo/bpm", ("",), "finite"),
        ("tempo/bpm", (10**400,), "finite"),
        ("tempo/bpm", (b"\x01\x02",), "got bytes"),
        ("tempo/bpm", ([1, 2],), "got list"),
        ("tempo/bpm", (1.0, 2.0), "2 arguments, it takes bpm"),
        ("tempo/tap", ("hello",), "finite"),
        ("fade", (0.5,), "1 arguments, it takes target seconds"),
        ("tempo/nudge", (), "0 arguments, it takes beats"),
        ("tempo/beat", (1.5,), "whole number"),
        ("cue/go", (1.5,), "whole number"),
        ("cue/go", ("",), "finite"),
        ("cue/go", (math.nan,), "finite"),
        ("network", (5,), "name must be words, got 5"),
        ("network", ("bell \a",), r"name must be words, got 'bell \\x07'"),
        ("record/start", (math.nan,), "finite"),
        ("subscribe", (1e300,), r"from 1 to 65535, got 1e\+300$"),
        ("record/marker", (b"\x01\x02",), "got bytes"),
        ("play", (1, 1, 1), "3 arguments"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    address: str, args: tuple[object, ...], match: str
) -> None:
    with pytest.raises(ValueError, match=match) as refusal:
        coerce(ADDRESSES[address], args)
    assert str(refusal.value).startswith(address)


osc = st.one_of(
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=20),
    st.binary(max_size=8),
)


@given(st.sampled_from(sorted(ADDRESSES)), st.lists(osc, max_size=4))
def test_whatever_arrives_is_a_message_within_range_or_one_line(
    address: str, args: list[object]
) -> None:
    known = ADDRESSES[address]
    refusal, message = "", None
    try:
        message = coerce(known, args)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) < 200
        return
    if message is None:
        assert known.kind == "trigger"
        return
    assert message.address == address
    for argument, value in zip(known.arguments, message.args, strict=False):
        if not isinstance(value, str):
            assert argument.low <= value <= argument.high
    # and what was made once is not changed by doing it again
    if message.args and coerce(known, message.args) is not None:
        assert coerce(known, message.args) == message


@pytest.mark.parametrize("given", ["mosaic", "", "DESKTOP", 1, 0.5, True, None])
def test_an_overlay_is_one_of_those_there_are(given: object) -> None:
    if given is None:
        assert coerce(ADDRESSES["overlay"], [None]) == Message("overlay")  # a question
        return
    with pytest.raises(ValueError, match="must be one of off, terminal, split, desktop"):
        coerce(ADDRESSES["overlay"], [given])
