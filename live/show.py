"""The whole state of a performance, and what it is at a moment.

Pure and immutable: `live.control` changes it by messages, `advance` by what happens on its own
(the next cue, the spring, the end of a fade). Both are told the show time in ns. What happens on
its own has an exact nanosecond that follows from the state alone, so the result does not depend on
how often anybody looks.

The transport's beat never jumps. A cue being played, a `Voice`, knows at which beat of the
transport its own beat 0 lies; going to a cue, scrubbing and holding move that origin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from engine.path import Ending
from live.glide import Drive, Glide
from live.levels import Panic, eased
from live.overlay.state import Name, OverlayState, switched
from live.slew import FULL, Ramp
from live.tempo import Tempo, listed
from live.transport import Transport

SWINGS_NS = 1_500_000_000  # then a swing is smaller than a tenth of the step that began it
MOST_FADES = 7  # under way at once; a desk that floods with cues loses the oldest


@dataclass(frozen=True, slots=True)
class Seconds:
    """A length that does not follow the tempo, as those in beats do."""

    count: float


@dataclass(frozen=True, slots=True)
class CueFacts:
    """What the show's state needs to know of a cue."""

    name: str
    duration: float  # beats
    ending: Ending
    fade: float | Seconds = 0.0  # of cross-fade into this cue, in beats unless it says seconds
    tempo: float | None = None  # BPM from this cue on; None keeps the tempo
    overlay: Name | None = None  # from this cue on; None keeps the overlay
    follow: float | None = None  # beats after which the next cue begins by itself

    def fade_ns(self, bpm: float) -> int:
        """The cross-fade into this cue, at a tempo."""
        if isinstance(self.fade, Seconds):
            return round(self.fade.count * 1e9)
        return round(self.fade * 60e9 / bpm)


Programme: TypeAlias = tuple[CueFacts, ...]


@dataclass(frozen=True, slots=True)
class Spring:
    """The swing past the end of a cue."""

    start_ns: int
    beats_per_second: float  # at which the end was passed


@dataclass(frozen=True, slots=True)
class Voice:
    """A cue being played."""

    cue: int
    origin: float  # the transport's beat at which this cue's beat 0 lies
    since_ns: int  # the last time that something was done to this voice
    held: float | None = None  # the beat at which it is held
    arrived: bool = False  # whether the end was passed and acted upon
    spring: Spring | None = None
    glide: Glide | None = None  # to where the fader wants it
    follows: float | None = None  # the next cue begins at that beat of the transport; while this
    # one is held, after so many beats

    def line(self, transport: Transport, at: int) -> float:
        """Where it belongs, in beats since the beginning of the cue."""
        return self.held if self.held is not None else transport.beat_at(at) - self.origin

    def beat(self, transport: Transport, at: int) -> float:
        """Beats since the beginning of the cue; neither clamped nor wrapped."""
        line = self.line(transport, at)
        return line if self.glide is None else line + self.glide.at(at)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The voice that a cross-fade leaves behind; it plays on meanwhile."""

    voice: Voice
    start_ns: int
    end_ns: int

    def covered(self, at: int) -> float:
        """How far it is covered by what came after it: 0 to 1."""
        return eased((at - self.start_ns) / (self.end_ns - self.start_ns))


@dataclass(frozen=True, slots=True)
class SpringTime:
    """Arguments of `engine.path.Path.spring_at`."""

    seconds: float
    beats_per_second: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be seen: a place on a cue's path, and its share of the picture.

    The path wraps or clamps the beat. With a spring the W+ is `path.spring_at(spring.seconds,
    spring.beats_per_second, psi, beat)`, else `path.at(beat, psi)`.
    """

    cue: int
    beat: float
    spring: SpringTime | None
    weight: float  # 0 to 1


