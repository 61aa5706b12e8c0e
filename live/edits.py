"""Whether somebody has saved the set list: a thread looks at its file, once a second.

A file is read when it has changed and then stayed as it was from one look to the next, so that none
is read while it is being written. It is read whole on the thread, latents and all; the stage finds
it in a place for one, at once, as a set list that is valid or as a line that says what is wrong.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine.errors import UserError
from engine.weights.containers import glance
from live import keys
from live.setlist import SetList, load_setlist
from live.take import latents, sha256_of

LOOK_EVERY_S = 1.0

Stamp: TypeAlias = tuple[int, int]
"""When a file was last written, in ns, and its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A set list that was saved, and is valid; or `wished`, made of the one that is performed."""

    setlist: SetList
    latents: dict[Path, str]  # SHA-256 of the files it names
    wished: bool = False


class Change:
    """Tells from looks at a file when it was saved, and completely. Pure."""

    def __init__(self, stamp: Stamp | None) -> None:
        """`stamp`: of the file that is known; None where it is not there."""
        self._known = stamp
        self._seen = stamp

    def look(self, stamp: Stamp | None) -> bool:
        """Whether it is to be read: another than the known one, and the same as at the last look.

        A file that is gone for a moment, as some editors have it, was not saved.
        """
        still, self._seen = stamp == self._seen, stamp
        if stamp is None or stamp == self._known or not still:
            return False
        self._known = stamp
        return True


class Edits:
    """Looks at the file of a set list until it is closed."""

    def __init__(self, file: Path, known: Stamp | None) -> None:
        """`known`: the stamp of what is performed; what has another is read."""
        self._file = file
        self._change = Change(known)
        self._newest: Saved | str | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="set list", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; nobody waits for a disk that hangs."""
        self._closed.set()

    def newest(self) -> Saved | str | None:
        """What was saved since the last call, or what is wrong with it, in one line."""
        if self._newest is None:  # nearly always: without the lock
            return None
        with self._lock:
            newest, self._newest = self._newest, None
        return newest

    def look(self) -> None:
        """One look, and what comes of it."""
        if self._change.look(stamp_of(self._file)):
            read = read_saved(self._file)
            with self._lock:
                self._newest = read

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.look()


def read_saved(file: Path) -> Saved | str:
    """A set list with all that it names, as far as that is known without an engine."""
    try:
        setlist = load_setlist(file)
        for network in {cue.network for cue in setlist.cues}:
            glance(network)
        keys.reread(setlist.cues)
        return Saved(setlist, {path: sha256_of(path) for path in sorted(latents(setlist))})
    except UserError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a fault of ours: the thread looks on, and says so
        return f"{file}: cannot be read: {error!r:.200}"


def known_stamp(setlist: SetList) -> Stamp | None:
    """The stamp of a set list's file; None if something else stands there by now.

    So what is saved while a show starts, or is started again by its watcher, is not missed. A take
    that somebody resumes brings a set list of its own, and only what is saved later counts.
    """
    stamp = stamp_of(setlist.file)
    try:
        same = setlist.file.read_bytes().decode("utf-8-sig") == setlist.text
    except (OSError, ValueError):
        return None
    return stamp if same else None


def stamp_of(file: Path) -> Stamp | None:
    """Of a file as it is; None where it is not there."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
