"""Watching over a stage: which of its ends are the show's, and how the next one goes on."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner
from xvfb import xvfb

from live import cli, pulse, understudy, watch
from live.addresses import Message
from live.pulse import Listener, Pulse
from live.setlist import bundled
from live.take import Mapped, Obeyed, Resumed, last_state, records
from live.take_reader import read_take
from live.take_writer import TakeWriter
from live.understudy import Unhurried
from live.watch import SPARED, Plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and descriptors of POSIX")
PATIENCE_S = 60
FLOWERS = bundled().file
NO_DISPLAY = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}

STAND_IN = """
import json, os, signal, sys, time

words = json.loads(sys.stdin.readline())
with open("started", "a") as file:
    file.write(json.dumps(words) + "\\n")
number = open("started").read().count("\\n")
take = next((word[7:] for word in words if word.startswith("--take=")), None)
pulse = int(os.environ["ANTHESIS_PULSE"])
beat = lambda byte=b".": os.write(pulse, byte)
signals = []
signal.signal(signal.SIGINT, lambda *_: signals.append("INT"))
signal.signal(signal.SIGTERM, lambda *_: signals.append("TERM"))
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
watcher = os.getppid()


def others():
    children = open(f"/proc/{watcher}/task/{watcher}/children").read().split()
    return [int(child) for child in children if int(child) != os.getpid()]


def dead(process):
    return open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[0] == "Z"


def kill_others():
    for process in others():
        os.kill(process, signal.SIGKILL)
        until(lambda: dead(process))


def write(text=TAKE):
    with open(take, "x") as file:
        file.write(text)


def until(true):
    while not true() and os.getppid() == watcher:
        time.sleep(0.001)
"""


def a_take(folder: Path) -> str:
    """The text of a take that can be resumed."""
    writer = TakeWriter(folder / "made.take")
    writer.begin(bundled(), 1, datetime(2026, 11, 25))
    writer.close()
    return (folder / "made.take").read_text()


@pytest.fixture
def watched(tmp_path, monkeypatch, capsys):
    """Watches stand-ins, each of which does what its line says; all else is handed on to `watch`.

    Returns the exit code, the words each was started with, and the lines that the operator read.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "BACKOFF_S", (0.0, 0.01, 0.02, 0.03, 0.04))
    whole = a_take(tmp_path)

    def run(*behaviours, **words):
        steps = "".join(
            f"if number == {n}:\n    {behaviour}\n" for n, behaviour in enumerate(behaviours, 1)
        )
        Path("stage.py").write_text(f"TAKE = {whole!r}\n{STAND_IN}\n{steps}")
        words.setdefault("take", "--take=night.take")
        code = watch.watch(words, None, (sys.executable, "stage.py"))
        started = Path("started").read_text().splitlines()
        assert len(started) == len(behaviours)
        said = capsys.readouterr().err.splitlines()
        return code, [json.loads(line) for line in started], said

    return run


def test_a_show_that_ends_is_over(watched):
    code, started, said = watched("write(); sys.exit(0)", cue="--cue=dusk", setlist="my.toml")
    assert code == 0
    assert started == [["--cue=dusk", "--take=night.take", "--", "my.toml"]]
    assert said == []


def test_a_killed_stage_goes_on_from_its_take_and_the_next_from_the_next(watched):
    code, started, said = watched(
        "write(); die()",
        "write(); sys.exit(1)",
        "sys.exit(0)",
        cue="--cue=dusk",
        size="--size=320x180",
        overwrite="--overwrite",
        record="--record=a.mp4",
        setlist="my.toml",
    )
    assert code == 0
    first, second, third = map(set, started)
    always = {"--size=320x180", "--record=a.mp4"}
    assert first == {*always, "--cue=dusk", "--overwrite", "--take=night.take", "--", "my.toml"}
    assert second == {*always, "--resume=night.take", "--force", "--take=night-2.take"}
    assert third == {*always, "--resume=night-2.take", "--force", "--take=night-3.take"}
    assert said == [
        "anthesis: the stage ended (signal 9) after 0:00; starting it again from night.take",
        "anthesis: the stage ended (exit code 1) after 0:00; "
        "starting it again in 0.01 s from night-2.take",
    ]


