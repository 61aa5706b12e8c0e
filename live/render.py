"""`anthesis render`: a film, or stills, of a take or of a set list, made offline."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from PIL import Image

from engine.errors import UserError
from live.claims import check_free, place
from live.codecs import format_for
from live.film import reason
from live.holding import load_holding
from live.job import Brief, Job, open_job, remove, source_of
from live.joining import frames_of, join
from live.offline import Offline, steady
from live.outfile import sync, sync_names
from live.overlay.state import Name
from live.parts import Workers, make_here
from live.progress import Frames
from live.setlist import load_setlist
from live.source import Supervised
from live.take import check_files, sha256_of
from live.take_reader import read_take
from live.walkthrough import write_walkthrough

log = logging.getLogger(__name__)

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
    check_free("-o", path, overwrite=options.overwrite)
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
    if _remove_spoilt(job):
        _make_parts(job, options)
    placed = _join(job, path, options)
    seconds = len(job.frames) / brief.rate
    said = f"{placed}: {len(job.frames)} frames, {float(seconds):.1f} s at {options.fps:g} a second"
    if placed != path:
        said += f"; {path} was taken meanwhile"
    if job.folder.exists():
        said += f"; {job.folder} holds something else and is left"
    return said


def _make_parts(job: Job, options: Options) -> None:
    """Make what is missing of the film, or of the share of it that is asked for."""
    number, shares = options.part or (1, 1)
    parts = len(job.parts)
    share = [n for n in range(parts) if n * shares // parts == number - 1]
    numbers = sorted(set(share) & set(job.missing))
    total, asked = (sum(len(job.parts[n]) for n in which) for which in (share, numbers))
    workers = min(options.workers, len(numbers))
    with Frames(total, total - asked) as frames:
        if workers > 1:
            with Workers(job, options.device) as crew:
                crew.make(numbers, workers, frames.advance)
        else:
            make_here(job, numbers, options.device, frames.advance)


def _remove_spoilt(job: Job) -> bool:
    """Remove the parts that have not all their frames, whatever has become of them."""
    spoilt = False
    for number, span in enumerate(job.parts):
        part = job.path(number)
        frames = frames_of(part)
        if frames == len(span):
            continue
        spoilt = True
        log.warning("%s: has %d of %d frames, and is made again", part, frames, len(span))
        try:
            remove(part)
        except OSError as error:
            raise UserError(f"{part}: is spoilt: remove it ({reason(error)})") from error
    return spoilt


def _join(job: Job, path: Path, options: Options) -> Path:
    """Make the film of its parts; it has a name, which is returned, only when it is whole."""
    whole = job.whole
    try:
        if job.brief.codec == "png":
            whole.mkdir()
        join([job.path(number) for number in range(len(job.parts))], whole)
        frames = frames_of(whole)
        if frames != len(job.frames):
            raise UserError(
                f"{whole}: was joined of {frames} frames, not {len(job.frames)}; its parts are "
                "kept, and the same command joins them again"
            )
        sync(whole)
        placed = place(whole, path, overwrite=options.overwrite)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    finally:
        with suppress(OSError):
            remove(whole)
    sync_names(placed.parent)  # before the parts go
    job.remove()
    return placed


def _stills(source: _Source, options: Options) -> str:
    if options.output.suffix.lower() not in STILLS:
        raise UserError(f"-o {options.output}: a still is one of {', '.join(STILLS)}")
    rate = Fraction(options.fps).limit_denominator(1001)
    paths = {time: _still_path(options, time) for time in sorted(set(options.stills))}
    for path in paths.values():
        check_free("-o", path, overwrite=options.overwrite)
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
    placed = []
    try:
        for number, picture in _pictures(offline, [round(time * rate) for time in paths]):
            for time, path in paths.items():
                if round(time * rate) == number:
                    placed.append(_save(picture, path, options))
    finally:
        offline.close()
    return ", ".join(map(str, placed))


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
    said = repr(time).removesuffix(".0")  # no two have the same
    return options.output.with_stem(f"{options.output.stem}-{said}")


def _save(picture: Image.Image, path: Path, options: Options) -> Path:
    """Whole or not at all; the name that it has, another where that was taken meanwhile."""
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        picture.save(unfinished)
        sync(unfinished)
        return place(unfinished, path, overwrite=options.overwrite)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {reason(error)}") from error
    finally:
        unfinished.unlink(missing_ok=True)


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
