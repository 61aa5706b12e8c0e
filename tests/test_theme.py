"""Themes: what they hold once read, and the one line that every fault gets."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import UserError
from live.overlay import typefaces
from live.overlay.text import COLOURS
from live.overlay.theme import TerminalTable, Theme, bundled_themes, load_theme
from live.overlay.typefaces import Typeface

FONTS = Path(typefaces.__file__).parent / "fonts"
MONO = "ubuntu-mono-latin-400-normal.woff"
MONO_EXT = "ubuntu-mono-latin-ext-400-normal.woff"
GOOD = (Path(typefaces.__file__).parent / "themes" / "yaru.toml").read_text(encoding="utf-8")


def load(folder: Path, text: str) -> Theme:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return load_theme("mine.toml", folder)


def fault(folder: Path, text: str) -> str:
    """The message, without the file's name at its beginning."""
    with pytest.raises(UserError) as refusal:
        load(folder, text)
    line = str(refusal.value)
    assert "\n" not in line
    name = f"{folder / 'mine.toml'}: "
    assert line.startswith(name)
    return line.removeprefix(name)


def with_line(key: str, line: str) -> str:
    """A good theme with the line of a key put differently."""
    lines = [line if old.split(" ")[0] == key else old for old in GOOD.splitlines()]
    assert lines != GOOD.splitlines()
    return "\n".join(lines)


# --- what they hold ----------------------------------------------------------------------------


def test_bundled_themes_are_found_by_name(tmp_path: Path) -> None:
    assert bundled_themes() == ["paper", "yaru"]
    yaru = load_theme("yaru", tmp_path)
    assert yaru.terminal.background == (0x30, 0x0A, 0x24, 255)
    assert yaru.desktop.wallpaper[-1] == yaru.desktop.accent == (0xE9, 0x54, 0x20, 255)
    assert yaru.fonts.mono[0] == MONO
    assert load_theme("paper", tmp_path).terminal.background != yaru.terminal.background


def test_the_palette_has_the_order_of_the_names_of_colours(tmp_path: Path) -> None:
    theme = load_theme("yaru", tmp_path)
    assert theme.palette.shape == (len(COLOURS), 4)
    assert theme.palette.dtype == np.uint8
    assert tuple(theme.palette[COLOURS.index("bright_green")]) == (0x8A, 0xE2, 0x34, 255)
    assert set(TerminalTable.model_fields) == set(COLOURS)


