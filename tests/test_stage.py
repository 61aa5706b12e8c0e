"""The whole stage in fake time: a fake engine and a fake clock, real state, real picture."""

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from engine.errors import UserError
from live.addresses import Message
from live.app import SECOND, Stage
from live.cadence import Cadence, Orders, budget
from live.clock import FakeClock
from live.control import advance
from live.ensemble import Ensemble
from live.fake_source import Fake
from live.offscreen import Offscreen
from live.prompter import Prompter
from live.setlist import load_setlist
from live.statistics import Statistics, in_words
from live.tape import Wanted
from live.terminal import Terminal
from live.wplus import read

SETLIST = """
[show]
title = "table"
tempo = 120

[[cue]]
name = "one"
keys = [{seed = 1}, {seed = 2, beats = 2}, {seed = 3, beats = 1, psi = 0.5}]
ending = "next"
fade = 1

[[cue]]
name = "two"
keys = [{seed = 4}, {seed = 5}]
beats = 4
path = "linear"
ending = "loop"
fade = 2

[[cue]]
name = "three"
keys = [{seed = 6}, {seed = 7}]
ending = "spring"
beats = 1
"""


class Script:
    """A desk that plays messages from a table of (show time in s, message)."""

    def __init__(self, *table):
        self.table = sorted(table, key=lambda row: row[0])
        self.told = {}

    def messages(self, show, at, programme):
        due = [message for seconds, message in self.table if seconds * SECOND <= at]
        self.table = self.table[len(due) :]
        return due

    def publish(self, address, args, at):
        self.told[address] = args


class Eye(Offscreen):
    """An output that can press keys, whose drawing takes as long as a test says.

    With `display` set, presenting then waits for the next refresh, as on a projector.
    """

    def __init__(self, size, hz):
        super().__init__(size, hz)
        self.keys = []
        self.clock = FakeClock(10**12)
        self.draws = 0  # ns
        self.display = None  # ns between refreshes

    def poll(self):
        keys, self.keys = self.keys, []
        return keys

    def present(self):
        super().present()
        self.clock.time += self.draws
        if self.display is not None:
            self.clock.time += self.display - self.clock.time % self.display


class Slow(Fake):
    """Takes time for a frame; of what it is asked meanwhile it makes the newest next."""

    def __init__(self, network, seeds, clock, takes):
        super().__init__(network, seeds)
        self.clock = clock
        self.takes = takes  # ns, by the number of the frame
        self._pending = self._working = self._waiting = None

    def _work(self):
        now = self.clock.now()
        while self._working is not None and self._working.header.finished <= now:
            self._waiting, self._working = self._working, None
            if self._pending is not None:
                self._begin(self._waiting.header.finished)

    def _begin(self, now):
        super().ask(self._pending)
        frame, self._frame, self._pending = self._frame, None, None
        finished = now + self.takes(len(self.asked))
        self._working = replace(frame, header=replace(frame.header, started=now, finished=finished))

    def ask(self, request):
        self._work()
        self._pending = request
        if self._working is None:
            self._begin(self.clock.now())

    def latest(self):
        self._work()
        frame, self._waiting = self._waiting, None
        return frame


class Kept:
    """A journal that keeps messages and nothing else."""

    def __init__(self):
        self.messages = []

    def obeyed(self, at, message, *, heard=False):
        self.messages.append(message)

    def file(self, *args):
        pass

    keys = sampled = gauged = ends = file


@pytest.fixture
def perform(tmp_path):
    """Builds stages on the set list above; closes their outputs."""
    outputs = []

    def build(*table, hz=60.0, text=SETLIST, takes=None, vsync=False, **options):
        path = tmp_path / "show.toml"
        path.write_text(text)
        setlist = load_setlist(path)
        output = Eye((96, 54), hz)
        output.vsync = vsync
        outputs.append(output)
        fakes = []

        def start(network, seeds, now):
            fake = Fake(network, seeds)
            fakes.append(fake if takes is None else Slow(network, seeds, output.clock, takes))
            return fakes[-1]

        stage = Stage(
            setlist,
            Ensemble(setlist, start),
            output,
            output.clock,
            Statistics(10**12),
            Prompter(Terminal(io.StringIO())),
            desk=Script(*table),
            **options,
        )
        return stage, fakes

    yield build
    for output in outputs:
        output.close()


