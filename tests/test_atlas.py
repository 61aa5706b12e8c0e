"""The atlas: characters join to the pixel, lie where the tables say, and read as they should."""

import hashlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from live.overlay import drawn, typefaces
from live.overlay.atlas import BLANK, Atlas
from live.overlay.theme import Theme, load_theme

Bitmap = NDArray[np.uint8]

FONTS = Path(typefaces.__file__).parent / "fonts"
SIZES = [(6, 13), (7, 14), (8, 17), (9, 19), (10, 20), (12, 25), (15, 31), (18, 37), (31, 60)]

# Every arm by hand, against what is read from Unicode's names: left, up, right, down.
ARMS = {
    "─": "L L ", "━": "H H ", "│": " L L", "┃": " H H", "┌": "  LL", "┍": "  HL", "┎": "  LH",
    "┐": "L  L", "┛": "HH  ", "├": " LLL", "┞": " HLL", "┡": " HHL", "┤": "LL L", "┦": "LH L",
    "┬": "L LL", "┱": "H LH", "┴": "LLL ", "┶": "LLH ", "┺": "LHH ", "┼": "LLLL", "┽": "HLLL",
    "╁": "LLLH", "╃": "HHLL", "╆": "LLHH", "╈": "HLHH", "╉": "HHLH", "╋": "HHHH", "═": "D D ",
    "║": " D D", "╒": "  DL", "╓": "  LD", "╔": "  DD", "╕": "D  L", "╜": "LD  ", "╞": " LDL",
    "╟": " DLD", "╣": "DD D", "╤": "D DL", "╥": "L LD", "╧": "DLD ", "╨": "LDL ", "╪": "DLDL",
    "╫": "LDLD", "╬": "DDDD", "╴": "L   ", "╵": " L  ", "╶": "  L ", "╷": "   L", "╸": "H   ",
    "╼": "L H ", "╽": " L H", "╾": "H L ", "╿": " H L", "╭": "  LL", "╮": "L  L", "╯": "LL  ",
    "╰": " LL ",
}  # fmt: skip


@pytest.fixture(scope="module")
def theme() -> Theme:
    return load_theme("yaru", Path())


@pytest.fixture(scope="module")
def atlas(theme: Theme) -> Atlas:
    return Atlas(theme, 18, 15)


def cells_of(atlas: Atlas, text: str, bold: bool) -> NDArray[np.uint16]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return atlas.cells_of(codes, np.full(len(codes), bold))


def cell(atlas: Atlas, character: str, *, bold: bool = False) -> Bitmap:
    return page(atlas, [character], bold=bold)


def page(atlas: Atlas, rows: list[str], *, bold: bool = False) -> Bitmap:
    """Lay text out as a terminal does: cells edge to edge."""
    width, height = atlas.cell
    lines = [
        [atlas.pixels[v : v + height, u : u + width] for u, v in cells_of(atlas, row, bold)]
        for row in rows
    ]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


@lru_cache(16)
def bitmaps(size: tuple[int, int]) -> dict[str, Bitmap]:
    found = dict(zip(map(chr, drawn.CODEPOINTS), drawn.bitmaps(*size), strict=True))
    return found | {" ": np.zeros_like(found["─"])}


def bitmap(character: str, size: tuple[int, int]) -> Bitmap:
    return bitmaps(size)[character]


def laid_out(rows: list[str], size: tuple[int, int]) -> Bitmap:
    cells = bitmaps(size)
    return np.concatenate(
        [np.concatenate([cells[character] for character in row], axis=1) for row in rows]
    )


