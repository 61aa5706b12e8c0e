"""What a bench found: its rows, as JSON and as a table. Without torch: both processes use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

NAME_WIDTH = 36


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured, in milliseconds of wall clock.

    ratio_to_floor: median, over the rounds, of its time to the floor's in the same round.
    times_as_fast: as published, likewise: published / this. `frames`: counted in presented frames.
    how: in what type or form it ran. gpu_ms_p50: between CUDA events, on CUDA.
    """

    name: str
    ms_p50: float
    ms_p99: float
    ratio_to_floor: float | None = None
    times_as_fast: float | None = None
    ms_max: float | None = None
    frames_p50: float | None = None
    frames_max: float | None = None
    gpu_ms_p50: float | None = None
    how: str = ""

    @classmethod
    def of(cls, name: str, ms: Sequence[float]) -> Row:
        """A thing that was timed so often."""
        p50, p99, longest = (round(float(value), 3) for value in np.percentile(ms, (50, 99, 100)))
        return cls(name, p50, p99, ms_max=longest)


@dataclass(frozen=True, slots=True)
class Figures:
    """A bench's result.

    device: what everything ran on, in words; facts: what else a reader has to know, by its name;
    left_out: a sentence for each row that is missing, and why.
    """

    device: str
    network: str
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON has it; a row's keys are those that it has a value for, and ratio_to_floor."""
        rows = [
            {
                key: value
                for key, value in asdict(row).items()
                if key == "ratio_to_floor" or value not in (None, "")
            }
            for row in self.rows
        ]
        facts = {"device": self.device, "network": self.network, **self.facts}
        return {**facts, "rows": rows, "left_out": self.left_out}

    @classmethod
    def read(cls, record: dict[str, Any]) -> Figures:
        """The inverse of `record`."""
        known = {"device", "network", "rows", "left_out"}
        facts = {key: value for key, value in record.items() if key not in known}
        rows = [Row(**row) for row in record["rows"]]
        return cls(record["device"], record["network"], rows, facts, list(record["left_out"]))


def table(figures: Figures) -> str:
    """Ratios first, then times, and under them what is missing."""
    facts = "; ".join(f"{name.replace('_', ' ')} {said}" for name, said in figures.facts.items())
    columns = [column for column in _COLUMNS if column.of(figures.rows)]
    head = "".join(f"{column.head:>{column.width}}" for column in columns)
    lines = [figures.network, figures.device, facts, "", f"{'':{NAME_WIDTH}}{head}"]
    for row in figures.rows:
        cells = "".join(f"{column.cell(row):>{column.width}}" for column in columns)
        lines.append(f"{row.name:{NAME_WIDTH}}{cells}  {row.how}".rstrip())
    return "\n".join([line for line in lines[:3] if line] + lines[3:] + _notes(figures))


def _notes(figures: Figures) -> list[str]:
    notes = [""] if figures.left_out or any(_ratios(row) for row in figures.rows) else []
    if any(_ratios(row) for row in figures.rows):
        notes.append("x floor: times the floor, all rows taken in turn in every round; 1 is ideal")
    return notes + figures.left_out


def _ratios(row: Row) -> bool:
    return row.ratio_to_floor is not None


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    key: str
    decimals: int
    width: int = 10

    def of(self, rows: Sequence[Row]) -> bool:
        """Whether any row has something in it."""
        return any(getattr(row, self.key) is not None for row in rows)

    def cell(self, row: Row) -> str:
        value = getattr(row, self.key)
        return "" if value is None else f"{value:.{self.decimals}f}"


_COLUMNS = (
    _Column("x floor", "ratio_to_floor", 2),
    _Column("x as fast as published", "times_as_fast", 2, 24),
    _Column("p50 ms", "ms_p50", 3),
    _Column("p99 ms", "ms_p99", 3),
    _Column("max ms", "ms_max", 3),
    _Column("GPU ms", "gpu_ms_p50", 3),
    _Column("frames", "frames_p50", 1),
    _Column("at most", "frames_max", 0),
)
