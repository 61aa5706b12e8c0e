"""Films of takes: what the audience saw, again and frame by frame, from any frame on."""

import io
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import UserError
from live.addresses import Message
from live.app import SECOND, Stage
from live.captions import identity
from live.ensemble import Ensemble
from live.fake_gpus import FakeNvml, one_card
from live.fake_source import Fake
from live.gpus import Readings
from live.offline import Engines, Offline
from live.overlay.overlay import Overlay
from live.prompter import Prompter
from live.rerun import Rerun
from live.setlist import load_setlist
from live.source import Request
from live.statistics import Statistics
from live.take import Gauged, Resumed, Take
from live.take_reader import read_take
from live.take_writer import TakeWriter, free_name
from live.terminal import Terminal
from tests.test_stage import Eye, Script

SIZE = (320, 180)
SETLIST = """
[show]
title = "Faces"
tempo = 120
overlay = "split"

[overlay.terminal]
program = "told"

[overlay.programs.told]
frame = ["frame {frame} {cue} {beat:.3f} {keys}", "{tensor}"]
rate = 200.0
pause = 0.1

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 1}, {seed = 2}, {seed = 3, psi = 0.5}]
beats = 2
ending = "next"
fade = 2

[[cue]]
name = "two"
network = "b.pt"
keys = [{seed = 4}, {seed = 5, mix = {seed = 6, layers = "4-"}}]
overlay = "desktop"
fade = 1
path = "linear"
ending = "loop"

[[cue]]
name = "three"
network = "b.pt"
keys = [{seed = 7}, {seed = 8}]
overlay = "off"
"""
STORM = (
    (0.4, Message("psi", (0.5,))),
    (0.9, Message("tempo/nudge", (0.25,))),
    (2.6, Message("freeze", (1,))),
    (3.0, Message("freeze", (0,))),
    (3.3, Message("fade", (0.2, 0.5))),
    (3.6, Message("blackout", (1,))),
    (3.7, Message("blackout", (0,))),
    (4.0, Message("cue/go", ("three",))),
    (4.4, Message("overlay", ("terminal",))),
)


@pytest.fixture
def perform(tmp_path):
    """Performs in fake time before a camera; returns the take and what was seen, by show time."""
    closing = []
    for network in ("a.pt", "b.pt"):
        (tmp_path / network).write_bytes(network.encode())

    def build(*desk, seconds=5.0, ends=None, text=SETLIST):
        (tmp_path / "faces.toml").write_text(text)
        setlist = load_setlist(tmp_path / "faces.toml")
        output = Eye(SIZE, 60.0)
        gauges = SimpleNamespace(latest=None)
        readings = Readings(FakeNvml(one_card()), output.clock.now, lambda: 1.8e9)
        opened = datetime(2026, 11, 25, 21, 4)
        overlay = Overlay(output.ctx, setlist.overlay, identity(setlist, 0), gauges, opened)
        writer = TakeWriter(free_name(tmp_path / "night.take"))
        closing.extend([writer.close, overlay.release, output.close])
        overlay.wait(SIZE)
        writer.begin(setlist, 0, opened)
        writer.start()
        stage = Stage(
            setlist,
            Ensemble(setlist, Fake),
            output,
            output.clock,
            Statistics(10**12),
            Prompter(Terminal(io.StringIO())),
            desk=Script(*desk),
            overlay=overlay,
            gauges=gauges,
            journal=writer,
        )
        seen = {}
        while (now := stage.show_time(output.clock.now())) < seconds * SECOND and not stage.over:
            if gauges.latest is None or output.clock.now() - gauges.latest.taken_ns > SECOND // 2:
                gauges.latest = readings.take()
            if ends is not None and now >= ends * SECOND:
                stage.end()
            stage.turn()
            seen[stage._pacer._last - stage._began] = stage.compositor.read()[..., :3].astype(int)
        assert stage.faults.count == 0
        writer.close()
        return read_take(writer.path), seen

    yield build
    for close in closing:
        close()


def filmed(take, *spans, rate=60, **options):
    """Frames of a take, by their number."""
    offline = Offline(take, SIZE, Fraction(rate), lambda network: Fake(network, ()), **options)
    try:
        taken = {}
        for span in spans:
            frames = offline.frames(span)
            for number, frame in zip(span, frames, strict=True):
                taken[number] = frame.pixels[..., :3].astype(int)
        return taken
    finally:
        offline.close()


def test_a_film_of_a_take_is_what_the_audience_saw(perform):
    """Pictures, cross-fades, freeze, blackout, every overlay with its texts and GPU figures.

    The terminal prints what the desk says: which frames it would print the tensors of depends on a
    nanosecond.
    """
    frame = next(line for line in SETLIST.splitlines() if line.startswith("frame ="))
    heard = 'message = "{time:.2f} {address} {arguments}"'
    take, seen = perform(*STORM, text=SETLIST.replace(frame, heard), ends=4.4)
    rerun = Rerun(take, Fraction(60))
    times = np.array(sorted(seen))
    film = filmed(take, range(rerun.frames))
    differences = []
    for number, picture in film.items():
        nearest = times[np.abs(times - rerun.time_of(number)).argmin()]
        assert abs(nearest - rerun.time_of(number)) < SECOND / 120
        differences.append(np.abs(picture - seen[nearest]).mean())
    # Messages act between frames here and on one there; all else is equal but for rounding.
    assert len(differences) > 280
    assert np.median(differences) < 0.1
    assert np.mean(np.array(differences) < 1.0) > 0.95
    assert film[0].mean() < film[60].mean() > film[len(film) - 1].mean()  # it fades in and out


