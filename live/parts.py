"""Makes the parts of a film: in this process, or in several at once.

python -m live.parts FOLDER DEVICE      a worker: part numbers in, "frame" and "made" out
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import numpy as np

from engine.errors import UserError
from live.film import ERRORS, Film, reason
from live.holding import load_holding
from live.job import Job, read_job, remove
from live.offline import Offline, Start, steady
from live.outfile import sync

DEATHS = 3  # workers that may end over one part

OnFrame = Callable[[int], None]
"""Told how many frames more are made, or fewer where a worker has died over its part."""


class Maker:
    """Makes parts one after the other, fastest in ascending order. Close it in the end."""

    def __init__(self, job: Job, start: Start) -> None:
        self._job = job
        self._start = start
        self._offline: Offline | None = None

    def make(self, number: int, on_frame: OnFrame) -> None:
        """Make a part, unless it is there. Raises UserError if it cannot be made."""
        path, span = self._job.path(number), self._job.parts[number]
        if path.exists():
            return
        unfinished = self._job.unfinished(number)
        try:
            if self._job.brief.codec == "png":
                unfinished.mkdir(exist_ok=True)
            self._film(unfinished, span, on_frame)
            sync(unfinished)
            _name(unfinished, path)
        except ERRORS as error:
            raise UserError(f"{path}: cannot be made: {reason(error)}") from error
        finally:
            with suppress(OSError):
                remove(unfinished)

    def close(self) -> None:
        """End the engines and free the GPU."""
        if self._offline is not None:
            self._offline.close()
            self._offline = None

    def _film(self, path: Path, span: range, on_frame: OnFrame) -> None:
        brief = self._job.brief
        first = span.start - self._job.frames.start
        offline = self._at(span.start)
        film = Film(path, brief.format, brief.size, brief.rate, effort="offline", first=first)
        upright = np.empty((brief.size[1], brief.size[0], 4), np.uint8)
        try:
            for index, frame in enumerate(offline.frames(span)):
                np.copyto(upright, frame.pixels)
                film.write(index, upright)
                on_frame(1)
        finally:
            film.close()

    def _at(self, number: int) -> Offline:
        """What has not passed that frame yet."""
        if self._offline is not None and self._offline.next > number:
            self.close()
        if self._offline is None:
            brief, take = self._job.brief, self._job.take
            self._offline = Offline(
                take,
                brief.size,
                brief.rate,
                self._start,
                holding=load_holding(take.setlist.show.holding) if brief.fades else None,
                fades=brief.fades,
                overlay=brief.overlay,
            )
        return self._offline


def _name(written: Path, path: Path) -> None:
    """Give a part its name, unless its pictures are there: somebody has made the same just now."""
    try:
        written.replace(path)
    except OSError:
        if not path.is_dir():
            raise


def make_here(job: Job, numbers: Iterable[int], device: str, on_frame: OnFrame) -> None:
    """Make parts in this process. Raises UserError if one cannot be made."""
    maker = Maker(job, steady(device))
    try:
        for number in numbers:
            maker.make(number, on_frame)
    finally:
        maker.close()


class Workers:
    """Processes that make parts at once; use as a context, which ends those that still work."""

    def __init__(self, job: Job, device: str, program: tuple[str, ...] = ("-m", "live.parts")):
        self._command = [sys.executable, *program, str(job.folder), device]
        self._processes: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._ending = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ending = True
            for process in self._processes:
                process.kill()

    def make(self, numbers: Iterable[int], count: int, on_frame: OnFrame) -> None:
        """Make parts with `count` workers; `on_frame` is called by threads.

        Raises UserError if one cannot be made.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in numbers:
            waiting.put(number)
        pool = ThreadPoolExecutor(count, "worker")
        try:
            working = [pool.submit(self._work, waiting, on_frame) for _ in range(count)]
            done, _ = wait(working, return_when=FIRST_EXCEPTION)
            for work in done:
                work.result()
        finally:
            self.__exit__()
            pool.shutdown()

    def _work(self, waiting: queue.SimpleQueue[int], on_frame: OnFrame) -> None:
        """Thread: a worker and, should it die, the next one, until nothing waits."""
        process, deaths = None, 0
        while (number := _taken(waiting)) is not None:
            while not self._ending:
                process = process or self._start()
                said = _made(process, number, on_frame)
                if said == "made":
                    deaths = 0
                    break
                _bury(process)
                process, deaths = None, deaths + 1
                if said:
                    raise UserError(said)
                if deaths == DEATHS:
                    raise UserError(f"{DEATHS} workers ended over part {number}")
        if process is not None:
            _bury(process)

    def _start(self) -> subprocess.Popen[str]:
        with self._lock:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=sys.platform != "win32",  # Ctrl-C is the parent's
            )
            self._processes.append(process)
            if self._ending:
                process.kill()
        return process


def _bury(process: subprocess.Popen[str]) -> None:
    """Let a worker end, which it does when there is no more to read."""
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    process.wait()


def _taken(waiting: queue.SimpleQueue[int]) -> int | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def _made(process: subprocess.Popen[str], number: int, on_frame: OnFrame) -> str:
    """Have a worker make a part: "made", else why it cannot be, or "" if the worker has died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
    except OSError:
        return ""
    frames = 0
    for line in process.stdout:
        if line == "frame\n":
            frames += 1
            on_frame(1)
        else:
            return line.removesuffix("\n")
    on_frame(-frames)
    return ""


def main() -> int:
    """Make the parts whose numbers come in on standard input, until it closes."""
    folder, device = sys.argv[1:]
    said = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints

    def say(word: str) -> None:
        said.write(f"{word}\n")
        said.flush()

    try:
        maker = Maker(read_job(Path(folder)), steady(device))
        for line in sys.stdin:
            maker.make(int(line), lambda frames: say("frame"))
            say("made")
    except UserError as error:
        say(str(error))
        return 2
    maker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
