"""Opens what a performance needs, in the order that fails early, and closes it whatever happens.

First everything that can be wrong with the user's input; then the engine, which takes longest to be
ready; then the window, which is up while the engine still loads.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

import live
from engine.errors import UserError
from engine.weights.containers import glance
from live import keys, pulse
from live.addresses import Message
from live.app import Output, Stage
from live.captions import identity
from live.clock import WallClock
from live.ensemble import Ensemble
from live.gpus import Sampler
from live.offscreen import Offscreen, is_software
from live.osc import Counts, OscServer
from live.outfile import check_writable
from live.overlay.overlay import Overlay
from live.prompter import Prompter
from live.setlist import SetList
from live.source import Supervised
from live.statistics import Statistics, in_words, write
from live.take import Take, last_state, latents, sha256_of
from live.take_writer import TakeWriter, free_name
from live.terminal import Terminal, TerminalHandler

if TYPE_CHECKING:
    from live.tape import Tape

log = logging.getLogger(__name__)

HEADLESS_SECONDS = 10.0
NOTHING_RECORDED = {"written": 0, "dropped": 0, "duplicated": 0, "files": []}
FPS, FPS_ON_SOFTWARE_GL = 60.0, 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the set list; None leaves it to the set list or the default."""

    monitor: str | None = None
    fullscreen: bool | None = None
    size: tuple[int, int] = (1280, 720)
    fps: float | None = None
    osc: str | None = None
    cue: str | None = None
    device: str = "auto"
    overlay: str | None = None
    record: Path | None = None
    take: Path | None = None
    resume: Take | None = None
    headless: bool = False
    seconds: float | None = None
    stats: Path | None = None


def perform(setlist: SetList, options: Options) -> None:
    """Perform a set list from opening to end. Raises UserError for whatever the user can mend."""
    terminal = Terminal()
    log_handler = TerminalHandler(terminal)
    with ExitStack() as outermost:
        outermost.callback(terminal.close)
        outermost.enter_context(_logging_to(log_handler))
        signals = outermost.enter_context(_Signals())
        with suppress(KeyboardInterrupt):  # before there is a stage, or the second time
            _perform(setlist, options, Prompter(terminal), signals)


def _perform(setlist: SetList, options: Options, prompter: Prompter, signals: _Signals) -> None:
    clock = WallClock()
    statistics = Statistics(live.BEGAN)
    resumed = None if options.resume is None else last_state(options.resume)
    cue = 0 if options.cue is None else setlist.find(options.cue)
    if resumed is not None:
        cue = resumed.show.voice.cue
    holding = _holding(setlist.show.holding)
    heart = pulse.inherited()
    _look_at_files(setlist, options)
    with ExitStack() as closing:
        desk = _desk(setlist, options, prompter, closing)
        ensemble = Ensemble(setlist, partial(Supervised, options.device))
        closing.callback(ensemble.close)
        network = setlist.cues[cue].network
        ensemble.tend(network, (), network, clock.now())
        output, options = _output(setlist, options, prompter, closing)
        statistics.window_up(clock.now())
        began = datetime.now() - timedelta(seconds=0 if resumed is None else resumed.at / 1e9)
        overlay = _overlay(setlist, cue, output, began, closing)
        tape = _tape(options, output, prompter, closing)
        journal = _journal(setlist, cue, options, tape, prompter, closing)
        stage = Stage(
            setlist,
            ensemble,
            output,
            clock,
            statistics,
            prompter,
            desk=desk,
            tape=tape,
            overlay=overlay,
            journal=journal,
            pulse=heart,
            resumed=resumed,
            holding=holding,
            cue=cue,
            seconds=options.seconds,
        )
        if options.overlay is not None:
            stage.obey(Message("overlay", (options.overlay,)))
        signals.end = stage.end
        stage.run()
        if heart is not None:
            heart.over()
        ended = clock.now()
        prompter.clear()
    summary = statistics.summary(
        ended,
        ensemble,
        osc=(desk.counts if desk is not None else Counts()).asdict(),
        recorder=tape.counts if tape is not None else NOTHING_RECORDED,
        faults=stage.faults.count,
        frame_path=stage.frame_path,
    )
    prompter.say(in_words(summary))
    if options.stats is not None:
        write(summary, options.stats)


def _look_at_files(setlist: SetList, options: Options) -> None:
    """Find what is wrong with files as far as that takes no time."""
    if options.stats is not None:
        check_writable("--stats", options.stats)
    if options.take is not None:
        check_writable("--take", options.take)
        if options.take.exists():
            raise UserError(f"--take {options.take}: is there already; name another file")
    if options.record is not None and options.record.suffix not in ("", ".mp4"):
        raise UserError(f"--record {options.record}: a recording is an .mp4 file")
    for cue in setlist.cues:
        keys.check(cue)
    for network in {cue.network for cue in setlist.cues}:
        glance(network)


