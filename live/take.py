"""A take: what the performer did, in lines that survive a kill at any byte.

Every line is a JSON object, written as it comes and complete with its line break; a last line
without one was cut off, and is passed over. First stands where the performance comes from, then in
the order in which things happened:

    {"anthesis take": 1, "began": ..., "setlist": FILE, "text": TOML, "cue": 0, "versions": {...}}
    {"latent": FILE, "sha256": ...}
    {"network": FILE, "sha256": ...}                         once an engine has loaded it
    {"keys": 0, "ws": ..., "psi": ..., "w_avg": ...}         of cue 0, once they are mapped
    {"at": 1234567890, "do": "psi", "args": [0.5]}           obeyed at that show time, in ns
    {"w": 1250000000}                                        W+ was sampled for that show time
    {"resumed": 1250000000}                                  begun again there, with other engines

Arrays are {"shape": [...], "type": "<f4", "data": base64}. A line that asks for W+ stands after all
that was obeyed and known by then, so reading in order and asking `live.wplus` gives the W+ of the
performance to the bit: see `performed`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.link import MAX_WS_VALUES, Floats
from engine.path import Path as Morph
from live.addresses import ADDRESSES, Message, coerce
from live.control import apply
from live.keys import Resolved, path_through
from live.setlist import Cue, SetList, parse_setlist, programme
from live.show import Programme, Show
from live.wplus import wplus_at

FORMAT = 1
_LONGEST_LINE = 64 << 20  # a cue with 100 keys of 18 * 512 is 5 MB
_LARGEST = 1 << 30  # bytes; an hour at 60 frames a second is 5 MB
_LATEST = 10**18  # ns; no show is 31 years long


@dataclass(frozen=True, slots=True)
class Sampled:
    """W+ was asked for, for this show time (ns)."""

    at: int


@dataclass(frozen=True, slots=True)
class Obeyed:
    """A message took effect at this show time (ns)."""

    at: int
    message: Message


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """The keys of a cue were known from here on."""

    cue: int
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class Resumed:
    """The show was begun again at this show time (ns): no keys are known, and it waits."""

    at: int


Event: TypeAlias = Sampled | Obeyed | Mapped | Resumed


class State(NamedTuple):
    """Where a take ends: what a stage needs to go on from there."""

    show: Show  # it waits, until there is a picture
    at: int  # show time, ns
    plays: bool  # whether it then goes on by itself


@dataclass(frozen=True, slots=True)
class Take:
    """A take that was read.

    `networks` and `latents` are the SHA-256 of files; `events` what happened, in order.
    """

    began: datetime
    setlist: SetList
    cue: int
    networks: Mapping[Path, str] = field(default_factory=dict)
    latents: Mapping[Path, str] = field(default_factory=dict)
    events: Sequence[Event] = ()


def opening(setlist: SetList, cue: int) -> Show:
    """The show of a set list before anything has happened."""
    state = setlist.overlay.opening(setlist.show.overlay)
    return Show.opening(programme(setlist), setlist.show.tempo, cue=cue, overlay=state)


def performed(take: Take) -> Iterator[tuple[int, dict[Path, Floats]]]:
    """The performance again: the show times at which W+ was sampled, and the W+ of each network.

    Cues whose keys were not known yet are left out, as they were then. Raises UserError for a
    message that no performance can have obeyed.
    """
    facts = programme(take.setlist)
    networks = [cue.network for cue in take.setlist.cues]
    paths: dict[int, Morph] = {}
    show = opening(take.setlist, take.cue)
    for event in take.events:
        if isinstance(event, Sampled):
            yield event.at, wplus_at(show, event.at, facts, networks, paths.get)
        elif isinstance(event, Mapped):
            paths[event.cue] = path_through(take.setlist.cues[event.cue], event.resolved)
        elif isinstance(event, Resumed):
            paths.clear()
            show = waiting(show, event.at, facts)
        else:
            show = _after(show, event, facts)


def last_state(take: Take) -> State:
    """Where the take ends. Raises UserError as `performed` does."""
    facts = programme(take.setlist)
    show, at, plays = opening(take.setlist, take.cue), 0, True
    for event in take.events:
        if isinstance(event, Mapped):
            continue
        at = max(at, event.at)
        if isinstance(event, Resumed):
            show = waiting(show, event.at, facts)
        elif isinstance(event, Obeyed):
            show = _after(show, event, facts)
            if event.message.address in ("play", "stop"):
                plays = show.transport.playing
    return State(waiting(show, at, facts), at, plays)


def waiting(show: Show, at: int, facts: Programme) -> Show:
    """The show at `at` (ns), standing still until there is a picture."""
    return apply(show, Message("play", (0,)), at, facts)


def _after(show: Show, event: Obeyed, facts: Programme) -> Show:
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
    lies elsewhere now, such as the bundled network, is known by its name.
    """
    recorded = {**take.networks, **take.latents}
    by_name = {path.name: sha256 for path, sha256 in recorded.items()}
    for path in {cue.network for cue in take.setlist.cues} | latents(take.setlist):
        sha256 = recorded.get(path, by_name.get(path.name))
        if sha256 is not None and sha256_of(path) != sha256:
            raise UserError(
                f"{path}: is not the file it was in this take; put that back, or --force"
            )


