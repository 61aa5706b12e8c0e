"""From end to end: a headless stage on a GPU, its frame path and its rates."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_lines import FAILED, OK, Line, NotRunError, Told, at_least, at_most
from gpu_networks import config_f

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("moderngl", "pydantic", "typer", "pythonosc", "pynvml", "PIL", "psutil")
OVERLAID_MS = {"p50": 1.0, "p99": 2.0}  # of the stage's own work, over the show without it
RATES = {"1920x1080": 240, "3840x2160": 100}  # frames a second
SPARE = 1.05  # asked for, of what is wanted: a pace that is kept exactly is never exceeded
SECONDS = 10


def stage(told: Told) -> Iterator[Line]:
    """`anthesis play --headless` with a 1024x1024 network, at the sizes and rates wanted."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotRunError(f"no {', '.join(missing)}")
    setlist = setlist_of(told)
    for size, rate in RATES.items():
        try:
            summary = performed(told, setlist, size, rate)
        except RuntimeError as error:
            yield Line("stage", size, verdict=f"{FAILED}: {error}")
            continue
        yield from _lines(size, rate, summary)
    yield from _overlaid(told, setlist)


def _overlaid(told: Told, setlist: Path) -> Iterator[Line]:
    """What the desktop adds to the stage's own work at 1920x1080 and 60 frames a second."""
    work = {}
    for name in ("off", "desktop"):
        summary = performed(told, setlist, "1920x1080", 60, "--overlay", name)
        work[name] = summary["stage_ms"]
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
    """The statistics of a show. Raises RuntimeError with its last words if it failed."""
    stats = told.folder / f"{size}.json"
    command = [sys.executable, "-m", "live", "play", str(setlist), "--headless", "--size", size]
    command += ["--fps", f"{rate * SPARE:g}", "--seconds", str(SECONDS), "--stats", str(stats)]
    command += ["--device", "cuda", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS + 120)
    if done.returncode or not stats.exists():
        words = done.stderr.strip().splitlines() or ["nothing said"]
        raise RuntimeError(f"ended with {done.returncode}: {words[-1]:.160}")
    summary: dict[str, Any] = json.loads(stats.read_text())
    return summary


def _lines(size: str, rate: int, summary: dict[str, Any]) -> Iterator[Line]:
    seconds, frames = summary["seconds"], summary["frames"]
    for key, said in summary.items():
        if key.startswith("frame_path"):
            yield Line("stage", f"{size}, {key.replace('_', ' ')}", str(said), verdict=OK)
    for what in ("presented", "generated"):
        name = f"{size}, {what} a second"
        yield at_least("stage", name, frames[what] / max(seconds, 1e-9), "", rate)
    repeated = 100 * frames["repeated"] / max(1, frames["presented"])
    yield at_most("stage", f"{size}, repeated", repeated, " %", 1, goal=0)
    yield at_most("stage", f"{size}, engines lost", summary["engine_restarts"], "", 0)
    yield at_most("stage", f"{size}, faults", summary["stage_faults"], "", 0)
    for key in ("present_interval_ms", "engine_ms", "lateness_ms"):
        found = ", ".join(f"{name} {ms}" for name, ms in summary[key].items())
        yield Line("stage", f"{size}, {key.replace('_', ' ')}", found)
    first = f"{summary['time_to_first_frame_s']} s"
    yield Line("stage", f"{size}, first picture after", first)
    yield Line("stage", f"{size}, memory", str(summary["peak_rss_mb"]))
