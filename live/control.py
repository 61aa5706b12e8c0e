"""The show obeys: messages in, the next state out.

Pure: `apply` is told at which show time (ns) a message takes effect. Addresses are in
`live.addresses`, the state in `live.show`; both are offered here as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from live import tempo
from live.addresses import (
    ADDRESSES,
    OF_THE_STAGE,
    Address,
    Argument,
    Message,
    Value,
    coerce,
)
from live.glide import pulled
from live.overlay import state as overlay
from live.overlay.state import NAMES, PANES, OverlayState, PaneName, Place
from live.show import (
    CueFacts,
    Programme,
    Reading,
    Show,
    Voice,
    advance,
    beginning,
    enter,
    find_cue,
    upcoming,
)
from live.slew import Ramp
from live.tempo import Led, Tempo
from live.transport import BPM_HIGH, BPM_LOW

__all__ = [
    "ADDRESSES",
    "Address",
    "Argument",
    "CueFacts",
    "Message",
    "Programme",
    "Reading",
    "Show",
    "advance",
    "apply",
    "coerce",
    "position",
    "target_of",
    "upcoming",
    "value_of",
    "within",
]


def apply(show: Show, message: Message, at: int, programme: Programme) -> Show:
    """The show after a message that takes effect at `at`.

    What happened on its own until then is done first. Raises ValueError, in one line, for a message
    that cannot be obeyed here (an unknown cue, a doubled tempo above 300): report it and go on with
    `advance(show, at, programme)`. A question to a value changes nothing.
    """
    show = advance(show, at, programme)
    known = ADDRESSES.get(message.address)
    if known is None:
        raise ValueError(f"{message.address}: no such address")
    if known.kind == "value" and not message.args:
        return show
    if message.address in _TIMED:
        led, transport = _TIMED[message.address](
            (show.tempo, show.transport), message.args, at, max(message.age_ns, 0)
        )
        return replace(show, tempo=led, transport=transport)
    return _ACTIONS[message.address](show, message.args, at, programme)


def value_of(show: Show, address: str, at: int, programme: Programme) -> tuple[Value, ...]:
    """The answer to a question, in the arguments with which the address is set.

    Raises ValueError for an address that holds no value.
    """
    known = ADDRESSES.get(address)
    if known is None or known.kind != "value" or address in OF_THE_STAGE:
        raise ValueError(f"{address}: has no value")
    return _ANSWERS[address](advance(show, at, programme), at, programme)


def target_of(show: Show, address: str, at: int, programme: Programme) -> tuple[Value, ...]:
    """What an address was last set to, which may not have been reached yet; see `value_of`."""
    ramp = {"psi": show.psi, "noise": show.noise, "master": show.master}.get(address)
    return value_of(show, address, at, programme) if ramp is None else (ramp.target,)


_Args: TypeAlias = tuple[Value, ...]
_Action: TypeAlias = Callable[[Show, _Args, int, Programme], Show]
_Lead: TypeAlias = Callable[[Led, _Args, int], Led]


def _tempo(lead: _Lead) -> _Action:
    """An action that changes nothing but the transport, and who leads it."""

    def act(show: Show, args: _Args, at: int, programme: Programme) -> Show:
        led, transport = lead((show.tempo, show.transport), args, at)
        return replace(show, tempo=led, transport=transport)

    return act


def _bpm(led: Led, args: _Args, at: int) -> Led:
    return tempo.said(led, float(args[0]), at)


def _norm(led: Led, args: _Args, at: int) -> Led:
    return tempo.said(led, BPM_LOW + float(args[0]) * (BPM_HIGH - BPM_LOW), at)


def _beat(led: Led, args: _Args, at: int, age: int) -> Led:
    """Of whatever number: a desk's beat button always sends 1."""
    return tempo.beat(led, float(args[1]) if len(args) > 1 else None, at, age)


_TIMED: Mapping[str, Callable[[Led, _Args, int, int], Led]] = {
    "tempo/tap": lambda led, args, at, age: tempo.tapped(led, at, age),
    "tempo/beat": _beat,
    "tempo/downbeat": lambda led, args, at, age: tempo.downbeat(led, at, age),
    "tempo/phase": lambda led, args, at, age: tempo.phase(led, float(args[0]), at, age),
}
"""What somebody's clock or finger says: it was so when it was received, and not in this frame."""