def pieces(mask: NDArray[np.bool_], *, diagonal: bool = False) -> int:
    """How many connected pieces; pixels touch at their edges, or at their corners, too."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if diagonal else []
    left, count = {(int(y), int(x)) for y, x in np.argwhere(mask)}, 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + down, x + right) for down, right in steps} & left
            left -= near
            edge += near
    return count


# --- lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("rows", "lines", "spaces"),
    [
        (["┌──┬──┐", "│  │  │", "├──┼──┤", "│  │  │", "└──┴──┘"], 1, 5),
        (["┏━━┳━━┓", "┃  ┃  ┃", "┣━━╋━━┫", "┃  ┃  ┃", "┗━━┻━━┛"], 1, 5),
        (["┍━━┯━━┑", "│  │  │", "┝━━┿━━┥", "│  │  │", "┕━━┷━━┙"], 1, 5),
        # The frame, and each field's own; the gap between them is one.
        (["╔══╦══╗", "║  ║  ║", "╠══╬══╣", "║  ║  ║", "╚══╩══╝"], 5, 6),
        # Gaps pass a line that ends at them, and not one that crosses.
        (["╒══╤══╕", "│  │  │", "╞══╪══╡", "│  │  │", "╘══╧══╛"], 1, 9),
        (["╓──╥──╖", "║  ║  ║", "╟──╫──╢", "║  ║  ║", "╙──╨──╜"], 1, 9),
        (["╭──╮", "│  │", "╰──╯"], 1, 2),
        (["╶─╴"], 1, 1),
        (["╺╾╼━╸"], 1, 1),
    ],
)
def test_a_table_is_joined_without_gaps(
    rows: list[str], lines: int, spaces: int, size: tuple[int, int]
) -> None:
    table = np.pad(laid_out(rows, size), 1)
    rounded = "╭" in rows[0]
    assert pieces(table > 100 if rounded else table > 0, diagonal=rounded) == lines
    assert pieces(table == 0) == spaces
    assert rounded or set(np.unique(table)) == {0, 255}


@pytest.mark.parametrize("size", SIZES)
def test_what_meets_at_an_edge_is_the_same_on_both_sides(size: tuple[int, int]) -> None:
    """Whatever the character, an arm of one weight ends in the same pixels."""
    horizontal = {"L": bitmap("─", size), "H": bitmap("━", size), "D": bitmap("═", size)}
    vertical = {"L": bitmap("│", size), "H": bitmap("┃", size), "D": bitmap("║", size)}
    blank = np.zeros_like(horizontal["L"])
    for character, (left, up, right, down) in ARMS.items():
        one = bitmap(character, size)
        for name, edge, wanted in [
            ("left", one[:, 0], horizontal.get(left, blank)[:, 0]),
            ("up", one[0], vertical.get(up, blank)[0]),
            ("right", one[:, -1], horizontal.get(right, blank)[:, -1]),
            ("down", one[-1], vertical.get(down, blank)[-1]),
        ]:
            assert np.array_equal(edge, wanted), f"{character} {name}"


def test_weights_differ() -> None:
    for size in SIZES:
        light, heavy, double = ((bitmap(c, size)[:, 0] > 0) for c in "─━═")
        assert heavy.sum() == double.sum() == 2 * light.sum()
        assert not np.any(light & double)
        assert np.all(heavy[light])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("character", "dashes"), [("╌", 2), ("┄", 3), ("┈", 4), ("┋", 4), ("╎", 2)]
)
def test_dashes(character: str, dashes: int, size: tuple[int, int]) -> None:
    along = character in "╌┄┈"
    line = [character * 3] if along else [character] * 3
    fit = min(dashes, size[0] // 2) if along else dashes
    assert pieces(laid_out(line, size) > 0) == 3 * fit


@pytest.mark.parametrize("size", SIZES)
def test_diagonals_meet_at_the_corners(size: tuple[int, int]) -> None:
    assert pieces(laid_out(["╱╲", "╲╱"], size) > 60, diagonal=True) == 1
    assert np.array_equal(bitmap("╳", size), np.maximum(bitmap("╱", size), bitmap("╲", size)))
    assert bitmap("╱", size)[0, -1] > bitmap("╱", size)[0, 0]


# --- blocks and braille ------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(3, 80))
def test_eighths_are_exact_to_rounding(width: int, height: int) -> None:
    lower = [bitmap(c, (width, height)) for c in "▁▂▃▄▅▆▇█"]
    left = [bitmap(c, (width, height)) for c in "▏▎▍▌▋▊▉█"]
    for i, (one, other) in enumerate(zip(lower, left, strict=True), 1):
        rows, columns = one.astype(int).sum() / width / 255, other.astype(int).sum() / height / 255
        assert abs(rows - height * i / 8) <= 0.5 or rows in (1, height - 1)
        assert abs(columns - width * i / 8) <= 0.5 or columns in (1, width - 1)
        assert np.all(one[-int(rows) :] == 255)
        assert np.all(other[:, : int(columns)] == 255)


@given(st.integers(2, 40), st.integers(3, 80))
def test_halves_and_quarters_make_a_whole(width: int, height: int) -> None:
    for parts in ("▀▄", "▌▐", "▔▇", "▉▕", "▖▗▘▝", "▙▝", "▚▞", "▛▗", "▜▖", "▟▘"):
        whole = sum(bitmap(c, (width, height)).astype(int) for c in parts)
        assert np.all(whole == 255), parts


def test_shades_are_even() -> None:
    assert [set(bitmap(c, (9, 19)).ravel()) for c in "░▒▓"] == [{64}, {128}, {191}]


@pytest.mark.parametrize("size", SIZES)
def test_braille_has_a_dot_for_every_bit(size: tuple[int, int]) -> None:
    patterns = drawn.bitmaps(*size)[-256:].astype(int)
    dot = patterns[1].sum()
    assert dot > 0
    for bits, pattern in enumerate(patterns):
        assert pattern.sum() == bits.bit_count() * dot
        assert pieces(pattern > 0) == bits.bit_count()


@pytest.mark.parametrize("size", SIZES)
def test_braille_dots_lie_evenly_across_cells(size: tuple[int, int]) -> None:
    dots = laid_out(["⣿⣿⣿", "⣿⣿⣿"], size) > 0
    for axis, count in ((0, 6), (1, 8)):
        inked = np.flatnonzero(np.diff(np.pad(dots.any(axis=axis).astype(int), 1)) == 1)
        assert len(inked) == count
        distances = {int(b - a) for a, b in pairwise(inked)}
        assert max(distances) - min(distances) <= 1


@pytest.mark.parametrize(
    ("character", "row", "column"),
    [
        (c, row, column)
        for column, dots in enumerate(("⠁⠂⠄⡀", "⠈⠐⠠⢀"))
        for row, c in enumerate(dots)
    ],
)
def test_braille_bits_are_the_dots_of_unicode(character: str, row: int, column: int) -> None:
    rows, columns = np.nonzero(bitmap(character, (18, 37)))
    assert int(rows.mean() / 37 * 4) == row
    assert int(columns.mean() / 18 * 2) == column


@given(st.integers(1, 40), st.integers(1, 80))
def test_any_size_can_be_drawn(width: int, height: int) -> None:
    assert drawn.bitmaps(width, height).shape == (len(drawn.CODEPOINTS), height, width)
    assert drawn.missing(width, height).any()


# --- cells -------------------------------------------------------------------------------------


def test_spaces_are_blank_and_what_is_unknown_is_a_box(atlas: Atlas) -> None:
    assert BLANK == (0, 0)
    assert cells_of(atlas, " \u00a0", False).tolist() == [[0, 0], [0, 0]]
    assert not cell(atlas, " ").any()
    box = cells_of(atlas, "\u0378", False)[0].tolist()
    assert box != [0, 0]
    assert np.array_equal(cell(atlas, "\u0378"), drawn.missing(*atlas.cell))
    for unknown in ("\0", "\n", "\x7f", "\x9f", "中", "\ud800", "\U0010ffff"):
        assert cells_of(atlas, unknown, False).tolist() == [box]
        assert cells_of(atlas, unknown, True).tolist() == [box]


def test_every_character_lies_within_the_atlas(atlas: Atlas) -> None:
    codepoints = np.arange(0x110000, dtype=np.uint32)
    width, height = atlas.cell
    for bold in (False, True):
        places = atlas.cells_of(codepoints, np.full(codepoints.shape, bold)).astype(int)
        assert places.min() == 0
        assert (places[:, 0] + width).max() <= atlas.pixels.shape[1]
        assert (places[:, 1] + height).max() <= atlas.pixels.shape[0]


def test_latin_and_what_is_drawn_is_there(atlas: Atlas) -> None:
    box = cells_of(atlas, "\0", False)[0]
    there = [*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0x250)), *"–—‘’“”•…€™"]
    there += map(chr, drawn.CODEPOINTS)
    for bold in (False, True):
        found = cells_of(atlas, "".join(there), bold)
        assert [
            c for c, place in zip(there, found, strict=True) if np.array_equal(place, box)
        ] == []


@given(st.lists(st.tuples(st.integers(0, 0x10FFFF), st.booleans())))
def test_cells_of_a_text_are_those_of_its_codepoints(
    atlas: Atlas, characters: list[tuple[int, bool]]
) -> None:
    codepoints = np.array([codepoint for codepoint, _ in characters], np.uint32)
    bold = np.array([bold for _, bold in characters], np.bool_)
    found = atlas.cells_of(codepoints, bold)
    assert found.dtype == np.uint16
    assert found.shape == (len(characters), 2)
    for (codepoint, weight), place in zip(characters, found, strict=True):
        assert cells_of(atlas, chr(codepoint), weight).tolist() == [place.tolist()]


def test_cells_of_a_screen(atlas: Atlas) -> None:
    screen = np.full((30, 100), ord("x"), np.uint32)
    bold = np.zeros((30, 100), np.bool_)
    bold[3] = True
    found = atlas.cells_of(screen, bold)
    assert found.shape == (30, 100, 2)
    assert found[3, 7].tolist() == cells_of(atlas, "x", True)[0].tolist()
    assert found[4, 7].tolist() == cells_of(atlas, "x", False)[0].tolist()


def test_bold_differs_in_letters_alone(atlas: Atlas) -> None:
    for letter in "aZ09@é":
        assert cell(atlas, letter, bold=True).sum(dtype=int) > cell(atlas, letter).sum(dtype=int)
    drawn_ones = "─╬█⣿ "
    assert np.array_equal(cells_of(atlas, drawn_ones, True), cells_of(atlas, drawn_ones, False))


@pytest.mark.parametrize("px", [12, 18, 24, 36])
@pytest.mark.parametrize("bold", [False, True])
def test_letters_stand_on_one_line_and_are_whole(theme: Theme, px: int, bold: bool) -> None:
    atlas = Atlas(theme, px, px)
    foot = {c: np.flatnonzero(cell(atlas, c, bold=bold).any(axis=1)).max() for c in "AHxÁÑgp|"}
    assert {foot[c] for c in "AHxÁÑ"} == {atlas.ascent - 1}
    assert foot["g"] > atlas.ascent
    assert foot["p"] > atlas.ascent
    # The accent of a capital is not cut off with its line.
    plain, accented = cell(atlas, "A", bold=bold), cell(atlas, "Á", bold=bold)
    assert np.flatnonzero(accented.any(axis=1)).min() < np.flatnonzero(plain.any(axis=1)).min()


def test_cells_are_as_in_a_terminal(theme: Theme) -> None:
    """A digit's advance by ascent and descent: half as wide as high."""
    assert [Atlas(theme, px, 15).cell for px in (12, 18, 36)] == [(6, 13), (9, 19), (18, 37)]


