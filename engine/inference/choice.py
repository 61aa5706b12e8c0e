"""Whose kernels play a network on a GPU: Triton's, where they can be launched, else PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.inference import plain
from engine.inference.folded import Folded
from engine.inference.plain import Colour

CLOSE = 2.0  # levels of 255 on average, between the same picture by both

MakeFrame = Callable[[Tensor, Tensor, int, Colour | None], Tensor]
"""See `plain.frame`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """make: how frames are made; kernels: whose, in words; note: what the operator should know."""

    make: MakeFrame
    kernels: str
    note: str = ""


def pytorchs(folded: Folded, note: str = "") -> Choice:
    """PyTorch's own kernels, which play every network everywhere."""
    return Choice(partial(plain.frame, folded), "PyTorch's kernels", note)


def choose(folded: Folded, ws: Tensor) -> Choice:
    """Try Triton's kernels on a small picture of ws [num_ws, w_dim], whatever stands in it.

    Only that shows that there is a Triton that knows the device, and a C compiler with Python's
    headers for its launcher. A network that does not sum pictures at every resolution, as nearly
    all published ones do, is not for them. Raises RuntimeError if the device does not work at all.
    """
    known = pytorchs(folded)
    if len(folded.pictures()) < len(folded.blocks):
        return known
    try:
        from engine.inference.fused import Fused

        make = Fused(folded).frame
        why = _difference(folded, ws, make, known.make)
    except Exception as error:  # noqa: BLE001 - of a foreign compiler's, which are many
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if not why:
        return Choice(make, "Triton")
    slower = "frames take PyTorch's own kernels, slower; `anthesis doctor` may know more"
    # Raises if the failure has left the device broken.
    known.make(ws, torch.ones((), device=ws.device), folded.pictures()[0], None).cpu()
    return pytorchs(folded, f"no Triton ({why}): {slower}")


def _difference(folded: Folded, ws: Tensor, ours: MakeFrame, theirs: MakeFrame) -> str:
    """How the first picture that takes all kernels differs; nothing if it does not."""
    size = folded.pictures()[:2][-1]
    one = torch.ones((), device=ws.device)
    frames = (make(ws, one, size, None).float() for make in (ours, theirs))
    off = float(next(frames).sub(next(frames)).abs().mean())
    return "" if off <= CLOSE else f"its picture of {size}x{size} is off by {off:.0f} levels"
