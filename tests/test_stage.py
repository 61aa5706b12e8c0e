"""The whole stage in fake time: a fake engine and a fake clock, real state, real picture."""

import io
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UserError
from live.addresses import Message
from live.app import SECOND, Stage, read
from live.clock import FakeClock
from live.control import advance
from live.ensemble import Ensemble
from live.offscreen import Offscreen
from live.prompter import Prompter
from live.setlist import load_setlist
from live.source import Fake
from live.statistics import Statistics
from live.terminal import Terminal

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

    def messages(self, show, at, programme):
        due = [message for seconds, message in self.table if seconds * SECOND <= at]
        self.table = self.table[len(due) :]
        return due


class Eye(Offscreen):
    """An output that can press keys."""

    def __init__(self, size, hz):
        super().__init__(size, hz)
        self.keys = []

    def poll(self):
        keys, self.keys = self.keys, []
        return keys


@pytest.fixture
def perform(tmp_path):
    """Builds stages on the set list above; closes their outputs."""
    outputs = []

    def build(*table, hz=60.0, text=SETLIST, **options):
        path = tmp_path / "show.toml"
        path.write_text(text)
        setlist = load_setlist(path)
        output = Eye((96, 54), hz)
        outputs.append(output)
        fakes = []

        def start(network, seeds, now):
            fakes.append(Fake(network, seeds))
            return fakes[-1]

        stage = Stage(
            setlist,
            Ensemble(setlist, start),
            output,
            FakeClock(10**12),
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


STORM = (
    (0.3, Message("tempo/bpm", (90.0,))),
    (0.9, Message("psi", (0.6,))),
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
            assert np.array_equal(request.ws, read(path, readings[0], show.psi))
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
    assert [network.name for network in stage._mixer.shown] == [fakes[0].network.name]
    del fakes[1].latest
    turned_until(stage, 2.8)
    assert len(stage._mixer.shown) == 2
    turned_until(stage, 4.0)
    assert [network.name for network in stage._mixer.shown] == ["other.safetensors"]
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


def test_after_a_freeze_the_picture_is_of_now(perform):
    stage, _ = perform()
    turned_until(stage, 1.5)
    stage.obey(Message("freeze", (1,)))
    stage.turn()
    frozen = stage.compositor.read()
    turned_until(stage, 20)
    assert np.array_equal(stage.compositor.read(), frozen)
    stage.obey(Message("freeze", (0,)))
    lead = stage._lead
    stage.turn()
    stage.turn()
    assert stage.last_frame.header.show_time > 19.9 * SECOND
    assert abs(stage._lead - lead) < SECOND // 50


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
    assert len(stage._mixer.shown) == 2  # goes on from where it stood
    turned_until(stage, 7)
    assert len(stage._mixer.shown) == 1


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
    assert stage._mixer.shown == (fakes[0].network,)
    other.ask = make_frame
    turned_until(stage, 1.7)
    assert stage._mixer.shown == (other.network,)


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
        def see(self, target, at):
            raise UserError("the disk is full")

    stage, _ = perform(tape=FullDisk())
    turned_until(stage, 1.0)
    assert stage.faults.count > 10
    assert stage.statistics.presented > 30
