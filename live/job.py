"""A film in the making: a folder beside it, with what is to be made and the parts that are done.

    night1.mov.parts/
        job.json        what every frame depends on
        job.take        the performance, with the keys of every cue
        000000.mov      frames 0 to 191
        000002.mov      ...

Parts are films by themselves and depend on nothing but the two files: they can be made in any
order, at once, on several machines that see the folder, and again after whatever interruption. A
part has its name only when it is whole. In the end they are joined, and the folder goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from engine.errors import UserError
from live.codecs import Format
from live.overlay.state import Name
from live.rerun import Rerun
from live.setlist import SetList
from live.take import Take, latents, sha256_of
from live.take_reader import read_take

PART_S = 4.0  # what an interruption costs at the most, in seconds of the film


@dataclass(frozen=True, slots=True)
class Brief:
    """What every frame of a film depends on."""

    source: str  # SHA-256 of what it is made from
    size: tuple[int, int]
    fps: str  # a fraction
    begin: float  # seconds of the performance
    end: float | None
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


_BRIEF = TypeAdapter(Brief)


class Job:
    """The folder of a film in the making, and the performance that is filmed; see `open_job`.

    Raises UserError where the film would have no frame.
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
        return self.folder / f"{number:06}~{_machine()}~{os.getpid()}{self._suffix}"

    def tidy(self) -> None:
        """Remove what processes of this machine that are gone have left unfinished."""
        for left in self.folder.glob(f"*~{_machine()}~*{self._suffix}"):
            pid = left.name.removesuffix(self._suffix).rpartition("~")[2]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                remove(left)

    def remove(self) -> None:
        """The film is made: the folder goes."""
        shutil.rmtree(self.folder)

    @property
    def _suffix(self) -> str:
        """That of the film, whose name the folder has: night1.mov.parts."""
        return "" if self.brief.codec == "png" else Path(self.folder.stem).suffix


def open_job(folder: Path, brief: Brief, write_take: Callable[[Path], None]) -> Job:
    """Go on with the film in the making in `folder`, or begin it.

    `write_take` writes the performance to a path, where it is not there yet. Raises UserError if
    the folder holds another film, or cannot be written.
    """
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        _once(folder / "job.take", write_take)
        _once(folder / "job.json", lambda path: _write_brief(path, brief))
        job = read_job(folder)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    except UserError:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    other = [
        f"{name} {there}, not {asked}"
        for (name, there), asked in zip(
            asdict(job.brief).items(), asdict(brief).values(), strict=True
        )
        if there != asked and name != "source"
    ]
    if job.brief != brief:
        why = "; ".join(other) or "from a set list, take or latents that have changed since"
        raise UserError(
            f"{folder}: holds another film in the making ({why}): remove it, or name another file"
        )
    job.tidy()
    return job


def read_job(folder: Path) -> Job:
    """The film in the making in a folder. Raises UserError if there is none that can be read."""
    path = folder / "job.json"
    try:
        brief = _BRIEF.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path}: is not of a film in the making: remove {folder}") from error
    return Job(folder, brief, read_take(folder / "job.take"))


def source_of(setlist: SetList) -> str:
    """A SHA-256 of all that a set list's film depends on. Raises UserError for a file not there."""
    files = sorted({cue.network for cue in setlist.cues} | latents(setlist))
    parts = [setlist.text, *(sha256_of(path) for path in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def remove(path: Path) -> None:
    """A part, film or folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _machine() -> str:
    """Its name, without a dot that would be taken for the beginning of a file's ending."""
    return platform.node().replace(".", "-")


def _write_brief(path: Path, brief: Brief) -> None:
    path.write_text(json.dumps(asdict(brief), indent=2) + "\n")


def _once(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all, and never a second time: others may begin just now."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".begun-") as folder:
        written = Path(folder) / path.name
        write(written)
        try:
            os.link(written, path)
        except FileExistsError:
            pass  # another machine was faster; what it wrote counts
        except OSError:  # a file system without links
            if not path.exists():
                written.replace(path)