def turned_until(stage, seconds):
    while stage.show_time(stage.clock.now()) < seconds * SECOND:
        stage.turn()


def test_what_the_stage_does_before_it_asks_is_not_the_engines_time(perform, monkeypatch):
    """While frame paths are tried out, turns are long: the engine is no slower for it."""
    sent = []
    monkeypatch.setattr(Orders, "asked", lambda self, show_time, turn, now: sent.append(now))
    stage, _ = perform()
    began = stage.clock.now()

    def probe(at):
        stage.clock.time += 15_000_000

    monkeypatch.setattr(stage, "_probe", probe)
    stage.turn()
    assert sent == [began + 15_000_000]


STORM = (
    (0.3, Message("tempo/bpm", (90.0,))),
    (0.9, Message("psi", (0.6, 0.7))),
    (1.1, Message("tempo/nudge", (0.25,))),
    (2.0, Message("cue/go", ("two",))),
    (2.5, Message("speed", (-1.5,))),
    (3.5, Message("position", (0.25,))),
    (4.0, Message("cue/go", (3,))),
)


@pytest.mark.parametrize("hz", [24.0, 60.0, 144.0])
def test_every_frame_shows_the_path_at_its_own_time(perform, hz):
    """What reaches the engine is the pure state at the show time that the frame carries."""
    stage, fakes = perform(*STORM, hz=hz)
    stage.turn()  # its picture is what sets the clock going
    asked = []
    make_frame = fakes[0].ask
    fakes[0].ask = lambda request: (asked.append((request, stage.show)), make_frame(request))
    turned_until(stage, 6)
    alone = 0
    for request, heard in asked:
        show = advance(heard, request.show_time, stage.programme)
        readings = show.readings(request.show_time)
        if len(readings) == 1:
            alone += 1
            path = stage.ensemble.path(readings[0].cue)
            assert np.array_equal(
                request.ws, read(path, readings[0], show.psi.at(request.show_time))
            )
    assert alone > 2 * hz
    assert stage.faults.count == 0


def wplus_table(perform, hz, moments):
    """The W+ at given show times, of a stage that hears at its own rate in between."""
    stage, _ = perform(hz=hz)
    stage._tend(0)
    stage._obey(Message("play", (1,)), 0)
    events = list(STORM)
    events += [(moment, None) for moment in moments]
    events += [(n / hz, "turn") for n in range(1, round(moments[-1] * hz))]
    seen = []
    for seconds, event in sorted(events, key=lambda event: event[0]):
        at = round(seconds * SECOND)
        if event is None:
            seen.append(next(iter(stage.wplus(at).values())))
        elif event == "turn":
            stage._hear(at)
        else:
            stage._obey(event, at)
    return np.array(seen)


def test_wplus_is_the_same_to_the_bit_at_any_frame_rate(perform):
    moments = [n / 8 for n in range(1, 48)]
    tables = [wplus_table(perform, hz, moments) for hz in (24.0, 60.0, 144.0)]
    assert np.array_equal(tables[0], tables[1])
    assert np.array_equal(tables[0], tables[2])
    assert len(np.unique(tables[0][:, 0, 0])) > 25


def test_master_blackout_and_freeze_act_in_the_same_frame_without_an_engine(perform):
    stage, fakes = perform()
    turned_until(stage, 1.5)
    bright = stage.compositor.read()[..., :3].astype(int)
    assert bright.max() > 40
    fakes[0].latest = lambda: None  # the engine says nothing any more
    stage._desk.table = [(0, Message("master", (0.5,)))]
    stage.turn()
    half = stage.compositor.read()[..., :3].astype(int)
    assert np.abs(half - bright / 2).max() <= 1
    stage._desk.table = [(0, Message("blackout", (1,)))]
    stage.turn()
    assert not stage.compositor.read()[..., :3].any()


def test_keys_do_what_the_desk_does(perform):
    stage, _ = perform()
    turned_until(stage, 0.5)
    for key in ("plus", "up", "right", "z"):
        stage.output.keys.append(key)
    stage.turn()
    assert stage.show.transport.bpm == 242
    assert stage.show.voice.cue == 1
    assert stage.show.frozen
    before = stage.statistics.generated
    turned_until(stage, 1.0)
    assert stage.statistics.generated == before
    stage.output.keys += ["z", "b", "space", "1"]
    stage.turn()
    assert not stage.show.frozen
    assert stage.show.blackout
    assert not stage.show.transport.playing
    assert stage.show.voice.cue == 0


