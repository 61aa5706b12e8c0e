"""From end to end: a headless stage on a GPU, its frame path, its rates, and what it costs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gpu_lines import FAILED, MISSED, OK, Line, NotRunError, Told, at_least, at_most
from gpu_networks import config_f

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("moderngl", "pydantic", "typer", "pythonosc", "pynvml", "PIL", "psutil")
ON_GPU = "cuda-interop"
OVERLAID_MS = {"p50": 1.0, "p99": 2.0}  # of the stage's own work, over the show without it
RATES = {"1920x1080": 240, "3840x2160": 100}  # frames a second, asked for
KEPT = 0.99  # of them: a pace that is kept exactly is never exceeded
SECONDS = 10
LONG_MS = 2.0  # a step of a turn that never takes so long is not told
PATIENCE_S = 180.0
FIGURES_MS = {  # of the bench: p99
    "overlay (desktop, 1920x1080, issued)": 2.0,
    "record (beyond it)": 0.5,
}
ISSUED_MS = 1.0  # p50


def stage(told: Told) -> Iterator[Line]:
    """`anthesis play --headless` with a 1024x1024 network, at the sizes and rates wanted."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotRunError(f"no {', '.join(missing)}")
    setlist = setlist_of(told)
    # Of a machine that has never drawn, libraries come from the disk and programs are compiled.
    yield from _or_why("first show here", partial(_first, told, setlist))
    for size, rate in RATES.items():
        yield from _or_why(size, partial(_at_rate, told, setlist, size, rate))
    yield from _or_why("overlay", partial(_overlaid, told, setlist))


def _or_why(name: str, lines: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines; where a show fails, why, and the next shows go on."""
    try:
        yield from lines()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        yield Line("stage", name, verdict=f"{FAILED}: {error}")


def _first(told: Told, setlist: Path) -> Iterator[Line]:
    yield from said_of("stage", "first show here", performed(told, setlist, "1280x720", 60))


def _overlaid(told: Told, setlist: Path) -> Iterator[Line]:
    """What the desktop adds to the stage's own work at 1920x1080 and 60 frames a second."""
    work = {}
    for name in ("off", "desktop"):
        summary = performed(told, setlist, "1920x1080", 60, "--overlay", name)
        work[name] = summary["stage_ms"]
        yield from said_of("stage", f"overlay {name}", summary)
        yield at_most("stage", f"overlay {name}, faults", summary["stage_faults"], "", 0)
    for key, most in OVERLAID_MS.items():
        over = work["desktop"][key] - work["off"][key]
        yield at_most("stage", f"overlay desktop, {key} over off", over, " ms", most)


def setlist_of(told: Told) -> Path:
    _, network = config_f(told)
    path = told.folder / "check.toml"
    path.write_text(
        f"[show]\ntitle = 'GPU check'\nnetwork = '{network.name}'\ntempo = 120\npsi = 0.7\n"
        "[[cue]]\nname = 'loop'\nending = 'loop'\nbeats = 4\n"
        "keys = [{seed = 1}, {seed = 2}, {seed = 3}, {seed = 4}]\n"
    )
    return path


def performed(told: Told, setlist: Path, size: str, rate: int, *options: str) -> dict[str, Any]:
    """The statistics of a show, and as "warnings" what it warned of.

    Raises RuntimeError with its last words if it failed.
    """
    stats = told.folder / f"{size}.json"
    command = [sys.executable, "-m", "live", "play", str(setlist), "--headless", "--size", size]
    command += ["--fps", f"{rate}", "--seconds", str(SECONDS), "--stats", str(stats)]
    command += ["--device", "cuda", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS + PATIENCE_S
    )
    if done.returncode or not stats.exists():
        words = done.stderr.strip().splitlines() or ["nothing said"]
        raise RuntimeError(f"ended with {done.returncode}: {words[-1]:.160}")
    summary: dict[str, Any] = json.loads(stats.read_text())
    warned = (line for line in done.stderr.splitlines() if line.startswith("anthesis: "))
    summary["warnings"] = [line.removeprefix("anthesis: ") for line in warned]
    return summary


def said_of(section: str, name: str, summary: dict[str, Any]) -> Iterator[Line]:
    """How frames came, which steps took long, and what the show warned of: nothing is judged."""
    path = f"{summary['frame_path']}: {summary['frame_path_why']}"
    yield Line(section, f"{name}, frame path", path)
    interval = ", ".join(f"{key} {ms}" for key, ms in summary["present_interval_ms"].items())
    yield Line(section, f"{name}, present interval ms", interval)
    steps = sorted(summary["steps_ms"].items(), key=lambda step: -step[1]["max"])
    found = (f"{step} {ms['p99']}/{ms['max']}" for step, ms in steps if ms["max"] >= LONG_MS)
    yield Line(section, f"{name}, steps, p99/max ms", ", ".join(found))
    for warning in summary["warnings"]:
        yield Line(section, f"{name}, warning", warning)


def _at_rate(told: Told, setlist: Path, size: str, rate: int) -> Iterator[Line]:
    summary = performed(told, setlist, size, rate)
    seconds, frames = summary["seconds"], summary["frames"]
    path = summary["frame_path"]
    verdict = OK if path == ON_GPU else MISSED
    yield Line("stage", f"{size}, frames come by", path, ON_GPU, verdict)
    yield from said_of("stage", size, summary)
    for what in ("presented", "generated"):
        name = f"{size}, {what} a second"
        yield at_least("stage", name, frames[what] / max(seconds, 1e-9), "", KEPT * rate)
    repeated = 100 * frames["repeated"] / max(1, frames["presented"])
    yield at_most("stage", f"{size}, repeated", repeated, " %", 1, goal=0)
    yield at_most("stage", f"{size}, engines lost", summary["engine_restarts"], "", 0)
    yield at_most("stage", f"{size}, faults", summary["stage_faults"], "", 0)
    for key in ("engine_ms", "stage_ms", "lateness_ms"):
        found = ", ".join(f"{name} {ms}" for name, ms in summary[key].items())
        yield Line("stage", f"{size}, {key.replace('_', ' ')}", found)
    # Where pictures lack though the engine is quick, the cadence had fallen for a while.
    cadence, sizes = summary["cadence"], summary["sizes"]
    yield Line("stage", f"{size}, cadence", f"{cadence['changes']} changes, sides {sizes}")
    first = f"{summary['time_to_first_frame_s']} s"
    yield Line("stage", f"{size}, first picture after", first)
    yield Line("stage", f"{size}, memory", str(summary["peak_rss_mb"]))


def bench(told: Told) -> Iterator[Line]:
    """The stage's rows of `anthesis bench`: what each part of a frame costs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotRunError(f"no {', '.join(missing)}")
    file = told.folder / "bench.json"
    command = [sys.executable, "-m", "live", "bench", "--only", "stage", "--device", "cuda"]
    done = subprocess.run(
        [*command, "--json", str(file)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
    )
    if done.returncode or not file.exists():
        words = done.stderr.strip().splitlines() or ["nothing said"]
        raise RuntimeError(f"ended with {done.returncode}: {words[-1]:.160}")
    for row in json.loads(file.read_text())["rows"]:
        name, p50, p99 = row["name"], row["ms_p50"], row["ms_p99"]
        yield Line("bench", name, f"{p50:.3f} ms, p99 {p99:.3f}")
        if name in FIGURES_MS:
            yield at_most("bench", f"{name}, p99", p99, " ms", FIGURES_MS[name])
        if name.endswith("issued)"):
            yield at_most("bench", f"{name}, p50", p50, " ms", ISSUED_MS)
