"""Keeps libraries from claiming real-time priority, where root may have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def ordinary() -> Iterator[None]:
    """Threads that are real-time after this, and were not before, become ordinary ones again.

    SVT-AV1, run by root, gives its own threads and the one that opens it SCHED_FIFO at 99: nothing
    else of the machine, the stage included, then runs unless they wait. Linux only.
    """
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(OSError):  # it has ended
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time() -> set[int]:
    """The threads of this process that are."""
    found = set()
    for task in _TASKS.iterdir() if _TASKS.is_dir() else ():
        with suppress(OSError):
            if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(int(task.name))
    return found