# --- the interface -----------------------------------------------------------------------------


def test_a_line_is_set_from_left_to_right(atlas: Atlas) -> None:
    glyphs, advance = atlas.line("Ab c", False)
    assert glyphs.dtype == np.int16
    assert glyphs.shape == (3, 6)  # the space shows nothing
    assert np.all(np.diff(glyphs[:, 0]) > 0)
    assert advance == sum(atlas.line(c, False).advance for c in "Ab c")
    assert advance > glyphs[-1, 0]
    for _, _, width, height, u, v in glyphs:
        assert atlas.pixels[v : v + height, u : u + width].any()
    assert atlas.line("A", True).advance > 0
    assert (
        atlas.line("m", True).glyphs[0, 4:].tolist()
        != atlas.line("m", False).glyphs[0, 4:].tolist()
    )


def test_an_empty_line(atlas: Atlas) -> None:
    assert atlas.line("", False).glyphs.shape == (0, 6)
    assert atlas.line("", False).advance == 0
    assert atlas.line("  ", False).glyphs.shape == (0, 6)
    assert atlas.line("  ", False).advance > 0


def test_letters_of_a_line_stand_on_its_baseline(atlas: Atlas) -> None:
    _, y, _, height, _, _ = atlas.line("H", False).glyphs[0]
    assert y + height == atlas.sans_ascent
    _, y, _, height, _, _ = atlas.line("g", False).glyphs[0]
    assert atlas.sans_ascent < y + height <= atlas.sans_height


