"""The recording of a show: tap and recorder for as long as it lasts, whatever size it has."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import moderngl

from live.recorder import Recorder, Tap


class Tape:
    """Keeps the program picture in a file; in the next file from where its size changes.

    Raises UserError where no file can be written, before the show.
    """

    def __init__(self, ctx: moderngl.Context, path: Path, size: tuple[int, int], fps: float):
        self._ctx = ctx
        self._wished = path
        self._fps = fps
        self._recorders: list[Recorder] = []  # the last one is running
        self._closing: list[threading.Thread] = []
        self._begin(size)

    @property
    def path(self) -> Path:
        """The file that is being written: the wished name, or the next free one beside it."""
        return self._recorders[-1].path

    @property
    def counts(self) -> dict[str, Any]:
        """Frames written, dropped and duplicated, and the files, over all of them."""
        counts = [recorder.counts for recorder in self._recorders]
        return {
            "written": sum(count.written for count in counts),
            "dropped": sum(count.dropped for count in counts),
            "duplicated": sum(count.duplicated for count in counts),
            "files": [str(recorder.path) for recorder in self._recorders],
        }

    def see(self, target: moderngl.Framebuffer, at: int) -> None:
        """Record the program picture of show time `at` (ns); never waits for the encoder."""
        if target.size != self._tap.size:
            self._end()
            self._begin(target.size)
        for taken in self._tap.take(target, at):
            self._recorders[-1].offer(taken.pixels, taken.show_time_ns)

    def close(self) -> None:
        """Finish the files; returns when they are complete."""
        self._end()
        for thread in self._closing:
            thread.join()

    def _begin(self, size: tuple[int, int]) -> None:
        self._tap = Tap(self._ctx, size)
        recorder = Recorder(self._wished, size, self._fps)
        recorder.start()
        self._recorders.append(recorder)

    def _end(self) -> None:
        """Let the encoder finish by itself: the show does not wait for it."""
        for taken in self._tap.drain():
            self._recorders[-1].offer(taken.pixels, taken.show_time_ns)
        self._tap.release()
        finish = self._recorders[-1].close
        thread = threading.Thread(target=finish, name="recorder-end", daemon=True)
        thread.start()
        self._closing.append(thread)
