"""How fast frames are, what they allocate, and whether that stays so."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gpu_lines import FAILED, OK, Line, NotRunError, Told, at_least, at_most
from gpu_networks import config_f

from engine.bench.contenders import memory_for, wplus
from engine.bench.figures import Figures
from engine.bench.measure import Options, measure
from engine.bench.subject import Subject
from engine.generator import Generator
from engine.inference.choice import Choice, pytorchs
from engine.inference.folded import Folded
from engine.inference.graphs import Cuda, Graphs

GOALS = {1024: (1.25, 2.0), 512: (0.8, 1.2)}  # ms: goal, accepted
FLOORS = 2.0
FRAMES = 1000
MB = 1e6


def frames(told: Told) -> Iterator[Line]:
    """W+ to RGBA8, configuration F, float16: against the floor, and the figures wanted."""
    for size, (goal, accepted) in GOALS.items():
        rows = ("published", "reference", "fast", "floor")
        figures = _measured(size, Options("cuda", rows=rows, seconds=15))
        yield from _missing("frames", figures)
        for row in figures.rows:
            found = f"{row.ms_p50:.3f} ms, p99 {row.ms_p99:.3f}"
            yield Line("frames", f"{size}, {row.name}", found, verdict=row.how)
        for row in figures.rows:
            if row.name == "fast":
                assert row.ratio_to_floor is not None
                name = f"{size}, W+ to RGBA8"
                yield at_most("frames", name, row.ms_p50, " ms", accepted, goal)
                yield at_most("frames", f"{size}, to the floor", row.ratio_to_floor, " x", FLOORS)
                yield Line("frames", f"{size}, as fast as published", f"{row.times_as_fast} x")
        yield Line("frames", f"{size}, multiplications", f"{figures.facts['gmacs']} G")


def early(told: Told) -> Iterator[Line]:
    """The session's smaller outputs of a 1024x1024 network."""
    figures = _measured(1024, Options("cuda", rows=("fast", "floor"), early=True, seconds=5))
    yield from _missing("early", figures)
    for row in figures.rows:
        yield Line("early", row.name, f"{row.ms_p50:.3f} ms, p99 {row.ms_p99:.3f}")


def _measured(size: int, options: Options) -> Figures:
    subject = Subject.of(config="f", resolution=size)
    return measure(subject, options, lambda line: sys.stderr.write(f"{line}\n"))


def _missing(section: str, figures: Figures) -> Iterator[Line]:
    for sentence in figures.left_out:
        row, _, why = sentence.partition(": ")
        yield Line(section, row, verdict=f"{FAILED}: {why}")


def fusion(told: Told) -> Iterator[Line]:
    """Triton's kernels against PyTorch's own, each in a graph, in turns."""
    net, _ = config_f(told)
    device = torch.device("cuda", torch.cuda.current_device())
    chosen = Graphs(net, Cuda(device), torch.float16)
    yield Line("fusion", "chosen", chosen.form, verdict="; ".join(chosen.notes))
    known = Graphs(net, _PyTorchs(device), torch.float16)
    if chosen.form == known.form:
        raise NotRunError(chosen.notes[0] if chosen.notes else "Triton")
    out = memory_for(net.resolution, device)
    took: dict[str, list[float]] = {chosen.form: [], known.form: []}
    for ws in itertools.islice(itertools.cycle(wplus(net)), FRAMES // 4):
        for graphs in (chosen, known):
            started = time.perf_counter()
            graphs.render(ws, 1.0, net.resolution)
            graphs.fetch(out)
            took[graphs.form].append(1000 * (time.perf_counter() - started))
    for form, ms in took.items():
        yield Line("fusion", form, f"{np.median(ms):.3f} ms")
    faster = np.median(took[known.form]) / np.median(took[chosen.form])
    yield at_least("fusion", "as fast as PyTorch's kernels", faster, " x", 1.0)


class _PyTorchs(Cuda):
    """A GPU without Triton."""

    def choose(self, folded: Folded, ws: torch.Tensor) -> Choice:
        return pytorchs(folded)


def allocations(told: Told) -> Iterator[Line]:
    """A frame takes no memory: neither from CUDA nor from PyTorch's own store of it."""
    session, path = _session(told)
    out = memory_for(session.resolution, session.device)
    ws = itertools.cycle(path)
    for _ in range(20):
        session.render(next(ws), out=out)
    before, held = torch.cuda.memory_stats(), torch.cuda.memory_allocated()
    for _ in range(FRAMES):
        session.render(next(ws), out=out)
    after = torch.cuda.memory_stats()
    yield Line("allocations", "held by the session", f"{held / MB:.0f} MB")
    for what, key in (
        ("from CUDA", "num_device_alloc"),
        ("again after failing", "num_alloc_retries"),
        ("from PyTorch", "allocation.all.allocated"),
    ):
        count = after.get(key, 0) - before.get(key, 0)
        yield at_most("allocations", f"{what}, in {FRAMES} frames", count, "", 0)
    grown = torch.cuda.memory_allocated() - held
    yield at_most("allocations", "held more, after them", grown, " B", 0)


def memory(told: Told) -> Iterator[Line]:
    """Frames for minutes: memory stays flat, and so does the time that one takes."""
    try:
        import psutil
    except ImportError:
        psutil = None  # the host's memory is then not told
    session, path = _session(told)
    out = memory_for(session.resolution, session.device)
    ws = itertools.cycle(path)
    process = None if psutil is None else psutil.Process(os.getpid())

    def used() -> tuple[int, int]:
        free, whole = torch.cuda.mem_get_info()
        return whole - free, 0 if process is None else process.memory_info().rss

    took: list[tuple[float, float]] = []
    began = time.perf_counter()
    settled, first = began + 0.1 * told.seconds, None
    while (started := time.perf_counter()) < began + told.seconds:
        session.render(next(ws), out=out)
        took.append((started, time.perf_counter() - started))
        if first is None and started > settled:
            first = used()
    if first is None:
        raise NotRunError("more time, for one frame to be made")
    last = used()
    ms = np.array([duration for _, duration in took]) * 1000
    tenth = len(ms) // 10
    early, late = np.median(ms[tenth : 2 * tenth]), np.median(ms[-tenth:])
    yield Line("memory", f"frames in {told.seconds:.0f} s", f"{len(ms)}")
    yield at_most("memory", "more on the device", (last[0] - first[0]) / MB, " MB", 2)
    if process is not None:
        yield at_most("memory", "more on the host", (last[1] - first[1]) / MB, " MB", 16)
    yield at_most("memory", "a frame at the end to the beginning", late / early, " x", 1.1)
    yield Line(
        "memory", "a frame", f"{np.median(ms):.3f} ms, p99 {np.percentile(ms, 99):.3f}", verdict=OK
    )


def _session(told: Told) -> tuple[Any, list[np.ndarray]]:
    net, file = config_f(told)
    session: Any = Generator(file, device="cuda", precision="float16")
    session.warm_up()
    return session, wplus(net)
