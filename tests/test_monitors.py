"""Choosing a monitor, losing it and finding it again, rehearsed with made-up lists."""

from dataclasses import replace

import pytest

from engine.errors import UserError
from live.monitors import (
    SETTLE_NS,
    FallBack,
    Fill,
    MonitorFacts,
    MonitorWatch,
    choose,
    find_again,
    under,
)

LAPTOP = MonitorFacts("eDP-1", 0, 0, 1920, 1200, 60.0, primary=True)
LEFT = MonitorFacts("EPSON PJ", 1920, 0, 1280, 720, 60.0)
RIGHT = MonitorFacts("EPSON PJ", 3200, 0, 1280, 720, 60.0)
DELL = MonitorFacts("DELL U2415", 1920, 0, 1920, 1200, 59.95)
SECOND = SETTLE_NS


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("1", LAPTOP),
        ("3", RIGHT),
        ("edp", LAPTOP),
        ("EPSON PJ@1920,0", LEFT),
        ("epson@3200,0", RIGHT),
    ],
)
def test_a_monitor_is_chosen_by_number_name_or_place(wanted: str, meant: MonitorFacts) -> None:
    assert choose([LAPTOP, LEFT, RIGHT], wanted) is meant


def test_a_whole_name_beats_a_part_of_one() -> None:
    longer = replace(LEFT, name="EPSON PJ 2", x=0)
    assert choose([longer, RIGHT], "epson pj") is RIGHT


def test_a_name_may_be_a_number_or_hold_an_at_sign() -> None:
    odd = replace(DELL, name="2415")
    mail = replace(DELL, name="a@b", x=5)
    assert choose([LAPTOP, odd], "2415") is odd
    assert choose([LAPTOP, mail], "a@b") is mail
    assert choose([LAPTOP, mail], "a@b@5,0") is mail


@pytest.mark.parametrize("wanted", ["4", "0", "Barco", "epson@0,0", "", "@1920,0", "²"])
def test_what_is_not_there_is_refused_with_the_list(wanted: str) -> None:
    with pytest.raises(UserError, match=r"2 EPSON PJ@1920,0 1280x720 60 Hz") as refusal:
        choose([LAPTOP, LEFT, RIGHT], wanted)
    assert "\n" not in str(refusal.value)


def test_a_name_that_fits_several_is_refused() -> None:
    with pytest.raises(UserError, match="2 monitors match"):
        choose([LAPTOP, LEFT, RIGHT], "epson")


def test_with_no_monitor_at_all_the_refusal_says_so() -> None:
    with pytest.raises(UserError, match="there are: none"):
        choose([], "1")


def test_a_monitor_is_found_again_by_name_then_place_then_size() -> None:
    moved = replace(LEFT, x=0, y=1200)
    smaller = replace(LEFT, x=640, width=800, height=600)
    assert find_again([LAPTOP, RIGHT, LEFT], LEFT) is LEFT
    assert find_again([smaller, moved], LEFT) is moved
    assert find_again([LAPTOP, smaller], LEFT) is smaller
    assert find_again([LAPTOP, DELL], LEFT) is None


def test_the_monitor_under_a_point() -> None:
    assert under([LAPTOP, LEFT], 1920, 719) is LEFT
    assert under([LAPTOP, LEFT], 1919.5, 719) is LAPTOP
    assert under([LEFT, LAPTOP], 9999, 0) is LAPTOP
    assert under([LEFT, RIGHT], -5, 0) is LEFT
    assert under([], 0, 0) is None


def on_projector() -> MonitorWatch:
    watch = MonitorWatch()
    watch.want(LEFT)
    assert watch.see([LAPTOP, LEFT], LEFT, 0) is None
    return watch


def test_an_evening_of_accidents() -> None:
    """(seconds, monitors there, what the window fills, what is to be done)."""
    watch = on_projector()
    other_mode = replace(LEFT, width=1920, height=1080)
    both, alone, changed = [LAPTOP, LEFT], [LAPTOP], [LAPTOP, other_mode]
    evening = [
        (1.0, both, LEFT, None),
        (2.0, alone, None, None),  # unplugged; the window system took the window off
        (2.5, alone, None, None),
        (3.0, alone, None, FallBack(LAPTOP)),  # for a second now
        (4.0, alone, None, None),  # told once
        (60.0, both, None, None),  # found again, but does it stay?
        (60.5, alone, None, None),
        (60.9, both, None, None),
        (61.5, both, None, None),
        (61.9, both, None, Fill(LEFT)),
        (63.0, both, LEFT, None),
        (70.0, changed, LEFT, None),  # another mode
        (71.0, changed, LEFT, Fill(other_mode)),
        (72.0, changed, other_mode, None),
        (80.0, [], None, None),  # everything gone: the show goes on
        (81.0, [], None, FallBack(None)),
        (82.0, [], None, None),
        (90.0, changed, None, None),
        (91.0, changed, None, Fill(other_mode)),
    ]
    for seconds, monitors, filled, expected in evening:
        assert watch.see(monitors, filled, round(seconds * SECOND)) == expected, seconds


def test_a_blink_too_short_to_be_seen_in_the_list_is_mended() -> None:
    watch = on_projector()
    assert watch.see([LAPTOP, LEFT], None, SECOND) == Fill(LEFT)


def test_a_show_that_was_put_on_another_monitor_is_fetched_back() -> None:
    watch = on_projector()
    assert watch.see([LAPTOP, LEFT], LAPTOP, SECOND) == Fill(LEFT)


def test_a_windowed_show_is_left_alone() -> None:
    watch = MonitorWatch()
    for second in range(5):
        assert watch.see([LAPTOP, LEFT][: 1 + second % 2], None, second * SECOND) is None


def test_choosing_windowed_during_an_outage_ends_the_waiting() -> None:
    watch = on_projector()
    watch.see([LAPTOP], None, 2 * SECOND)
    assert watch.see([LAPTOP], None, 3 * SECOND) == FallBack(LAPTOP)
    watch.want(None)
    watch.see([LAPTOP, LEFT], None, 4 * SECOND)
    assert watch.see([LAPTOP, LEFT], None, 6 * SECOND) is None
    assert watch.wanted is None


def test_of_two_of_one_name_the_show_returns_to_its_own() -> None:
    watch = MonitorWatch()
    watch.want(LEFT)
    both, other = [LAPTOP, LEFT, RIGHT], [LAPTOP, RIGHT]
    assert watch.see(both, LEFT, 0) is None
    watch.see(other, None, 2 * SECOND)
    assert watch.see(other, None, 3 * SECOND) == FallBack(LAPTOP)
    watch.see(both, None, 4 * SECOND)
    assert watch.see(both, None, 5 * SECOND) == Fill(LEFT)
