"""A film of a take: performed again frame by frame, through the scene of the stage.

Time is the film's: every frame waits for its pictures, the engines work in lock step with it, and
nothing is ever dropped. While one frame is composed and encoded, the engines make the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import UserError
from engine.link import Floats, NetworkFacts
from engine.path import Path as Morph
from live.captions import Captions, identity
from live.gpus import Sample
from live.offscreen import Offscreen
from live.overlay.overlay import Overlay
from live.overlay.state import Name, arranged
from live.rerun import Moment, Rerun
from live.scene import FADE_IN, Scene
from live.setlist import programme
from live.source import WORKER, Frame, Request, Source, Supervised
from live.take import Take
from live.tap import Taken, Tap

STEADY = (*WORKER, "--steady")
"""An engine that makes the same picture of the same W+ whatever it made before."""

POLL_S = 0.0005
LIVES = 5  # engines that may die over one frame

Start = Callable[[Path], Source]


@dataclass(slots=True)
class Recalled:
    """What the overlay's GPU monitor reads: the figures of that evening."""

    latest: Sample | None = None


class Offline:
    """Makes frames of a take, of `size` pixels at `rate` frames a second. Close it in the end.

    `start` begins an engine for a network. `holding` is a picture, uint8 [height, width, 4], from
    which the first one fades in; without `fades` the film begins with the first picture at once.
    `overlay` is over the picture all the time, whatever the show says; None leaves it to the show.
    Raises UserError where nothing can be drawn.
    """

    def __init__(
        self,
        take: Take,
        size: tuple[int, int],
        rate: Fraction,
        start: Start,
        *,
        holding: np.ndarray | None = None,
        fades: bool = True,
        overlay: Name | None = None,
    ) -> None:
        self.rerun = Rerun(take, rate, overlay)
        self._chapter = self.rerun.chapters[0]  # that is on screen
        self._engines = Engines(start)
        self._gauges = Recalled()
        self._closing = ExitStack()
        self._closing.callback(self._engines.close)
        output = Offscreen(size)
        self._closing.callback(output.close)
        self._ctx = output.ctx
        setlist = take.setlist
        opened = take.began.replace(tzinfo=None)  # as the clocks of that place showed it
        who = identity(setlist, take.cue)
        over = Overlay(output.ctx, setlist.overlay, who, self._gauges, opened)
        self._closing.callback(over.release)
        over.wait(size)
        self._captions = Captions(setlist, programme(setlist), self)
        self._scene = Scene(
            output.ctx,
            size,
            setlist,
            self._captions,
            overlay=over,
            holding=holding,
            cue=take.cue,
            at=self.rerun.began,
            fade_in=FADE_IN if fades else 0,
        )
        self._moments = iter(self.rerun)
        self.next = 0  # frame that has not been passed yet
        self._there: dict[Path, tuple[Moment, Floats]] = {}  # networks with a picture, and its W+

    def close(self) -> None:
        """End the engines and free the GPU."""
        self._closing.close()

    def facts_of(self, network: Path) -> NetworkFacts | None:
        """See `live.captions.Known`."""
        return self._engines.facts_of(network)

    def path(self, cue: int) -> Morph | None:
        """See `live.captions.Known`."""
        return self._chapter.paths.get(cue)

    def frames(self, span: range) -> Iterator[Taken]:
        """The frames of a span, in order; `show_time_ns` is their show time.

        Spans may be asked for in any order that goes forward. The pixels are valid until the next.
        Raises UserError for a network that cannot be performed.
        """
        if span.start < self.next:
            raise ValueError(f"frame {span.start} lies behind {self.next}")
        if span.start > self.next:
            for _ in range(span.start - self.next):
                self._skim(next(self._moments))
            self._catch_up()
        self.next = span.stop
        tap = Tap(self._ctx, self._scene.compositor.size)
        try:
            ahead = self._begin(next(self._moments))
            for number in span:
                moment, wanted = ahead
                self._take_in(moment, wanted)
                if number + 1 < span.stop:
                    ahead = self._begin(next(self._moments))
                self._compose(moment)
                yield from tap.take(self._scene.compositor.target, moment.at)
            yield from tap.drain()
        finally:
            tap.release()

    def _skim(self, moment: Moment) -> None:
        """Pass over a frame of another span; all that later frames depend on is done."""
        self._tell(moment)
        prints = any(w.pane == "terminal" for w in arranged(moment.show.overlay, moment.at).windows)
        for network, ws in self.rerun.wplus(moment).items():
            self._there[network] = (moment, ws)
            self._captions.taken(network, moment.at, ws, moment.number + 1)
        for network in self._there if prints else ():
            self._engines.ready(network)  # a caption says what the network is
        show, at = moment.show, moment.at
        self._scene.skim(show, at, self._there, now=at, curtain=moment.curtain)

    def _catch_up(self) -> None:
        """Have the pictures that the last frame passed over would have left."""
        for network, (moment, ws) in self._there.items():
            self._engines.ask(network, _request(moment, ws))
            self._show(network, self._engines.frame(network, moment.at))

    def _begin(self, moment: Moment) -> tuple[Moment, dict[Path, Floats]]:
        wanted = self.rerun.wplus(moment)
        for network, ws in wanted.items():
            self._engines.ask(network, _request(moment, ws))
        return moment, wanted

    def _take_in(self, moment: Moment, wanted: dict[Path, Floats]) -> None:
        self._tell(moment)
        for network, ws in wanted.items():
            self._show(network, self._engines.frame(network, moment.at))
            self._there[network] = (moment, ws)
            self._captions.taken(network, moment.at, ws, moment.number + 1)

    def _tell(self, moment: Moment) -> None:
        """What the scene needs to know of a moment before it is composed."""
        if moment.chapter is not self._chapter:
            self._chapter = moment.chapter
            self._captions.relist(moment.chapter.setlist, moment.chapter.programme)
            self._scene.relist(moment.chapter.setlist)
        self._captions.asked(moment.at, moment.show)
        for event in moment.heard:
            self._scene.hear(event.message, event.at)
        self._scene.tend(moment.show, moment.at)
        due = moment.chapter.networks[moment.show.voice.cue]
        for network in self._there.keys() - {due, *self._scene.shown}:
            del self._there[network]
            self._captions.forget(network)
        self._engines.keep({due, *self._scene.shown, *moment.networks})
        self._gauges.latest = moment.sample

    def _show(self, network: Path, frame: Frame) -> None:
        picture = self._scene.picture(network)
        header = frame.header
        picture.upload(frame.pixels, header.width, header.height, self._scene.mixed_for)
        self._scene.pictures[network] = picture

    def _compose(self, moment: Moment) -> None:
        # The figures are always those of the moment: there is no driver that might hang.
        now = moment.at if moment.sample is None else moment.sample.taken_ns
        self._scene.compose(moment.show, moment.at, now=now, curtain=moment.curtain)
        self._scene.lay_over()


