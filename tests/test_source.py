"""Engines as the stage sees them: real processes with the bundled network, killed and stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from engine.bench.synthetic import synthetic
from engine.networks.config import StyleGAN2Config
from engine.weights import NetworkFile
from engine.weights.saving import save_network
from live.fake_source import Fake
from live.source import NO_ANSWER_NS, Engine, Request, Supervised

FLOWERS = Path(str(resources.files("engine.nets") / "flower128.safetensors"))
SEEDS = [(7, None), (21, None)]
PATIENCE_S = 60


def tended(source, until, now=time.perf_counter_ns):
    """Tend a source as the stage does, once in a while, until something is true."""
    turn = threading.Event()
    for _ in range(PATIENCE_S * 200):
        source.tend(now())
        if result := until():
            return result
        turn.wait(0.005)
    raise AssertionError("the engine took too long")


@pytest.fixture
def flowers():
    source = Supervised("cpu", FLOWERS, SEEDS, time.perf_counter_ns())
    tended(source, lambda: len(source.mapped) == len(SEEDS))
    yield source
    source.close()
    source.join(5)


def frame_for(source, show_time, ws):
    """Ask until the frame of this very request is there; what it holds is copied."""
    source.ask(Request(show_time, ws))

    def arrived():
        frame = source.latest()
        if frame is None or frame.header.show_time != show_time:
            source.ask(Request(show_time, ws))
            return None
        return frame.header, frame.ws.copy(), frame.pixels.copy()

    return tended(source, arrived)


def test_frames_carry_the_ws_that_made_them(flowers):
    first, second = flowers.mapped[7, None], flowers.mapped[21, None]
    assert first.shape == (flowers.facts.num_ws, flowers.facts.w_dim)
    pictures = []
    for show_time, ws in enumerate([first, second, (first + second) / 2], start=1):
        header, made_of, pixels = frame_for(flowers, show_time, ws)
        assert np.array_equal(made_of, ws)
        assert pixels.shape == (128, 128, 4)
        assert header.finished >= header.started
        pictures.append(pixels)
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.fixture
def soft(tmp_path):
    """An engine with a 512x512 network whose last block adds next to nothing."""
    config = StyleGAN2Config(z_dim=4, channels=(6, 6, 6, 6, 6, 4, 4, 4), mapping=(4,))
    net = synthetic(config)
    for block in net.synthesis.blocks[1:]:
        block.torgb.weight.mul_(0.01)
    net.synthesis.blocks[0].torgb.weight.mul_(0.1)
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    path = tmp_path / "soft.safetensors"
    save_network(NetworkFile(path, "memory", "nvidia", config, tensors, {}), path, np.float32)
    source = Supervised("cpu", path, SEEDS, time.perf_counter_ns())
    tended(source, lambda: len(source.mapped) == len(SEEDS))
    yield source
    source.close()
    source.join(5)


class Asking:
    """Asks an engine for one moving frame after another."""

    def __init__(self, source):
        self.source, self.serial = source, 0

    def next(self, budget, size=0):
        """The header of the next frame, once it is there."""
        self.serial += 1
        ws = self.source.mapped[7, None] + np.float32(self.serial / 1000)

        def arrived():
            frame = self.source.latest()
            if frame is None or frame.header.show_time != self.serial:
                return None
            assert frame.pixels.shape == (frame.header.height, frame.header.width, 4)
            return frame.header

        self.source.ask(Request(self.serial, ws, budget=budget, size=size))
        return tended(self.source, arrived)

    def until(self, width, budget):
        """Ask until a frame has that width; the test's own time limit ends what never does."""
        while self.next(budget).width != width:
            pass


def test_frames_become_smaller_when_time_is_short_and_full_when_it_is_not(soft):
    """With the real engine: colours learned between frames, the governor, sizes in the header."""
    asking = Asking(soft)
    assert {asking.next(budget=0).width for _ in range(20)} == {512}
    assert [asking.next(budget=1).width for _ in range(8)][-1] == 256
    assert asking.next(budget=1, size=512).width == 512  # pinned
    assert asking.next(budget=1, size=64).width == 512  # there is no such size
    assert asking.next(budget=0).width == 512


