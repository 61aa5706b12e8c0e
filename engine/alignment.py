"""FFHQ's alignment: a face cut out of a photo the way generators and encoders of faces know it.

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019),
appendix A, as published with the data set FFHQ and before it with CelebA-HQ: a square is laid over
the face by its eyes and mouth, and the photo, mirrored and blurred beyond its edges, is resampled
into it.

Points are (x, y) in pixels of the photo, the middle of the first pixel at (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from engine.errors import UserError

_Points = NDArray[np.float64]
_Plane = NDArray[np.float32]

OVERSAMPLING = 4  # the square is resampled at this many times the size, then made smaller
_BEYOND_ANY = 1e7  # pixels: Pillow's pictures end before

LEAST = 8  # pixels along a side of the square: below, there is no face to see

# Parts of a side of the square.
CROP_BORDER = 0.1
PADDING = 0.3
BLUR = 0.02

_ROWS = 64  # blurred at once: their spectra stay in a processor's cache


@dataclass(frozen=True, slots=True)
class Quad:
    """The square over the face.

    corners: [4, 2], upper left, lower left, lower right, upper right of the upright
        face.
    side: in pixels.
    """

    corners: _Points
    side: float

    def scaled(self, factor: float) -> Quad:
        """In a photo that is made larger by the factor."""
        return Quad(self.corners * factor, self.side * factor)

    def moved(self, x: float, y: float) -> Quad:
        """In a photo whose first pixel was at (-x, -y)."""
        return Quad(self.corners + np.array([x, y]), self.side)

    def bounds(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the whole pixels it touches."""
        least, most = np.floor(self.corners.min(axis=0)), np.ceil(self.corners.max(axis=0))
        return int(least[0]), int(least[1]), int(most[0]), int(most[1])


def align(picture: Image.Image, landmarks: ArrayLike, size: int = 1024) -> Image.Image:
    """The face [size, size], RGB, upright, its eyes and mouth where FFHQ has them.

    picture: RGB, turned as its EXIF says.
    landmarks: [68, 2], the 68 points of the iBUG 300-W scheme; or [5, 2], left eye, right eye,
        nose, left and right corner of the mouth, left being the left of an upright face as we see
        it.
    Raises UserError for landmarks that no square can be laid by, ValueError for other shapes and
    modes.
    """
    if picture.mode != "RGB":
        raise ValueError(f"a picture of mode RGB is needed, not {picture.mode}")
    quad = face_quad(landmarks)
    _check(picture, quad)
    picture, quad = _shrunk(picture, quad, size)
    picture, quad = _cropped(picture, quad)
    picture, quad = _padded(picture, quad)
    fine = size * OVERSAMPLING
    # Pillow's coordinates are those of the pixels' upper left corners.
    data = tuple(float(number) for number in (quad.corners + 0.5).flat)
    face = picture.transform((fine, fine), Image.Transform.QUAD, data, Image.Resampling.BILINEAR)
    return face.resize((size, size), Image.Resampling.LANCZOS)


def face_quad(landmarks: ArrayLike) -> Quad:
    """The square, from landmarks as `align` takes them, and raising what it raises for them.

    Its x axis lies along the eyes and across the line from eyes to mouth, half of each; its size is
    2 eye distances or 1.8 times the eyes' distance from the mouth each way, whichever is more; its
    centre is a tenth of the way from the eyes to the mouth.
    """
    left_eye, right_eye, mouth = _features(np.asarray(landmarks, np.float64))
    eyes = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, mouth - eyes
    x = across + _turned(down, -1)
    length = math.hypot(*x)
    reach = max(2 * math.hypot(*across), 1.8 * math.hypot(*down))
    # Nothing is left of x where the mouth is as far above the eyes as they are apart.
    if length < 1e-6 * reach or 2 * reach < LEAST:
        raise UserError(
            "the landmarks are not those of an upright face: its eyes and mouth give no square of "
            f"{LEAST} pixels or more"
        )
    x = x * (reach / length)
    y = _turned(x, 1)
    centre = eyes + 0.1 * down
    corners = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return Quad(corners, 2 * reach)


def _features(points: _Points) -> tuple[_Points, _Points, _Points]:
    """Left eye, right eye, middle of the mouth."""
    if points.shape not in ((68, 2), (5, 2)):
        raise ValueError(f"landmarks [68, 2] or [5, 2] are needed, not {list(points.shape)}")
    if not (np.abs(points) < _BEYOND_ANY).all():
        raise UserError("the landmarks hold NaN, or numbers beyond any picture")
    if len(points) == 5:
        return points[0], points[1], points[3:].mean(axis=0)
    # A lid has six points; 48 and 54 are the outer corners of the lips.
    return points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[[48, 54]].mean(axis=0)