WITH_A_SCRIPT = SETLIST.replace('program = "told"', 'program = "latents"')
OPENED_IN_THE_DARK = (
    (0.3, Message("overlay", ("desktop",))),  # while the first picture fades in
    (1.2, Message("freeze", (1,))),
    (1.3, Message("overlay", ("terminal",))),
    (3.4, Message("freeze", (0,))),
)


@pytest.mark.parametrize("text", [SETLIST, WITH_A_SCRIPT])
@pytest.mark.parametrize("desk", [STORM, OPENED_IN_THE_DARK])
def test_any_frame_is_the_same_wherever_the_rendering_began(perform, text, desk):
    take, _ = perform(*desk, text=text)
    whole = filmed(take, range(Rerun(take, Fraction(60)).frames))
    # In fades, frozen, in every overlay, between two samples of the GPUs.
    for start in (1, 25, 40, 95, 121, 170, 200, 222, 243, 285):
        part = filmed(take, range(start, start + 4))
        for number, picture in part.items():
            assert np.array_equal(picture, whole[number]), number
    jumped = filmed(take, range(10, 14), range(90, 92), range(92, 93), range(200, 203))
    assert all(np.array_equal(picture, whole[number]) for number, picture in jumped.items())


def test_a_film_without_fades_begins_with_the_first_picture(perform):
    take, _ = perform(seconds=1)
    film = filmed(take, range(2), overlay="off")
    whole = filmed(take, range(2), overlay="off", fades=False)
    assert not film[0].any()
    assert whole[0].any()
    assert np.abs(whole[0] - whole[1]).max() <= 3


def test_the_overlay_can_be_chosen(perform):
    take, _ = perform(*STORM)
    shown = {name: filmed(take, range(150, 151), overlay=name)[150] for name in ("off", "desktop")}
    as_it_was = filmed(take, range(150, 151))[150]
    assert np.abs(shown["desktop"] - shown["off"]).mean() > 10
    assert np.abs(as_it_was - shown["off"]).mean() > 10


def test_a_resumed_show_is_one_film_without_a_gap(perform):
    """The old picture stands while that evening's engine loaded again."""
    take, _ = perform(seconds=2)
    at = max(event.at for event in take.events if not hasattr(event, "cue"))
    events = (*take.events, Resumed(at), replace(take.events[-1], at=at + 1 * SECOND))
    resumed = replace(take, events=events)
    rerun = Rerun(resumed, Fraction(60))
    last = rerun.frames - 1
    film = filmed(resumed, range(last - 30, last + 1), overlay="off")
    assert last > 170
    assert film[last].any()
    assert np.array_equal(film[last], film[last - 30])


def test_other_frame_rates_are_the_same_show(perform):
    take, _ = perform(*STORM)
    rerun = Rerun(take, Fraction(60))
    slow = Rerun(take, Fraction(24))
    assert abs(rerun.frames / 60 - slow.frames / 24) < 1 / 24
    for at_60, at_24 in zip(list_of(rerun, 240)[::5], list_of(slow, 96)[::2], strict=True):
        assert at_60.at == at_24.at
        assert (at_60.show, at_60.curtain) == (at_24.show, at_24.curtain)


def list_of(rerun, count):
    return [moment for moment, _ in zip(rerun, range(count), strict=False)]


def test_figures_of_gpus_come_back_as_they_were(perform):
    take, _ = perform(seconds=3)
    samples = [event.sample for event in take.events if isinstance(event, Gauged)]
    assert len(samples) >= 4
    assert samples[0].cards[0].name
    assert [s.taken_ns for s in samples] == sorted({s.taken_ns for s in samples})


class Mortal(Fake):
    """Its engine dies over the first request, as often as the test says; another comes."""

    deaths = 1

    def ask(self, request):
        self._lost = self.restarts < self.deaths
        if not self._lost:
            super().ask(request)

    def tend(self, now):
        if self._lost:
            self._lost = False
            self.restarts += 1


def test_an_engine_that_dies_is_asked_again():
    engines = Engines(lambda network: Mortal(network, ()))
    ws = np.ones((Fake.num_ws, Fake.w_dim), np.float32)
    engines.ask(Path("a.pt"), Request(7, ws))
    assert engines.frame(Path("a.pt"), 7).header.show_time == 7


def test_engines_that_keep_dying_are_given_up():
    mortal = type("Cursed", (Mortal,), {"deaths": 100})
    engines = Engines(lambda network: mortal(network, ()))
    engines.ask(Path("a.pt"), Request(7, np.ones((Fake.num_ws, Fake.w_dim), np.float32)))
    with pytest.raises(UserError, match="5 engines ended over one frame"):
        engines.frame(Path("a.pt"), 7)


def test_a_take_of_nothing_is_one_frame(perform):
    take, _ = perform(seconds=0.5)
    nothing = Take(take.began, take.setlist, 0)
    assert Rerun(nothing, Fraction(48)).frames == 1
    assert not filmed(nothing, range(1))[0].any()
