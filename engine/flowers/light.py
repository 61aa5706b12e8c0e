"""The light on everything: one lamp above and in front of the flower."""

from __future__ import annotations

import math

from torch import Tensor

COLOUR = (1.06, 1.01, 0.93)  # red, green, blue: a warm noon
ELEVATION = 0.85  # over the picture's plane, radians
UP = math.sin(ELEVATION)  # the part of its direction that points at the eye
FLAT = math.cos(ELEVATION)
OCCLUSION = 0.9  # how dark shadows are


def across_the_picture(azimuth: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the unit vector towards the light; its z is UP."""
    return azimuth.cos() * FLAT, azimuth.sin() * FLAT
