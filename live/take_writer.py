"""Writes a take while it is performed; what its lines mean is in `live.take`."""

from __future__ import annotations

import base64
import json
import logging
import os
import platform
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from live.addresses import Message
from live.gpus import Histories, Sample
from live.keys import Resolved
from live.setlist import SetList
from live.take import (
    FORMAT,
    Ended,
    Event,
    Gauged,
    Mapped,
    Obeyed,
    Relisted,
    Resumed,
    Sampled,
    Take,
    last_state,
)

log = logging.getLogger(__name__)

KEPT_EVERY_S = 1.0
WAITING = 50_000  # lines that may wait for a slow disk: ten minutes of samples at 60 a second


class TakeWriter:
    """Writes a take while it happens, on a thread: the show does not wait for the disk.

    The constructor makes the file, `begin` or `go_on` writes where it comes from, `start` the
    thread. What cannot be written later is logged once and ends the take, not the show; `lost`
    counts the lines that the thread could not write.
    """

    def __init__(self, path: Path, *, spooled: bool = False) -> None:
        """`spooled`: the file is to go unless it is moved.

        Raises UserError if the file is there already or cannot be made.
        """
        self.path = path
        self.spooled = spooled
        self.moved: Callable[[Path], None] | None = None  # called by the thread, after a move
        self.lost = 0
        self._waiting: queue.Queue[Event | dict[str, Any] | Path | None] = queue.Queue(WAITING)
        self._full = False
        self._failed = False
        self._closed = threading.Event()
        try:
            self._file: BinaryIO = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise UserError(f"--take {path}: is there already; name another file") from error
        except OSError as error:
            raise UserError(f"--take {path!s:.200}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._write, name="take", daemon=True)

    def begin(self, setlist: SetList, cue: int, began: datetime) -> None:
        """The first line. Raises UserError if it cannot be written."""
        self._write_now(_line(_heading(setlist, cue, began)))

    def go_on(self, take: Take) -> None:
        """All of a take that is resumed, whose show then waits until there is a picture.

        Raises UserError if it cannot be written.
        """
        records = [_heading(take.setlist, take.cue, take.began)]
        for kind, files in (("network", take.networks), ("latent", take.latents)):
            records += [_file(kind, path, sha256) for path, sha256 in files.items()]
        # The audience may be waiting: of an hour's 200,000 samples, one by one took 0.8 s.
        lines = [*map(_line, records), *map(_event_line, take.events)]
        self._write_now(b"".join([*lines, _line(_event(Resumed(last_state(take).at)))]))

    def move(self, path: Path) -> None:
        """Go on in a file of that name or the next free one, with all that was written so far."""
        self.spooled = False
        self._put(path)

    def start(self) -> None:
        """From here on nothing waits for the disk."""
        self._thread.start()
        threading.Thread(target=self._keep, name="take kept", daemon=True).start()

    def file(self, kind: str, path: Path, sha256: str) -> None:
        """A "network" or "latent" that takes part."""
        self._put(_file(kind, path, sha256))

    def keys(self, cue: int, resolved: Resolved) -> None:
        """The keys of a cue, once they are known; its arrays must not change any more."""
        self._put(Mapped(cue, resolved))

    def obeyed(self, at: int, message: Message, *, heard: bool = False) -> None:
        """A message, `heard` from the desk or not, took effect at show time `at` (ns)."""
        self._put(Obeyed(at, message, heard))

    def relisted(self, at: int, setlist: SetList) -> None:
        """Another set list takes over at show time `at` (ns); its latents and keys follow."""
        self._put(Relisted(at, setlist))

    def sampled(self, at: int) -> None:
        """W+ is asked for, for show time `at` (ns)."""
        self._put(Sampled(at))

    def gauged(self, at: int, sample: Sample) -> None:
        """The GPU monitor shows this from show time `at` (ns) on."""
        self._put(Gauged(at, sample))

    def ends(self, at: int) -> None:
        """The show will have faded out at show time `at` (ns)."""
        self._put(Ended(at))

    def discard(self) -> None:
        """Nothing was performed: the file goes when this is closed."""
        self.spooled = True

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, unless the disk hangs."""
        self._closed.set()
        if self._thread.ident is None:
            self._file.close()
        else:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=timeout_s)
                self._thread.join(timeout_s)
        if self.spooled:
            self.path.unlink(missing_ok=True)

    def _put(self, record: Event | dict[str, Any] | Path) -> None:
        if self._full:
            return
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._full = True  # what waits is still written
            log.error("the take %s ends here, the show goes on: a slow disk", self.path)

    def _write(self) -> None:
        """Thread: write whole lines until told to end."""
        while (record := self._waiting.get()) is not None:
            if isinstance(record, Path):  # even if it has ended: what there is belongs to a film
                self._move(record)
                continue
            if self._failed:
                self.lost += 1
                continue
            try:
                lines = _line(record) if isinstance(record, dict) else _event_line(record)
                _write_all(self._file, lines)
            except OSError as error:
                self.lost += 1
                self._failed = True  # a gap would make another performance of what follows
                said = error.strerror or str(error)
                log.error("the take %s ends here, the show goes on: %s", self.path, said)
        self._file.close()

    def _keep(self) -> None:
        """Thread: have the disk itself keep it, once a second: the power may go, too.

        That can take longer than lines may wait in memory, where a kill would lose them.
        """
        while not self._closed.wait(KEPT_EVERY_S):
            try:
                kept = os.dup(self._file.fileno())
            except (OSError, ValueError):  # it moves just now, or is closed
                continue
            with suppress(OSError):  # some disks do not know how
                os.fsync(kept)
            os.close(kept)

    def _move(self, wished: Path) -> None:
        """Go on beside a film; where that cannot be, aside as before, for the next film perhaps."""
        path, file = wished, None
        try:
            path = free_name(wished)
            file = path.open("xb", buffering=0)
            with self.path.open("rb") as old:
                while part := old.read(1 << 20):
                    _write_all(file, part)
        except OSError as error:
            self.spooled = True
            log.error("the take cannot be %s: %s", path, error.strerror or error)
            if file is not None:
                file.close()
                path.unlink(missing_ok=True)
            return
        self._file.close()
        self.path.unlink()
        self.path, self._file = path, file
        if self.moved is not None:
            self.moved(path)

    def _write_now(self, lines: bytes) -> None:
        try:
            _write_all(self._file, lines)
        except OSError as error:
            raise UserError(f"--take {self.path}: {error.strerror or error}") from error


def _write_all(file: BinaryIO, lines: bytes) -> None:
    """Raw files may take a part of what they are given."""
    rest = memoryview(lines)
    while rest:
        rest = rest[file.write(rest) :]


def _line(record: dict[str, Any]) -> bytes:
    line = json.dumps(record, default=_packed)  # ASCII: names of files may be no text
    return line.encode() + b"\n"


def free_name(path: Path) -> Path:
    """The name, or the next with a number that nobody has."""
    names = (path.with_stem(f"{path.stem}-{n}") for n in count(2))
    return path if not path.exists() else next(name for name in names if not name.exists())


def _heading(setlist: SetList, cue: int, began: datetime) -> dict[str, Any]:
    return {
        "anthesis take": FORMAT,
        "began": began.isoformat(),
        **_text(setlist),
        "cue": cue,
        "versions": _versions(),
    }


def _text(setlist: SetList) -> dict[str, str]:
    return {"setlist": str(setlist.file.absolute()), "text": setlist.text}


def _file(kind: str, path: Path, sha256: str) -> dict[str, Any]:
    return {kind: str(path.absolute()), "sha256": sha256}


def _event(event: Event) -> dict[str, Any]:
    if isinstance(event, Sampled):
        return {"w": event.at}
    if isinstance(event, Resumed):
        return {"resumed": event.at}
    if isinstance(event, Relisted):
        return {"relisted": event.at, **_text(event.setlist)}
    if isinstance(event, Mapped):
        return {"keys": event.cue, **event.resolved._asdict()}
    if isinstance(event, Ended):
        return {"ends": event.at}
    if isinstance(event, Gauged):  # the reader knows the histories from the samples before
        return {"gpus": asdict(replace(event.sample, histories=Histories())), "at": event.at}
    message = event.message
    record = {"at": event.at, "do": message.address, "args": list(message.args)}
    if event.heard:
        record["heard"] = True
    if message.age_ns:
        record["age"] = message.age_ns
    return record


def _event_line(event: Event) -> bytes:
    if isinstance(event, Sampled):  # as JSON has it, too; nearly all of a take are such
        return b'{"w": %d}\n' % event.at
    return _line(_event(event))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    try:
        found["anthesis"] = version("anthesis")
    except PackageNotFoundError:  # run from its sources
        found["anthesis"] = "unknown"
    return found


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode()
    return {"shape": list(array.shape), "type": little.dtype.str, "data": data}
