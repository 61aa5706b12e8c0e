"""A take: what the performer did, in lines that survive a kill at any byte.

Every line is a JSON object, written as it comes and complete with its line break; a last line
without one was cut off, and is passed over. First stands where the performance comes from, then in
the order in which things happened:

    {"anthesis take": 1, "began": ..., "setlist": FILE, "text": TOML, "cue": 0, "versions": {...}}
    {"latent": FILE, "sha256": ...}
    {"network": FILE, "sha256": ...}                         once an engine has loaded it
    {"keys": 0, "ws": ..., "psi": ..., "w_avg": ...}         of cue 0, once they are mapped
    {"at": 1234567890, "do": "psi", "args": [0.5]}           obeyed at that show time, in ns;
                                                             with "heard": true, the desk's; with
                                                             "age": N, received so long before
    {"relisted": 1234567890, "setlist": FILE, "text": TOML}  another set list took over then: what
                                                             follows are latents and keys of that
    {"w": 1250000000}                                        W+ was sampled for that show time
    {"gpus": {...}, "at": 1250000000}                        what the GPU monitor showed from then
    {"resumed": 1250000000}                                  begun again there, with other engines
    {"ends": 9000000000}                                     faded out until then

Arrays are {"shape": [...], "type": "<f4", "data": base64}. A line that asks for W+ stands after all
that was obeyed and known by then, so reading in order and asking `live.wplus` gives the W+ of the
performance to the bit: see `performed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

from engine.errors import UserError
from engine.link import Floats
from engine.path import Path as Morph
from live.addresses import Message
from live.control import apply
from live.gpus import Sample
from live.keys import Resolved, path_through
from live.relist import relisted
from live.setlist import SetList, programme
from live.show import Programme, Show
from live.wplus import wplus_at

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sampled:
    """W+ was asked for, for this show time (ns)."""

    at: int


@dataclass(frozen=True, slots=True)
class Obeyed:
    """A message took effect at this show time (ns)."""

    at: int
    message: Message
    heard: bool = False  # from the desk


@dataclass(frozen=True, slots=True)
class Gauged:
    """What the GPU monitor showed from this show time (ns) on."""

    at: int
    sample: Sample  # its `taken_ns` is a show time, its histories are empty


@dataclass(frozen=True, slots=True)
class Ended:
    """The show faded out until this show time (ns)."""

    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """The keys of a cue were known from here on."""

    cue: int
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class Resumed:
    """The show was begun again at this show time (ns): no keys are known, and it waits."""

    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Relisted:
    """Another set list took over at this show time (ns): no keys of it are known yet."""

    at: int
    setlist: SetList


Event: TypeAlias = Sampled | Obeyed | Mapped | Gauged | Resumed | Relisted | Ended


class State(NamedTuple):
    """Where a take ends: what a stage needs to go on from there."""

    show: Show  # it waits, until there is a picture
    at: int  # show time, ns
    plays: bool  # whether it then goes on by itself


@dataclass(frozen=True, slots=True)
class Take:
    """A take that was read.

    `setlist` and `cue` are those it begins with; `networks` and `latents` the SHA-256 of files;
    `events` what happened, in order.
    """

    began: datetime
    setlist: SetList
    cue: int
    networks: Mapping[Path, str] = field(default_factory=dict)
    latents: Mapping[Path, str] = field(default_factory=dict)
    events: Sequence[Event] = ()

    @property
    def setlists(self) -> tuple[SetList, ...]:
        """All that were performed, in order."""
        later = [event.setlist for event in self.events if isinstance(event, Relisted)]
        return (self.setlist, *later)


def opening(setlist: SetList, cue: int) -> Show:
    """The show of a set list before anything has happened."""
    state = setlist.overlay.opening(setlist.show.overlay)
    return Show.opening(
        programme(setlist),
        setlist.show.tempo,
        cue=cue,
        overlay=state,
        drive=setlist.show.position,
    )


def performed(take: Take) -> Iterator[tuple[int, dict[Path, Floats]]]:
    """The performance again: the show times at which W+ was sampled, and the W+ of each network.

    Cues whose keys were not known yet are left out, as they were then. Raises UserError for a
    message that no performance can have obeyed.
    """
    setlist, paths = take.setlist, dict[int, Morph]()
    facts, networks = programme(setlist), [cue.network for cue in setlist.cues]
    show = opening(setlist, take.cue)
    for event in take.events:
        if isinstance(event, Sampled):
            yield event.at, wplus_at(show, event.at, facts, networks, paths.get)
        elif isinstance(event, Mapped):
            paths[event.cue] = path_through(setlist.cues[event.cue], event.resolved)
        elif isinstance(event, Resumed):
            paths.clear()
            show = waiting(show, event.at, facts)
        elif isinstance(event, Obeyed):
            show = after(show, event, facts)
        elif isinstance(event, Relisted):
            show = relisted(show, setlist, event.setlist, event.at)
            setlist, paths = event.setlist, {}
            facts, networks = programme(setlist), [cue.network for cue in setlist.cues]


def last_state(take: Take) -> State:
    """Where the take ends, with the last of its set lists. Raises UserError as `performed` does."""
    setlist, facts = take.setlist, programme(take.setlist)
    show, at, plays = opening(setlist, take.cue), 0, True
    for event in take.events:
        if isinstance(event, Mapped | Gauged | Ended):
            continue
        at = max(at, event.at)
        if isinstance(event, Resumed):
            show = waiting(show, event.at, facts)
        elif isinstance(event, Obeyed):
            show = after(show, event, facts)
            if event.message.address in ("play", "stop"):
                plays = show.transport.playing
        elif isinstance(event, Relisted):
            show = relisted(show, setlist, event.setlist, event.at)
            setlist, facts = event.setlist, programme(event.setlist)
    return State(waiting(show, at, facts), at, plays)


def records(lines: bytes) -> bool | None:
    """Whether a recording went on where the lines of a take end; None if nothing says so.

    That is nothing since the take was begun or last resumed: how that stage began is not in it. It
    is found in the bytes, where no text within a line can have these quotes: the audience waits,
    and to read a whole take of an hour takes 0.3 s.
    """
    since = lines[lines.rfind(b'{"resumed": ') + 1 : lines.rfind(b"\n") + 1]
    began, ended = (since.rfind(b'"do": "record/%b"' % word) for word in (b"start", b"stop"))
    return None if began == ended else began > ended


def waiting(show: Show, at: int, facts: Programme) -> Show:
    """The show at `at` (ns), standing still until there is a picture."""
    return apply(show, Message("play", (0,)), at, facts)


def after(show: Show, event: Obeyed, facts: Programme) -> Show:
    """The show after a message of a take. Raises UserError for one that no show obeys."""
    try:
        return apply(show, event.message, event.at, facts)
    except ValueError as error:
        when = f"{event.at / 1e9:.3f} s"
        raise UserError(f"the take has a message at {when} that no show obeys: {error}") from error


def latents(setlist: SetList) -> set[Path]:
    """The latent files that a set list names."""
    parts = (part for cue in setlist.cues for key in cue.keys for part in (key, key.mix))
    return {part.latent for part in parts if part is not None and part.latent is not None}


def sha256_of(path: Path) -> str:
    """The hash of a file. Raises UserError if it cannot be read."""
    try:
        if not path.is_file():  # a pipe or a device would be read for ever
            raise UserError(f"{path}: there is no such file")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_files(take: Take) -> None:
    """See that networks and latents are those of the performance. Raises UserError for another.

    What is hashed are the files that the show would perform: a take may name anything. A file that
    lies elsewhere now, such as the bundled network, is known by its name. Of latents those of the
    last set list count: keys are in the take as numbers.
    """
    recorded = {**take.networks, **take.latents}
    by_name = {path.name: sha256 for path, sha256 in recorded.items()}
    performed = {cue.network for setlist in take.setlists for cue in setlist.cues}
    for path in performed | latents(take.setlists[-1]):
        sha256 = recorded.get(path, by_name.get(path.name))
        if sha256 is not None and sha256_of(path) != sha256:
            raise UserError(
                f"{path}: is not the file it was in this take; put that back, or --force"
            )