@dataclass(frozen=True, slots=True)
class Show:
    """The state of a performance. Levels and switches are those a desk sets."""

    transport: Transport
    voice: Voice
    outgoing: tuple[Outgoing, ...] = ()  # the last one left first
    tempo: Tempo = field(default_factory=Tempo)  # who leads the transport
    drive: Drive = "spring"  # how the position fader moves the playhead
    psi: Ramp = FULL  # multiplies the paths' own
    noise: Ramp = FULL
    master: Ramp = FULL
    blackout: bool = False
    frozen: bool = False
    panic: Panic = field(default_factory=Panic)
    overlay: OverlayState = field(default_factory=OverlayState)

    @classmethod
    def opening(
        cls,
        programme: Programme,
        bpm: float,
        *,
        cue: int = 0,
        at: int = 0,
        overlay: OverlayState | None = None,
        drive: Drive = "spring",
    ) -> "Show":
        """A show that waits, paused, at beat 0 of a cue.

        The cue's own tempo and overlay go before `bpm` and the name of `overlay`.
        """
        facts = programme[cue]
        transport = Transport(facts.tempo or bpm, playing=False, anchor_ns=at)
        state = overlay or OverlayState()
        state = replace(state, name=state.name if facts.overlay is None else facts.overlay)
        return cls(transport, beginning(programme, cue, 0.0, at), drive=drive, overlay=state)

    def readings(self, at: int) -> tuple[Reading, ...]:
        """What to show at `at`, up to which the show was advanced; the weights add up to 1.

        First the cue that is played; in a cross-fade then the one that is left, and where cues
        came faster than their fades, those that were left before.
        """
        readings, rest = [], 1.0
        covering = self.voice
        for left in self.outgoing:
            readings.append(self._reading(covering, rest * left.covered(at), at))
            rest *= 1.0 - left.covered(at)
            covering = left.voice
        return (*readings, self._reading(covering, rest, at))

    def level(self, at: int) -> float:
        """Brightness of the picture, 0 to 1: the master, or nothing in a blackout or a panic."""
        return 0.0 if self.blackout else self.master.at(at) * self.panic.light.at(at)

    @property
    def still(self) -> bool:
        """Whether the picture on screen is kept."""
        return self.frozen or self.panic.on

    def _reading(self, voice: Voice, weight: float, at: int) -> Reading:
        spring = None
        if voice.spring is not None:
            seconds = (at - voice.spring.start_ns) / 1e9
            spring = SpringTime(seconds, voice.spring.beats_per_second)
        return Reading(voice.cue, voice.beat(self.transport, at), spring, weight)


def find_cue(names: Sequence[str], which: int | str) -> int:
    """The index of a cue given by its name, or its number counted from 1 (also as a string).

    Raises ValueError that lists the cues there are.
    """
    if isinstance(which, str) and which in names:
        return names.index(which)
    number = int(which) if re.fullmatch(r"[0-9]{1,6}", str(which).strip()) else 0
    if not 1 <= number <= len(names):
        there = ", ".join(f'{i} "{name}"' for i, name in enumerate(names, start=1))
        raise ValueError(f"no cue {which!r:.60}; there are {there}")
    return number - 1


def beginning(programme: Programme, cue: int, origin: float, at: int) -> Voice:
    """A cue from its beginning, which lies at the transport's beat `origin`."""
    follow = programme[cue].follow
    return Voice(cue, origin, at, follows=None if follow is None else origin + follow)


def enter(show: Show, cue: int, origin: float, at: int, programme: Programme) -> Show:
    """The show from `at` on in another cue, whose beat 0 lies at the transport's beat `origin`."""
    facts = programme[cue]
    tempo, transport = show.tempo, show.transport
    if facts.tempo is not None:
        tempo, transport = listed((tempo, transport), facts.tempo, at)
    outgoing: tuple[Outgoing, ...] = ()
    fade_ns = facts.fade_ns(transport.bpm)
    if fade_ns > 0:
        outgoing = (Outgoing(show.voice, at, at + fade_ns), *show.outgoing)[:MOST_FADES]
    overlay = show.overlay if facts.overlay is None else switched(show.overlay, facts.overlay, at)
    voice = beginning(programme, cue, origin, at)
    return replace(
        show, tempo=tempo, transport=transport, voice=voice, outgoing=outgoing, overlay=overlay
    )


