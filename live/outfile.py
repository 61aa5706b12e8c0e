"""Files that a command writes: looked at when it begins if it writes them at its end, else made."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from engine.errors import UserError


def check_writable(option: str, path: Path) -> None:
    """See that a file can be written there, as far as that shows without writing it.

    Raises UserError that names the option and the path.
    """
    try:
        if path.is_dir():
            raise UserError(f"{option} {path}: is a folder; name a file")
        if not path.parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.parent}")
        there = path if path.exists() else path.parent
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UserError(f"{option} {path!s:.200}: {error.strerror}") from error
    if not os.access(there, os.W_OK):
        raise UserError(f"{option} {path}: {there} may not be written")


def check_free(option: str, path: Path, *, overwrite: bool) -> None:
    """See that a film can be placed there; a path without a suffix is a folder of pictures.

    Raises UserError that names the path: as `check_writable`, and for what is there and may not be
    overwritten.
    """
    try:
        there = path.exists() or path.is_symlink()
        pictures = not path.suffix and path.is_dir()
    except OSError:
        there = pictures = False  # the check below says why
    if not pictures:
        check_writable(option, path)
    if there and not overwrite:
        raise UserError(f"{option} {path}: is there already; name another, or --overwrite")
    if there and not path.suffix:
        _replaceable(path)


def write_json(option: str, path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON. Raises UserError that names the option and the path."""
    try:
        path.write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror})") from error


def claim(path: Path, *, overwrite: bool = False) -> Path:
    """Make an empty file of that name, or of name-2, name-3 ...; return its path.

    A path without a suffix is a folder of pictures: an empty folder is made. With overwrite the
    name itself is taken: a file is emptied, a folder may hold nothing but 000000.png, 000001.png
    ..., which are removed. Folders above are made. Raises UserError in one line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"cannot record to {path}: {path.parent} is not a folder") from error
    except OSError as error:
        raise UserError(f"cannot record to {path}: {error.strerror}") from error
    for name in _names(path):
        try:
            _make(name, overwrite=overwrite)
        except FileExistsError as error:
            if overwrite:  # only of a folder, where a file is
                raise UserError(f"cannot record to {name}: is not a folder") from error
            continue
        except OSError as error:
            raise UserError(f"cannot record to {name}: {error.strerror}") from error
        break
    return name


def place(written: Path, wished: Path, *, overwrite: bool = False) -> Path:
    """Give a file that is written the wished name, or name-2, name-3 ...; return its path.

    Nobody ever sees it unfinished, and nothing is overwritten unless that is asked for. `written`
    may be a folder of pictures, which takes the place of such a folder only. Raises OSError, and
    UserError where a folder that is to be overwritten holds anything else.
    """
    if written.is_dir():
        return _place_folder(written, wished, overwrite=overwrite)
    if overwrite:
        return written.replace(wished)
    for name in _names(wished):
        try:
            name.hardlink_to(written)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if name.exists():
                continue
            return written.replace(name)
        written.unlink()
        return name
    raise AssertionError("numbers do not end")


def sync(path: Path) -> None:
    """Wait until the disk has a file, or a folder with its files. Raises OSError.

    What is then given its name is whole whenever the power fails.
    """
    if path.is_dir():
        for file in path.iterdir():
            sync(file)
        sync_names(path)
        return
    with path.open("rb+") as written:  # Windows writes back only what may be written
        os.fsync(written.fileno())


def sync_names(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where the system can do that."""
    with suppress(OSError):  # Windows opens no folder, some network disks refuse
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unclaim(path: Path) -> None:
    """Remove what `claim` made, if it is empty or a file. Raises OSError."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def _names(path: Path) -> Iterator[Path]:
    """The name, name-2, name-3 ..."""
    return chain([path], (path.with_stem(f"{path.stem}-{n}") for n in count(2)))


def _place_folder(written: Path, wished: Path, *, overwrite: bool) -> Path:
    """See `place`: what is overwritten goes only once the new folder has its name."""
    if overwrite and (wished.exists() or wished.is_symlink()):
        _replaceable(wished)
        old = written.with_name(f"{written.name}.old")
        wished.rename(old)
        written.rename(wished)
        _empty(old)
        old.rmdir()
        return wished
    for name in _names(wished):
        if name.exists() or name.is_symlink():
            continue
        try:
            return written.rename(name)
        except OSError:
            if not name.exists():  # else somebody has taken it just now
                raise
    raise AssertionError("numbers do not end")


def _replaceable(folder: Path) -> None:
    """Raises UserError unless another folder of pictures may take the place of this one."""
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"cannot record to {folder}: is not a folder")
    _pictures(folder)


def _make(path: Path, *, overwrite: bool) -> None:
    """Make an empty file or folder; FileExistsError if it is there and may not be taken."""
    if path.suffix:
        path.open("wb" if overwrite else "xb").close()
    elif overwrite and path.is_dir():
        _empty(path)
    else:
        path.mkdir()


def _empty(folder: Path) -> None:
    """Remove the pictures of a folder, unless there is anything else in it."""
    for picture in _pictures(folder):
        picture.unlink()


def _pictures(folder: Path) -> list[Path]:
    """All that a folder holds. Raises UserError unless it is pictures of a film."""
    entries = list(folder.iterdir())
    for entry in entries:
        if not (re.fullmatch(r"\d{6,}\.png", entry.name) and entry.is_file()):
            raise UserError(
                f"cannot record to {folder}: holds {entry.name}, which is no picture of a film; "
                "name another folder"
            )
    return entries
