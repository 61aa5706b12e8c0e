"""Files that a command writes: looked at when it begins if it writes them at its end, else made."""

from __future__ import annotations

import json
import os
import re
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
    names = chain([path], (path.with_stem(f"{path.stem}-{n}") for n in count(2)))
    for name in names:
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

    Nobody ever sees it unfinished, and nothing is overwritten unless that is asked for. Raises
    OSError.
    """
    if overwrite:
        return written.replace(wished)
    for name in chain([wished], (wished.with_stem(f"{wished.stem}-{n}") for n in count(2))):
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


def unclaim(path: Path) -> None:
    """Remove what `claim` made, if it is empty or a file. Raises OSError."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


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
    entries = list(folder.iterdir())
    for entry in entries:
        if not (re.fullmatch(r"\d{6,}\.png", entry.name) and entry.is_file()):
            raise UserError(
                f"cannot record to {folder}: holds {entry.name}, which is no picture of a film; "
                "name another folder"
            )
    for entry in entries:
        entry.unlink()
