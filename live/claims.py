"""The name of a film that begins: taken at once, and given back if nothing comes of it."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from engine.errors import UserError


@dataclass(slots=True)
class Claim:
    """A name that is taken: `path` is an empty file, or an empty folder for pictures.

    What was there before lies aside until one of these is called.
    """

    path: Path
    aside: Path | None = None

    def keep(self) -> None:
        """There is a film: what it takes the place of goes."""
        if self.aside is not None:
            with suppress(OSError):
                _remove(self.aside)
            self.aside = None

    def give_up(self) -> None:
        """There will be no film: everything is as it was."""
        with suppress(OSError):  # gone already, with its folder perhaps
            _remove(self.path)
        if self.aside is not None:
            with suppress(OSError):
                self.aside.rename(self.path)
            self.aside = None


def claim(path: Path, *, overwrite: bool = False) -> Claim:
    """Take a name, or name-2, name-3 ... if it is there already.

    A path without a suffix is a folder of pictures. With overwrite the name itself is taken; a
    folder may then hold nothing but 000000.png, 000001.png ... Folders above are made. Raises
    UserError in one line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"cannot record to {path}: {path.parent} is not a folder") from error
    except OSError as error:
        raise UserError(f"cannot record to {path}: {error.strerror}") from error
    try:
        aside = _put_aside(path) if overwrite and path.exists() else None
        for name in chain([path], (path.with_stem(f"{path.stem}-{n}") for n in count(2))):
            with suppress(FileExistsError):
                _make(name)
                return Claim(name, aside)
    except OSError as error:
        raise UserError(f"cannot record to {path}: {error.strerror}") from error
    raise AssertionError("numbers do not end")


def _put_aside(path: Path) -> Path:
    """Rename what is there, beside it. Raises UserError for what is no film."""
    if path.is_dir() and path.suffix:
        raise UserError(f"cannot record to {path}: is a folder")
    if not path.is_dir() and not path.suffix:
        raise UserError(f"cannot record to {path}: is not a folder")
    for entry in path.iterdir() if path.is_dir() else ():
        if not (re.fullmatch(r"\d{6,}\.png", entry.name) and entry.is_file()):
            raise UserError(
                f"cannot record to {path}: holds {entry.name}, which is no picture of a film; "
                "name another folder"
            )
    return path.rename(path.with_name(f".{path.name}.before-{os.getpid()}"))


def _make(path: Path) -> None:
    """Make an empty file or folder. Raises FileExistsError if it is there."""
    if path.suffix:
        path.open("xb").close()
    else:
        path.mkdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
