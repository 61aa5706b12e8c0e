"""Which overlay is on and what moves, as a table of moments."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.addresses import Message
from live.control import apply, value_of
from live.overlay.state import (
    CLOSES_NS,
    LAYOUTS,
    NAMES,
    OPENS_NS,
    PANES,
    Name,
    OverlayState,
    Place,
    arranged,
    following,
    pane_moved,
    pane_shown,
    shown,
    switched,
)
from live.show import CueFacts, Show, advance

SECOND = 1_000_000_000
MS = 1_000_000


def panes(state: OverlayState, at: int) -> list[str]:
    return [window.pane for window in arranged(state, at).windows]


def test_an_overlay_is_there_from_the_beginning_without_moving() -> None:
    for name in NAMES:
        seen = arranged(OverlayState(name), 0)
        assert [window.pane for window in seen.windows] == list(LAYOUTS[name])
        assert all(window.zoom == (1, 1) and window.opacity == 1 for window in seen.windows)
        assert seen.backdrop == float(name == "desktop")


def test_windows_grow_out_of_their_lower_edge() -> None:
    state = switched(OverlayState(), "split", SECOND)
    assert arranged(state, SECOND).windows == ()
    first, middle = (arranged(state, SECOND + ms * MS).windows for ms in (10, 75))
    for early, late in zip(first, middle, strict=True):
        assert early.pivot == late.pivot == (0.5, 1.0)
        assert 0 < early.opacity < late.opacity < 1
        assert early.zoom[0] < late.zoom[0] < 1
    assert arranged(state, SECOND + OPENS_NS) == arranged(OverlayState("split"), 0)


def test_one_overlay_closes_before_the_next_opens() -> None:
    state = switched(OverlayState("desktop"), "terminal", SECOND)
    closing = arranged(state, SECOND + CLOSES_NS // 2)
    assert [window.pane for window in closing.windows] == ["terminal", "monitor", "picture"]
    assert 0 < closing.backdrop < 1
    assert all(0.8 < window.zoom[0] < 1 for window in closing.windows)
    opening = arranged(state, SECOND + CLOSES_NS + OPENS_NS // 2)
    assert [window.pane for window in opening.windows] == ["terminal"]
    assert opening.windows[0].place == LAYOUTS["terminal"]["terminal"]
    assert opening.backdrop == 0
    assert arranged(state, 2 * SECOND) == arranged(OverlayState("terminal"), 0)


def test_pressing_on_while_windows_close_does_not_open_them_again() -> None:
    state = switched(OverlayState("desktop"), "off", SECOND)
    again = switched(state, "terminal", SECOND + 50 * MS)
    again = switched(again, "split", SECOND + 90 * MS)
    before, after = (arranged(s, SECOND + 100 * MS) for s in (state, again))
    assert before == after
    assert panes(again, 2 * SECOND) == ["terminal", "monitor"]


@pytest.mark.parametrize("early", [10, 60, 140])
def test_what_has_not_opened_altogether_closes_from_where_it_is(early: int) -> None:
    opening = switched(OverlayState(), "desktop", SECOND)
    at = SECOND + early * MS
    before, after = (arranged(state, at + 1) for state in (opening, switched(opening, "split", at)))
    assert after.backdrop == pytest.approx(before.backdrop, abs=1e-6)
    for was, now in zip(before.windows, after.windows, strict=True):
        assert now.opacity == pytest.approx(was.opacity, abs=1e-6)
        assert now.zoom == pytest.approx(was.zoom, abs=1e-6)
        assert now.pivot == was.pivot


def test_hidden_it_keeps_its_name_and_comes_back() -> None:
    hidden = shown(OverlayState("split"), False, SECOND)
    assert len(panes(hidden, SECOND + 50 * MS)) == 2
    assert panes(hidden, 2 * SECOND) == []
    other = switched(hidden, "terminal", 3 * SECOND)
    assert panes(other, 4 * SECOND) == []
    assert panes(shown(other, True, 5 * SECOND), 6 * SECOND) == ["terminal"]


def test_a_pane_closes_and_opens_by_itself() -> None:
    state = pane_shown(OverlayState("desktop"), "monitor", False, SECOND)
    assert panes(state, SECOND + 50 * MS) == ["terminal", "monitor", "picture"]
    assert panes(state, 2 * SECOND) == ["terminal", "picture"]
    back = pane_shown(state, "monitor", True, 3 * SECOND)
    sizes = [window.zoom[0] for window in arranged(back, 3 * SECOND + 30 * MS).windows]
    assert sizes[0] == sizes[2] == 1 > sizes[1]
    assert pane_shown(back, "monitor", True, 9 * SECOND) is back


def test_a_pane_is_moved_in_the_overlay_that_is_on() -> None:
    place = Place(0.1, 0.2, 0.3, 0.4)
    state = pane_moved(OverlayState("split"), "terminal", place)
    assert arranged(state, 0).windows[0].place == place
    desktop = switched(state, "desktop", SECOND)
    assert arranged(desktop, 2 * SECOND).windows[0].place == LAYOUTS["desktop"]["terminal"]
    ahead = switched(pane_moved(state, "picture", place), "desktop", SECOND)
    assert arranged(ahead, 2 * SECOND).windows[2].place == place  # split has no such pane


def test_the_key_goes_through_all_of_them() -> None:
    state, seen = OverlayState(), []
    for _ in NAMES:
        state = replace(state, name=following(state))
        seen.append(state.name)
    assert seen == ["terminal", "split", "desktop", "off"]


PROGRAMME = (
    CueFacts("plain", 4.0, "next"),
    CueFacts("dressed", 4.0, "hold", overlay="desktop"),
    CueFacts("same", 4.0, "hold"),
)


def test_a_cue_brings_its_overlay_and_the_next_keeps_it() -> None:
    show = Show.opening(PROGRAMME, 60.0, overlay=OverlayState("terminal"))
    assert show.overlay.name == "terminal"
    show = apply(show, Message("play", (1,)), 0, PROGRAMME)
    show = advance(show, 5 * SECOND, PROGRAMME)
    assert show.overlay.name == "desktop"
    assert show.overlay.since_ns == 4 * SECOND  # exactly when the cue began
    assert apply(show, Message("cue/next"), 6 * SECOND, PROGRAMME).overlay == show.overlay
    assert Show.opening(PROGRAMME, 60.0, cue=1).overlay.name == "desktop"


@pytest.mark.parametrize("pane", PANES)
def test_what_a_desk_sets_of_a_pane_is_told(pane: str) -> None:
    show = Show.opening(PROGRAMME, 60.0, cue=1)
    sent: dict[str, tuple[float, ...]] = {
        f"overlay/pane/{pane}": (0,),
        f"overlay/pane/{pane}/opacity": (0.25,),
        f"overlay/pane/{pane}/place": (0.5, 0.25, 0.125, 1.0),
        "overlay/opacity": (0.5,),
    }
    for address, args in sent.items():
        show = apply(show, Message(address, args), SECOND, PROGRAMME)
    for address, args in sent.items():
        assert value_of(show, address, SECOND, PROGRAMME) == args
    windows = arranged(show.overlay, SECOND).windows
    assert {window.pane: window.opacity for window in windows}[pane] == 0.125
    elsewhere = apply(show, Message("overlay", ("off",)), SECOND, PROGRAMME)
    assert len(value_of(elsewhere, f"overlay/pane/{pane}/place", SECOND, PROGRAMME)) == 4


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(NAMES), st.booleans(), st.booleans()),
        max_size=12,
    )
)
def test_whatever_is_pressed_it_settles_on_what_was_chosen_last(
    steps: list[tuple[int, Name, bool, bool]],
) -> None:
    state, at = OverlayState(), 0
    for wait, name, visible, monitor in steps:
        at += wait * MS
        state = switched(state, name, at)
        state = shown(state, visible, at)
        state = pane_shown(state, "monitor", monitor, at)
        for window in arranged(state, at + wait).windows:
            assert 0 <= window.opacity <= 1
            assert all(0 < zoom <= 1 for zoom in window.zoom)
    settled = arranged(state, at + SECOND)
    wanted = [pane for pane in LAYOUTS[state.seen] if state.panes[pane].shown]
    assert [window.pane for window in settled.windows] == wanted
    assert all(window.zoom == (1, 1) and window.opacity == 1 for window in settled.windows)
    assert settled.backdrop == float(state.seen == "desktop")