def test_a_line_shows_a_box_for_what_is_unknown(atlas: Atlas) -> None:
    one, other = atlas.line("\n", False).glyphs, atlas.line("中", True).glyphs
    assert one.tolist() == other.tolist()
    assert len(one) == 1


def test_a_line_that_is_too_long_does_not_wrap_around(atlas: Atlas) -> None:
    assert np.all(np.diff(atlas.line("m" * 5000, False).glyphs[:, 0].astype(int)) >= 0)


@given(st.text())
def test_all_glyphs_of_a_line_lie_within_the_atlas(atlas: Atlas, text: str) -> None:
    glyphs = atlas.line(text, True).glyphs.astype(int)
    assert np.all(glyphs[:, 4] + glyphs[:, 2] <= atlas.pixels.shape[1])
    assert np.all(glyphs[:, 5] + glyphs[:, 3] <= atlas.pixels.shape[0])
    assert np.all(glyphs[:, 2:4] > 0)


# --- the whole ---------------------------------------------------------------------------------


def test_identical_input_gives_identical_pixels(theme: Theme, atlas: Atlas) -> None:
    again = Atlas(theme, 18, 15)
    assert np.array_equal(again.pixels, atlas.pixels)
    assert np.array_equal(cells_of(again, "Aé─", True), cells_of(atlas, "Aé─", True))
    assert np.array_equal(again.line("Aé", True).glyphs, atlas.line("Aé", True).glyphs)