def _turned(vector: _Points, quarters: int) -> _Points:
    """By 90 degrees: by +1 from the picture's x axis to its y axis, which points down."""
    return np.array([-vector[1], vector[0]]) * quarters


def _check(picture: Image.Image, quad: Quad) -> None:
    """The face must be in the picture: what lies beyond is mirrored, and may not be all of it."""
    reach = max(picture.size)
    left, top, right, bottom = quad.bounds()
    beyond = max(-left, -top, right - picture.width, bottom - picture.height)
    outside = min(right, bottom, picture.width - left, picture.height - top) <= 0
    if outside or beyond > 2 * reach:
        raise UserError(
            f"the landmarks lie outside the picture of {picture.width} x {picture.height} pixels: "
            f"the face would reach from ({left}, {top}) to ({right}, {bottom})"
        )


def _shrunk(picture: Image.Image, quad: Quad, size: int) -> tuple[Image.Image, Quad]:
    """Smaller by a whole number where the face has more than twice the pixels that are asked."""
    factor = int(quad.side / size / 2)
    if factor <= 1:
        return picture, quad
    width, height = (max(round(side / factor), 1) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS), quad.scaled(1 / factor)


def _border(quad: Quad) -> int:
    return max(round(quad.side * CROP_BORDER), 3)


def _cropped(picture: Image.Image, quad: Quad) -> tuple[Image.Image, Quad]:
    """The square's surroundings only."""
    border = _border(quad)
    left, top, right, bottom = quad.bounds()
    left, top = max(left - border, 0), max(top - border, 0)
    right, bottom = min(right + border, picture.width), min(bottom + border, picture.height)
    return picture.crop((left, top, right, bottom)), quad.moved(-left, -top)


def _padded(picture: Image.Image, quad: Quad) -> tuple[Image.Image, Quad]:
    """Where the square reaches beyond the picture: mirrored, more and more blurred, then plain."""
    border = _border(quad)
    left, top, right, bottom = quad.bounds()
    needed = (
        max(border - left, 0),
        max(border - top, 0),
        max(right + border - picture.width, 0),
        max(bottom + border - picture.height, 0),
    )
    if max(needed) <= border - 4:  # as published: three pixels beyond, and tiny faces always
        return picture, quad
    least = round(quad.side * PADDING)
    left, top, right, bottom = (max(side, least) for side in needed)
    pixels = np.asarray(picture)
    pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), "reflect")
    depth = np.maximum(
        _depth(pixels.shape[1], left, right)[None, :], _depth(pixels.shape[0], top, bottom)[:, None]
    )
    blurring, fading = np.clip(3 * depth + 1, 0, 1), np.clip(depth, 0, 1)
    padded = np.empty_like(pixels)
    for channel in range(3):  # one at a time: all three at once are gigabytes of a large photo
        plane = pixels[:, :, channel].astype(np.float32)
        plane += (_blurred(plane, quad.side * BLUR) - plane) * blurring
        plane += (np.median(plane) - plane) * fading
        padded[:, :, channel] = np.clip(np.rint(plane), 0, 255)
    return Image.fromarray(padded), quad.moved(left, top)


def _depth(length: int, before: int, after: int) -> _Plane:
    """How deep in the padding: 1 at the outer edge, 0 where the picture begins, less within."""
    index = np.arange(length, dtype=np.float32)
    return 1 - np.minimum(index / before, (length - 1 - index) / after)


def _blurred(plane: _Plane, sigma: float) -> _Plane:
    """A Gaussian of that many pixels, cut off at 4 sigma, mirrored at the edges."""
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    return _convolved_rows(_convolved_rows(plane.T, taps).T, taps)


def _convolved_rows(plane: _Plane, taps: NDArray[np.float64]) -> _Plane:
    """Every row convolved with the taps, by Fourier transform: a large face's kernel has 650."""
    height, width = plane.shape
    radius = len(taps) // 2
    count = 1 << (width + 2 * radius - 1).bit_length()
    kernel = np.fft.rfft(taps, count)
    out = np.empty((height, width), np.float32)
    for start in range(0, height, _ROWS):
        rows = np.pad(plane[start : start + _ROWS], ((0, 0), (radius, radius)), "symmetric")
        whole = np.fft.irfft(np.fft.rfft(rows, count) * kernel, count)
        # The sum over all taps is complete from the kernel's last place on.
        out[start : start + _ROWS] = whole[:, 2 * radius : 2 * radius + width]
    return out
