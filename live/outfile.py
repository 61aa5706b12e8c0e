"""Files that a command writes: looked at when it begins if it writes them at its end, else made."""

from __future__ import annotations

import json
import os
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
