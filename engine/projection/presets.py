"""How a search goes: its learning rate, its phases, when it has come to its end. No torch.

`video` is how the faces of the music video were found: Adam at a constant rate of 0.01 for 1000
steps on W+, from the mean w.

`best` finds more in half the steps. The rate rises and falls as in the StyleGAN2 projector (Karras
et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D). At first all
layers share one w, which brings the whole picture near; then every layer has its own. A pull to
where the search began, the mean w or what an encoder said, keeps early steps among the w that the
network knows, and is gone by half time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Preset:
    """Numbers of a search; phases and ramps are parts of its steps, 0 to 1.

    rate: Adam's, at its highest. betas: Adam's. shared: while all layers have one w, at most at
    shared_rate.
    ramp_up: from 0, at the start and again when the layers part. ramp_down: to 0 at the end, a
    half cosine. pull: weight of the mean squared distance from the start, falling to 0 within
    `pulled`. patience: over how many steps the best loss must fall by `progress` of itself, else
    the next phase begins, or the end; None never asks.
    """

    name: str
    steps: int
    rate: float
    betas: tuple[float, float]
    shared: float = 0.0
    shared_rate: float = 0.0
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    pull: float = 0.0
    pulled: float = 0.5
    patience: int | None = None
    progress: float = 0.0


VIDEO = Preset("video", steps=1000, rate=0.01, betas=(0.9, 0.999))
BEST = Preset(
    "best",
    steps=500,
    rate=0.2,
    betas=(0.9, 0.99),
    shared=0.1,
    shared_rate=0.1,
    ramp_up=0.05,
    ramp_down=0.25,
    pull=0.1,
    patience=50,
    progress=0.01,
)

PRESETS: Mapping[str, Preset] = MappingProxyType({p.name: p for p in (VIDEO, BEST)})


def learning_rate(preset: Preset, at: float, since: float) -> float:
    """Adam's rate at a part `at` of the search, `since` of which the phase has lasted."""
    rate = preset.shared_rate if at < preset.shared else preset.rate
    if preset.ramp_down:
        left = min(1.0, (1.0 - at) / preset.ramp_down)
        rate *= 0.5 - 0.5 * math.cos(math.pi * left)
    if preset.ramp_up:
        rate *= min(1.0, since / preset.ramp_up)
    return rate


def pull(preset: Preset, at: float) -> float:
    """Weight of the pull to the start at a part `at` of the search."""
    return preset.pull * max(0.0, 1.0 - at / preset.pulled) ** 2
