"""How far a long piece of work has come: a bar where a person watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Lock
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 10.0


class Frames:
    """Counts frames of a film; use as a context. `done` of `total` are there already."""

    def __init__(
        self,
        total: int,
        done: int = 0,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._done, self._first = total, done, done
        self._stream, self._clock = stream, clock
        self._began = self._told = clock()
        self._lock = Lock()
        self._bar: Progress | None = None
        if stream.isatty():
            self._bar = Progress(
                BarColumn(),
                TextColumn("frame {task.completed} of {task.total} · {task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=Console(file=stream),
                speed_estimate_period=60.0,
            )
            self._task = self._bar.add_task("", total=total, completed=done, rate="")

    def __enter__(self) -> Frames:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, frames: int = 1) -> None:
        """So many more; from whatever thread."""
        with self._lock:
            self._done += frames
            if self._bar is not None:
                rate = f"{self._rate():.1f} a second"
                self._bar.update(self._task, completed=self._done, rate=rate)
            elif self._clock() - self._told >= EVERY_S:
                self._told = self._clock()
                left = (self._total - self._done) / max(self._rate(), 1e-9)
                self._stream.write(f"frame {self._done} of {self._total}, {_minutes(left)} left\n")
                self._stream.flush()

    def _rate(self) -> float:
        """Frames a second."""
        elapsed = self._clock() - self._began
        return (self._done - self._first) / elapsed if elapsed > 0 else 0.0


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