class Engines:
    """Engines in lock step: each answers the request that it was given, however long it takes."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._sources: dict[Path, Source] = {}
        self._asked: dict[Path, Request] = {}

    def ask(self, network: Path, request: Request) -> None:
        """Begin to make a picture."""
        self._asked[network] = request
        self._source(network).ask(request)

    def frame(self, network: Path, at: int) -> Frame:
        """Wait for the picture that was asked for; valid until the next one of this network.

        Raises UserError if the network cannot be performed, or engines keep dying over it.
        """
        source = self._source(network)
        died = source.restarts
        while True:
            frame = source.latest()
            if frame is not None and frame.header.show_time == at:
                return frame
            lives = source.restarts
            self._tend(source)
            if source.restarts > lives:  # another engine, which knows of nothing
                source.ask(self._asked[network])
            if source.restarts - died > LIVES:
                raise UserError(
                    f"{network}: {LIVES} engines ended over one frame; try --device cpu"
                )
            time.sleep(POLL_S)

    def ready(self, network: Path) -> None:
        """Wait until the network is known."""
        source = self._source(network)
        while source.facts is None:
            self._tend(source)
            time.sleep(POLL_S)

    def facts_of(self, network: Path) -> NetworkFacts | None:
        """What is known of a network that has an engine."""
        source = self._sources.get(network)
        return None if source is None else source.facts

    def keep(self, networks: Iterable[Path]) -> None:
        """End the engines of all other networks."""
        for network in self._sources.keys() - set(networks):
            self._sources.pop(network).close()

    def close(self) -> None:
        """End them all."""
        for source in self._sources.values():
            source.close()
        for source in self._sources.values():
            source.join(1.0)

    def _source(self, network: Path) -> Source:
        if network not in self._sources:
            self._sources[network] = self._start(network)
        return self._sources[network]

    def _tend(self, source: Source) -> None:
        source.tend(time.perf_counter_ns())
        if source.refusal is not None:
            raise UserError(source.refusal)


def steady(device: str) -> Start:
    """Begins engines on a device, for `Offline`."""

    def start(network: Path) -> Source:
        return Supervised(device, network, (), time.perf_counter_ns(), STEADY)

    return start


def _request(moment: Moment, ws: Floats) -> Request:
    """The network's full picture, in whatever time that takes."""
    return Request(moment.at, ws, moment.show.noise.at(moment.at))
