"""From the engine's memory to the texture: the probe that chooses, and what becomes of a show."""

import io
import os
import signal
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from test_graphs import StandIn
from test_recovery import turned_until

import engine.nets
from engine import link
from engine.inference.graphs import Graphs
from engine.weights import load_network
from live import BEGAN
from live.app import Stage
from live.clock import FakeClock, WallClock
from live.ensemble import Ensemble
from live.fake_cuda import FakeCuda
from live.fake_source import Fake
from live.interop import HOST, ON_GPU, FramePaths
from live.offscreen import Offscreen
from live.prompter import Prompter
from live.setlist import bundled
from live.source import Request, Shared, Supervised
from live.statistics import Statistics
from live.succession import Succession
from live.terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake's memory is Linux's")

BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"
STAND_IN = (sys.executable, str(Path(__file__).parent / "stand_in_worker.py"))
MS = 1_000_000
TURNS = 60 * 90


class OnGpu(Fake):
    """A fake engine on the fake GPU: it opens what is shared and puts its frames there."""

    def __init__(self, answer=Shared("", host_ns=2 * MS, gpu_ns=1 * MS)):  # noqa: B008 - frozen
        super().__init__(Path("fake"), ())
        self.facts = replace(self.facts, uuid="ab" * 16, device="cuda:0 (fake)")
        self.answer, self.slots = answer, []

    def share(self, handles, side):
        names = [handle.rstrip(b"\0").decode() for handle in handles]
        self.slots = [np.memmap(name, np.uint8, "r+") for name in names]
        for number, slot in enumerate(self.slots):
            slot[:] = link.pattern(number, side).ravel()
        self.shared = self.answer

    def ask(self, request):
        super().ask(request)
        if self.on_gpu:
            self.slots[1][:] = self._frame.pixels.ravel()
            blank = np.zeros_like(self._frame.pixels)
            self._frame = replace(self._frame, pixels=blank, slot=1)


@pytest.fixture
def gpu():
    gpu = FakeCuda()
    yield gpu
    gpu.close()


@pytest.fixture
def clock():
    return FakeClock(10**12)


def probed(paths, source):
    """Tend until the probe has decided; how, and why so."""
    turn = threading.Event()
    for _ in range(TURNS):
        paths.tend(source)
        way = paths._ways.get(source.network)
        if way is not None and way.probe is None:
            return paths.chosen(source.network)
        turn.wait(0.001)
    raise AssertionError("it never decides")


def shown(paths, source, ws):
    """The picture on screen of a frame for these ws, [64, 64, 4]; None if it did not get there."""
    source.ask(Request(0, np.asarray(ws, np.float32)))
    paths.settle()
    succession = Succession(paths._ctx)
    try:
        if not paths.bring(source, source.latest(), succession, 0):
            return None
        (layer,) = succession.layers(0, 1.0)
        paths.settle()
        return np.frombuffer(layer.picture.texture.read(), np.uint8).reshape(64, 64, 4)
    finally:
        succession.release()


def test_frames_of_one_gpu_stay_there(gl, gpu, clock):
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    ws = np.random.default_rng(1).normal(size=(10, 8))
    through_host = shown(paths, source, ws)
    assert probed(paths, source) == (ON_GPU, "1.00 ms a frame, 2.00 through the host's memory")
    assert source.on_gpu
    assert np.array_equal(shown(paths, source, ws), through_host)
    assert not gpu.registered  # textures that were released


OPENING = ["suits", "prepare", "start", "allocate", "export", "attach"]
BREAKS = [*OPENING, "register", "copy", "finish"]


@pytest.mark.parametrize("what", BREAKS)
def test_whatever_fails_leaves_the_hosts_memory_and_a_sentence(gl, gpu, clock, what):
    gpu.broken.add(what)
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    assert probed(paths, source) == (HOST, f"{what}: broken")
    assert not source.on_gpu
    assert shown(paths, source, np.ones((10, 8))).any()
    assert not gpu.registered


def test_pictures_that_arrive_otherwise_than_they_were_written_are_not_believed(gl, gpu, clock):
    gpu.garbled = True
    kind, why = probed(FramePaths(gl, gpu, clock.now), OnGpu())
    assert kind == HOST
    assert "slot 0 arrives garbled" in why


def test_an_engine_that_cannot_open_the_memory_says_why(gl, gpu, clock):
    paths = FramePaths(gl, gpu, clock.now)
    assert probed(paths, OnGpu(Shared("no cuda-bindings"))) == (
        HOST,
        "the engine cannot take part: no cuda-bindings",
    )


def test_the_quicker_way_is_taken(gl, gpu, clock):
    paths = FramePaths(gl, gpu, clock.now)
    kind, why = probed(paths, OnGpu(Shared("", host_ns=1 * MS, gpu_ns=1 * MS)))
    assert kind == HOST
    assert why.startswith("not quicker: 1.00 ms a frame, 1.00 through")


