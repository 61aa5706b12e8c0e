"""The rows of the GPU check, and how a section becomes rows whatever happens in it."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OK, MISSED, FAILED, NOT_RUN = "ok", "MISSED", "FAILED", "not run"
OURS = ("engine", "live", "gpu_", "test_")
BROKEN_DEVICE = 3  # exit code: nothing in this process can be believed any more

_WIDTHS = (12, 38, 26, 26)
_HEADS = ("section", "what", "found", "wanted")
HEAD = " ".join(f"{head:{width}}" for head, width in zip(_HEADS, _WIDTHS, strict=True))


@dataclass(frozen=True)
class Line:
    """One row. verdict: ok, MISSED, "FAILED: why", "not run: why", or nothing to judge."""

    section: str
    what: str
    found: str = ""
    wanted: str = ""
    verdict: str = ""

    def record(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Told:
    """What sections are told. folder: for what they write; seconds: of those that take long."""

    folder: Path
    seconds: float


class NotRunError(Exception):
    """Something is not here that this needs; what."""


Section = Callable[[Told], Iterator[Line]]


def row(line: Line) -> str:
    """The line as the table has it."""
    cells = (line.section, line.what, line.found, line.wanted)
    text = " ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"{text} {line.verdict}".rstrip()


def at_most(
    section: str, what: str, value: float, unit: str, accepted: float, goal: float | None = None
) -> Line:
    """A figure that is better the smaller it is."""
    wanted = f"<= {accepted:g}{unit}" + ("" if goal is None else f", goal {goal:g}{unit}")
    verdict = OK if value <= accepted else MISSED
    if goal is not None and value <= goal:
        verdict = f"{OK}, goal reached"
    return Line(section, what, f"{value:.4g}{unit}", wanted, verdict)


def at_least(section: str, what: str, value: float, unit: str, accepted: float) -> Line:
    """A figure that is better the larger it is."""
    verdict = OK if value >= accepted else MISSED
    return Line(section, what, f"{value:.4g}{unit}", f">= {accepted:g}{unit}", verdict)


def perform(sections: Sequence[str], told: Told) -> int:
    """Run sections, each "module:function", in this process, and say all of it as lines of JSON.

    Standard output is for these alone: what a library prints there goes to standard error. Returns
    the exit code.
    """
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message: dict[str, object]) -> None:
        private.write(json.dumps(message) + "\n")
        private.flush()

    for section in sections:
        say({"begin": section})
        name = section.partition(":")[2]
        started = time.perf_counter()
        why = None
        try:
            for line in _function(section)(told):
                say({"line": line.record()})
        except NotRunError as missing:
            why = f"{NOT_RUN}: {missing}"
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith(OURS):
                why = f"{FAILED}: {missing}"
            else:
                why = f"{NOT_RUN}: no {missing.name}"
        except Exception as error:  # noqa: BLE001 - it is a row, and the others go on
            traceback.print_exc()
            words = " ".join(str(error).split())
            why = f"{FAILED}: {type(error).__name__}: {words:.200}"
        took = f"{time.perf_counter() - started:.1f} s"
        say({"line": Line(name, "(the section)", took, verdict=why or "").record()})
        say({"end": section})
        if why is not None and not _device_answers():
            return BROKEN_DEVICE
    return 0


def _function(section: str) -> Section:
    module, _, name = section.partition(":")
    found: Section = getattr(importlib.import_module(module), name)
    return found


def _device_answers() -> bool:
    """Whether CUDA still works in this process: some of its errors stay for good."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        return float(torch.ones(1, device="cuda").sum()) == 1.0
    except RuntimeError:
        return False
