"""What the GPU monitor knows of a card and of the processes on it.

What a card does not report is None, never a number that looks like one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["C", "G", "C+G"]
"""A process computes, draws, or does both."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a card. Its name is the program's alone: arguments can hold secrets."""

    pid: int
    user: str  # "?" where the system does not tell
    gpu: int  # index of the card
    kind: Kind  # computes, draws, or both
    name: str
    memory: int | None = None  # bytes on the card
    sm: float | None = None  # % of the card's time
    bandwidth: float | None = None  # % of the time its memory was read or written
    cpu: float | None = None  # % of one core
    host_memory: float | None = None  # % of the host's
    seconds: float | None = None  # since it started
    ours: bool = False  # the stage, or one that it started


@dataclass(frozen=True, slots=True)
class Card:
    """What one GPU says of itself; None where it does not."""

    index: int
    name: str
    bus_id: str | None = None
    persistence: bool | None = None
    display_active: bool | None = None
    ecc_errors: int | None = None  # volatile, uncorrected
    fan: float | None = None  # % of its highest speed
    temperature: float | None = None  # degrees Celsius
    performance_state: int | None = None  # 0 is the fastest
    power: float | None = None  # W
    power_limit: float | None = None  # W
    memory_used: int | None = None  # bytes
    memory_total: int | None = None  # bytes
    utilisation: float | None = None  # %
    sm_clock: int | None = None  # MHz
    memory_clock: int | None = None  # MHz
    compute_mode: str | None = None
    processes: tuple[Process, ...] | None = ()
    unlisted: int = 0  # processes beyond those that are described
    problem: str = ""  # why it answers nothing

    @property
    def memory_share(self) -> float | None:
        """Used memory in % of all."""
        return share(self.memory_used, self.memory_total)


def share(used: int | None, total: int | None) -> float | None:
    """The used part in %; None where one of both is not known, or there is nothing to use."""
    return 100 * used / total if used is not None and total else None