def walled(output):
    """Gives an output a window's ways; the list of where it went."""
    went = []
    output.go_fullscreen = lambda: went.append("full")
    output.go_windowed = lambda: went.append("window")
    output.toggle_fullscreen = lambda: went.append("other")
    output.move_to = went.append
    return went


def test_the_desk_directs_the_window_and_a_take_says_nothing_of_it(perform):
    journal = Kept()
    stage, _ = perform(
        (0.1, Message("fullscreen", (1,))),
        (0.2, Message("fullscreen", (0,))),
        (0.3, Message("monitor", ("EPSON",))),
        (0.4, Message("monitor", (2,))),
        (0.5, Message("psi", (0.5,))),
        journal=journal,
    )
    went = walled(stage.output)
    turned_until(stage, 1)
    stage.output.keys.append("f")
    stage.turn()
    assert went == ["full", "window", "EPSON", "2", "other"]
    assert [message.address for message in journal.messages if message.address != "play"] == ["psi"]


def test_without_a_window_the_show_goes_on(perform, caplog):
    stage, _ = perform((0.1, Message("monitor", (2,))), (0.2, Message("fullscreen", (1,))))
    turned_until(stage, 0.5)
    assert "the show has no window" in caplog.text
    assert stage.faults.count == 0


def test_desks_are_told_how_it_goes(perform):
    stage, _ = perform((0.5, Message("cue/next")), (1.0, Message("tempo/bpm", (90.0,))))
    turned_until(stage, 3)
    told = stage._desk.told
    assert told["out/bpm"] == (90.0,)
    assert told["out/cue"] == (2, "two")
    assert told["out/heartbeat"] == (3,)
    assert told["out/fps"] == (60.0,)
    beat, phase = told["out/beat"]
    assert beat + phase == pytest.approx(stage.show.transport.beat_at(3 * SECOND), abs=0.1)


def test_escape_twice_within_two_seconds_ends_the_show(perform):
    stage, _ = perform()
    turned_until(stage, 1.0)
    stage.output.keys.append("escape")
    turned_until(stage, 4.0)
    stage.output.keys.append("escape")  # too late to be the second
    turned_until(stage, 5.0)
    assert not stage.over
    stage.output.keys.append("escape")
    turned_until(stage, 5.3)
    fading = stage.compositor.read()[..., :3].max()
    turned_until(stage, 5.6)
    assert stage.over
    assert fading > 0


def test_the_show_fades_in_from_black_and_out_at_its_end(perform):
    stage, _ = perform(seconds=3.0)
    levels = []
    while not stage.over:
        stage.turn()
        levels.append(int(stage.compositor.read()[..., :3].max()))
    assert levels[0] == 0
    assert levels[:20] == sorted(levels[:20])
    assert levels[-1] <= 5
    assert max(levels) > 40
    assert 2.9 <= stage.statistics.presented / 60 <= 3.1


def test_the_holding_picture_stands_until_the_first_frame(perform):
    holding = np.full((54, 96, 4), (200, 40, 10, 255), np.uint8)
    stage, _ = perform(holding=holding)
    stage.ensemble.path = lambda cue: None  # seeds are not mapped yet
    for _ in range(5):
        stage.turn()
        assert (stage.compositor.read()[..., :3] == (200, 40, 10)).all()


def test_a_fault_in_a_frame_is_counted_and_the_picture_stays(perform):
    stage, _ = perform()
    turned_until(stage, 1.5)
    before = stage.compositor.read()

    def broken(at):
        raise RuntimeError("a bug")

    stage.wplus = broken
    for _ in range(10):
        stage.turn()
    assert stage.faults.count == 10
    assert np.array_equal(stage.compositor.read(), before)


def test_two_networks_cross_fade_when_the_second_has_a_picture(perform, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"")
    text = SETLIST.replace('name = "two"', 'name = "two"\nnetwork = "other.safetensors"')
    stage, fakes = perform(text=text)
    turned_until(stage, 0.5)
    assert [fake.network.name for fake in fakes][1] == "other.safetensors"  # preloaded
    fakes[1].latest = lambda: None
    stage._desk.table = [(0, Message("cue/go", (2,)))]
    turned_until(stage, 2.5)
    assert [network.name for network in stage.scene.shown] == [fakes[0].network.name]
    del fakes[1].latest
    turned_until(stage, 2.8)
    assert len(stage.scene.shown) == 2
    turned_until(stage, 4.0)
    assert [network.name for network in stage.scene.shown] == ["other.safetensors"]
    assert stage.faults.count == 0


