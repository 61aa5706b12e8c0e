"""Joins films that were made in parts: their packets, one part after the other, nothing encoded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engine.errors import UserError
from live.film import ERRORS, opened, reason, sound_codec, video_tag
from live.film_sound import Sound, SoundStream

_PICTURE = re.compile(r"\d{6,}\.png")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What parts must have in common, so that one decoder can play them all."""

    codec: str
    size: tuple[int, int]
    pixels: str | None
    setup: bytes  # the decoder's: its parameter sets, its header
    rate: Fraction


def join(
    parts: Sequence[Path],
    to: Path,
    *,
    sound: Sound | None = None,
    samples: Iterable[NDArray[np.float32]] = (),
) -> None:
    """Join films of one format, size and rate into one, written to `to`, which is there.

    parts: films without sound, as Film(effort="offline") writes them, in their order; or folders
    of pictures, which are moved into the folder `to` and numbered anew. The frames of the film are
    those of the parts, decoded to the last bit; what `to` held is lost. sound: what the film's
    sound is, samples: all of it, [n, channels] at a time. Raises UserError, one line that names
    the file, where a part cannot be read or differs, or the film cannot be written.
    """
    if not parts:
        raise UserError(f"cannot join to {to}: there are no parts")
    if not to.suffix:
        _move(parts, to)
        return
    first = _kind(parts[0])
    for part in parts[1:]:
        _see_that_it_fits(part, _kind(part), parts[0], first)
    try:
        _write(parts, first, to, sound, iter(samples))
    except ERRORS as error:
        raise UserError(f"cannot join to {to}: {reason(error)}") from error


def _write(
    parts: Sequence[Path],
    kind: _Kind,
    to: Path,
    sound: Sound | None,
    samples: Iterator[NDArray[np.float32]],
) -> None:
    """Write the packets of all parts, each frame's sound after it."""
    with _read(parts[0]) as template, opened(to, {}) as container:
        # Opaque: of what the part says of its decoder nothing is left out.
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = 1 / kind.rate
        tag = video_tag(kind.codec, to)
        if tag is not None:
            stream.codec_context.codec_tag = tag
        track = None
        if sound is not None:
            track = SoundStream(container, sound_codec(kind.codec), sound)
        container.start_encoding()
        heard = 0
        for index, packet in enumerate(_packets(parts)):
            packet.stream = stream
            packet.time_base = 1 / kind.rate
            # A packet is a frame, in the order in which they are shown: there are no B-frames.
            packet.pts = packet.dts = index
            packet.duration = 1
            container.mux(packet)
            while track and heard * kind.rate < (index + 1) * track.rate:
                chunk = next(samples, None)
                if chunk is None:
                    break
                track.write(chunk)
                heard += len(chunk)
        if track is not None:
            for chunk in samples:
                track.write(chunk)
            track.close()


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
    return UserError(f"cannot join {part}: {why}; make that part again")


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
    raise UserError(f"cannot join {part} to {first_part}: it {why}; make that part again")


def _move(parts: Sequence[Path], to: Path) -> None:
    """Move the pictures of all parts into one folder; nothing is moved if one does not fit."""
    pictures = [picture for part in parts for picture in _pictures(part)]
    first = _size(pictures[0])
    for picture in pictures[1:]:
        if _size(picture) != first:
            why = "is {}x{}, not {}x{}".format(*_size(picture), *first)
            raise _unreadable(picture, why)
    for number, picture in enumerate(pictures):
        try:
            shutil.move(picture, to / f"{number:06d}.png")
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
