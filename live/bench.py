"""What the parts of a frame cost on this machine, measured side by side in one run.

upload, composite and present are the stage's own work for one frame of the bundled network at
1280x720; interval is the time between two frames at 30 a second, with the engine performing and
stopped. osc_to_frame is the way of a message from a desk's socket to the first picture that obeys
it: psi, which takes a new frame from the engine, and master, which the stage does by itself. It is
sent at a random moment of a frame to the paused show, whose W+ then changes only because of it.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from engine.errors import UserError
from live.addresses import Message
from live.app import Stage
from live.clock import WallClock
from live.compositor import Compositor, Look
from live.ensemble import Ensemble
from live.offscreen import Offscreen
from live.osc import OscServer, encode
from live.prompter import Prompter
from live.setlist import bundled
from live.source import Supervised
from live.statistics import Statistics, process_started
from live.texture import Picture

SIZE = (1280, 720)
FPS = 30.0
TURNS = 200
MESSAGES = 60
STOPS, STOP_NS = 8, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured; `frames` where it is counted in presented frames as well."""

    name: str
    ms_p50: float
    ms_p99: float
    ratio_to_floor: float | None = None
    frames_p50: float | None = None
    frames_max: float | None = None


def bench(output: Path | None, device: str) -> str:
    """Measure, write the JSON if asked, and return the table. Raises UserError."""
    with ExitStack() as closing:
        offscreen = Offscreen(SIZE, FPS)
        closing.callback(offscreen.close)
        desk = closing.enter_context(OscServer("127.0.0.1:0"))
        stage = _performing(offscreen, desk, device, closing)
        facts = stage.ensemble.sources[0].facts
        assert facts is not None
        renderer = offscreen.ctx.info["GL_RENDERER"]
        measured = f"{facts.device}; {renderer}"
        rows = _stage_rows(offscreen, facts.resolution)
        rows += _interval_rows(stage) + _osc_rows(stage, desk)
    if output is not None:
        record = {"device": measured, "network": facts.name, "rows": [asdict(row) for row in rows]}
        try:
            output.write_text(json.dumps(record, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--json {output}: cannot be written ({error.strerror})") from error
    return _table(measured, rows)


def _performing(offscreen: Offscreen, desk: OscServer, device: str, closing: ExitStack) -> Stage:
    """The bundled show on a real engine, faded in."""
    setlist = bundled()
    ensemble = Ensemble(setlist, partial(Supervised, device))
    closing.callback(ensemble.close)
    statistics = Statistics(process_started())
    clock = WallClock()
    stage = Stage(setlist, ensemble, offscreen, clock, statistics, Prompter(), desk=desk)
    while statistics.presented < 2 * FPS:
        stage.turn()
    return stage


def _stage_rows(offscreen: Offscreen, resolution: int) -> list[Row]:
    picture = Picture(offscreen.ctx)
    compositor = Compositor(offscreen.ctx, SIZE)
    frames = np.random.default_rng(0).integers(0, 256, (8, resolution, resolution, 4), np.uint8)
    turn = iter(range(10**9))

    def upload() -> None:
        picture.upload(frames[next(turn) % len(frames)], resolution, resolution)
        offscreen.ctx.finish()

    def composite() -> None:
        picture.uploads += 1  # as if the frame were new
        compositor.compose(picture, None, Look())
        offscreen.ctx.finish()

    def present() -> None:
        compositor.show(offscreen.screen)
        offscreen.present()

    return [
        Row(function.__name__, *_percentiles(_timed(function)))
        for function in (upload, composite, present)
    ]


def _interval_rows(stage: Stage) -> list[Row]:
    """Time between presented frames while the engine performs and while it is stopped, in turns."""
    source = stage.ensemble.sources[0]
    assert isinstance(source, Supervised)
    engine = psutil.Process(source.pid)
    intervals: dict[bool, list[float]] = {False: [], True: []}
    stage.obey(Message("play", (1,)))
    for phase in range(2 * STOPS):  # far shorter than what counts as dead
        stopped = bool(phase % 2)
        engine.suspend() if stopped else engine.resume()
        until = stage.clock.now() + STOP_NS
        stage.turn()
        while stage.clock.now() < until:
            before = stage.presented_at
            stage.turn()
            intervals[stopped].append((stage.presented_at - before) / 1e6)
    engine.resume()
    return [
        Row("interval", *_percentiles(intervals[False])),
        Row("interval (engine stopped)", *_percentiles(intervals[True])),
    ]


def _osc_rows(stage: Stage, desk: OscServer) -> list[Row]:
    rows = []
    stage.obey(Message("play", (0,)))
    for _ in range(10):
        stage.turn()
    for address, seen in (("psi", _wplus), ("master", _brightness)):
        ways = [_way(stage, desk, address, 0.4 if n % 2 else 0.9, seen) for n in range(MESSAGES)]
        turns = [turns for _, turns in ways]
        name = "osc_to_frame" if address == "psi" else f"osc_to_frame ({address})"
        row = Row(name, *_percentiles([ms for ms, _ in ways]))
        rows.append(replace(row, frames_p50=float(np.median(turns)), frames_max=max(turns)))
    return rows


def _way(
    stage: Stage, desk: OscServer, address: str, level: float, seen: Callable[[Stage], bytes]
) -> tuple[float, int]:
    """Send a value at a random moment of a frame; ms, and presented frames, until it is seen."""
    sent: list[int] = []

    def send() -> None:
        sent.append(time.perf_counter_ns())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(f"/anthesis/{address}", level), desk.address)

    before = seen(stage)
    timer = threading.Timer(random.uniform(0, 1 / FPS), send)
    timer.start()
    turns = 0
    while seen(stage) == before:
        turns += bool(sent)
        stage.turn()
    return (stage.presented_at - sent[0]) / 1e6, turns


def _wplus(stage: Stage) -> bytes:
    assert stage.last_frame is not None
    return stage.last_frame.ws.tobytes()


def _brightness(stage: Stage) -> bytes:
    return stage.compositor.read()[::16, ::16].tobytes()


def _timed(action: Callable[[], None]) -> list[float]:
    """Milliseconds of each of many turns, after a few to warm up."""
    times = []
    for _ in range(TURNS):
        started = time.perf_counter_ns()
        action()
        times.append((time.perf_counter_ns() - started) / 1e6)
    return times[TURNS // 10 :]


def _percentiles(values: list[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(values, (50, 99))
    return round(float(p50), 3), round(float(p99), 3)


def _table(device: str, rows: list[Row]) -> str:
    lines = [device, f"{'':24}{'p50 ms':>10}{'p99 ms':>10}{'frames':>10}{'at most':>10}"]
    for row in rows:
        frames = ""
        if row.frames_p50 is not None and row.frames_max is not None:
            frames = f"{row.frames_p50:10g}{row.frames_max:10g}"
        lines.append(f"{row.name:24}{row.ms_p50:10.2f}{row.ms_p99:10.2f}{frames}")
    return "\n".join(lines)
