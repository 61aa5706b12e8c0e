"""The grid of characters: what is written is what is seen, and only that goes to the GPU."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.overlay.screen import KEPT, LONGEST, Screen
from live.overlay.text import COLOURS, Span


def rows(screen):
    """The text from top to bottom, without the blanks at the ends."""
    order = [(screen.first + i) % screen.rows for i in range(screen.rows)]
    return ["".join(map(chr, screen.codes[row])).rstrip() for row in order]


def picture(screen):
    """Everything that is seen."""
    grids = (screen.codes, screen.colours, screen.grounds, screen.bold)
    return [np.roll(grid, -screen.first, axis=0).tolist() for grid in grids]


def line(text, *look):
    return (Span(text, *look),)


def test_lines_fill_the_screen_and_then_scroll():
    screen = Screen(10, 4)
    assert rows(screen) == ["", "", "", ""]
    for word in ("one", "two", "three"):
        screen.write(line(word))
    assert rows(screen) == ["one", "two", "three", ""]
    assert screen.cursor == (3, 0)
    screen.write(line("four"))
    assert rows(screen) == ["two", "three", "four", ""]
    assert screen.cursor == (3, 0)


def test_long_lines_are_wrapped_at_the_edge():
    screen = Screen(4, 4)
    screen.write(line("abcdefghij"))
    assert rows(screen) == ["abcd", "efgh", "ij", ""]


def test_a_line_as_wide_as_the_screen_takes_one_row():
    screen = Screen(4, 4)
    screen.write(line("abcd"))
    screen.write(())
    screen.write(line("e"))
    assert rows(screen) == ["abcd", "", "e", ""]


def test_typing_moves_the_cursor():
    screen = Screen(4, 2)
    seen = []
    for character in "abcdef":
        screen.type(Span(character))
        seen.append(screen.cursor)
    assert seen == [(0, 1), (0, 2), (0, 3), (0, 3), (1, 1), (1, 2)]
    screen.end_line()
    assert rows(screen) == ["ef", ""]
    screen.type(Span("x"))
    screen.write(line("yz"))
    assert rows(screen) == ["xyz", ""]


def test_looks():
    screen = Screen(6, 2)
    screen.write((Span("ab", "red"), Span("cd", "black", bold=True, on="bright_green")))
    assert screen.colours[0].tolist() == [
        COLOURS.index(name) for name in ("red", "red", "black", "black", *["foreground"] * 2)
    ]
    assert screen.grounds[0].tolist() == [
        COLOURS.index(name)
        for name in (*["background"] * 2, *["bright_green"] * 2, *["background"] * 2)
    ]
    assert screen.bold[0].tolist() == [False, False, True, True, False, False]
    assert (screen.codes.dtype, screen.colours.dtype) == (np.uint32, np.uint8)
    screen.write(())
    screen.write(())
    assert not screen.bold.any()  # what scrolls in is blank
    assert set(screen.grounds.ravel().tolist()) == {COLOURS.index("background")}


def test_only_rows_that_were_written_have_changed():
    screen = Screen(10, 4)
    assert screen.take_changes() == [0, 1, 2, 3]
    assert screen.take_changes() == []
    screen.write(line("one"))
    assert screen.take_changes() == [0]
    screen.type(Span("two"))
    assert screen.take_changes() == [1]
    screen.end_line()
    screen.end_line()
    screen.take_changes()
    assert screen.first == 0
    screen.write(line("four"))
    assert screen.take_changes() == [0, 3]  # the top has become the bottom
    assert screen.first == 1


def test_nothing_is_allocated_by_scrolling():
    screen = Screen(40, 10)
    grids = [screen.codes, screen.colours, screen.grounds, screen.bold]
    for i in range(100):
        screen.write(line(str(i) * 60))
    now = [screen.codes, screen.colours, screen.grounds, screen.bold]
    assert all(a is b for a, b in zip(grids, now, strict=True))


def test_a_full_screen_is_shown_and_only_differences_count():
    screen = Screen(6, 3)
    screen.show([line("one"), line("two", "red"), line("three")])
    screen.take_changes()
    screen.show([line("one"), line("two", "red"), line("three")])
    assert screen.take_changes() == []
    screen.show([line("one"), line("two", "green"), line("three")])
    assert screen.take_changes() == [1]
    screen.show([(Span("o"), Span("ne")), line("much too long"), line("three"), line("four")])
    assert screen.take_changes() == [1]  # other spans, but the first looks the same
    assert rows(screen) == ["one", "much t", "three"]
    screen.show([line("x")])
    assert rows(screen) == ["x", "", ""]
    screen.show([])
    assert rows(screen) == ["", "", ""]


def test_a_full_screen_follows_its_size():
    screen = Screen(6, 2)
    screen.show([line("one"), line("two"), line("and three")])
    screen.resize(9, 3)
    assert rows(screen) == ["one", "two", "and three"]


def test_another_size_keeps_the_newest_lines_and_wraps_them_anew():
    screen = Screen(10, 4)
    for text in ("abcdefghijkl", "two", "three"):
        screen.write(line(text, "red"))
    screen.type(Span("typing"))
    assert rows(screen) == ["kl", "two", "three", "typing"]
    screen.resize(20, 4)
    assert rows(screen) == ["abcdefghijkl", "two", "three", "typing"]
    assert screen.take_changes() == [0, 1, 2, 3]
    assert screen.cursor == (3, 6)
    screen.resize(4, 3)
    assert rows(screen) == ["e", "typi", "ng"]
    screen.type(Span("!"))
    screen.resize(20, 5)
    assert rows(screen) == ["abcdefghijkl", "two", "three", "typing!", ""]
    assert screen.colours[0, 0] == COLOURS.index("red")


@given(
    st.lists(st.text(max_size=30), max_size=12),
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
)
def test_a_size_looks_the_same_however_it_came(texts, before, after):
    one, other = Screen(*before), Screen(*after)
    for text in texts:
        one.write(line(text))
        other.write(line(text))
    one.resize(*after)
    assert picture(one) == picture(other)


@given(st.text())
def test_nothing_that_is_not_printable_reaches_the_cells(text):
    screen = Screen(20, 5)
    screen.write(line(text))
    screen.show([line(text)])
    assert all(chr(code).isprintable() or code == 0xFFFD for code in screen.codes.ravel())


def test_control_characters_are_seen_as_such():
    screen = Screen(20, 2)
    screen.write(line("a\x1b[31m\nb\t\x00\u202e\ud800"))
    assert rows(screen)[0] == "a\ufffd[31m\ufffdb\ufffd\ufffd\ufffd\ufffd"
    screen = Screen(20, 2)
    screen.write(line("日本 ▏█ 🌺"))  # one cell each
    assert rows(screen)[0] == "日本 ▏█ 🌺"


def test_a_screen_has_a_cell():
    for size in ((0, 5), (5, 0), (-1, 5)):
        with pytest.raises(ValueError, match="at least one cell"):
            Screen(*size)


def test_nothing_grows_with_time():
    screen = Screen(20, 5)
    screen.type(Span("x" * 10 * LONGEST))
    for colour in COLOURS * 1000:
        screen.type(Span("y", colour))
    screen.end_line()
    screen.resize(LONGEST, 3)
    assert rows(screen)[0] == "x" * LONGEST
    screen.resize(20, 5)

    def write(count):
        for i in range(count):
            screen.write((Span(f"{i:9}", "red"), Span("x" * 30)))

    write(90_000)
    screen.take_changes()
    tracemalloc.start()
    write(KEPT)
    before, _ = tracemalloc.get_traced_memory()
    write(10_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000
    assert len(screen.changed) <= 5


@given(
    lengths=st.lists(st.integers(0, 300), max_size=12),
    typed=st.integers(0, 120),
    before=st.tuples(st.integers(1, 60), st.integers(1, 12)),
    after=st.tuples(st.integers(1, 60), st.integers(1, 12)),
)
def test_a_resized_screen_shows_what_one_of_that_size_would(lengths, typed, before, after):
    """Whatever of long lines is left above its top."""
    screens = [Screen(*before), Screen(*after)]
    for screen in screens:
        for number, length in enumerate(lengths):
            screen.write((Span(chr(97 + number) * length), Span(str(length))))
        screen.type(Span("z" * typed))
    screens[0].resize(*after)
    assert rows(screens[0]) == rows(screens[1])
    if any(lengths) or typed:
        assert screens[0].codes[screens[0].cursor[0], 0] is not None


def test_a_narrow_screen_costs_no_more_than_its_rows():
    """A desk's fader may make it one column wide in every frame."""
    screen = Screen(100, 46)
    for _ in range(400):
        screen.write((Span("x" * 4000),))
    placed = []
    place = screen._place
    screen._place = lambda span: (placed.append(len(span.text)), place(span))
    screen.resize(1, 46)
    assert sum(placed) <= 46
