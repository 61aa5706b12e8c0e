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
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Any

import live
from engine.errors import UserError
from engine.weights.containers import glance
from live import keys, pulse
from live.addresses import Message
from live.app import Output, Stage
from live.captions import identity
from live.clock import WallClock
from live.codecs import From, can_sound, format_for
from live.desks import patch_of
from live.edits import Edits, known_stamp, stamp_of
from live.ensemble import Ensemble
from live.gpus import Sampler
from live.holding import load_holding
from live.offscreen import Offscreen, is_software
from live.osc import Counts, OscServer
from live.outfile import check_writable
from live.overlay.overlay import Overlay
from live.prompter import Prompter
from live.routes import Patch
from live.setlist import SetList
from live.source import Supervised
from live.statistics import Statistics, in_words, write
from live.take import Take, last_state, latents, sha256_of
from live.take_writer import TakeWriter
from live.terminal import Terminal, TerminalHandler
from live.wishes import Wishes

if TYPE_CHECKING:
    from live.listening import Listening
    from live.tape import Tape

log = logging.getLogger(__name__)

HEADLESS_SECONDS = 10.0
FPS, FPS_ON_SOFTWARE_GL = 60.0, 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the set list; None leaves it to the set list or the default."""

    monitor: str | None = None
    fullscreen: bool | None = None
    size: tuple[int, int] = (1280, 720)
    fps: float | None = None
    osc: str | None = None
    desk: str | None = None
    cue: str | None = None
    device: str = "auto"
    overlay: str | None = None
    record: Path | None = None
    codec: str | None = None
    chroma: str | None = None
    tap: From = "program"
    audio: bool = False
    audio_device: str | None = None
    overwrite: bool = False
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
    holding = load_holding(setlist.show.holding)
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
        gauges = Sampler()  # always, so that a monitor opened in mid-show has its history
        closing.callback(gauges.close)
        gauges.start()
        overlay = _overlay(setlist, cue, output, gauges, began, closing)
        journal = _journal(setlist, cue, options, statistics, prompter, closing)
        listening = _listening(options, closing)
        tape = _tape(options, output, ensemble, journal, listening, closing)
        if options.record is not None:
            said = tape.start(options.record)
            if said:
                prompter.say(said)
        by_hand = options.resume is not None and heart is None
        wishes = _wishes(setlist, closing, by_hand=by_hand)
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
            gauges=gauges,
            journal=journal,
            pulse=heart,
            edits=wishes,
            wishes=wishes,
            resumed=resumed,
            holding=holding,
            cue=cue,
            seconds=options.seconds,
        )
        if options.overlay is not None:
            stage.obey(Message("overlay", (options.overlay,)))
        if listening is not None:
            listening.begin(stage.show_time)
        if desk is not None:
            _let_answer(desk, stage, output)
        signals.end = stage.end
        if heart is not None:
            closing.callback(heart.closing)  # before anything else is closed
        stage.run()
        if heart is not None:
            heart.over()
        ended = clock.now()
        prompter.clear()
    heard = desk.counts if desk is not None else Counts()
    summary = statistics.summary(
        ended,
        ensemble,
        osc=heard.asdict(),
        recorder=tape.counts,
        faults=stage.faults.count,
        frame_path=stage.frame_path,
    )
    summary["osc_details"] = heard.details()
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
    if options.record is not None or options.codec is not None:
        wished = options.record or Path("show")
        _, format_ = format_for(wished, options.codec, options.chroma)
        if options.audio and not can_sound(format_):
            raise UserError("--audio: pictures one by one have no sound; take another --codec")
    for cue in setlist.cues:
        keys.check(cue)
    for network in {cue.network for cue in setlist.cues}:
        glance(network)


def _desk(
    setlist: SetList, options: Options, prompter: Prompter, closing: ExitStack
) -> OscServer | None:
    """Listen for the desk. Nobody asked for the default port: if it is taken, do without."""
    asked = options.osc or "listen" in setlist.osc.model_fields_set
    listen = options.osc or setlist.osc.listen
    patch = _patch(setlist, options)
    server = OscServer(listen, setlist.osc.allow, setlist.osc.prefix, patch)
    try:
        closing.enter_context(server)
    except UserError as error:
        if asked:
            raise
        prompter.say(f"{error}; performing without a desk")
        return None
    prompter.say(server.describe())
    return server


def _let_answer(desk: OscServer, stage: Stage, output: Output) -> None:
    """Let the desk know what is asked of window and set list, and not of the show."""
    desk.answers["fullscreen"] = lambda: (int(output.fullscreen),)
    desk.answers["monitor"] = lambda: (output.monitor,)
    desk.answers["network"] = lambda: (stage.network_name,)
    desk.answers["key/seed"] = lambda: _known(stage.coming_seed())


def _known(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)


def _patch(setlist: SetList, options: Options) -> Patch:
    """What the desk's messages mean; a file named on the command line is where one stands."""
    if options.desk is not None:
        return patch_of(setlist.osc, options.desk, Path())
    return patch_of(setlist.osc, setlist.osc.desk, setlist.file.parent)


