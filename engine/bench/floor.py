"""The floor: what a network's convolutions alone take, the least that any path to a frame can be.

One conv2d, or stride-2 conv_transpose2d, for every convolution as published, ToRGB's and the
shortcuts' 1x1 among them: static weights, channels-last, the shapes, type and threads of what is
measured beside it, inputs that are there already. No modulation, no filter, no noise, no activation
and no sum. It is never the fast path's own decomposition, which may so fall below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.networks.config import StyleGAN2Config

WARM_UP = 3  # cuDNN tries its algorithms in the first


@dataclass(frozen=True, slots=True)
class Convolution:
    """One of a network's convolutions, of a batch of 1: [1, inputs, size, size] comes in."""

    inputs: int
    outputs: int
    kernel: int
    size: int
    up: bool = False  # of stride 2, transposed: 2 size + 1 pixels come out

    @property
    def multiplications(self) -> int:
        """Products of a weight and a sample."""
        return self.inputs * self.outputs * self.kernel**2 * self.size**2


def convolutions(config: StyleGAN2Config) -> list[Convolution]:
    """Every convolution of the synthesis, in order."""
    found = []
    previous = 0
    for size, channels in zip(config.resolutions, config.channels, strict=True):
        if previous:
            if config.architecture == "resnet":
                found.append(Convolution(previous, channels, 1, size // 2))
            found.append(Convolution(previous, channels, 3, size // 2, up=True))
        found.append(Convolution(channels, channels, 3, size))
        if config.has_torgb(size):
            found.append(Convolution(channels, config.img_channels, 1, size))
        previous = channels
    return found


def gmacs(config: StyleGAN2Config) -> float:
    """Billions of multiplications (and additions) of a frame's convolutions."""
    return sum(convolution.multiplications for convolution in convolutions(config)) / 1e9


class Floor:
    """A network's convolutions on a device, one after the other; not for several threads."""

    def __init__(self, config: StyleGAN2Config, device: torch.device, dtype: torch.dtype) -> None:
        random = torch.Generator().manual_seed(0)

        def tensor(*shape: int) -> Tensor:
            values = torch.randn(shape, generator=random).to(device, dtype)
            return values.to(memory_format=torch.channels_last)

        self._steps = []
        for one in convolutions(config):
            first, second = (one.inputs, one.outputs) if one.up else (one.outputs, one.inputs)
            weight = tensor(first, second, one.kernel, one.kernel)
            self._steps.append((tensor(1, one.inputs, one.size, one.size), weight, one.up))

    @torch.inference_mode()
    def run(self) -> list[Tensor]:
        """All of them once; what each makes, [1, outputs, r, r]."""
        return [
            F.conv_transpose2d(x, weight, stride=2)
            if up
            else F.conv2d(x, weight, padding=weight.shape[-1] // 2)
            for x, weight, up in self._steps
        ]

    def captured(self) -> Callable[[], None]:
        """All of them as a CUDA graph, which the returned function replays without waiting.

        cuDNN chooses each algorithm by trying. Raises torch's error without the memory for it.
        """
        self._graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with _by_trying():
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self.run()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(self._graph):
                self._made = self.run()  # the graph writes into these at every replay
        return self._replay

    def _replay(self) -> None:
        """A method, so that who has it has the weights: a graph reads their memory, not them.

        Once nobody else has, the next capture gives the memory back, and a replay reads nowhere.
        """
        self._graph.replay()


@contextmanager
def _by_trying() -> Iterator[None]:
    """cuDNN chooses by trying; what else is set stays, so that all are measured in one type."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
