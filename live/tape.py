"""The recording of a show: tap and recorder for as long as it lasts, whatever size it has."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moderngl

from live.codecs import H264, Format
from live.recorder import Recorder, Soundtrack, Tap

_log = logging.getLogger(__name__)

# ns of show time for which a new size stands still before its file begins: dragging the edge of a
# window passes through dozens of sizes, and each of them would else become a file.
_SETTLED = 500_000_000


class Tape:
    """Keeps the program picture in a file; in the next file from where its size has changed.

    The first file is made at once: raises UserError where that cannot be, before the show. In
    mid-show nothing is raised and nothing waits. What cannot be recorded is logged once and ends
    the recording, not the show; the frames from there on count as dropped, as do those between two
    files, while the size changes.

    overwrite: the first file takes the wished name even if it is there; the next ones lie beside
    it. soundtrack makes the sound of one more film.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        path: Path,
        size: tuple[int, int],
        fps: float,
        format: Format = H264,
        *,
        overwrite: bool = False,
        nvenc: bool = False,
        soundtrack: Callable[[], Soundtrack] | None = None,
    ) -> None:
        self._ctx = ctx
        self._wished = path
        self._fps = fps
        self._format = format
        self._nvenc = nvenc
        self._soundtrack = soundtrack
        self._size = size
        self._since = 0  # show time (ns) at which the size changed last
        self._stopped = False
        self._missed = 0  # frames that no recorder was offered
        self._tap: Tap | None = Tap(ctx, size)
        # The last one is running, if there is a tap.
        self._recorders = [self._recorder(overwrite=overwrite)]
        self._recorders[0].start()

    @property
    def path(self) -> Path:
        """The file that is being written: the wished name, or the next free one beside it."""
        return self._recorders[-1].path

    @property
    def counts(self) -> dict[str, Any]:
        """Frames written, dropped and duplicated over all files, and the files that exist."""
        counts = [recorder.counts for recorder in self._recorders]
        files = [recorder.path for recorder in self._recorders if recorder.counts.files]
        return {
            "written": sum(count.written for count in counts),
            "dropped": sum(count.dropped for count in counts) + self._missed,
            "duplicated": sum(count.duplicated for count in counts),
            "files": [str(path) for path in files if path.exists()],
        }

    def see(self, target: moderngl.Framebuffer, at: int) -> None:
        """Record the program picture of show time `at` (ns); never waits for the encoder."""
        if target.size != self._size:
            self._end()
            self._size, self._since = target.size, at
        if self._tap is None and not self._stopped and at - self._since >= _SETTLED:
            self._begin()
        if self._tap is None or self._recorders[-1].failed:
            self._missed += 1
            return
        for taken in self._tap.take(target, at):
            self._recorders[-1].offer(taken.pixels, taken.show_time_ns)

    def close(self, timeout_s: float = 1.0) -> None:
        """Complete the files; what is not complete after `timeout_s` seconds is left and logged.

        Such a file stays what a kill leaves: fragments that can be read. The frames that still
        waited for the encoder count as dropped.
        """
        deadline = time.monotonic() + timeout_s
        self._end()
        for recorder in self._recorders:
            recorder.close(max(0.0, deadline - time.monotonic()))

    def _begin(self) -> None:
        """Go on in the next file, unless a file has failed: whoever reads the log knows of that."""
        self._stopped = any(recorder.failed for recorder in self._recorders)
        if self._stopped:
            return
        try:
            recorder = self._recorder(overwrite=False)
            self._tap = Tap(self._ctx, self._size)
        except (moderngl.Error, MemoryError) as error:
            self._stopped = True
            _log.error("recording stopped, the show goes on: %s", error)
            return
        recorder.start_unseen()
        self._recorders.append(recorder)

    def _recorder(self, *, overwrite: bool) -> Recorder:
        """A recorder of the size that the picture has now."""
        return Recorder(
            self._wished,
            self._size,
            self._fps,
            self._format,
            overwrite=overwrite,
            nvenc=self._nvenc,
            sound=self._soundtrack() if self._soundtrack is not None else None,
        )

    def _end(self) -> None:
        """End the file; its encoder completes it by itself, the show does not wait for it."""
        if self._tap is None:
            return
        for taken in self._tap.drain():
            self._recorders[-1].offer(taken.pixels, taken.show_time_ns)
        self._tap.release()
        self._tap = None
        self._recorders[-1].end()