def upcoming(show: Show, programme: Programme) -> int | None:
    """The cue that comes next, so that its network can be warmed up; None after the last."""
    following = show.voice.cue + 1
    return following if following < len(programme) else None


def advance(show: Show, at: int, programme: Programme) -> Show:
    """The show at `at`, with everything done that happened on its own until then."""
    while (event := _next_event(show, programme)) is not None and event[0] <= at:
        show = event[1]
    return show


def _next_event(show: Show, programme: Programme) -> tuple[int, Show] | None:
    """What happens first, if nobody does anything: its time, and the show after it."""
    events = []
    for i, left in enumerate(show.outgoing):
        before, behind = show.outgoing[:i], show.outgoing[i + 1 :]
        events.append((left.end_ns, replace(show, outgoing=before)))  # what is behind is covered
        arrival = _arrival(left.voice, show.transport, programme)
        if arrival is not None and programme[left.voice.cue].ending == "spring":
            sprung = replace(left, voice=_sprung(left.voice, show, arrival))
            events.append((arrival, replace(show, outgoing=(*before, sprung, *behind))))
    arrival = _arrival(show.voice, show.transport, programme)
    if arrival is not None:
        events.append((arrival, _arrive(show, arrival, programme)))
    follow = _follow(show.voice, show.transport, programme)
    if follow is not None:
        events.append((follow, _follow_on(show, follow, programme)))
    return min(events, key=lambda event: event[0], default=None)


def _arrival(voice: Voice, transport: Transport, programme: Programme) -> int | None:
    """When the voice passes the end of its cue, if anything happens there."""
    facts = programme[voice.cue]
    acts = facts.ending == "spring" or (
        facts.ending == "next" and voice.cue + 1 < len(programme)  # the last cue holds
    )
    if not acts or voice.arrived or voice.held is not None:
        return None
    end = transport.reaches(voice.origin + facts.duration, voice.since_ns)
    if end is None or voice.glide is None:
        return end
    return max(end, voice.glide.near_ns)  # the playhead is on its way there


def _arrive(show: Show, at: int, programme: Programme) -> Show:
    voice = show.voice
    facts = programme[voice.cue]
    if facts.ending == "spring":
        return replace(show, voice=_sprung(voice, show, at))
    waited = voice.glide is not None and voice.glide.near_ns == at
    end = voice.origin + facts.duration
    origin = show.transport.beat_at(at) if waited else _since(voice, end, show.transport, at)
    return enter(show, voice.cue + 1, origin, at, programme)


def _follow(voice: Voice, transport: Transport, programme: Programme) -> int | None:
    """When the next cue begins although this one has not ended."""
    last = voice.cue + 1 == len(programme)
    if voice.follows is None or voice.held is not None or last:
        return None
    return transport.reaches(voice.follows, voice.since_ns)


def _follow_on(show: Show, at: int, programme: Programme) -> Show:
    voice = show.voice
    assert voice.follows is not None
    origin = _since(voice, voice.follows, show.transport, at)
    return enter(show, voice.cue + 1, origin, at, programme)


def _since(voice: Voice, beat: float, transport: Transport, at: int) -> float:
    """From which beat of the transport the cue after a voice counts, which goes at `beat`.

    Where that was long ago when it became so, in a set list that was saved, it counts from now.
    """
    return transport.beat_at(at) if at == voice.since_ns else beat


def _sprung(voice: Voice, show: Show, at: int) -> Voice:
    """The voice past its end. A swing that goes on is not begun anew: that would be a step."""
    if voice.spring is not None and at - voice.spring.start_ns < SWINGS_NS:
        return replace(voice, arrived=True)
    return replace(voice, arrived=True, spring=Spring(at, show.transport.beats_per_second))
