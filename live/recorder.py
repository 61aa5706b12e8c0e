"""Records the program picture: a Tap reads it from the GPU, a Recorder encodes it on its thread.

    tap = Tap(ctx, size)
    recorder = Recorder("show.mp4", size, fps=30)
    path = recorder.start()                                   # the name that was free
    for taken in tap.take(compositor.target, show_time_ns):   # once a frame
        recorder.offer(taken.pixels, taken.show_time_ns)
    for taken in tap.drain():                                 # at the end
        recorder.offer(taken.pixels, taken.show_time_ns)
    recorder.close()

Both belong to one size: after a resize end them and make others (live/tape.py); the next file takes
the next free name. Tap and offer() are for the render thread, which never waits for the encoder.

The file is fragmented H.264 in mp4: whatever kills the process, all but the last half second is
readable. At close() it becomes an ordinary mp4.

Preset ultrafast, because the encoder shares two cores with the engine that computes the frames.
CPU time a frame in ms, Mbit/s at 30 frames a second and PSNR for 1280x720 filled with flowers,
all with zerolatency at crf 18 on two cores: ultrafast 8.7, 6.0, 49.5 dB; superfast 20, 6.1, 51.0;
veryfast 40, 5.1, 51.2. The conversion from RGBA before it takes 3.0 ms.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, count
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import av
import av.error
import moderngl
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engine.errors import UserError
from live.offscreen import is_software

_log = logging.getLogger(__name__)

_QUEUE = 8  # frames that may wait for the encoder
# A picture takes the next place in the file if it comes within so many frames of its time: a loop
# that wakes 10 ms late now and then would else drop one frame and repeat another for nothing.
_LOOSE = 0.75
_RING = 3  # pixel buffers on a GPU: a frame is read two frames after it was drawn
_RESERVE = 256 << 20  # bytes of the disk that a recording leaves free for everything else
_FRAGMENT_US = 500_000
# The second, for an FFmpeg that does not know the first (before 7.1), stays fragmented at the end.
_MOVFLAGS = ("hybrid_fragmented", "frag_keyframe+empty_moov+default_base_moof")
# zerolatency: no frame waits in the encoder, where a kill would lose it.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
# Each chroma sample the mean of its four pixels, from full-resolution input. Measured against the
# formula of BT.709: luma and chroma exact but for rounding, and 1 ms faster than the default;
# fast_bilinear is off by up to 7 levels in luma.
_SCALING = int(Interpolation.AREA | Interpolation.FULL_CHR_H_INP)
# What FFmpeg and the disk may raise: EINVAL is a ValueError in PyAV, ENOMEM a MemoryError.
_ERRORS = (OSError, ValueError, MemoryError, av.error.FFmpegError)


class Taken(NamedTuple):
    """A picture from the GPU: `pixels` uint8 [height, width, 4], top row first.

    The pixels are the tap's own and change with its next take(): copy what is to be kept.
    """

    pixels: NDArray[np.uint8]
    show_time_ns: int


class Tap:
    """Reads a framebuffer of `size` without making the frame wait for the GPU.

    On a GPU through a ring of three pixel buffers, each read two frames late. Software GL has
    drawn in this very memory, so it is read at once: 0.45 ms against 1.2 through the ring for
    1280x720, 1.6 against 3.3 for 1920x1080 (llvmpipe, two cores).
    """

    def __init__(self, ctx: moderngl.Context, size: tuple[int, int]) -> None:
        self.size = size
        self._direct = is_software(str(ctx.info["GL_RENDERER"]))
        self._rows = np.zeros((size[1], size[0], 4), np.uint8)  # as GL has them: bottom row first
        buffers = range(0 if self._direct else _RING)
        self._idle = deque(ctx.buffer(reserve=self._rows.nbytes) for _ in buffers)
        self._read: deque[tuple[moderngl.Buffer, int]] = deque()

    def take(self, source: moderngl.Framebuffer, show_time_ns: int) -> list[Taken]:
        """Begin to read the picture of `show_time_ns`; return the one that has arrived, if any.

        Raises ValueError if `source` has another size.
        """
        if source.size != self.size:
            raise ValueError(f"a tap of {self.size} cannot read a picture of {source.size}")
        if self._direct:
            source.read_into(self._rows, components=4)
            return [Taken(self._rows[::-1], show_time_ns)]
        buffer = self._idle.popleft()
        source.read_into(buffer, components=4)
        self._read.append((buffer, show_time_ns))
        return [] if self._idle else [self._arrived()]

    def drain(self) -> Iterator[Taken]:
        """Wait for the pictures still on their way, oldest first; use each before the next."""
        while self._read:
            yield self._arrived()

    def release(self) -> None:
        """Free the pixel buffers; what was on its way is lost."""
        for buffer in [*self._idle, *(buffer for buffer, _ in self._read)]:
            buffer.release()
        self._idle.clear()
        self._read.clear()

    def _arrived(self) -> Taken:
        buffer, show_time_ns = self._read.popleft()
        buffer.read_into(self._rows)
        self._idle.append(buffer)
        return Taken(self._rows[::-1], show_time_ns)


@dataclass(frozen=True, slots=True)
class RecorderCounts:
    """What became of the frames: `written` are in the file, `duplicated` of them to fill gaps."""

    written: int
    dropped: int  # too early for the frame rate, the queue full, or the recording failed
    duplicated: int
    files: int


class Recorder:
    """Writes frames of one size to one file, at a constant frame rate taken from their times.

    size: width and height of the frames in pixels; a file with odd sides repeats its last row or
    column. fps: frames a second. It reads no clock.
    """

    def __init__(self, path: Path | str, size: tuple[int, int], fps: float) -> None:
        self.path = Path(path)
        self.size = size
        self.failed: str | None = None  # why the recording ended by itself, in one line
        self._rate = Fraction(fps).limit_denominator(1001)
        self._first_ns: int | None = None
        self._next = 0  # the index that the next frame has at the least
        self._early_or_full = self._accepted = 0  # the render thread's
        self._abandoned = False  # nobody waits for the encoder any more
        self._waiting: SimpleQueue[tuple[int, NDArray[np.uint8]] | None] = SimpleQueue()
        # Frames are copied into these and return here when they are encoded: _QUEUE waiting and
        # one in work bound the queue and the memory. np.empty costs nothing before its first use.
        self._even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        shape = (*reversed(self._even), 4)
        self._slots = deque(np.empty(shape, np.uint8) for _ in range(_QUEUE + 1))
        self._thread: threading.Thread | None = None
        self._written = self._duplicated = self._lost = 0  # the encoder thread's

    @property
    def counts(self) -> RecorderCounts:
        """What became of the frames up to now."""
        waiting = self._accepted - (self._written - self._duplicated) - self._lost
        dropped = self._early_or_full + self._lost + (waiting if self._abandoned else 0)
        files = int(self._written > 0)
        return RecorderCounts(self._written, dropped, self._duplicated, files)

    def start(self) -> Path:
        """Make the file and begin to encode; return the path, a free name beside the wished one.

        Raises UserError where no file can be written.
        """
        self._run(partial(self._encode, self._made()))
        return self.path

    def start_unseen(self) -> None:
        """Start in mid-show, without waiting: the encoder's thread makes the file, then encodes.

        Frames may be offered at once. Where no file can be written, that is logged, `failed` says
        why, and the frames are dropped. Until the file is made, `path` is the wished name.
        """
        self._run(self._open_and_encode)

    def offer(self, pixels: NDArray[np.uint8], show_time_ns: int) -> None:
        """Record a picture, uint8 [height, width, 4] RGBA, top row first; never waits.

        The pixels are copied (0.5 ms for 1280x720): they belong to the caller again at once. A
        picture that comes before its time, or while the encoder is behind, is dropped and counted;
        a gap is filled with the last one. Raises ValueError if the picture has another size.
        """
        width, height = self.size
        if pixels.shape != (height, width, 4):
            raise ValueError(f"a recorder of {width}x{height} got a picture {pixels.shape}")
        if self._first_ns is None:
            self._first_ns = show_time_ns
        place = (show_time_ns - self._first_ns) * self._rate / 1_000_000_000
        index = self._next if abs(place - self._next) <= _LOOSE else round(place)
        if index < self._next or self.failed or not self._slots:
            self._early_or_full += 1
            return
        slot = self._slots.pop()  # the last one back: the others stay untouched memory
        np.copyto(slot[:height, :width], pixels)
        self._next = index + 1
        self._accepted += 1
        self._waiting.put((index, slot))

    def end(self) -> None:
        """Have the encoder's thread encode what waits and complete the file; does not wait."""
        self._waiting.put(None)

    def close(self, timeout_s: float | None = None) -> None:
        """Encode what waits and return when the file is complete; one without frames is removed.

        After `timeout_s` it returns in any case, and drops what still waits: the file then is what
        a kill leaves, fragments that can be read. None waits for as long as it takes.
        """
        self.end()
        if self._thread is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive() and not self._abandoned:
            self._abandoned = True
            _log.warning(
                "%s: not complete when the program ended: its last half second may be missing, "
                "what lies before can be played",
                self.path,
            )

    def _run(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="recorder", daemon=True)
        self._thread.start()

    def _made(self) -> _File:
        self.path = _claimed(self.path)
        try:
            return _File(self.path, self._even, self._rate)
        except _ERRORS as error:
            self._remove()
            raise UserError(f"cannot record to {self.path}: {_reason(error)}") from error

    def _open_and_encode(self) -> None:
        try:
            file = self._made()
        except UserError as error:
            self._fail(str(error))
            while self._waiting.get() is not None:
                self._lost += 1
        else:
            self._encode(file)

    def _encode(self, file: _File) -> None:
        """Write what is offered until close(); after an error throw it away, and count that."""
        while (item := self._waiting.get()) is not None:
            index, slot = item
            if self.failed or self._abandoned:
                self._lost += 1
            else:
                self._write(file, index, slot)
            self._slots.append(slot)
        if not self.failed:
            self._finish(file, None)
        self._slots.clear()  # a show of many sizes keeps the counts of each, not its memory

    def _write(self, file: _File, index: int, slot: NDArray[np.uint8]) -> None:
        before = self._written
        try:
            gap = file.write(index, _padded(slot, self.size))
            self._written += gap + 1
            self._duplicated += gap
            if self._written // self._rate > before // self._rate:  # once a second of the film
                _leave_reserve(self.path)
        except _ERRORS as error:
            self._lost += self._written == before
            self._finish(file, _reason(error))

    def _finish(self, file: _File, failure: str | None) -> None:
        """End the file; say once, if there is one, why the recording ends before its time."""
        try:
            file.close()
        except _ERRORS as error:
            failure = failure or _reason(error)
        if not self._written:
            self._remove()
        if failure:
            self._fail(f"{self.path}: {failure}")

    def _fail(self, failure: str) -> None:
        self.failed = failure
        _log.error("recording stopped, the show goes on: %s", failure)

    def _remove(self) -> None:
        with suppress(OSError):  # gone already, with its folder perhaps
            self.path.unlink()


