"""Joins films that were made in parts: their packets, one part after the other, nothing encoded."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from engine.errors import UserError
from live.film import ERRORS, opened, reason, video_tag

_PICTURE = re.compile(r"\d{6,}\.png")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What parts must have in common, so that one decoder can play them all."""

    codec: str
    size: tuple[int, int]
    pixels: str | None
    setup: bytes  # the decoder's: its parameter sets, its header
    rate: Fraction


def join(parts: Sequence[Path], to: Path) -> None:
    """Join films of one format, size and rate into one, written to `to`, which is there.

    parts: films without sound, as Film(effort="offline") writes them, in their order; or folders
    of pictures, which the folder `to` then holds, too, numbered anew: no part is changed. The
    frames of the film are those of the parts, decoded to the last bit; what `to` held is lost.
    Raises UserError, one line that names the file, where a part cannot be read or differs, or the
    film cannot be written.
    """
    if not parts:
        raise UserError(f"cannot join to {to}: there are no parts")
    if not to.suffix:
        _gather(parts, to)
        return
    first = _kind(parts[0])
    for part in parts[1:]:
        _see_that_it_fits(part, _kind(part), parts[0], first)
    try:
        _write(parts, first, to)
    except ERRORS as error:
        raise UserError(f"cannot join to {to}: {reason(error)}") from error


def frames_of(film: Path) -> int:
    """How many frames a film has, or whole pictures a folder: what can be read of a damaged one.

    A film is read to its end, but not decoded.
    """
    try:
        if film.is_dir():
            return sum(map(_is_whole, _pictures(film)))
        return sum(1 for _ in _packets([film]))
    except UserError:
        return 0


def _write(parts: Sequence[Path], kind: _Kind, to: Path) -> None:
    """Write the packets of all parts."""
    with _read(parts[0]) as template, opened(to, {}) as container:
        # Opaque: of what the part says of its decoder nothing is left out.
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = 1 / kind.rate
        tag = video_tag(kind.codec, to)
        if tag is not None:
            stream.codec_context.codec_tag = tag
        container.start_encoding()
        for index, packet in enumerate(_packets(parts)):
            packet.stream = stream
            packet.time_base = 1 / kind.rate
            # A packet is a frame, in the order in which they are shown: there are no B-frames.
            packet.pts = packet.dts = index
            packet.duration = 1
            container.mux(packet)


def _packets(parts: Sequence[Path]) -> Iterator[Packet[VideoStream]]:
    for part in parts:
        try:
            with _read(part) as container:
                for packet in container.demux(video=0):
                    if packet.size:  # the last one only says that there are no more
                        yield packet
        except ERRORS as error:
            raise _unreadable(part, reason(error)) from error


def _read(part: Path) -> InputContainer:
    """Open a part. Raises UserError if it is no film."""
    try:
        container = av.open(f"file:{part}")
    except ERRORS as error:
        raise _unreadable(part, reason(error)) from error
    if not container.streams.video:
        container.close()
        raise _unreadable(part, "has no pictures")
    return container


def _unreadable(part: Path, why: str) -> UserError:
    return UserError(f"cannot join {part}: {why}; remove it, and it is made again")


def _kind(part: Path) -> _Kind:
    with _read(part) as container:
        stream = container.streams.video[0]
        coder = stream.codec_context
        if container.streams.audio:
            raise _unreadable(part, "has sound, which cannot be joined")
        if stream.average_rate is None:
            raise _unreadable(part, "has no frames")
        return _Kind(
            coder.name,
            (coder.width, coder.height),
            coder.pix_fmt,
            coder.extradata or b"",
            stream.average_rate,
        )


def _see_that_it_fits(part: Path, kind: _Kind, first_part: Path, first: _Kind) -> None:
    if kind == first:
        return
    if kind.size != first.size:
        why = f"is {kind.size[0]}x{kind.size[1]}, not {first.size[0]}x{first.size[1]}"
    elif (kind.codec, kind.pixels) != (first.codec, first.pixels):
        why = f"is {kind.codec} {kind.pixels}, not {first.codec} {first.pixels}"
    elif kind.rate != first.rate:
        why = f"has {kind.rate} frames a second, not {first.rate}"
    else:
        why = "was encoded with other settings"
    raise UserError(
        f"cannot join {part} to {first_part}: it {why}; remove it, and it is made again"
    )


def _gather(parts: Sequence[Path], to: Path) -> None:
    """Have the pictures of all parts in one folder, too; none if one does not fit.

    The parts keep theirs: whatever interrupts this, they are still whole.
    """
    pictures = [picture for part in parts for picture in _pictures(part)]
    first = _size(pictures[0])
    for picture in pictures[1:]:
        if _size(picture) != first:
            why = "is {}x{}, not {}x{}".format(*_size(picture), *first)
            raise _unreadable(picture, why)
    for number, picture in enumerate(pictures):
        gathered = to / f"{number:06d}.png"
        try:
            gathered.hardlink_to(picture)
        except OSError:  # a file system without links, or a disk that is full
            try:
                shutil.copyfile(picture, gathered)
            except OSError as error:
                raise UserError(f"cannot join to {to}: {reason(error)}") from error


def _pictures(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if _PICTURE.fullmatch(path.name)]
    except OSError as error:
        raise _unreadable(folder, reason(error)) from error
    if not found:
        raise _unreadable(folder, "has no pictures")
    return sorted(found, key=lambda path: int(path.stem))


def _size(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its first bytes."""
    try:
        with picture.open("rb") as file:
            header = file.read(24)
    except OSError as error:
        raise _unreadable(picture, reason(error)) from error
    if len(header) < 24 or not header.startswith(_PNG):
        raise _unreadable(picture, "is no PNG picture")
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])


def _is_whole(picture: Path) -> bool:
    """Whether a PNG has its first and its last bytes."""
    try:
        with picture.open("rb") as file:
            begins = file.read(len(_PNG)) == _PNG
            file.seek(-min(len(_PNG_END), picture.stat().st_size), os.SEEK_END)
            return begins and file.read() == _PNG_END
    except OSError:
        return False
