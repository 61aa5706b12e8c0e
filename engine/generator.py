"""A session with one network on one device: W+ in, RGBA pixels out.

How the pixels are made is one of `engine.inference`'s ways: operation by operation, or compiled, on
a CPU and on Apple's GPU, and by CUDA graphs on NVIDIA's. The reference network does the mapping.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.correction import MIN_SIZE, Corrections
from engine.drivers import oldest_driver
from engine.errors import UserError
from engine.inference.apple import why_not
from engine.inference.eager import Eager
from engine.inference.folded import LEVELS
from engine.inference.graphs import Cuda, Graphs
from engine.inference.plain import Colour
from engine.inference.tuned import first, quickest
from engine.inference.walk import Sums
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network

Precision = Literal["auto", "float32", "float16"]

FRAMES_BEFORE_COMPILING = 300  # ten seconds of a show: compiling is not for a rehearsal's glance
SAMPLE_PSI = 0.8  # of the pictures that colours are fitted to


class Frames(Protocol):
    """A way to make frames. `render` makes one where it is made, `fetch` brings it to the host."""

    notes: list[str]  # sentences for the operator

    @property
    def sizes(self) -> tuple[int, ...]:
        """What can be rendered, the full size first."""

    @property
    def form(self) -> str:
        """How frames are made now, in words."""

    def admit(self, size: int, colour: Colour) -> None:
        """Render at an early size too from now on, with its way to the full picture's colours."""

    def render(self, ws: NDArray[np.float32], noise: float, size: int) -> None:
        """Make the frame of ws [num_ws, w_dim] at one of `sizes`."""

    def fetch(self, out: NDArray[np.uint8]) -> None:
        """Copy the frame that was rendered last to out [size, size, 4], and wait for it."""

    def sums(self, ws: NDArray[np.float32]) -> Sums:
        """The float pictures [r, r, 4] at all resolutions; see `walk.pictures`."""

    def improve(self) -> bool:
        """One step of what makes frames cheaper; True while there is something to expect of it."""

    def close(self) -> None:
        """Give back what outlives the process otherwise."""