class _File:
    """An H.264 file of a constant frame rate, colours tagged and converted as BT.709."""

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        _leave_reserve(path)
        self._size = size
        self._reformatter = VideoReformatter()
        self._last: av.VideoFrame | None = None
        self._next = 0
        for movflags in _MOVFLAGS:
            try:
                self._container, self._stream = _opened(path, size, rate, movflags)
                return
            except av.error.FFmpegError:
                if movflags == _MOVFLAGS[-1]:
                    raise

    def write(self, index: int, rgba: NDArray[np.uint8]) -> int:
        """Write a frame [height, width, 4] at its index; return how many of the last fill a gap."""
        gap = range(self._next, index if self._last is not None else self._next)
        for missing in gap:
            assert self._last is not None
            self._encode(self._last, missing)
        self._last = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(rgba, "rgba"),
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_SCALING,
        )
        self._encode(self._last, index)
        self._next = index + 1
        return len(gap)

    def close(self) -> None:
        """Flush the encoder and complete the file."""
        try:
            if self._last is None:
                # FFmpeg 8.0 ends a hybrid file without a packet with a segmentation fault.
                self._encode(av.VideoFrame(*self._size, "yuv420p"), 0)
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def _encode(self, frame: av.VideoFrame, index: int) -> None:
        frame.pts = index
        self._container.mux(self._stream.encode(frame))