def test_the_stages_own_part_counts(gl, gpu):
    """A copy that takes 50 ms loses against an upload, whatever the engine has gained."""
    gpu.copy_s = 0.05
    kind, why = probed(FramePaths(gl, gpu, WallClock().now), OnGpu())
    assert kind == HOST
    assert why.startswith("not quicker: ")


def test_an_engine_elsewhere_is_not_asked(gl, gpu, clock):
    source = Fake(Path("fake"), ())
    assert probed(FramePaths(gl, gpu, clock.now), source) == (HOST, "the engine is on fake")
    assert gpu.exported == 0


def test_an_engine_that_is_lost_in_the_trial_is_not_followed_by_another_trial(gl, gpu, clock):
    """Or what has ended the first would end them all."""
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    source.share = lambda handles, side: None
    turn = threading.Event()
    while not paths._ways or not paths._ways[source.network].slots:
        paths.tend(source)
        turn.wait(0.001)
    source.restarts = 1
    del source.share
    assert probed(paths, source) == (HOST, "an engine was lost while this was tried")


def test_a_copy_that_fails_leaves_no_texture_behind(gl, gpu, clock):
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    assert probed(paths, source)[0] == ON_GPU
    gpu.broken.add("copy")
    assert shown(paths, source, np.ones((10, 8))) is None
    assert not gpu.registered


@pytest.mark.parametrize("what", ["copy", "finish"])
def test_what_fails_in_the_show_is_given_up_for_good(gl, gpu, clock, what):
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    assert probed(paths, source)[0] == ON_GPU
    ws = np.full((10, 8), 0.5)
    before = shown(paths, source, ws)
    gpu.broken.add(what)
    assert shown(paths, source, ws) is None  # it was asked for before
    assert paths.chosen(source.network) == (HOST, f"given up in the show: {what}: broken")
    assert np.array_equal(shown(paths, source, ws), before)
    gpu.broken.clear()
    another = OnGpu()
    another.network = Path("another")
    assert probed(paths, another)[0] == HOST


def test_frames_of_another_size_fit_the_slots(gl, gpu, clock):
    """The governor's smaller pictures, and textures that are made and released with CUDA."""
    source, paths = OnGpu(), FramePaths(gl, gpu, clock.now)
    assert probed(paths, source)[0] == ON_GPU
    succession = Succession(gl)
    for at, side in enumerate((64, 32, 32, 64)):
        source.ask(Request(0, np.full((10, 8), 0.1 * at, np.float32)))
        frame = source.latest()
        pixels = np.full((side, side, 4), 10 * at + 1, np.uint8)
        source.slots[1][: pixels.size] = pixels.ravel()
        header = replace(frame.header, width=side, height=side)
        assert paths.bring(source, replace(frame, header=header), succession, at)
        newest = succession.layers(at, 1.0)[0].picture
        assert newest.texture.read() == pixels.tobytes()
    assert len(gpu.registered) == 3  # the live one, and two that fade out
    succession.release()
    assert not gpu.registered


@pytest.fixture
def stage(gpu):
    """A real show, with a real engine whose GPU is the fake one."""
    setlist = bundled()
    output = Offscreen((160, 90), 60.0)
    ensemble = Ensemble(setlist, partial(Supervised, "cuda", program=STAND_IN))
    prompter = Prompter(Terminal(io.StringIO()))
    yield Stage(setlist, ensemble, output, WallClock(), Statistics(BEGAN), prompter, gpu=gpu)
    ensemble.close()
    output.close()


def on_screen(stage):
    """The texture of the newest frame, and what an engine makes of that frame's W+."""
    (succession,) = stage.scene.pictures.values()
    texture = succession.layers(0, 1.0)[0].picture.texture
    pixels = np.frombuffer(texture.read(), np.uint8).reshape(128, 128, 4)
    graphs = Graphs(load_network(BUNDLED), StandIn(), torch.float16)
    graphs.render(stage.last_frame.ws.copy(), 1.0, 128)
    wanted = np.zeros((128, 128, 4), np.uint8)
    graphs.fetch(wanted)
    return pixels, wanted


def test_a_show_goes_over_the_gpu_and_on_when_its_engine_dies_and_when_copies_fail(stage, gpu):
    turned_until(
        stage, lambda: stage.last_frame and stage.frame_path[1] != "not decided before the end"
    )
    assert stage.frame_path[0] == ON_GPU, stage.frame_path
    turned_until(stage, lambda: stage.last_frame.slot is not None)
    pixels, wanted = on_screen(stage)
    assert np.array_equal(pixels, wanted)

    os.kill(stage.ensemble.sources[0].pid, signal.SIGKILL)
    turned_until(stage, lambda: stage.last_frame.header.generation == 1)
    turned_until(stage, lambda: stage.last_frame.slot is not None)
    assert gpu.exported == link.SLOTS  # the same slots, for the next engine
    pixels, wanted = on_screen(stage)
    assert np.array_equal(pixels, wanted)

    gpu.broken.add("copy")
    turned_until(stage, lambda: stage.last_frame.slot is None)
    pixels, wanted = on_screen(stage)
    assert np.array_equal(pixels, wanted)
    assert stage.frame_path[0] == HOST
    assert stage.faults.count == 0