def test_a_mistake_of_the_users_ends_the_first_start_alone(watched):
    assert watched("sys.exit(2)") == (2, [["--take=night.take"]], [])
    Path("started").unlink()
    code, _, _ = watched("write(); die()", "sys.exit(2)", "sys.exit(0)")
    assert code == 0


@pytest.mark.parametrize("kept", ["pass", "write('')", "write(TAKE[:100])"])
def test_a_stage_that_died_before_its_first_line_begins_as_at_first(watched, kept):
    code, started, said = watched(
        f"{kept}; die()", "sys.exit(0)", cue="--cue=dusk", setlist="my.toml"
    )
    assert code == 0
    name = "night.take" if kept == "pass" else "night-2.take"
    assert started[1] == ["--cue=dusk", f"--take={name}", "--", "my.toml"]
    assert said[0].endswith("starting it again from the set list, as at first")


def test_a_take_without_a_line_leaves_the_one_before_it(watched):
    _, started, _ = watched("write(); die()", "write(''); die()", "sys.exit(0)")
    assert set(started[2]) == {"--resume=night.take", "--force", "--take=night-3.take"}


def test_a_take_that_cannot_be_read_is_left_and_why_is_said(watched):
    code, started, said = watched(
        "write(); die()", "write(TAKE + 'no line\\n'); die()", "sys.exit(2)", "sys.exit(0)"
    )
    assert code == 0
    assert "--resume=night-2.take" in started[2]
    assert "--resume=night.take" in started[3]
    assert "night-2.take: line 2 is not of a take" in said[2]
    assert said[2].endswith("from night.take")


def test_what_was_wanted_beside_the_picture_does_not_keep_a_show_from_playing(watched):
    """A microphone, a projector, a disk, a port: more is left out each time, until it plays."""
    code, started, said = watched(
        "write(); die()",
        *["sys.exit(2)"] * 7,
        "die()",
        "sys.exit(0)",
        audio="--audio",
        audio_device="--audio-device=2",
        monitor="--monitor=beamer",
        stats="--stats=s",
        record="--record=a.mp4",
        device="--device=cuda:1",
        osc="--osc=10.0.0.1:9000",
    )
    assert code == 0
    resumed = {"--resume=night.take", "--force"}
    kept = {"--record=a.mp4", "--stats=s", "--take=night-2.take"}
    desk = {"--device=cuda:1", "--osc=10.0.0.1:9000"}
    wished = {*resumed, *kept, *desk, "--audio", "--audio-device=2", "--monitor=beamer"}
    sound = {"--audio", "--audio-device=2"}
    quiet, unkept = wished - sound, wished - kept
    elsewhere = wished - {"--monitor=beamer"} | {"--monitor=1"}
    least = elsewhere - sound - kept
    alone = least - desk | {"--osc=127.0.0.1:0"}
    expected = [wished, quiet, unkept, elsewhere, least, alone, wished, quiet, quiet]
    assert [set(words) for words in started[1:]] == expected
    news = [line.split("; ")[1] for line in said[1:8]]
    assert news == [spared.said for spared in (*SPARED[1:], *SPARED[:2])]


def test_what_was_left_out_is_wanted_again_once_a_stage_has_performed():
    plan = Plan({"audio": "--audio", "take": "--take=/nowhere/a.take"})
    assert "--audio" in plan.next(0.0)
    plan.refused()
    assert "--audio" not in plan.next(0.0)
    plan.settled()
    assert "--audio" in plan.next(0.0)


def test_a_refused_stage_is_never_tried_with_the_same_words():
    for words in ({}, {"headless": "--headless"}, {"audio": "--audio", "osc": "--osc=127.0.0.1:0"}):
        plan = Plan({**words, "take": "--take=/nowhere/a.take"})
        tried = []
        for _ in range(10):
            tried.append({word for word in plan.next(0.0) if not word.startswith("--take")})
            tried[-1] |= {"take"} if plan._takes else set()
            assert plan.refused()
        assert all(one != other for one, other in pairwise(tried))


