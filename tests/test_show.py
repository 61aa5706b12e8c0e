"""The whole program, as a user starts it: real engine, real picture, real accidents."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from importlib import resources
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from PIL import Image
from xvfb import xvfb

from live.osc import encode

PATIENCE_S = 90
FLOWERS = Path(str(resources.files("engine.nets") / "flower128.safetensors"))
NO_DISPLAY = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
SMALL = ("--size", "320x180")


def anthesis(*arguments, cwd=None, env=NO_DISPLAY):
    """Run one command to its end."""
    command = [sys.executable, "-m", "live", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


class Performance:
    """A running show that can be talked to as a desk does."""

    def __init__(self, *arguments, env=NO_DISPLAY, cwd=None):
        self.desk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.desk.bind(("127.0.0.1", 0))
        self.desk.settimeout(0.2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        osc = f"127.0.0.1:{self.address[1]}"
        command = [sys.executable, "-m", "live", "play", *map(str, arguments), "--osc", osc]
        self.process = subprocess.Popen(
            command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True
        )

    def send(self, address, *args):
        self.desk.sendto(encode(f"/anthesis/{address}", *args), self.address)

    def ask(self, address):
        """The datagram that answers; None if none came for now."""
        self.send(address)
        question = encode(f"/anthesis/{address}").partition(b"\0")[0] + b"\0"
        try:
            while not (answer := self.desk.recv(1024)).startswith(question):
                pass  # to an earlier question
        except (TimeoutError, ConnectionError):
            return None
        return answer

    def until(self, true):
        for _ in range(PATIENCE_S * 5):
            if result := true():
                return result
            assert self.process.poll() is None, self.process.stderr.read()
            threading.Event().wait(0.02)
        raise AssertionError("the show took too long")

    def begun(self):
        """Wait for the first picture: it is what sets the clock going."""
        self.until(lambda: self.ask("play") == encode("/anthesis/play", 1))
        return self

    def engines(self):
        return psutil.Process(self.process.pid).children()

    def engine(self):
        """The engine, once there is one."""
        return self.until(lambda: next(iter(self.engines()), None))

    def end(self, number=signal.SIGINT):
        """Ask it to end; exit code and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def close(self):
        self.desk.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def show(tmp_path):
    """Starts shows, headless and small unless told otherwise; ends them."""
    started = []

    def start(*arguments, **options):
        started.append(Performance(*arguments, cwd=tmp_path, **options))
        return started[-1]

    yield start
    for performance in started:
        performance.close()


