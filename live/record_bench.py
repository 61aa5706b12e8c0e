"""What a recording costs the show: the time between frames, and the render thread's for a frame.

"record" is all that the thread does for a recorded frame; "record (the copy)" is what cannot be
less, reading the picture from OpenGL and copying it for the encoder; "record (beyond it)" is the
difference, frame by frame. The show is recorded and not, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import moderngl
import numpy as np

from engine.bench.figures import Row
from live.offscreen import Offscreen
from live.tap import Tap
from live.tape import Tape, Wanted

PHASES, PHASE_NS = 4, 2_000_000_000
SETTLING = 10  # frames at the beginning of a film, whose memory is new


class TimedTape(Tape):
    """A tape with a stopwatch, and beside it what a copy alone would take."""

    def __init__(self, output: Offscreen, folder: Path, fps: float) -> None:
        super().__init__(output.ctx, output.size, Wanted(fps, folder=folder))
        self.whole: list[float] = []  # ms
        self.copy: list[float] = []
        self._alone = Tap(output.ctx, output.size)
        self._slot = np.empty((output.size[1], output.size[0], 4), np.uint8)
        self._seen = 0

    def begin(self, name: str, at: int) -> None:
        """See `Tape.begin`."""
        self._seen = 0
        super().begin(name, at)

    def see(self, target: moderngl.Framebuffer, at: int, size: tuple[int, int]) -> None:
        """See `Tape.see`."""
        if not self.recording:
            super().see(target, at, size)
            return
        began = time.perf_counter_ns()
        super().see(target, at, size)
        seen = time.perf_counter_ns()
        for taken in self._alone.take(target, at):
            np.copyto(self._slot, taken.pixels)
        copied = time.perf_counter_ns()
        self._seen += 1
        if self._seen > SETTLING:
            self.whole.append((seen - began) / 1e6)
            self.copy.append((copied - seen) / 1e6)

    def close(self, timeout_s: float = 1.0) -> None:
        """See `Tape.close`."""
        super().close(timeout_s)
        self._alone.release()


def record_rows(tape: TimedTape, turn: Callable[[], tuple[int, float]]) -> list[Row]:
    """Of a stage that performs with this tape.

    turn: takes a turn, and returns its show time in ns and the ms since the frame before.
    """
    intervals: dict[bool, list[float]] = {False: [], True: []}
    for phase in range(2 * PHASES):
        recorded = bool(phase % 2)
        at, _ = turn()
        if recorded:
            tape.begin(f"{phase}", at)
        until = at + PHASE_NS
        turn()
        while at < until:
            at, interval = turn()
            intervals[recorded].append(interval)
        tape.stop()
    beyond = [whole - copy for whole, copy in zip(tape.whole, tape.copy, strict=True)]
    return [
        Row.of("interval (not recording)", intervals[False]),
        Row.of("interval (recording)", intervals[True]),
        Row.of("record", tape.whole),
        Row.of("record (the copy)", tape.copy),
        Row.of("record (beyond it)", beyond),
    ]