# --- what was recorded, and what lay over the picture --------------------------------------------


def said_by(path: Path, *addresses: str, resumed=None) -> Path:
    """A take in which these messages were obeyed; `resumed`: from that one."""
    writer = TakeWriter(path)
    if resumed is None:
        writer.begin(bundled(), 1, datetime(2026, 11, 25))
    else:
        writer.go_on(read_take(resumed))
    writer.start()
    for address in addresses:
        name, _, argument = address.partition(" ")
        writer.obeyed(0, Message(name, (argument,) if argument else ()))
    writer.close()
    return path


STARTED, STOPPED = "record/start", "record/stop"


@pytest.mark.parametrize(
    ("obeyed", "expected"),
    [
        ([], None),
        (["play"], None),
        ([STARTED], True),
        ([f'{STARTED} a", "do": "record/stop', "record/marker record/stop"], True),
        ([STARTED, "play", STOPPED, "play"], False),
        ([STOPPED], False),
        ([STARTED, STOPPED, STARTED], True),
    ],
)
def test_whether_a_take_ends_recording(tmp_path, obeyed, expected):
    take = said_by(tmp_path / "a.take", *obeyed)
    assert records(take.read_bytes()) is expected
    assert records(take.read_bytes() + b'{"at": 0, "do": "record/stop", "args"') is expected
    resumed = said_by(tmp_path / "b.take", resumed=take)
    assert records(resumed.read_bytes()) is None


@pytest.mark.parametrize(
    ("given", "obeyed", "expected"),
    [
        ("a.mp4", [], "a.mp4"),
        ("a.mp4", [STOPPED], None),
        ("a.mp4", [STOPPED, STARTED], "a.mp4"),
        (None, [], None),
        (None, [STARTED], "anthesis-"),
        (None, [STARTED, STOPPED], None),
    ],
)
def test_a_stage_records_if_the_one_before_it_did(tmp_path, monkeypatch, given, obeyed, expected):
    """And so does the one after it, if nobody has said anything since."""
    monkeypatch.chdir(tmp_path)
    given = {} if given is None else {"record": f"--record={given}"}
    plan = Plan({**given, "take": "--take=a.take"})
    plan.next(0.0)
    said_by(Path("a.take"), *obeyed)
    for _ in range(2):
        words = plan.next(1.0)
        (recorded,) = [word for word in words if word.startswith("--record=")] or [None]
        assert recorded is expected or recorded.startswith(f"--record={expected}")
        (take,) = [word[len("--take=") :] for word in words if word.startswith("--take=")]
        said_by(Path(take), resumed=plan.resumed)


def test_a_take_of_another_night_says_nothing_of_this_ones_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said_by(Path("old.take"), STARTED, STOPPED)
    plan = Plan(
        {"resume": "--resume=old.take", "record": "--record=a.mp4", "take": "--take=a.take"}
    )
    plan.next(0.0)
    said_by(Path("a.take"), resumed=Path("old.take"))
    assert "--record=a.mp4" in plan.next(1.0)


def test_an_overlay_that_was_there_at_first_is_the_performers_from_then_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan({"overlay": "--overlay=desktop", "take": "--take=a.take"})
    assert "--overlay=desktop" in plan.next(0.0)
    said_by(Path("a.take"))
    assert "--overlay=desktop" in plan.next(1.0)  # it died too soon to have shown it
    said_by(Path("a-2.take"), "overlay desktop", "overlay terminal", resumed=Path("a.take"))
    assert "--overlay=desktop" not in plan.next(2.0)


def test_a_stage_that_keeps_dying_young_is_given_more_and_more_time(watched):
    code, _, said = watched(*["die()"] * 6, "sys.exit(0)")
    assert code == 0
    pauses = [line.partition("again")[2].partition("from")[0] for line in said]
    assert pauses == [
        " ",
        " in 0.01 s ",
        " in 0.02 s ",
        " in 0.03 s ",
        " in 0.04 s ",
        " in 0.04 s ",
    ]


def test_one_that_lived_is_replaced_at_once(watched, monkeypatch):
    monkeypatch.setattr(watch, "YOUNG_S", 0.0)
    _, _, said = watched(*["die()"] * 3, "sys.exit(0)")
    assert [line.partition("again ")[2] for line in said] == ["from the set list, as at first"] * 3


def test_a_stage_without_a_pulse_is_killed(watched, monkeypatch):
    monkeypatch.setattr(watch, "TICK_S", 0.01)
    code, started, said = watched(
        "write(); beat(); until(lambda: False)",
        "sys.exit(0)",
    )
    assert code == 0
    assert "--resume=night.take" in started[1]
    assert said[0].startswith("anthesis: the stage stopped answering after 0:")


@pytest.fixture
def stuck(monkeypatch):
    """The first stage cannot be killed."""
    monkeypatch.setattr(watch, "TICK_S", 0.01)
    monkeypatch.setattr(watch, "KILLED_S", 0.1)
    listener, started = watch.Listener, []

    def start(program):
        started.append(listener(program))
        if len(started) == 1:
            started[0].process.kill = lambda: None
        return started[-1]

    monkeypatch.setattr(watch, "Listener", start)
    yield
    os.kill(started[0].process.pid, signal.SIGKILL)
    started[0].process.wait(PATIENCE_S)


@pytest.mark.usefixtures("stuck")
def test_a_stage_that_is_stuck_in_a_driver_does_not_hold_up_the_next(watched):
    code, _, said = watched("write(); beat(); until(lambda: False)", "sys.exit(0)")
    assert code == 0
    assert said[0].startswith("anthesis: the stage stopped answering and cannot be killed after 0:")


@pytest.mark.usefixtures("stuck")
def test_the_operator_is_heard_while_a_stage_is_stuck(watched, monkeypatch):
    waits = watch._Signals.wait

    def pressed(self, descriptor, timeout_s):
        if descriptor is None:
            os.kill(os.getpid(), signal.SIGINT)
        return waits(self, descriptor, timeout_s)

    monkeypatch.setattr(watch._Signals, "wait", pressed)
    code, _, said = watched("beat(); until(lambda: False)")
    assert code == 1
    assert said == []


def test_an_understudy_that_is_stuck_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(pulse, "_DISMISSED_S", 0.1)
    started = Listener([sys.executable, "-c", "input()"])
    with monkeypatch.context() as patched:
        patched.setattr(started.process, "kill", lambda: None)
        patched.setattr(started, "close", lambda: None)
        started.dismiss()
    assert started.process.poll() is None
    started.dismiss()
    assert started.process.poll() is not None


