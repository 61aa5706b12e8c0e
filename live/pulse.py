"""The stage's pulse: how the process that watches over a stage knows that its loop still turns.

It is a pipe whose writing end the stage inherits. A byte a second goes into it from the render loop
itself, not from a thread, which would live on beside a loop that hangs. Windows hands no
descriptors to children: there a stage has no pulse, and is only missed when its process has ended.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

EVERY_NS = 1_000_000_000
_VARIABLE = "ANTHESIS_PULSE"  # the descriptor, for the stage
_BEAT, _OVER, _CLOSING = b".", b"!", b"x"
_DISMISSED_S = 1.0


class Pulse:
    """The stage's side. Nothing here waits or fails, whoever listens or does not."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)  # 64 KB of it unread are 18 hours: then it is left
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._beat_at: int | None = None

    def beat(self, now: int) -> None:
        """The loop turned; once a turn, `now` in ns of any clock."""
        if self._beat_at is None or now - self._beat_at >= EVERY_NS:
            self._beat_at = now
            self._write(_BEAT)

    def over(self) -> None:
        """The show has ended as it should."""
        self._write(_OVER)

    def closing(self) -> None:
        """The loop turns no more, whatever has ended it: everything is being closed."""
        self._write(_CLOSING)

    def _write(self, byte: bytes) -> None:
        with suppress(OSError):  # nobody listens any more
            os.write(self._descriptor, byte)


def inherited() -> Pulse | None:
    """The pulse that this process was started with, if it was."""
    descriptor = os.environ.pop(_VARIABLE, "")  # not for its children
    with suppress(OSError):
        if descriptor.isdecimal() and stat.S_ISFIFO(os.fstat(int(descriptor)).st_mode):
            return Pulse(int(descriptor))
    return None


class Listener:
    """The watcher's side: starts a program with a pulse, and hears it."""

    def __init__(self, program: Sequence[str]) -> None:
        """Raises OSError if no process can be started.

        The program has a group of its own: Ctrl-C reaches it from the watcher alone, and so once.
        On Windows see `hand_on`.
        """
        self.beats = 0
        self.over = False
        self.closing = False
        self._reading: int | None = None
        self.process = self._started(program)
        assert self.process.stdin is not None
        self._stdin = self.process.stdin

    @property
    def descriptor(self) -> int | None:
        """What becomes readable when something comes; None where nothing will."""
        return self._reading

    def heard(self) -> bool:
        """Whether anything has come since the last call; True where nothing ever can."""
        if self._reading is None:
            return True
        try:
            told = os.read(self._reading, 1 << 16)
        except BlockingIOError:
            return False
        if not told:  # the other end is closed: it ends, or has let go of its pulse
            self._release()
        self.beats += told.count(_BEAT)
        self.over = self.over or _OVER in told
        self.closing = self.closing or _OVER in told or _CLOSING in told
        return True

    def say(self, line: bytes) -> None:
        """All that the program is ever told; one that is gone does not hear it."""
        with suppress(OSError):
            self._stdin.write(line)
        self._stdin.close()

    def hand_on(self, number: int) -> None:
        """Hand a signal of the operator's on, where the program has not heard it itself.

        On Windows it is in the watcher's group: the console has told both of Ctrl-C, the only one
        that a watcher is given there, and no other signal can be sent.
        """
        if sys.platform != "win32":
            self.process.send_signal(number)

    def close(self) -> None:
        """Let go of the pipes, not of the process."""
        self._stdin.close()
        self._release()

    def dismiss(self) -> None:
        """End it. For programs that hold nothing which could be lost, and are not waited for."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # it is stuck, in a disk or a driver
            self.process.wait(_DISMISSED_S)
        self.close()

    def _started(self, program: Sequence[str]) -> subprocess.Popen[bytes]:
        if sys.platform == "win32":
            return subprocess.Popen([*program], stdin=subprocess.PIPE, bufsize=0)
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        try:
            return subprocess.Popen(
                [*program],
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=(writing,),
                env={**os.environ, _VARIABLE: str(writing)},
                process_group=0,
            )
        except OSError:
            self._release()
            raise
        finally:
            os.close(writing)

    def _release(self) -> None:
        if self._reading is not None:
            os.close(self._reading)
            self._reading = None
