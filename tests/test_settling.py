"""From what is meant to what the show is told: changes, slews, take-over, presses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osc_sender import SENDER, bundle, message, text

from live.addresses import ADDRESSES, Message
from live.control import advance, apply
from live.mapping import MapEntry
from live.osc import OscServer
from live.routes import Patch
from live.show import CueFacts, Show
from live.slew import Ramp, Slew, parse_slew
from live.takeover import Pickups

SECOND = 1_000_000_000
PROGRAMME = tuple(CueFacts(f"cue {n}", 8.0, "loop") for n in range(1, 9))
PSI = "/anthesis/psi"


class Hall:
    """A show in made-up time, driven by packets; each `send` is a frame."""

    def __init__(self, patch: Patch | None = None) -> None:
        self.server = OscServer(patch=patch)
        self.show = Show.opening(PROGRAMME, 120.0)
        self.at = 0
        self.told: list[tuple[int, Message]] = []

    def send(self, *datagrams: bytes, at: float | None = None, who: str = "127.0.0.1") -> None:
        self.at = self.at + SECOND // 60 if at is None else round(at * SECOND)
        for datagram in datagrams:
            self.server._queue(datagram, (who, 40000))
        waiting = True
        while waiting:  # a busy machine may not read all in a frame's time for it
            for told in self.server.messages(self.show, self.at, PROGRAMME):
                self.told.append((self.at, told))
                self.show = apply(self.show, told, self.at, PROGRAMME)
            waiting = self.server.wait(0)

    def psi(self, at: float) -> float:
        return self.show.psi.at(round(at * SECOND))


# Changes


def test_changes_are_made_of_what_was_set_in_their_order() -> None:
    hall = Hall()
    up, down = message(PSI, "sf", "+", 0.25), message(PSI, "sf", "-", 0.5)
    hall.send(message(PSI, "f", 0.5), up, up, down, message(PSI, "sf", "*", 3.0))
    assert hall.show.psi.target == 1.5
    assert [told for _, told in hall.told] == [
        Message("psi", (value,)) for value in (0.5, 0.75, 1.0, 0.5, 1.5)
    ]
    hall.send(message(PSI, "sf", "*", 3.0))
    assert hall.show.psi.target == 2.0  # the end of its range
    hall.send(message(PSI, "sf", "-", 100.0))
    assert hall.show.psi.target == -2.0


def test_none_of_a_flood_of_changes_is_merged_away() -> None:
    hall = Hall()
    hall.send(*[message(PSI, "sf", "-", 1 / 1024)] * 1000)
    while hall.server.wait(0):  # as many as a frame has time for
        hall.send()
    assert hall.show.psi.target == 1.0 - 1000 / 1024


def test_a_value_that_comes_after_changes_is_the_value() -> None:
    hall = Hall()
    hall.send(message(PSI, "f", 0.1), message(PSI, "sf", "+", 1.0), message(PSI, "f", 0.5))
    assert hall.show.psi.target == 0.5


@pytest.mark.parametrize(
    "datagram",
    [
        message("/anthesis/blackout", "si", "+", 1),
        message("/anthesis/fade", "sff", "+", 0.1, 1.0),
        message(PSI, "s", "+"),
        message(PSI, "sff", "+", 1.0, 1.0) + b"",
        message(PSI, "sfff", "+", 1.0, 1.0, 1.0),
        message(PSI, "sf", "+", float("nan")),
        message(PSI, "sd", "*", float("inf")),
        message(PSI, "ss", "+", "loud"),
    ],
)
def test_a_change_that_cannot_be_meant(datagram: bytes) -> None:
    hall = Hall()
    hall.send(datagram)
    timed = datagram == message(PSI, "sff", "+", 1.0, 1.0)  # a change that takes a second
    assert (hall.server.counts.malformed, len(hall.told)) == ((0, 1) if timed else (1, 0))


def test_a_change_that_leads_to_infinity_is_counted() -> None:
    hall = Hall()
    hall.send(message("/anthesis/speed", "sd", "*", 1e308), message("/anthesis/speed", "f", 8.0))
    hall.send(message("/anthesis/speed", "sd", "*", 1e308))
    assert hall.show.transport.speed == 8.0
    counts = hall.server.counts
    assert counts.received == counts.applied + counts.merged + counts.malformed + counts.refused


@given(st.lists(st.tuples(st.sampled_from("+-*"), st.floats(-1e6, 1e6)), max_size=20))
def test_changes_never_leave_the_range(changes: list[tuple[str, float]]) -> None:
    hall = Hall()
    for operator, operand in changes:
        hall.send(message(PSI, "sd", operator, operand))
        assert -2.0 <= hall.show.psi.target <= 2.0


# Slews


def test_a_slew_in_seconds_and_in_beats() -> None:
    hall = Hall(Patch(slew={"psi": parse_slew("500 ms"), "noise": parse_slew("2 beats")}))
    hall.send(message(PSI, "f", 0.0), message("/anthesis/noise", "f", 0.0), at=1.0)
    assert [hall.psi(second) for second in (1.0, 1.25, 1.5, 9.0)] == [1.0, 0.5, 0.0, 0.0]
    noise = hall.show.noise  # at 120 BPM two beats are a second
    assert [noise.at(round(s * SECOND)) for s in (1.0, 1.5, 2.0)] == [1.0, 0.5, 0.0]
    hall.send(message(PSI, "f", 1.0), at=1.25)  # from where it is, not from where it was to go
    assert [hall.psi(second) for second in (1.25, 1.5, 1.75)] == [0.5, 0.75, 1.0]


def test_what_says_its_time_takes_that() -> None:
    hall = Hall(Patch(slew={"psi": Slew(10.0)}))
    hall.send(message(PSI, "ff", 0.0, 1.0), at=1.0)
    assert (hall.psi(1.5), hall.psi(2.0)) == (0.5, 0.0)
    hall.send(message(PSI, "ff", 1.0, 0.0), at=3.0)
    assert hall.psi(3.0) == 1.0
    assert [told.args for _, told in hall.told] == [(0.0, 1.0), (1.0, 0.0)]


def test_what_is_told_needs_no_patch_to_be_repeated() -> None:
    """A take holds what the show was told: the same show, to the bit, without the desk's file."""
    entry = MapEntry(address=("/fader",), to="psi", input=(0, 100), slew=Slew(0.5, "beats"))
    hall = Hall(Patch((entry,), slew={"noise": Slew(0.3)}, takeover={"noise": "pickup"}))
    for n in range(200):
        hall.send(
            message("/fader", "f", n * 37 % 100),
            message("/anthesis/noise", "f", n % 7 / 4),
            message(PSI, "sf", "*", 1.01),
            message("/anthesis/tempo/bpm", "f", 60.0 + n),
        )
    show = Show.opening(PROGRAMME, 120.0)
    for at, told in hall.told:
        show = apply(show, told, at, PROGRAMME)
    assert show == hall.show
    for look in range(0, hall.at, hall.at // 997):  # looking in between changes nothing
        advance(show, look, PROGRAMME)
    assert [show.psi.at(hall.at + n) for n in range(9)] == [
        hall.show.psi.at(hall.at + n) for n in range(9)
    ]


@given(st.floats(-2, 2), st.floats(0, 10), st.integers(0, 10**10), st.integers(0, 2 * 10**10))
def test_a_level_on_its_way_lies_between_its_ends_and_arrives(
    target: float, seconds: float, at: int, later: int
) -> None:
    ramp = Ramp(1.0).to(target, at, seconds)
    low, high = min(1.0, target), max(1.0, target)
    assert low - 1e-12 <= ramp.at(at + later) <= high + 1e-12
    assert ramp.at(at + round(seconds * 1e9)) == target
    assert ramp.remaining(at + round(seconds * 1e9)) == 0.0


@pytest.mark.parametrize("said", ["", "1", "s", "-1 s", "1 bar", "1e3 s", "nan s", "1 s ", 1, None])
def test_what_is_no_time(said: object) -> None:
    with pytest.raises(ValueError, match=r"0\.5 s"):
        parse_slew(said)


# Take-over


def test_a_fader_picks_its_parameter_up_and_then_has_it() -> None:
    hall = Hall(Patch(takeover={"psi": "pickup"}))  # psi is 1
    for value in (0.2, 0.5, 0.8):
        hall.send(message(PSI, "f", value))
        assert hall.show.psi.target == 1.0
    assert hall.server.counts.refused == 3
    hall.send(message(PSI, "f", 1.25))  # past it, in a stride
    assert hall.show.psi.target == 1.25
    hall.send(message(PSI, "f", -1.5))
    assert hall.show.psi.target == -1.5


def test_a_fader_loses_what_something_else_has_set() -> None:
    hall = Hall(Patch(takeover={"psi": "pickup"}))
    hall.send(message(PSI, "f", 1.0))
    hall.send(message(PSI, "f", 0.5))
    hall.show = apply(hall.show, Message("psi", (2.0,)), hall.at, PROGRAMME)  # a cue, a key
    hall.send(message(PSI, "f", 0.6))
    assert hall.show.psi.target == 2.0
    hall.send(message(PSI, "f", 1.995))  # near enough
    assert hall.show.psi.target == pytest.approx(1.995)


def test_two_desks_have_faders_of_their_own() -> None:
    hall = Hall(Patch(takeover={"psi": "pickup"}))
    hall.send(message(PSI, "f", 1.0), who="127.0.0.1")
    hall.send(message(PSI, "f", 0.2), who="127.0.0.1")
    hall.send(message(PSI, "f", 1.9), who="127.0.0.2")
    assert hall.show.psi.target == pytest.approx(0.2)
    hall.send(message(PSI, "f", 0.1), who="127.0.0.2")
    assert hall.show.psi.target == pytest.approx(0.1)


def test_a_fader_that_has_nothing_takes_nothing_from_one_that_has() -> None:
    faders = [MapEntry(address=(one,), to="psi", takeover="pickup") for one in ("/1", "/2")]
    hall = Hall(Patch(tuple(faders)))
    hall.send(message("/1", "f", 1.0))
    hall.send(message("/1", "f", 0.5), message("/2", "f", -2.0))  # within a frame
    assert hall.show.psi.target == 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_a_fader_never_makes_a_jump_that_is_larger_than_its_own(
    moves: list[float], value: float
) -> None:
    pickups, before = Pickups(), None
    for at in moves:
        if pickups.takes("fader", at, value, 1.0):
            stride = 0.01 if before is None else max(abs(at - before), 0.01)
            assert abs(at - value) <= stride + 1e-6
            value = at
        before = at


# Presses


@pytest.mark.parametrize("parameter", ["cue/next", "record/start", "record/marker"])
def test_an_address_that_is_pressed_by_a_fader_is_pressed_once_on_its_way_up(
    parameter: str,
) -> None:
    hall = Hall()
    for value in (0.1, 0.4, 0.7, 1.0, 0.5, 0.0, 0.3):
        hall.send(message(f"/anthesis/{parameter}", "f", value))
    assert [told for _, told in hall.told] == [Message(parameter)] * 2


def test_words_that_go_with_a_press_are_no_number_of_a_button() -> None:
    hall = Hall()
    for name in ("7", "8", "8"):
        hall.send(message("/anthesis/record/marker", "s", name))
    assert [told.args for _, told in hall.told] == [("7",), ("8",), ("8",)]


def test_a_button_that_always_says_one_is_pressed_every_time() -> None:
    hall = Hall()
    for _ in range(3):
        hall.send(message("/anthesis/cue/back", "i", 1), message("/anthesis/cue/back"))
    assert len(hall.told) == 6


def test_a_question_knows_of_changes_before_it() -> None:
    hall = Hall()
    replies: list[tuple[str, object]] = []
    hall.server.reply = lambda sender, address, args=(): replies.append((address, args))  # type: ignore[method-assign]
    hall.send(bundle(message(PSI, "f", 0.5), message(PSI, "sf", "+", 0.25), text(PSI)))
    assert replies == [("psi", (0.75,))]


def test_every_level_can_be_changed_and_what_is_none_cannot() -> None:
    relative = {name for name, address in ADDRESSES.items() if address.relative}
    assert {"psi", "noise", "master", "speed", "tempo/bpm", "position"} <= relative
    assert not {"blackout", "fade", "overlay", "cue/next", "tempo/nudge"} & relative
    assert SENDER
