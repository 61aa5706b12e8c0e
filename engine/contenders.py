"""The paths to a frame that a bench compares.

published    the published arithmetic, as `engine.networks.published` has it
reference    the reference network, as `load_network` gives it
reference (torch.compile)
             the same through torch.compile, where there is a compiler
fast         the session: W+ to RGBA8 in the caller's memory, another W+ in every frame
compiled     the session once it has taken over its compiled form (CPU, Apple's GPU)
fast, N x N  the session's smaller outputs
floor        the network's convolutions alone, `engine.floor`

published and reference end with the picture in float32 on the device, the session with bytes in the
host's memory: it is measured with all that a show needs of it.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.floor import Floor
from engine.generator import Generator
from engine.networks.published import Published
from engine.networks.stylegan2 import StyleGAN2

ROWS = ("published", "reference", "reference (torch.compile)", "fast", "compiled", "floor")
WPLUS = 64  # different W+, taken in turn
KEYS = 8
IMPROVING_S = 600.0  # for compiling, and for the corrections of smaller outputs


@dataclass(frozen=True, slots=True)
class Contender:
    """One path. `frame` makes one and returns when it is finished; `how`: its type or form."""

    name: str
    how: str
    frame: Callable[[], object]


class Session(Protocol):
    """What is measured of `engine.generator.Generator`."""

    @property
    def form(self) -> str:
        """How frames are made now, in words."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Output sizes that can answer now, largest first."""

    @property
    def notes(self) -> list[str]:
        """Sentences to be said once."""

    def warm_up(self) -> None:
        """Make the first frames."""

    def improve(self) -> bool:
        """A short step of work; whether there is more."""

    def render(
        self,
        ws: NDArray[np.float32],
        noise_strength: float = 1.0,
        out: NDArray[np.uint8] | None = None,
        size: int | None = None,
    ) -> NDArray[np.uint8]:
        """W+ [num_ws, w_dim] to pixels [size, size, 4]."""


class _LeftOutError(Exception):
    """A row that cannot be measured here; why, as the end of a sentence."""


def resolve_precision(name: str, device: torch.device) -> str:
    """float32 or float16, which is for CUDA. Raises UserError."""
    if name == "auto":
        return "float16" if device.type == "cuda" else "float32"
    if name == "float16" and device.type != "cuda":
        raise UserError(f"precision float16 on {device}: it is for CUDA; use float32")
    if name not in ("float32", "float16"):
        raise UserError(f"precision {name}: auto, float32 or float16")
    return name


def enter(
    net: StyleGAN2,
    file: Callable[[], Path],
    device: torch.device,
    precision: str,
    rows: tuple[str, ...],
    early: bool,
    say: Callable[[str], object],
) -> tuple[list[Contender], list[str]]:
    """Prepare the rows asked for, of `ROWS`; and a sentence for each that cannot be measured.

    net: on the CPU; file: tells where it lies, for sessions. Whatever goes wrong with one row, the
    others are measured.
    """
    entrants = _Entrants(net, file, device, precision)
    makers = [(row, entrants.makers[row]) for row in rows]
    if early:
        makers.append(("fast, smaller", entrants.smaller))
    entered: list[Contender] = []
    left_out: list[str] = []
    for row, make in makers:
        say(f"preparing {row}")
        try:
            made = make()
            for contender in made:
                contender.frame()
        except _LeftOutError as why:
            left_out.append(f"{row}: {why}")
        except Exception as error:  # noqa: BLE001 - no memory, no compiler, no kernel: any of many
            first = str(error).strip().partition("\n")[0]
            left_out.append(f"{row}: {type(error).__name__}, {first:.200}")
        else:
            entered += made
    return entered, left_out


