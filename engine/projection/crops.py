"""What of a photo the network is asked to show: the square, as its training pictures lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import alignment
from engine.errors import UserError
from engine.projection.faces import find_faces
from engine.projection.options import Align


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A square of a photo.

    picture: RGB, [size, size].
    photo: RGB, what it is from.
    outline: [4, 2] float64, its upper left, lower left, lower right and upper right corner in the
        photo, (x, y) in pixels, the middle of the first at (0, 0); they may lie outside.
    """

    picture: Image.Image
    photo: Image.Image
    outline: NDArray[np.float64]


def crop(photo: Image.Image, size: int, align: Align, *, name: Path, face: int = 1) -> Crop:
    """The square of [size, size] pixels.

    photo: RGB, upright.
    face: from 1, the largest; asked for by `align` face only.
    name: the photo's, for errors.
    Raises UserError if there is no such face, or dlib is not installed.
    """
    if face < 1:
        raise ValueError(f"faces are counted from 1, not {face}")
    if align == "off":
        return _middle(photo, size)
    faces = find_faces(photo)
    if not faces:
        raise UserError(
            f"{name}: no face was found in it; --align off for a picture that is aligned already "
            "or is no face"
        )
    if face > len(faces):
        count = f"{len(faces)} face{'' if len(faces) == 1 else 's'}"
        raise UserError(f"{name}: shows {count}; --face {face} is not there")
    landmarks = faces[face - 1].landmarks
    try:
        picture = alignment.align(photo, landmarks, size)
    except UserError as error:
        raise UserError(f"{name}: face {face}: {error}") from error
    return Crop(picture, photo, alignment.face_quad(landmarks).corners)


def _middle(photo: Image.Image, size: int) -> Crop:
    """Where the square has the size already, both ways of resampling leave the pixels alone."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    # Lanczos rings where it makes pictures larger.
    smoothly = Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC
    picture = photo.resize((size, size), smoothly, (left, top, left + side, top + side))
    corners = [(left, top), (left, top + side), (left + side, top + side), (left + side, top)]
    return Crop(picture, photo, np.array(corners) - 0.5)
