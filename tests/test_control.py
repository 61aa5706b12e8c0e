"""The show in made-up time, with a made-up engine: tables of (time, messages) -> (beat, W+)."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.path import Path
from live.addresses import ADDRESSES, OF_THE_STAGE, Message, coerce
from live.control import (
    CueFacts,
    Programme,
    Reading,
    Show,
    advance,
    apply,
    upcoming,
    value_of,
)
from live.glide import Drive
from live.show import find_cue

SECOND = 1_000_000_000

# Four cues on a made-up network that maps a seed to its normal numbers: [4 layers, 3].


def mapped(seed: int) -> np.ndarray:
    w = np.random.RandomState(seed).randn(3).astype(np.float32)
    return np.broadcast_to(w, (4, 3))


def keys(*seeds: int) -> np.ndarray:
    return np.stack([mapped(seed) for seed in seeds])


PROGRAMME: Programme = (
    CueFacts("garden", duration=16.0, ending="loop"),
    CueFacts("verse", duration=6.0, ending="next", fade=2.0, tempo=90.0),
    CueFacts("chorus", duration=8.0, ending="spring"),
    CueFacts("close", duration=4.0, ending="next", fade=1.0),
)
PATHS = (
    Path(keys(1, 2, 3, 4), 4.0, ending="loop"),
    Path(keys(5, 6, 7), [4.0, 2.0], "hermite", ending="next"),
    Path(keys(1, 8, 9, 10, 11), [4.0, 4.0], ends="guide", ending="spring"),
    Path(keys(12, 13), 4.0, "linear", ending="next"),
)


def opening(bpm: float = 120.0, cue: int = 0, drive: Drive = "direct") -> Show:
    show = Show.opening(PROGRAMME, bpm, cue=cue, drive=drive)
    return apply(show, Message("play", (1,)), 0, PROGRAMME)


def wplus(show: Show, at: int) -> np.ndarray:
    """What the stage asks for when every cue is on one network."""
    show = advance(show, at, PROGRAMME)
    return np.sum(
        [r.weight * np.float64(on_path(r, show.psi.at(at))) for r in show.readings(at)], axis=0
    )


def on_path(reading: Reading, psi: float) -> np.ndarray:
    path, swing = PATHS[reading.cue], reading.spring
    if swing is None:
        return path.at(reading.beat, psi)
    return path.spring_at(swing.seconds, swing.beats_per_second, psi, reading.beat)


Script = Sequence[tuple[float, Message]]


def perform(script: Script, show: Show | None = None) -> Show:
    show = opening() if show is None else show
    for seconds, message in script:
        show = apply(show, message, round(seconds * SECOND), PROGRAMME)
    return show


def seen(show: Show, seconds: float) -> tuple[int, float]:
    """The cue and its beat, as far as they go."""
    at = round(seconds * SECOND)
    reading = advance(show, at, PROGRAMME).readings(at)[0]
    return reading.cue, reading.beat


def message(address: str, *args: float | int | str) -> Message:
    coerced = coerce(ADDRESSES[address], args)
    assert coerced is not None
    return coerced


# --- tables ------------------------------------------------------------------------------------

# Messages with their seconds, then moments with the cue (counted from 0) and the beat seen there.
TABLES: dict[str, tuple[Script, list[tuple[float, int, float]]]] = {
    "the clock alone": ([], [(0.0, 0, 0.0), (1.0, 0, 2.0), (9.0, 0, 18.0)]),
    "tempo": (
        [(1.0, message("tempo/bpm", 60)), (3.0, message("tempo/norm", 1.0))],
        [(0.5, 0, 1.0), (1.0, 0, 2.0), (3.0, 0, 4.0), (4.0, 0, 9.0)],
    ),
    "double, half": (
        [(1.0, message("tempo/mult", 2)), (2.0, message("tempo/mult", 0.5))],
        [(2.0, 0, 6.0), (3.0, 0, 8.0)],
    ),
    "pause and play": (
        [(1.0, message("play", 0)), (5.0, message("play", 1))],
        [(3.0, 0, 2.0), (5.0, 0, 2.0), (6.0, 0, 4.0)],
    ),
    "stop goes back to the beginning of the cue": (
        [(1.0, message("stop")), (5.0, message("play", 1))],
        [(1.0, 0, 0.0), (3.0, 0, 0.0), (6.0, 0, 2.0)],
    ),
    "speed, and backwards": (
        [(1.0, message("speed", 2)), (2.0, message("speed", -1))],
        [(2.0, 0, 6.0), (3.0, 0, 4.0), (7.0, 0, -4.0)],
    ),
    "nudge": ([(1.0, message("tempo/nudge", 0.5))], [(1.0, 0, 2.0), (2.0, 0, 4.5)]),
    "a beat pulls to the nearest": (
        [(1.1, message("tempo/beat", 1, 60.0))],
        [(1.1, 0, 2.2), (2.1, 0, 3.0)],
    ),
    "a downbeat pulls to the bar": ([(1.9, message("tempo/downbeat"))], [(2.9, 0, 6.0)]),
    "phase": ([(1.1, message("tempo/phase", 0.5))], [(2.1, 0, 4.5)]),
    "scrub": (
        [(1.0, message("position", 0.5)), (2.0, message("play", 0)), (3.0, message("position", 1))],
        [(1.0, 0, 8.0), (2.0, 0, 10.0), (2.5, 0, 10.0), (3.0, 0, 16.0), (4.0, 0, 16.0)],
    ),
    "hold": (
        [(1.0, message("cue/hold", 1)), (3.0, message("cue/hold", 0))],
        [(2.0, 0, 2.0), (3.0, 0, 2.0), (4.0, 0, 4.0)],
    ),
    "scrub while held": (
        [(1.0, message("cue/hold", 1)), (2.0, message("position", 0.25))],
        [(2.0, 0, 4.0), (3.0, 0, 4.0)],
    ),
    "a cue starts at its beginning, in its tempo": (
        [(1.0, message("cue/go", 2))],
        [(1.0, 1, 0.0), (2.0, 1, 1.5)],
    ),
    "next, by go without a cue, and back": (
        [(1.0, message("cue/next")), (2.0, message("cue/go")), (3.0, message("cue/back"))],
        [(1.5, 1, 0.75), (2.0, 2, 0.0), (3.0, 1, 0.0)],
    ),
    "the first cue begins again": ([(1.0, message("cue/back"))], [(1.0, 0, 0.0), (2.0, 0, 2.0)]),
    "by name, and a number in a string": (
        [(1.0, message("cue/go", "chorus")), (2.0, message("cue/go", "4"))],
        [(1.5, 2, 1.0), (2.0, 3, 0.0)],
    ),
    "the end leads to the next cue, without losing a beat": (
        [(1.0, message("cue/go", "verse"))],
        [(5.0 - 1e-9, 1, 6.0), (5.0, 2, 0.0), (6.0, 2, 1.5)],
    ),
    "the last cue holds": ([(0.0, message("cue/go", "close"))], [(2.0, 3, 4.0), (9.0, 3, 18.0)]),
    "a held cue does not end": (
        [(1.0, message("cue/go", "verse")), (2.0, message("cue/hold", 1))],
        [(9.0, 1, 1.5)],
    ),
    "a paused cue does not end before it plays": (
        [
            (1.0, message("cue/go", "verse")),
            (1.0, message("play", 0)),
            (2.0, message("position", 1.0)),
            (4.0, message("play", 1)),
        ],
        [(3.0, 1, 6.0), (4.0, 2, 0.0)],
    ),
    "turning back starts where the picture is": (
        [(0.0, message("cue/go", "close")), (60.0, message("speed", -1))],
        [(61.0, 3, 2.0)],
    ),
    "a loop turns back on its later rounds": (
        [(10.0, message("speed", -1))],
        [(10.0, 0, 20.0), (11.0, 0, 18.0)],
    ),
    "and so does turning round again": (
        [
            (0.0, message("cue/go", "close")),
            (0.0, message("speed", -1)),
            (60.0, message("speed", 1)),
        ],
        [(61.0, 3, 2.0)],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_table(name: str) -> None:
    script, moments = TABLES[name]
    for seconds, cue, beat in moments:
        show = perform([entry for entry in script if entry[0] <= seconds])
        assert seen(show, seconds) == (cue, pytest.approx(beat, abs=1e-6)), seconds


def test_a_table_of_w_plus() -> None:
    show = perform([(1.0, message("cue/go", "chorus"))])
    for seconds, expected in (
        (1.0, keys(8)[0]),
        (3.0, keys(9)[0]),
        (5.0, keys(10)[0]),
        (60.0, keys(10)[0]),  # the spring has settled
    ):
        np.testing.assert_allclose(wplus(show, round(seconds * SECOND)), expected, atol=1e-5)
    half = perform([(2.0, message("psi", 0.5))], show)
    np.testing.assert_allclose(wplus(half, 3 * SECOND), 0.5 * keys(9)[0], atol=1e-5)


# --- what happens on its own -------------------------------------------------------------------


def test_the_next_cue_begins_in_the_exact_nanosecond_and_on_the_beat() -> None:
    start = SECOND // 3
    show = apply(opening(), message("cue/go", "verse"), start, PROGRAMME)
    end = start + 4 * SECOND  # 6 beats of 90 BPM
    assert advance(show, end - 1, PROGRAMME).voice.cue == 1
    assert advance(show, end, PROGRAMME).voice.cue == 2
    show = apply(show, message("tempo/bpm", 97.3), start, PROGRAMME)
    end = start + math.ceil(6 * 60e9 / 97.3)
    late = advance(show, end + SECOND, PROGRAMME)
    assert late.voice.origin == show.voice.origin + 6.0
    assert late.voice.since_ns == end


def test_a_cue_entered_while_a_nudge_pulls_back_does_not_end_before_it_began() -> None:
    script = [
        (1.0, message("cue/go", "verse")),
        (1.0, message("tempo/nudge", -4.0)),
        (1.1, message("position", 0.99)),
    ]
    show = advance(perform(script), 9 * SECOND, PROGRAMME)
    assert show.voice.cue == 2
    assert show.voice.since_ns > 2 * SECOND  # it fell back first, then went on to its end


def test_the_spring_swings_as_the_path_says() -> None:
    show = perform([(1.0, message("cue/go", "chorus"))])
    for swing in (0.02, 0.1, 0.5, 2.0):
        expected = PATHS[2].spring_at(swing, 2.0)
        at = 5 * SECOND + round(swing * SECOND)
        np.testing.assert_allclose(wplus(show, at), expected, atol=1e-6)
    assert not np.allclose(PATHS[2].spring_at(0.1, 2.0), PATHS[2].at(8.0), atol=1e-3)


@pytest.mark.parametrize(
    "disturbance", [message("tempo/bpm", 20), message("play", 0), message("speed", 0)]
)
def test_the_spring_runs_by_show_time_whatever_the_beat_does(disturbance: Message) -> None:
    show = perform([(1.0, message("cue/go", "chorus"))])
    disturbed = perform([(5.1, disturbance)], show)
    at = round(5.3 * SECOND)
    np.testing.assert_array_equal(wplus(disturbed, at), wplus(show, at))


def test_a_reversed_spring_does_not_jump_and_is_armed_again() -> None:
    show = perform([(1.0, message("cue/go", "chorus")), (5.1, message("speed", -1))])
    before = perform([(1.0, message("cue/go", "chorus"))])
    at = round(5.1 * SECOND)
    np.testing.assert_allclose(wplus(show, at), wplus(before, at), atol=1e-6)
    assert seen(show, 6.1) == (2, pytest.approx(6.0))
    forth = perform([(6.1, message("speed", 1))], show)
    at = round(7.2 * SECOND)
    expected = PATHS[2].spring_at(0.1, 2.0)
    np.testing.assert_allclose(wplus(forth, at), expected, atol=1e-5)


def test_scrubbing_leaves_the_spring() -> None:
    show = perform([(1.0, message("cue/go", "chorus")), (5.1, message("position", 0.5))])
    np.testing.assert_allclose(wplus(show, round(5.1 * SECOND)), keys(9)[0], atol=1e-5)


def test_a_cue_fades_in_while_the_last_one_plays_on() -> None:
    show = perform([(1.0, message("cue/go", "verse"))])  # 2 beats of 90 BPM: 4/3 s
    at = SECOND + 4 * SECOND // 6
    coming, leaving = show.readings(at)
    assert (leaving.cue, coming.cue) == (0, 1)
    assert leaving.beat == pytest.approx(3.0)  # 120 BPM to the go, then 90
    assert coming.beat == pytest.approx(1.0)
    assert coming.weight == pytest.approx(0.5, abs=1e-6)
    quarter = show.readings(SECOND + SECOND // 3)[0].weight
    assert quarter == pytest.approx(3 / 16 - 2 / 64)
    end = SECOND + round(4 * SECOND / 3)
    assert [len(advance(show, ns, PROGRAMME).readings(ns)) for ns in (end - 1, end)] == [2, 1]
    weights = [show.readings(SECOND + i * SECOND // 100) for i in range(134)]
    assert all(sum(r.weight for r in pair) == pytest.approx(1.0) for pair in weights)
    assert np.diff([pair[0].weight for pair in weights]).min() > 0.0
    np.testing.assert_allclose(wplus(show, SECOND), wplus(opening(), SECOND), atol=1e-6)


def test_a_cue_that_is_left_still_springs() -> None:
    show = perform([(1.0, message("cue/go", "chorus")), (4.9, message("cue/go", "close"))])
    at = round(5.1 * SECOND)
    leaving = advance(show, at, PROGRAMME).readings(at)[1]
    assert leaving.cue == 2
    assert leaving.spring is not None
    assert leaving.spring.seconds == pytest.approx(0.1)


@pytest.mark.parametrize("second", [1.2, 1.6, 2.0, 2.3])
def test_a_cue_in_the_middle_of_a_cross_fade_never_jumps(second: float) -> None:
    start = perform([(1.0, message("cue/go", "verse"))])
    at = round(second * SECOND)
    fading = apply(start, message("cue/go", "close"), at, PROGRAMME)
    assert fading.voice.cue == 3
    np.testing.assert_array_equal(wplus(fading, at), wplus(start, at))
    assert [reading.cue for reading in fading.readings(at)] == [3, 1, 0]
    later = advance(fading, at + 10 * SECOND, PROGRAMME)
    assert later.outgoing == ()


def test_a_flood_of_cues_keeps_few_fades_under_way() -> None:
    show = opening()
    for n in range(100):
        show = apply(show, message("cue/go", 2 + 2 * (n % 2)), SECOND + n, PROGRAMME)
    readings = show.readings(SECOND + 100)
    assert len(readings) == 8
    assert sum(reading.weight for reading in readings) == pytest.approx(1.0)


# --- the same at any frame rate ----------------------------------------------------------------

arguments = {
    "tempo/bpm": st.floats(20, 300).map(lambda x: (x,)),
    "tempo/norm": st.floats(0, 1).map(lambda x: (x,)),
    "tempo/tap": st.just(()),
    "tempo/nudge": st.floats(-1, 1).map(lambda x: (x,)),
    "tempo/mult": st.sampled_from([(0.5,), (2.0,)]),
    "tempo/beat": st.sampled_from([(1,), (2, 128.0)]),
    "tempo/downbeat": st.just(()),
    "tempo/phase": st.floats(0, 1).map(lambda x: (x,)),
    "tempo/source": st.sampled_from([("auto",), ("internal",), ("osc",)]),
    "play": st.sampled_from([(0,), (1,)]),
    "stop": st.just(()),
    "speed": st.floats(-2, 4).map(lambda x: (x,)),
    "position": st.floats(0, 1).map(lambda x: (x,)),
    "cue/go": st.sampled_from([(), (1,), (2,), (3,), ("close",), ("unknown",)]),
    "cue/next": st.just(()),
    "cue/back": st.just(()),
    "cue/hold": st.sampled_from([(0,), (1,)]),
    "psi": st.floats(-2, 2).map(lambda x: (x,)),
    "master": st.floats(0, 1).map(lambda x: (x,)),
    "fade": st.tuples(st.floats(0, 1), st.floats(0, 3)),
    "blackout": st.sampled_from([(0,), (1,)]),
    "panic": st.just(()),
    "panic/undo": st.just(()),
}
messages = st.sampled_from(sorted(arguments)).flatmap(
    lambda address: arguments[address].map(lambda args: Message(address, args))
)
# Twelfths of a second fall on frames of 24, 60 and 144 a second alike.
twelfths = st.integers(0, 12 * 8)
scripts = st.lists(st.tuples(twelfths, messages), max_size=10).map(
    lambda entries: sorted(entries, key=lambda entry: entry[0])
)


def frames(fps: int, seconds: int) -> Iterable[tuple[int, int | None]]:
    """Show times of the frames, and which twelfth of a second they are, if any."""
    for i in range(fps * seconds + 1):
        yield i * SECOND // fps, (12 * i // fps if 12 * i % fps == 0 else None)


drives = st.sampled_from(["spring", "video", "direct"])


def run(
    script: list[tuple[int, Message]], drive: Drive, fps: int
) -> list[tuple[float, int, bytes, float]]:
    """The stage's loop; what is seen at every twelfth of a second."""
    show, log = opening(drive=drive), []
    for at, twelfth in frames(fps, 10):
        for when, heard in script:
            if when == twelfth:
                show = obey(show, heard, at)
        show = advance(show, at, PROGRAMME)
        if twelfth is not None:
            beat = show.transport.beat_at(at)
            log.append((beat, show.voice.cue, wplus(show, at).tobytes(), show.level(at)))
    return log


