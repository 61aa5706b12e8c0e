"""Round corners and the rims of shadows as coverage, to be cut from the atlas like glyphs.

One quarter of each is enough: the others are its mirror images, and edges are one column of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FINE = 8  # samples a pixel, along either axis


class Piece(NamedTuple):
    """A square in the atlas: the top left quarter of what it is of."""

    u: int
    v: int
    side: int


class Shapes:
    """Corners of every radius up to `largest` pixels, and a shadow that reaches `reach` pixels.

    pixels: uint8 [height, width], to be put into an atlas at row `top`.
    """

    def __init__(self, largest: int, reach: int, width: int, top: int) -> None:
        self.corners: dict[int, Piece] = {}
        bitmaps = {radius: corner(radius) for radius in range(1, largest + 1)}
        left, row, height = 0, 0, 0
        rows = []
        for key, bitmap in [*bitmaps.items(), (0, rim(reach))]:
            side = len(bitmap)
            if left + side > width:
                left, row, height = 0, row + height, 0
            piece = Piece(left, top + row, side)
            rows.append((piece, bitmap))
            if key:
                self.corners[key] = piece
            left, height = left + side, max(height, side)
        self.rim = piece
        self.pixels = np.zeros((row + height, width), np.uint8)
        for piece, bitmap in rows:
            here = np.s_[piece.v - top : piece.v - top + piece.side, piece.u : piece.u + piece.side]
            self.pixels[here] = bitmap


def corner(radius: int) -> NDArray[np.uint8]:
    """The top left quarter of a disc: uint8 [radius, radius]."""
    samples = (np.arange(radius * _FINE) + 0.5) / _FINE - radius
    inside = np.hypot(samples[:, None], samples) < radius
    shares = inside.reshape(radius, _FINE, radius, _FINE).mean(axis=(1, 3))
    return np.asarray(np.rint(255 * shares), np.uint8)


def rim(reach: int) -> NDArray[np.uint8]:
    """The top left quarter of what a blurred point leaves: nearly cubic. uint8 [reach, reach]."""
    away = reach - np.arange(reach) - 0.5
    share = np.clip(1.0 - np.hypot(away[:, None], away) / reach, 0.0, 1.0)
    return np.asarray(np.rint(255 * share**3), np.uint8)
