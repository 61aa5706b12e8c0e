"""Training pictures: prepared once into one array on disk, then drawn from without end.

[N, R, R, 3] uint8, sRGB, in a .npy that is mapped into memory, so that a data set may be larger
than it. The array is named after what it was made from, and is made again when that changes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.errors import UserError
from engine.photos import read_of_many, reading
from engine.training.arrays import make_room, mapped, write_header
from engine.training.sources import Entry, Source, opened
from engine.weights.whole import whole

Say = Callable[[str], object]
"""Told a line for the user."""

Progress = Callable[[int, int], object]
"""Told how many of how many files have been read."""

FEW = 50
"""Of fewer pictures nothing but themselves can be learned."""

NAMED = 10
"""Of unreadable files so many are named, the others counted."""

_VERSION = 1  # of the way pictures are prepared
_THREADS = min(os.cpu_count() or 1, 4)  # decoders hold no lock; more would hold more memory
_LIKELY = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Order:
    """An endless order of pictures: all in a shuffled one, then all in another, and so on.

    It has no state: any place in it can be asked for at any time, so that a run that is resumed
    goes on where it was.
    """

    count: int
    seed: int
    _epochs: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False, compare=False)

    def take(self, start: int, count: int) -> NDArray[np.int64]:
        """The indices [count] from place `start` on, start >= 0."""
        taken = np.empty(count, np.int64)
        done = 0
        while done < count:
            epoch, place = divmod(start + done, self.count)
            part = self._epoch(epoch)[place : place + count - done]
            taken[done : done + len(part)] = part
            done += len(part)
        return taken

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._epochs:
            if len(self._epochs) > 1:
                self._epochs.clear()
            # RandomState is frozen: the order will be the same with any numpy.
            key = [self.seed & 0xFFFFFFFF, self.seed >> 32 & 0xFFFFFFFF, epoch]
            self._epochs[epoch] = np.random.RandomState(key).permutation(self.count)
        return self._epochs[epoch]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What a network learns from.

    pixels: [N, R, R, 3] uint8; need not be in memory.
    mirror: every picture is there mirrored as well, under its index + N. For subjects that have no
        left and right; text and clocks would be learned both ways round.
    """

    pixels: NDArray[np.uint8]
    mirror: bool = False

    def __len__(self) -> int:
        """Mirrored ones too."""
        return len(self.pixels) * (1 + self.mirror)

    @property
    def resolution(self) -> int:
        """Pixels along a side."""
        return int(self.pixels.shape[1])

    def batch(
        self, indices: Sequence[int] | NDArray[np.int64], device: str | torch.device = "cpu"
    ) -> Tensor:
        """Pictures [len(indices), 3, R, R] float32 in [-1, 1], channels-last in memory."""
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"there are {len(self)} pictures")
        chosen = np.take(self.pixels, wanted % len(self.pixels), axis=0)
        mirrored = wanted >= len(self.pixels)
        chosen[mirrored] = chosen[mirrored, :, ::-1]
        # Bytes travel: a quarter of what floats take.
        pixels = torch.from_numpy(chosen).to(device).permute(0, 3, 1, 2)
        return pixels.to(torch.float32) / 127.5 - 1

    def order(self, seed: int) -> Order:
        """Of all indices."""
        return Order(len(self), seed)


def prepare(
    source: Path,
    resolution: int,
    cache: Path,
    say: Say,
    *,
    mirror: bool = False,
    progress: Progress = lambda done, total: None,
) -> Pictures:
    """The pictures of a folder, with those in it, or of a zip: upright squares from their middles.

    resolution: pixels along a side of the result. Made smaller or larger by Lanczos.
    cache: a folder, made if it is not there. It keeps the array; neither it nor the folder that it
        is in, a training's, is looked into for pictures. Whatever happens meanwhile, Ctrl-C too, an
        array is there whole or not at all.

    What is unreadable is said and left out. Raises UserError: no folder and no zip, not one
    picture, a full disk.
    """
    if cache.exists() and source.exists() and cache.samefile(source):
        raise UserError(
            f"{cache}: is where the pictures are: what is made of them needs a folder of its own"
        )
    with opened(source, cache) as found:
        key = found.fingerprint[:16]
        out = cache / f"pictures-{resolution}-v{_VERSION}-{key}.npy"
        pixels = mapped(out, resolution)
        if pixels is None:
            _prepare(source, found, out, resolution, _printable(say), progress)
            pixels = mapped(out, resolution)
            if pixels is None:
                raise UserError(f"{out}: was changed as soon as it was written: try again")
        else:
            say(f"{len(pixels)} pictures, prepared before ({out})")
    if len(pixels) < FEW:
        say(
            f"few pictures ({len(pixels)}): a network will repeat them rather than invent. "
            "1000 or more are comfortable; 100 to 500 can do if a trained network is fine-tuned "
            "(--from)"
        )
    return Pictures(pixels, mirror)


def _printable(say: Say) -> Say:
    """Files may be called anything: nothing in a name steers the terminal."""
    return lambda line: say("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


def _prepare(
    source: Path, found: Source, out: Path, resolution: int, say: Say, progress: Progress
) -> None:
    """Write the array, and say what became of the files. Raises UserError."""
    likely = sum(entry.path.suffix.lower() in _LIKELY for entry in found.entries)
    make_room(out.parent, likely, resolution, "pictures")
    count, enlarged, refused = 0, 0, 0
    with whole(out) as stream, closing(_squares(found, resolution)) as squares:
        write_header(stream, len(found.entries), resolution)
        for done, square in enumerate(squares, 1):
            if isinstance(square, UserError):
                refused += 1
                if refused <= NAMED:
                    say(f"left out: {square}")
            else:
                count += 1
                enlarged += square.enlarged
                stream.write(square.pixels.tobytes())
            progress(done, len(found.entries))
        if not count:
            what = f"none of its {refused} files is a picture" if refused else "is empty"
            raise UserError(f"{source}: {what}: name a folder or a zip of pictures")
        stream.seek(0)
        write_header(stream, count, resolution)
    if refused > NAMED:
        say(f"left out: {refused - NAMED} more")
    if enlarged:
        say(
            f"{enlarged} of the {count} pictures are smaller than {resolution}x{resolution} and "
            "were enlarged: a network learns their blur"
        )


@dataclass(frozen=True, slots=True)
class _Square:
    pixels: NDArray[np.uint8]  # [R, R, 3]
    enlarged: bool


def _squares(found: Source, resolution: int) -> Generator[_Square | UserError]:
    """One for each entry, in their order: threads are a few pictures ahead.

    Closing it waits for the pictures that are being read.
    """
    one = partial(_square, found, resolution=resolution)
    ahead: deque[Future[_Square | UserError]] = deque()
    pool = ThreadPoolExecutor(_THREADS, "pictures")
    with reading():
        try:
            for entry in found.entries:
                ahead.append(pool.submit(one, entry))
                if len(ahead) > 2 * _THREADS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _square(found: Source, entry: Entry, resolution: int) -> _Square | UserError:
    """The middle of a picture, or what is wrong with it."""
    try:
        picture = read_of_many(entry.path, resolution, 0, found.stream(entry))
    except UserError as error:
        return error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    square = square.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return _Square(np.asarray(square), side < resolution)