def test_statistics_count_what_was_presented(perform):
    stage, fakes = perform(seconds=2.0)
    stage.run()
    now = stage.clock.now()
    summary = stage.statistics.summary(now, stage.ensemble, {}, {}, stage.faults.count)
    frames = summary["frames"]
    assert frames["presented"] == frames["generated"] + frames["repeated"]
    assert summary["seconds"] == pytest.approx(2.0, abs=0.05)
    assert frames["presented"] / summary["seconds"] == pytest.approx(60, rel=0.02)
    assert summary["present_interval_ms"]["p50"] == pytest.approx(1000 / 60, rel=0.01)
    assert summary["network"]["name"] == Path(fakes[0].network).name


def test_a_frame_that_another_replaces_before_it_is_seen_is_not_counted(perform, monkeypatch):
    """An engine that catches up may finish two in a turn: before asking, and while it waits."""
    monkeypatch.setattr(Cadence, "takes_before_asking", property(lambda self: True))
    monkeypatch.setattr(Orders, "due", lambda self, turn, latency: True)
    stage, fakes = perform()
    stage.turn()
    latest = fakes[0].latest
    monkeypatch.setattr(fakes[0], "latest", lambda: fakes[0].ask(fakes[0].asked[-1]) or latest())
    for _ in range(20):
        stage.turn()
    counted = stage.statistics
    assert counted.presented == counted.generated + counted.repeated >= 20
    assert stage.faults.count == 0


def test_after_a_freeze_the_picture_is_of_now(perform):
    stage, _ = perform()
    turned_until(stage, 1.5)
    stage.obey(Message("freeze", (1,)))
    stage.turn()
    frozen = stage.compositor.read()
    turned_until(stage, 20)
    assert np.array_equal(stage.compositor.read(), frozen)
    stage.obey(Message("freeze", (0,)))
    for _ in range(2):
        stage.turn()
        seen_at = stage.show_time(stage.presented_at)
        assert abs(stage.last_frame.header.show_time - seen_at) < SECOND // 200


def test_a_freeze_holds_a_cross_fade_of_two_networks(perform, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"")
    text = SETLIST.replace('name = "two"', 'name = "two"\nnetwork = "other.safetensors"')
    stage, _ = perform(text=text)
    turned_until(stage, 1.5)
    stage.obey(Message("cue/go", (2,)))
    turned_until(stage, 1.9)
    stage.obey(Message("freeze", (1,)))
    stage.turn()
    frozen = stage.compositor.read()
    turned_until(stage, 5)
    assert np.array_equal(stage.compositor.read(), frozen)
    stage.obey(Message("freeze", (0,)))
    turned_until(stage, 5.1)
    assert len(stage.scene.shown) == 2  # goes on from where it stood
    turned_until(stage, 7)
    assert len(stage.scene.shown) == 1


def test_an_old_frame_of_a_network_kept_warm_is_never_shown(perform, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"")
    text = SETLIST.replace('name = "two"', 'name = "two"\nnetwork = "other.safetensors"')
    text = text.replace("fade = 2", "fade = 0").replace("fade = 1", "fade = 0")
    stage, fakes = perform(text=text)
    turned_until(stage, 1.0)
    (other,) = [fake for fake in fakes if fake.network.name == "other.safetensors"]
    other.ask(fakes[0].asked[-1])  # its answer waits, from when it was last on
    turned_until(stage, 1.2)
    make_frame, other.ask = other.ask, lambda request: None  # and now it is slow
    stage.obey(Message("cue/go", (2,)))
    turned_until(stage, 1.5)
    assert stage.scene.shown == (fakes[0].network,)
    other.ask = make_frame
    turned_until(stage, 1.7)
    assert stage.scene.shown == (other.network,)


def test_two_keys_in_one_frame_both_count(perform):
    stage, _ = perform()
    turned_until(stage, 0.5)
    bpm = stage.show.transport.bpm
    stage.output.keys += ["plus", "plus", "b", "b"]
    stage.turn()
    assert stage.show.transport.bpm == bpm + 2
    assert not stage.show.blackout


