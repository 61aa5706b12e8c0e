"""The picture of one network on screen, across changes of the size of its frames.

Under load an engine answers from a smaller graph and comes back later. The smaller picture, even
with its colours corrected, is not the larger one: the last picture of the old size is held and
fades into the new ones, which move on meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import moderngl
import numpy as np
from numpy.typing import NDArray

from live.compositor import Layer
from live.levels import eased
from live.texture import DeviceSlot, Picture

FADE = 300_000_000  # ns of show time
MOST = 3  # pictures at once, should the size change in mid-fade; then the oldest goes


@dataclass(frozen=True, slots=True)
class _Generation:
    """Pictures of one size. The newest one is live, the others are held."""

    picture: Picture
    since: int  # ns


class Succession:
    """The live picture, and those of other sizes that still fade out; all on the render thread."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        self._generations: list[_Generation] = []  # the newest first

    def upload(
        self, pixels: NDArray[np.uint8] | DeviceSlot, width: int, height: int, at: int
    ) -> None:
        """Take a frame, see `Picture.upload`; `at` in ns of show time, frozen when that is.

        Raises what `Picture.upload` raises; what is on screen then stays as it was.
        """
        newest = self._generations[0] if self._generations else None
        if newest is not None and newest.picture.size == (width, height):
            newest.picture.upload(pixels, width, height)
            return
        picture = Picture(self._ctx)
        try:
            picture.upload(pixels, width, height)
        except Exception:
            picture.release()
            raise
        self._generations.insert(0, _Generation(picture, at))
        self._drop(MOST)

    def layers(self, at: int, share: float) -> list[Layer]:
        """Its pictures at `at`, whose weights add up to `share`."""
        layers = []
        for number, generation in enumerate(self._generations):
            oldest = number + 1 == len(self._generations)
            covers = 1.0 if oldest else eased((at - generation.since) / FADE)
            layers.append(Layer(generation.picture, share * covers))
            share *= 1.0 - covers
            if covers == 1.0:
                self._drop(number + 1)
                break
        return layers

    def release(self) -> None:
        """Free the pictures."""
        self._drop(0)

    def _drop(self, keep: int) -> None:
        for generation in self._generations[keep:]:
            generation.picture.release()
        del self._generations[keep:]