def pictures(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_headless_show_is_recorded_and_accounted_for(tmp_path):
    done = anthesis(
        *("play", "--headless", "--seconds", 4, "--fps", 24, *SMALL),
        *("--record", "show.mp4", "--stats", "show.json", "--osc", "127.0.0.1:0"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    stats = json.loads((tmp_path / "show.json").read_text())
    assert stats["device"] == "cpu"
    assert stats["network"]["name"] == "flower128.safetensors"
    assert stats["network"]["resolution"] == 128
    assert len(stats["network"]["sha256"]) == 64
    assert stats["frame_path"] == "host"
    frames = stats["frames"]
    assert frames["presented"] == frames["generated"] + frames["repeated"] > 24
    assert stats["seconds"] == pytest.approx(4, abs=0.3)
    assert stats["engine_restarts"] == stats["stage_faults"] == 0
    assert stats["engine_outages"] == []
    assert set(stats["osc"]) == {"received", "applied", "merged", "refused", "malformed"}
    assert stats["osc_details"] == {"late": 0, "malformed": {}}
    assert 0 < stats["time_to_window_s"] < stats["time_to_first_frame_s"]
    assert stats["peak_rss_mb"]["stage"] > 0
    assert set(stats["engine_ms"]) == {"p50", "p99"}
    assert set(stats["present_interval_ms"]) == {"p50", "p95", "p99", "max"}
    assert set(stats["lateness_ms"]) == {"p50", "p99", "max"}
    assert 0 < stats["stage_ms"]["p50"] <= stats["stage_ms"]["p99"]
    assert stats["sizes"] == {"128": stats["frames"]["generated"]}
    assert stats["engine_form"].startswith("float32")
    recorded = pictures(tmp_path / stats["recorder"]["files"][0])
    assert len(recorded) == stats["recorder"]["written"] == pytest.approx(96, abs=4)
    assert recorded[0].max() < 40  # fades in
    assert recorded[-1].max() < 60  # and out
    middle, later = (recorded[n].astype(int) for n in (40, 80))
    assert middle.max() > 150
    assert np.abs(middle - later).mean() > 1  # the flower has turned into another
    assert not middle[:, :60].any()  # contained: black beside the square


def test_without_a_display_it_says_so_and_names_the_video(tmp_path):
    done = anthesis("play", "--seconds", 1, *SMALL, "--osc", "127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no display" in done.stderr
    video = next(tmp_path.glob("anthesis-*.mp4"))
    assert video.name in done.stderr
    assert len(pictures(video)) >= 15


@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGSTOP])
def test_the_show_goes_on_when_its_engine_is_lost(show, tmp_path, accident):
    performance = show("--headless", "--seconds", 120, *SMALL, "--stats", "s.json").begun()
    lost = performance.engine()
    lost.send_signal(accident)
    performance.until(lambda: [e for e in performance.engines() if e.pid != lost.pid])
    performance.send("psi", 0.25)  # the stage hears and answers all the while
    performance.until(lambda: performance.ask("psi") == encode("/anthesis/psi", 0.25))
    performance.until(lambda: len(performance.engines()) == 1)
    performance.until(lambda: performance.engines()[0].cpu_times().user > 1.5)  # it performs
    code, said = performance.end()
    assert code == 0, said
    assert "starting another" in said
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["engine_restarts"] == 1
    assert stats["stage_faults"] == 0
    assert stats["frames"]["repeated"] > 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["loading", "performing"])
def test_a_signal_ends_everything_cleanly(show, number, when):
    performance = show("--headless", *SMALL, "--record", "show.mp4")
    if when == "performing":
        performance.begun()
    else:
        performance.until(lambda: performance.ask("play"))
    engine = performance.engine()
    code, said = performance.end(number)
    assert code == 0, said
    assert "Traceback" not in said
    assert not engine.is_running()


def test_what_is_left_of_a_show_that_was_killed(show, tmp_path):
    performance = show("--headless", *SMALL, "--record", "show.mp4", "--fps", 24).begun()
    video = tmp_path / "show.mp4"
    performance.until(lambda: video.stat().st_size > 60_000)
    engine = performance.engine()
    performance.process.kill()
    performance.process.wait()
    engine.wait(timeout=PATIENCE_S)
    assert len(pictures(video)) >= 24


def test_the_next_network_is_there_when_its_cue_comes(show, tmp_path):
    shutil.copy(FLOWERS, tmp_path / "other.safetensors")
    (tmp_path / "two.toml").write_text(
        """
        [[cue]]
        name = "one"
        keys = [{seed = 1}, {seed = 2}]
        ending = "loop"
        [[cue]]
        name = "two"
        network = "other.safetensors"
        keys = [{seed = 3}, {seed = 4}]
        ending = "loop"
        fade = 1
        """
    )
    performance = show(
        "two.toml", "--headless", *SMALL, "--seconds", 120, "--stats", "s.json"
    ).begun()
    performance.until(lambda: len(performance.engines()) == 2)
    performance.send("cue/go", "two")
    performance.until(lambda: len(performance.engines()) == 1)  # faded over, the first is gone
    code, said = performance.end()
    assert code == 0, said
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["engine_restarts"] == stats["stage_faults"] == 0


def screenshot(display, path):
    command = ["import", "-display", display, "-window", "root", str(path)]
    subprocess.run(command, check=True)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_in_a_window_keys_drive_the_show_and_the_picture_follows(show, tmp_path):
    with xvfb(640, 400) as display:
        env = {**NO_DISPLAY, "DISPLAY": display}
        performance = show("--size", "640x400", env=env).begun()

        def press(*keys):
            subprocess.run(["xdotool", "key", "--clearmodifiers", *keys], env=env, check=True)

        def brightest():
            return screenshot(display, tmp_path / "shot.png").max()

        performance.until(lambda: brightest() > 180)
        picture = screenshot(display, tmp_path / "shot.png")
        assert not picture[:, :110].any()
        assert not picture[:, -110:].any()
        assert picture[180:220, 300:340].std() > 3
        press("b")
        performance.until(lambda: brightest() == 0)
        performance.until(lambda: performance.ask("blackout") == encode("/anthesis/blackout", 1))
        press("b")
        performance.until(lambda: brightest() > 180)
        press("p")
        performance.until(lambda: brightest() == 0)
        assert performance.ask("blackout") == encode("/anthesis/blackout", 0)
        press("p", "2")
        performance.until(lambda: brightest() > 180)
        tempo_of_cue_2 = encode("/anthesis/tempo/bpm", 120.0)
        performance.until(lambda: performance.ask("tempo/bpm") == tempo_of_cue_2)
        press("Escape", "Escape")
        _, said = performance.process.communicate(timeout=PATIENCE_S)
    assert performance.process.returncode == 0, said


SETLIST = """
[show]
title = "x"
[[cue]]
name = "a"
keys = [{seed = 1}, {KEY}]
"""


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sed = 2", ["show.toml", '"a"', "keys[1]", "sed", "seed"]),
        ('seed = "two"', ["show.toml", '"a"', "keys[1].seed"]),
        ("seed = 2, psi = 50", ["show.toml", "keys[1].psi", "5"]),
        ('latent = "irene.npy"', ["show.toml", "keys[1].latent", "irene.npy"]),
        ('latent = "short.npy"', ["keys[1]", "short.npy", "[3, 7]"]),
        ('latent = "nan.npy"', ["keys[1]", "nan.npy", "finite"]),
        ("seed = 2, class = 1", ["keys[1]", "class"]),
        ("seed = 2, beats = 2 }, {", ["show.toml"]),
    ],
)
def test_a_wrong_set_list_is_one_line_and_opens_nothing(tmp_path, key, says):
    np.save(tmp_path / "short.npy", np.zeros((3, 7), np.float32))
    np.save(tmp_path / "nan.npy", np.full((1, 512), np.nan, np.float32))
    (tmp_path / "show.toml").write_text(SETLIST.replace("KEY", key))
    for command in (["check", "show.toml"], ["play", "show.toml", "--headless", "--seconds", 1]):
        done = anthesis(*command, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        for part in says:
            assert part in last
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.mp4"))


def test_what_is_no_network_at_all_opens_nothing(tmp_path):
    (tmp_path / "faces.pt").write_text("<html>please log in</html>")
    text = '[show]\nnetwork = "faces.pt"\n[[cue]]\nname = "a"\nkeys = [{seed = 1}, {seed = 2}]\n'
    (tmp_path / "show.toml").write_text(text)
    done = anthesis("play", "show.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "faces.pt" in done.stderr
    assert "web page" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_network_is_named_and_ends_with_2(tmp_path):
    (tmp_path / "faces.pt").write_bytes(FLOWERS.read_bytes()[:100_000])
    text = '[show]\nnetwork = "faces.pt"\n[[cue]]\nname = "a"\nkeys = [{seed = 1}, {seed = 2}]\n'
    (tmp_path / "show.toml").write_text(text)
    for command in ("check", "play"):
        done = anthesis(command, "show.toml", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "faces.pt" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["play", "nowhere.toml"], "nowhere.toml"),
        (["play", "--headless", "--osc", "9000"], "HOST:PORT"),
        (["play", "--headless", "--cue", "nosuch"], "garden"),
        (["play", "--headless", "--device", "abacus"], "abacus"),
        (["play", "--headless", "--size", "huge"], "1920x1080"),
        (["play", "--headless", "--record", "/proc/nowhere/x.mp4"], "/proc/nowhere"),
        (["monitors"], "no display"),
        (["inspect", "nowhere.pt"], "nowhere.pt"),
        (["sheet", "nowhere.toml", "-o", "x.png"], "nowhere.toml"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(tmp_path, arguments, says):
    done = anthesis(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_with_its_holder(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = anthesis("play", "--headless", "--osc", f"127.0.0.1:{port}", cwd=tmp_path)
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "--osc" in done.stderr


def test_a_monitor_that_is_not_there_lists_those_that_are(tmp_path):
    with xvfb(640, 400) as display:
        env = {**NO_DISPLAY, "DISPLAY": display}
        done = anthesis("play", "--monitor", "EPSON PJ", "--fullscreen", cwd=tmp_path, env=env)
    assert done.returncode == 2, done.stderr
    assert "EPSON PJ" in done.stderr
    assert "640x400" in done.stderr


def test_the_contact_sheet_shows_every_key(tmp_path):
    (tmp_path / "show.toml").write_text(SETLIST.replace("KEY", "seed = 2, beats = 4"))
    done = anthesis("sheet", "show.toml", "-o", "sheet.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet.convert("RGB")).std() > 20