def test_a_recorder_that_fails_in_mid_show_does_not_end_it(perform):
    class FullDisk:
        wanted = Wanted(60)

        def see(self, target, at, size):
            raise UserError("the disk is full")

    stage, _ = perform(tape=FullDisk())
    turned_until(stage, 1.0)
    assert stage.faults.count > 10
    assert stage.statistics.presented > 30


# --- engines that take their time ----------------------------------------------------------------


def seen(stage, turns):
    """(turn, show time of the picture, its lateness) of the new pictures in so many turns."""
    pictures = []
    before = stage.last_frame
    for turn in range(turns):
        stage.turn()
        if stage.last_frame is not before:
            before = stage.last_frame
            made_for = before.header.show_time
            pictures.append((turn, made_for, stage.show_time(stage.presented_at) - made_for))
    return pictures


@pytest.mark.parametrize("draws", [0.0, 0.25], ids=["draws at once", "draws"])
@pytest.mark.parametrize(
    ("periods", "divisor"), [(0.1, 1), (0.7, 1), (0.9, 1), (1.2, 2), (1.9, 2), (2.5, 3), (5.1, 6)]
)
def test_motion_is_steady_however_slow_the_engine_is(perform, periods, divisor, draws):
    """Pictures are evenly spaced, as is what they show, and each is seen when it was meant to."""
    period = SECOND // 60
    stage, _ = perform(takes=lambda n: round(periods * period))
    stage.output.draws = round(draws * period)
    turned_until(stage, 2)
    pictures = seen(stage, 120)
    assert {b[0] - a[0] for a, b in pairwise(pictures)} == {divisor}
    steps = [(b[1] - a[1]) / period for a, b in pairwise(pictures)]
    assert steps == pytest.approx([divisor] * len(steps), abs=0.02)
    assert [late / period for _, _, late in pictures] == pytest.approx(
        [0] * len(pictures), abs=0.02
    )


@pytest.mark.parametrize(("periods", "divisor"), [(0.1, 1), (0.9, 1), (1.5, 2), (2.7, 3)])
def test_motion_is_steady_where_vertical_sync_paces(perform, periods, divisor):
    """On a display that is a little slower than it says; then a refresh is missed."""
    period = round(SECOND / 59.94)
    stage, _ = perform(takes=lambda n: round(periods * period), vsync=True)
    stage.output.display = period
    turned_until(stage, 4)
    pictures = seen(stage, 120)
    assert {b[0] - a[0] for a, b in pairwise(pictures)} == {divisor}
    steps = [(b[1] - a[1]) / period for a, b in pairwise(pictures)]
    assert steps == pytest.approx([divisor] * len(steps), abs=0.02)
    assert [late / period for _, _, late in pictures] == pytest.approx(
        [0] * len(pictures), abs=0.02
    )
    stage.output.clock.time += period  # missed
    pictures = seen(stage, 120)[2:]
    assert [late / period for _, _, late in pictures] == pytest.approx([0] * len(pictures), abs=0.1)
    assert {b[0] - a[0] for a, b in pairwise(pictures)} == {divisor}


def test_motion_is_steady_where_turns_tremble(perform):
    """As it is with software GL on a busy machine: drawing takes up to half a period."""
    period, random = SECOND // 60, Random(1)
    stage, _ = perform(takes=lambda n: round(random.uniform(1.1, 1.3) * period))
    turned_until(stage, 3)
    pictures = []
    for _ in range(200):
        stage.output.draws = round(random.uniform(0, 0.5) * period)
        pictures += seen(stage, 1)
    assert len(pictures) == 100
    steps = [(b[1] - a[1]) / period for a, b in pairwise(pictures)]
    assert steps == pytest.approx([2.0] * len(steps), abs=0.15)
    assert np.median([late for *_, late in pictures]) / period == pytest.approx(0, abs=0.1)


