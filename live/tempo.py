"""Whose tempo it is: the set list's, the performer's taps, or the clock of a desk.

Pure, as the transport that they lead. There is one source at a time, the highest that speaks:

    osc       a desk's beats and phases; it leads while they come. Four missed, and its tempo is
              held over until a person or the set list says another
    tap       what was tapped; while somebody taps, the tempo of a cue that begins waits
    internal  the set list's tempo, `tempo/bpm` and the like

`tempo/source` lets one of them lead alone, or again the highest ("auto"). A tempo that is said
while another source leads waits, and comes with `tempo/source internal`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from live.lock import KNOWN, SAME, Correction, Lock, in_phase, on_beat, on_downbeat
from live.transport import BEATS_A_BAR, TAP_SILENCE_NS, Transport

Source: TypeAlias = Literal["internal", "tap", "osc"]
SOURCES: tuple[str, ...] = ("auto", "internal", "tap", "osc")

TOLD = 0.01  # a tempo that comes with a beat counts if it is so far off: else the loop knows better


@dataclass(frozen=True, slots=True)
class Tempo:
    """Who leads."""

    source: Source = "internal"  # whose the tempo is
    alone: Source | None = None  # who is listened to; None: whoever ranks highest
    waiting: float | None = None  # BPM that was said while another source led
    lock: Lock = field(default_factory=Lock)  # on a desk's clock
    ahead: float = 0.0  # of that clock, in the transport's beats: what was nudged since it leads

    def follows_clock(self, bpm: float, at: int) -> bool:
        """Whether a desk's clock leads at show time `at` (ns), and no other tempo counts."""
        return self.source == "osc" and (self.alone == "osc" or not self.lock.lost(bpm, at))

    def name(self, bpm: float, at: int) -> str:
        """The source and how it stands, and the tempo that waits, in words for the operator."""
        if self.source != "osc":
            said = "tapped" if self.source == "tap" else "internal"
        elif self.lock.lost(bpm, at):
            said = "OSC clock lost, held"
        else:
            said = "OSC clock" if self.lock.locked else "OSC clock, locking"
        said += "" if self.alone is None else " alone"
        return said if self.waiting is None else f"{said} ({self.waiting:g} waits)"


Led: TypeAlias = tuple[Tempo, Transport]
"""Who leads, and the beat they lead."""


def said(led: Led, bpm: float, at: int) -> Led:
    """A person says a tempo; it waits while a clock leads, or another source alone."""
    tempo, transport = led
    if tempo.alone in ("tap", "osc") or tempo.follows_clock(transport.bpm, at):
        return replace(tempo, waiting=bpm), transport
    tempo = replace(tempo, source="internal", waiting=None, lock=Lock(), ahead=0.0)
    return tempo, transport.with_bpm(bpm, at)


def listed(led: Led, bpm: float, at: int) -> Led:
    """The set list says a tempo, with a cue; it waits for who taps just now, too."""
    tempo, transport = led
    tapping = transport.taps and at - transport.taps[-1] <= TAP_SILENCE_NS
    if tempo.source == "tap" and tapping:
        return replace(tempo, waiting=bpm), transport
    return said(led, bpm, at)


def multiplied(led: Led, factor: float, at: int) -> Led:
    """Double or half; ValueError where the transport refuses it or a clock leads."""
    tempo, transport = led
    if tempo.follows_clock(transport.bpm, at):
        raise ValueError(_CLOCK_LEADS)
    return tempo, transport.multiplied(factor, at)


def tapped(led: Led, at: int, age: int = 0) -> Led:
    """One tap, `age` ns before `at`; ValueError while a clock leads, or another source alone."""
    tempo, transport = led
    if tempo.follows_clock(transport.bpm, at):
        raise ValueError(_CLOCK_LEADS)
    if tempo.alone in ("internal", "osc"):
        raise ValueError(f"tempo/source is {tempo.alone}: nobody else leads")
    transport = transport.tapped(at, age)
    if len(transport.taps) > 1:  # one is no tempo
        tempo = replace(tempo, source="tap", waiting=None, lock=Lock(), ahead=0.0)
    return tempo, transport


def nudged(led: Led, beats: float, at: int) -> Led:
    """Ahead or back; of a clock that leads, to stay so."""
    tempo, transport = led
    if tempo.source == "osc":
        tempo = replace(tempo, ahead=tempo.ahead + beats)
    return tempo, transport.nudged(beats, at)


