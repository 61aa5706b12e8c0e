"""`play --watch`: starts the stage, and starts it again where it was, should it die.

A stage dies by a signal, by an exit code other than 0, or by hanging: its pulse stops, see
`live.pulse`. The next one resumes the take that the last one wrote, and writes a take of its own.
It is played by an understudy who has everything loaded by then: the audience waits for the engine
alone. Only the very first stage may end with exit code 2, which is the user's to mend.

The operator ends the show through the watcher: Ctrl-C, SIGTERM and the terminal's hanging up are
handed on, each of them once. Should the watcher itself be killed, the stage plays on: nobody then
starts another, but the show matters more. It ends with Esc Esc or its own SIGTERM.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from engine.errors import UserError
from live.pulse import Listener
from live.take import last_state, records
from live.take_reader import read_take
from live.take_writer import free_name
from live.terminal import Terminal

UNDERSTUDY = (sys.executable, "-m", "live.understudy")
BACKDROP = (sys.executable, "-m", "live.backdrop")
YOUNG_S = 5.0
BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # before the next stage, when stages keep dying young
TICK_S = 0.25
# Ticks without a pulse: it hangs. A machine that stood still has counted one of them. The longest
# that a turn was made to last here was 1.7 s, between two beats that are at most a second further
# apart: 3840x2160 by software OpenGL in full screen on two cores, with the desktop, changing cues,
# FFV1 and eight more processes that never rest; at 1920x1080 it was 0.5 s. Engines load in their
# own processes. On macOS it is as long as somebody drags an edge of the window.
SILENT = 40 if sys.platform == "darwin" else 20
SILENT_AT_FIRST = 240  # before the first beat, and while it closes; drivers take their time
LEAST_S = 1.0  # of a show that --seconds limits, however late it is
KILLED_S = 3.0  # until one that was killed is gone; one that is not is stuck in a driver


class Spared(NamedTuple):
    """What stages do without, since one was refused what it was to play."""

    said: str
    left_out: tuple[str, ...]  # words
    instead: Mapping[str, str]


_ANY_MONITOR = {"monitor": "--monitor=1"}  # the set list may name one, too
_NO_DESK = {"osc": "--osc=127.0.0.1:0"}  # one that nobody knows; the set list may ask for another
_SOUND = ("audio", "audio_device")
_KEPT = ("take", "record", "stats")

# A microphone or projector was unplugged; a disk is full; a stage that is stuck holds the port; a
# card is gone. Why a stage was refused it tells the operator alone, so one thing after the other is
# left out, the dearest last: on another monitor the audience may see nothing. After that all of it
# is tried again: never the same twice in a row.
SPARED = (
    Spared("with all that was wanted", (), {}),
    Spared("without sound", _SOUND, {}),
    Spared("keeping nothing of the next one", _KEPT, {}),
    Spared("on any monitor", (), _ANY_MONITOR),
    Spared("without sound, keeping nothing, on any monitor", (*_SOUND, *_KEPT), _ANY_MONITOR),
    Spared(
        "without the desk and on any device, too",
        (*_SOUND, *_KEPT, "device"),
        {**_ANY_MONITOR, **_NO_DESK},
    ),
)


def watch(
    words: Mapping[str, str],
    backdrop: Sequence[str] | None = None,
    program: Sequence[str] = UNDERSTUDY,
) -> int:
    """Perform until the show has ended; the exit code, that of the stage that ended it.

    words: see `Plan`. backdrop: what `live.backdrop` is told, None for a show that is to have none.
    program: what is started as a stage; it reads its words as `live.understudy` does. Call it from
    the main thread, for the signals.
    """
    terminal = Terminal(sys.stderr)
    try:
        with _Signals() as signals, _behind(backdrop):
            return _Watch(Plan(words), program, signals, terminal).run()
    finally:
        terminal.close()


@contextmanager
def _behind(told: Sequence[str] | None) -> Iterator[None]:
    """Black behind the show; where that cannot be, it says so itself, and the show goes on."""
    process = None
    if told is not None:
        with suppress(OSError):
            process = Listener([*BACKDROP, *told])
    try:
        yield
    finally:
        if process is not None:
            process.dismiss()


class Plan:
    """What the next stage is started with.

    words: every option that was given and the set list, by name, each as the word that says it.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)
        self._wished = _wished(words)
        self._recorded = "record" in words  # while the newest stage lived
        self._takes: list[Path] = []  # of this show, the newest last
        self._spared = 0  # of SPARED
        self.started = 0
        self.resumed: Path | None = None  # by the newest stage

    def next(self, elapsed_s: float) -> list[str]:
        """The words for the next stage, `elapsed_s` seconds after the first was started."""
        words = dict(self._words)
        while self._takes and not _begun(self._takes[-1]):
            self._takes.pop()  # its stage died before the first line
        self.resumed = self._takes[-1] if self._takes else None
        if self.resumed is not None:
            words = self._resuming(words, self.resumed)
        if self.started:
            words.pop("overwrite", None)
            if "seconds" in words:  # about: loading counts for the first stage, not for this one
                left = max(LEAST_S, float(_value(words["seconds"])) - elapsed_s)
                words["seconds"] = f"--seconds={left:.1f}"
        take = free_name(self._wished) if self.started else self._wished
        words["take"] = f"--take={take}"
        self.started += 1
        words = _sparing(words, SPARED[self._spared])
        if "take" in words:
            self._takes.append(take)
        setlist = words.pop("setlist", None)
        return [*words.values(), *([] if setlist is None else ["--", setlist])]

    def refused(self) -> str:
        """Take in that a stage was refused what it was to play (exit code 2); what to say of it.

        A take that cannot be read is left, for the one before it or the set list. If it can,
        something else is wrong: the next stage does without more, see SPARED.
        """
        if self.resumed is not None:
            try:
                last_state(read_take(self.resumed))
            except UserError as error:
                del self._takes[self._takes.index(self.resumed) :]
                return str(error)
        words = {**self._words, "take": ""}
        before = _sparing(words, SPARED[self._spared])
        while _sparing(words, SPARED[self._spared]) == before:
            self._spared = (self._spared + 1) % len(SPARED)
        return SPARED[self._spared].said

    def settled(self) -> None:
        """The newest stage has performed: should it die, all that was wanted is tried again."""
        self._spared = 0

    def _resuming(self, words: Mapping[str, str], take: Path) -> dict[str, str]:
        """The words that go on from a take, which brings its own set list and cue."""
        words = {name: word for name, word in words.items() if name not in ("setlist", "cue")}
        # They are the files of this very show, and to hash a large network takes a second.
        words |= {"resume": f"--resume={take}", "force": "--force"}
        lines = _read(take)
        if b'"do": "overlay' in lines:  # it had taken effect; since then the performer has chosen
            words.pop("overlay", None)
        said = records(lines)
        self._recorded = self._recorded if said is None else said
        if not self._recorded:
            words.pop("record", None)
        elif "record" not in words:  # by R or the desk; the codec knows its ending
            words["record"] = f"--record={_timed()}"
        return words


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a stage ended."""

    how: str
    code: int  # or -signal
    lived_s: float
    over: bool  # it had performed to the end, and was closing


class _Watch:
    """Stages, one after the other."""

    def __init__(
        self, plan: Plan, program: Sequence[str], signals: _Signals, terminal: Terminal
    ) -> None:
        self._plan = plan
        self._program = program
        self._signals = signals
        self._terminal = terminal
        self._understudy: Listener | None = None
        self._deaths = 0  # young ones, in a row
        self._told_to_end: int | None = None  # the operator's signal

    def run(self) -> int:
        """See `watch`."""
        first = time.monotonic()
        words = self._plan.next(0.0)
        try:
            while not self._ends(ending := self._perform(words)):
                if ending.lived_s >= YOUNG_S:
                    self._plan.settled()
                news = self._plan.refused() if ending.code == 2 else ""
                words = self._plan.next(time.monotonic() - first)
                self._pause(ending, news)
                if self._told_to_end is not None:
                    return 128 + self._told_to_end
            return ending.code if ending.code >= 0 else 128 - ending.code
        finally:
            if self._understudy is not None:
                self._understudy.dismiss()

    def _ends(self, ending: _Ending) -> bool:
        """Whether that was the end of the show, too."""
        mistaken = ending.code == 2 and self._plan.started == 1
        return ending.code == 0 or mistaken or ending.over or self._told_to_end is not None

    def _perform(self, words: Sequence[str]) -> _Ending:
        began = time.monotonic()
        try:
            stage = self._enter(words)
        except OSError as error:  # no memory, no process left
            return _Ending(f"could not be started ({error.strerror})", 1, 0.0, over=False)
        hung = self._attend(stage, began)
        if hung:
            stage.process.kill()
            self._await(stage)
        code = stage.process.poll()
        stage.heard()  # what it said at last
        stage.close()
        lived_s = time.monotonic() - began
        return _Ending(_how(code, hung), 1 if code is None else code, lived_s, stage.over)

    def _enter(self, words: Sequence[str]) -> Listener:
        """The understudy goes on stage; without one, somebody has to be fetched."""
        stage, self._understudy = self._understudy, None
        if stage is not None and stage.process.poll() is not None:
            stage.close()
            stage = None
        stage = stage or Listener(self._program)
        stage.say(json.dumps(list(words)).encode() + b"\n")
        return stage

    def _attend(self, stage: Listener, began: float) -> bool:
        """Stay until it has ended or hangs; whether it hangs."""
        silent, asked = 0, False
        while stage.process.poll() is None:
            for number in self._look(stage.descriptor, TICK_S):
                stage.hand_on(number)
            silent = 0 if stage.heard() else silent + 1
            if silent >= (SILENT if stage.beats and not stage.closing else SILENT_AT_FIRST):
                return True
            if not asked and time.monotonic() - began > YOUNG_S:
                asked = True  # once, when it is in nobody's way; if it dies it is not missed
                with suppress(OSError):
                    self._understudy = Listener(self._program)
        return False

    def _await(self, stage: Listener) -> None:
        """Stay until one that was killed is gone, or has had its time."""
        until = time.monotonic() + KILLED_S
        while stage.process.poll() is None and (left := until - time.monotonic()) > 0:
            self._look(None, min(left, TICK_S))

    def _look(self, descriptor: int | None, timeout_s: float) -> list[int]:
        """See `_Signals.wait`; the operator's wish is remembered."""
        told = self._signals.wait(descriptor, timeout_s)
        self._told_to_end = told[-1] if told else self._told_to_end
        return told

    def _pause(self, ending: _Ending, news: str) -> None:
        """Tell how the show goes on, and wait until it may; a signal ends the wait."""
        self._deaths = self._deaths + 1 if ending.lived_s < YOUNG_S else 1
        pause = BACKOFF_S[min(self._deaths, len(BACKOFF_S)) - 1]
        parts = [
            f"the stage {ending.how} after {_clock(ending.lived_s)}",
            *([news] if news else []),
        ]
        when = f" in {pause:g} s" if pause else ""
        where = self._plan.resumed or "the set list, as at first"
        self._terminal.say(f"anthesis: {'; '.join(parts)}; starting it again{when} from {where}")
        until = time.monotonic() + pause
        while self._told_to_end is None and (left := until - time.monotonic()) > 0:
            self._look(None, left)


