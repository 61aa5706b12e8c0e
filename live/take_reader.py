"""Reads a take, whole or as a kill has left it; what its lines mean is in `live.take`.

Takes come from strangers: what a line may hold is checked here, and nothing else is believed.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from engine.errors import UserError
from engine.link import MAX_WS_VALUES
from live.addresses import ADDRESSES, Message, coerce
from live.gpus import Sample
from live.keys import Resolved, path_through
from live.setlist import Cue, SetList, parse_setlist
from live.take import FORMAT, Ended, Event, Gauged, Mapped, Obeyed, Relisted, Resumed, Sampled, Take

_LONGEST_LINE = 64 << 20  # a cue with 100 keys of 18 * 512 is 5 MB
_LARGEST = 1 << 30  # bytes; an hour at 60 frames a second is 5 MB
_SAMPLE = re.compile(rb'\{"w": (0|[1-9]\d{0,17})\}\n')
"""A sample as it is written, and as nearly all lines are: read at a third of what JSON takes."""
_LATEST = 10**18  # ns; no show is 31 years long
_FIGURES = TypeAdapter(Sample)
_MOST_FIGURES = 1 << 18  # bytes: 64 processes on each of 8 cards are 100 kB


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
            sample = _SAMPLE.fullmatch(line)
            if reading is not None and sample is not None:
                reading.sampled(int(sample[1]))
                continue
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
        self._setlist = heading.setlist  # that is performed by now
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

    def sampled(self, at: Any) -> None:
        """W+ was asked for. Raises ValueError for what is no show time."""
        self._events.append(Sampled(_time(at, self._obeyed_at)))

    def add(self, record: dict[str, Any]) -> None:
        """Take a line in. Raises ValueError, LookupError or TypeError for what is none."""
        if "w" in record:
            self.sampled(record["w"])
        elif "do" in record:
            self._obeyed_at = _time(record["at"], self._obeyed_at)
            heard = record.get("heard") is True
            self._events.append(Obeyed(self._obeyed_at, _message(record), heard))
        elif "gpus" in record:
            at = _time(record["at"], 0)
            self._events.append(Gauged(at, _sample(record["gpus"], at)))
        elif "ends" in record:
            self._events.append(Ended(_time(record["ends"], self._obeyed_at)))
        elif "resumed" in record:
            self._obeyed_at = _time(record["resumed"], self._obeyed_at)
            self._events.append(Resumed(self._obeyed_at))
        elif "relisted" in record:
            self._obeyed_at = _time(record["relisted"], self._obeyed_at)
            self._setlist = _setlist(record)
            self._events.append(Relisted(self._obeyed_at, self._setlist))
        elif "keys" in record:
            cue = _cue(record["keys"], self._setlist)
            keys = _resolved(record, self._setlist.cues[cue])
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
    setlist = _setlist(record)
    began = datetime.fromisoformat(record["began"])
    return Take(began, setlist, _cue(record["cue"], setlist))


def _setlist(record: dict[str, Any]) -> SetList:
    return parse_setlist(_path(record["setlist"]), str(record["text"]))


def _time(value: Any, earliest: int) -> int:
    if type(value) is not int or not earliest <= value < _LATEST:
        raise ValueError(f"{value!r:.40} is no show time, or an earlier one than that before it")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r:.60} is no name of a file")
    return Path(value)


def _cue(value: Any, setlist: SetList) -> int:
    if type(value) is not int or not 0 <= value < len(setlist.cues):
        raise ValueError(f"{value!r:.40} is no cue of the set list")
    return value


def _sample(record: Any, at: int) -> Sample:
    text = json.dumps(record, allow_nan=False)
    if len(text) > _MOST_FIGURES:
        raise ValueError("more GPUs and processes than there can be")
    return replace(_FIGURES.validate_json(text), taken_ns=at)


def _message(record: dict[str, Any]) -> Message:
    """What the show obeyed: an address that there is, with arguments as it takes them."""
    address, args = record["do"], record["args"]
    if address not in ADDRESSES or not isinstance(args, list):
        raise ValueError(f"{address!r:.60}: no such address")
    if any(isinstance(arg, float) and not math.isfinite(arg) for arg in args):
        raise ValueError(f"{address}: not a finite number")
    age = _time(record.get("age", 0), 0)
    if not args:
        return Message(address, age_ns=age)
    message = coerce(ADDRESSES[address], args)
    if message is None:
        raise ValueError(f"{address}: {args!r:.60} does nothing")
    return replace(message, age_ns=age)


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
