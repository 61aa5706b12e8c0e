"""The host and its processes, as psutil tells of them.

What the system does not tell is None, or "?" for a name. Every call may take its time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import psutil

from live.cards import share


@dataclass(frozen=True, slots=True)
class Host:
    """The computer around the cards. Memory is in bytes; used is what no program could get."""

    cpu: float | None = None  # % of all cores
    load: tuple[float, float, float] | None = None  # over 1, 5 and 15 minutes
    memory_used: int | None = None
    memory_total: int | None = None
    swap_used: int | None = None
    swap_total: int | None = None
    uptime: float | None = None  # s

    @property
    def memory_share(self) -> float | None:
        """Used memory in % of all."""
        return share(self.memory_used, self.memory_total)

    @property
    def swap_share(self) -> float | None:
        """Used swap space in % of all; None where there is none."""
        return share(self.swap_used, self.swap_total)


def read_host(wall: float) -> Host:
    """The host at `wall`, in s since 1970; `cpu` since the last call, and at the first nothing."""
    memory, swap = _told(psutil.virtual_memory), _told(psutil.swap_memory)
    booted = _told(psutil.boot_time)
    load = getattr(os, "getloadavg", None)  # Windows has none
    return Host(
        cpu=_told(psutil.cpu_percent),
        load=None if load is None else _told(load),
        memory_used=None if memory is None else memory.total - memory.available,
        memory_total=None if memory is None else memory.total,
        swap_used=None if swap is None else swap.used,
        swap_total=None if swap is None else swap.total,
        uptime=None if booted is None else max(0.0, wall - booted),
    )


@dataclass(frozen=True, slots=True)
class Program:
    """What the system knows of a process, and psutil's record, whose % are since its last use."""

    process: psutil.Process
    name: str
    user: str
    ours: bool
    began: float  # s since 1970
    cpu: float | None = None  # % of one core
    memory: float | None = None  # % of the host's


class Programs:
    """The processes that were on a card at the last sample, and are the same still."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, float], Program] = {}

    def look(self, pids: Iterable[int]) -> dict[int, Program]:
        """By pid; without those that are gone, or that the system does not show."""
        known = {}
        for pid in pids:
            try:
                process = psutil.Process(pid)
                key = pid, process.create_time()
            except (psutil.Error, OSError):
                continue
            last = self._known.get(key)
            known[key] = _introduced(process, key[1]) if last is None else _measured(last)
        self._known = known  # the dead are dropped
        return {pid: program for (pid, _), program in known.items()}


def _introduced(process: psutil.Process, began: float) -> Program:
    _told(process.cpu_percent)  # from here on
    stage = os.getpid()
    ours = process.pid == stage or any(
        parent.pid == stage for parent in _told(process.parents) or ()
    )
    name = _own_name(_told(process.name) or "?")
    if ours:
        name = "anthesis stage" if process.pid == stage else "anthesis engine"
    user = (_told(process.username) or "?").rpartition("\\")[2]  # Windows: after the domain
    return Program(process, name, user, ours, began, memory=_told(process.memory_percent))


def _own_name(name: str) -> str:
    """A program's name without what it may have written behind it.

    On Linux and its like a process can replace its name, and many put their arguments there. On
    Windows the name is the file's, which may have blanks.
    """
    return name if os.name == "nt" else (name.split() or ["?"])[0]


def _measured(program: Program) -> Program:
    cpu, memory = _told(program.process.cpu_percent), _told(program.process.memory_percent)
    return replace(program, cpu=cpu, memory=memory)


def _told(call: Callable[[], Any]) -> Any:
    """What psutil or the system tells; None where it does not."""
    try:
        return call()
    except (psutil.Error, OSError, RuntimeError, NotImplementedError):
        return None