class _Signals:
    """The operator's signals, as what can be waited for: handlers only wake whoever waits."""

    def __enter__(self) -> _Signals:
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD")  # the last: that a stage has ended
        self._reading, self._writing = socket.socketpair()
        for end in (self._reading, self._writing):
            end.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, _wake)
            for number in (getattr(signal, name, None) for name in names)
            if number is not None
        }
        if sys.platform != "win32":  # a stage is in a group of its own, and writes to the terminal
            self._before[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reading.close()
        self._writing.close()

    def wait(self, descriptor: int | None, timeout_s: float) -> list[int]:
        """Wait for a signal or for something to read; the signals to be handed to the stage."""
        waiting = [self._reading.fileno(), *([] if descriptor is None else [descriptor])]
        select.select(waiting, [], [], timeout_s)
        try:
            heard = self._reading.recv(1024)
        except BlockingIOError:
            return []
        return [_ENDS[number] for number in heard if number in _ENDS]


_ENDS: dict[int, int] = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM}
if sys.platform != "win32":
    _ENDS[signal.SIGHUP] = signal.SIGTERM  # it is the watcher's terminal: the stage fades out


def _wake(*_: object) -> None:
    """The byte that Python writes for the signal is all that matters."""


def _wished(words: Mapping[str, str]) -> Path:
    """The take that was asked for, one beside the recording, or one that tells the time."""
    if "take" in words:
        return Path(_value(words["take"]))
    if "record" in words:
        return free_name(Path(_value(words["record"])).with_suffix(".take"))
    return free_name(Path(f"{_timed()}.take"))


