"""The whole stage with its overlay, in fake time: what is over the picture is true of it."""

import io
import re
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from live.addresses import Message
from live.app import SECOND, Stage
from live.captions import identity
from live.edits import Saved
from live.ensemble import Ensemble
from live.fake_source import Fake
from live.overlay import tensor
from live.overlay.overlay import Overlay
from live.prompter import Prompter
from live.setlist import load_setlist
from live.statistics import Statistics
from live.tape import Status, Wanted
from live.terminal import Terminal
from tests.test_overlay import text_of
from tests.test_stage import Eye, Script, Slow, turned_until

SIZE = (480, 270)
SETLIST = """
[show]
title = "Faces"
tempo = 120
overlay = "terminal"

[overlay.terminal]
program = "told"

[overlay.programs.told]
frame = ["frame {frame} {cue} {beat:.3f} {keys}", "{tensor}"]
rate = 1000.0
pause = 0.1
summarise = false

[[cue]]
name = "one"
keys = [{seed = 1}, {seed = 2}, {seed = 3, psi = 0.5}]
beats = 4
ending = "next"
fade = 2

[[cue]]
name = "two"
keys = [{seed = 4}, {seed = 5, mix = {seed = 6, layers = "4-"}}]
overlay = "desktop"
fade = 2
path = "linear"
ending = "spring"
"""


@pytest.fixture
def perform(tmp_path):
    """Builds stages with an overlay on the set list above; closes everything."""
    closing = []

    def build(*desk, text=SETLIST, hz=60.0, takes=None, tape=None, edits=None):
        path = tmp_path / "faces.toml"
        path.write_text(text)
        setlist = load_setlist(path)
        output = Eye(SIZE, hz)
        fakes = []

        def start(network, seeds, now):
            fake = Fake(network, seeds)
            fakes.append(fake if takes is None else Slow(network, seeds, output.clock, takes))
            return fakes[-1]

        overlay = Overlay(
            output.ctx,
            setlist.overlay,
            identity(setlist, 0),
            SimpleNamespace(latest=None),
            datetime(2026, 11, 25, 21, 4),
        )
        closing.extend([overlay.release, output.close])
        overlay.wait(SIZE)
        stage = Stage(
            setlist,
            Ensemble(setlist, start),
            output,
            output.clock,
            Statistics(10**12),
            Prompter(Terminal(io.StringIO())),
            desk=Script(*desk),
            overlay=overlay,
            tape=tape,
            edits=edits,
        )
        return stage, overlay, fakes

    yield build
    for close in closing:
        close()


def made_of(stage, overlay):
    """By its number, the W+ of each frame that the overlay was shown."""
    seen = {}
    use = stage._use

    def watched(source, frame, at):
        use(source, frame, at)
        number = stage.statistics.generated + len(stage._taken)
        seen[number] = (frame.ws.copy(), frame.header.show_time)

    stage._use = watched
    return seen


@pytest.mark.parametrize("takes", [None, lambda n: 40_000_000 + n % 3 * 9_000_000])
def test_the_terminal_prints_the_very_w_of_the_frame_it_names(perform, takes):
    """With an engine at once, and with one so slow that several frames are under way."""
    desk = [(1.0, Message("psi", (0.5,))), (1.5, Message("tempo/nudge", (1.0,)))]
    stage, overlay, _ = perform(*desk, takes=takes)
    seen = made_of(stage, overlay)
    screen = overlay._terminal.screen
    blocks = {}
    while stage.show_time(stage.clock.now()) < 3 * SECOND:
        stage.turn()
        text = text_of(screen)
        for block in re.finditer(r"frame (\d+) [^\n]*\n((?:tensor|  )[^\n]*\n)+", text):
            blocks[int(block[1])] = block[0]
    assert stage.faults.count == 0
    complete = [number for number in blocks if number < max(blocks)]
    assert len(complete) >= 8
    for number in complete:
        ws, _ = seen[number]
        lines = [line.rstrip() for line in tensor.lines(ws, "fake", linewidth=screen.columns)]
        assert blocks[number].splitlines()[1:] == lines


def test_the_caption_is_that_of_the_frame_and_not_of_the_moment(perform):
    """A frame that was under way when a cue came is still one of the cue before."""
    stage, _, _ = perform((1.0, Message("cue/go", (2,))), takes=lambda n: 30_000_000)
    cues = []
    turned_until(stage, 0.9)
    while stage.show_time(stage.clock.now()) < 2.2 * SECOND:
        stage.turn()
        caption = newest(stage)
        cues.append((stage.show.voice.cue, caption.cue_number - 1, caption.time_s))
    assert (1, 0) in {pair[:2] for pair in cues}
    assert cues[-1][:2] == (1, 1)
    for _, of_frame, seconds in cues:
        assert of_frame == 0 or seconds >= 1.0


