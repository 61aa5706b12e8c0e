"""What the parts of a frame cost on this machine: one command, one table.

The engine's paths to a frame are measured first, by `live.engine_bench`, on the network that was
named. upload, composite and present are the stage's own work for one frame of the bundled network
at 1280x720, and upload and composite that for a picture as large as the named network's as well;
interval is the time between two frames at 30 a second, with the engine performing and stopped, and
while a cue on another network is prepared, comes and fades in. For overlay see
`live.overlay_bench`, for record `live.record_bench`, for what a desk costs `live.osc_bench`.
osc_to_frame is the way of a message from a desk's socket to the first picture that obeys it: psi,
which takes a new frame from the engine, and master, which the stage does by itself. It is sent at a
random moment of a frame to the paused show, whose W+ then changes only because of it.
"""

from __future__ import annotations

import json
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import moderngl
import numpy as np
import psutil

from engine.bench.figures import Figures, Row, table
from engine.errors import UserError
from engine.link import NetworkFacts
from live import BEGAN
from live.addresses import Message
from live.app import Stage
from live.clock import WallClock
from live.compositor import Compositor, Layer, Look
from live.engine_bench import EngineOptions, measure
from live.ensemble import Ensemble
from live.offscreen import Offscreen
from live.osc import OscServer, encode
from live.osc_bench import TimedDesk, route_rows, storm_rows
from live.outfile import check_writable, write_json
from live.overlay_bench import overlay_rows
from live.prompter import Prompter
from live.record_bench import TimedTape, record_rows
from live.setlist import SetList, bundled, load_setlist
from live.source import Supervised
from live.statistics import Statistics
from live.terminal import Terminal
from live.texture import Picture

SIZE = (1280, 720)
FPS = 30.0
TURNS = 200
MESSAGES = 60
STOPS, STOP_NS = 8, 1_000_000_000


def bench(options: EngineOptions, output: str | None = None, only: str | None = None) -> str:
    """Measure; write JSON to the file `output`, if named; return the table.

    output "-": return the JSON instead. only: "engine", "stage" or "projection", that part alone;
    without it the first two, of which one that cannot be measured here is missing from the table,
    which says why. Raises UserError.
    """
    file = None if output in (None, "-") else Path(output)
    if file is not None:
        check_writable("--json", file)
    parts: dict[str, Callable[[], Figures]] = {
        "engine": partial(measure, options),
        "stage": partial(_stage, options.side(), options.device),
        "projection": partial(measure, replace(options, projection=True)),
    }
    wanted = ("engine", "stage") if only is None else (only,)
    measured = [_part(name, parts[name], only) for name in wanted]
    figures = joined(options.subject().name, measured)
    if file is not None:
        write_json("--json", file, figures.record())
    return json.dumps(figures.record(), indent=2) if output == "-" else table(figures)


def _part(name: str, part: Callable[[], Figures], only: str | None) -> Figures:
    """What was measured; nothing, and why, if that cannot be and there is another part."""
    try:
        return part()
    except (UserError, RuntimeError, moderngl.Error) as error:
        if only == name or (name == "engine" and isinstance(error, UserError)):
            raise
        return Figures("", "", left_out=[f"the {name}'s rows: {error}"])


def joined(network: str, parts: Sequence[Figures]) -> Figures:
    """The parts as one: all of their rows, the first device that is told."""
    device = next((part.device for part in parts if part.device), "")
    whole = Figures(device, network)
    for part in parts:
        whole.facts.update(part.facts)
        whole.rows.extend(part.rows)
        whole.left_out.extend(part.left_out)
    return whole


def _stage(side: int, device: str) -> Figures:
    """The stage's rows; side: of the named network's picture. Raises UserError without OpenGL."""
    with ExitStack() as closing:
        terminal = Terminal()
        closing.callback(terminal.close)  # which takes the operator's line away, before the table
        prompter = Prompter(terminal)
        offscreen = Offscreen(SIZE, FPS)
        closing.callback(offscreen.close)
        rows, facts = _show_rows(offscreen, prompter, device, side)
        rows.append(_change_row(offscreen, prompter, device))
        rows += overlay_rows(offscreen)
        opengl = offscreen.ctx.info["GL_RENDERER"]
    return Figures(facts.device, facts.name, rows, {"OpenGL": opengl})


def _show_rows(
    offscreen: Offscreen, prompter: Prompter, device: str, side: int
) -> tuple[list[Row], NetworkFacts]:
    """What is measured with the bundled show."""
    with TimedDesk("127.0.0.1:0") as desk, ExitStack() as closing:
        folder = Path(closing.enter_context(TemporaryDirectory()))
        tape = TimedTape(offscreen, folder, FPS)
        closing.callback(tape.close, timeout_s=10.0)
        stage = _performing(bundled(), offscreen, prompter, device, closing, desk, tape)
        while stage.statistics.presented < 2 * FPS:  # faded in
            stage.turn()
        facts = stage.ensemble.sources[0].facts
        assert facts is not None
        rows = _stage_rows(offscreen, facts.resolution)
        if side != facts.resolution:
            size = f"{side}x{side}"
            rows += [
                replace(row, name=f"{row.name} ({size})")
                for row in _stage_rows(offscreen, side)
                if row.name != "present"
            ]
        rows += _interval_rows(stage)
        rows += record_rows(tape, partial(_turn, stage))
        rows += route_rows() + storm_rows(desk, partial(_interval, stage))
        return rows + _osc_rows(stage, desk), facts