def _timed() -> str:
    """A name that tells the time."""
    return f"anthesis-{datetime.now():%Y-%m-%d-%H%M%S}"


def _sparing(words: Mapping[str, str], spared: Spared) -> dict[str, str]:
    """The words without what is left out; there is no monitor without a window."""
    instead = {
        name: word
        for name, word in spared.instead.items()
        if name != "monitor" or "headless" not in words
    }
    kept = {name: word for name, word in words.items() if name not in spared.left_out}
    return {**kept, **instead}


def _how(code: int | None, hung: bool) -> str:
    """How a stage ended; without a code it has not."""
    if code is None:
        return "stopped answering and cannot be killed"
    if hung:
        return "stopped answering"
    return f"ended (signal {-code})" if code < 0 else f"ended (exit code {code})"


def _read(take: Path) -> bytes:
    """What there is of it; if it cannot be read the stage says so."""
    try:
        return take.read_bytes()
    except OSError:
        return b""


def _begun(take: Path) -> bool:
    """Whether it has its first line, from which a show can be resumed."""
    try:
        with take.open("rb") as file:
            return file.readline().endswith(b"\n")
    except OSError:
        return False


def _value(word: str) -> str:
    return word.partition("=")[2]


def _clock(seconds: float) -> str:
    """12:31, or 1:12:31."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