def _wishes(setlist: SetList, closing: ExitStack, *, by_hand: bool) -> Wishes:
    """What is saved, or wanted by the desk, while the set list is performed.

    `by_hand`: somebody resumed a take. See `known_stamp`.
    """
    edits = Edits(setlist.file, stamp_of(setlist.file) if by_hand else known_stamp(setlist))
    closing.callback(edits.close)
    edits.start()
    wishes = Wishes(edits)
    closing.callback(wishes.close)
    wishes.start()
    return wishes


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


def _tape(
    options: Options,
    output: Output,
    ensemble: Ensemble,
    journal: TakeWriter,
    listening: Listening | None,
    closing: ExitStack,
) -> Tape:
    """What records, now or when somebody wants it."""
    from live.tape import Tape, Wanted

    fps = _fps(options, output)
    folder = Path() if options.record is None else options.record.parent
    _, format_ = format_for(options.record or Path("show"), options.codec, options.chroma)
    nvidia = "NVIDIA" in str(output.ctx.info["GL_VENDOR"])
    listen = None if listening is None else listening.track
    wanted = Wanted(fps, format_, options.tap, folder, options.overwrite, nvidia, listen)

    def facts() -> dict[str, Any]:
        hashes, setlist = list(ensemble.hashes.items()), ensemble.setlist
        return {
            "setlist": {"file": str(setlist.file.absolute()), "text": setlist.text},
            "networks": {str(path.absolute()): sha256 for path, sha256 in hashes},
            "take": journal.path.name,
        }

    def begun(film: Path) -> None:
        if journal.spooled:
            journal.move(film.with_suffix(".take"))

    tape = Tape(output.ctx, output.size, wanted, facts, begun)
    closing.callback(tape.close)
    return tape


def _listening(options: Options, closing: ExitStack) -> Listening | None:
    """What the recordings' sound comes from, if they are to have any."""
    if not options.audio:
        return None
    from live.listening import Listening
    from live.microphone import Microphone

    microphone = Microphone.open(options.audio_device)
    closing.callback(microphone.close)
    return Listening(microphone)


def _journal(
    setlist: SetList,
    cue: int,
    options: Options,
    statistics: Statistics,
    prompter: Prompter,
    closing: ExitStack,
) -> TakeWriter:
    """The take: where it was asked for, and else aside until a recording begins."""
    path, spooled = options.take, options.take is None
    if path is None:
        folder = closing.enter_context(TemporaryDirectory(prefix="anthesis-"))
        path = Path(folder) / "show.take"
    writer = TakeWriter(path, spooled=spooled)
    closing.callback(writer.close)

    def ended(_: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, UserError) and not statistics.presented:
            writer.discard()  # the next attempt may have the name

    closing.push(ended)
    if options.resume is None:
        writer.begin(setlist, cue, datetime.now().astimezone())
    else:
        writer.go_on(options.resume)
    for latent in sorted(latents(setlist)):
        writer.file("latent", latent, sha256_of(latent))
    writer.start()
    writer.moved = lambda path: prompter.say(f"the take is {path}")
    if not spooled:
        writer.moved(writer.path)
    return writer


def _overlay(
    setlist: SetList,
    cue: int,
    output: Output,
    gauges: Sampler,
    began: datetime,
    closing: ExitStack,
) -> Overlay:
    """What can be drawn over the picture; its glyphs are made while the engine loads."""
    overlay = Overlay(output.ctx, setlist.overlay, identity(setlist, cue), gauges, began)
    closing.callback(overlay.release)
    overlay.prepare(output.size)
    return overlay


def _unused_name() -> Path:
    return Path(f"anthesis-{datetime.now():%Y-%m-%d-%H%M%S}")


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
