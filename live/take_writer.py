"""Writes a take while it is performed; what its lines mean is in `live.take`."""

from __future__ import annotations

import base64
import json
import logging
import platform
import queue
import threading
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from live.addresses import Message
from live.keys import Resolved
from live.setlist import SetList
from live.take import FORMAT, PAUSE, Obeyed, Take

log = logging.getLogger(__name__)

WAITING = 50_000  # lines that may wait for a slow disk: ten minutes of samples at 60 a second


class TakeWriter:
    """Writes a take while it happens, on a thread: the show does not wait for the disk.

    What cannot be written is logged once and ends the take, not the show; `lost` counts the lines
    since. Raises UserError if the file is there already or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._failed = False
        try:
            self._file: BinaryIO = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise UserError(f"--take {path}: is there already; name another file") from error
        except OSError as error:
            raise UserError(f"--take {path!s:.200}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._write, name="take", daemon=True)
        self._thread.start()

    def begin(self, setlist: SetList, cue: int, began: datetime) -> None:
        """The first line."""
        self._put(
            {
                "anthesis take": FORMAT,
                "began": began.isoformat(),
                "setlist": str(setlist.file.absolute()),
                "text": setlist.text,
                "cue": cue,
                "versions": _versions(),
            }
        )

    def go_on(self, take: Take) -> None:
        """All of a take that is resumed, and that the show waits until there is a picture."""
        self.begin(take.setlist, take.cue, take.began)
        for kind, files in (("network", take.networks), ("latent", take.latents)):
            for path, sha256 in files.items():
                self.file(kind, path, sha256)
        for cue, resolved in take.resolved.items():
            self.keys(cue, resolved)
        for event in take.events:
            if isinstance(event, Obeyed):
                self.obeyed(event.at, event.message)
            else:
                self.sampled(event.at)
        self.obeyed(take.end, PAUSE)

    def file(self, kind: str, path: Path, sha256: str) -> None:
        """A "network" or "latent" that takes part."""
        self._put({kind: str(path.absolute()), "sha256": sha256})

    def keys(self, cue: int, resolved: Resolved) -> None:
        """The keys of a cue, once they are known."""
        self._put({"keys": cue, **{name: _packed(a) for name, a in resolved._asdict().items()}})

    def obeyed(self, at: int, message: Message) -> None:
        """A message took effect at show time `at` (ns)."""
        self._put({"at": at, "do": message.address, "args": list(message.args)})

    def sampled(self, at: int) -> None:
        """W+ is asked for, for show time `at` (ns)."""
        self._put({"w": at})

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, unless the disk hangs."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _put(self, record: dict[str, Any]) -> None:
        try:
            self._lines.put_nowait(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        except queue.Full:
            self.lost += 1
            self._fail("the disk is too slow")

    def _write(self) -> None:
        """Thread: write whole lines until told to end."""
        with self._file:
            while (line := self._lines.get()) is not None:
                if self._failed:
                    self.lost += 1
                    continue
                try:
                    _write_all(self._file, line)
                except OSError as error:
                    self.lost += 1
                    self._fail(error.strerror or str(error))

    def _fail(self, why: str) -> None:
        if not self._failed:
            self._failed = True  # a gap would make another performance of what follows
            log.error("the take %s ends here, the show goes on: %s", self.path, why)


def _write_all(file: BinaryIO, line: bytes) -> None:
    """Raw files may take a part of what they are given."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]


def free_name(path: Path) -> Path:
    """The name, or the next with a number that nobody has."""
    names = (path.with_stem(f"{path.stem}-{n}") for n in count(2))
    return path if not path.exists() else next(name for name in names if not name.exists())


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