@pytest.mark.parametrize("px", [1, 2, 3, 5, 72])
def test_any_usual_size_fits(theme: Theme, px: int) -> None:
    atlas = Atlas(theme, px, px)
    assert max(atlas.pixels.shape) <= 4096
    u, v = atlas.solid
    assert atlas.pixels[v, u] == 255


def test_sizes_that_cannot_be_drawn(theme: Theme) -> None:
    with pytest.raises(ValueError, match="a font of 0 px cannot be drawn"):
        Atlas(theme, 18, 0)
    with pytest.raises(ValueError, match="129 px is too large for an atlas"):
        Atlas(theme, 18, 129)
    with pytest.raises(ValueError, match="do not fit into a texture of 4096 px"):
        Atlas(theme, 128, 128)


def test_the_solid_lies_in_the_midst_of_what_is_covered(atlas: Atlas) -> None:
    u, v = atlas.solid
    assert np.all(atlas.pixels[v - 1 : v + 2, u - 1 : u + 2] == 255)


def test_nothing_but_pillow_is_enough(tmp_path: Path) -> None:
    """No font of the theme is there: the desktop still comes up, in Pillow's own."""
    text = (FONTS.parent / "themes" / "yaru.toml").read_text(encoding="utf-8")
    (tmp_path / "bare.toml").write_text(text.replace(".woff", ".none").replace(".ttf", ".none"))
    atlas = Atlas(load_theme("bare.toml", tmp_path), 18, 15)
    assert cell(atlas, "A").any()
    assert np.array_equal(cell(atlas, "é"), drawn.missing(*atlas.cell))


def test_the_shipped_fonts_are_untouched() -> None:
    """Their licence wants a file that was changed to have another name."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FONTS.glob("*.woff")
    }
    assert found == SHIPPED
    assert "UBUNTU FONT LICENCE" in (FONTS / "LICENSE").read_text(encoding="utf-8").upper()


SHIPPED = {
    "ubuntu-latin-400-normal.woff": (
        "4ed830600afe65057c2c165013dd64968b3d4fd3c358e7a0d0c2fc8762f632ff"
    ),
    "ubuntu-latin-700-normal.woff": (
        "90e9438ed9ab43f03b5efb8687ab4a905ca49150724eaa988a72315801ad4f7e"
    ),
    "ubuntu-latin-ext-400-normal.woff": (
        "ee801ef2f955d29bd8c9f4ec104083af7f0ec7ceeaff68b5a28927a3ca83c4ca"
    ),
    "ubuntu-latin-ext-700-normal.woff": (
        "78d8757afe4b8cd753eaf2dbc6bb75ba99c5b64bce4788b9c28a4cf29d0cfc43"
    ),
    "ubuntu-mono-latin-400-normal.woff": (
        "d8804b4b2a4b4b18340ff68378208ff540ca66a12e78696909079f142604b6c7"
    ),
    "ubuntu-mono-latin-700-normal.woff": (
        "ad1c72e94ec4c7daff50918480fe3778b80f10b1f909d2efe6e5dec2e17b510d"
    ),
    "ubuntu-mono-latin-ext-400-normal.woff": (
        "80a0bc71aa2a3ebffa835ee9e5b9a8a7eaf997c00472ca899715307be2dcfb7c"
    ),
    "ubuntu-mono-latin-ext-700-normal.woff": (
        "4e17eebaec366ef796e37765dcdc730fff84978d175c2aeda5704aed61c75856"
    ),
}