def _opened(
    path: Path, size: tuple[int, int], rate: Fraction, movflags: str
) -> tuple[OutputContainer, VideoStream]:
    """Open the encoder and write the file's header, so that what is wrong is known at once."""
    options = {"movflags": movflags, "frag_duration": str(_FRAGMENT_US), "flush_packets": "1"}
    container = av.open(str(path), "w", format="mp4", container_options=options)
    try:
        stream = container.add_stream("libx264", rate=rate, options=_X264)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        coder = stream.codec_context
        coder.time_base = 1 / rate
        coder.gop_size = max(1, round(rate))  # a key frame a second
        coder.colorspace = Colorspace.ITU709
        coder.color_range = ColorRange.MPEG
        coder.color_primaries = ColorPrimaries.BT709
        coder.color_trc = ColorTrc.BT709
        container.start_encoding()
    except Exception:
        container.close()
        raise
    return container, stream


def _claimed(wished: Path) -> Path:
    """Make an empty file of the wished name, or of name-2, name-3 ...; return its path."""
    path = wished if wished.suffix else wished.with_suffix(".mp4")
    if path.suffix.lower() != ".mp4":
        raise UserError(f"cannot record to {wished}: a recording is an .mp4 file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"cannot record to {path}: {path.parent} is not a folder") from error
    except OSError as error:
        raise UserError(f"cannot record to {path}: {_reason(error)}") from error
    names = chain([path], (path.with_stem(f"{path.stem}-{n}") for n in count(2)))
    for name in names:
        try:
            name.open("xb").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot record to {name}: {_reason(error)}") from error
        break
    return name


def _padded(slot: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fill the row and the column that make odd sides even with their neighbours."""
    width, height = size
    slot[:height, width:] = slot[:height, width - 1 : width]
    slot[height:] = slot[height - 1 : height]
    return slot


def _leave_reserve(path: Path) -> None:
    if shutil.disk_usage(path.parent).free < _RESERVE:
        raise OSError(f"less than {_RESERVE >> 20} MB are left on the disk")


def _reason(error: Exception) -> str:
    """Return what the system says of an error, else what the library does: one line."""
    if isinstance(error, UnknownCodecError):
        return "this PyAV is built without libx264"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).splitlines()[0]
