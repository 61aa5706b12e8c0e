"""The terminal that started the show, written to by a thread of its own.

A terminal can stop taking output at any moment (Ctrl-S, a selection in a console, a connection that
hangs) or be gone. The show must not wait for it: lines are queued, the oldest give way when too
many wait, and of the line that is kept up to date only the newest is ever written.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from typing import TextIO

WAITING = 200  # lines
CLEAR_LINE = "\r\x1b[K"


class Terminal:
    """Plain lines, and below them one that is kept up to date where a person watches."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self.watched = stream.isatty()
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=WAITING)
        self._status = self._shown = ""
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._changed:
            self._lines.append(text)
            self._changed.notify()

    def status(self, text: str) -> None:
        """The line that is kept up to date; "" takes it away."""
        if self.watched:
            with self._changed:
                self._status = text
                self._changed.notify()

    def close(self, timeout_s: float = 0.5) -> None:
        """Write what waits, if the terminal takes it in time."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _write(self) -> None:
        """Thread: write whenever there is something, until closed or the terminal is gone."""
        while not self._write_once():
            pass

    def _write_once(self) -> bool:
        """Wait for something to write, and write it; whether that was the last."""
        with self._changed:
            self._changed.wait_for(self._has_news)
            lines, self._lines = self._lines, deque(maxlen=WAITING)
            self._shown = "" if self._closing else self._status
            last = self._closing
        text = CLEAR_LINE if self.watched else ""
        try:
            self._stream.write(text + "".join(f"{line}\n" for line in lines) + self._shown)
            self._stream.flush()
        except (OSError, ValueError):  # it is gone; nobody is there to be told
            return True
        return last

    def _has_news(self) -> bool:
        return self._closing or bool(self._lines) or self._status != self._shown


class TerminalHandler(logging.Handler):
    """Log records as lines of a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal
        self.setFormatter(logging.Formatter("anthesis: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self._terminal.say(self.format(record))
