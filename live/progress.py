"""How far a long piece of work has come: a bar where a person watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from engine.errors import one_line
from engine.training.options import Progress as Gone

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


class _Bar:
    """A bar that comes and goes, and lines above it; use as a context."""

    def __init__(
        self,
        stopped: Callable[[], bool],
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """stopped: whether the user wants to end it."""
        self.stopped = stopped
        self._stream, self._clock = stream, clock
        self._told = clock()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._end()
        self._stream.write(f"{one_line(line)}\n")
        self._stream.flush()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Steps(_Bar):
    """How searches for W+ go: an `engine.projection.options.Report`; use as a context."""

    _names = ""
    _first = 0  # steps, when the bar began
    _began = 0.0

    def failed(self, line: str) -> None:
        """The same, of a photo that cannot be projected."""
        self.say(f"anthesis: {line}")

    def begins(self, names: Sequence[str], left: int) -> None:
        """A bar for these photos."""
        self._end()
        self._names = one_line(", ".join(names))
        self._told = self._began = self._clock()
        self._first = left
        if self._stream.isatty() and left:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("step {task.completed} of {task.total} · loss {task.fields[loss]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=Console(file=self._stream),
                transient=True,
            )
            self._task = self._bar.add_task(_short(self._names), total=left, loss="")
            self._bar.start()

    def stepped(self, loss: float, left: int) -> None:
        """One step more. Of those that were left, a plateau may have struck out many."""
        done = self._first - left
        if self._bar is not None:
            self._bar.update(self._task, completed=done, loss=f"{loss:.4f}")
        elif self._clock() - self._told >= EVERY_S:
            self._told = self._clock()
            # A step that led back to the best so far does not count.
            remaining = left * (self._told - self._began) / max(done, 1)
            self._stream.write(
                f"{_short(self._names)}: step {done} of {self._first}, loss {loss:.4f}, "
                f"{_minutes(remaining)} left\n"
            )
            self._stream.flush()


class Training(_Bar):
    """How a training goes: an `engine.training.options.Report`; use as a context."""

    def went(self, progress: Gone) -> None:
        """A few steps more."""
        if not self._stream.isatty():
            if self._clock() - self._told >= EVERY_S:
                self._told = self._clock()
                self._stream.write(f"{_in_words(progress)}\n")
                self._stream.flush()
            return
        if self._bar is None:
            self._bar = Progress(
                BarColumn(bar_width=20),
                TextColumn("{task.description}", markup=False),
                console=Console(file=self._stream),
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0 if progress.share else None)
            self._bar.start()
        self._bar.update(self._task, completed=progress.share, description=_in_words(progress))


class Bytes:
    """How a download goes; use as a context."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(file=stream),
            disable=not stream.isatty(),
        )
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Bytes:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def came(self, done: int, total: int | None) -> None:
        """So many bytes by now, of so many if that is known."""
        self._bar.update(self._task, completed=done, total=total)


def _in_words(progress: Gone) -> str:
    """12.3 kimg · 38.1 pictures a second · 1:02:03 left · G 0.812 D 1.204 R1 0.031 · p 0.12."""
    parts = [f"{progress.kimg:.1f} kimg", f"{progress.rate:.1f} pictures a second"]
    if progress.left_s is not None:
        parts.append(f"{_minutes(max(progress.left_s, 0))} left")
    names = (("generator", "G"), ("discriminator", "D"), ("r1", "R1"), ("pairs", "pairs"))
    means = progress.means
    losses = [f"{short} {means[name]:.3f}" for name, short in names if name in means]
    parts += [" ".join(losses)] if losses else []
    parts += [f"p {progress.p:.2f}"] if progress.p else []
    return " · ".join(parts)


def _short(names: str) -> str:
    """Of many photos the first ones."""
    return names if len(names) <= 40 else f"{names[:39]}…"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