class Generator:
    """Performs a network. Not for several threads at once.

    net: the network, which the session may change, or the path of a checkpoint; only what is read
    from a file is compiled.
    device: "auto" (CUDA, else Apple's GPU, else the CPU), or torch's name of one.
    precision: "auto" is float16 on CUDA and float32 elsewhere, where float16 is no faster.
    threads: of a CPU; None leaves the stage its cores.
    smallest: early pictures below that size are not used; they would look blurred.
    steady: choose nothing by measurement, so that every such session on this device makes the same
    frames to the bit; `improve` is not for it.
    Raises UserError for a device that is not there and a file or network that cannot be performed.
    """

    def __init__(
        self,
        net: StyleGAN2 | Path | str,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        smallest: int = MIN_SIZE,
        *,
        steady: bool = False,
    ) -> None:
        self.device = choose_device(device)
        file = None if isinstance(net, StyleGAN2) else Path(net)
        if not isinstance(net, StyleGAN2):
            net = load_network(net)
        if net.img_channels not in (1, 3):
            raise UserError(f"a network of {net.img_channels} channels: 1 or 3 can be shown")
        why_not_apples = why_not(net, self.device) if self.device.type == "mps" else ""
        if why_not_apples and device == "auto":
            self.device = torch.device("cpu")
        elif why_not_apples:
            raise UserError(f"device {device}: {why_not_apples}; use cpu")
        if self.device.type == "cpu":
            torch.set_num_threads(threads or cpu_threads())
        self.resolution = net.resolution
        self.z_dim, self.w_dim, self.num_ws = net.z_dim, net.w_dim, net.num_ws
        self.num_classes, self.family = net.num_classes, net.family
        # Seeds are mapped on the CPU whatever the device, so that a show is the same on any.
        self._mapping = copy.deepcopy(net.mapping).cpu()
        self._frames = _frames(net, self.device, precision, file, steady)
        if why_not_apples:
            self.notes.append(f"Apple's GPU is not used, the CPU is: {why_not_apples}")
        corrections = self._early(net, smallest)
        self._learning = None if corrections is None else self._learn(corrections)
        self.rendered = 0  # frames, without those that were the last one again
        self._shown: tuple[bytes, float, int] | None = None

    def _early(self, net: StyleGAN2, smallest: int) -> Corrections | None:
        """What learns the colours of early pictures; None if the network makes none."""
        if net.config.architecture != "skip" or self.sizes[0] < self.resolution:
            return None
        sizes = [size for size in net.config.resolutions[:-1] if size >= smallest]
        return Corrections(sizes, self.resolution) if sizes else None

    @property
    def w_avg(self) -> NDArray[np.float32]:
        """The mean w [w_dim], towards which psi pulls."""
        w_avg: NDArray[np.float32] = self._mapping.w_avg.numpy()
        return w_avg

    @property
    def device_name(self) -> str:
        """What renders, in words."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return "cpu" if self.device.type == "cpu" else f"{self.device} (Apple GPU)"

    @property
    def uuid(self) -> str:
        """Of the NVIDIA GPU that renders, 32 hexadecimal digits; empty on other devices."""
        if self.device.type != "cuda":
            return ""
        return str(torch.cuda.get_device_properties(self.device).uuid).replace("-", "").lower()

    @property
    def gpu(self) -> Graphs | None:
        """The frames as NVIDIA's GPU makes them, to be taken over there; None on other devices."""
        return self._frames if isinstance(self._frames, Graphs) else None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes at which a frame can be had now, the full one first; `improve` adds to them."""
        return self._frames.sizes

    @property
    def form(self) -> str:
        """How frames are made now, in words."""
        return self._frames.form

    @property
    def notes(self) -> list[str]:
        """What the operator should know, each said once: who has read a sentence removes it."""
        return self._frames.notes

    def map(self, seed: int, class_index: int | None = None) -> NDArray[np.float32]:
        """A seed's W+ [num_ws, w_dim], not truncated: z is RandomState(seed).randn(1, z_dim).

        class_index: 0 to num_classes - 1, for a conditional network, and only for one.
        Raises UserError for a seed or a class that there is not.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed}: seeds go from 0 to {2**32 - 1}")
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, self.z_dim)).float()
        with torch.inference_mode():
            # One at a time: a batch is another multiplication, with other bits.
            w = self._mapping(z, self._one_hot(class_index))
        return np.repeat(w.numpy(), self.num_ws, axis=0)

    def _one_hot(self, class_index: int | None) -> Tensor | None:
        if self.num_classes == 0:
            if class_index is not None:
                raise UserError(f"class {class_index}: the network has no classes")
            return None
        if class_index is None or not 0 <= class_index < self.num_classes:
            wanted = "no class given" if class_index is None else f"class {class_index}"
            raise UserError(f"{wanted}: the network's classes are 0 to {self.num_classes - 1}")
        return torch.nn.functional.one_hot(torch.tensor([class_index]), self.num_classes).float()

    def render(
        self,
        ws: NDArray[np.float32],
        noise_strength: float = 1.0,
        out: NDArray[np.uint8] | None = None,
        size: int | None = None,
    ) -> NDArray[np.uint8]:
        """W+ [num_ws, w_dim] to pixels [size, size, 4], opaque, rows from the top.

        [-1, 1] becomes 0 to 255, rounded and clamped; a grey network gives equal R, G and B.
        The same W+, noise and size as last time give the same frame, without another rendering.
        out: where to put the pixels, such as a view of shared memory; it is also returned.
        size: one of `sizes`; None for the largest.
        """
        if ws.shape != (self.num_ws, self.w_dim):
            raise ValueError(f"ws is {ws.shape}, where ({self.num_ws}, {self.w_dim}) was expected")
        size = size or self.sizes[0]
        self.make(ws, noise_strength, size)
        if out is None:
            out = np.empty((size, size, 4), np.uint8)
        self.fetch(out)
        return out

    def make(self, ws: NDArray[np.float32], noise_strength: float, size: int) -> None:
        """The first half of `render`: begin the frame, which `fetch` or `gpu.deliver` brings."""
        ws = np.array(ws, dtype=np.float32)  # a copy: shared memory may change meanwhile
        asked = (ws.tobytes(), noise_strength, size)
        if asked != self._shown:
            self._shown = None
            self._frames.render(ws, noise_strength, size)
            self._shown = asked
            self.rendered += 1

    def fetch(self, out: NDArray[np.uint8]) -> None:
        """The second half of `render`: the frame that was made last, to out [size, size, 4]."""
        self._frames.fetch(out)

    def warm_up(self) -> None:
        """Render twice and forget it: libraries load, kernels are chosen, memory is claimed."""
        for value in (0.0, 1.0):
            self.render(np.full((self.num_ws, self.w_dim), value, np.float32))
        self._shown = None
        self.rendered = 0

    def improve(self) -> bool:
        """A step of work for an idle moment, about a frame long; True while there is more to do.

        First the colours of early pictures are learned, which adds to `sizes`; then, once it has
        been performing for a while, the network is compiled, where that can be done.
        """
        if self._learning is not None:
            for _ in self._learning:
                return True
            self._learning = None
            return True
        if self.rendered < FRAMES_BEFORE_COMPILING:
            return True
        return self._frames.improve()

    def close(self) -> None:
        """End what `improve` has begun."""
        self._frames.close()

    def _learn(self, corrections: Corrections) -> Iterator[None]:
        """Learn the colours of early pictures, a step at a time, and offer those that are good."""
        more = True
        while more:
            seed = corrections.samples
            w = self.map(seed, seed % self.num_classes if self.num_classes else None)
            sums = yield from self._frames.sums(self.w_avg + SAMPLE_PSI * (w - self.w_avg))
            bytes_ = {size: sums[size][..., :3].permute(2, 0, 1) + LEVELS for size in sums}
            more = corrections.learn(bytes_)
            yield
        for size, matrix in corrections.ready.items():
            self._frames.admit(size, _colour(matrix.to(self.device)))
            yield


