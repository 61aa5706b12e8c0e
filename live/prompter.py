"""What the operator is told, at the terminal that started the show and never on the picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from live.keyboard import HELP

if TYPE_CHECKING:
    from live.app import Stage

EVERY_NS = 500_000_000
CLEAR_LINE = "\r\x1b[K"


class Prompter:
    """One line that is kept up to date while a person watches, and plain lines besides."""

    def __init__(self, terminal: TextIO = sys.stderr) -> None:
        self._terminal = terminal
        self._live = terminal.isatty()
        self._told_at = 0
        self._presented = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._terminal.write(f"{CLEAR_LINE if self._live else ''}{text}\n")
        self._terminal.flush()

    def help(self) -> None:
        """What the keys do."""
        self.say(HELP)

    def prompt(self, stage: Stage, now: int) -> None:
        """Bring the operator's line up to date, twice a second."""
        elapsed = now - self._told_at
        if elapsed < EVERY_NS:
            return
        presented = stage.statistics.presented
        rate = (presented - self._presented) / (elapsed / 1e9)
        self._told_at, self._presented = now, presented
        line = self._line(stage, now, rate)
        stage.output.operator(line)
        if self._live:
            self._terminal.write(CLEAR_LINE + line)
            self._terminal.flush()

    def clear(self) -> None:
        """Take the line away, before other text."""
        if self._live:
            self._terminal.write(CLEAR_LINE)
            self._terminal.flush()

    def _line(self, stage: Stage, now: int, rate: float) -> str:
        show = stage.show
        cue = stage.programme[show.voice.cue]
        beat = show.voice.beat(show.transport, stage.show_time(now))
        state = "" if show.transport.playing else " · paused"
        for name, on in (("blackout", show.blackout), ("frozen", show.frozen)):
            state += f" · {name}" if on else ""
        header = stage.last_frame.header if stage.last_frame is not None else None
        engine = (
            "" if header is None else f" · engine {(header.finished - header.started) / 1e6:.0f} ms"
        )
        return (
            f"cue {show.voice.cue + 1}/{len(stage.programme)} {cue.name} · "
            f"beat {beat:.1f}/{cue.duration:g} · {show.transport.bpm:.1f} BPM{state} · "
            f"{rate:.0f} fps{engine}"
        )
