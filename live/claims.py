"""Names of films: taken when one begins and given back if nothing comes of it, or given at the end.

Nothing is ever overwritten unless that is asked for, and of a folder only pictures of a film.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from engine.errors import UserError
from live.outfile import check_writable


@dataclass(slots=True)
class Claim:
    """A name that is taken: `path` is an empty file, or an empty folder for pictures.

    What was there before lies `aside` until one of these is called.
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
    UserError in one line; all is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"cannot record to {path}: {path.parent} is not a folder") from error
    except OSError as error:
        raise UserError(f"cannot record to {path}: {error.strerror}") from error
    try:
        if overwrite and path.exists():
            return _instead(path)
        for name in _names(path):
            with suppress(FileExistsError):
                _make(name)
                return Claim(name)
    except OSError as error:
        raise UserError(f"cannot record to {path}: {error.strerror}") from error
    raise AssertionError("numbers do not end")


def _instead(path: Path) -> Claim:
    """Take the name of what is there, which is renamed beside it. Raises OSError, UserError."""
    if path.suffix and path.is_dir():
        raise UserError(f"cannot record to {path}: is a folder")
    if not path.suffix:
        _replaceable(path)
    # Visible: should the program be killed now, this is the old film.
    aside = next(
        name for name in _names(path.with_stem(f"{path.stem}-before")) if not name.exists()
    )
    path.rename(aside)
    try:
        _make(path)
    except OSError:
        if not path.exists():
            aside.rename(path)
        raise
    return Claim(path, aside)


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
    try:
        if there and not path.suffix:
            _replaceable(path)
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from error


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


def _names(path: Path) -> Iterator[Path]:
    """The name, name-2, name-3 ..."""
    return chain([path], (path.with_stem(f"{path.stem}-{n}") for n in count(2)))


def _place_folder(written: Path, wished: Path, *, overwrite: bool) -> Path:
    """See `place`: what is overwritten goes only once the new folder has its name."""
    if overwrite and (wished.exists() or wished.is_symlink()):
        _replaceable(wished)
        old = written.with_name(f"{written.name}.old")
        wished.rename(old)
        try:
            written.rename(wished)
        except OSError:
            old.rename(wished)
            raise
        with suppress(OSError, UserError):  # somebody has put something into it: that stays
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
