"""A terminal that takes no output, or is gone, holds nobody up."""

import io
import logging
import threading

from live.terminal import WAITING, Terminal, TerminalHandler


class Watched(io.StringIO):
    def isatty(self):
        return True


def test_lines_come_out_in_order_and_the_status_below_them():
    stream = Watched()
    terminal = Terminal(stream)
    terminal.status("cue 1")
    for n in range(5):
        terminal.say(f"line {n}")
    terminal.close(10)
    written = stream.getvalue()
    places = [written.index(f"line {n}\n") for n in range(5)]
    assert places == sorted(places)
    assert written.endswith("\x1b[K") or written.endswith("line 4\n")  # the status is gone


class Held(io.StringIO):
    """Ctrl-S: takes nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text):
        self.let_go.wait()
        return super().write(text)


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_nobody_waits_for_a_terminal_that_is_held():
    stream = Held()
    terminal = Terminal(stream)
    for n in range(10_000):
        terminal.say(f"line {n}")
    terminal.close(0.01)
    stream.let_go.set()
    terminal.close(10)
    written = stream.getvalue().splitlines()
    assert written[-1] == "line 9999"
    assert len(written) <= 2 * WAITING + 1  # the oldest gave way


def test_a_terminal_that_is_gone_is_no_fault():
    terminal = Terminal(Gone())
    terminal.say("hello")
    terminal.close(10)
    terminal.say("still there?")
    terminal.close(10)


def test_log_records_are_lines():
    stream = io.StringIO()
    terminal = Terminal(stream)
    record = logging.LogRecord("live", logging.WARNING, "", 0, "engine %d lost", (3,), None)
    TerminalHandler(terminal).handle(record)
    terminal.close(10)
    assert stream.getvalue() == "anthesis: engine 3 lost\n"
