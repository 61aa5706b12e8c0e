"""Frames from NVIDIA's GPUs: each size one CUDA graph, from W+ to bytes.

Launching the hundred and more small kernels of a frame one by one takes longer than running them; a
graph launches them all at once. What a frame needs is allocated when its graph is captured. In a
frame nothing is allocated, nothing is decided and nothing waits, but `fetch`, once, for the bytes.

Tested against a stand-in for the device; on an H100 by `tests/gpu/check.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.inference import ipc
from engine.inference.choice import Choice, choose
from engine.inference.folded import Folded
from engine.inference.plain import Colour, Plain
from engine.inference.walk import Sums, pictures
from engine.link import pattern
from engine.networks.stylegan2 import StyleGAN2

WARM_UPS = 3  # before a capture: libraries load, cuDNN measures its algorithms

Make = Callable[[], Tensor]
Replay = Callable[[], None]


class Machine(Protocol):
    """What graphs need of a device, in the order of their use. All of it happens on one stream."""

    device: torch.device

    def pinned(self, values: Tensor) -> Tensor:
        """The same in host memory that the device reads by itself."""

    def choose(self, folded: Folded, ws: Tensor) -> Choice:
        """With whose kernels to play a network; ws [num_ws, w_dim] is memory of the device."""

    def capture(self, make: Make) -> tuple[Replay, Tensor]:
        """Make a frame to warm up, then record how; the tensor is what every replay fills.

        Raises torch.OutOfMemoryError.
        """

    def run(self, work: Callable[[], None]) -> None:
        """Queue some work, without waiting for it."""

    def bring(self, frame: Tensor, out: NDArray[np.uint8]) -> None:
        """Copy a frame to the host and wait for it: the one wait of a frame."""

    def register(self, memory: NDArray[np.uint8]) -> str:
        """Have the device write to that memory of the host by itself; if it cannot, why."""

    def open(self, handle: bytes, nbytes: int) -> Tensor:
        """Memory of the device that another process exported, uint8 [nbytes].

        Raises RuntimeError or ImportError.
        """

    def deliver(self, frame: Tensor, slot: Tensor) -> None:
        """Copy a frame within the device and wait for it: the one wait of a frame."""

    def forget(self) -> None:
        """Give back memory that nobody uses, after an allocation that failed."""


class Cuda:
    """The real one. steady: without measuring, so that frames are the same in every process."""

    def __init__(self, device: torch.device, *, steady: bool = False) -> None:
        self.device = device
        self._steady = steady
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        # A blocking wait leaves the core to the stage, where a spinning one would take it.
        self._there = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def pinned(self, values: Tensor) -> Tensor:
        """See `Machine.pinned`."""
        return values.pin_memory()

    def choose(self, folded: Folded, ws: Tensor) -> Choice:
        """See `Machine.choose`."""
        with self._working(measuring=True):
            self._wait_for_the_rest()
            return choose(folded, ws)

    def capture(self, make: Make) -> tuple[Replay, Tensor]:
        """See `Machine.capture`."""
        with self._working(measuring=True):
            self._wait_for_the_rest()
            for _ in range(WARM_UPS):
                make()
            self._stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                frame = make()
        return graph.replay, frame

    def run(self, work: Callable[[], None]) -> None:
        """See `Machine.run`."""
        with self._working():
            work()

    def bring(self, frame: Tensor, out: NDArray[np.uint8]) -> None:
        """See `Machine.bring`."""
        with self._working():
            torch.from_numpy(out).copy_(frame, non_blocking=True)
            self._there.record(self._stream)
        self._there.synchronize()

    def register(self, memory: NDArray[np.uint8]) -> str:
        """See `Machine.register`."""
        with torch.cuda.device(self.device):
            return ipc.register(memory)

    def open(self, handle: bytes, nbytes: int) -> Tensor:
        """See `Machine.open`."""
        with torch.cuda.device(self.device):
            return ipc.opened(handle, nbytes, self.device)

    def deliver(self, frame: Tensor, slot: Tensor) -> None:
        """See `Machine.deliver`."""
        with self._working():
            slot[: frame.numel()].copy_(frame.reshape(-1), non_blocking=True)
            self._there.record(self._stream)
        self._there.synchronize()

    def forget(self) -> None:
        """See `Machine.forget`."""
        torch.cuda.empty_cache()

    def _wait_for_the_rest(self) -> None:
        """Weights and colours are computed on the default stream, for which others do not wait."""
        self._stream.wait_stream(torch.cuda.default_stream(self.device))

    @contextmanager
    def _working(self, *, measuring: bool = False) -> Iterator[None]:
        """On the stream, with float32 meaning float32.

        measuring: cuDNN chooses by measurement, which takes many times what it then chooses.
        """
        exact = torch.backends.cudnn.flags(
            enabled=True,
            benchmark=measuring and not self._steady,
            deterministic=self._steady,
            allow_tf32=False,
        )
        with torch.inference_mode(), torch.cuda.stream(self._stream), exact:
            yield


class Graphs:
    """Plays a network by CUDA graphs: `render` queues a frame, `fetch` waits for it and brings it.

    Where memory does not suffice for the full size, the largest that fits is all there is. Raises
    torch.OutOfMemoryError if none does.
    """

    def __init__(self, net: StyleGAN2, machine: Machine, dtype: torch.dtype) -> None:
        self._machine = machine
        self._folded = Folded(net, machine.device, dtype)
        # Of ws and the noise factor, one tensor: one copy a frame.
        values = net.num_ws * net.w_dim
        self._staged = machine.pinned(torch.zeros(values + 1))
        self._asked = torch.zeros(values + 1, device=machine.device)
        self._ws = self._asked[:values].view(net.num_ws, net.w_dim)
        self._noise = self._asked[values]
        self._graphs: dict[int, tuple[Replay, Tensor]] = {}
        # A graph reads memory, not tensors: what frames are made of must live as long as it.
        self._makes: dict[int, Make] = {}
        self._slots: list[Tensor] = []
        self._unpinned: set[str] = set()
        self._frame = torch.empty(0, dtype=torch.uint8)
        self._choice = machine.choose(self._folded, self._ws)
        self.notes = [self._choice.note] if self._choice.note else []
        self._capture_largest()

    @property
    def sizes(self) -> tuple[int, ...]:
        """What can be rendered, the largest first."""
        return tuple(sorted(self._graphs, reverse=True))

    @property
    def form(self) -> str:
        """How frames are made, in words."""
        dtype = str(self._folded.dtype).removeprefix("torch.")
        return f"{dtype}, CUDA graph, {self._choice.kernels}"

    def admit(self, size: int, colour: Colour) -> None:
        """Render at an early size too from now on, with its way to the full picture's colours."""
        if not self._capture(size, colour):
            self.notes.append(f"no GPU memory for frames of {size}x{size} beside larger ones")

    def render(self, ws: NDArray[np.float32], noise: float, size: int) -> None:
        """Queue the frame of ws [num_ws, w_dim] at one of `sizes`."""
        # What is staged has been read: `fetch` has waited for the frame before.
        self._staged[:-1] = torch.from_numpy(ws).reshape(-1)
        self._staged[-1] = noise
        replay, self._frame = self._graphs[size]
        self._machine.run(lambda: self._begin(replay))

    def _begin(self, replay: Replay) -> None:
        self._asked.copy_(self._staged, non_blocking=True)
        replay()

    def fetch(self, out: NDArray[np.uint8]) -> None:
        """Copy the frame that was rendered last to out [size, size, 4], and wait for it."""
        self._machine.bring(self._frame, out)

    def register(self, memory: NDArray[np.uint8]) -> None:
        """Frames will be fetched to that memory: have the device copy to it by itself."""
        why = self._machine.register(memory)
        if why and why not in self._unpinned:
            self._unpinned.add(why)
            self.notes.append(f"frames take a detour in the host's memory, slower: {why}")

    def open(self, handles: Sequence[bytes], side: int) -> str:
        """Open another process's slots of this GPU for frames up to side x side; if not, why."""
        try:
            self._slots = [self._machine.open(handle, side * side * 4) for handle in handles]
        except (RuntimeError, ImportError, OSError) as error:
            return " ".join(str(error).split())
        return ""

    def mark(self, side: int) -> None:
        """Fill the slots with `link.pattern`, by which the other process knows them."""
        for number, slot in enumerate(self._slots):
            self._machine.deliver(torch.from_numpy(pattern(number, side)), slot)

    def deliver(self, slot: int) -> None:
        """Copy the frame that was rendered last to one of the slots, and wait for it."""
        self._machine.deliver(self._frame, self._slots[slot])

    def sums(self, ws: NDArray[np.float32]) -> Sums:
        """The float pictures [r, r, 4] at all resolutions, on the device, one a step.

        See `walk.pictures`. Between two frames of a show there is time for one, not for all.
        """
        found: dict[int, Tensor] = {}
        played: Iterator[tuple[int, Tensor]] = iter(())

        def begin() -> None:
            nonlocal played
            s, d = self._folded.styles(torch.from_numpy(ws).to(self._machine.device))
            one = torch.ones((), device=self._machine.device)
            played = pictures(self._folded, Plain(), s, d, one)

        self._machine.run(begin)
        for _ in self._folded.pictures():
            self._machine.run(lambda: found.update([next(played)]))
            yield
        # Who asked for them reads them on another stream: wait until they are there.
        self._machine.run(lambda: self._wait_for(found[min(found)]))
        return found

    def _wait_for(self, computed: Tensor) -> None:
        """Until all is done that was queued up to now; nothing else than a copy waits."""
        computed.cpu()

    def improve(self) -> bool:
        """Nothing gets better with time here."""
        return False

    def close(self) -> None:
        """Everything ends with the process."""

    def _capture_largest(self) -> None:
        *smaller, full = self._folded.pictures()
        if self._capture(full, None):
            return
        for size in reversed(smaller):
            if self._capture(size, None):
                self.notes.append(
                    f"no GPU memory for frames of {full}x{full}: they are {size}x{size}"
                )
                return
        raise torch.OutOfMemoryError(f"no GPU memory for frames of {smaller or [full]}")

    def _capture(self, size: int, colour: Colour | None) -> bool:
        def make() -> Tensor:
            return self._choice.make(self._ws, self._noise, size, colour)

        try:
            self._graphs[size] = self._machine.capture(make)
            self._makes[size] = make
        except torch.OutOfMemoryError:
            self._machine.forget()
            return False
        return True