def _holding(path: Path | None) -> np.ndarray | None:
    """The picture before the first frame: uint8 [height, width, 4]."""
    if path is None:
        return None
    try:
        # Named formats: for PostScript, Pillow would run a program on the user's file.
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "TIFF", "BMP")) as picture:
            picture.thumbnail((4096, 4096))
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: the holding picture cannot be read: {error}") from error


def _desk(
    setlist: SetList, options: Options, prompter: Prompter, closing: ExitStack
) -> OscServer | None:
    """Listen for the desk. Nobody asked for the default port: if it is taken, do without."""
    asked = options.osc or "listen" in setlist.osc.model_fields_set
    listen = options.osc or setlist.osc.listen
    server = OscServer(listen, setlist.osc.allow, setlist.osc.prefix)
    try:
        closing.enter_context(server)
    except UserError as error:
        if asked:
            raise
        prompter.say(f"{error}; performing without a desk")
        return None
    prompter.say(server.describe())
    return server


def _output(
    setlist: SetList, options: Options, prompter: Prompter, closing: ExitStack
) -> tuple[Output, Options]:
    """A window; where there is no display, a picture in memory that is recorded to a file."""
    if not options.headless:
        from live.window import NoDisplay

        try:
            return _window(setlist, options, closing), options
        except NoDisplay as missing:
            options = replace(options, record=options.record or _unused_name())
            prompter.say(f"{missing}\nperforming without a window, into a video file")
    output = Offscreen(options.size)
    closing.callback(output.close)
    output.refresh_hz = _fps(options, output)
    return output, replace(options, seconds=options.seconds or HEADLESS_SECONDS)


def _fps(options: Options, output: Output) -> float:
    """Frames a second of a headless show and of a recording."""
    software = is_software(str(output.ctx.info["GL_RENDERER"]))
    return options.fps or (FPS_ON_SOFTWARE_GL if software else FPS)


def place(setlist: SetList, options: Options) -> tuple[str | None, bool]:
    """The monitor of the window, as `live.monitors.choose` reads it, and whether it fills that."""
    fullscreen = setlist.output.fullscreen if options.fullscreen is None else options.fullscreen
    return options.monitor or setlist.output.monitor, fullscreen


def _window(setlist: SetList, options: Options, closing: ExitStack) -> Output:
    from live.awake import awake
    from live.window import Window

    monitor, fullscreen = place(setlist, options)
    window = Window("Anthesis", options.size, monitor, fullscreen=fullscreen)
    closing.callback(window.close)
    closing.enter_context(awake())
    return window


def _tape(options: Options, output: Output, prompter: Prompter, closing: ExitStack) -> Tape | None:
    if options.record is None:
        return None
    from live.tape import Tape

    tape = Tape(output.ctx, options.record, output.size, _fps(options, output))
    closing.callback(tape.close)
    prompter.say(f"recording to {tape.path}")
    return tape


def _journal(
    setlist: SetList,
    cue: int,
    options: Options,
    tape: Tape | None,
    prompter: Prompter,
    closing: ExitStack,
) -> TakeWriter | None:
    """The take: where it was asked for, and beside every recording."""
    path = options.take
    if path is None:
        if tape is None:
            return None
        path = free_name(tape.path.with_suffix(".take"))
    writer = TakeWriter(path)
    closing.callback(writer.close)
    if options.resume is None:
        writer.begin(setlist, cue, datetime.now().astimezone())
    else:
        writer.go_on(options.resume)
    for latent in sorted(latents(setlist)):
        writer.file("latent", latent, sha256_of(latent))
    writer.start()
    prompter.say(f"the take is {writer.path}")
    return writer


def _overlay(
    setlist: SetList, cue: int, output: Output, began: datetime, closing: ExitStack
) -> Overlay:
    """What can be drawn over the picture; its glyphs are made while the engine loads."""
    gauges = Sampler()  # always, so that a monitor opened in mid-show has its history
    closing.callback(gauges.close)
    gauges.start()
    overlay = Overlay(output.ctx, setlist.overlay, identity(setlist, cue), gauges, began)
    closing.callback(overlay.release)
    overlay.prepare(output.size)
    return overlay


def _unused_name() -> Path:
    return Path(f"anthesis-{datetime.now():%Y-%m-%d-%H%M%S}.mp4")


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    """All log records to one handler while a show is on."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    try:
        yield
    finally:
        root.handlers = before


class _Signals:
    """Ctrl-C and SIGTERM, from the first moment to the last.

    While there is a stage, the first one has it fade out. One before that, or a second one, raises
    KeyboardInterrupt; what follows while everything is being closed is ignored.
    """

    def __init__(self) -> None:
        self.end: Callable[[], None] | None = None

    def __enter__(self) -> _Signals:
        self._before = {n: signal.signal(n, self._heard) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        end, self.end = self.end, None
        if end is not None:
            end()
            return
        for other in self._before:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt
