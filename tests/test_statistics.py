"""What a show says of itself, from frames and moments that are made up."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from live.control import Message, apply
from live.fake_source import Fake
from live.prompter import Prompt, Prompter
from live.setlist import bundled, programme
from live.show import CueFacts, Show
from live.source import Frame, Request
from live.statistics import Statistics, in_words
from live.tape import Status
from live.terminal import Terminal

MS = 1_000_000
FAKE = Fake(Path("fake.pt"), [(1, None)])


def frame(size: int = 64, engine_ms: float = 5.0) -> Frame:
    FAKE.ask(Request(0, FAKE.mapped[1, None]))
    made = FAKE.latest()
    assert made is not None
    header = replace(made.header, width=size, height=size, finished=round(engine_ms * MS))
    return replace(made, header=header)


def summary(statistics: Statistics, now: int = 0) -> dict[str, Any]:
    ensemble: Any = SimpleNamespace(sources=[FAKE], facts=FAKE.facts, restarts=0, outages=[])
    recorder = {"written": 0, "dropped": 0, "duplicated": 0, "early": 0, "files": []}
    return statistics.summary(now, ensemble, {}, recorder, faults=0)


def performed(frames: list[tuple[int, int, int, int | None]]) -> Statistics:
    """A show of (interval in ms, divisor, size, lateness in ms or None for a repeated picture)."""
    statistics = Statistics(0)
    statistics.window_up(0)
    now = 0
    for interval, divisor, size, lateness in frames:
        now += interval * MS
        if lateness is not None:
            statistics.frame_taken(frame(size))
            lateness *= MS
        statistics.frame_presented(now, lateness, 2 * MS, divisor)
    return statistics


def test_what_each_step_took_is_told_from_the_first_picture_on() -> None:
    statistics = Statistics(0)
    statistics.step_took("probe", 900 * MS)
    assert summary(statistics)["steps_ms"] == {}
    statistics.frame_presented(MS, 0, MS, 1)
    for ms in (1, 1, 20):
        statistics.step_took("probe", ms * MS)
    assert summary(statistics)["steps_ms"] == {
        "probe": {
            "p50": pytest.approx(1, rel=0.006),
            "p99": pytest.approx(19.6, rel=0.01),
            "max": 20,
        }
    }


def test_percentiles_are_those_of_all_frames() -> None:
    intervals = np.random.default_rng(1).integers(10, 40, 2000)
    lateness = np.random.default_rng(2).integers(-5, 9, 2000)
    frames = zip(intervals.tolist(), lateness.tolist(), strict=True)
    said = summary(performed([(ms, 1, 64, late) for ms, late in frames]))
    want = np.percentile(intervals[1:], (50, 95, 99, 100))
    assert list(said["present_interval_ms"]) == ["p50", "p95", "p99", "max"]
    assert list(said["present_interval_ms"].values()) == pytest.approx(want, rel=0.006)
    assert said["lateness_ms"]["p50"] == pytest.approx(np.median(lateness), rel=0.006)
    assert said["lateness_ms"]["p99"] == pytest.approx(np.percentile(abs(lateness), 99), rel=0.006)
    assert said["lateness_ms"]["max"] == 8
    assert said["stage_ms"] == {"p50": pytest.approx(2, rel=0.006), "p99": pytest.approx(2)}


def test_the_first_frame_begins_the_count() -> None:
    repeated = [(10, 1, 64, None)] * 5
    said = summary(performed([*repeated, (10, 1, 64, 0), (10, 1, 64, 0), *repeated]))
    assert said["frames"] == {"presented": 7, "generated": 2, "repeated": 5}
    assert said["seconds"] == 0.06


def test_the_cadence_and_the_sizes_are_told() -> None:
    full, small = (10, 1, 64, 0), (10, 2, 32, 0)
    said = summary(performed([full] * 6 + [small] * 3 + [full] + [small] * 2))
    assert said["cadence"] == {"divisor": 2, "changes": 3}
    assert said["sizes"] == {"64": 7, "32": 5}
    assert said["engine_form"] == "fake"
    words = in_words(said)
    assert "frames by size: 64x64 58.3 %, 32x32 41.7 %" in words
    assert "a new picture every 2 refreshes in the end (3 changes)" in words
    assert "the stage's own work 2.0 ms" in words


def test_what_did_not_happen_is_not_told() -> None:
    words = in_words(summary(performed([(10, 1, 64, 0)] * 10)))
    assert "by size" not in words
    assert "every" not in words


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (("host", "not quicker"), "frames go through the host's memory: not quicker"),
        (("cuda-interop", "0.3 ms"), "frames stay on the GPU: 0.3 ms"),
    ],
)
def test_with_an_nvidia_gpu_the_way_of_frames_is_told(path: tuple[str, str], says: str) -> None:
    statistics = performed([(10, 1, 64, 0)] * 10)
    said = {**summary(statistics), "frame_path": path[0], "frame_path_why": path[1]}
    assert says not in in_words(said)
    assert says in in_words({**said, "device": "cuda:0 (NVIDIA H200)"})


def test_a_show_without_a_frame_has_statistics_too() -> None:
    said = summary(Statistics(0))
    assert said["present_interval_ms"] == dict.fromkeys(("p50", "p95", "p99", "max"))
    assert said["lateness_ms"] == dict.fromkeys(("p50", "p99", "max"))
    assert said["sizes"] == {}
    assert in_words(said) == "no frame was generated"


def test_a_week_takes_no_more_memory_than_a_minute() -> None:
    statistics = Statistics(0)
    for n in range(50_000):
        statistics.frame_presented(n * (10 + n % 7) * MS, n % 1000, n * 100, 1)
    kept = (statistics._intervals_ms, statistics._lateness_ms, statistics._stage_ms)
    assert all(len(one._counts) < 5000 for one in kept)


@pytest.mark.parametrize(
    ("smaller", "divisor", "tape", "says"),
    [
        (None, 1, None, "60 fps · engine 5 ms"),
        (512, 1, None, "60 fps · engine 5 ms at 512x512"),
        (None, 3, None, "60 fps · engine 5 ms · new every 3 refreshes"),
        (None, 1, Status(False, False, 0, 0.0, ""), "60 fps · engine 5 ms"),
        (None, 1, Status(True, False, 4, 75.2, "x.mp4"), "engine 5 ms · rec 1:15"),
        (None, 1, Status(False, False, 4, 75.2, "x.mp4"), "60 fps · engine 5 ms"),
        (None, 1, Status(False, True, 4, 75.2, "full"), "engine 5 ms · RECORDING STOPPED"),
    ],
)
def test_the_operator_sees_what_is_not_as_usual(
    smaller: int | None, divisor: int, tape: Status | None, says: str
) -> None:
    cues = programme(bundled())
    show = apply(Show.opening(cues, 100.0), Message("play", (1,)), 0, cues)
    prompter = Prompter(Terminal(io.StringIO()))
    line = prompter.prompt(Prompt(10**9, 0, show, cues, 60, 5 * MS, smaller, divisor, tape))
    assert line is not None
    assert line.endswith(says)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([], "cue 1/4 garden · beat 3.3/48 · 100.0 BPM internal · "),
        ([(1, "tempo/beat", ())], "BPM OSC clock, locking · "),
        ([(n * 0.6, "tempo/beat", ()) for n in range(1, 4)], "100.0 BPM OSC clock, locking · "),
        ([(n * 0.1, "tempo/phase", (n / 6 % 1,)) for n in range(20)], "100.0 BPM OSC clock · "),
        ([(0.5, "tempo/beat", (1, 280.0))], "280.0 BPM OSC clock lost, held · "),
        ([(0.6, "tempo/tap", ()), (1.2, "tempo/tap", ())], "100.0 BPM tapped · "),
        ([(1, "tempo/source", ("tap",))], "BPM tapped alone · "),
        ([(1, "panic", ()), (1, "cue/hold", (1,))], " internal · held · PANIC · "),
        ([(1, "play", (0,)), (1, "blackout", (1,))], " · paused · blackout · "),
    ],
)
def test_the_operator_sees_cue_beat_and_who_leads_the_tempo(script: list, says: str) -> None:
    cues = programme(bundled())
    show = apply(Show.opening(cues, 100.0), Message("play", (1,)), 0, cues)
    for second, address, args in script:
        show = apply(show, Message(address, args), round(second * 10**9), cues)
    prompter = Prompter(Terminal(io.StringIO()))
    line = prompter.prompt(Prompt(10**9, 2 * 10**9, show, cues, 60, None, None, 1, None))
    assert line is not None
    assert says in line


def test_the_operator_sees_what_follows() -> None:
    cues = (CueFacts("a", 4.0, "loop", follow=16.0), CueFacts("b", 4.0, "hold"))
    show = apply(Show.opening(cues, 60.0), Message("play", (1,)), 0, cues)
    for held in ((), (1,)):
        show = apply(show, Message("cue/hold", held), 2 * 10**9, cues)
        prompter = Prompter(Terminal(io.StringIO()))
        line = prompter.prompt(Prompt(10**9, 2 * 10**9, show, cues, 60, None, None, 1, None))
        assert line is not None
        assert "beat 2.0/4, b in 14 · 60.0 BPM" in line