def released(led: Led, at: int) -> Tempo:
    """The beat was stopped, begun or turned: the clock's phase is to be found again."""
    tempo = led[0]
    return replace(tempo, lock=tempo.lock.released(at)) if tempo.source == "osc" else tempo


def chosen(led: Led, name: str, at: int) -> Led:
    """One source leads alone, or with "auto" again the highest that speaks."""
    tempo, transport = led
    if name == "auto":
        return replace(tempo, alone=None), transport
    source: Source = "internal" if name == "internal" else "tap" if name == "tap" else "osc"
    tempo = replace(tempo, source=source, alone=source, ahead=0.0)
    if source == "osc":
        return tempo, transport
    tempo = replace(tempo, lock=Lock())
    if source == "internal" and tempo.waiting is not None:
        transport = transport.with_bpm(tempo.waiting, at)
        tempo = replace(tempo, waiting=None)
    return tempo, transport


def beat(led: Led, bpm: float | None, at: int, age: int = 0) -> Led:
    """A desk's beat was `age` ns before `at`, and its tempo perhaps."""
    return _heard(led if bpm is None else _told(led, bpm, at), on_beat, 0.0, at, age)


def phase(led: Led, part: float, at: int, age: int = 0) -> Led:
    """A desk's beat was so far on then, 0 to 1."""
    return _heard(led, in_phase, part, at, age)


def downbeat(led: Led, at: int, age: int = 0) -> Led:
    """A desk's beat was then, and a bar of four began with it."""
    tempo, transport = _heard(led, on_downbeat, 0.0, at, age)
    believed = (at - age - tempo.lock.ns) * transport.bpm < SAME * 60e9
    if tempo.source != "osc" or not _runs(transport) or not believed:
        return tempo, transport
    here = transport.anchored(at)
    place = _place(tempo, led[1].anchored(at), age)
    beats = math.floor(place / BEATS_A_BAR + 0.5) * BEATS_A_BAR - math.floor(place + 0.5)
    return tempo, here.pulled(beats * here.speed, at)


_CLOCK_LEADS = "a desk's clock leads (OSC); tempo/source internal takes the tempo from it"


_Listen: TypeAlias = Callable[[Lock, float, float, int], tuple[Lock, Correction | None]]


def _heard(led: Led, listen: _Listen, part: float, at: int, age: int) -> Led:
    tempo, transport = led
    if tempo.alone in ("internal", "tap"):
        return led
    lock, then = tempo.lock, at - age
    if tempo.source != "osc" or lock.lost(transport.bpm, then):
        lock = lock.released(then)
    tempo = replace(tempo, source="osc", lock=lock)
    if not _runs(transport):
        return replace(tempo, lock=lock.released(then)), transport  # it leads, once that runs
    here = transport.anchored(at)
    beats = (then - lock.ns) * here.bpm / 60e9
    lock, correction = listen(lock, _place(tempo, here, age) - part, beats, then)
    tempo = replace(tempo, lock=lock)
    if correction is None:
        return tempo, transport
    stretched = here.with_bpm(here.bpm * correction.stretch, at)
    return tempo, stretched.pulled(correction.beats * here.speed, at)


def _told(led: Led, bpm: float, at: int) -> Led:
    """The clock tells its tempo. Where the loop has found it, it has found it more exactly."""
    tempo, transport = led
    if tempo.alone in ("internal", "tap"):
        return led
    near = abs(bpm - transport.bpm) <= TOLD * transport.bpm
    if tempo.source == "osc" and tempo.lock.locked and near:
        return led
    lock = tempo.lock if tempo.source == "osc" else Lock()
    lock = replace(lock, heard=min(lock.heard, KNOWN), known=True)
    return replace(tempo, source="osc", lock=lock), transport.with_bpm(bpm, at)


def _place(tempo: Tempo, here: Transport, age: int) -> float:
    """Where the beat was `age` ns before its anchor, in the clock's beats, as if nothing eased."""
    settled = (here.anchor_beat + here.shift - tempo.ahead) / here.speed
    return settled - age * here.bpm / 60e9


def _runs(transport: Transport) -> bool:
    return transport.playing and transport.speed != 0.0
