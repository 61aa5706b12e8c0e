"""The paths to a frame that a bench compares.

published    the published arithmetic, as `engine.bench.published` has it
reference    the reference network, as `load_network` gives it
reference (torch.compile)
             the same through torch.compile, where there is a compiler
fast         the session: W+ to RGBA8 in the caller's memory, another W+ in every frame
compiled     the session once it has taken over its compiled form (CPU, Apple's GPU)
fast, N x N  the session's smaller outputs
floor        the network's convolutions alone, `engine.bench.floor`

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

from engine.bench.floor import Floor
from engine.bench.published import Published
from engine.errors import UserError
from engine.generator import Generator
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
        """A short step of work, after a frame; whether there is more."""

    def close(self) -> None:
        """End what `improve` has begun."""

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


class Entrants:
    """Makes the contenders of one network on one device; each has a copy of it.

    net: on the CPU; file: tells where it lies, for sessions; threads: None as a session chooses.
    Close it when everything is measured.
    """

    def __init__(
        self,
        net: StyleGAN2,
        file: Callable[[], Path],
        device: torch.device,
        precision: str,
        threads: int | None,
    ) -> None:
        self._net, self._file, self._device = net, file, device
        self._precision, self._threads = precision, threads
        self._ws = wplus(net)
        self._sessions: list[Session] = []
        self._improved: Session | None = None

    def enter(
        self, rows: tuple[str, ...], early: bool, say: Callable[[str], object]
    ) -> tuple[list[Contender], list[str]]:
        """Prepare the rows asked for, of `ROWS`; and a sentence for each that cannot be measured.

        early: a session's smaller outputs as well. Whatever goes wrong with one row, the others are
        measured.
        """
        makers = {
            "published": self._published,
            "reference": self._reference,
            "reference (torch.compile)": self._reference_compiled,
            "fast": self._fast,
            "compiled": self._compiled,
            "floor": self._floor,
            "fast, smaller": self._smaller,
        }
        entered: list[Contender] = []
        left_out: list[str] = []
        for row in (*rows, "fast, smaller") if early else rows:
            say(f"preparing {row}")
            try:
                made = makers[row]()
                for contender in made:
                    contender.frame()
            except _LeftOutError as why:
                left_out.append(f"{row}: {why}")
            except Exception as error:  # noqa: BLE001 - no memory, no compiler, no kernel: many
                first = str(error).strip().partition("\n")[0]
                left_out.append(f"{row}: {type(error).__name__}, {first:.200}")
            else:
                entered += made
        return entered, left_out

    def close(self) -> None:
        """End the sessions."""
        for session in self._sessions:
            session.close()

    def _published(self) -> list[Contender]:
        net = Published(copy.deepcopy(self._net).to(self._device))
        return [self._of_tensors("published", net.synthesize)]

    def _reference(self) -> list[Contender]:
        net = copy.deepcopy(self._net).to(self._device)
        return [self._of_tensors("reference", net.synthesize)]

    def _reference_compiled(self) -> list[Contender]:
        net = copy.deepcopy(self._net).to(self._device)
        compiled = torch.compile(net.synthesize, dynamic=False)
        return [self._of_tensors("reference (torch.compile)", compiled)]

    def _fast(self) -> list[Contender]:
        session = self._session()
        return [self._of_session("fast", session, self._net.resolution)]

    def _compiled(self) -> list[Contender]:
        if self._device.type == "cuda":
            raise _LeftOutError("on CUDA the fast path is a CUDA graph, which nothing replaces")
        session = self._improved_session()
        if "compiled" not in session.form:
            slow = f"no faster here, or not ready within {IMPROVING_S:.0f} s"
            raise _LeftOutError("; ".join(session.notes) or slow)
        return [self._of_session("compiled", session, self._net.resolution)]

    def _smaller(self) -> list[Contender]:
        session = self._improved_session()
        sizes = session.sizes[1:]
        if not sizes:
            raise _LeftOutError("no early output of this network is near enough to the whole one")
        return [self._of_session(f"fast, {size} x {size}", session, size) for size in sizes]

    def _floor(self) -> list[Contender]:
        dtype = torch.float16 if self._precision == "float16" else torch.float32
        floor = Floor(self._net.config, self._device, dtype)
        if self._device.type != "cuda":
            return [Contender("floor", self._precision, self._finished(floor.run))]
        with torch.cuda.device(self._device):
            replay = floor.captured()
        return [Contender("floor", f"{self._precision}, CUDA graph", self._finished(replay))]

    def _session(self) -> Session:
        open_session = cast(Callable[..., Session], Generator)
        threads = {} if self._threads is None else {"threads": self._threads}
        session = open_session(
            self._file(), device=str(self._device), precision=self._precision, **threads
        )
        self._sessions.append(session)
        session.warm_up()
        return session

    def _improved_session(self) -> Session:
        """A session that has done all it does between frames, or has had long enough for it."""
        if self._improved is None:
            self._improved = self._session()
            ws = itertools.cycle(self._ws)
            ends = time.monotonic() + IMPROVING_S
            self._improved.render(next(ws))
            while self._improved.improve() and time.monotonic() < ends:
                self._improved.render(next(ws))
                time.sleep(0.01)  # where a process compiles, it needs the core
        return self._improved

    def _of_session(self, name: str, session: Session, size: int) -> Contender:
        ws = itertools.cycle(self._ws)
        out = memory_for(size, self._device)
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


def memory_for(size: int, device: torch.device) -> NDArray[np.uint8]:
    """Where a session puts its frames: uint8 [size, size, 4].

    A GPU writes there by itself, as it does to the slots that an engine registers with it; through
    other memory 4 MB go over a detour of the driver's, which no show takes.
    """
    pinned = device.type == "cuda"
    frame: NDArray[np.uint8] = torch.empty(
        size, size, 4, dtype=torch.uint8, pin_memory=pinned
    ).numpy()
    return frame


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