@pytest.mark.parametrize("name", bundled_themes())
def test_what_is_written_can_be_read(tmp_path: Path, name: str) -> None:
    theme = load_theme(name, tmp_path)
    terminal, desktop = theme.terminal, theme.desktop
    assert contrast(terminal.foreground, terminal.background) >= 7
    assert contrast(desktop.bar_text, desktop.bar) >= 7
    for header in (desktop.header, desktop.unfocused):
        assert contrast(desktop.header_text, header) >= 7
    # What programs and the monitor write in.
    for colour in (terminal.bright_green, terminal.bright_blue, terminal.bright_red):
        assert contrast(colour, terminal.background) >= 4


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The ratio of luminances, as WCAG 2 has it."""
    lights = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return lights[1] / lights[0]


def luminance(colour: tuple[int, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def rgb(colour: tuple[int, ...]) -> list[float]:
    return [channel / 255 for channel in colour[:3]]


def test_a_theme_of_ones_own_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.toml").write_text(GOOD)
    assert load_theme("sub/mine.toml", tmp_path).folder == tmp_path / "sub"


def test_a_file_goes_before_no_name(tmp_path: Path) -> None:
    """A file called "yaru" beside the set list is not a theme of that name."""
    (tmp_path / "yaru").write_text("")
    assert load_theme("yaru", tmp_path).folder != tmp_path


def test_themes_are_frozen(tmp_path: Path) -> None:
    theme = load(tmp_path, GOOD)
    with pytest.raises(ValidationError):
        theme.terminal.red = (0, 0, 0, 255)
    assert theme == load(tmp_path, GOOD)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_is_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, colour: tuple[int, int, int]
) -> None:
    text = with_line("red", 'red = "#{:02x}{:02X}{:02x}"'.format(*colour))
    assert load(tmp_path_factory.getbasetemp(), text).terminal.red == (*colour, 255)


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "line", "message"),
    [
        (
            "header_text",
            'header_txt = "#000000"',
            "[desktop] header_txt: no such key, did you mean header_text?; accepted are wallpaper,",
        ),
        (
            "red",
            'red = "#CC000"',
            "[terminal] red: must be a colour like \"#E95420\", got '#CC000'",
        ),
        ("red", 'red = "#CC 00 0"', '[terminal] red: must be a colour like "#E95420"'),
        ("red", 'red = "#CC0 00"', '[terminal] red: must be a colour like "#E95420"'),
        ("red", 'red = "red"', "[terminal] red: must be a colour like"),
        ("red", "red = 13369344", "[terminal] red: must be a colour like"),
        ("red", "", "[terminal] red: is missing"),
        ("wallpaper", 'wallpaper = "#000000"', "[desktop] wallpaper: must be a valid list"),
        ("wallpaper", 'wallpaper = ["#000000"]', "wallpaper: needs 2 to 4 colours, got 1"),
        ("wallpaper", 'wallpaper = ["#000000", 3]', "[desktop] wallpaper[1]: must be a colour"),
        ("mono", "mono = []", "[fonts] mono: needs 1 to 16 fonts, got 0"),
        ("mono", f"mono = {['a'] * 17}", "[fonts] mono: needs 1 to 16 fonts, got 17"),
        ("sans", 'sans = "DejaVuSans.ttf"', "[fonts] sans: must be a valid list"),
        ("sans", "sans = [3]", "[fonts] sans[0]: must be the name of a font's file, got 3"),
        ("sans", 'sans = [""]', "[fonts] sans[0]: must be the name of a font's file"),
        ("sans", 'sans = [".."]', "[fonts] sans[0]: must be the name of a font's file"),
        ("sans", 'sans = ["a\\u0000"]', "[fonts] sans[0]: must be the name of a font's file"),
        ("sans", 'sans = ["a.ttf", "../a.ttf"]', "[fonts] sans[1]: '../a.ttf' is a path; give"),
        ("sans", 'sans = ["/etc/passwd"]', "[fonts] sans[0]: '/etc/passwd' is a path"),
        ("sans", "sans = ['..\\a.ttf']", "is a path; give a name alone, of a file beside"),
        ("sans", 'sans = ["C:a.ttf"]', "[fonts] sans[0]: 'C:a.ttf' is a path"),
    ],
)
def test_a_fault_of_a_key(tmp_path: Path, key: str, line: str, message: str) -> None:
    assert message in fault(tmp_path, with_line(key, line))


def test_a_fault_of_a_table(tmp_path: Path) -> None:
    assert "[desktop]: is missing" in fault(tmp_path, GOOD.split("[desktop]")[0])
    assert fault(tmp_path, "") == "[terminal]: is missing (and 2 more)"
    wrong = GOOD.replace("[fonts]", "[font]")
    assert "[font]: no such key, did you mean fonts?; accepted are" in fault(tmp_path, wrong)
    assert "[folder]: no such key" in fault(tmp_path, 'folder = "/"\n' + GOOD)
    assert "[terminal]: must be a table, got 5" in fault(tmp_path, "terminal = 5")


def test_a_name_that_is_none_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        load_theme("yaro", tmp_path)
    assert str(refusal.value) == (
        "there is no theme 'yaro', did you mean yaru?; accepted are paper, yaru and files that end"
        " in .toml"
    )


def written(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot read the theme: No such file or directory"),
        (lambda path: path.mkdir(), "is not a file; give a theme's TOML file"),
        (lambda path: written(path, b"\xff\xfe"), "is not a theme: not text in UTF-8"),
        (lambda path: written(path, b"[terminal"), "is not valid TOML: "),
        (lambda path: written(path, b"a=" + b"[" * 9999), "is not valid TOML: "),
        (lambda path: written(path, b"#" * 70_000), "is too large for a theme; give a TOML file"),
    ],
)
def test_a_fault_of_the_file(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "mine.toml")
    with pytest.raises(UserError) as refusal:
        load_theme("mine.toml", tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path / 'mine.toml'}: {message}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["", "a\0.toml", "~nobody-has-this-name/a.toml", "a" * 300 + ".toml"]
)
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as refusal:
        load_theme(name, tmp_path)
    assert "\n" not in str(refusal.value)


# --- fonts -------------------------------------------------------------------------------------


def same(one: typefaces.Glyph | None, other: typefaces.Glyph | None) -> bool:
    assert one is not None
    assert other is not None
    return one[1:] == other[1:] and np.array_equal(one.ink, other.ink)


def test_the_first_font_that_has_a_character_draws_it(tmp_path: Path) -> None:
    latin, extended = Typeface([MONO], tmp_path, 18), Typeface([MONO_EXT], tmp_path, 18)
    for chain in (
        Typeface([MONO, MONO_EXT], tmp_path, 18),
        Typeface([MONO_EXT, MONO], tmp_path, 18),
    ):
        assert same(chain.glyph("é"), latin.glyph("é"))
        assert same(chain.glyph("č"), extended.glyph("č"))
        assert chain.glyph("中") is None
    assert latin.glyph("č") is None


def test_a_font_beside_the_theme_goes_first(tmp_path: Path) -> None:
    (tmp_path / MONO).write_bytes((FONTS / "ubuntu-mono-latin-700-normal.woff").read_bytes())
    bold = Typeface(["ubuntu-mono-latin-700-normal.woff"], FONTS, 18)
    assert same(Typeface([MONO], tmp_path, 18).glyph("A"), bold.glyph("A"))


def test_a_fallback_keeps_to_the_digits_width(tmp_path: Path) -> None:
    """Pillow's own font, the last of every list, has wider digits than Ubuntu Mono."""
    mono = Typeface([MONO_EXT], tmp_path, 36)  # its digits are Pillow's
    fallback, cells = mono.glyph("0"), Typeface([MONO], tmp_path, 36).glyph("0")
    assert fallback is not None
    assert cells is not None
    assert fallback.advance > cells.advance
    only_pillow_has = Typeface([MONO], tmp_path, 36)
    only_pillow_has._faces.pop(0)
    shrunk = only_pillow_has.glyph("0")
    assert shrunk is not None
    assert shrunk.advance == cells.advance


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "no font", "a folder"])
def test_a_bad_font_is_passed_over_and_said_once(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"bad-{tmp_path.name}-{damage}.woff"  # what was said in another test is not said again
    content = {"empty": b"", "cut": (FONTS / MONO).read_bytes()[:5000], "no font": b"x" * 5000}
    if damage in content:
        (tmp_path / name).write_bytes(content[damage])
    elif damage == "a folder":
        (tmp_path / name).mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            typeface = Typeface([name, MONO], tmp_path, 18)
    assert same(typeface.glyph("A"), Typeface([MONO], tmp_path, 18).glyph("A"))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"font {name} is passed over: ")
    assert "\n" not in caplog.messages[0]


