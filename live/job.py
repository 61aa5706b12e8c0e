"""A film in the making: a folder beside it, with what is to be made and the parts that are done.

    night1.mov.parts/
        job.json        what every frame depends on
        job.take        the performance, with the keys of every cue
        000000.mov      frames 0 to 191
        000002.mov      ...

Parts are films by themselves. They depend on the two files and on what those name: the networks,
the latents, the photos with what was found for them, and the holding picture, which lie at the same
absolute paths for whoever makes a part.
So they can be made in any order, at once, on several machines that see all that, and again after
whatever interruption. The folder has its name only when both files are in it, a part only when it
is whole. In the end they are joined, and the folder goes, unless it holds anything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, TypeAlias

import psutil
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from engine.errors import UserError
from live.codecs import CODECS, Format
from live.outfile import sync, sync_names
from live.overlay.state import Name
from live.rerun import LONGEST_S, Rerun
from live.setlist import SetList
from live.take import Take, latents, sha256_of
from live.take_reader import read_take

PART_S = 4.0  # what an interruption costs at the most, in seconds of the film
STALE_S = 86_400.0  # after which nobody is still writing what is unfinished
_LARGEST = 1 << 16  # bytes of job.json
_WHOSE = r"~(?P<machine>[\w-]+)~(?P<pid>\d{1,9})-(?P<token>\w+)"
_OWN = re.compile(r"\d{6,}|(?:\d{6,}|whole)" + _WHOSE, re.ASCII)
"""Names in the folder, without the film's ending: a part, or what somebody has not finished."""
_BEGUN = re.compile(r"\.begun" + _WHOSE, re.ASCII)
"""Beside it: the folder until it has both files."""
_TOKEN = uuid.uuid4().hex
"""Of this process: a later one may have its number."""
_PICTURE = re.compile(r"\d{6,}\.png(\.tmp)?", re.ASCII)  # FFmpeg's name until one is whole


def _rate(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,5}(/[1-9]\d{0,3})?", text, re.ASCII):
        raise ValueError("is no fraction")
    if not 1 <= Fraction(text) <= 240:
        raise ValueError("is not 1 to 240 frames a second")
    return text


Side: TypeAlias = Annotated[int, Field(ge=16, le=16384)]
Second: TypeAlias = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Brief:
    """What every frame of a film depends on; its bounds hold where it is read."""

    source: str  # SHA-256 of what it is made from
    size: tuple[Side, Side]
    fps: Annotated[str, AfterValidator(_rate)]  # a fraction, 1 to 240
    begin: Second  # of the performance
    end: Second | None
    codec: str
    chroma: str
    overlay: Name | None  # None leaves it to the show
    fades: bool

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.fps)

    @property
    def format(self) -> Format:
        """Of the film."""
        return Format(self.codec, self.chroma)


def _encoded(brief: Brief) -> Brief:
    if brief.codec not in CODECS or brief.chroma not in CODECS[brief.codec].pixels:
        raise ValueError("no such codec")
    return brief


_BRIEF: TypeAdapter[Brief] = TypeAdapter(Annotated[Brief, AfterValidator(_encoded)])


