"""What `anthesis project` is asked, and whom it tells; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from engine.projection.presets import BEST, Preset

Align = Literal["face", "off"]
"""face: a face, as FFHQ has them. off: the largest square in the middle."""
ALIGNS: tuple[Align, ...] = get_args(Align)

Loss = Literal["vgg", "mse"]

Pixels = NDArray[np.uint8]
WriteFilm = Callable[[Path, Iterable[Pixels]], None]
"""Makes a film of frames [R, R, 4], RGBA, and puts it whole in its place."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked.

    steps: None for the preset's. loss: "vgg" beside the pixels, or pixels alone. vgg: VGG16's
    weights; None where they are usually kept. face: from 1, the largest.
    """

    photos: tuple[Path, ...]
    network: Path
    out: Path
    preset: Preset = BEST
    steps: int | None = None
    loss: Loss = "vgg"
    vgg: Path | None = None
    encoder: Path | None = None
    align: Align = "face"
    face: int = 1
    noise_maps: bool = False
    film: WriteFilm | None = None
    device: str = "auto"
    force: bool = False

    @property
    def length(self) -> int:
        """Steps of a search."""
        return self.preset.steps if self.steps is None else self.steps


class Report(Protocol):
    """Who is told how it goes."""

    def say(self, line: str) -> None:
        """Something of note, in words."""

    def failed(self, line: str) -> None:
        """A photo cannot be projected; the others go on."""

    def begins(self, names: Sequence[str], left: int) -> None:
        """These photos are searched together from now on, for that many steps at most."""

    def stepped(self, loss: float, left: int) -> None:
        """They took a step: their mean loss, the least so far, and the steps that are left."""

    def stopped(self) -> bool:
        """Whether the user wants to end it; asked before every photo and every step."""


class InterruptedSearchError(Exception):
    """The user ended it; what was best is written."""