def test_a_list_of_bad_fonts_ends_with_that_of_pillow(tmp_path: Path) -> None:
    typeface = Typeface(["there-is-none.ttf", "nor-this.ttf"], tmp_path, 18)
    assert typeface.glyph("A") is not None
    assert typeface.ascent > 10


def test_a_damaged_glyph_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw = typefaces.ImageFont.FreeTypeFont.getmask2
    name = f"{tmp_path.name}.woff"
    (tmp_path / name).write_bytes((FONTS / MONO).read_bytes())
    good = Typeface([MONO], tmp_path, 20)
    typeface = Typeface([name, MONO], tmp_path, 20)

    def broken(font: object, text: str, *args: object, **others: object) -> object:
        if font is typeface._faces[0]._font and text in "AB":
            raise OSError("invalid outline")
        return draw(font, text, *args, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(typefaces.ImageFont.FreeTypeFont, "getmask2", broken)
    for letter in "ABC":
        assert same(typeface.glyph(letter), good.glyph(letter))
    assert caplog.messages == [f"font {name} is passed over: invalid outline"]


@given(st.data())
def test_no_damage_stops_a_typeface(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((FONTS / MONO).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, 1000))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()
    (folder / "damaged.woff").write_bytes(content)
    typeface = Typeface(["damaged.woff", MONO], folder, 18)
    assert typeface.glyph("A") is not None
