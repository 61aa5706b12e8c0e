"""What `anthesis train` is asked, and whom it tells; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

FLOWERS = "flowers"
"""As PICTURES: those that Anthesis draws itself, without end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked; None where it is left to what was published, or to the network begun from.

    pictures: a folder, a zip or FLOWERS. kimg and minutes: until when, whichever comes first.
    start: a network to go on from. freeze: kimg that its discriminator first learns alone, if it
    has to be a new one. pairs: kimg until which flowers are compared with their own latents'.
    snapshot: kimg between two. precision: auto, float32 or float16 (in the highest resolutions).
    """

    pictures: Path
    out: Path
    resolution: int | None = None
    channel_base: int | None = None
    channel_max: int = 512
    mapping: int = 8
    batch: int | None = None
    gamma: float | None = None
    rate: float = 0.0025
    mixing: float | None = None
    kimg: float | None = None
    minutes: float | None = None
    start: Path | None = None
    freeze: float = 10.0
    augment: bool | None = None
    mirror: bool = False
    noise: bool = True
    pairs: float | None = None
    snapshot: float = 20.0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    force: bool = False

    @property
    def draws_flowers(self) -> bool:
        """Whether no one's pictures are needed."""
        return str(self.pictures) == FLOWERS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is.

    rate: pictures a second. left_s: None where only Ctrl-C ends it. means: of losses, R1, path
    length and the discriminator's sign, by name, since a while. p: of the augmentation.
    """

    kimg: float
    share: float
    rate: float
    left_s: float | None
    means: Mapping[str, float] = field(default_factory=dict)
    p: float = 0.0


class Report(Protocol):
    """Who is told how it goes."""

    def say(self, line: str) -> None:
        """Something of note, in words."""

    def went(self, progress: Progress) -> None:
        """A few steps more."""

    def stopped(self) -> bool:
        """Whether the user wants to end it; asked before every step."""


class InterruptedTrainingError(Exception):
    """The user ended it; a snapshot is written."""