def test_on_windows_the_console_tells_the_stage_itself(monkeypatch, capsys):
    """Rehearsed here: no group, no pulse, and Popen sends no SIGINT."""
    console = """if True:
        import os, signal, sys, time
        told = []
        signal.signal(signal.SIGINT, lambda *_: told.append(1))
        sys.stdin.readline()
        os.kill(os.getppid(), signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.5)
        sys.exit(2 + len(told))
    """

    def send(process, number):
        raise ValueError(f"Unsupported signal: {number}")

    monkeypatch.setattr(pulse, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(subprocess.Popen, "send_signal", send)
    assert watch.watch({}, None, (sys.executable, "-c", console)) == 3
    assert capsys.readouterr().err == ""


def test_a_hang_is_noticed_in_five_seconds_and_a_slow_turn_is_none():
    longest_turn_s, between_beats_s = 1.7, pulse.EVERY_NS / 1e9
    patience_s = watch.SILENT * watch.TICK_S
    assert 1.5 * (longest_turn_s + between_beats_s) < patience_s
    assert patience_s == (10 if sys.platform == "darwin" else 5)


def test_before_its_first_beat_and_after_its_last_a_stage_has_more_time(watched, monkeypatch):
    monkeypatch.setattr(watch, "TICK_S", 0.001)
    monkeypatch.setattr(watch, "SILENT", 1)
    monkeypatch.setattr(watch, "SILENT_AT_FIRST", 10**9)
    late = "time.sleep(0.1); beat(); beat(b'!'); time.sleep(0.1); sys.exit(0)"
    assert watched(late)[0] == 0


def test_a_last_word_is_heard_after_the_end(watched, monkeypatch):
    class Late(watch.Listener):
        def heard(self):
            return self.process.poll() is None or super().heard()

    monkeypatch.setattr(watch, "Listener", Late)
    assert watched("beat(b'!'); die()")[0] == 128 + 9


def test_what_goes_wrong_after_the_end_does_not_begin_it_again(watched):
    assert watched("beat(); beat(b'!'); sys.exit(2)")[0] == 2
    Path("started").unlink()
    assert watched("write(); die()", "beat(b'!'); sys.exit(2)")[0] == 2
    Path("started").unlink()
    Path("night.take").unlink()
    assert watched("beat(b'!'); die()")[0] == 128 + 9


@pytest.mark.parametrize(
    ("sent", "heard"), [("SIGINT", "INT"), ("SIGTERM", "TERM"), ("SIGHUP", "TERM")]
)
def test_signals_are_handed_on_and_end_the_show(watched, sent, heard):
    """To the watcher alone, twice; however the stage then ends, nobody starts another.

    A terminal reaches the watcher's group, which is not the stage's.
    """
    kill = f"os.kill(watcher, signal.{sent})"
    code, _, said = watched(
        f"{kill}; until(lambda: len(signals) == 1); {kill}; until(lambda: len(signals) == 2); "
        "open('heard', 'w').write(' '.join(signals)); os.getpgrp() == os.getpid() and die()"
    )
    assert code == 128 + 9
    assert Path("heard").read_text() == f"{heard} {heard}"
    assert said == []


def test_while_no_stage_runs_a_signal_ends_at_once(watched, monkeypatch):
    monkeypatch.setattr(watch, "BACKOFF_S", (PATIENCE_S * 10,))
    waits = watch._Signals.wait

    def pressed(self, descriptor, timeout_s):
        if timeout_s > PATIENCE_S:
            os.kill(os.getpid(), signal.SIGINT)
        return waits(self, descriptor, timeout_s)

    monkeypatch.setattr(watch._Signals, "wait", pressed)
    code, _, said = watched("die()")
    assert code == 128 + signal.SIGINT
    assert len(said) == 1


def test_a_stage_that_cannot_be_started_is_tried_again(watched, monkeypatch):
    listener, failures = watch.Listener, [OSError(12, "Cannot allocate memory")]

    def start(program):
        if failures:
            raise failures.pop()
        return listener(program)

    monkeypatch.setattr(watch, "Listener", start)
    code, _, said = watched("sys.exit(0)")
    assert code == 0
    assert "the stage could not be started (Cannot allocate memory)" in said[0]


def test_an_understudy_takes_over_and_one_that_is_gone_is_not_missed(watched, monkeypatch):
    """Who plays was started before the stage died; the last understudy ends with the show."""
    monkeypatch.setattr(watch, "YOUNG_S", 0.0)
    monkeypatch.setattr(watch, "TICK_S", 0.01)
    listener, children = watch.Listener, []

    def start(program):
        children.append(listener(program))
        return children[-1]

    monkeypatch.setattr(watch, "Listener", start)
    if not Path("/proc/self/task").exists():
        pytest.skip("needs Linux's /proc")
    code, _, said = watched(
        "until(others); die()",
        "until(others); kill_others(); die()",
        "until(others); sys.exit(0)",
    )
    assert code == 0
    # The first stage, its understudy, one who was killed in waiting, one fetched, an understudy.
    assert len(children) == 5
    assert len(said) == 2
    assert all(child.process.returncode is not None for child in children)


def test_what_is_left_of_the_seconds():
    plan = Plan({"seconds": "--seconds=60", "take": "--take=/nowhere/a.take"})
    assert "--seconds=60" in plan.next(0.0)
    assert "--seconds=47.5" in plan.next(12.5)
    assert "--seconds=1.0" in plan.next(70.0)


def test_the_take_has_a_name_that_nobody_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (timed,) = Plan({}).next(0.0)
    assert datetime.strptime(timed, "--take=anthesis-%Y-%m-%d-%H%M%S.take")
    Path("a.take").touch()
    assert "--take=a-2.take" in Plan({"record": "--record=a.mp4"}).next(0.0)
    assert Plan({"take": "--take=a.take"}).next(0.0) == ["--take=a.take"]  # the stage refuses it


# --- the understudy ------------------------------------------------------------------------------


def test_an_understudy_loads_without_hurry_until_it_is_wanted(monkeypatch):
    reading, writing = os.pipe()
    unhurried = Unhurried(reading)

    def time_of_a_search() -> float:
        began = time.monotonic()
        assert unhurried.find_spec("numpy", None) is None
        return time.monotonic() - began

    assert time_of_a_search() >= understudy.PAUSE_S * 0.9
    monkeypatch.setattr(understudy, "PAUSE_S", 10.0)
    os.write(writing, b"[]\n")
    assert time_of_a_search() < 5.0
    os.read(reading, 100)
    os.close(writing)  # nobody wants it any more
    assert time_of_a_search() < 5.0
    os.close(reading)


def test_what_an_understudy_loads_it_loads_in_its_own_time():
    """All of it, with pauses, and nothing before it can make them."""
    code = "import sys, live.understudy; print('numpy' in sys.modules, 'live.cli' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"
    code = """if True:
        import sys
        from live import understudy
        sought = []
        understudy.Unhurried.find_spec = lambda self, name, *_: sought.append(name)
        understudy.main()
        print({"numpy", "moderngl", "live.app", "live.tape"} <= {*sought})
    """
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, stdin=subprocess.DEVNULL, text=True) == "True\n"