class Job:
    """The folder of a film in the making, and the performance that is filmed; see `open_job`.

    Raises UserError where the film would have no frame, or be longer than a day.
    """

    def __init__(self, folder: Path, brief: Brief, take: Take) -> None:
        self.folder = folder
        self.brief = brief
        self.take = take
        rerun = Rerun(take, brief.rate)
        whole = rerun.frames
        end = whole if brief.end is None else min(whole, round(brief.end * brief.rate))
        self.frames = range(round(brief.begin * brief.rate), end)
        if not self.frames:
            lasts = f"the performance lasts {rerun.seconds:.1f} s"
            raise UserError(f"there is nothing to film: {lasts}")
        if self.frames.stop - self.frames.start > LONGEST_S * brief.rate:  # a len() has its bounds
            lasts = f"the performance lasts {rerun.seconds / 3600:.1f} h"
            raise UserError(f"{lasts}, and a film a day at the most: say where to end, --to")
        length = max(1, round(PART_S * brief.rate))
        starts = self.frames[::length]
        self.parts = [range(n, min(n + length, self.frames.stop)) for n in starts]

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are not made yet."""
        return [number for number in range(len(self.parts)) if not self.path(number).exists()]

    def path(self, number: int) -> Path:
        """Of a part, once it is whole: a film, or a folder of pictures."""
        return self.folder / f"{number:06}{self._suffix}"

    def unfinished(self, number: int) -> Path:
        """Where to write a part until it is whole: no other process writes there."""
        return self.folder / f"{number:06}~{_mine()}{self._suffix}"

    @property
    def whole(self) -> Path:
        """Where to join the parts: no other process writes there."""
        return self.folder / f"whole~{_mine()}{self._suffix}"

    def tidy(self) -> None:
        """Remove what processes of this machine that are gone have left unfinished.

        Those of other machines cannot be asked: what they leave goes after a day.
        """
        for path, name in self._own():
            if _is_left(path, name):
                with suppress(OSError):
                    remove(path)

    def remove(self) -> None:
        """The film is made: its parts and files go, and the folder unless it holds anything else.

        What cannot be removed is left.
        """
        with suppress(OSError):
            for path, _ in self._own():
                with suppress(OSError):
                    remove(path)
            _discard(self.folder)

    def _own(self) -> list[tuple[Path, re.Match[str]]]:
        """What the folder holds of the film, besides the two files."""
        found = []
        for path in sorted(self.folder.iterdir()):
            name = _OWN.fullmatch(path.name.removesuffix(self._suffix))
            if name is not None and path.name.endswith(self._suffix):
                found.append((path, name))
        return found

    @property
    def _suffix(self) -> str:
        """That of the film, whose name the folder has: night1.mov.parts."""
        return "" if self.brief.codec == "png" else Path(self.folder.stem).suffix


def open_job(folder: Path, brief: Brief, write_take: Callable[[Path], None]) -> Job:
    """Go on with the film in the making in `folder`, or begin it.

    `write_take` writes the performance to a path, where it is not there yet. Raises UserError if
    the folder holds another film or anything else, or cannot be written: it is then as it was.
    """
    try:
        if not (folder / "job.json").exists():
            _begin(folder, brief, write_take)
        job = read_job(folder)
        _see_that_it_is(job, brief)
        job.tidy()
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    return job


def _see_that_it_is(job: Job, brief: Brief) -> None:
    if job.brief == brief:
        return
    other = [
        f"{name} {there}, not {asked}"
        for (name, there), asked in zip(
            asdict(job.brief).items(), asdict(brief).values(), strict=True
        )
        if there != asked and name != "source"
    ]
    why = "; ".join(other) or "from a set list, take or latents that have changed since"
    raise UserError(
        f"{job.folder}: holds another film in the making ({why}): remove it, or name another file"
    )


def _begin(folder: Path, brief: Brief, write_take: Callable[[Path], None]) -> None:
    """Make the folder with its two files, or nothing. Raises OSError, and UserError as `Job`.

    Others may begin just now; what the first of them has written counts.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder}: holds something else, and is where the film's parts would be: "
            "move it, or name another file"
        )
    for path in folder.parent.glob(".begun~*"):
        name = _BEGUN.fullmatch(path.name)
        if name is not None and _is_left(path, name):
            with suppress(OSError):
                _discard(path)
    begun = folder.with_name(f".begun~{_mine()}{uuid.uuid4().hex}")
    try:
        begun.mkdir()
        write_take(begun / "job.take")
        Job(folder, brief, read_take(begun / "job.take"))  # what has no frame is not begun
        (begun / "job.json").write_text(json.dumps(asdict(brief), indent=2) + "\n")
        sync(begun)
        with suppress(OSError):
            folder.rmdir()  # an empty one is only in the way on Windows
        begun.rename(folder)
        sync_names(folder.parent)
    except OSError:
        if not (folder / "job.json").exists():  # else somebody was faster
            raise
    finally:
        with suppress(OSError):
            _discard(begun)


def read_job(folder: Path) -> Job:
    """The film in the making in a folder. Raises UserError if there is none that can be read."""
    path = folder / "job.json"
    try:
        if not path.is_file():  # a pipe would be read for ever
            raise OSError("no file")
        with path.open("rb") as file:
            brief = _BRIEF.validate_json(file.read(_LARGEST))
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path}: is not of a film in the making: move {folder}, or name another file"
        ) from error
    return Job(folder, brief, read_take(folder / "job.take"))


def source_of(setlist: SetList) -> str:
    """A SHA-256 of all that a set list's film depends on. Raises UserError for a file not there."""
    files = sorted({cue.network for cue in setlist.cues} | latents(setlist))
    parts = [setlist.text, *(sha256_of(path) for path in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def remove(path: Path) -> None:
    """A part: a film, or a folder of pictures. Raises OSError where that holds anything else."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for picture in path.iterdir():
        if _PICTURE.fullmatch(picture.name):
            picture.unlink(missing_ok=True)
    path.rmdir()


def _discard(folder: Path) -> None:
    """A film in the making, without its parts. Raises OSError if it holds anything else."""
    for name in ("job.json", "job.take"):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _is_left(path: Path, name: re.Match[str]) -> bool:
    """Whether whoever was writing there is gone."""
    if name["machine"] is None:
        return False
    if name["machine"] == _machine():
        pid = int(name["pid"])
        gone = (
            not name["token"].startswith(_TOKEN)
            if pid == os.getpid()
            else not psutil.pid_exists(pid)
        )
        if gone:
            return True
    try:
        return time.time() - path.stat().st_mtime > STALE_S
    except OSError:
        return False


def _mine() -> str:
    """What no other process has in a name."""
    return f"{_machine()}~{os.getpid()}-{_TOKEN}"


def _machine() -> str:
    """This machine: its name, the address of its network card, and whose process numbers those are.

    Without a card that is another one in each process, and `tidy` waits for a day. Containers may
    share name and card, and have numbers of their own.
    """
    numbers = ""
    with suppress(OSError):  # Linux only
        numbers = str(Path("/proc/self/ns/pid").readlink())
    name = re.sub(r"[^\w-]", "-", f"{platform.node()}-{numbers}", flags=re.ASCII)
    return f"{name}-{uuid.getnode():012x}"
