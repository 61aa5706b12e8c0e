"""Files that a command writes at its end: looked at when it begins, and kept by the disk."""

from __future__ import annotations

import json
import os
from contextlib import suppress
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
