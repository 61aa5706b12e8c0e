"""The cue stack: cues that follow, cross-fades in beats and seconds, panic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.control import CueFacts, Message, Programme, Show, advance, apply, value_of
from live.keyboard import Keyboard
from live.levels import PANIC_NS, SAME_PRESS_NS
from live.setlist import SetList, load_setlist, programme
from live.show import Seconds
from live.walkthrough import walk

SECOND = 1_000_000_000
CUES: Programme = (
    CueFacts("loop", duration=4.0, ending="loop", follow=10.0),
    CueFacts("spring", duration=4.0, ending="spring", fade=Seconds(1.5), follow=6.0),
    CueFacts("last", duration=4.0, ending="hold", fade=2.0, follow=3.0),
)


def opening(bpm: float = 60.0) -> Show:
    return apply(Show.opening(CUES, bpm), Message("play", (1,)), 0, CUES)


def after(show: Show, *script: tuple[float, str, tuple[float, ...]]) -> Show:
    for second, address, args in script:
        show = apply(show, Message(address, args), round(second * SECOND), CUES)
    return show


def cue_at(show: Show, second: float) -> int:
    return advance(show, round(second * SECOND), CUES).voice.cue


# --- following on ------------------------------------------------------------------------------


def test_the_next_cue_follows_after_its_beats_wherever_the_path_is() -> None:
    show = opening()
    assert advance(show, 10 * SECOND - 1, CUES).voice.cue == 0
    following = advance(show, 10 * SECOND, CUES)
    assert (following.voice.cue, following.voice.origin) == (1, 10.0)
    assert advance(show, 15 * SECOND, CUES).voice.spring is not None  # its own ending comes first
    assert cue_at(show, 15.9) == 1
    assert cue_at(show, 16.0) == 2
    assert cue_at(show, 999.0) == 2  # after the last there is none


def test_following_counts_the_beats_that_were_played() -> None:
    held = after(opening(), (4.0, "cue/hold", (1,)), (24.0, "cue/hold", (0,)))
    assert [cue_at(held, second) for second in (29.9, 30.1)] == [0, 1]
    paused = after(opening(), (4.0, "play", (0,)), (24.0, "play", (1,)))
    assert [cue_at(paused, second) for second in (29.9, 30.1)] == [0, 1]
    scrubbed = after(opening(), (4.0, "position", (0.75,)))
    assert [cue_at(scrubbed, second) for second in (9.9, 10.1)] == [0, 1]
    both = after(
        opening(), (4.0, "cue/hold", (1,)), (6.0, "position", (0.5,)), (7.0, "cue/hold", (0,))
    )
    assert [cue_at(both, second) for second in (12.9, 13.1)] == [0, 1]
    again = after(opening(), (4.0, "cue/back", ()))
    assert [cue_at(again, second) for second in (13.9, 14.1)] == [0, 1]
    stopped = after(opening(), (4.0, "stop", ()), (8.0, "play", (1,)))
    assert [cue_at(stopped, second) for second in (17.9, 18.1)] == [0, 1]
    faster = after(opening(), (5.0, "tempo/bpm", (120.0,)))
    assert [cue_at(faster, second) for second in (7.4, 7.6)] == [0, 1]


moves = st.lists(
    st.tuples(
        st.integers(0, 30 * SECOND),
        st.one_of(
            st.tuples(st.just("cue/hold"), st.tuples(st.integers(0, 1))),
            st.tuples(st.just("position"), st.tuples(st.floats(0, 1))),
            st.tuples(st.just("speed"), st.tuples(st.floats(-2, 4))),
            st.tuples(st.just("tempo/beat"), st.just(())),
            st.tuples(st.sampled_from(["cue/go", "cue/back", "stop", "panic"]), st.just(())),
            st.tuples(st.just("play"), st.tuples(st.integers(0, 1))),
        ),
    ),
    max_size=12,
).map(lambda script: sorted(script, key=lambda move: move[0]))


@given(moves, st.lists(st.integers(0, 40 * SECOND), max_size=20))
def test_whoever_looks_in_between_sees_the_same(
    script: list[tuple[int, tuple[str, tuple[float, ...]]]], looks: list[int]
) -> None:
    plain = looked = opening()
    moments = [*script, *((look, None) for look in looks)]
    for at, move in sorted(moments, key=lambda moment: moment[0]):
        looked = advance(looked, at, CUES)
        if move is not None:
            try:
                looked = apply(looked, Message(*move), at, CUES)
            except ValueError:  # no cue after the last
                continue
            plain = apply(plain, Message(*move), at, CUES)
    end = 40 * SECOND
    assert advance(looked, end, CUES) == advance(plain, end, CUES)


# --- cross-fades -------------------------------------------------------------------------------


@pytest.mark.parametrize("bpm", [60.0, 120.0])
def test_a_fade_in_seconds_does_not_follow_the_tempo(bpm: float) -> None:
    show = after(opening(bpm), (1.0, "cue/go", (2,)), (5.0, "cue/go", (3,)))
    last = show.outgoing[0]
    assert (last.start_ns, last.end_ns) == (5 * SECOND, 5 * SECOND + round(2 * 60e9 / bpm))
    first = after(opening(bpm), (1.0, "cue/go", (2,))).outgoing[0]
    assert (first.start_ns, first.end_ns) == (SECOND, round(2.5 * SECOND))


SETLIST = """
[show]
tempo = 60
position = "video"
[[cue]]
name = "one"
keys = [{seed = 1}, {seed = 2}]
ending = "loop"
follow = 24
fade = FADE
[[cue]]
name = "two"
keys = [{seed = 1}, {seed = 2}]
"""


def listed(tmp_path, text: str) -> SetList:
    (tmp_path / "show.toml").write_text(text)
    return load_setlist(tmp_path / "show.toml")


@pytest.mark.parametrize(
    ("written", "fade"),
    [("2", 2.0), ("0", 0.0), ('"2 s"', Seconds(2.0)), ('"0.25s"', Seconds(0.25))],
)
def test_a_set_list_says_what_follows_and_how_it_fades(tmp_path, written: str, fade) -> None:
    setlist = listed(tmp_path, SETLIST.replace("FADE", written))
    first, second = programme(setlist)
    assert (first.follow, first.fade) == (24.0, fade)
    assert (second.follow, second.fade) == (None, 0.0)
    assert setlist.show.position == "video"
    walked = list(walk(setlist))
    assert walked == [(0, Message("play", (1,))), (28 * SECOND, None)]  # 24 beats, and 4 of two


def test_two_ways_on_are_one_too_many(tmp_path) -> None:
    text = SETLIST.replace("FADE", "0").replace('"loop"', '"next"')
    with pytest.raises(Exception, match='follow and ending = "next" both say when to go on'):
        listed(tmp_path, text)


# --- panic -------------------------------------------------------------------------------------


def test_a_panic_is_black_in_half_a_second_and_one_message_ends_it() -> None:
    show = after(opening(), (0.5, "master", (0.8,)), (1.0, "panic", ()))
    levels = [show.level(SECOND + PANIC_NS * n // 4) for n in range(6)]
    assert levels == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0, 0.0])
    assert show.still
    assert not show.frozen  # nobody's switch was touched
    for back in ("panic/undo", "panic"):
        undone = after(show, (3.0, back, ()))
        assert not undone.still
        assert undone.level(3 * SECOND + PANIC_NS) == pytest.approx(0.8)
        assert undone.level(3 * SECOND) == 0.0  # it comes back as it went
    assert value_of(show, "blackout", 2 * SECOND, CUES) == (0,)


def test_the_clock_runs_on_in_a_panic() -> None:
    show = after(opening(), (1.0, "panic", ()), (9.0, "panic/undo", ()))
    assert show.voice.beat(show.transport, 9 * SECOND) == 9.0


def test_whoever_hammers_on_the_button_stays_in_the_dark() -> None:
    show = after(opening(), *[(1.0 + n * 0.3, "panic", ()) for n in range(8)])
    assert show.panic.on
    assert not after(show, (4.2, "panic", ())).panic.on


@given(st.lists(st.integers(0, SAME_PRESS_NS - 1), max_size=60), st.integers(0, 60))
def test_a_desk_that_repeats_it_cannot_keep_the_operator_in_the_dark(
    waits: list[int], when: int
) -> None:
    """The keyboard undoes it, and however often the message still comes, the show is back."""
    show, at = apply(opening(), Message("panic"), SECOND, CUES), SECOND
    for n, wait in enumerate(waits):
        at += wait
        show = apply(show, Message("panic"), at, CUES)
        if n == when:
            pressed = Keyboard().read("p", show, at)
            assert pressed == Message("panic/undo")
            show = apply(show, pressed, at, CUES)
    assert show.panic.on == (when >= len(waits))


def test_the_key_panics_too() -> None:
    assert Keyboard().read("p", opening(), 0) == Message("panic")
