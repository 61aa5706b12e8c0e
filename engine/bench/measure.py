"""Measures paths to a frame side by side: `python -m engine bench`.

All of them run in one process, a few frames of each in every round, so that whatever else the
machine does meets all alike; a ratio is that of two times of the same round, and what is reported
is its median over the rounds. Which paths there are is said in `engine.bench.contenders`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from engine.bench.contenders import ROWS, Contender, Entrants, resolve_precision
from engine.bench.figures import Figures, Row
from engine.bench.floor import convolutions, gmacs
from engine.bench.subject import Subject
from engine.generator import choose_device

ROUNDS = (5, 500)  # at least, at most
BURST = 3  # frames of each a round, after one that finds its data in the caches again
SLOW_MS = 500.0  # from here one frame a round will do: it is larger than any cache anyway
PUBLISHED, FLOOR = "published", "floor"


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure. threads: of the CPU, None as the session chooses; rows: of `ROWS`.

    seconds: about how long the rounds take together. early: the session's smaller outputs, too.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    rows: tuple[str, ...] = ROWS
    early: bool = False
    seconds: float = 20.0


class Took(NamedTuple):
    """Of one frame, in milliseconds: wall clock, and on CUDA between events around it."""

    wall: float
    gpu: float | None = None


Timer = Callable[[Callable[[], object]], Took]


def measure(subject: Subject, options: Options, say: Callable[[str], object]) -> Figures:
    """Load, measure, and tell. Raises UserError for a device or network that is not there.

    say: hears what is done now, a line each.
    """
    device = choose_device(options.device)
    precision = resolve_precision(options.precision, device)
    net = subject.load()
    facts: dict[str, object] = {
        "resolution": net.resolution,
        "gmacs": float(f"{gmacs(net.config):.4g}"),
        "convolutions": len(convolutions(net.config)),
        "precision": precision,
        "torch": torch.__version__,
    }
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with TemporaryDirectory() as folder, ExitStack() as closing:
        file = partial(subject.file, net, Path(folder))
        entrants = Entrants(net, file, device, precision, options.threads)
        closing.callback(entrants.close)
        entered, left_out = entrants.enter(options.rows, options.early, say)
        if device.type == "cpu":
            facts["threads"] = torch.get_num_threads()
        timer = _timed_by_events if device.type == "cuda" else timed
        say("measuring " + ", ".join(contender.name for contender in entered))
        taken = rounds(entered, timer, options.seconds)
    how = {contender.name: contender.how for contender in entered}
    return Figures(_described(device), subject.name, rows(taken, how), facts, left_out)


def timed(frame: Callable[[], object]) -> Took:
    """Make a frame; what it took."""
    started = time.perf_counter_ns()
    frame()
    return Took((time.perf_counter_ns() - started) / 1e6)


def _timed_by_events(frame: Callable[[], object]) -> Took:
    first = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    last = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    started = time.perf_counter_ns()
    first.record()
    frame()
    last.record()
    torch.cuda.synchronize()
    return Took((time.perf_counter_ns() - started) / 1e6, first.elapsed_time(last))


def rounds(
    contenders: Sequence[Contender],
    timer: Timer,
    seconds: float,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, list[list[Took]]]:
    """A burst of frames of each contender in turn, again and again for about `seconds`.

    Returns by name, for each round, what each frame of the burst took. Every round begins with
    another contender, so that none always follows the same one.
    """
    taken: dict[str, list[list[Took]]] = {contender.name: [] for contender in contenders}
    bursts = {}
    for contender in contenders:  # and all that is done once is done
        timer(contender.frame)
        bursts[contender.name] = 1 if timer(contender.frame).wall >= SLOW_MS else BURST
    least, most = ROUNDS
    ends = now() + seconds
    done = 0
    while done < least or (done < most and now() < ends):
        begin = done % max(1, len(contenders))
        for contender in (*contenders[begin:], *contenders[:begin]):
            count = bursts[contender.name]
            if count > 1:
                contender.frame()
            taken[contender.name].append([timer(contender.frame) for _ in range(count)])
        done += 1
    return taken


def rows(taken: Mapping[str, Sequence[Sequence[Took]]], how: Mapping[str, str]) -> list[Row]:
    """The statistics of `rounds`, in its order."""
    medians = {
        name: np.array([np.median([took.wall for took in burst]) for burst in bursts])
        for name, bursts in taken.items()
    }
    found = []
    for name, bursts in taken.items():
        wall = [took.wall for burst in bursts for took in burst]
        gpu = [took.gpu for burst in bursts for took in burst if took.gpu is not None]
        floor, published = medians.get(FLOOR), medians.get(PUBLISHED)
        found.append(
            Row(
                name,
                ms_p50=round(float(np.median(wall)), 4),
                ms_p99=round(float(np.percentile(wall, 99)), 4),
                ratio_to_floor=None if floor is None else _ratio(medians[name], floor),
                times_as_fast=None if published is None else _ratio(published, medians[name]),
                gpu_ms_p50=round(float(np.median(gpu)), 4) if gpu else None,
                how=how.get(name, ""),
            )
        )
    return found


def _ratio(above: np.ndarray, below: np.ndarray) -> float:
    return round(float(np.median(above / below)), 3)


def _described(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps (Apple GPU)"
    return f"cpu ({platform.processor() or platform.machine()})"