def test_the_weights_told_are_those_of_the_path(perform):
    stage, _, fakes = perform()
    turned_until(stage, 1.5)
    caption = newest(stage)
    mapped = {f"seed {seed}": ws for (seed, _), ws in fakes[0].mapped.items()}
    # psi is not the same at all keys: told are the weights of the spline, which psi runs along too.
    track = sum(w * {"seed 1": 0.7, "seed 2": 0.7, "seed 3": 0.5}[k] for k, w in caption.weights)
    mean = sum(weight * mapped[name] for name, weight in caption.weights)
    np.testing.assert_allclose(caption.ws, track * mean, atol=0.02)
    assert sum(weight for _, weight in caption.weights) == pytest.approx(1, abs=0.02)
    assert caption.beat == pytest.approx(caption.time_s * 2, abs=0.1)


def test_in_a_cross_fade_the_keys_of_both_cues_are_told_and_a_mixed_key_is_marked(perform):
    stage, _, _ = perform((1.0, Message("cue/go", (2,))))
    turned_until(stage, 1.5)
    names = {name for name, _ in newest(stage).weights}
    assert {"seed 4", "seed 5*"} & names
    assert {"seed 1", "seed 2", "seed 3"} & names
    turned_until(stage, 6)  # past the end, swinging
    caption = newest(stage)
    assert caption.weights[0][0] == "seed 5*"
    assert sum(weight for _, weight in caption.weights) == pytest.approx(1, abs=0.01)


def newest(stage):
    """What the terminal would print of the frame on screen."""
    return stage.scene.view.caption()


def picture(stage):
    return stage.compositor.read()[..., :3].astype(float)


def test_a_cue_brings_its_overlay_and_the_key_and_the_desk_change_it(perform):
    stage, _, _ = perform((2.0, Message("cue/go", (2,))), (4.0, Message("overlay", ("off",))))
    turned_until(stage, 1.9)
    assert stage.show.overlay.name == "terminal"
    bar = (0x13, 0x13, 0x13)
    assert not (picture(stage)[1, 100] == bar).all()
    turned_until(stage, 3)
    assert stage.show.overlay.name == "desktop"
    assert (picture(stage)[1, 100] == bar).all()
    turned_until(stage, 5)
    plain = picture(stage)
    assert not plain[:, :80].any()  # the bars beside the contained picture
    stage.output.keys.append("o")
    turned_until(stage, 6)
    assert stage.show.overlay.name == "terminal"
    assert picture(stage)[:, :80].any()


