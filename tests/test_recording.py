"""A show that is recorded, in fake time: keys, desk, taps, a small disk; and a real one, killed."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from pythonosc.osc_message import OscMessage

from live.addresses import Message
from live.app import SECOND, Stage
from live.captions import identity
from live.codecs import Format
from live.ensemble import Ensemble
from live.fake_microphone import FakeMicrophone, clicks
from live.fake_source import Fake
from live.listening import Listening
from live.osc import OscServer, encode
from live.overlay.overlay import Overlay
from live.prompter import Prompter
from live.recorder import Recorder
from live.setlist import load_setlist
from live.statistics import Statistics
from live.take_reader import read_take
from live.tape import Tape, Wanted
from live.terminal import Terminal
from tests.test_overlaid import SETLIST
from tests.test_stage import Eye, Script, turned_until
from tests.xvfb import xvfb

SIZE = (160, 90)
LOSSLESS = Format("ffv1", "rgb")


class NoGauges:
    latest = None


@pytest.fixture
def perform(tmp_path):
    """Builds a stage that can be recorded; closes everything."""
    closing = []

    def build(*desk, folder=tmp_path, fps=60, format=LOSSLESS, tap="program", size=SIZE):
        path = tmp_path / "faces.toml"
        path.write_text(SETLIST)
        setlist = load_setlist(path)
        output = Eye(size, 60.0)
        opened = datetime(2026, 11, 25, 21, 4)
        overlay = Overlay(output.ctx, setlist.overlay, identity(setlist, 0), NoGauges(), opened)
        overlay.wait(size)
        tape = Tape(output.ctx, size, Wanted(fps, format, tap, folder))
        closing.extend([tape.close, overlay.release, output.close])
        operator = io.StringIO()
        stage = Stage(
            setlist,
            Ensemble(setlist, Fake),
            output,
            output.clock,
            Statistics(10**12),
            Prompter(Terminal(operator)),
            desk=desk[0] if desk and not isinstance(desk[0], tuple) else Script(*desk),
            overlay=overlay,
            tape=tape,
        )
        return stage, tape

    yield build
    for close in closing:
        close()


def recorded_until(stage, seconds):
    """Turn in fake time, but no faster than the encoder."""
    while stage.show_time(stage.clock.now()) < seconds * SECOND:
        stage.turn()
        newest = stage._tape._newest
        while newest is not None and newest.recorder._pending and not newest.recorder.failed:
            time.sleep(0.0001)


def decoded(path):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_r_begins_and_ends_a_recording(perform, tmp_path):
    stage, tape = perform()
    stage.output.keys = ["r"]  # before the first picture: the film begins with that
    recorded_until(stage, 1)
    stage.output.keys = ["r"]
    recorded_until(stage, 1.5)
    assert not tape.recording
    stage.output.keys = ["r"]
    recorded_until(stage, 2)
    tape.close(60)
    first, second = sorted(tmp_path.glob("*.mkv"), key=lambda path: path.stat().st_mtime_ns)
    assert first.name.startswith("anthesis-20")
    assert 57 <= len(decoded(first)) <= 60
    assert 29 <= len(decoded(second)) <= 31
    assert stage.faults.count == 0


def test_the_desk_records_marks_and_is_told(perform, tmp_path):
    stage, tape = perform(
        (0.5, Message("record/start", ("night one",))),
        (0.8, Message("record/marker", ("the drop",))),
        (1.0, Message("record/start", ("again",))),  # one goes on already
        (1.5, Message("record/stop")),
    )
    recorded_until(stage, 1.2)
    told = stage._desk.told["out/record"]
    assert (told[0], told[2]) == (1, "night one.mkv")
    recorded_until(stage, 2)
    tape.close(60)
    stage.turn()
    assert stage._desk.told["out/record"] == (0, 60, "night one.mkv")
    assert [path.name for path in tmp_path.glob("*.mkv")] == ["night one.mkv"]
    assert len(decoded(tmp_path / "night one.mkv")) == 60
    (marker,) = json.loads((tmp_path / "night one.mkv.json").read_text())["markers"]
    assert (marker["text"], marker["frame"]) == ("the drop", 18)
    assert marker["show_time_s"] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("tap", ["program", "picture", "output"])
def test_what_is_recorded_can_be_chosen(perform, tmp_path, tap):
    """With the overlay, without it though the desktop hides the picture, or the output."""
    stage, tape = perform((1.0, Message("overlay", ("desktop",))), tap=tap)
    tape.start(tmp_path / "x.mkv")
    recorded_until(stage, 2.5)
    if tap == "output":
        stage.output.screen.clear(1.0, 0.0, 0.0, 1.0)
        at = stage.show_time(stage.clock.now()) + SECOND // 30
        tape.see(stage.output.screen, at, SIZE)
    tape.close(60)
    frames = decoded(tmp_path / "x.mkv")
    bar = frames[100][0, 5]  # of the desktop, at the top left
    if tap == "picture":
        assert (bar == 0).all()  # beside the square picture it is black
        middle = frames[100][:, SIZE[0] // 2]
        assert np.abs(middle.astype(int) - middle[0]).max() <= 1  # the fake's picture, no window
    else:
        assert (bar == 0x13).all()
    if tap == "output":
        assert (frames[-1][40] == (255, 0, 0)).all()


def test_an_overlay_in_the_picture_is_not_hidden_from_the_audience(perform, tmp_path):
    """What is recorded without it is seen with it."""
    stage, tape = perform(tap="picture")
    tape.start(tmp_path / "x.mkv")
    stage.obey(Message("overlay", ("desktop",)))
    recorded_until(stage, 2)
    assert (stage.compositor.read()[0, 5, :3] == 0x13).all()


def test_a_disk_that_fills_up_is_said_and_the_show_goes_on(perform, tmp_path, small_disk):
    stage, tape = perform(folder=small_disk, size=(640, 360), fps=60)
    tape.start(small_disk / "x.mkv")
    lines = []
    stage.output.operator = lines.append
    at = 0.0
    while tape.recording:
        at += 0.02
        recorded_until(stage, at)
    presented = stage.statistics.presented
    recorded_until(stage, at + 1.5)
    assert stage.statistics.presented > presented + 80
    assert stage.faults.count == 0
    recording, frames, why = stage._desk.told["out/record"]
    assert recording == 0
    assert "would be left on the disk" in why or "are left on the disk" in why
    assert lines[-1].endswith("RECORDING STOPPED")
    tape.close(60)
    assert len(decoded(small_disk / "x.mkv")) == frames
    said = json.loads((small_disk / "x.mkv.json").read_text())
    assert said["state"].startswith("stopped: ")
    assert said["frames"]["written"] == frames
    # A disk with room again: R records again.
    (small_disk / "x.mkv").unlink()
    stage.output.keys = ["r"]
    stage.turn()
    assert tape.recording
    tape.close(60)


def test_an_encoder_that_is_too_slow_costs_frames_and_not_the_show(perform, tmp_path, monkeypatch):
    stage, tape = perform()
    tape.start(tmp_path / "x.mkv")
    turned_until(stage, 0.5)
    wait = Recorder._write
    monkeypatch.setattr(Recorder, "_write", lambda *given: (time.sleep(0.05), wait(*given)))
    turned_until(stage, 2)
    monkeypatch.undo()
    tape.close(60)
    said = json.loads((tmp_path / "x.mkv.json").read_text())
    lost = sum(run[2] for run in said["missing"])
    repeated = sum(run[1] for run in said["repeated"])
    assert lost == said["frames"]["dropped"] > 10
    assert repeated == said["frames"]["duplicated"] > 0
    assert len(decoded(tmp_path / "x.mkv")) == said["frames"]["written"]
    assert stage.faults.count == 0
    assert stage.statistics.presented >= 119


def test_a_subscriber_is_told_over_the_network_and_nobody_else(perform, tmp_path):
    ears = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for ear in ears:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(10)
    subscribed, stranger = ears
    with OscServer("127.0.0.1:0") as server:
        stage, tape = perform(server)
        port = subscribed.getsockname()[1]
        stranger.sendto(encode("/anthesis/subscribe", port, "/anthesis/out/record"), server.address)
        assert server.wait(10)
        stage.turn()
        stranger.sendto(encode("/anthesis/record/start", "x"), server.address)
        assert server.wait(10)
        while not tape.recording:
            stage.turn()
        turned_until(stage, 1)
        told = []
        while not told or told[-1][0] == 0 or told[-1][1] == 0:
            message = OscMessage(subscribed.recv(2048))
            assert message.address == "/anthesis/out/record"
            told.append(tuple(message.params))
        assert told[0] == (0, 0, "")
        assert told[-1][2] == "x.mkv"
    stranger.settimeout(0)
    with pytest.raises(BlockingIOError):
        stranger.recv(2048)
    for ear in ears:
        ear.close()


def test_what_is_killed_in_mid_show_is_there_up_to_its_last_second(tmp_path):
    """All processes at once."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "live", "play", "--headless", "--device", "cpu"]
    command += ["--seconds", "60", "--record", "x.mp4", "--size", "320x180", "--osc", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as show:
        sidecar = tmp_path / "x.mp4.json"
        try:
            written = 0
            while written < 90:
                assert show.poll() is None
                if sidecar.exists():
                    written = json.loads(sidecar.read_text())["frames"]["written"]
                time.sleep(0.01)
        finally:
            os.killpg(show.pid, signal.SIGKILL)
    assert len(decoded(tmp_path / "x.mp4")) >= written - 15
    events = read_take(tmp_path / "x.take").events
    said = json.loads(sidecar.read_text())
    assert said["state"] == "recording"
    last = max(event.at for event in events if hasattr(event, "at"))
    assert last / SECOND >= said["show_time_s"] + written / said["fps"] - 0.1


def test_half_an_hour_keeps_sound_and_picture_together_and_memory_flat(tmp_path):
    """A device that is 100 ppm fast: at the end its own count is a fifth of a second ahead."""
    fps, rate, minutes = 2, 8000, 30
    microphone = FakeMicrophone(rate, 1, signal=clicks, drift_ppm=100, jitter_ns=5_000_000)
    listening = Listening(microphone)
    listening.begin(lambda clock: clock)
    recorder = Recorder(tmp_path / "x.mkv", (16, 16), fps, sound=listening.track())
    recorder.start()
    dark, bright = (np.full((16, 16, 4), level, np.uint8) for level in (0, 250))
    memory = []
    for frame in range(minutes * 60 * fps):
        at = frame * SECOND // fps
        microphone.advance(at)
        while not recorder._slots:
            time.sleep(0.0001)
        recorder.offer(bright if frame % fps == 0 else dark, at)
        if frame % (60 * fps) == 0:
            memory.append(psutil.Process().memory_info().rss)
    recorder.close(60)
    assert recorder.counts.written == minutes * 60 * fps
    assert max(memory[5:]) - min(memory[5:]) < 8 << 20
    flashes, sound = heard_and_seen(tmp_path / "x.mkv", rate)
    assert flashes == list(range(minutes * 60))  # on the second, each
    for second in (5, 60, 600, 1200, 1795):
        around = sound[(second * rate) - rate // 2 : (second * rate) + rate // 2]
        assert abs(np.abs(around).argmax() / rate - 0.5) < 1 / 120  # half a frame at 60 a second
    assert abs(len(sound) / rate - minutes * 60) < 0.2


def heard_and_seen(path, rate):
    """The seconds at which the picture is bright, and the sound [n]."""
    flashes, sound = [], []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            if frame.to_ndarray(format="gray").mean() > 100:
                flashes.append(round(frame.time, 3))
    with av.open(str(path)) as film:
        for block in film.decode(audio=0):
            sound.append(block.to_ndarray()[0])
    return flashes, np.concatenate(sound)


def test_the_output_is_recorded_as_large_as_the_screen(tmp_path):
    """A full screen's own framebuffer says that it is as large as the window was."""
    with xvfb(640, 480) as display:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "DISPLAY": display}
        command = [sys.executable, "-m", "live", "play", "--fullscreen", "--size", "320x180"]
        command += ["--seconds", "2", "--device", "cpu", "--osc", "127.0.0.1:0"]
        command += ["--tap", "output", "--codec", "ffv1", "--record", "x.mkv"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.mkv")] == ["x.mkv"]
    last = decoded(tmp_path / "x.mkv")[-20]
    assert last.shape == (480, 640, 3)
    assert last[:, 100:540].mean() > 20  # the flower is as high as the screen, in its middle
    assert last[-40:, 200:440].any()
    assert last[:40, 200:440].any()
