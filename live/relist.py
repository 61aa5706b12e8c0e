"""Another set list takes over in mid-show. Pure: what becomes of the show's state.

What was set live stays: tempo, levels, switches, the overlay. The cue goes on where it is, by its
name; what the new list says otherwise of it, its tempo and overlay, counts from here.
"""

from __future__ import annotations

from dataclasses import replace

from live.control import within
from live.overlay.state import switched
from live.setlist import SetList, programme
from live.show import CueFacts, Outgoing, Programme, Show, Voice, advance, enter
from live.tempo import listed


def heir(before: Programme, cue: int, after: Programme) -> int:
    """The cue of the new list that goes on for one of the old: of its name, else of its number."""
    names = [facts.name for facts in after]
    name = before[cue].name
    return names.index(name) if name in names else min(cue, len(after) - 1)


def relisted(show: Show, before: SetList, after: SetList, at: int) -> Show:
    """The show from show time `at` (ns) on, with the set list `after` instead of `before`.

    A cue that is gone gives way to the one of its number, from its beginning and without a fade.
    """
    old, new = programme(before), programme(after)
    show = replace(advance(show, at, old), drive=after.show.position)
    cue = heir(old, show.voice.cue, new)
    was, facts = old[show.voice.cue], new[cue]
    if facts.name != was.name:
        entered = enter(show, cue, show.transport.beat_at(at), at, new)
        return replace(entered, outgoing=())
    show = replace(
        show,
        voice=_moved(show.voice, show, was, cue, facts, at),
        outgoing=_moved_fades(show, old, new, at),
    )
    bpm, said = was.tempo or before.show.tempo, facts.tempo or after.show.tempo
    if said != bpm:
        tempo, transport = listed((show.tempo, show.transport), said, at)
        show = replace(show, tempo=tempo, transport=transport)
    name, shown = was.overlay or before.show.overlay, facts.overlay or after.show.overlay
    if shown != name:
        show = replace(show, overlay=switched(show.overlay, shown, at))
    return show


def _moved(voice: Voice, show: Show, was: CueFacts, cue: int, facts: CueFacts, at: int) -> Voice:
    """The voice in the new list's cue, at the beat at which it is in the path."""
    moved = replace(voice, cue=cue, since_ns=at)
    if (facts.duration, facts.ending) != (was.duration, was.ending):
        beat = voice.beat(show.transport, at)  # its rounds and rests are those of the old path
        place = within(within(beat, was), facts)
        held = None if voice.held is None else voice.held - (beat - place)
        rests = voice.arrived and facts.ending == was.ending and place == facts.duration
        moved = replace(moved, origin=voice.origin + (beat - place), held=held, arrived=rests)
    if facts.follow != was.follow:
        begun = voice.origin if voice.held is None else -voice.held  # see Voice.follows
        if voice.follows is not None and was.follow is not None:
            begun = voice.follows - was.follow
        follows = None if facts.follow is None else begun + facts.follow
        moved = replace(moved, follows=follows)
    return moved


def _moved_fades(show: Show, old: Programme, new: Programme, at: int) -> tuple[Outgoing, ...]:
    """The voices that still fade out, as far as the new list has their cues."""
    moved: list[Outgoing] = []
    for left in show.outgoing:
        was = old[left.voice.cue]
        cue = heir(old, left.voice.cue, new)
        if new[cue].name != was.name:
            break
        voice = _moved(left.voice, show, was, cue, new[cue], at)
        moved.append(replace(left, voice=voice))
    return tuple(moved)
