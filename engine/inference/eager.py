"""Frames from a CPU or Apple's GPU: every operation a call; a CPU's may be compiled."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.inference.compiled import Compilation, Play
from engine.inference.folded import Folded
from engine.inference.plain import Colour, to_bytes
from engine.inference.tuned import Choose, Tuned, quickest
from engine.inference.walk import Sums, picture_at, pictures
from engine.networks.stylegan2 import StyleGAN2

TRIALS = 5  # frames of each form before one of them stays


class Eager:
    """Plays a network in float32: `render` makes a frame, `fetch` brings it.

    file: where the network is from, with which compiling begins; None leaves it uncompiled.
    choose: see `Tuned`.
    """

    def __init__(
        self,
        net: StyleGAN2,
        device: torch.device,
        file: Path | None = None,
        choose: Choose = quickest,
    ) -> None:
        self._folded = Folded(net, device)
        self._full = self._folded.resolution
        self._tuned = Tuned(self._folded.filter, choose)
        self._colours: dict[int, Colour | None] = {self._full: None}
        self._frame = torch.empty(0, dtype=torch.uint8)
        self._ws = np.zeros((net.num_ws, net.w_dim), np.float32)
        self._compiled: Play | None = None
        self._rival: Play | None = None  # compiled, and not yet known to be quicker
        self._seconds: tuple[list[float], list[float]] = ([], [])  # uncompiled, compiled
        self._compilation: Compilation | None = None
        if file is not None and device.type == "cpu":
            self._compilation = Compilation(file, torch.get_num_threads())
        self.notes: list[str] = []

    @property
    def sizes(self) -> tuple[int, ...]:
        """What can be rendered, the full size first."""
        return tuple(sorted(self._colours, reverse=True))

    @property
    def form(self) -> str:
        """How frames are made now, in words."""
        if self._folded.device.type != "cpu":
            return "float32"
        threads = torch.get_num_threads()
        how = "float32" if self._compiled is None else "float32, compiled"
        return f"{how}, {threads} thread{'s' if threads > 1 else ''}"

    def admit(self, size: int, colour: Colour) -> None:
        """Render at an early size too from now on, with its way to the full picture's colours."""
        self._colours[size] = colour

    def render(self, ws: NDArray[np.float32], noise: float, size: int) -> None:
        """Make the frame of ws [num_ws, w_dim] at one of `sizes`."""
        self._ws = ws
        self._frame = self._play(self._compiled, ws, noise, size)

    def fetch(self, out: NDArray[np.uint8]) -> None:
        """Copy the frame that was rendered last to out [size, size, 4]."""
        torch.from_numpy(out).copy_(self._frame)

    def sums(self, ws: NDArray[np.float32]) -> Sums:
        """The float pictures [r, r, 4] at all resolutions, on the host; see `walk.pictures`."""
        yield from ()  # all of it is one frame's work
        with torch.inference_mode():
            played = pictures(self._folded, self._tuned, *self._prepared(ws, 1.0))
            # To the host: Apple's GPU lacks the float64 in which colours are fitted.
            return {size: picture.to("cpu", copy=True) for size, picture in played}

    def improve(self) -> bool:
        """One step towards the compiled form; True while there is something to expect of it."""
        if self._rival is not None:
            return self._try(self._rival)
        if self._compilation is None:
            return False
        if not self._compilation.begun:
            self._compilation.begin()
        self._rival = self._compilation.take()
        if not self._compilation.over:
            return True
        if self._compilation.why:
            self.notes.append(self._compilation.why)
        self._compilation = None
        return self._rival is not None

    def close(self) -> None:
        """Stop compiling."""
        if self._compilation is not None:
            self._compilation.end()

    def _try(self, rival: Play) -> bool:
        """Time a frame of each form, in turns; True while that is not enough to choose by."""
        for form, seconds in zip((None, rival), self._seconds, strict=True):
            started = time.perf_counter()
            self._play(form, self._ws, 1.0, self._full)
            seconds.append(time.perf_counter() - started)
        without, with_it = self._seconds
        if len(with_it) < TRIALS:
            return True
        self._rival = None
        if min(with_it) < min(without):
            self._compiled = rival
        return False

    def _play(
        self, compiled: Play | None, ws: NDArray[np.float32], noise: float, size: int
    ) -> Tensor:
        with torch.inference_mode():
            s, d, factor = self._prepared(ws, noise)
            if compiled is not None and size == self._full:
                return compiled(s, d, factor)
            picture = picture_at(size, self._folded, self._tuned, s, d, factor)
            return to_bytes(picture, self._folded, self._colours[size])

    def _prepared(self, ws: NDArray[np.float32], noise: float) -> tuple[Tensor, Tensor, Tensor]:
        s, d = self._folded.styles(torch.from_numpy(ws).to(self._folded.device))
        return s, d, torch.tensor(noise, device=self._folded.device)
