"""What a desk sends and what it does: beside a show that is on, or before there is one.

A show that is on is asked and goes on untouched. Where none is, its port is listened to here, and a
show without pictures obeys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from live.addresses import ADDRESSES, Message
from live.control import apply
from live.desks import load_desk, patch_of
from live.learning import Learner
from live.osc import OscServer
from live.osc_client import Client
from live.setlist import SetList, bundled, load_setlist, programme
from live.take import opening
from live.trace import ANSWERED, SUBSCRIBED, Line, Trace

Say = Callable[[str], None]

MOVED_FOR_S = 1.5  # what is moved goes on sending; then it is known what it was
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Where:
    """Which desk is watched: what `play` would be told of it."""

    setlist: Path | None = None
    osc: str | None = None
    desk: str | None = None

    def load(self) -> SetList:
        """The set list. Raises UserError."""
        return bundled() if self.setlist is None else load_setlist(self.setlist)


def monitor(where: Where, say: Say, seconds: float | None = None) -> None:
    """Say what arrives and what it did, or why it did nothing, for so long. Raises UserError."""
    until = None if seconds is None else time.monotonic() + seconds
    with ExitStack() as closing:
        for line in _lines(where, say, closing):
            if line is not None:
                say(f"{line.host}  {line.heard}  ->  {line.outcome}")
            if until is not None and time.monotonic() >= until:
                return


def learn(
    where: Where, to: str, counts_to: tuple[float, float] | None, file: Path | None, say: Say
) -> str:
    """The map entry for the next thing that is moved; it is added to `file`, if one is named.

    Raises UserError where nothing is moved, or where the file could not be read with it.
    """
    if to not in ADDRESSES:
        raise UserError(f"{to!r:.60}: no such parameter; see anthesis osc list")
    if file is not None and file.exists():
        load_desk(file)
    learner = Learner()
    with ExitStack() as closing:
        lines = _lines(where, say, closing)
        say(f"move what is to drive {to}")
        began = time.monotonic()
        first: float | None = None
        for line in lines:
            now = time.monotonic()
            if line is not None and line.outcome not in (ANSWERED, SUBSCRIBED):
                learner.hear(line.heard)
                first = first or now
            if first is not None and now - first >= MOVED_FOR_S:
                break
            if now - began >= PATIENCE_S:
                break
    entry = learner.entry(to, counts_to)
    if file is not None:
        _add(entry, file)
    return entry


def _add(entry: str, file: Path) -> None:
    """Write an entry to the end of a desk file, which may be new."""
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        file.write_text(f"{before.rstrip()}\n\n{entry}".lstrip(), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror or error}") from error
    load_desk(file)


def _lines(where: Where, say: Say, closing: ExitStack) -> Iterator[Line | None]:
    """Lines as they come, without end; None now and then where none does."""
    setlist = where.load()
    prefix = "" if setlist.osc.prefix == "/" else setlist.osc.prefix
    listen = where.osc or setlist.osc.listen
    client = closing.enter_context(Client(listen))
    if client.ask(f"{prefix}/ping") is not None:
        say(f"watching the show on {listen}")
        return client.watch(prefix)
    folder = Path() if where.desk is not None else setlist.file.parent
    patch = patch_of(setlist.osc, where.desk or setlist.osc.desk, folder)
    server = OscServer(listen, setlist.osc.allow, setlist.osc.prefix, patch)
    server.trace = Trace()
    closing.enter_context(server)
    say(f"no show is on; {server.describe()}")
    return _rehearsed(server, server.trace, setlist)


def _rehearsed(server: OscServer, trace: Trace, setlist: SetList) -> Iterator[Line | None]:
    """What a show without pictures hears and does."""
    facts = programme(setlist)
    began = time.perf_counter_ns()
    show = apply(opening(setlist, 0), Message("play", (1,)), 0, facts)
    while True:
        server.wait(0.1)
        at = time.perf_counter_ns() - began
        for message in server.messages(show, at, facts):
            try:
                show = apply(show, message, at, facts)
            except ValueError:
                continue  # the trace says why
        lines = trace.take(1000)
        yield from lines or (None,)
