"""Pictures by their number, without end: what a training asks for, and who answers.

Picture n of a training is the same whenever it is asked for, so that a training that goes on after
a kill sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, device


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures [N, 3, R, R] in [-1, 1], and, if they were made from such, their latents [N, K].

    The latents are N(0, 1).
    """

    pictures: Tensor
    latents: Tensor | None = None


class Batches(Protocol):
    """An endless row of pictures."""

    @property
    def resolution(self) -> int:
        """Pixels a side."""

    @property
    def count(self) -> int | None:
        """How many different ones there are; None if they never repeat."""

    def take(self, first: int, count: int, where: device) -> Batch:
        """The pictures first, ... first + count - 1 of the row, on that device."""


class _Order(Protocol):
    def take(self, start: int, count: int) -> NDArray[Any]: ...


class PictureSet(Protocol):
    """A finite set of pictures, and a shuffled order of them that never ends."""

    @property
    def resolution(self) -> int:
        """Pixels a side."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int] | NDArray[Any], device: str | device = ...) -> Tensor:
        """Those pictures [N, 3, R, R] in [-1, 1]."""

    def order(self, seed: int) -> _Order:
        """An order of indices, by its seed."""


class Shuffled:
    """A set of pictures again and again, each time in another order."""

    def __init__(self, pictures: PictureSet, seed: int) -> None:
        self._pictures, self._order = pictures, pictures.order(seed)
        self.resolution: int = pictures.resolution
        self.count: int | None = len(pictures)

    def take(self, first: int, count: int, where: device) -> Batch:
        """The pictures at those places of the order."""
        return Batch(self._pictures.batch(self._order.take(first, count), where))


Render = Callable[..., tuple[Tensor, Tensor]]
"""(seed, count, size, device, first) -> latents [count, K] and pictures [count, 3, size, size]."""


class Rendered:
    """Pictures that a program draws, none of them twice."""

    count: int | None = None

    def __init__(self, render: Render, resolution: int, seed: int) -> None:
        self._render, self._seed = render, seed
        self.resolution: int = resolution

    def take(self, first: int, count: int, where: device) -> Batch:
        """Those pictures of the series, drawn now."""
        latents, pictures = self._render(self._seed, count, self.resolution, where, first)
        return Batch(pictures, latents)
