"""Records pictures that a tap (live/tap.py) has read: a Recorder encodes them on its thread.

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
What the file is, and what a kill leaves of it, is in live/film.py; what each codec costs is in
live/codecs.py.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from live.claims import Claim, claim
from live.codecs import H264, Format, even, suffixed
from live.film import ERRORS, Film, reason
from live.film_sound import Sound
from live.losses import Lost, Missing, Repeated, Repeats, joined
from live.reserve import Reserve

if TYPE_CHECKING:
    from live.listening import Track

_log = logging.getLogger(__name__)

_QUEUE = 8  # frames that may wait for the encoder
# A picture takes the next place in the file if it comes within so many frames of its time: a loop
# that wakes 10 ms late now and then would else drop one frame and repeat another for nothing.
_LOOSE = 0.75
_TOLD_S = 0.5  # that the end of a program waits for what is said of a film
_WELL = 10  # seconds of film without a loss, after which the next one is said again


@dataclass(frozen=True, slots=True)
class RecorderCounts:
    """What became of the frames: `written` are in the file, `duplicated` of them to fill gaps.

    Of those `dropped`, the film lacks all but the `early` ones.
    """

    written: int
    dropped: int  # too early for the frame rate, the queue full, or the recording failed
    duplicated: int
    files: int
    early: int  # of the dropped: between two frames of the film, nothing is missing


class Recorder:
    """Writes frames of one size to one file, at a constant frame rate taken from their times.

    path: the file, or the folder of a format of pictures. size: width and height of the frames in
    pixels; where the format needs even sides, a file with odd ones repeats its last row or column.
    fps: frames a second. overwrite: take the wished name even if it is there. nvenc: encode on the
    graphics card where that opens. sound: called from offer() and the encoder's thread. It reads
    no clock.
    """

    def __init__(
        self,
        path: Path | str,
        size: tuple[int, int],
        fps: float,
        format: Format = H264,
        *,
        overwrite: bool = False,
        nvenc: bool = False,
        sound: Track | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.failed: str | None = None  # why the recording ended by itself, in one line
        self.told: Callable[[], None] | None = None  # called a second of film by the encoder
        self.first_ns: int | None = None  # show time of the first picture
        self._encoder: str | None = None
        self._claim: Claim | None = None
        self._complete = False
        self._format = format
        self._overwrite = overwrite
        self._nvenc = nvenc
        self._sound = sound
        self._rate = Fraction(fps).limit_denominator(1001)
        self._next = 0  # the index that the next frame has at the least
        self._due = 0  # the same, as if nothing had been lost
        self._number = 0  # of the next picture that is due, whether kept or lost
        self._behind: int | None = None  # the index at which the encoder was behind last
        self._early = 0
        self._not_taken = Lost()
        self._abandoned = False  # nobody waits for the encoder any more
        self._waiting: SimpleQueue[tuple[int, NDArray[np.uint8]] | None] = SimpleQueue()
        # Number and show time of the frames waiting and in work: appended here, the oldest is
        # taken out by the encoder's thread when it is done with it.
        self._pending: deque[tuple[int, int]] = deque()
        # Frames are copied into these and return here when they are encoded: _QUEUE waiting and
        # one in work bound the queue and the memory. np.empty costs nothing before its first use.
        shape = (size[1], size[0], 4)
        self._slots = deque(np.empty(shape, np.uint8) for _ in range(_QUEUE + 1))
        self._thread: threading.Thread | None = None
        self._written = self._duplicated = 0  # the encoder thread's, as are these two
        self._not_encoded = Lost()
        self._repeats = Repeats()

    @property
    def counts(self) -> RecorderCounts:
        """What became of the frames up to now."""
        dropped = self._early + self._not_taken.pictures + self._not_encoded.pictures
        dropped += len(self._pending) if self._abandoned else 0
        files = int(self._written > 0)
        return RecorderCounts(self._written, dropped, self._duplicated, files, self._early)

    @property
    def state(self) -> str:
        """What has become of the film by now, in words."""
        if self.failed is not None:
            return f"stopped: {self.failed}"
        if self._abandoned and not self._complete:
            return "cut off: the program ended before it was complete"
        return "complete" if self._complete else "recording"

    @property
    def facts(self) -> dict[str, Any]:
        """What the film is."""
        return {
            "size": even(self.size, self._format),
            "fps": float(self._rate),
            "codec": self._format.codec,
            "encoder": self._encoder,
            "chroma": self._format.chroma,
            "sound": None if self._sound is None else self._sound.facts,
        }

    def frame_at(self, show_time_ns: int) -> int:
        """The frame of the film that is seen at a show time."""
        if self.first_ns is None:
            return 0
        return max(0, int((show_time_ns - self.first_ns) * self._rate / 1_000_000_000))

    def missing(self, newest: int | None = None) -> list[Missing]:
        """The pictures that the film lacks up to now, those in a row together; or the newest runs.

        The encoder was behind, the recording failed, or it was not complete in time.
        """
        waiting = Lost()
        for number, show_time_ns in self._pending.copy() if self._abandoned else ():
            waiting.add(number, show_time_ns)
        lost = (self._not_taken, self._not_encoded, waiting)
        runs = joined(run for part in lost for run in part.runs(newest))
        return runs if newest is None else runs[-newest:]

    def repeated(self, newest: int | None = None) -> list[Repeated]:
        """The frames of the film up to now that repeat the one before; or the newest runs."""
        return self._repeats.runs(newest)

    def start(self) -> Path:
        """Make the file and begin to encode; return the path, a free name beside the wished one.

        Raises UserError where no file can be written.
        """
        self._run(partial(self._encode, *self._made()))
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
        if self.first_ns is None:
            self.first_ns = show_time_ns
            if self._sound is not None:
                self._sound.begin(show_time_ns)
        place = (show_time_ns - self.first_ns) * self._rate / 1_000_000_000
        index = _index(place, self._next)
        if index < self._next or self.failed or not self._slots:
            self._leave(place, show_time_ns)
            return
        slot = self._slots.pop()  # the last one back: the others stay untouched memory
        np.copyto(slot, pixels)
        self._next = index + 1
        self._due = max(self._due, self._next)
        self._pending.append((self._number, show_time_ns))
        self._number += 1
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
            self._tell_aside()
            _log.warning(
                "%s: not complete when the program ended: its last half second may be missing, "
                "what lies before can be played",
                self.path,
            )

    def _leave(self, place: Fraction, show_time_ns: int) -> None:
        """Drop a picture: it came early, or the film lacks it, which is said."""
        index = _index(place, self._due)
        if index < self._due:
            self._early += 1
            return
        self._due = index + 1
        self._not_taken.add(self._number, show_time_ns)
        self._number += 1
        if self.failed:
            return
        if self._behind is None or index - self._behind > _WELL * self._rate:
            _log.warning("%s: the encoder is behind, pictures are missing from the film", self.path)
        self._behind = index

    def _run(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - whatever it is, it is not to end unnoticed
                _log.exception("%s: a fault of the recorder", self.path)
                self._fail(f"{self.path}: a fault of the recorder")
                self._tell()

        self._thread = threading.Thread(target=guarded, name="recorder", daemon=True)
        self._thread.start()

    def _made(self) -> tuple[Film, Reserve]:
        self._claim = claim(suffixed(self.path, self._format), overwrite=self._overwrite)
        self.path = self._claim.path
        reserve = Reserve(self.path, float(self._rate))
        sound = Sound(self._sound.rate, self._sound.channels) if self._sound else None
        try:
            reserve.check()
            film = Film(
                self.path, self._format, self.size, self._rate, sound=sound, nvenc=self._nvenc
            )
        except UserError:
            self._remove()
            raise
        except OSError as error:
            self._remove()
            raise UserError(f"cannot record to {self.path}: {reason(error)}") from error
        self._encoder = film.encoder
        return film, reserve

    def _open_and_encode(self) -> None:
        try:
            film, reserve = self._made()
        except UserError as error:
            self._fail(str(error))
            while self._waiting.get() is not None:
                self._not_encoded.add(*self._pending[0])
                self._pending.popleft()
        else:
            self._encode(film, reserve)

    def _encode(self, film: Film, reserve: Reserve) -> None:
        """Write what is offered until close(); after an error throw it away, and count that."""
        while (item := self._waiting.get()) is not None:
            index, slot = item
            if self.failed or self._abandoned:
                self._not_encoded.add(*self._pending[0])
            else:
                self._write(film, reserve, index, slot)
            self._pending.popleft()
            self._slots.append(slot)
        if not self.failed:
            self._finish(film, None)
        self._tell()
        self._slots.clear()  # a show of many sizes keeps the counts of each, not its memory

    def _write(self, film: Film, reserve: Reserve, index: int, slot: NDArray[np.uint8]) -> None:
        try:
            while film.frames < index:
                film.repeat()
                self._duplicated += 1
                self._repeats.add(self._written)
                self._wrote(film, reserve)
            film.write(index, slot)
            self._wrote(film, reserve)
        except ERRORS as error:
            if self._written <= index:
                self._not_encoded.add(*self._pending[0])
            self._finish(film, reason(error))

    def _wrote(self, film: Film, reserve: Reserve) -> None:
        """Count a frame, give the film its sound, and see that the next one has room."""
        self._written += 1
        if self._sound is not None:
            film.hear(self._sound.take(self._end_ns))
        if self._written * self._rate.denominator % self._rate.numerator < self._rate.denominator:
            self._tell()
        reserve.check()

    def _tell(self) -> None:
        if self.told is None or not self._written:
            return
        try:
            self.told()
        except Exception:  # noqa: BLE001 - what is said of a film is not to end it
            _log.exception("%s: what there is to say of it cannot be said", self.path)
            self.told = None

    def _tell_aside(self) -> None:
        """The same on a thread: the disk may be what the encoder waits for, too."""
        teller = threading.Thread(target=self._tell, name="sidecar", daemon=True)
        teller.start()
        teller.join(_TOLD_S)

    @property
    def _end_ns(self) -> int:
        """The show time at which what is written of the film ends."""
        assert self.first_ns is not None
        return self.first_ns + int(self._written * 1_000_000_000 / self._rate)

    def _finish(self, film: Film, failure: str | None) -> None:
        """End the file; say once, if there is one, why the recording ends before its time."""
        for step in (self._hear_the_end, Film.close):
            try:
                step(film)
            except ERRORS as error:
                failure = failure or reason(error)
        if not self._written:
            self._remove()
        elif self._claim is not None:
            self._claim.keep()
        if failure:
            self._fail(f"{self.path}: {failure}")
            self._tell()
        else:
            self._complete = True

    def _hear_the_end(self, film: Film) -> None:
        if self._sound is not None and self._written:
            film.hear(self._sound.finish(self._end_ns))

    def _fail(self, failure: str) -> None:
        self.failed = failure
        _log.error("recording stopped, the show goes on: %s", failure)

    def _remove(self) -> None:
        if self._claim is not None:
            self._claim.give_up()


def _index(place: Fraction, at_least: int) -> int:
    """The index of a frame whose time is `place`, in frames: below `at_least` it is early."""
    return at_least if abs(place - at_least) <= _LOOSE else round(place)
