"""What `anthesis train` is asked, and whom it tells; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine.training.settings import PATH_WEIGHT

FLOWERS = "flowers"
"""As PICTURES: those that Anthesis draws itself, without end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked; None where it is left to what was published, or to the network begun from.

    pictures: a folder, a zip or FLOWERS. kimg and minutes: until when, whichever comes first.
    critic_base, critic_max, critic_rate: the discriminator's, where they are not the generator's.
    fall: share of kimg, at its end, in which the rate falls to nothing. average: kimg in which the
    average forgets half. path: weight of the path length.
    start: a network to go on from, or the folder of another training. grow: whether it becomes as
    large as the other options say. freeze: kimg that its discriminator first learns alone, if it
    has to be a new one.
    pool: flowers that are drawn ahead, and repeated; None draws each when it is needed. pairs: kimg
    in which flowers are compared with their own latents', pairs_begin at first and pairs_left from
    then on; pairs_share: how many of them.
    snapshot: kimg between two. inception: FID's weights; None: where torch keeps them, if it does,
    and no FID if it does not. precision: auto, float32, float16 or bfloat16, of the highest
    resolutions.
    """

    pictures: Path
    out: Path
    resolution: int | None = None
    channel_base: int | None = None
    channel_max: int = 512
    critic_base: int | None = None
    critic_max: int | None = None
    mapping: int = 8
    batch: int | None = None
    gamma: float | None = None
    rate: float = 0.0025
    critic_rate: float | None = None
    fall: float = 0.0
    average: float = 10.0
    mixing: float | None = None
    path: float = PATH_WEIGHT
    kimg: float | None = None
    minutes: float | None = None
    start: Path | None = None
    grow: bool = False
    freeze: float = 10.0
    augment: bool | None = None
    mirror: bool = False
    noise: bool = True
    pool: int | None = None
    pairs: float | None = None
    pairs_begin: float = 1.0
    pairs_left: float = 0.0
    pairs_share: float = 1.0
    snapshot: float = 20.0
    inception: Path | None = None
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
