"""Recordings of a show: begun and ended as somebody wants, whatever size the picture has.

Each film has its own file, taken from the picture by a tap and encoded by a recorder, and a sidecar
that says what is in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import moderngl

from live.codecs import CODECS, H264, Format, From, even
from live.listening import Track
from live.recorder import Recorder
from live.sidecar import Facts, Sidecar
from live.tap import Tap

log = logging.getLogger(__name__)

# ns of show time for which a new size stands still before its file begins: dragging the edge of a
# window passes through dozens of sizes, and each of them would else become a file.
_SETTLED = 500_000_000
MOST_SAID = 100  # different texts

Listen: TypeAlias = Callable[[], Track]
"""Begins to put what is heard from now on into a new track."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What films are to be like.

    folder: where they go unless a path says otherwise. overwrite: the file that is named before the
    show may be there already. listen: gives each film its sound.
    """

    fps: float
    format: Format = H264
    tap: From = "program"
    folder: Path = Path()
    overwrite: bool = False
    nvenc: bool = False
    listen: Listen | None = None


class Status(NamedTuple):
    """How the recording stands, for operator and desk."""

    recording: bool
    failed: bool  # it has ended by itself
    frames: int  # written to the film that is, or was last
    seconds: float  # that they last
    text: str  # the film's name, or why it has ended; "" before the first


class Tape:
    """Keeps the picture in a file from `start` to `stop`; in the next from where its size changes.

    A film that is named before the show is begun at once, by `start`: raises UserError where that
    cannot be. In mid-show nothing is raised and nothing waits. What cannot be recorded is logged
    once and ends the recording, not the show; the frames from there on count as dropped, as do
    those between two files, while the size changes.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        size: tuple[int, int],
        wanted: Wanted,
        facts: Facts = dict,
        begun: Callable[[Path], None] = lambda path: None,
    ) -> None:
        """`begun` is called with the name of every film when it is begun."""
        self.wanted = wanted
        self._ctx = ctx
        self._facts = facts
        self._begun = begun
        self._size = size
        self._since = 0  # show time (ns) at which the size changed last
        self._wished: Path | None = None  # what is being recorded, if anything is
        self._missed = 0  # frames that no recorder was offered
        self._tap: Tap | None = None
        self._no_tap: str | None = None  # why there is none
        self._films: list[Sidecar] = []
        self._said: set[tuple[str, str]] = set()
        self._newest: Sidecar | None = None  # film of the recording that goes on, or has failed

    @property
    def recording(self) -> bool:
        """Whether a recording goes on; False from where it has failed."""
        return self._wished is not None and not self._failed

    @property
    def status(self) -> Status:
        """How the recording stands."""
        failed = self._failed
        if not self._films:
            name = "" if self._wished is None else self._wished.name
            return Status(self.recording, failed is not None, 0, 0.0, failed or name)
        recorder = self._films[-1].recorder
        frames = recorder.counts.written
        seconds = frames / self.wanted.fps
        text = failed or recorder.path.name
        return Status(self.recording, failed is not None, frames, seconds, text)

    @property
    def counts(self) -> dict[str, Any]:
        """Frames written, dropped and duplicated over all films, and the files that exist."""
        recorders = [film.recorder for film in self._films]
        counts = [recorder.counts for recorder in recorders]
        return {
            "written": sum(count.written for count in counts),
            "dropped": sum(count.dropped for count in counts) + self._missed,
            "duplicated": sum(count.duplicated for count in counts),
            "early": sum(count.early for count in counts),
            "files": [str(r.path) for r in recorders if r.counts.files and r.path.exists()],
        }

    def start(self, path: Path) -> str:
        """Begin a film before the show; what there is to say of its size, "" if nothing.

        Raises UserError where it cannot be made.
        """
        film = self._film(path, overwrite=self.wanted.overwrite)
        film.recorder.start()
        self._began(path, film)
        self._tap = Tap(self._ctx, self._size)
        size = even(self._size, self.wanted.format)
        if size == self._size:
            return ""
        width, height = self._size
        return (
            f"{film.recorder.path} is {size[0]}x{size[1]}: the last row or column of "
            f"{width}x{height} is there twice"
        )

    def begin(self, name: str, at: int) -> None:
        """Begin a film in mid-show, at show time `at` (ns), unless one goes on.

        Opening the encoder, on its thread, holds Python's lock meanwhile: 3 to 6 ms for H.264 at
        1280x720, 15 for AV1.

        name: a plain name that nobody outside the films' folder can be meant by, "" for one with
        date and time. What it cannot be is logged.
        """
        if self.recording:
            self._say_once("record/start", f"recording to {self._wished} already")
            return
        if name and (Path(name).name != name or name.startswith(".") or "\\" in name):
            self._say_once("record/start", f"{name!r:.80} is not a plain name")
            return
        self.stop()
        self._no_tap = None
        name = name or f"anthesis-{datetime.now():%Y-%m-%d-%H%M%S}"
        self._wished = self.wanted.folder / _with_ending(name, self.wanted.format)
        self._since = at - _SETTLED

    def stop(self) -> None:
        """End the film; its encoder completes it by itself."""
        self._end()
        self._wished = self._newest = None

    def mark(self, text: str, at: int) -> None:
        """Mark show time `at` (ns) in the film that is being recorded, if one is."""
        if not self.recording:
            self._say_once("record/marker", "nothing is being recorded")
        elif self._newest is None:
            self._say_once("record/marker", "the film has not begun yet")
        elif not self._newest.mark(text, at):
            self._say_once("record/marker", "too many of them, the others are left out")

    def see(self, target: moderngl.Framebuffer, at: int, size: tuple[int, int]) -> None:
        """Record the picture of show time `at` (ns), of that size, if it is to be; never waits."""
        if size != self._size:
            self._end()
            self._size, self._since = size, at
        if self._wished is None:
            return
        if self._tap is None and not self._failed and at - self._since >= _SETTLED:
            self._go_on(self._wished)
        if self._tap is None or self._failed:
            self._missed += 1
            return
        assert self._newest is not None
        if self._newest.began is None:
            self._newest.began = datetime.now().astimezone()
        for taken in self._tap.take(target, at):
            self._newest.recorder.offer(taken.pixels, taken.show_time_ns)

    def close(self, timeout_s: float = 5.0) -> None:
        """Complete the films; what is not complete after `timeout_s` seconds is left and logged.

        Such a file stays what a kill leaves: fragments that can be read. The frames that still
        waited for the encoder count as dropped.
        """
        deadline = time.monotonic() + timeout_s
        self.stop()
        for film in self._films:
            film.recorder.close(max(0.0, deadline - time.monotonic()))

    @property
    def _failed(self) -> str | None:
        """Why the recording has ended by itself, if it has."""
        return self._no_tap or (None if self._newest is None else self._newest.recorder.failed)

    def _say_once(self, address: str, text: str) -> None:
        """A desk that floods is not to push the operator's other lines away."""
        if (address, text) not in self._said and len(self._said) < MOST_SAID:
            self._said.add((address, text))
            log.warning("%s: %s", address, text)

    def _go_on(self, path: Path) -> None:
        """Begin a film, or the next one of another size, without waiting."""
        film = self._film(path)
        try:
            self._tap = Tap(self._ctx, self._size)
        except (moderngl.Error, MemoryError) as error:
            self._no_tap = f"no memory for pictures of {self._size[0]}x{self._size[1]}"
            log.error("recording stopped, the show goes on: %s: %s", self._no_tap, error)
            return
        film.recorder.start_unseen()
        self._began(path, film)

    def _film(self, path: Path, *, overwrite: bool = False) -> Sidecar:
        wanted = self.wanted
        recorder = Recorder(
            path,
            self._size,
            wanted.fps,
            wanted.format,
            overwrite=overwrite,
            nvenc=wanted.nvenc,
            sound=None if wanted.listen is None else wanted.listen(),
        )
        film = Sidecar(recorder, self._facts, wanted.tap, overwrite)
        recorder.told = film.write
        return film

    def _began(self, path: Path, film: Sidecar) -> None:
        self._wished = path
        self._films.append(film)
        self._newest = film
        self._begun(film.recorder.path)

    def _end(self) -> None:
        """End the file; its encoder completes it by itself, the show does not wait for it."""
        if self._tap is None or self._newest is None:
            return
        for taken in self._tap.drain():
            self._newest.recorder.offer(taken.pixels, taken.show_time_ns)
        self._tap.release()
        self._tap = None
        self._newest.recorder.end()


def _with_ending(name: str, format: Format) -> str:
    """The name of a film of that format: night.1 becomes night.1.mp4."""
    endings = CODECS[format.codec].suffixes
    if not endings:
        return name.replace(".", "-")  # a folder
    return name if Path(name).suffix.lower() in endings else name + endings[0]
