"""The stage. One turn of its loop is the journey of a frame; read `Stage.turn` first.

Nothing here waits for an engine, a desk or a disk. Time comes from the clock once a turn and is
handed on. `live.performance` opens the parts, and tests put fakes in their place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import moderngl
import numpy as np

from engine.errors import UserError
from engine.link import Floats
from live import control
from live.addresses import OF_THE_STAGE, Message, Value
from live.cadence import Cadence, Orders, budget
from live.captions import Captions
from live.clock import Clock, Outlook, Pacer
from live.codecs import From
from live.cuda import Cuda, Gpu
from live.ensemble import Ensemble
from live.faults import Faults
from live.feedback import feedback
from live.gpus import Sample
from live.interop import FramePaths
from live.keyboard import Keyboard
from live.keys import Resolved
from live.levels import eased
from live.overlay.overlay import Gauges, Overlay
from live.prompter import Prompt, Prompter
from live.recast import Wish, coming_key
from live.relist import relisted
from live.reload import Editing, Reload
from live.rerun import FADE_OUT
from live.scene import Scene
from live.setlist import SetList, programme
from live.show import Programme, Show
from live.source import Frame, Request, Source
from live.statistics import Statistics
from live.take import State, opening
from live.wplus import wplus_at

if TYPE_CHECKING:
    from live.tape import Status, Wanted

log = logging.getLogger(__name__)

SECOND = 1_000_000_000
VSYNC_SLACK = 0.25  # see Pacer
MOST_SAID = 100  # different messages that could not be obeyed


class Output(Protocol):
    """Where the program picture goes: `live.window.Window` or `live.offscreen.Offscreen`."""

    ctx: moderngl.Context
    screen: moderngl.Framebuffer

    @property
    def size(self) -> tuple[int, int]:
        """In pixels; may change from frame to frame."""

    @property
    def refresh_hz(self) -> float:
        """How often the audience can see another picture."""

    @property
    def vsync(self) -> bool:
        """Whether `present` waits for the display."""

    @property
    def closing(self) -> bool:
        """Whether somebody closed it."""

    def poll(self) -> list[str]:
        """Keys pressed since the last call."""

    def present(self) -> None:
        """Show what was drawn to `screen`."""

    def operator(self, text: str) -> None:
        """Tell the operator, where the audience does not see it."""

    @property
    def fullscreen(self) -> bool:
        """Whether it fills a monitor."""

    @property
    def monitor(self) -> str:
        """The name of the one it is on, "" without."""

    def toggle_fullscreen(self) -> None:
        """Full screen and back."""

    def go_fullscreen(self) -> None:
        """Fill the monitor that it is on."""

    def go_windowed(self) -> None:
        """Fill none."""

    def move_to(self, monitor: str) -> None:
        """To another monitor, by number or name. Raises ValueError where there is none such."""


class Desk(Protocol):
    """Where messages come from besides the keys: `live.osc.OscServer`."""

    def messages(self, show: Show, at: int, programme: Programme) -> Sequence[Message]:
        """What has arrived; questions are answered on the way."""

    def publish(self, address: str, args: Sequence[Value], at: int) -> None:
        """Tell those who have asked for it."""


class Tape(Protocol):
    """What keeps the picture: `live.tape.Tape`. Nothing here may wait."""

    @property
    def wanted(self) -> Wanted:
        """What it wants to see."""

    @property
    def status(self) -> Status:
        """How it stands."""

    def begin(self, name: str, at: int) -> None:
        """Record from show time `at` on."""

    def stop(self) -> None:
        """Record no more."""

    def mark(self, text: str, at: int) -> None:
        """Mark this moment."""

    def see(self, target: moderngl.Framebuffer, at: int, size: tuple[int, int]) -> None:
        """The picture of show time `at`, of that size."""


class Journal(Protocol):
    """What keeps the performance itself: `live.take_writer.TakeWriter`."""

    def file(self, kind: str, path: Path, sha256: str) -> None:
        """A file takes part."""

    def keys(self, cue: int, resolved: Resolved) -> None:
        """The keys of a cue are known."""

    def relisted(self, at: int, setlist: SetList) -> None:
        """Another set list took over."""

    def obeyed(self, at: int, message: Message, *, heard: bool = False) -> None:
        """A message took effect; `heard` from the desk."""

    def sampled(self, at: int) -> None:
        """W+ is asked for."""

    def gauged(self, at: int, sample: Sample) -> None:
        """The GPU monitor shows this."""

    def ends(self, at: int) -> None:
        """The show will have faded out then."""


class Wishing(Protocol):
    """What makes set lists as a desk wants them: `live.wishes.Wishes`."""

    def wish(self, wish: Wish, setlist: SetList, at: int) -> None:
        """Want something of the set list that is performed."""


class Pulse(Protocol):
    """What tells a watcher that the loop turns: `live.pulse.Pulse`."""

    def beat(self, now: int) -> None:
        """It turned; clock in ns."""


class Stage:
    """A performance: a set list on its engines, before an audience.

    `seconds` ends the show that long after its first generated frame; None plays on until somebody
    ends it. `holding` is a picture, uint8 [height, width, 4], shown until the first frame.
    `resumed` is where a take has ended, to go on from instead of a cue's beginning; `gauges` what
    the overlay's GPU monitor reads, for the journal; `edits` tells of a set list that was saved
    meanwhile, and of what `wishes` was told that the desk wants of it.
    """

    def __init__(
        self,
        setlist: SetList,
        ensemble: Ensemble,
        output: Output,
        clock: Clock,
        statistics: Statistics,
        prompter: Prompter,
        *,
        desk: Desk | None = None,
        tape: Tape | None = None,
        overlay: Overlay | None = None,
        gauges: Gauges | None = None,
        journal: Journal | None = None,
        pulse: Pulse | None = None,
        edits: Editing | None = None,
        wishes: Wishing | None = None,
        resumed: State | None = None,
        holding: np.ndarray | None = None,
        gpu: Gpu | None = None,
        cue: int = 0,
        seconds: float | None = None,
    ) -> None:
        self._perform(setlist)
        self.ensemble = ensemble
        self.output = output
        self.clock = clock
        self.statistics = statistics
        self.faults = Faults()
        # Either waits until there is a picture.
        first = resumed or State(opening(setlist, cue), 0, plays=True)
        self.show, self._plays = first.show, first.plays
        self._prompter = prompter
        self._desk = desk
        self._tape = tape
        self._journal = journal
        self._pulse = pulse
        self._wishes = wishes
        self._reload = None if edits is None else Reload(edits, ensemble, prompter.say)
        self._journalled: set[Path] = set()  # networks...
        self._journalled_cues: set[int] = set()
        self._journalled_sample: Sample | None = None
        self._journalled_end: int | None = None  # show time
        self._gauges = gauges
        self._captions = Captions(setlist, self.programme, ensemble)
        self.scene = Scene(
            output.ctx,
            output.size,
            setlist,
            self._captions,
            overlay=overlay,
            holding=holding,
            cue=self.show.voice.cue,
            at=first.at,
        )
        self.compositor = self.scene.compositor
        self._said: set[str] = set()  # of what could not be obeyed
        self._told_film = ""  # that the operator knows of
        self._told: set[Path] = set()  # refused networks that the operator knows of
        self._keyboard = Keyboard()
        self._frame_paths = FramePaths(output.ctx, gpu or Cuda(), clock.now)
        self._pacer = Pacer(clock, output.refresh_hz, VSYNC_SLACK if output.vsync else 0.0)
        self._began = clock.now() - first.at
        self._outlook = Outlook(self._began, self._pacer.period)
        self._cadence = Cadence(self._pacer.period)
        self._orders: dict[Path, Orders] = {}
        self._turns = 0  # so far, this one included
        self._seconds = seconds
        self._ends: int | None = None  # show time
        self._fresh: int | None = None  # show time of the picture taken in this turn
        self._taken: dict[Path, Frame] = {}  # in this turn, of each network the newest
        self.last_frame: Frame | None = None  # what the newest picture was made of
        self.presented_at = self._began  # clock

    def run(self) -> None:
        """Perform until the end. Raises UserError if the first network cannot be performed."""
        with self.faults:
            self.compositor.rehearse()
        while not self.over:
            self.turn()

    def turn(self) -> None:
        """One frame, from what was played to what is seen.

        The wait for the frame's time lies between asking and taking: the engine works meanwhile,
        and what it makes of a message is on screen a frame earlier than if the turn ended with it.
        """
        self._turns += 1
        self._fresh = None
        self._taken.clear()
        self._steps(
            self._hear,  # keys and desk become messages, and messages the show's new state
            self._tend,  # engines that died are replaced, the next cue's engine is warmed up
            self._probe,  # whether their pictures can stay on the GPU is tried out, bit by bit
            self._take_before_asking,  # from an engine that needs all of the time up to here
            self._ask,  # the W+ of the moment at which a picture will be seen goes to the engine
        )
        waited = self._pacer.wait()
        self.statistics.step_took("wait", waited)
        self._cadence.turned(self._outlook.interval, waited)
        self._steps(
            self._hear,  # master and blackout act on this very frame
            self._take,  # what an engine has finished becomes a texture
            self._compose,  # pictures, cross-fade, fit and master become the program picture
            self._lay_over,  # terminal, GPU monitor or the whole desktop over it
            self._record,  # the recorder is shown what it wants of that
            self._tell,  # desks that have subscribed hear how it goes
        )
        drawn = self.clock.now()
        work = drawn - self.presented_at - waited
        with self.faults:
            self.output.present()
        self.statistics.step_took("present", self.clock.now() - drawn)
        with self.faults:
            self._count(work)
        if self._pulse is not None:
            self._pulse.beat(self.clock.now())

    def _steps(self, *steps: Callable[[int], None]) -> None:
        """Take steps at the show time that it is now, whatever goes wrong in one of them."""
        began = self.clock.now()
        at = self.show_time(began)
        for step in steps:
            with self.faults:
                step(at)
            ended = self.clock.now()
            self.statistics.step_took(step.__name__.removeprefix("_"), ended - began)
            began = ended

    @property
    def over(self) -> bool:
        """Whether the show has ended, its fade out included."""
        return self._ends is not None and self.show_time(self.clock.now()) >= self._ends

    def show_time(self, now: int) -> int:
        """The show time at a reading of the clock, both in ns."""
        return now - self._began

    def end(self) -> None:
        """Fade out, then end. May be called from a signal handler, and more than once."""
        ends = self.show_time(self.clock.now()) + FADE_OUT
        if self._ends is None or ends < self._ends:
            self._ends = ends

    @property
    def frame_path(self) -> tuple[str, str]:
        """How the pictures come from the engine to their texture, and why so."""
        return self._frame_paths.chosen(self._network(self.show.voice.cue))

    def obey(self, message: Message) -> None:
        """Take a message to heart now; what cannot be obeyed is said to the operator and left."""
        self._obey(message, self.show_time(self.clock.now()))

    # The steps, in their order

    def _hear(self, at: int) -> None:
        if self._reload is not None:
            self._relist(self._reload, at)
        for key in self.output.poll():
            message = self._keyboard.read(key, self.show, at)
            if message is not None:
                self._obey(message, at)
        if self._desk is not None:
            for message in self._desk.messages(self.show, at, self.programme):
                obeyed = self._obey(message, at, heard=True)
                if obeyed:  # nothing else that strangers write is ever printed
                    self.scene.hear(message, at)
        self.show = control.advance(self.show, at, self.programme)
        if self.output.closing:
            self.end()

    def _tend(self, at: int) -> None:
        now = at + self._began
        due = self._network(self.show.voice.cue)
        if self._reload is not None:
            self._reload.tend(self.show, at)
        self.scene.tend(self.show, at)
        following = control.upcoming(self.show, self.programme)
        next_up = due if following is None else self._network(following)
        self.ensemble.tend(due, self.scene.shown, next_up, now)
        self._told &= self.ensemble.refused.keys()
        for network in self.ensemble.refused.keys() - self._told:
            self._told.add(network)
            why = self.ensemble.refused[network]
            if network == due and not self.scene.shown:
                raise UserError(why)
            log.error("%s", why)
        for network in self._orders.keys() - {due, *self.scene.shown}:
            del self._orders[network]
            self._captions.forget(network)
        if self._journal is not None:
            self._keep_journal(self._journal, at)
        self.statistics.sample_memory(now, self.ensemble.sources)

    def _probe(self, at: int) -> None:
        for source in self.ensemble.sources:
            self._frame_paths.tend(source)

    def _take_before_asking(self, at: int) -> None:
        if self._cadence.takes_before_asking:
            self._take(at)

    def _ask(self, at: int) -> None:
        if self.scene.frozen(self.show) or not self._cadence.asks(self._turns):
            return
        self._cadence.asked(self._turns)
        seen_at = max(self.show_time(self._outlook.seen(1 + self._cadence.latency)), at)
        self._captions.asked(seen_at, self.show)
        wanted = self.wplus(seen_at)
        if wanted and self._journal is not None:
            self._journal.sampled(seen_at)
        for network, ws in wanted.items():
            source = self.ensemble.source(network)
            if source is not None:
                size = self._size(source, at)
                noise = self.show.noise.at(seen_at)
                source.ask(Request(seen_at, ws, noise, size, budget(self._pacer.period)))
                # Not when the turn began: what the stage has done in it is not the engine's.
                sent = self.clock.now()
                self._orders.setdefault(network, Orders()).asked(seen_at, self._turns, sent)

    def _size(self, source: Source, at: int) -> int:
        """See `Request.size`; of two cues in a cross-fade on one network the newer one says it."""
        cues = (self.setlist.cues[reading.cue] for reading in self.show.readings(at))
        detail = next((cue.detail for cue in cues if cue.network == source.network), "auto")
        if detail == "full":
            return source.facts.resolution if source.facts is not None else 0
        return 0 if isinstance(detail, str) else detail

    def wplus(self, at: int) -> dict[Path, Floats]:
        """The final W+ at show time `at`, for each network that is on: [num_ws, w_dim]."""
        return wplus_at(self.show, at, self.programme, self._networks, self.ensemble.path)

    def _take(self, at: int) -> None:
        self._frame_paths.settle()
        due = self._network(self.show.voice.cue)
        wanted = () if self.scene.frozen(self.show) else (*self.scene.shown, due)
        for source in self.ensemble.sources:
            network = source.network
            if network not in wanted:
                source.latest()  # a frame nobody wants now would be an old one later
            elif self._due(network) and (frame := source.latest()) is not None:
                self._use(source, frame, at)

    def _due(self, network: Path) -> bool:
        orders = self._orders.get(network)
        return orders is not None and orders.due(self._turns, self._cadence.latency)

    def _use(self, source: Source, frame: Frame, at: int) -> None:
        network, header = source.network, frame.header
        answer = self._orders[network].answered(header.show_time, header.finished, self._turns)
        if answer is not None:
            self._cadence.answered(answer, at + self._began)
        picture = self.scene.picture(network)
        if not self._frame_paths.bring(source, frame, picture, self.scene.mixed_for):
            return
        self.scene.pictures[network] = picture
        # Counted once it is presented: another may still come in this turn and take its place.
        self._taken[network] = frame
        number = self.statistics.generated + len(self._taken)
        self._captions.taken(network, header.show_time, frame.ws, number)
        if network == self._network(self.show.voice.cue):
            self._fresh = header.show_time
            self.last_frame = frame
        if not self.scene.shown:
            self._begin_to_play(at)

    def _compose(self, at: int) -> None:
        self.compositor.resize(self.output.size)
        now, curtain = at + self._began, self._curtain(at)
        bare = self._records("picture")
        self.scene.compose(self.show, at, now=now, curtain=curtain, bare=bare)
        if bare and self._tape is not None:
            # Before anything is laid over it.
            self._tape.see(self.compositor.target, at, self.compositor.size)

    def _lay_over(self, at: int) -> None:
        try:
            self.scene.lay_over()
        finally:
            self.compositor.show(self.output.screen)

    def _record(self, at: int) -> None:
        if self._tape is None:
            return
        if self._records("program"):
            self._tape.see(self.compositor.target, at, self.compositor.size)
        elif self._records("output"):
            self._tape.see(self.output.screen, at, self.output.size)
        status = self._tape.status
        if status.recording and status.text != self._told_film:
            self._told_film = status.text
            self._prompter.say(f"recording to {status.text}")
        if self._desk is not None:
            self._desk.publish(
                "out/record", (int(status.recording), status.frames, status.text), at
            )

    def _tell(self, at: int) -> None:
        if self._desk is None:
            return
        sample = None if self._gauges is None else self._gauges.latest
        interval = self._outlook.interval
        for address, args in feedback(self.show, at, self.programme, interval, sample):
            self._desk.publish(address, args, at)

    def _count(self, work: int) -> None:
        now = self.presented_at = self.clock.now()
        self._outlook.presented(now)
        lateness = None if self._fresh is None else self.show_time(now) - self._fresh
        if lateness is not None:
            self._outlook.corrected(lateness)
        for frame in self._taken.values():
            self.statistics.frame_taken(frame)
        divisor = self._cadence.divisor
        self.statistics.frame_presented(now, lateness, work, divisor)
        self._prompt(now)

    def _prompt(self, now: int) -> None:
        header = self.last_frame.header if self.last_frame is not None else None
        line = self._prompter.prompt(
            Prompt(
                now,
                self.show_time(now),
                self.show,
                self.programme,
                self.statistics.presented,
                header.finished - header.started if header is not None else None,
                self._smaller(),
                self._cadence.divisor,
                None if self._tape is None else self._tape.status,
            )
        )
        if line is not None:
            self.output.operator(line)
            self._pacer.period = round(SECOND / self.output.refresh_hz)  # of another monitor now?

    # What the steps are made of

    def _perform(self, setlist: SetList) -> None:
        self.setlist = setlist
        self.programme = programme(setlist)
        self._networks = [each.network for each in setlist.cues]

    def _relist(self, reload: Reload, at: int) -> None:
        """Go on with the set list that was saved, if it is ready and its beat has come."""
        due = reload.due(self.show, at)
        if due is None:
            return
        moment, saved = due
        before = self.setlist
        self.show = relisted(self.show, before, saved.setlist, moment)
        self.ensemble.take_over()
        self._perform(saved.setlist)
        self._captions.relist(self.setlist, self.programme)
        self.scene.relist(self.setlist)
        if self._journal is not None:
            self._journal.relisted(moment, self.setlist)
            for latent, sha256 in saved.latents.items():
                self._journal.file("latent", latent, sha256)
            self._journalled_cues.clear()
        reload.tell(before, self.setlist)

    def _obey(self, message: Message, at: int, *, heard: bool = False) -> bool:
        """Whether it could be obeyed."""
        if message.address == "quit":
            self.end()
        elif message.address in OF_THE_STAGE:
            return self._direct(message, at)
        elif message.address == "help":
            self._prompter.help()
        elif message.address == "record":
            stops = self._tape is not None and self._tape.status.recording
            return self._obey(Message("record/stop" if stops else "record/start"), at)
        else:
            try:
                self.show = control.apply(self.show, message, at, self.programme)
            except ValueError as error:  # a cue that does not exist, a tempo out of range
                self._say_once(f"{message.address}: {error}")
                return False
            if self._tape is not None:
                _instruct(self._tape, message, at)
            if self._journal is not None:
                self._journal.obeyed(at, message, heard=heard)
        return True

    def _direct(self, message: Message, at: int) -> bool:
        """Whether window or set list could be as a message says; the key F says nothing: toggle."""
        output = self.output
        if message.address in ("network", "key/seed"):
            return self._want(message, at)
        if message.address == "monitor":
            try:
                output.move_to(str(message.args[0]))
            except ValueError as error:
                self._say_once(f"monitor: {error}")
                return False
        elif not message.args:
            output.toggle_fullscreen()
        elif not message.args[0]:
            output.go_windowed()
        elif not output.fullscreen:
            output.go_fullscreen()
        return True

    def _want(self, message: Message, at: int) -> bool:
        """Whether it can be tried to make the set list as a message wants it."""
        if self._wishes is None:
            self._say_once(f"{message.address}: this set list is performed as it is")
            return False
        cue, first = self.show.voice.cue, message.args[0]
        if message.address == "network":
            wish = Wish(cue, network=str(first))
        else:
            key = int(message.args[1]) - 1 if len(message.args) > 1 else self._coming_key(at)
            wish = Wish(cue, key=key, seed=int(first))
        self._wishes.wish(wish, self.setlist, at)
        return True

    def _coming_key(self, at: int) -> int:
        facts = self.programme[self.show.voice.cue]
        beat = control.position(self.show, at, self.programme) * facts.duration
        return coming_key(self.setlist.cues[self.show.voice.cue], beat)

    @property
    def network_name(self) -> str:
        """The name of the network's file that the cue is performed on."""
        return self._network(self.show.voice.cue).name

    def coming_seed(self) -> int | None:
        """The seed of the key that `key/seed` would change now; None where that is a latent."""
        at = self.show_time(self.clock.now())
        show = control.advance(self.show, at, self.programme)
        return self.setlist.cues[show.voice.cue].keys[self._coming_key(at)].seed

    def _say_once(self, text: str) -> None:
        """A desk that floods is not to push the operator's other lines away."""
        if text not in self._said and len(self._said) < MOST_SAID:
            self._said.add(text)
            log.warning("%s", text)

    def _records(self, tap: From) -> bool:
        """Whether that is what is recorded, and there is a picture."""
        return self._tape is not None and self._tape.wanted.tap == tap and bool(self.scene.shown)

    def _begin_to_play(self, at: int) -> None:
        """The first picture is there: from here the clock drives the path, and nothing stops it."""
        self.faults.starting = False
        if self._plays:
            self._obey(Message("play", (1,)), at)
        if self._seconds is not None and self._ends is None:
            self._ends = at + round(self._seconds * SECOND)

    def _keep_journal(self, journal: Journal, at: int) -> None:
        """Tell the journal of engines, paths and figures that are new, and of the end."""
        for network in self.ensemble.hashes.keys() - self._journalled:
            self._journalled.add(network)
            journal.file("network", network, self.ensemble.hashes[network])
        for cue in self.ensemble.resolved.keys() - self._journalled_cues:
            self._journalled_cues.add(cue)
            journal.keys(cue, self.ensemble.resolved[cue])
        sample = None if self._gauges is None else self._gauges.latest
        if sample is not None and sample is not self._journalled_sample and self.scene.monitored:
            self._journalled_sample = sample
            journal.gauged(at, sample)
        fades = self._ends is not None and at >= self._ends - FADE_OUT
        if fades and self._ends is not None and self._ends != self._journalled_end:
            self._journalled_end = self._ends
            journal.ends(self._ends)

    def _network(self, cue: int) -> Path:
        return self._networks[cue]

    def _smaller(self) -> int | None:
        """The side of the newest picture, where it is not the network's."""
        source = self.ensemble.source(self._network(self.show.voice.cue))
        if self.last_frame is None or source is None or source.facts is None:
            return None
        side = self.last_frame.header.width
        return side if side < source.facts.resolution else None

    def _curtain(self, at: int) -> float:
        return 1.0 if self._ends is None else eased((self._ends - at) / FADE_OUT)


def _instruct(tape: Tape, message: Message, at: int) -> None:
    """What a message means to the recorder, if anything."""
    said = str(message.args[0]) if message.args else ""
    if message.address == "record/start":
        tape.begin(said, at)
    elif message.address == "record/stop":
        tape.stop()
    elif message.address == "record/marker":
        tape.mark(said, at)