class _Entrants:
    """Makes the contenders of one network on one device; each has a copy of it."""

    def __init__(
        self, net: StyleGAN2, file: Callable[[], Path], device: torch.device, precision: str
    ) -> None:
        self._net, self._file, self._device, self._precision = net, file, device, precision
        self._ws = wplus(net)
        self._improved: Session | None = None
        self.makers: dict[str, Callable[[], list[Contender]]] = {
            "published": self.published,
            "reference": self.reference,
            "reference (torch.compile)": self.reference_compiled,
            "fast": self.fast,
            "compiled": self.compiled,
            "floor": self.floor,
        }

    def published(self) -> list[Contender]:
        net = Published(copy.deepcopy(self._net).to(self._device))
        return [self._of_tensors("published", net.synthesize)]

    def reference(self) -> list[Contender]:
        net = copy.deepcopy(self._net).to(self._device)
        return [self._of_tensors("reference", net.synthesize)]

    def reference_compiled(self) -> list[Contender]:
        net = copy.deepcopy(self._net).to(self._device)
        compiled = torch.compile(net.synthesize, dynamic=False)
        return [self._of_tensors("reference (torch.compile)", compiled)]

    def fast(self) -> list[Contender]:
        session = self._session()
        return [self._of_session("fast", session, self._net.resolution)]

    def compiled(self) -> list[Contender]:
        if self._device.type == "cuda":
            raise _LeftOutError("on CUDA the fast path is a CUDA graph, which nothing replaces")
        session = self._improved_session()
        if "compiled" not in session.form:
            why = "; ".join(session.notes) or f"not taken over within {IMPROVING_S:.0f} s"
            raise _LeftOutError(why)
        return [self._of_session("compiled", session, self._net.resolution)]

    def smaller(self) -> list[Contender]:
        session = self._improved_session()
        sizes = session.sizes[1:]
        if not sizes:
            raise _LeftOutError("no early output of this network is near enough to the whole one")
        return [self._of_session(f"fast, {size} x {size}", session, size) for size in sizes]

    def floor(self) -> list[Contender]:
        dtype = torch.float16 if self._precision == "float16" else torch.float32
        floor = Floor(self._net.config, self._device, dtype)
        if self._device.type != "cuda":
            return [Contender("floor", self._precision, self._finished(floor.run))]
        with torch.cuda.device(self._device):
            replay = floor.captured()
        return [Contender("floor", f"{self._precision}, CUDA graph", self._finished(replay))]

    def _session(self) -> Session:
        open_session = cast(Callable[..., Session], Generator)
        session = open_session(self._file(), device=str(self._device), precision=self._precision)
        session.warm_up()
        return session

    def _improved_session(self) -> Session:
        """A session that has done all it does in idle moments, or has had long enough."""
        if self._improved is None:
            self._improved = self._session()
            ends = time.monotonic() + IMPROVING_S
            while self._improved.improve() and time.monotonic() < ends:
                time.sleep(0.02)  # where a process compiles, it needs the core
        return self._improved

    def _of_session(self, name: str, session: Session, size: int) -> Contender:
        ws = itertools.cycle(self._ws)
        out = np.empty((size, size, 4), np.uint8)
        whole = size == self._net.resolution

        def frame() -> None:
            if whole:
                session.render(next(ws), out=out)
            else:
                session.render(next(ws), out=out, size=size)

        return Contender(name, session.form, frame)

    def _of_tensors(self, name: str, synthesize: Callable[[Tensor], Tensor]) -> Contender:
        ws = self._tensors()

        def frame() -> None:
            with torch.inference_mode():
                synthesize(next(ws))

        return Contender(name, "float32", self._finished(frame))

    def _tensors(self) -> Iterator[Tensor]:
        """W+ [1, num_ws, w_dim] on the device, in turn."""
        return itertools.cycle([torch.from_numpy(ws)[None].to(self._device) for ws in self._ws])

    def _finished(self, frame: Callable[[], object]) -> Callable[[], object]:
        """The frame, and the wait for the device's end of it."""
        if self._device.type == "cpu":
            return frame
        wait = torch.cuda.synchronize if self._device.type == "cuda" else torch.mps.synchronize

        def finished() -> None:
            frame()
            wait()

        return finished


def wplus(net: StyleGAN2) -> list[NDArray[np.float32]]:
    """A closed path of W+ [num_ws, w_dim] as a show has them: psi 0.7, no two the same."""
    random = np.random.RandomState(0)
    keys = []
    with torch.inference_mode():
        for index in range(KEYS):
            z = torch.from_numpy(random.randn(1, net.z_dim)).float()
            c = None
            if net.num_classes:
                c = torch.eye(net.num_classes)[index % net.num_classes][None]
            keys.append(net.map(z, c, psi=0.7)[0].numpy())
    steps = WPLUS // KEYS
    return [
        ((1 - step / steps) * one + step / steps * other).astype(np.float32)
        for one, other in itertools.pairwise([*keys, keys[0]])
        for step in range(steps)
    ]
