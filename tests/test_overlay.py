"""The overlay under EGL: against reference pictures, against numpy, and what it costs.

The references in tests/data/overlay are made anew by `python -m tests.test_overlay`; look at them
before committing them.
"""

import gc
import tomllib
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import moderngl
import numpy as np
import psutil
import pytest
from PIL import Image

import live.overlay.foundry
from live.compositor import Compositor, Layer, Look
from live.fake_source import fake_picture
from live.gpus import Card, CardHistory, Histories, Host, Process, Sample
from live.offscreen import Offscreen
from live.overlay import drawing, quads
from live.overlay.overlay import TRANSLUCENT, Overlay, View
from live.overlay.settings import OverlayTable
from live.overlay.state import (
    NAMES,
    OPENS_NS,
    Arrangement,
    Name,
    OverlayState,
    Place,
    Window,
    arranged,
    switched,
)
from live.overlay.stream import Caption, Identity
from live.texture import Picture
from tests.test_compositor import Pixels, difference, expected

REFERENCES = Path(__file__).parent / "data" / "overlay"
SIZE = (960, 540)
SECOND = 1_000_000_000
IRENE = Identity("irene", "stage", "faces.toml", "chorus", "ffhq.pt", "Faces")
OPENED = datetime(2026, 11, 25, 21, 4)

# What the monitor shows: fixed figures, of no machine.
WAVES = tuple(float(50 + 45 * np.sin(n / 7)) for n in range(240))
CARD = Card(
    index=0,
    name="NVIDIA Stand-In 9000",
    bus_id="00000000:01:00.0",
    persistence=True,
    display_active=True,
    ecc_errors=0,
    fan=31.0,
    temperature=57.0,
    performance_state=2,
    power=231.4,
    power_limit=450.0,
    memory_used=6 << 30,
    memory_total=24 << 30,
    utilisation=83.0,
    sm_clock=2520,
    memory_clock=10501,
    compute_mode="Default",
    processes=(
        Process(4242, "irene", 0, "C", "anthesis engine", 5 << 30, 80, 19, 97.0, 1.2, 754.0, True),
    ),
)
SAMPLE = Sample(
    taken_ns=0,
    driver="550.54.15",
    cuda="12.4",
    cards=(CARD,),
    host=Host(37.5, (1.02, 0.88, 0.7), 9 << 30, 32 << 30, 0, 8 << 30, 86_400.0 * 3),
    problem="",
    histories=Histories(0.5, WAVES, WAVES[60:], (CardHistory(WAVES, WAVES[30:]),)),
)


def table(text: str = "") -> OverlayTable:
    """[overlay] of a set list, as the set list reads it."""
    return OverlayTable.model_validate(tomllib.loads(text), context=SimpleNamespace(folder=Path()))


class Projector:
    """A compositor with an overlay, in fake time, over a fake picture."""

    def __init__(self, gl: moderngl.Context, size: tuple[int, int], text: str = "") -> None:
        self.gauges = SimpleNamespace(latest=SAMPLE)
        self.compositor = Compositor(gl, size)
        self.overlay = Overlay(gl, table(text), IRENE, self.gauges, OPENED)
        self.ws = np.random.RandomState(7).randn(18, 512).astype(np.float32)
        self.pixels = fake_picture(self.ws, 64)
        self.picture = Picture(gl)
        self.picture.upload(self.pixels, 64, 64)
        self.asked = 0

    def caption(self) -> Caption:
        self.asked += 1
        return Caption(
            number=1200 + self.asked,
            time_s=52.0,
            cue="chorus",
            cue_number=2,
            cues=5,
            beat=12.25,
            bpm=104.0,
            psi=1.0,
            weights=(("irene", 0.63), ("seed 21", 0.37)),
            ws=self.ws,
            w_avg=np.zeros(512, np.float32),
            device="cuda:0",
            resolution=1024,
        )

    def draw(
        self,
        arrangement: Arrangement,
        at: int = 0,
        *,
        level: float = 1.0,
        reveal: float = 1.0,
        now: int = 0,
    ) -> None:
        view = View(at, now, arrangement, level, reveal, [Layer(self.picture)], self.caption)
        behind = [] if self.overlay.covers(view) else [Layer(self.picture)]
        self.compositor.compose(behind, Look(master=level))
        self.overlay.draw(self.compositor, view)

    def seen(self, arrangement: Arrangement, at: int = 0, **how: float) -> Pixels:
        self.overlay.wait(self.compositor.size)
        self.draw(arrangement, at, **how)
        return self.compositor.read()

    def play(self, arrangement: Arrangement, seconds: float, hz: float = 30.0) -> None:
        self.overlay.wait(self.compositor.size)
        for turn in range(round(seconds * hz)):
            self.draw(arrangement, round(turn * SECOND / hz))

    def release(self) -> None:
        self.overlay.release()
        self.compositor.release()
        self.picture.release()


