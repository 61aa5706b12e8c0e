"""Where training pictures lie: the files of a folder, or the members of a zip; no torch.

Nothing of an archive is written to disk: its members are read into memory, one at a time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from engine.errors import UserError
from engine.weights.containers import ZIP_ERRORS

MOST_OF_A_MEMBER = 512 << 20
"""Bytes of the largest member of an archive that is unpacked."""

MOST_TIMES, ALWAYS = 200, 1 << 30
"""An archive may unpack to so many times its own bytes, and to ALWAYS bytes in any case. Drawings
as BMP shrink to a hundredth; what shrinks further was made to fill memories."""

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What may be a picture.

    path: on disk, or ARCHIVE/MEMBER; what it is called.
    name: inside the source, with slashes.
    stamp: nanoseconds of its last change on disk, or its CRC in an archive.
    trouble: why it is not to be opened, if it is not.
    """

    path: Path
    name: str
    size: int
    stamp: int
    trouble: str | None = None


class Source:
    """The entries of a folder or an archive, sorted by name."""

    def __init__(self, entries: list[Entry], archive: zipfile.ZipFile | None = None) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.name)
        self._archive = archive
        self._members = {} if archive is None else {i.filename: i for i in archive.infolist()}
        self._one_at_a_time = threading.Lock()  # zipfile counts its open members without one

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, sizes and stamps, in hexadecimal: the same as long as they are."""
        facts = [[entry.name, entry.size, entry.stamp] for entry in self.entries]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def stream(self, entry: Entry) -> BinaryIO | None:
        """A member's bytes; None in a folder: the entry is a file. From any thread.

        Raises UserError that names the entry, for what cannot be read.
        """
        if entry.trouble is not None:
            raise UserError(f"{entry.path}: {entry.trouble}")
        if self._archive is None:
            return None
        try:
            with self._one_at_a_time, self._archive.open(self._members[entry.name]) as member:
                return io.BytesIO(member.read(MOST_OF_A_MEMBER))
        except (*ZIP_ERRORS, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise UserError(f"{entry.path}: is damaged in the archive ({reason})") from error


@contextmanager
def opened(source: Path, apart: Path) -> Iterator[Source]:
    """The pictures of a folder, and of those in it, or of a zip.

    apart: a folder that is not looked into, wherever it is, nor is that which holds it.
    Hidden files and folders are passed over, and folders that links lead to a second time.
    Raises UserError for a source that is neither.
    """
    try:
        mode = source.stat().st_mode
    except OSError as error:
        raise UserError(
            f"{source}: cannot be read ({error.strerror}): name a folder or a zip of pictures"
        ) from error
    if stat.S_ISDIR(mode):
        yield Source(list(_files(source, apart)))
        return
    if not stat.S_ISREG(mode):
        raise UserError(f"{source}: is no file: name a folder or a zip of pictures")
    with _archive(source) as archive:
        yield Source(list(_members(source, archive)), archive)


def _files(folder: Path, apart: Path) -> Iterator[Entry]:
    failed: list[OSError] = []
    # What a training leaves beside them, its grids, are no pictures to learn from.
    seen = {_identity(apart), _identity(apart.parent), _identity(folder)}
    for where, folders, files in os.walk(folder, followlinks=True, onerror=failed.append):
        here = Path(where)
        # Sorted: of two ways to one folder, the same is taken every time.
        inside = [name for name in sorted(folders) if not name.startswith(".")]
        folders.clear()
        for name in inside:
            if (identity := _identity(here / name)) not in seen:
                seen.add(identity)
                folders.append(name)
        for name in files:
            path = here / name
            if name.startswith("."):
                continue
            relative = path.relative_to(folder).as_posix()
            try:
                status = path.stat()
            except OSError as error:
                yield Entry(path, relative, 0, 0, f"cannot be read ({error.strerror})")
                continue
            trouble = _trouble_with_name(relative)
            yield Entry(path, relative, status.st_size, status.st_mtime_ns, trouble)
    for failure in failed:
        path = Path(os.fsdecode(failure.filename))
        name = path.relative_to(folder).as_posix()
        yield Entry(path, name, 0, 0, f"cannot be looked into ({failure.strerror})")


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names of one folder."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _trouble_with_name(name: str) -> str | None:
    if PurePosixPath(name).suffix.lower() in _ARCHIVES:
        return "is an archive among the pictures: unpack it"
    return None


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Raises UserError, for the while it is being opened only."""
    try:
        archive = zipfile.ZipFile(path)
    except (*ZIP_ERRORS, NotImplementedError) as error:
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        what = "is a damaged zip" if path.suffix.lower() == ".zip" else "is no zip"
        raise UserError(f"{path}: {what}: name a folder or a zip of pictures") from error
    with archive:
        yield archive


def _members(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    """Raises UserError for an archive that was made to fill memories."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > max(ALWAYS, MOST_TIMES * packed):
        raise UserError(
            f"{path}: would unpack to {unpacked / packed:.0f} times its size, as no archive of "
            "pictures does: unpack it yourself if it is one, and name the folder"
        )
    names: set[str] = set()
    for member in members:
        name = member.filename
        if name in names or _is_hidden(name):  # of two with one name, one can be asked for
            continue
        names.add(name)
        # Joined as text: an absolute name would replace the archive's.
        called = Path(f"{path}/{name}")
        yield Entry(called, name, member.file_size, member.CRC, _trouble_with_member(member))


def _is_hidden(name: str) -> bool:
    """And what macOS adds to archives."""
    parts = PureWindowsPath(name).parts
    return parts[:1] == ("__MACOSX",) or any(re.match(r"\.(?!\.$)", part) for part in parts)


def _trouble_with_member(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    windows = PureWindowsPath(name)
    if windows.anchor or ".." in windows.parts:
        return "has a name that leads out of the archive"
    if member.flag_bits & 1:
        return "is encrypted: unpack the archive, and name the folder"
    if member.file_size > MOST_OF_A_MEMBER:
        return f"has more than {MOST_OF_A_MEMBER >> 20} MB: export it smaller"
    return _trouble_with_name(name)
