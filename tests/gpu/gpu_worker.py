"""The engine process on a GPU: its first frame, and the governor while something else works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gpu_lines import MISSED, OK, Line, NotRunError, Told, at_most
from gpu_networks import config_f

FIRST_FRAME_S = 10.0
BUDGET_MS = 1000 / 240
UNDER_LOAD_S = 5.0
BACK_S = 10.0
LOADS = 4  # other processes at work: the GPU gives each its turn, of a millisecond or two
PATIENCE_S = 120.0

_LOAD = """
import torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
print("working", flush=True)
while True:
    for _ in range(8):
        a @ a
    torch.cuda.synchronize()
"""


def first_frame(told: Told) -> Iterator[Line]:
    """From the start of an engine to its first frame, nothing compiled yet and then all of it."""
    _, file = config_f(told)
    cache = told.folder / "triton"
    before = os.environ.get("TRITON_CACHE_DIR")
    os.environ["TRITON_CACHE_DIR"] = str(cache)
    try:
        for what in ("first frame, kernels not compiled", "first frame, kernels compiled"):
            started = time.perf_counter()
            with _engine(file) as source:
                _frame(source)
                yield at_most(
                    "first_frame", what, time.perf_counter() - started, " s", FIRST_FRAME_S
                )
    finally:
        if before is None:
            del os.environ["TRITON_CACHE_DIR"]
        else:
            os.environ["TRITON_CACHE_DIR"] = before


def governor(told: Told) -> Iterator[Line]:
    """A frame budget that cannot be kept beside other work: smaller outputs, and back again."""
    from live.source import Request

    if "budget" not in Request.__dataclass_fields__:
        raise NotRunError("a frame budget in what the stage asks")
    _, file = config_f(told)
    with _engine(file) as source:
        whole = _frame(source).header.width
        ends = time.perf_counter() + PATIENCE_S
        while len(source.sizes) < 2 and time.perf_counter() < ends:
            _frame(source)  # in between it fits the corrections of its smaller outputs
        yield Line("governor", "output sizes", ", ".join(map(str, source.sizes)))
        if len(source.sizes) < 2:
            raise NotRunError("a smaller output near enough to the whole one")
        free, free_ms = _sizes(source, UNDER_LOAD_S)
        yield _share("alone, whole frames", free, whole, "all but a few", 0.9)
        with _load():
            loaded, loaded_ms = _sizes(source, UNDER_LOAD_S)
        found = f"{free_ms:.2f} ms alone, {loaded_ms:.2f} under load, of {BUDGET_MS:.2f}"
        yield Line("governor", "a frame", found)
        small = 1 - loaded[whole] / max(1, sum(loaded.values()))
        verdict = OK if small > 0 else f"{MISSED}: or the load was too light"
        yield Line(
            "governor", "under load, smaller frames", f"{100 * small:.0f} %", "some", verdict
        )
        _sizes(source, BACK_S)
        back, _ = _sizes(source, 1.0)
        yield _share(f"{BACK_S:.0f} s later, whole frames", back, whole, "all but a few", 0.9)


def _share(what: str, sizes: Counter[int], whole: int, wanted: str, least: float) -> Line:
    share = sizes[whole] / max(1, sum(sizes.values()))
    return Line("governor", what, f"{100 * share:.0f} %", wanted, OK if share >= least else MISSED)


@contextmanager
def _engine(file: Path) -> Iterator[Any]:
    """An engine on that network, as the stage starts one."""
    from live.source import Supervised

    source: Any = Supervised("cuda", file, (), time.perf_counter_ns())
    try:
        yield source
    finally:
        source.close()
        source.join(10)


def _frame(source: Any, budget_ns: int = 0) -> Any:
    """Ask for another W+ and take the frame of it."""
    from live.source import Request

    ends = time.perf_counter() + PATIENCE_S
    asked = False
    while time.perf_counter() < ends:
        source.tend(time.perf_counter_ns())
        if source.refusal is not None:
            raise RuntimeError(source.refusal)
        if source.facts is not None and not asked:
            facts = source.facts
            ws = np.random.default_rng().normal(size=(facts.num_ws, facts.w_dim))
            extra = {"budget": budget_ns} if budget_ns else {}
            source.ask(Request(time.perf_counter_ns(), ws.astype(np.float32), **extra))
            asked = True
        frame = source.latest()
        if frame is not None:
            return frame
        time.sleep(0.0005)
    raise TimeoutError(f"no frame within {PATIENCE_S:.0f} s")


def _sizes(source: Any, seconds: float) -> tuple[Counter[int], float]:
    """How many frames of which size come within a time, with the budget; their median in ms."""
    sizes: Counter[int] = Counter()
    took = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        due = time.perf_counter() + BUDGET_MS / 1000
        header = _frame(source, int(BUDGET_MS * 1e6)).header
        sizes[header.width] += 1
        took.append((header.finished - header.started) / 1e6)
        time.sleep(max(0.0, due - time.perf_counter()))
    return sizes, float(np.median(took))


@contextmanager
def _load() -> Iterator[None]:
    """Other processes that keep the GPU busy."""
    with ExitStack() as closing:
        command = [sys.executable, "-c", _LOAD]
        loads = []
        for _ in range(LOADS):
            loads.append(closing.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)))
            closing.callback(loads[-1].kill)  # before it is waited for
        for load in loads:
            assert load.stdout is not None
            load.stdout.readline()
        yield