def test_nothing_is_written_before_the_first_picture(perform):
    """Not even while the engine loads for minutes."""
    text = SETLIST.replace('overlay = "terminal"', 'overlay = "desktop"')
    stage, _, _ = perform(text=text, takes=lambda n: 20 * SECOND if n == 1 else SECOND // 100)
    while stage.statistics.generated == 0:
        assert not picture(stage).any()
        stage.turn()
    assert stage.show_time(stage.clock.now()) >= 20 * SECOND
    levels = []
    for _ in range(80):
        stage.turn()
        levels.append(picture(stage).mean())
    assert 0 < levels[5] < levels[15] < levels[30] < levels[-1]
    assert (picture(stage)[1, 100] == 0x13).all()


def test_a_blackout_blacks_the_desktop_out_within_a_frame(perform):
    stage, _, _ = perform()
    stage.obey(Message("overlay", ("desktop",)))
    turned_until(stage, 3)
    stage.obey(Message("blackout", (1,)))
    stage.turn()
    assert not picture(stage).any()
    stage.obey(Message("blackout", (0,)))
    stage.turn()
    assert picture(stage).any()
    stage.obey(Message("master", (0.5,)))
    stage.turn()
    assert tuple(picture(stage)[1, 100]) == pytest.approx((9.5, 9.5, 9.5), abs=0.6)


@pytest.mark.parametrize(
    "broken", ["_run_terminal", "_read_gauges", "_draw_pictures", "_draw_window", "_draw_desktop"]
)
def test_what_goes_wrong_in_the_overlay_leaves_the_picture(perform, monkeypatch, broken):
    stage, overlay, _ = perform()
    stage.obey(Message("overlay", ("off",)))
    stage.obey(Message("cue/hold", (1,)))
    turned_until(stage, 2)
    plain = picture(stage)
    stage.obey(Message("overlay", ("desktop",)))
    turned_until(stage, 3)
    assert (picture(stage) != plain).any()
    monkeypatch.setattr(overlay, broken, lambda *given: 1 / 0)
    turned_until(stage, 4)
    assert stage.faults.count > 50
    np.testing.assert_array_equal(picture(stage), plain)
    generated = stage.statistics.generated
    turned_until(stage, 5)
    assert stage.statistics.generated > generated
    screen = np.frombuffer(stage.output.screen.read(components=3), np.uint8)
    assert (screen.reshape(SIZE[1], SIZE[0], 3)[::-1] == plain).all()  # it reaches the audience
    monkeypatch.undo()
    turned_until(stage, 6)
    assert (picture(stage) != plain).any()


def test_a_picture_that_cannot_be_composed_leaves_the_last_one_as_it_was(perform, monkeypatch):
    stage, _, _ = perform()
    turned_until(stage, 3)
    before = picture(stage)
    monkeypatch.setattr(stage.compositor, "compose", lambda *given: 1 / 0)
    for _ in range(5):
        stage.turn()
        np.testing.assert_array_equal(picture(stage), before)
    assert stage.faults.count == 5


def test_the_recording_has_the_overlay_in_it(perform):
    taped = []
    tape = SimpleNamespace(
        see=lambda target, at, size: taped.append(target.read(components=3)),
        wanted=Wanted(60),
        status=Status(True, False, 0, 0.0, "show.mp4"),
    )
    stage, _, _ = perform(tape=tape)
    stage.obey(Message("overlay", ("desktop",)))
    turned_until(stage, 3)
    last = np.frombuffer(taped[-1], np.uint8).reshape(SIZE[1], SIZE[0], 3)[::-1]
    assert (last[1, 100] == 0x13).all()


def test_the_log_prints_what_the_desk_sends(perform):
    """What it asks for in vain is not for the audience: anybody might have sent it."""
    log = replace_program(SETLIST, "log").replace('overlay = "desktop"\nfade', "fade")
    desk = [
        (2.0, Message("psi", (0.25,))),
        (2.2, Message("cue/go", ("buy now",))),
        (2.4, Message("cue/go", ("two",))),
    ]
    stage, overlay, _ = perform(*desk, text=log)
    turned_until(stage, 4)
    text = text_of(overlay._terminal.screen)
    assert re.search(r"2\.0\d+ +/anthesis/psi +0\.25", text)
    assert re.search(r"2\.4\d+ +/anthesis/cue/go +\"?two", text)
    assert "buy" not in text
    assert stage.faults.count == 0


TWO_NETWORKS = """
[show]
overlay = "terminal"
tempo = 60

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 1}, {seed = 2}]

[[cue]]
name = "two"
network = "b.pt"
fade = 2
program = "styles"
keys = [{seed = 3}, {seed = 4}]
"""


def test_while_two_networks_cross_fade_the_frame_that_is_seen_most_is_told(perform, tmp_path):
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    stage, _, fakes = perform((2.0, Message("cue/go", (2,))), text=TWO_NETWORKS)
    turned_until(stage, 1)
    latest, told = fakes[1].latest, []
    fakes[1].latest = lambda: None  # the second network's first frame takes until 4 s
    while stage.show_time(stage.clock.now()) < 8 * SECOND:
        if stage.show_time(stage.clock.now()) > 4 * SECOND:
            fakes[1].latest = latest
        stage.turn()
        view = stage.scene.view
        caption = view.caption() if view is not None else None
        if caption is not None:
            told.append((view.at / SECOND, caption.cue, caption.time_s))
    assert {cue for at, cue, _ in told if at < 4.9} == {"one"}
    assert {cue for at, cue, _ in told if at > 5.2} == {"two"}
    # Each is of a frame that was just made, but while the first network's last one is held.
    assert all(at - made < 0.1 for at, _, made in told if not 4 <= at <= 5.2)
    assert {made for at, _, made in told if 4.1 < at < 4.9} == {
        max(m for _, c, m in told if c == "one")
    }
    assert stage.faults.count == 0


def test_a_cue_may_bring_a_program_of_its_own(perform):
    text = SETLIST.replace('overlay = "desktop"\nfade', 'program = "styles"\nfade')
    stage, overlay, _ = perform(
        (2.0, Message("cue/go", (2,))), (7.0, Message("cue/go", (1,))), text=text
    )
    turned_until(stage, 1.9)
    assert "tensor" in text_of(overlay._terminal.screen)
    turned_until(stage, 6.5)
    assert "|w - w_avg|" in text_of(overlay._terminal.screen)
    turned_until(stage, 9)
    assert "tensor" in text_of(overlay._terminal.screen)
    assert stage.faults.count == 0


def test_a_set_list_that_is_saved_brings_its_programs(perform, tmp_path):
    """One that runs and was changed begins again; cues call for those that are new."""
    saved = []
    edits = SimpleNamespace(newest=lambda: saved.pop() if saved else None)
    stage, overlay, _ = perform((6.0, Message("cue/go", ("two",))), edits=edits)
    turned_until(stage, 1.9)
    text = SETLIST.replace('"frame {frame} {cue} ', '"picture {frame} of {cue} ')
    text = text.replace('name = "two"', 'name = "two"\nprogram = "new"').replace(
        '[[cue]]\nname = "one"',
        '[overlay.programs.new]\nscript = ["all new"]\n[[cue]]\nname = "one"',
    )
    (tmp_path / "faces.toml").write_text(text)
    saved.append(Saved(load_setlist(tmp_path / "faces.toml"), {}))
    turned_until(stage, 4.5)
    assert "of one" in text_of(overlay._terminal.screen)
    turned_until(stage, 7.5)
    assert "all new" in text_of(overlay._terminal.screen)
    assert stage.faults.count == 0


def replace_program(text, name):
    return text.replace('program = "told"', f'program = "{name}"')


@pytest.mark.parametrize("program", ["latents", "waterfall", "styles", "log"])
def test_the_bundled_programs_run(perform, program):
    stage, overlay, _ = perform(text=replace_program(SETLIST, program))
    turned_until(stage, 3)
    assert "anthesis@stage:~$ anthesis" in text_of(overlay._terminal.screen)
    turned_until(stage, 6)
    text = text_of(overlay._terminal.screen)
    assert stage.faults.count == 0
    if program in ("latents", "waterfall"):
        assert re.search(r"-?\d\.\d{4}, ", text)
    if program == "styles":
        norm = float(re.search(r"^ +0 +(\d+\.\d+)", text, re.M)[1])
        assert norm > 0


def test_an_overlay_that_was_hidden_goes_on_where_it_was(perform):
    stage, overlay, _ = perform()
    turned_until(stage, 2)
    stage.obey(Message("overlay/visible", (0,)))
    turned_until(stage, 3)
    before = text_of(overlay._terminal.screen)
    turned_until(stage, 30)
    assert text_of(overlay._terminal.screen) == before
    stage.obey(Message("overlay/visible", (1,)))
    turned_until(stage, 31)
    assert text_of(overlay._terminal.screen) != before
    assert stage.faults.count == 0


def test_frames_of_another_engine_have_captions_too(perform):
    """The caption is found by the frame's show time, whatever engine made it."""
    stage, _, fakes = perform()
    turned_until(stage, 1)
    fakes[0].facts = replace(fakes[0].facts, device="cuda:1 (NVIDIA H100)")
    turned_until(stage, 2)
    assert newest(stage).device == "cuda:1"


def test_a_caption_keeps_its_numbers_when_the_engine_writes_over_them(perform):
    """Its slot is free as soon as the stage holds a later frame, be that shown or not."""
    stage, _, _ = perform()
    turned_until(stage, 1)
    before = newest(stage).ws.copy()
    stage.obey(Message("freeze", (1,)))
    stage.last_frame.ws[:] = 7.0
    stage.turn()
    np.testing.assert_array_equal(newest(stage).ws, before)


def test_every_overlay_is_rehearsed_before_the_first_picture_and_nobody_sees_it(perform):
    """So that none of them takes longer at its first sight in mid-show than later."""
    stage, overlay, _ = perform(takes=lambda n: SECOND)
    stage.turn()
    drawn = []
    draw_window = overlay._draw_window
    overlay._draw_window = lambda *given: (drawn.append(given[1].pane), draw_window(*given))
    overlay._rehearsed = False
    while stage.statistics.generated == 0:
        stage.turn()
        assert not picture(stage).any()
    assert drawn.count("terminal") == 3
    assert set(drawn) == {"terminal", "monitor", "picture"}
    assert overlay._backdrop._canvas is not None
    assert stage.faults.count == 0