def _performing(
    setlist: SetList,
    offscreen: Offscreen,
    prompter: Prompter,
    device: str,
    closing: ExitStack,
    desk: OscServer | None = None,
    tape: TimedTape | None = None,
) -> Stage:
    """A show on real engines, before its first turn."""
    ensemble = Ensemble(setlist, partial(Supervised, device))
    closing.callback(ensemble.close)
    statistics = Statistics(BEGAN)
    return Stage(
        setlist, ensemble, offscreen, WallClock(), statistics, prompter, desk=desk, tape=tape
    )


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
        compositor.compose([Layer(picture)], Look())
        offscreen.ctx.finish()

    def present() -> None:
        compositor.show(offscreen.screen)
        offscreen.present()

    return [
        Row.of(function.__name__, _timed(function)) for function in (upload, composite, present)
    ]


def _interval_rows(stage: Stage) -> list[Row]:
    """Time between presented frames while the engine performs and while it is stopped, in turns."""
    source = stage.ensemble.sources[0]
    assert isinstance(source, Supervised)
    assert source.pid is not None  # psutil would take None for this process, and stop it for good
    engine = psutil.Process(source.pid)
    intervals: dict[bool, list[float]] = {False: [], True: []}
    stage.obey(Message("play", (1,)))
    try:
        for phase in range(2 * STOPS):  # far shorter than what counts as dead
            stopped = bool(phase % 2)
            if stopped:
                engine.suspend()
            else:
                engine.resume()
            until = stage.clock.now() + STOP_NS
            stage.turn()
            while stage.clock.now() < until:
                intervals[stopped].append(_interval(stage))
    finally:
        engine.resume()
    return [
        Row.of("interval", intervals[False]),
        Row.of("interval (engine stopped)", intervals[True]),
    ]


def _change_row(offscreen: Offscreen, prompter: Prompter, device: str) -> Row:
    """Time between presented frames from the start of the next network's engine to its cue's end.

    Both networks are the bundled one. The engine of the first leaves when the fade is over.
    """
    with TemporaryDirectory() as folder, ExitStack() as closing:
        setlist = _two_networks(Path(folder))
        first, second = (cue.network for cue in setlist.cues)
        stage = _performing(setlist, offscreen, prompter, device, closing)
        ensemble = stage.ensemble
        while ensemble.source(second) is None:
            stage.turn()
        intervals = []
        while stage.statistics.presented < 2 * FPS or _preparing(ensemble, second):
            intervals.append(_interval(stage))
        stage.obey(Message("cue/next"))
        while ensemble.source(first) is not None:
            intervals.append(_interval(stage))
            if second in ensemble.refused:
                raise UserError(ensemble.refused[second])
    return Row.of("interval (network change)", intervals)


def _preparing(ensemble: Ensemble, network: Path) -> bool:
    """Whether its engine still loads; one that does not fit beside the other is given up."""
    return ensemble.path(1) is None and ensemble.source(network) is not None


def _two_networks(folder: Path) -> SetList:
    """A set list of two cues, each on a file of its own, a fade of one beat between them."""
    text = ""
    for name in ("a", "b"):
        network = bundled().show.network
        shutil.copy(network, folder / f"{name}{network.suffix}")
        text += (
            f'[[cue]]\nname = "{name}"\nnetwork = "{name}{network.suffix}"\nfade = 1\n'
            'ending = "loop"\nkeys = [{seed = 1}, {seed = 2}]\n'
        )
    path = folder / "change.toml"
    path.write_text(text)
    return load_setlist(path)


def _interval(stage: Stage) -> float:
    """Take a turn; ms since the frame before."""
    before = stage.presented_at
    stage.turn()
    return (stage.presented_at - before) / 1e6


def _turn(stage: Stage) -> tuple[int, float]:
    """Take a turn; its show time in ns, and ms since the frame before."""
    interval = _interval(stage)
    return stage.show_time(stage.presented_at), interval


def _osc_rows(stage: Stage, desk: OscServer) -> list[Row]:
    rows = []
    stage.obey(Message("play", (0,)))
    for _ in range(10):
        stage.turn()
    for address, seen in (("psi", _wplus), ("master", _brightness)):
        ways = [_way(stage, desk, address, 0.4 if n % 2 else 0.9, seen) for n in range(MESSAGES)]
        turns = [turns for _, turns in ways]
        name = "osc_to_frame" if address == "psi" else f"osc_to_frame ({address})"
        row = Row.of(name, [ms for ms, _ in ways])
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