def _frames(
    net: StyleGAN2, device: torch.device, precision: Precision, file: Path | None, steady: bool
) -> Frames:
    if device.type != "cuda" and precision == "float16":
        raise UserError(f"float16 is for CUDA; on {device.type} it is slower than float32")
    if device.type != "cuda":
        return Eager(net, device, file, first if steady else quickest)
    dtype = torch.float32 if precision == "float32" else torch.float16
    return Graphs(net, Cuda(device, steady=steady), dtype)


def _colour(matrix: Tensor) -> Colour:
    """A colour correction [3, 4] of levels 0 to 255 for sums around 0 (see `Folded.offset`)."""
    linear = torch.zeros(4, 4, device=matrix.device)
    linear[:3, :3] = matrix[:, :3]
    shift = torch.full((4,), 255.0, device=matrix.device)
    shift[:3] = matrix[:, :3].sum(1) * LEVELS + matrix[:, 3] + 0.5
    return linear, shift


def choose_device(name: str) -> torch.device:
    """The device of that name. Raises UserError if there is none, or no such name."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (index == "" or index.isdecimal()):
        raise UserError(f"device {name}: devices are auto, cpu, cuda, cuda:N and mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name}: {_why_no_cuda()}, or use cpu")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise UserError(f"device {name}: there are {torch.cuda.device_count()}, counted from 0")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {name}: torch sees no Apple GPU; use cpu")
    return torch.device(name)


def _why_no_cuda() -> str:
    """What is missing, and what to do."""
    built_for = torch.version.cuda
    if built_for is None:
        return "torch sees no NVIDIA GPU; install its driver and a CUDA build of torch"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        found = re.search(r"driver .* too old \(found version (\d+)\)", str(error))
        if found is not None:
            major, minor = divmod(int(found[1]), 1000)
            return (
                f"the NVIDIA driver is for CUDA {major}.{minor // 10}, and this torch for "
                f"{built_for}; install driver {oldest_driver(built_for) or 'of this year'} or newer"
            )
    return "torch sees no NVIDIA GPU; install its driver"


def cpu_threads() -> int:
    """Half the cores; the others are the stage's.

    With as many threads as cores, one that has to share its core makes all others wait: on two
    cores a frame took 11 ms against 13 while nothing else ran, and 200 to 900 against 20 otherwise.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // 2)