@pytest.fixture
def project(gl: moderngl.Context) -> Iterator[type[Projector]]:
    made: list[Projector] = []

    def make(size: tuple[int, int] = SIZE, text: str = "") -> Projector:
        made.append(Projector(gl, size, text))
        return made[-1]

    yield make  # type: ignore[misc]
    for projector in made:
        projector.release()


def still(name: Name) -> Arrangement:
    return arranged(OverlayState(name), 0)


def opening(name: Name, share: float) -> Arrangement:
    return arranged(switched(OverlayState(), name, 0), round(share * OPENS_NS))


def box_of(place: Place, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels."""
    left, right = round(place.left * size[0]), round((place.left + place.width) * size[0])
    top, bottom = round(place.top * size[1]), round((place.top + place.height) * size[1])
    return left, top, right, bottom


# --- what is seen ------------------------------------------------------------------------------


def test_off_is_the_picture_alone(project) -> None:
    projector = project()
    np.testing.assert_array_equal(
        projector.seen(still("off")), difference_free(projector.pixels, SIZE)
    )


def difference_free(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture alone, by a compositor of its own."""
    output = Offscreen((16, 16))
    with output.ctx:
        shown, compositor = Picture(output.ctx), Compositor(output.ctx, size)
        shown.upload(pixels, pixels.shape[1], pixels.shape[0])
        compositor.compose([Layer(shown)], Look())
        alone = compositor.read()
    output.close()
    return alone


def test_a_translucent_pane_lets_the_picture_through(project) -> None:
    """By numpy: the ground over the picture, in the encoded values."""
    projector = project()
    alone = projector.seen(still("off"))[..., :3].astype(float)
    got = projector.seen(still("terminal"))[..., :3].astype(float)
    left, _, right, bottom = box_of(still("terminal").windows[0].place, SIZE)
    ground = np.array(table().theme.terminal.background[:3], float)
    share = round(255 * TRANSLUCENT) / 255
    inside = np.s_[bottom - 30 : bottom - 6, left + 10 : right - 10]  # nothing is written there yet
    assert np.abs(got[inside] - (alone[inside] * (1 - share) + ground * share)).max() <= 1.5
    away = np.s_[:, right + 30 :]
    np.testing.assert_array_equal(got[away], alone[away])


def test_the_desktop_covers_all_of_the_picture_and_shows_it_in_its_window(project) -> None:
    projector = project()
    projector.seen(still("desktop"))
    got = projector.seen(still("desktop"))
    left, top, right, bottom = box_of(still("desktop").windows[2].place, SIZE)
    top += round(46 * 0.5)  # the header, at half the scale of 1080
    wanted = expected(projector.pixels, (right - left, bottom - top), "contain")
    inner = got[top:bottom, left:right]
    side = bottom - top
    beside = (right - left - side) // 2
    assert difference(inner, wanted)[:, beside + 1 : beside + side - 1].max() <= 1.5
    viewer = np.array(table().theme.desktop.viewer[:3])
    assert (inner[:, 2 : beside - 2, :3] == viewer).all()
    projector.pixels[:] = 255  # another picture changes nothing but that window
    projector.picture.upload(projector.pixels, 64, 64)
    other = projector.seen(still("desktop"))
    changed = np.argwhere((other != got).any(axis=2))
    assert (changed >= (top, left)).all()
    assert (changed < (bottom, right)).all()


@pytest.mark.parametrize("name", ["terminal", "split", "desktop"])
@pytest.mark.parametrize("level", [0.5, 0.25])
def test_the_master_darkens_all_of_it(project, name: Name, level: float) -> None:
    projector = project()
    bright = projector.seen(still(name)).astype(float)
    dark = projector.seen(still(name), level=level)
    off = difference(dark, bright * level)
    assert off.max() <= 3  # each thing that is drawn is rounded by itself
    assert off.mean() <= 0.5
    assert (dark[..., 3] == 255).all()
    assert not projector.seen(still(name), level=0.0)[..., :3].any()


@pytest.mark.parametrize("name", ["terminal", "split", "desktop"])
def test_before_the_first_picture_nothing_of_it_is_seen_and_then_it_fades_in(
    project, name: Name
) -> None:
    projector = project()
    alone = projector.seen(still("off")).astype(float)
    full = projector.seen(still(name)).astype(float)
    projector.overlay._whole = False  # so that what is behind is drawn too
    np.testing.assert_array_equal(projector.seen(still(name), reveal=0.0), alone)
    projector.overlay._whole = False
    half = projector.seen(still(name), reveal=0.5)
    assert difference(half, alone).max() > 20
    assert difference(half, full).max() > 20


def test_a_pane_is_where_it_was_put(project) -> None:
    projector = project()
    place = Place(0.25, 0.5, 0.375, 0.25)
    got = projector.seen(Arrangement(1.0, (Window("monitor", place, 1.0),)))
    left, top, right, bottom = box_of(place, SIZE)
    header = np.array(table().theme.desktop.unfocused[:3])
    line = got[top + 4, left + 8 : left + 100, :3]
    assert (line == header).all()
    ground = np.array(table().theme.terminal.background[:3])
    edges = got[bottom - 2, [left, left + 1, right - 2, right - 1], :3]
    assert (edges == ground).all()
    beyond = got[[top - 1, bottom, bottom - 8, bottom - 8], [left + 50, left + 50, left - 1, right]]
    assert not (beyond[:, :3] == ground).all(axis=1).any()


def test_opacity_of_a_pane_is_its_share(project) -> None:
    projector = project()
    place = Place(0.25, 0.25, 0.5, 0.5)
    without, half, full = (
        projector.seen(
            Arrangement(1.0, (Window("picture", place, opacity),) * bool(opacity))
        ).astype(float)
        for opacity in (0.0, 0.5, 1.0)
    )
    left, top, right, bottom = box_of(place, SIZE)
    inside = np.s_[top + 24 : bottom, left:right]  # below the header
    assert difference(half[inside], (without[inside] + full[inside]) / 2).max() <= 2.5


def test_windows_lie_over_each_other_in_their_order(project) -> None:
    projector = project()
    low, high = Place(0.1, 0.1, 0.5, 0.6), Place(0.3, 0.3, 0.5, 0.6)
    for order in (("terminal", "picture"), ("picture", "terminal")):
        windows = tuple(
            Window(pane, place, 1.0)  # type: ignore[arg-type]
            for pane, place in zip(order, (low, high), strict=True)
        )
        both = projector.seen(Arrangement(1.0, windows))
        upper = projector.seen(Arrangement(1.0, windows[1:]))
        left, top, right, bottom = box_of(high, SIZE)
        inside = np.s_[top + 8 : bottom, left + 8 : right - 8]
        np.testing.assert_array_equal(both[inside], upper[inside])


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (33, 500), (1, 1), (2000, 40)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_of_the_output_is_drawn(project, size: tuple[int, int], name: Name) -> None:
    projector = project(size)
    for share in (0.0, 0.3, 1.0):
        projector.seen(opening(name, share))
    projector.play(still(name), 1.0)


def test_text_is_laid_out_anew_for_another_size(project) -> None:
    """Not scaled: the ink of a letter twice the size has edges no wider than before."""
    shares = []
    for size in ((1280, 720), (2560, 1440)):
        projector = project(size)
        projector.play(still("desktop"), 2.0)
        got = projector.compositor.read()
        left, top, right, bottom = box_of(still("desktop").windows[0].place, size)
        text = got[top + size[1] // 20 : bottom, left:right, 1].astype(float)  # below the header
        shares.append(((text > 40) & (text < 215)).sum() / (text > 215).sum())
    assert shares[1] < shares[0]


def test_a_change_of_size_shows_the_old_until_the_new_is_made(project) -> None:
    projector = project((640, 360))
    projector.play(still("desktop"), 0.2)
    before = projector.overlay._kit
    projector.compositor.resize((1280, 720))
    projector.draw(still("desktop"))
    assert projector.compositor.read().shape == (720, 1280, 4)
    projector.overlay.wait((1280, 720))
    after = projector.overlay._kit
    assert before is not None
    assert after is not None
    assert after.atlas.cell[0] == 2 * before.atlas.cell[0]


def test_until_the_glyphs_are_made_the_picture_is_shown(gl: moderngl.Context, monkeypatch) -> None:
    """However long that takes; and it begins as soon as they are."""
    projector = Projector(gl, SIZE)
    foundry = projector.overlay._foundry
    monkeypatch.setattr(foundry, "kit", lambda scale: None)
    projector.draw(still("desktop"))
    plain = projector.compositor.read()
    monkeypatch.undo()
    assert difference(plain, projector.seen(still("off"))).max() == 0
    assert difference(plain, projector.seen(still("desktop"))).max() > 100
    projector.release()


def test_everything_scales_with_one_number(project) -> None:
    plain = project((640, 360))
    doubled = project((640, 360), "scale = 2.0")
    plain.seen(still("desktop"))
    doubled.seen(still("desktop"))
    small, large = plain.overlay._kit, doubled.overlay._kit
    assert large.px(46) == 2 * small.px(46) + 1  # 15.3, 30.7
    assert large.atlas.cell[0] == 2 * small.atlas.cell[0]
    assert large.atlas.sans_px > small.atlas.sans_px


def test_what_is_too_large_to_be_drawn_is_drawn_smaller(gl: moderngl.Context) -> None:
    assert drawing.scale_of((16384, 16384), 4.0) == drawing.LARGEST_SCALE
    projector = Projector(gl, (3840, 2160), "scale = 4.0")
    huge = Place(-1.0, -1.0, 2.0, 2.0)
    projector.seen(Arrangement(1.0, (Window("terminal", huge, 1.0), Window("monitor", huge, 1.0))))
    projector.release()


def test_a_theme_is_only_colours(project) -> None:
    projector = project(SIZE, 'theme = "paper"')
    got = projector.seen(still("desktop"))
    left, _, _, bottom = box_of(still("desktop").windows[0].place, SIZE)
    paper = table('theme = "paper"').theme
    assert (got[bottom - 2, left + 2, :3] == paper.terminal.background[:3]).all()
    assert (got[1, SIZE[0] // 4, :3] == paper.desktop.bar[:3]).all()


# --- what it costs -----------------------------------------------------------------------------


def test_only_rows_that_changed_are_written(project, monkeypatch) -> None:
    projector = project(SIZE, "[terminal]\nrate = 10.0")
    projector.play(still("terminal"), 20.0)  # scrolling by now
    written: list[int] = []
    write = quads.Sheet.write
    monkeypatch.setattr(
        quads.Sheet, "write", lambda sheet, q, at: (written.append(len(q)), write(sheet, q, at))
    )
    turns = 60
    for turn in range(turns):
        projector.draw(still("terminal"), 20 * SECOND + turn * SECOND // 30)
    columns = projector.overlay._terminal.screen.columns
    rows = sum(count == columns for count in written)
    # Ten lines a second for two seconds; for each a row is written, and one wiped.
    assert 20 <= rows <= 2 * 21
    assert all(count in (1, columns) for count in written)  # or the cursor


def test_a_screen_that_has_scrolled_looks_like_one_written_from_the_top(project) -> None:
    """Its rows are a ring: the GPU has them in another order than the eye."""
    projector = project(SIZE, "[terminal]\nrate = 100.0")
    projector.play(still("terminal"), 12.0)
    scrolled = projector.seen(still("terminal"), at=12 * SECOND)
    pane = projector.overlay._terminal
    assert pane.screen.first > 0
    columns, rows = pane.screen.columns, pane.screen.rows
    pane.screen.resize(columns + 1, rows)
    pane.screen.resize(columns, rows)
    assert pane.screen.first == 0
    np.testing.assert_array_equal(projector.seen(still("terminal"), at=12 * SECOND), scrolled)


def test_a_draw_call_a_pane_and_one_for_the_furniture(project, monkeypatch) -> None:
    projector = project()
    projector.seen(still("desktop"))
    drawn = []
    draw = quads.Easel.draw
    monkeypatch.setattr(
        quads.Easel, "draw", lambda easel, *given: (drawn.append(1), draw(easel, *given))
    )
    for name, most in (("off", 0), ("terminal", 1), ("split", 2), ("desktop", 4)):
        drawn.clear()
        projector.draw(still(name))  # type: ignore[arg-type]
        assert len(drawn) == most


def test_ten_minutes_of_scrolling_take_no_more_memory(project) -> None:
    projector = project((320, 180))
    at = 0

    def scroll(seconds: float) -> int:
        nonlocal at
        for _ in range(round(seconds * 2)):
            projector.draw(still("split"), at)
            at += SECOND // 2
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    projector.overlay.wait((320, 180))
    tracemalloc.start()
    scroll(120.0)
    before, resident = scroll(120.0), psutil.Process().memory_info().rss
    after = scroll(360.0)
    grown = psutil.Process().memory_info().rss - resident
    tracemalloc.stop()
    assert after - before < 32_000
    assert grown < 4 << 20
    assert projector.asked > 500


# --- what goes wrong ---------------------------------------------------------------------------


def test_after_a_fault_the_picture_is_no_longer_taken_for_covered(project, monkeypatch) -> None:
    projector = project()
    alone = projector.seen(still("off"))
    projector.seen(still("desktop"))
    monkeypatch.setattr(projector.overlay._backdrop, "draw", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        projector.draw(still("desktop"))
    with pytest.raises(ZeroDivisionError):
        projector.draw(still("desktop"))
    np.testing.assert_array_equal(projector.compositor.read(), alone)
    monkeypatch.undo()
    projector.draw(still("desktop"))
    assert difference(projector.compositor.read(), alone).max() > 100


def test_glyphs_that_cannot_be_made_are_said_once_and_the_last_ones_stay(
    project, monkeypatch
) -> None:
    projector = project((640, 360))
    before = projector.seen(still("terminal"))
    monkeypatch.setattr(live.overlay.foundry, "Atlas", lambda *given: 1 / 0)
    projector.compositor.resize((1280, 720))
    faults = 0
    for _ in range(20):
        try:
            projector.overlay.wait((1280, 720))
            projector.draw(still("terminal"))
        except ZeroDivisionError:
            faults += 1
    assert faults == 1
    after = projector.compositor.read()
    left, top, _, _ = box_of(still("terminal").windows[0].place, (1280, 720))
    assert (after[top + 8, left + 20 : left + 40] == after[top + 8, left + 20]).all()
    assert before.any()
    monkeypatch.undo()
    projector.compositor.resize((960, 540))  # another size is tried
    projector.overlay.wait((960, 540))
    assert projector.overlay._kit.scale == 0.5


def test_a_monitor_without_an_answer_says_so(project) -> None:
    projector = project()
    projector.gauges.latest = None
    projector.seen(still("split"))
    screen = projector.overlay._monitor.screen
    assert "waiting for the first sample" in text_of(screen).lower()
    projector.gauges.latest = SAMPLE
    projector.seen(still("split"), at=SECOND)
    assert "Stand-In 9000" in text_of(screen)
    assert "No new figures" not in text_of(screen)
    projector.seen(still("split"), at=60 * SECOND, now=60 * SECOND)  # the sampler hangs
    assert "No new figures for 60 s" in text_of(screen)


def text_of(screen) -> str:
    rows = np.roll(screen.codes, -screen.first, axis=0)
    return "\n".join("".join(map(chr, row)).rstrip() for row in rows.tolist())


# --- reference pictures ------------------------------------------------------------------------


def scenes(projector: Projector) -> dict[str, Pixels]:
    """Each overlay, six seconds into its stream; and the desktop while its windows open."""
    pictures = {}
    projector.play(still("desktop"), 6.0)
    for name in NAMES[1:]:
        pictures[name] = projector.seen(still(name), at=6 * SECOND)
    pictures["opening"] = projector.seen(opening("desktop", 0.35), at=6 * SECOND)
    return pictures


def test_the_reference_pictures_are_met(project) -> None:
    """Within 0.5/255 on average, one pixel in 1000 off by more than 24.

    That is room for another driver's rounding and another FreeType's edges of letters, not for a
    letter at another place.
    """
    for name, got in scenes(project()).items():
        want = np.asarray(Image.open(REFERENCES / f"{name}.png").convert("RGB"))
        off = difference(got, want).max(axis=2)
        assert off.mean() <= 0.5, name
        assert (off > 24).mean() <= 0.001, name


def make_references() -> None:
    output = Offscreen((16, 16))
    projector = Projector(output.ctx, SIZE)
    for name, pixels in scenes(projector).items():
        picture = Image.fromarray(pixels).convert("RGB")
        picture.save(REFERENCES / f"{name}.png", optimize=True)
    projector.release()
    output.close()


if __name__ == "__main__":
    make_references()