def _play(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    if bool(args[0]) == show.transport.playing:
        return show
    transport = show.transport.play(at) if args[0] else show.transport.pause(at)
    return replace(show, transport=transport, tempo=_released(show, at))


def _released(show: Show, at: int) -> Tempo:
    return tempo.released((show.tempo, show.transport), at)


def _stop(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    transport = show.transport.pause(at)
    voice = beginning(programme, show.voice.cue, transport.anchor_beat, at)
    return replace(show, transport=transport, tempo=_released(show, at), voice=voice)


def _speed(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    speed = float(args[0])
    turned = (speed < 0.0) != (show.transport.speed < 0.0)
    transport = show.transport.with_speed(speed, at)
    changed = replace(show, transport=transport, tempo=_released(show, at))
    if not turned:
        return changed
    outgoing = tuple(
        replace(left, voice=_turned(left.voice, show, at, programme)) for left in show.outgoing
    )
    return replace(changed, voice=_turned(show.voice, show, at, programme), outgoing=outgoing)


def _turned(voice: Voice, show: Show, at: int, programme: Programme) -> Voice:
    """A voice that changes direction: from where the picture is, not from where the clock ran on.

    A spring swings on while the path runs back.
    """
    facts = programme[voice.cue]
    if facts.ending == "loop" or voice.held is not None:
        return voice
    beat = voice.beat(show.transport, at)
    past = beat - min(max(beat, 0.0), facts.duration)
    return replace(voice, origin=voice.origin + past, since_ns=at, arrived=False)


def _position(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    voice, facts = show.voice, programme[show.voice.cue]
    wanted = float(args[0]) * facts.duration
    origin = show.transport.beat_at(at) - wanted
    held = None if voice.held is None else wanted
    moved = Voice(voice.cue, origin, at, held, follows=voice.follows)
    if show.drive != "direct":
        place = within(voice.beat(show.transport, at), facts)
        glide = pulled(voice.glide, place - wanted, at, show.drive)
        moved = replace(moved, glide=glide, spring=voice.spring)
    return replace(show, voice=moved)


def _hold(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    voice = show.voice
    if bool(args[0]) == (voice.held is not None):
        return show
    now, follows = show.transport.beat_at(at), voice.follows
    if args[0]:
        beat = voice.beat(show.transport, at)
        left = None if follows is None else follows - now
        held = replace(voice, held=beat, since_ns=at, glide=None, follows=left)
        return replace(show, voice=held)
    origin = now - voice.line(show.transport, at)
    follows = None if follows is None else follows + now
    released = replace(voice, held=None, origin=origin, since_ns=at, follows=follows)
    return replace(show, voice=released)


def _go(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    if not args:
        return _next(show, args, at, programme)
    which = args[0] if isinstance(args[0], str) else int(args[0])
    cue = find_cue([facts.name for facts in programme], which)
    return _enter_now(show, cue, at, programme)


def _next(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    cue = upcoming(show, programme)
    if cue is None:
        raise ValueError(f'no cue after the last, "{programme[-1].name}"')
    return _enter_now(show, cue, at, programme)


def _back(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    return _enter_now(show, max(show.voice.cue - 1, 0), at, programme)  # the first begins again


def _enter_now(show: Show, cue: int, at: int, programme: Programme) -> Show:
    return enter(show, cue, show.transport.beat_at(at), at, programme)


def _fade(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    target, seconds = float(args[0]), float(args[1])
    return replace(show, master=Ramp(target, show.master.at(at), at, round(seconds * 1e9)))


def _seconds(args: _Args) -> float:
    """How long a level is to take, where that was said."""
    return float(args[1]) if len(args) > 1 else 0.0


def _psi(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    return replace(show, psi=show.psi.to(float(args[0]), at, _seconds(args)))


def _noise(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    return replace(show, noise=show.noise.to(float(args[0]), at, _seconds(args)))


def _master(show: Show, args: _Args, at: int, programme: Programme) -> Show:
    return replace(show, master=show.master.to(float(args[0]), at, _seconds(args)))


_Change: TypeAlias = Callable[[OverlayState, _Args, int], OverlayState]


def _overlay(change: _Change) -> _Action:
    """An action that changes nothing but the overlay."""
    return lambda show, args, at, programme: replace(show, overlay=change(show.overlay, args, at))


def _switch(state: OverlayState, args: _Args, at: int) -> OverlayState:
    return overlay.switched(state, next(name for name in NAMES if name == args[0]), at)


def _place(*args: Value) -> Place:
    return Place(*map(float, args))


def _pane_actions(pane: PaneName) -> dict[str, _Action]:
    return {
        f"overlay/pane/{pane}": _overlay(
            lambda state, args, at: overlay.pane_shown(state, pane, bool(args[0]), at)
        ),
        f"overlay/pane/{pane}/opacity": _overlay(
            lambda state, args, at: overlay.pane_faded(state, pane, float(args[0]))
        ),
        f"overlay/pane/{pane}/place": _overlay(
            lambda state, args, at: overlay.pane_moved(state, pane, _place(*args))
        ),
    }


_ACTIONS: Mapping[str, _Action] = {
    "tempo/bpm": _tempo(_bpm),
    "tempo/norm": _tempo(_norm),
    "tempo/nudge": _tempo(lambda led, args, at: tempo.nudged(led, float(args[0]), at)),
    "tempo/mult": _tempo(lambda led, args, at: tempo.multiplied(led, float(args[0]), at)),
    "tempo/source": _tempo(lambda led, args, at: tempo.chosen(led, str(args[0]), at)),
    "play": _play,
    "stop": _stop,
    "speed": _speed,
    "position": _position,
    "cue/go": _go,
    "cue/next": _next,
    "cue/back": _back,
    "cue/hold": _hold,
    "psi": _psi,
    "noise": _noise,
    "master": _master,
    "blackout": lambda show, args, at, programme: replace(show, blackout=bool(args[0])),
    "freeze": lambda show, args, at, programme: replace(show, frozen=bool(args[0])),
    "fade": _fade,
    "panic": lambda show, args, at, programme: replace(show, panic=show.panic.pressed(at)),
    "panic/undo": lambda show, args, at, programme: replace(show, panic=show.panic.undone(at)),
    "overlay": _overlay(_switch),
    "overlay/visible": _overlay(lambda state, args, at: overlay.shown(state, bool(args[0]), at)),
    "overlay/opacity": _overlay(
        lambda state, args, at: replace(state, opacity=float(args[0])),
    ),
    **{address: action for pane in PANES for address, action in _pane_actions(pane).items()},
    # What follows changes nothing of the show: the stage and the desk's server do it.
    **dict.fromkeys(
        ("record/start", "record/stop", "record/marker", "ping", "subscribe", *OF_THE_STAGE),
        lambda show, args, at, programme: show,
    ),
}


def position(show: Show, at: int, programme: Programme) -> float:
    """Where in its cue the show is at `at`, to which it was advanced: 0 to 1."""
    facts = programme[show.voice.cue]
    return within(show.voice.beat(show.transport, at), facts) / facts.duration


def within(beat: float, facts: CueFacts) -> float:
    """A beat since a cue's beginning as one of its path: wrapped in a loop, else clamped."""
    if facts.ending == "loop":
        return beat % facts.duration
    return min(max(beat, 0.0), facts.duration)


_Answer: TypeAlias = Callable[[Show, int, Programme], tuple[Value, ...]]


def _pane_answers(pane: PaneName) -> dict[str, _Answer]:
    return {
        f"overlay/pane/{pane}": lambda show, at, _: (int(show.overlay.panes[pane].shown),),
        f"overlay/pane/{pane}/opacity": lambda show, at, _: (show.overlay.panes[pane].opacity,),
        f"overlay/pane/{pane}/place": lambda show, at, _: overlay.place_of(show.overlay, pane),
    }


_ANSWERS: Mapping[str, _Answer] = {
    "tempo/bpm": lambda show, at, _: (show.transport.bpm,),
    "tempo/norm": lambda show, at, _: ((show.transport.bpm - BPM_LOW) / (BPM_HIGH - BPM_LOW),),
    "tempo/phase": lambda show, at, _: (show.transport.beat_at(at) % 1.0,),
    "tempo/source": lambda show, at, _: (show.tempo.alone or "auto",),
    "play": lambda show, at, _: (int(show.transport.playing),),
    "speed": lambda show, at, _: (show.transport.speed,),
    "position": lambda show, at, programme: (position(show, at, programme),),
    "cue/hold": lambda show, at, _: (int(show.voice.held is not None),),
    "psi": lambda show, at, _: (show.psi.at(at),),
    "noise": lambda show, at, _: (show.noise.at(at),),
    "master": lambda show, at, _: (show.master.at(at),),
    "blackout": lambda show, at, _: (int(show.blackout),),
    "freeze": lambda show, at, _: (int(show.frozen),),
    "fade": lambda show, at, _: (show.master.target, show.master.remaining(at)),
    "overlay": lambda show, at, _: (show.overlay.name,),
    "overlay/visible": lambda show, at, _: (int(show.overlay.visible),),
    "overlay/opacity": lambda show, at, _: (show.overlay.opacity,),
    **{address: answer for pane in PANES for address, answer in _pane_answers(pane).items()},
}
