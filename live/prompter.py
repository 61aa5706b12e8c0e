"""What the operator is told, at the terminal that started the show and never on the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from live.control import position, upcoming
from live.keyboard import HELP
from live.show import Programme, Show
from live.terminal import Terminal

if TYPE_CHECKING:
    from live.tape import Status

EVERY_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the operator's line is made of; times in ns."""

    now: int  # clock
    at: int  # show time
    show: Show
    programme: Programme
    presented: int  # frames so far
    engine_ns: int | None  # that the newest frame took
    smaller: int | None  # side of the newest frame, where it is not the network's
    divisor: int  # of the cadence
    tape: Status | None  # how the recording stands


class Prompter:
    """Speaks to the operator through a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._told_at = 0
        self._presented = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._terminal.say(text)

    def help(self) -> None:
        """What the keys do."""
        self.say(HELP)

    def prompt(self, prompt: Prompt) -> str | None:
        """Bring the operator's line up to date, twice a second; returns it when it is new."""
        elapsed = prompt.now - self._told_at
        if elapsed < EVERY_NS:
            return None
        rate = (prompt.presented - self._presented) / (elapsed / 1e9)
        self._told_at, self._presented = prompt.now, prompt.presented
        line = _line(prompt, rate)
        self._terminal.status(line)
        return line

    def clear(self) -> None:
        """Take the operator's line away, before other text."""
        self._terminal.status("")


def _line(prompt: Prompt, rate: float) -> str:
    show = prompt.show
    cue = prompt.programme[show.voice.cue]
    beat = position(show, prompt.at, prompt.programme) * cue.duration
    bpm = show.transport.bpm
    engine = "" if prompt.engine_ns is None else f" · engine {prompt.engine_ns / 1e6:.0f} ms"
    engine += "" if prompt.smaller is None else f" at {prompt.smaller}x{prompt.smaller}"
    engine += "" if prompt.divisor == 1 else f" · new every {prompt.divisor} refreshes"
    return (
        f"cue {show.voice.cue + 1}/{len(prompt.programme)} {cue.name} · "
        f"beat {beat:.1f}/{cue.duration:g}{_next(prompt)} · "
        f"{bpm:.1f} BPM {show.tempo.name(bpm, prompt.at)}{_unusual(show)} · "
        f"{rate:.0f} fps{engine}{_recording(prompt.tape)}"
    )


def _next(prompt: Prompt) -> str:
    """The cue that follows by itself, and in how many beats."""
    show, following = prompt.show, upcoming(prompt.show, prompt.programme)
    follows = show.voice.follows
    if following is None or follows is None:
        return ""
    now = 0.0 if show.voice.held is not None else show.transport.beat_at(prompt.at)
    return f", {prompt.programme[following].name} in {max(follows - now, 0.0):.0f}"


def _unusual(show: Show) -> str:
    states = {
        "paused": not show.transport.playing,
        "held": show.voice.held is not None,
        "PANIC": show.panic.on,
        "blackout": show.blackout,
        "frozen": show.frozen,
    }
    return "".join(f" · {name}" for name, on in states.items() if on)


def _recording(tape: Status | None) -> str:
    if tape is None or not (tape.recording or tape.failed):
        return ""
    minutes, seconds = divmod(int(tape.seconds), 60)
    return " · RECORDING STOPPED" if tape.failed else f" · rec {minutes}:{seconds:02}"