def test_a_fast_engine_shows_psi_in_the_frame_that_hears_of_it(perform):
    stage, _ = perform(takes=lambda n: SECOND // 200)
    stage.output.draws = SECOND // 300
    turned_until(stage, 2)
    stage.obey(Message("play", (0,)))
    stage.turn()
    stage.turn()
    before = stage.last_frame.ws.copy()
    stage._desk.table = [(0, Message("psi", (0.3,)))]
    stage.turn()
    assert not np.array_equal(stage.last_frame.ws, before)


def test_a_cue_on_a_slow_network_changes_the_cadence_and_back(perform, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"")
    text = SETLIST.replace('name = "two"', 'name = "two"\nnetwork = "other.safetensors"')
    text = text.replace("fade = 2", "fade = 0").replace('"next"', '"hold"')
    stage, fakes = perform(text=text, takes=lambda n: SECOND // 100)
    turned_until(stage, 1)
    (slow,) = [fake for fake in fakes if fake.network.name == "other.safetensors"]
    slow.takes = lambda n: SECOND // 24
    for cue, divisor in ((2, 3), (1, 1)):
        stage.obey(Message("cue/go", (cue,)))
        seen(stage, 400)
        assert {b[0] - a[0] for a, b in pairwise(seen(stage, 60))} == {divisor}
    summary = stage.statistics.summary(stage.clock.now(), stage.ensemble, {}, {}, 0)
    assert summary["cadence"] == {"divisor": 1, "changes": 2}
    assert abs(summary["lateness_ms"]["p50"]) < 1


# --- how large the pictures are ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detail", "size"),
    [("", 0), ('detail = "auto"', 0), ('detail = "full"', 64), ("detail = 16", 16)],
)
def test_what_is_asked_for_says_its_size_and_budget(perform, detail, size):
    stage, fakes = perform(text=SETLIST.replace("[show]", f"[show]\n{detail}"))
    turned_until(stage, 0.5)
    assert {request.size for request in fakes[0].asked} == {size}
    assert {request.budget for request in fakes[0].asked} == {budget(round(SECOND / 60))}


def test_in_a_cross_fade_on_one_network_the_newer_cue_says_the_size(perform):
    text = SETLIST.replace('name = "two"', 'name = "two"\ndetail = 32')
    stage, fakes = perform(text=text)
    turned_until(stage, 0.5)
    stage.obey(Message("cue/go", (2,)))
    before = len(fakes[0].asked)
    turned_until(stage, 0.7)
    assert len(stage.show.readings(stage.show_time(stage.clock.now()))) == 2
    assert {request.size for request in fakes[0].asked[before:]} == {32}


def test_a_change_of_size_is_a_fade_and_not_a_jump(perform):
    """The fake's pictures of any size are the same gradient; these differ in brightness too."""
    stage, fakes = perform(text=SETLIST.replace('"next"', '"hold"'))
    turned_until(stage, 3)
    stage.obey(Message("play", (0,)))
    make_picture = fakes[0].ask

    def darker(request):
        make_picture(request)
        frame = fakes[0]._frame
        pixels = np.ascontiguousarray(frame.pixels[::2, ::2] // 2)
        header = replace(frame.header, width=32, height=32)
        fakes[0]._frame = replace(frame, header=header, pixels=pixels)

    stage.turn()
    full = stage.compositor.read()[27, 48, :3].astype(int)
    fakes[0].ask = darker
    levels = []
    for _ in range(24):
        stage.turn()
        levels.append(stage.compositor.read()[27, 48, :3].max() / full.max())
    assert levels == sorted(levels, reverse=True)
    assert max(a - b for a, b in pairwise([1.0, *levels])) < 0.1
    assert levels[10] > 0.6
    assert levels[-1] == pytest.approx(0.5, abs=0.02)
    summary = stage.statistics.summary(stage.clock.now(), stage.ensemble, {}, {}, 0)
    assert summary["sizes"]["32"] == 24
    assert list(summary["sizes"]) == ["64", "32"]
    assert "32x32" in in_words({**summary, "recorder": {"files": []}, "time_to_window_s": 0.5})


def test_a_freeze_holds_the_fade_of_sizes_too(perform):
    stage, fakes = perform()
    turned_until(stage, 1.5)
    make_picture = fakes[0].ask

    def smaller(request):
        make_picture(request)
        frame = fakes[0]._frame
        pixels = np.zeros((32, 32, 4), np.uint8)
        header = replace(frame.header, width=32, height=32)
        fakes[0]._frame = replace(frame, header=header, pixels=pixels)

    fakes[0].ask = smaller
    seen(stage, 6)
    stage.obey(Message("freeze", (1,)))
    stage.turn()
    frozen = stage.compositor.read()
    assert frozen[..., :3].any()
    turned_until(stage, 5)
    assert np.array_equal(stage.compositor.read(), frozen)
    stage.obey(Message("freeze", (0,)))
    seen(stage, 20)
    assert not stage.compositor.read()[..., :3].any()