# --- the pulse and the command line ------------------------------------------------------------


def test_a_beat_a_second_from_the_loop(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setenv("ANTHESIS_PULSE", str(writing))
    heart = pulse.inherited()
    assert "ANTHESIS_PULSE" not in os.environ
    for turn in range(61):
        heart.beat(turn * 50_000_000)
    heart.over()
    assert os.read(reading, 100) == b"....!"
    os.close(reading)
    heart.beat(10**12)  # nobody listens
    os.close(writing)


def test_a_pulse_that_nobody_reads_is_left():
    reading, writing = os.pipe()
    heart = Pulse(writing)
    for second in range(70_000):
        heart.beat(second * pulse.EVERY_NS)
    assert len(os.read(reading, 1 << 20)) <= 70_000
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("value", ["", "x", "-1", "99999"])
def test_without_a_pipe_there_is_no_pulse(monkeypatch, value):
    monkeypatch.setenv("ANTHESIS_PULSE", value)
    assert pulse.inherited() is None


def test_every_option_is_handed_on_as_it_was_given(monkeypatch):
    heard = []
    monkeypatch.setattr(watch, "watch", lambda *told: heard.append(told) or 7)
    typed = f"play --watch {FLOWERS} --windowed --fps 25 --cue 2 --headless --record a.mp4 --force"
    assert CliRunner().invoke(cli.app, typed.split()).exit_code == 7
    ((words, backdrop),) = heard
    assert backdrop is None
    assert words["setlist"] == str(FLOWERS)
    assert {"--windowed", "--fps=25.0", "--cue=2", "--headless", "--force"} <= {*words.values()}
    assert not {"watch", "monitor", "resume", "take"} & {*words}


# --- for real ----------------------------------------------------------------------------------


def test_a_killed_stage_is_started_again_where_it_was(tmp_path):
    """kill -9 in mid-show: the next one goes on at the same cue and place, and ends the show."""
    first, second = tmp_path / "night.take", tmp_path / "night-2.take"
    command = [sys.executable, "-m", "live", "play", "--watch", "--headless", "--size", "160x90"]
    options = ["--cue", "2", "--device", "cpu", "--seconds", "4", "--take", str(first)]
    show = subprocess.Popen(
        [*command, *options, "--osc", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=NO_DISPLAY,
        text=True,
    )
    try:
        until(lambda: plays(first))
        staged(show).kill()
        _, said = show.communicate(timeout=PATIENCE_S)
    finally:
        show.kill()
        show.communicate()
    assert show.returncode == 0, said
    assert "the stage ended (signal 9) after 0:" in said
    assert f"; starting it again from {first}" in said
    before, after = last_state(read_take(first)), read_take(second)
    at = next(n for n, event in enumerate(after.events) if isinstance(event, Resumed))
    assert after.events[at].at == before.at
    began = next(n for n, e in enumerate(after.events[at:], at) if isinstance(e, Obeyed))
    assert after.events[began].message == Message("play", (1,))
    assert any(isinstance(event, Mapped) for event in after.events[at:began])
    assert before.show.voice.cue == 1
    assert last_state(after).show.voice.cue == 1
    assert last_state(after).at > before.at


def test_a_real_stage_has_a_pulse_and_says_that_it_is_over(tmp_path):
    stage = Listener(watch.UNDERSTUDY)
    words = ["--headless", "--size=160x90", "--device=cpu", "--seconds=1", "--osc=127.0.0.1:0"]
    stage.say(json.dumps(words).encode() + b"\n")
    try:
        assert stage.process.wait(PATIENCE_S) == 0
        assert stage.heard()
        assert stage.beats >= 2
        assert stage.over
    finally:
        stage.process.kill()
        stage.process.wait()
        stage.close()


def test_between_two_stages_the_audience_sees_black(tmp_path):
    """Not the desktop: while the watcher is held, nobody else can cover it."""
    first, second = tmp_path / "night.take", tmp_path / "night-2.take"
    command = [sys.executable, "-m", "live", "play", "--watch", "--fullscreen", "--device", "cpu"]
    with xvfb(320, 200) as display:
        env = {**NO_DISPLAY, "DISPLAY": display, "PYGLFW_LIBRARY_VARIANT": "x11"}
        tool("xsetroot", "-solid", "#ff0000", env=env)
        show = subprocess.Popen([*command, "--osc", "127.0.0.1:0", "--take", str(first)], env=env)
        try:
            until(lambda: plays(first) and seen(env) == "picture")
            with subprocess.Popen(watch.BACKDROP, stdin=subprocess.PIPE, env=env):
                until(lambda: backdrops(env) == 2)
                assert seen(env) == "picture"  # one that comes later is not before it either
            stage = staged(show)
            show.send_signal(signal.SIGSTOP)
            stage.kill()
            until(lambda: seen(env) == "black")  # and not red before that, see `seen`
            show.send_signal(signal.SIGCONT)
            until(lambda: plays(second) and seen(env) == "picture")
            show.send_signal(signal.SIGTERM)
            assert show.wait(PATIENCE_S) == 0
            until(lambda: seen(env, ended=True) == "red")  # it has gone with the show
        finally:
            show.kill()
            show.wait()


def seen(env, *, ended=False) -> str:
    """What is on the screen; the desktop's colour must not be, before the show has ended."""
    data = tool("import", "-silent", "-window", "root", "png:-", env=env)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    red = (pixels == (255, 0, 0)).all(-1)
    assert ended or not red.any()
    return "red" if red.all() else "picture" if pixels.any() else "black"


def backdrops(env) -> int:
    """How many there are; xdotool fails where there is none."""
    search = ["xdotool", "search", "--name", "behind the show"]
    return len(subprocess.run(search, capture_output=True, env=env).stdout.split())


def tool(*command: str, env) -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, env=env).stdout


def staged(show) -> psutil.Process:
    """The stage: the one with an engine; an understudy may be there, too."""
    (stage,) = (child for child in psutil.Process(show.pid).children() if child.children())
    return stage


def plays(take: Path) -> bool:
    return take.exists() and b'"do": "play"' in take.read_bytes()


def until(true) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        threading.Event().wait(0.005)
