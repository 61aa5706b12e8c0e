"""The stage. One turn of its loop is the journey of a frame; read `Stage.turn` first.

Nothing here waits for an engine, a desk or a disk. Time comes from the clock once a turn and is
handed on. `live.performance` opens the parts, and tests put fakes in their place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import moderngl
import numpy as np

from engine.errors import UserError
from engine.link import Floats
from live import control
from live.cadence import Cadence, Orders, budget
from live.captions import Captions, identity
from live.clock import Clock, Outlook, Pacer
from live.compositor import Compositor, Layer, Look
from live.control import Message
from live.cuda import Cuda, Gpu
from live.ensemble import Ensemble
from live.faults import Faults
from live.interop import FramePaths
from live.keyboard import Keyboard
from live.keys import Resolved
from live.mixer import Mix, Mixer
from live.overlay.overlay import Overlay, View
from live.overlay.state import arranged
from live.prompter import Prompt, Prompter
from live.setlist import SetList, programme
from live.show import Programme, Show, eased
from live.source import Frame, Request, Source
from live.statistics import Statistics
from live.succession import Succession
from live.take import State, opening
from live.texture import Picture
from live.wplus import wplus_at

log = logging.getLogger(__name__)

SECOND = 1_000_000_000
FADE_IN = 1 * SECOND  # from black, or the holding picture, to the first frame
FADE_OUT = SECOND // 2  # at the end; Ctrl-C has two seconds for everything
VSYNC_SLACK = 0.25  # see Pacer


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

    def toggle_fullscreen(self) -> None:
        """Full screen and back."""


class Desk(Protocol):
    """Where messages come from besides the keys: `live.osc.OscServer`."""

    def messages(self, show: Show, at: int, programme: Programme) -> Sequence[Message]:
        """What has arrived; questions are answered on the way."""


class Tape(Protocol):
    """What keeps the program picture: `live.tape.Tape`."""

    def see(self, target: moderngl.Framebuffer, at: int) -> None:
        """The program picture of show time `at`; must not wait."""


class Journal(Protocol):
    """What keeps the performance itself: `live.take_writer.TakeWriter`."""

    def file(self, kind: str, path: Path, sha256: str) -> None:
        """A file takes part."""

    def keys(self, cue: int, resolved: Resolved) -> None:
        """The keys of a cue are known."""

    def obeyed(self, at: int, message: Message) -> None:
        """A message took effect."""

    def sampled(self, at: int) -> None:
        """W+ is asked for."""


class Pulse(Protocol):
    """What tells a watcher that the loop turns: `live.pulse.Pulse`."""

    def beat(self, now: int) -> None:
        """It turned; clock in ns."""


class Stage:
    """A performance: a set list on its engines, before an audience.

    `seconds` ends the show that long after its first generated frame; None plays on until somebody
    ends it. `holding` is a picture, uint8 [height, width, 4], shown until the first frame.
    `resumed` is where a take has ended, to go on from instead of a cue's beginning.
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
        journal: Journal | None = None,
        pulse: Pulse | None = None,
        resumed: State | None = None,
        holding: np.ndarray | None = None,
        gpu: Gpu | None = None,
        cue: int = 0,
        seconds: float | None = None,
    ) -> None:
        self.setlist = setlist
        self.ensemble = ensemble
        self.output = output
        self.clock = clock
        self.statistics = statistics
        self.faults = Faults()
        self.programme = programme(setlist)
        self._networks = [each.network for each in setlist.cues]
        # Either waits until there is a picture.
        first = resumed or State(opening(setlist, cue), 0, plays=True)
        self.show, self._plays = first.show, first.plays
        self.compositor = Compositor(output.ctx, output.size)
        self._prompter = prompter
        self._desk = desk
        self._tape = tape
        self._overlay = overlay
        self._journal = journal
        self._pulse = pulse
        self._journalled: set[Path] = set()  # networks...
        self._journalled_cues: set[int] = set()
        self._told_cue = self.show.voice.cue  # that the overlay knows of
        self._captions = Captions(setlist, self.programme, ensemble)
        self._view: View | None = None  # what the overlay is to show in this turn...
        self._plain: tuple[list[Layer], Look] = ([], Look())  # ...and the picture without it
        self._told: set[Path] = set()  # refused networks that the operator knows of
        self._keyboard = Keyboard()
        self._mixer = Mixer()
        self._pictures: dict[Path, Succession] = {}
        self._frame_paths = FramePaths(output.ctx, gpu or Cuda(), clock.now)
        self._holding = _picture(output.ctx, holding)
        self._pacer = Pacer(clock, output.refresh_hz, VSYNC_SLACK if output.vsync else 0.0)
        self._began = clock.now() - first.at
        self._outlook = Outlook(self._began, self._pacer.period)
        self._cadence = Cadence(self._pacer.period)
        self._orders: dict[Path, Orders] = {}
        self._turns = 0  # so far, this one included
        self._seconds = seconds
        self._ends: int | None = None  # show time
        self._mixed_for = 0  # ns of show time that cross-fades have run
        self._composed_at = first.at
        self._fresh: int | None = None  # show time of the picture taken in this turn
        self.last_frame: Frame | None = None  # what the newest picture was made of
        self.presented_at = self._began  # clock

    def run(self) -> None:
        """Perform until the end. Raises UserError if the first network cannot be performed."""
        while not self.over:
            self.turn()

    def turn(self) -> None:
        """One frame, from what was played to what is seen.

        The wait for the frame's time lies between asking and taking: the engine works meanwhile,
        and what it makes of a message is on screen a frame earlier than if the turn ended with it.
        """
        self._turns += 1
        self._fresh = None
        self._steps(
            self._hear,  # keys and desk become messages, and messages the show's new state
            self._tend,  # engines that died are replaced, the next cue's engine is warmed up
            self._take_before_asking,  # from an engine that needs all of the time up to here
            self._ask,  # the W+ of the moment at which a picture will be seen goes to the engine
        )
        waited = self._pacer.wait()
        self._cadence.turned(self._outlook.interval, waited)
        self._steps(
            self._hear,  # master and blackout act on this very frame
            self._take,  # what an engine has finished becomes a texture
            self._compose,  # pictures, cross-fade, fit and master become the program picture
            self._lay_over,  # terminal, GPU monitor or the whole desktop over it
            self._record,  # the recorder is shown the program picture
        )
        work = self.clock.now() - self.presented_at - waited
        with self.faults:
            self.output.present()
        with self.faults:
            self._count(work)
        if self._pulse is not None:
            self._pulse.beat(self.clock.now())

    def _steps(self, *steps: Callable[[int], None]) -> None:
        """Take steps at the show time that it is now, whatever goes wrong in one of them."""
        at = self.show_time(self.clock.now())
        for step in steps:
            with self.faults:
                step(at)

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
        for key in self.output.poll():
            message = self._keyboard.read(key, self.show, at)
            if message is not None:
                self._obey(message, at)
        if self._desk is not None:
            for message in self._desk.messages(self.show, at, self.programme):
                obeyed = self._obey(message, at)
                if obeyed and self._overlay is not None:  # nothing else that strangers write
                    address = f"{self.setlist.osc.prefix.rstrip('/')}/{message.address}"
                    self._overlay.hear(at, address, message.args)
        self.show = control.advance(self.show, at, self.programme)
        if self.output.closing:
            self.end()

    def _tend(self, at: int) -> None:
        now = at + self._began
        due = self._network(self.show.voice.cue)
        if self._overlay is not None and self.show.voice.cue != self._told_cue:
            self._told_cue = self.show.voice.cue
            self._overlay.play(identity(self.setlist, self._told_cue), at)
        following = control.upcoming(self.show, self.programme)
        next_up = due if following is None else self._network(following)
        self.ensemble.tend(due, self._mixer.shown, next_up, now)
        for network in self.ensemble.refused.keys() - self._told:
            self._told.add(network)
            why = self.ensemble.refused[network]
            if network == due and not self._mixer.shown:
                raise UserError(why)
            log.error("%s", why)
        for network in self._pictures.keys() - {due, *self._mixer.shown}:
            self._pictures.pop(network).release()
        for network in self._orders.keys() - {due, *self._mixer.shown}:
            del self._orders[network]
            self._captions.forget(network)
        for source in self.ensemble.sources:
            self._frame_paths.tend(source)
        if self._journal is not None:
            self._keep_journal(self._journal)
        self.statistics.sample_memory(now, self.ensemble.sources)

    def _take_before_asking(self, at: int) -> None:
        if self._cadence.takes_before_asking:
            self._take(at)

    def _ask(self, at: int) -> None:
        if self._frozen or not self._cadence.asks(self._turns):
            return
        self._cadence.asked(self._turns)
        now = at + self._began
        seen_at = max(self.show_time(self._outlook.seen(1 + self._cadence.latency)), at)
        self._captions.asked(seen_at, self.show)
        wanted = self.wplus(seen_at)
        if wanted and self._journal is not None:
            self._journal.sampled(seen_at)
        for network, ws in wanted.items():
            source = self.ensemble.source(network)
            if source is not None:
                size = self._size(source, at)
                source.ask(Request(seen_at, ws, self.show.noise, size, budget(self._pacer.period)))
                self._orders.setdefault(network, Orders()).asked(seen_at, self._turns, now)

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
        wanted = () if self._frozen else (*self._mixer.shown, due)
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
        picture = self._pictures.get(network) or Succession(self.output.ctx)
        if not self._frame_paths.bring(source, frame, picture, self._mixed_for):
            return
        self._pictures[network] = picture
        self.statistics.frame_taken(frame)
        self._captions.taken(network, frame, self.statistics.generated)
        if network == self._network(self.show.voice.cue):
            self._fresh = header.show_time
            self.last_frame = frame
        if not self._mixer.shown:
            self._begin_to_play(at)

    def _compose(self, at: int) -> None:
        self._view = None  # what goes wrong here leaves the last picture as it was, overlay and all
        self.compositor.resize(self.output.size)
        if not self._frozen:  # a frozen cross-fade goes on from where it stands
            self._mixed_for += at - self._composed_at
        self._composed_at = at
        due = self.programme[self.show.voice.cue]
        fade = round(due.fade * 60 * SECOND / self.show.transport.bpm)
        if not self._mixer.shown:
            fade = FADE_IN
        network = self._network(self.show.voice.cue)
        mix = self._mixer.follow(network, self._pictures, fade, self._mixed_for)
        look = Look(
            fit=self.setlist.show.fit,
            master=self.show.level(at) * self._curtain(at),
        )
        layers = self._layers(mix.first, 1.0 - mix.amount) + self._layers(mix.second, mix.amount)
        self._plain = (layers, look)
        view = self._seen_over(mix, layers, look, at)
        covered = self._overlay is not None and self._overlay.covers(view)
        self.compositor.compose(self._holding_alone(mix) if covered else layers, look)
        self._view = view
        if self._holding is not None and len(self._mixer.shown) == 1 and mix.first is not None:
            self._holding.release()  # it has had its time
            self._holding = None

    def _lay_over(self, at: int) -> None:
        try:
            if self._overlay is not None and self._view is not None:
                self._overlay.draw(self.compositor, self._view)
        except Exception:
            self.compositor.compose(*self._plain)  # the show goes on without what is over it
            raise
        finally:
            self.compositor.show(self.output.screen)

    def _record(self, at: int) -> None:
        if self._tape is not None and self._mixer.shown:
            self._tape.see(self.compositor.target, at)

    def _count(self, work: int) -> None:
        now = self.presented_at = self.clock.now()
        self._outlook.presented(now)
        lateness = None if self._fresh is None else self.show_time(now) - self._fresh
        if lateness is not None:
            self._outlook.corrected(lateness)
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
            )
        )
        if line is not None:
            self.output.operator(line)
            self._pacer.period = round(SECOND / self.output.refresh_hz)  # of another monitor now?

    # What the steps are made of

    def _obey(self, message: Message, at: int) -> bool:
        """Whether it could be obeyed."""
        if message.address == "quit":
            self.end()
        elif message.address == "fullscreen":
            self.output.toggle_fullscreen()
        elif message.address == "help":
            self._prompter.help()
        else:
            try:
                self.show = control.apply(self.show, message, at, self.programme)
            except ValueError as error:  # a cue that does not exist, a tempo out of range
                log.warning("%s: %s", message.address, error)
                return False
            if self._journal is not None:
                self._journal.obeyed(at, message)
        return True

    def _begin_to_play(self, at: int) -> None:
        """The first picture is there: from here the clock drives the path, and nothing stops it."""
        self.faults.starting = False
        if self._plays:
            self._obey(Message("play", (1,)), at)
        if self._seconds is not None and self._ends is None:
            self._ends = at + round(self._seconds * SECOND)

    @property
    def _frozen(self) -> bool:
        """Whether the picture is to stay; there has to be one first."""
        return self.show.frozen and bool(self._mixer.shown)

    def _keep_journal(self, journal: Journal) -> None:
        """Tell the journal of engines and paths that are new."""
        for source in self.ensemble.sources:
            if source.facts is not None and source.network not in self._journalled:
                self._journalled.add(source.network)
                journal.file("network", source.network, source.facts.sha256)
        for cue in self.ensemble.resolved.keys() - self._journalled_cues:
            self._journalled_cues.add(cue)
            journal.keys(cue, self.ensemble.resolved[cue])

    def _network(self, cue: int) -> Path:
        return self._networks[cue]

    def _layers(self, network: Path | None, share: float) -> list[Layer]:
        if network is not None:
            picture = self._pictures.get(network)
            return [] if picture is None else picture.layers(self._mixed_for, share)
        return [] if self._holding is None else [Layer(self._holding, share)]

    def _holding_alone(self, mix: Mix) -> list[Layer]:
        """What lies behind an overlay that covers the show's pictures and may still fade in."""
        return self._layers(None, 1.0 - mix.amount) if mix.first is None else []

    def _seen_over(self, mix: Mix, layers: list[Layer], look: Look, at: int) -> View:
        """What the overlay shows; before the first picture nothing, and with that it fades in."""
        pictures, reveal = layers, 1.0
        if mix.first is None:  # there is nothing yet, or the holding picture, which has no window
            pictures = [] if mix.second is None else self._layers(mix.second, 1.0)
            reveal = mix.amount
        return View(
            at=at,
            now=at + self._began,
            arrangement=arranged(self.show.overlay, at),
            level=look.master,
            reveal=reveal,
            pictures=pictures,
            caption=partial(self._captions.newest, mix.second if mix.amount > 0.5 else mix.first),
        )

    def _smaller(self) -> int | None:
        """The side of the newest picture, where it is not the network's."""
        source = self.ensemble.source(self._network(self.show.voice.cue))
        if self.last_frame is None or source is None or source.facts is None:
            return None
        side = self.last_frame.header.width
        return side if side < source.facts.resolution else None

    def _curtain(self, at: int) -> float:
        return 1.0 if self._ends is None else eased((self._ends - at) / FADE_OUT)


def _picture(ctx: moderngl.Context, pixels: np.ndarray | None) -> Picture | None:
    if pixels is None:
        return None
    picture = Picture(ctx)
    picture.upload(pixels, pixels.shape[1], pixels.shape[0])
    return picture