@pytest.fixture
def crowd():
    """Starts processes that take a core from whoever runs there, until they are sent away."""
    started = []

    def begin(core):
        for _ in range(8):
            started.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            psutil.Process(started[-1].pid).cpu_affinity([core])

    def end():
        for process in started:
            process.kill()
            process.wait()
        started.clear()

    yield begin, end
    end()


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "darwin", reason="processes cannot be bound to a core")
def test_beside_other_work_frames_become_smaller_and_full_again_when_it_is_over(soft, crowd):
    begin, end = crowd
    asking = Asking(soft)
    core = psutil.Process(soft.pid).cpu_affinity()[0]
    for thread in psutil.Process(soft.pid).threads():
        os.sched_setaffinity(thread.id, [core])
    while len(soft.sizes) < 2:
        asking.next(budget=0)
    headers = [asking.next(budget=0) for _ in range(15)]
    alone = sorted(header.finished - header.started for header in headers)[len(headers) // 2]
    begin(core)
    asking.until(256, budget=3 * alone)
    end()
    asking.until(512, budget=10 * alone)  # whatever else the machine does, it is time enough


def test_the_newest_request_wins(flowers):
    ws = flowers.mapped[7, None]
    for show_time in range(1, 101):
        flowers.ask(Request(show_time, ws * (1 + show_time / 1000)))
    seen = []

    def last():
        frame = flowers.latest()
        if frame is not None:
            seen.append(frame.header.show_time)
        return seen[-1:] == [100]

    tended(flowers, last)
    assert len(seen) < 50  # those between were replaced, not queued


@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_a_lost_engine_is_replaced_and_the_morph_goes_on(flowers, accident):
    ws = flowers.mapped[7, None]
    _, _, before = frame_for(flowers, 1, ws)
    lost = flowers.pid
    os.kill(lost, accident)
    flowers.ask(Request(2, flowers.mapped[21, None]))
    header, made_of, after = frame_for(flowers, 3, ws)
    assert header.generation == 1
    assert np.array_equal(made_of, ws)
    # Another engine may settle on other forms of some layers, and those round differently.
    assert np.abs(before.astype(int) - after).max() <= 1
    assert flowers.restarts == 1
    assert len(flowers.outages) == 1
    assert flowers.outages[0].since < flowers.outages[0].until
    assert not psutil.pid_exists(lost)


def test_asking_and_tending_never_wait_for_a_stopped_engine(flowers):
    """The clock stands still, so nothing is replaced; a call that waits would hang the test."""
    now = time.perf_counter_ns()
    ws = flowers.mapped[7, None]
    os.kill(flowers.pid, signal.SIGSTOP)
    for show_time in range(10_000):  # far more than any pipe holds
        flowers.ask(Request(show_time, ws))
        flowers.tend(now)
    assert flowers.restarts == 0
    flowers.tend(now + NO_ANSWER_NS + 1_000_000_000)  # now it counts as dead
    flowers.tend(now + NO_ANSWER_NS + 1_000_000_000)
    assert flowers.restarts == 1


def test_an_engine_whose_frames_take_seconds_is_slow_and_not_dead(monkeypatch):
    """What a 1024x1024 network on a CPU says when it is ready, to an engine that never starts."""
    monkeypatch.setattr(Engine, "_live", lambda engine: None)
    engine = Engine(FLOWERS, "cpu", [], 0, 0)
    facts = asdict(Fake(FLOWERS, []).facts)
    w_avg = facts.pop("w_avg")
    engine._take(None, {"is": "ready", "frame_ns": 4 * 10**9, **facts}, [w_avg])
    engine._asked_at = 0
    assert engine.silent_since(8 * 10**9) is None
    assert engine.silent_since(60 * 10**9) == 0


@pytest.fixture
def unstarted(monkeypatch):
    """Builds sources whose engines never start; what they would say, the test says."""
    monkeypatch.setattr(Engine, "_live", lambda engine: None)
    return lambda: Supervised("cpu", FLOWERS, [], 0)


def test_a_request_says_which_size_it_wants_and_how_long_it_may_take(unstarted):
    engine = unstarted()._engine
    facts = asdict(Fake(FLOWERS, []).facts)
    w_avg, sent = facts.pop("w_avg"), []
    engine._say = lambda process, message: sent.append(message)
    engine.process = SimpleNamespace(kill=lambda: None)
    engine._take(None, {"is": "ready", "frame_ns": 1, **facts}, [w_avg])
    ws = np.zeros((10, 8), np.float32)
    engine.ask(Request(5, ws, size=512, budget=12_000_000))
    engine._take(None, {"is": "frame", "slot": 0}, [])
    engine.ask(Request(6, ws))
    asked = [(message["size"], message["budget"]) for message in sent]
    assert asked == [(512, 12_000_000), (0, 0)]


def test_what_an_engine_says_of_itself_is_told(unstarted):
    source = unstarted()
    source.tend(0)
    assert (source.form, source.sizes) == ("", ())
    said = {"is": "form", "form": "float16, CUDA graph", "sizes": [1024, 512]}
    source._engine._take(None, said, [])
    source.tend(0)
    assert (source.form, source.sizes) == ("float16, CUDA graph", (1024, 512))


def test_a_note_is_logged_once_whichever_engine_says_it(unstarted, caplog):
    source = unstarted()
    note = {"is": "note", "text": "no C compiler: PyTorch's own kernels"}
    for _ in range(2):
        source._engine._take(None, dict(note), [])
        source.tend(0)
    source._engine.ended = True
    source.tend(0)
    source.tend(10**12)  # another engine
    assert source.restarts == 1
    source._engine._take(None, dict(note), [])
    source.tend(10**12)
    told = [record for record in caplog.records if "compiler" in record.message]
    assert [record.levelname for record in told] == ["WARNING"]
    assert FLOWERS.name in told[0].message


@pytest.mark.parametrize("content", [b"", b"\x80\x04not a network", b"PK\x03\x04", b"{}"])
def test_a_file_that_is_no_network_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    source = Supervised("cpu", path, [], time.perf_counter_ns())
    why = tended(source, lambda: source.refusal)
    assert "broken.pt" in why
    assert "\n" not in why
    assert source.restarts == 0


def test_an_absent_device_is_refused():
    source = Supervised("abacus", FLOWERS, [], time.perf_counter_ns())
    why = tended(source, lambda: source.refusal)
    assert "abacus" in why


STAGE = """
import sys, time
from pathlib import Path
from live.source import Supervised
source = Supervised("cpu", Path(sys.argv[1]), [(7, None)], time.perf_counter_ns())
while source.pid is None:
    pass
print(source.pid, flush=True)
while len(source.mapped) < int(sys.argv[2]):
    source.tend(time.perf_counter_ns())
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["loading", "ready"])
def test_no_engine_outlives_a_stage_that_was_killed(when):
    mapped = "0" if when == "loading" else "1"
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(FLOWERS), mapped],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with stage:
        engine = psutil.Process(int(stage.stdout.readline()))
        assert stage.stdout.readline() == "ready\n"
        stage.kill()
    engine.wait(timeout=PATIENCE_S)


def test_the_fake_answers_at_once_and_says_what_it_was_asked():
    fake = Fake(Path("fake"), [(3, None)])
    ws = fake.mapped[3, None]
    fake.ask(Request(5, ws))
    frame = fake.latest()
    assert frame.header.show_time == 5
    assert np.array_equal(frame.ws, ws)
    left, right = frame.pixels[0, 0, :3], frame.pixels[0, -1, :3]
    assert np.array_equal(left, right)  # one seed: the same w in every layer
    assert fake.latest() is None
