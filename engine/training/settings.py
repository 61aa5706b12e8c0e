"""What a training is, in numbers, and what was published for those that are left open; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.networks.config import StyleGAN2Config

R1_EVERY = 16
PATH_EVERY = 4
PATH_WEIGHT = 2.0
PATH_SHRINK = 2  # of the batch: a path length costs twice a plain step
PATH_DECAY = 0.01
CLAMP = 256.0  # of activations, where the higher resolutions run in float16

Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a step depends on, but for pictures and device.

    discriminator: channels of its blocks 4, 8, ... R. gamma: of R1. rate: Adam's, of both
    networks, before lazy regularisation's correction; critic_rate: the discriminator's, if it is
    another.
    mixing: how often two latents share a picture. path: weight of the path length, 0 for none.
    noise: whether noise inputs are learned. ema_kimg: half-life of the average, and ema_ramp: its
    share of what was seen, while that is less. augment: adapt augmentation until the
    discriminator's sign is `target` on average, at 1 / (1000 ramp_kimg) a picture.
    freeze_kimg: the discriminator learns alone that long. pairs: weight of the paired terms,
    which falls to pairs_left at pairs_kimg; 0 for none. pairs_share: of a batch, that is compared;
    the rest has fresh latents, which are mixed. precision: of the highest resolutions. fall: kimg
    in which the rate falls to nothing, and until which; None for a rate that stays. warm_kimg: in
    which each player's rate rises from nothing.
    """

    generator: StyleGAN2Config
    discriminator: tuple[int, ...]
    batch: int
    gamma: float
    seed: int = 0
    rate: float = 0.0025
    critic_rate: float | None = None
    mixing: float = 0.9
    path: float = PATH_WEIGHT
    noise: bool = True
    ema_kimg: float = 10.0
    ema_ramp: float = 0.05
    augment: bool = True
    target: float = 0.6
    ramp_kimg: float = 500.0
    freeze_kimg: float = 0.0
    pairs: float = 0.0
    pairs_kimg: float = 0.0
    pairs_left: float = 0.0
    pairs_share: float = 1.0
    precision: Precision = "float32"
    fall: tuple[float, float] | None = None
    warm_kimg: float = 0.0

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        return self.generator.resolution

    @property
    def half_resolutions(self) -> frozenset[int]:
        """Those whose blocks run in 16 bits: the four highest, as published, but from 8 on."""
        if self.precision == "float32":
            return frozenset()
        return frozenset(size for size in self.generator.resolutions[-4:] if size >= 8)


def published_gamma(resolution: int, batch: int) -> float:
    """R1's weight by the rule of thumb of Karras et al. (2020): more pixels, more of it."""
    return 0.0002 * resolution**2 / batch


def published_batch(resolution: int) -> int:
    """Pictures a step that one GPU of 16 GB holds, by the same rules: 4096 / R, at most 32."""
    return max(min(4096 // resolution, 32), 4)


def rate_share(settings: Settings, pictures: int, began: float = 0.0) -> float:
    """What a player's rate is multiplied by after so many pictures, if it began after some kimg.

    Adam's first steps go all the way in every weight, whatever they are worth: what took a network
    long to learn would be gone in a few.
    """
    kimg = pictures / 1000
    share = 1.0
    if settings.warm_kimg:
        risen = (kimg - began + settings.batch / 1000) / settings.warm_kimg
        share = min(max(risen, 0.0), 1.0)
    if settings.fall is not None:
        length, end = settings.fall
        share *= min(max((end - kimg) / length, 0.0), 1.0)
    return share


def average_decay(settings: Settings, pictures: int) -> float:
    """What the average keeps of itself in a step, after so many pictures.

    Half of it is forgotten in ema_kimg; at first sooner, as it began with what is not learned yet.
    """
    half_life = min(1000 * settings.ema_kimg, settings.ema_ramp * pictures)
    return math.exp(-math.log(2) * settings.batch / max(half_life, 1e-8))