def obey(show: Show, heard: Message, at: int) -> Show:
    try:
        return apply(show, heard, at, PROGRAMME)
    except ValueError:
        return advance(show, at, PROGRAMME)


@given(scripts, drives)
def test_the_same_bit_for_bit_at_24_60_and_144_frames_a_second(
    script: list[tuple[int, Message]], drive: Drive
) -> None:
    slow = run(script, drive, 24)
    assert slow == run(script, drive, 60)
    assert slow == run(script, drive, 144)


@given(scripts, drives, st.lists(st.integers(0, 10 * SECOND), max_size=20))
def test_looking_changes_nothing(
    script: list[tuple[int, Message]], drive: Drive, looks: list[int]
) -> None:
    plain = looked = opening(drive=drive)
    moments = [(when * SECOND // 12, heard) for when, heard in script]
    for at, heard in sorted([*moments, *((look, None) for look in looks)], key=lambda x: x[0]):
        if heard is None:
            looked = advance(looked, at, PROGRAMME)
        else:
            plain, looked = obey(plain, heard, at), obey(looked, heard, at)
    end = 10 * SECOND
    assert advance(looked, end, PROGRAMME) == advance(plain, end, PROGRAMME)


CHANGES = ["tempo/bpm", "tempo/mult", "tempo/nudge", "speed", "play", "cue/hold", "position"]


@given(
    scripts,
    st.integers(0, 40 * SECOND),
    st.sampled_from(CHANGES),
    st.floats(-8, 8),
    st.sampled_from(["spring", "video"]),
)
def test_no_change_of_time_moves_the_picture(
    script: list[tuple[int, Message]], at: int, address: str, value: float, drive: Drive
) -> None:
    show = opening(drive=drive)
    for when, heard in script:
        if when * SECOND // 12 <= at:
            show = obey(show, heard, when * SECOND // 12)
    change = coerce(ADDRESSES[address], [value])
    assume(change is not None)
    changed = obey(show, change, at)
    np.testing.assert_allclose(wplus(changed, at), wplus(show, at), atol=1e-5)
    if address.startswith("tempo/"):
        assert changed.readings(at) == advance(show, at, PROGRAMME).readings(at)


# --- levels, questions, refusals ---------------------------------------------------------------


def test_master_fade_and_blackout() -> None:
    show = perform([(1.0, message("master", 0.8)), (2.0, message("fade", 0.2, 3.0))])
    for seconds, expected in ((2.0, 0.8), (3.5, 0.5), (5.0, 0.2), (9.0, 0.2)):
        assert show.level(round(seconds * SECOND)) == pytest.approx(expected)
    midway = perform([(3.5, message("fade", 1.0, 1.0))], show)
    assert midway.level(round(3.5 * SECOND)) == pytest.approx(0.5)
    assert midway.level(4 * SECOND) == pytest.approx(0.75)
    cut = perform([(3.5, message("master", 0.9))], show)
    assert cut.level(4 * SECOND) == pytest.approx(0.9)
    assert perform([(3.0, message("fade", 0.0, 0.0))]).level(3 * SECOND) == 0.0
    dark = perform([(3.5, message("blackout", 1))], show)
    assert dark.level(round(3.5 * SECOND)) == 0.0
    light = perform([(4.0, message("blackout", 0))], dark)
    assert light.level(5 * SECOND) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("address", "args"),
    [
        ("tempo/bpm", (97.5,)),
        ("tempo/norm", (0.25,)),
        ("play", (0,)),
        ("speed", (-0.5,)),
        ("position", (0.75,)),
        ("cue/hold", (1,)),
        ("psi", (0.6,)),
        ("noise", (1.5,)),
        ("master", (0.4,)),
        ("blackout", (1,)),
        ("freeze", (1,)),
        ("fade", (0.3, 2.0)),
    ],
)
def test_a_question_is_answered_with_what_was_set(address: str, args: tuple[float, ...]) -> None:
    show = perform([(2.0, message(address, *args))])
    assert value_of(show, address, 2 * SECOND, PROGRAMME) == pytest.approx(args)
    assert perform([(2.0, Message(address))], show) == show  # asking changes nothing


def test_every_address_is_obeyed_and_every_value_told() -> None:
    for address in ADDRESSES.values():
        args = [
            argument.choices[-1] if argument.choices else "b" if argument.kind == "text" else 1.0
            for argument in address.arguments
            if not argument.optional
        ]
        perform([(0.5, message("overlay", "desktop")), (1.0, message(address.name, *args))])
        if address.kind == "value" and address.name not in OF_THE_STAGE:
            told = value_of(
                perform([(0.5, message("overlay", "desktop"))]), address.name, SECOND, PROGRAMME
            )
            assert len(told) == sum(not argument.optional for argument in address.arguments)
        else:
            with pytest.raises(ValueError, match="no value"):
                value_of(opening(), address.name, 0, PROGRAMME)


def test_position_and_phase_are_told_wrapped_and_clamped() -> None:
    assert value_of(opening(), "position", 9 * SECOND, PROGRAMME) == pytest.approx((2 / 16,))
    held = perform([(0.0, message("cue/go", "close"))])
    assert value_of(held, "position", 9 * SECOND, PROGRAMME) == (1.0,)
    assert value_of(opening(), "tempo/phase", SECOND // 8, PROGRAMME) == pytest.approx((0.25,))
    later = perform([(1.0, message("cue/go", "verse"))])  # the chorus has begun by itself
    assert value_of(later, "position", 6 * SECOND, PROGRAMME) == pytest.approx((1.5 / 8,))
    fading = perform([(1.0, message("fade", 0.0, 4.0))])
    assert value_of(fading, "fade", 2 * SECOND, PROGRAMME) == pytest.approx((0.0, 3.0))


@pytest.mark.parametrize(
    ("heard", "match"),
    [
        (Message("cue/go", (9,)), 'no cue 9; there are 1 "garden", 2 "verse"'),
        (Message("cue/go", (0,)), "no cue 0"),
        (Message("cue/go", ("bridge",)), "no cue 'bridge'"),
        (Message("tempo/mult", (8.0,)), "20 to 300"),
        (Message("tempo/swing", (1.0,)), "no such address"),
    ],
)
def test_what_cannot_be_obeyed_says_why(heard: Message, match: str) -> None:
    with pytest.raises(ValueError, match=match) as refusal:
        apply(opening(), heard, SECOND, PROGRAMME)
    assert "\n" not in str(refusal.value)


def test_after_the_last_cue_there_is_none() -> None:
    show = perform([(0.0, message("cue/go", "close"))])
    with pytest.raises(ValueError, match='no cue after the last, "close"'):
        perform([(1.0, message("cue/next"))], show)


def test_the_cue_to_prepare() -> None:
    assert [upcoming(opening(cue=cue), PROGRAMME) for cue in range(4)] == [1, 2, 3, None]


def test_names_go_before_numbers() -> None:
    names = ["2", "solo"]
    assert find_cue(names, "2") == 0
    assert find_cue(names, 2) == 1
    assert find_cue(names, "solo") == 1
    with pytest.raises(ValueError, match="no cue '3'"):
        find_cue(names, "3")


def test_an_opening_waits_and_takes_the_tempo_of_its_cue() -> None:
    show = Show.opening(PROGRAMME, 120.0, cue=1)
    assert seen(show, 30.0) == (1, 0.0)
    assert show.transport.bpm == 90.0
    assert Show.opening(PROGRAMME, 120.0).transport.bpm == 120.0
