"""`anthesis render`: a film, or stills, of a take or of a set list, made offline."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from PIL import Image

from engine.errors import UserError
from live.codecs import format_for
from live.holding import load_holding
from live.job import Brief, Job, open_job, remove, source_of
from live.joining import join
from live.offline import Offline, steady
from live.outfile import check_writable
from live.overlay.state import Name
from live.parts import Workers, make_here
from live.progress import Frames
from live.setlist import load_setlist
from live.source import Supervised
from live.take import check_files, sha256_of
from live.take_reader import read_take
from live.walkthrough import write_walkthrough

STILLS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    source: Path  # a take or a set list
    output: Path
    size: tuple[int, int] = (1920, 1080)
    fps: float = 60.0
    begin: float = 0.0  # seconds of the film...
    end: float | None = None  # ...None for its end
    stills: tuple[float, ...] = ()  # seconds; none for a film
    codec: str | None = None
    chroma: str | None = None
    overlay: Name | None = None
    device: str = "auto"
    workers: int = 1
    part: tuple[int, int] | None = None  # number from 1, and of how many
    overwrite: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """What is filmed: a performance that was, or a set list that plays by itself."""

    sha256: str
    fades: bool
    write_take: Callable[[Path], None]


def render(options: Options) -> str:
    """Make the film or the stills; what was made, in one line.

    Raises UserError for what the user can mend. KeyboardInterrupt leaves the parts that are whole:
    the same call goes on with the others.
    """
    source = _source(options)
    return _stills(source, options) if options.stills else _film(source, options)


def parts_of(output: Path) -> Path:
    """The folder of a film in the making."""
    return output.with_name(f"{output.name}.parts")


def _film(source: _Source, options: Options) -> str:
    path, format_ = format_for(options.output, options.codec, options.chroma)
    _check_free(path, options)
    brief = Brief(
        source.sha256,
        options.size,
        str(Fraction(options.fps).limit_denominator(1001)),
        options.begin,
        options.end,
        format_.codec,
        format_.chroma,
        options.overlay,
        source.fades,
    )
    job = open_job(parts_of(path), brief, source.write_take)
    _make_parts(job, options)
    if options.part is not None:
        return f"{path}: {len(job.parts) - len(job.missing)} of {len(job.parts)} parts are made"
    _join(job, path)
    seconds = len(job.frames) / brief.rate
    return f"{path}: {len(job.frames)} frames, {float(seconds):.1f} s at {options.fps:g} a second"


def _make_parts(job: Job, options: Options) -> None:
    numbers = job.missing
    if options.part is not None:
        number, shares = options.part
        numbers = [n for n in numbers if n * shares // len(job.parts) == number - 1]
    asked = sum(len(job.parts[number]) for number in numbers)
    workers = min(options.workers, len(numbers))
    with Frames(len(job.frames), len(job.frames) - asked) as frames:
        if workers > 1:
            with Workers(job, options.device) as crew:
                crew.make(numbers, workers, frames.advance)
        else:
            make_here(job, numbers, options.device, frames.advance)


def _join(job: Job, path: Path) -> None:
    """Make the film of its parts, under its name only when it is whole."""
    parts = [job.path(number) for number in range(len(job.parts))]
    whole = job.folder / f"whole{path.suffix}"
    try:
        remove(whole)
        if job.brief.codec == "png":
            whole.mkdir()
        join(parts, whole)
        if path.exists():
            remove(path)
        whole.replace(path)
        job.remove()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _stills(source: _Source, options: Options) -> str:
    if options.output.suffix.lower() not in STILLS:
        raise UserError(f"-o {options.output}: a still is one of {', '.join(STILLS)}")
    rate = Fraction(options.fps).limit_denominator(1001)
    paths = {time: _still_path(options, time) for time in sorted(set(options.stills))}
    for path in paths.values():
        _check_free(path, options)
    with tempfile.TemporaryDirectory() as folder:
        source.write_take(Path(folder) / "still.take")
        take = read_take(Path(folder) / "still.take")
    offline = Offline(
        take,
        options.size,
        rate,
        steady(options.device),
        holding=load_holding(take.setlist.show.holding) if source.fades else None,
        fades=source.fades,
        overlay=options.overlay,
    )
    try:
        for number, picture in _pictures(offline, [round(time * rate) for time in paths]):
            for time, path in paths.items():
                if round(time * rate) == number:
                    _save(picture, path)
    finally:
        offline.close()
    return ", ".join(map(str, paths.values()))


def _pictures(offline: Offline, numbers: list[int]) -> Iterator[tuple[int, Image.Image]]:
    """Frames of a performance, in ascending order."""
    if numbers[-1] >= offline.rerun.frames:
        raise UserError(f"--at: the performance lasts {offline.rerun.seconds:.1f} s")
    for number in sorted(set(numbers)):
        (frame,) = offline.frames(range(number, number + 1))
        yield number, Image.fromarray(frame.pixels[..., :3].copy())


def _still_path(options: Options, time: float) -> Path:
    if len(options.stills) == 1:
        return options.output
    return options.output.with_stem(f"{options.output.stem}-{time:g}")


def _save(picture: Image.Image, path: Path) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        picture.save(unfinished)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"{path}: {error.strerror or error}") from error


def _check_free(path: Path, options: Options) -> None:
    check_writable("-o", path)
    if path.exists() and not options.overwrite:
        raise UserError(f"-o {path}: is there already; name another, or --overwrite")


def _source(options: Options) -> _Source:
    if _is_take(options.source):
        take = read_take(options.source)
        if not options.force:
            check_files(take)
        return _Source(sha256_of(options.source), True, partial(_copy, options.source))
    setlist = load_setlist(options.source)
    start = partial(Supervised, options.device)
    write = partial(write_walkthrough, setlist, start)
    return _Source(source_of(setlist), False, write)


def _is_take(path: Path) -> bool:
    """By its name, or else by how it begins: a take is a JSON object, a set list cannot be."""
    if path.suffix in (".take", ".toml"):
        return path.suffix == ".take"
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _copy(take: Path, path: Path) -> None:
    shutil.copyfile(take, path)
