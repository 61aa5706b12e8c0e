"""A take performed again in fake time: moment by moment, as dense as one likes. Pure.

A message takes effect at the show time at which it did, between frames as well as on one, so the
same moment is the same whatever the frame rate. What the machine of that evening made of time, an
engine that was slow or had to load again, is not repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from engine.link import Floats
from engine.path import Path as Morph
from live.addresses import Message
from live.chronicle import INTERVAL_S, Chronicle
from live.control import advance
from live.gpus import Sample
from live.keys import path_through
from live.levels import eased
from live.overlay.state import Name
from live.relist import relisted
from live.setlist import SetList, programme
from live.show import Programme, Show
from live.take import (
    Ended,
    Gauged,
    Mapped,
    Obeyed,
    Relisted,
    Resumed,
    Sampled,
    Take,
    after,
    opening,
    waiting,
)
from live.wplus import wplus_at

LONGEST_S = 86_400.0  # of a film: a day; takes may claim to be 30 years long
FADE_OUT = 500_000_000  # ns, at the end of a show; Ctrl-C has two seconds for everything


@dataclass(frozen=True, slots=True, eq=False)
class Chapter:
    """What of a take is performed from one set list."""

    setlist: SetList
    programme: Programme
    networks: Sequence[Path]  # of its cues
    paths: Mapping[int, Morph]  # of its cues, all that were ever known


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One frame of the film."""

    number: int  # from 0
    at: int  # show time, ns
    show: Show  # advanced to `at`
    chapter: Chapter
    heard: tuple[Obeyed, ...]  # from the desk, since the moment before
    networks: frozenset[Path]  # that are asked for a picture; none while the picture is frozen
    curtain: float  # 0 to 1, multiplies the brightness
    sample: Sample | None  # that the GPU monitor shows


class Rerun:
    """The performance that a take holds, at `rate` frames a second.

    Frame 0 is the moment of the first picture. Moments come in order, by iterating; `wplus` is for
    the newest one. `overlay` is over the picture whatever the show says; None leaves it to the
    show.
    """

    def __init__(self, take: Take, rate: Fraction, overlay: Name | None = None) -> None:
        self._take = take
        self._rate = rate
        self.chapters = _chapters(take)
        self._overlay = None if overlay is None else take.setlist.overlay.opening(overlay)
        self.began = _first_picture(take)

    @property
    def frames(self) -> int:
        """How many frames the whole performance has, at least one.

        Its times are rounded to ns: a frame that would only show the last microsecond is none.
        """
        last, ends = self.began, None
        for event in self._take.events:
            if isinstance(event, Ended):
                ends = event.at
            elif not isinstance(event, Mapped):
                last = max(last, event.at)
                ends = None if isinstance(event, Resumed) else ends
        whole = ((last if ends is None else ends) - self.began) * self._rate / 1_000_000_000
        return max(1, math.ceil(whole - self._rate / 1_000_000))

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.frames / self._rate)

    def time_of(self, number: int) -> int:
        """The show time of a frame, in ns."""
        return self.began + round(number * 1_000_000_000 / self._rate)

    def wplus(self, moment: Moment) -> dict[Path, Floats]:
        """The final W+ of a moment, for each network that it asks for: [num_ws, w_dim]."""
        if not moment.networks:
            return {}
        chapter = moment.chapter
        return wplus_at(
            moment.show, moment.at, chapter.programme, chapter.networks, chapter.paths.get
        )

    def __iter__(self) -> Iterator[Moment]:
        """Every moment from the first picture on, without end."""
        events = [e for e in self._take.events if not isinstance(e, Mapped | Sampled)]
        show, ends, sample = opening(self._take.setlist, self._take.cue), None, None
        there = False  # whether there is a picture
        chapters = iter(self.chapters)
        chapter = next(chapters)
        chronicle = Chronicle(INTERVAL_S)
        done = number = 0
        while True:
            at, heard = self.time_of(number), []
            while done < len(events) and _time_of(events[done]) <= at:
                event = events[done]
                done += 1
                if isinstance(event, Obeyed):
                    show = after(show, event, chapter.programme)
                    if event.heard:
                        heard.append(event)
                elif isinstance(event, Resumed):
                    show, ends = waiting(show, event.at, chapter.programme), None
                elif isinstance(event, Relisted):
                    show = relisted(show, chapter.setlist, event.setlist, event.at)
                    chapter = next(chapters)
                elif isinstance(event, Gauged):
                    histories = chronicle.add(event.at, event.sample.host, event.sample.cards)
                    sample = replace(event.sample, histories=histories)
                elif isinstance(event, Ended):
                    ends = event.at
            show = advance(show, at, chapter.programme)
            if self._overlay is not None:
                show = replace(show, overlay=self._overlay)
            networks = frozenset[Path]() if show.still and there else _on(show, at, chapter)
            there = there or bool(networks)
            curtain = 1.0 if ends is None else eased((ends - at) / FADE_OUT)
            yield Moment(number, at, show, chapter, tuple(heard), networks, curtain, sample)
            number += 1


def _on(show: Show, at: int, chapter: Chapter) -> frozenset[Path]:
    readings = show.readings(at)
    return frozenset(chapter.networks[r.cue] for r in readings if r.cue in chapter.paths)


def _chapters(take: Take) -> tuple[Chapter, ...]:
    """With all paths that were ever known: what came too late that evening is in time now."""
    setlists, paths = take.setlists, list[dict[int, Morph]]([{}])
    for event in take.events:
        if isinstance(event, Relisted):
            paths.append({})
        elif isinstance(event, Mapped):
            cue = setlists[len(paths) - 1].cues[event.cue]
            paths[-1][event.cue] = path_through(cue, event.resolved)
    return tuple(
        Chapter(setlist, programme(setlist), [cue.network for cue in setlist.cues], known)
        for setlist, known in zip(setlists, paths, strict=True)
    )


def _first_picture(take: Take) -> int:
    """Some frames after its W+ was asked for; with it a show begins to play, unless it waits."""
    asked = next((n for n, e in enumerate(take.events) if isinstance(e, Sampled)), 0)
    plays = Message("play", (1,))
    for event in take.events[asked:]:
        if isinstance(event, Obeyed) and event.message == plays:
            return event.at
    return max((e.at for e in take.events[asked : asked + 1] if isinstance(e, Sampled)), default=0)


def _time_of(event: object) -> int:
    """When an event takes effect; what has no time, at once. The end shows while it comes near."""
    at = getattr(event, "at", 0)
    return at - FADE_OUT if isinstance(event, Ended) else at