def read_take(path: Path) -> Take:
    """Read a take, whole or as a kill has left it.

    Raises UserError with the file, the line and what is wrong with it.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: cannot read the take: it is not a file")
        if path.exists() and path.stat().st_size > _LARGEST:
            raise UserError(f"{path}: is too large for a take")
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise UserError(f"{path}: cannot read the take: {error.strerror or error}") from error


def _read(path: Path, file: BinaryIO) -> Take:
    reading: _Reading | None = None
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
        if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            break  # cut off by a kill
        try:
            record = json.loads(line.decode())
            if not isinstance(record, dict):
                raise ValueError("no record")
            if reading is None:
                reading = _Reading(_heading(record))
            else:
                reading.add(record)
        except UserError as error:
            said = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
            raise UserError(f"{path}: line {number}: {said}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: line {number} is not of a take: no text in UTF-8") from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            said = " ".join(str(error).split())
            raise UserError(f"{path}: line {number} is not of a take: {said:.200}") from error
    if reading is None:
        raise UserError(f"{path}: is not a take: there is no whole first line")
    return reading.take()


class _Reading:
    """The lines after the first, as they come."""

    def __init__(self, heading: Take) -> None:
        self._heading = heading
        self._networks: dict[Path, str] = {}
        self._latents: dict[Path, str] = {}
        self._obeyed_at = 0  # nothing happens before what has happened
        self._events: list[Event] = []

    def take(self) -> Take:
        return replace(
            self._heading,
            networks=self._networks,
            latents=self._latents,
            events=self._events,
        )

    def add(self, record: dict[str, Any]) -> None:
        """Take a line in. Raises ValueError, LookupError or TypeError for what is none."""
        if "w" in record:
            self._events.append(Sampled(_time(record["w"], self._obeyed_at)))
        elif "do" in record:
            self._obeyed_at = _time(record["at"], self._obeyed_at)
            self._events.append(Obeyed(self._obeyed_at, _message(record)))
        elif "resumed" in record:
            self._obeyed_at = _time(record["resumed"], self._obeyed_at)
            self._events.append(Resumed(self._obeyed_at))
        elif "keys" in record:
            cue = _cue(record["keys"], self._heading)
            keys = _resolved(record, self._heading.setlist.cues[cue])
            self._events.append(Mapped(cue, keys))
        elif "network" in record:
            self._networks[_path(record["network"])] = str(record["sha256"])
        elif "latent" in record:
            self._latents[_path(record["latent"])] = str(record["sha256"])
        else:
            raise ValueError("it says nothing that is known")


def _heading(record: dict[str, Any]) -> Take:
    if record.get("anthesis take") != FORMAT:
        raise ValueError(f"it must begin with a take of format {FORMAT}")
    setlist = parse_setlist(_path(record["setlist"]), str(record["text"]))
    take = Take(datetime.fromisoformat(record["began"]), setlist, 0)
    return replace(take, cue=_cue(record["cue"], take))


def _time(value: Any, earliest: int) -> int:
    if type(value) is not int or not earliest <= value < _LATEST:
        raise ValueError(f"{value!r:.40} is no show time, or an earlier one than that before it")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r:.60} is no name of a file")
    return Path(value)


def _cue(value: Any, take: Take) -> int:
    if type(value) is not int or not 0 <= value < len(take.setlist.cues):
        raise ValueError(f"{value!r:.40} is no cue of the set list")
    return value


def _message(record: dict[str, Any]) -> Message:
    """What the show obeyed: an address that there is, with arguments as it takes them."""
    address, args = record["do"], record["args"]
    if address not in ADDRESSES or not isinstance(args, list):
        raise ValueError(f"{address!r:.60}: no such address")
    if any(isinstance(arg, float) and not math.isfinite(arg) for arg in args):
        raise ValueError(f"{address}: not a finite number")
    if not args:
        return Message(address)
    message = coerce(ADDRESSES[address], args)
    if message is None:
        raise ValueError(f"{address}: {args!r:.60} does nothing")
    return message


def _resolved(record: dict[str, Any], cue: Cue) -> Resolved:
    ws, psi = _unpacked(record["ws"], np.float32, 3), _unpacked(record["psi"], np.float64, 2)
    w_avg = _unpacked(record["w_avg"], np.float32, 1)
    keys = Resolved(ws, psi, w_avg)
    if ws.shape[:2] != psi.shape or ws.shape[2:] != w_avg.shape:
        raise ValueError(f"keys of {list(ws.shape)}, {list(psi.shape)} and {list(w_avg.shape)}")
    path_through(cue, keys)  # raises ValueError if it cannot be
    return keys


def _unpacked(packed: Any, kind: type[np.floating[Any]], dimensions: int) -> NDArray[Any]:
    dtype, shape = np.dtype(kind).newbyteorder("<"), packed["shape"]
    if packed["type"] != dtype.str or len(shape) != dimensions:
        raise ValueError(f"an array of {packed['type']!s:.10} {shape!r:.40}")
    if not all(type(side) is int and 0 < side <= MAX_WS_VALUES for side in shape):
        raise ValueError(f"an array of shape {shape!r:.60}")
    data = base64.b64decode(packed["data"], validate=True)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes for an array of {shape}")
    array = np.frombuffer(data, dtype).astype(kind).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("an array that is not finite")
    return array
