"""What a training is, in numbers, and what was published for those that are left open; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.networks.config import StyleGAN2Config

R1_EVERY = 16
PATH_EVERY = 4
PATH_WEIGHT = 2.0
PATH_SHRINK = 2  # of the batch: a path length costs twice a plain step
PATH_DECAY = 0.01
CLAMP = 256.0  # of activations, where the higher resolutions run in float16
HALF_RESOLUTIONS = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a step depends on, but for pictures and device.

    gamma: of R1. rate: Adam's, of both networks, before lazy regularisation's correction.
    mixing: how often two latents share a picture. path: weight of the path length, 0 for none.
    noise: whether noise inputs are learned. ema_kimg: half-life of the average, and ema_ramp: its
    share of what was seen, while that is less. augment: adapt augmentation until the
    discriminator's sign is `target` on average, at 1 / (1000 ramp_kimg) a picture. mirror: every
    picture also the other way round. freeze_kimg: the discriminator learns alone that long.
    pairs: weight of the paired terms at the start, 0 for none, and of what remains at pairs_kimg.
    half: float16 in the highest resolutions.
    """

    generator: StyleGAN2Config
    batch: int
    gamma: float
    seed: int = 0
    rate: float = 0.0025
    mixing: float = 0.9
    path: float = PATH_WEIGHT
    noise: bool = True
    ema_kimg: float = 10.0
    ema_ramp: float = 0.05
    augment: bool = True
    target: float = 0.6
    ramp_kimg: float = 500.0
    mirror: bool = False
    freeze_kimg: float = 0.0
    pairs: float = 0.0
    pairs_kimg: float = 0.0
    half: bool = False

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        return self.generator.resolution
