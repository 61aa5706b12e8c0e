"""Faces in a photo, and the 68 points of each, by dlib: the only home of dlib.

FFHQ's own pictures were aligned by dlib's detector (King, "Max-Margin Object Detection", 2015) and
its predictor of points (Kazemi, Sullivan, "One Millisecond Face Alignment with an Ensemble of
Regression Trees", 2014), so that a photo aligned by them lies as a generator of faces expects it.

The predictor was trained on the data set iBUG 300-W, whose pictures exclude commercial use: whoever
performs for money asks Imperial College London, or aligns photos by other means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError

_SEARCHED = 3_000_000
"""Pixels of the copy that is searched, in half a second on one core: in a photo of 24 megapixels,
faces of a twenty-sixth of its width are found."""

_SEARCHED_AGAIN = 4 * _SEARCHED
"""Where no face was found: they are perhaps half that size. 2 s."""

_ENLARGED = 2.0
"""Small pictures are made larger by this at most: the detector knows faces of 80 pixels and more,
and there is less and less to see in smaller ones."""

_STEP = 1.2
"""The detector looks at sizes in steps of this: faces of one step are equally large to it."""

_DOUBTFUL = 0.2
"""Faces that score less than this part of the best are left out. A face scores about 1.5, or 0.5
where it is turned or cut off by the edge; spots on clothes that look like one score about 0.15."""

_PLACED = 400
"""Pixels along a face in which its points are placed: they are whole pixels, and come from single
ones, whose noise is large in photos of full size."""

_AROUND = 0.5  # of a face's box, on each side: what the predictor looks at


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in a picture; places are (x, y) in its pixels, the middle of the first at (0, 0).

    landmarks: [68, 2] float64, the points of the iBUG 300-W scheme; they may lie outside.
    box: left, top, right, bottom of the brows, the chin and what is between; it may reach outside.
    """

    landmarks: NDArray[np.float64]
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A square in the copy that was searched; ratio: the picture's pixels in one of its, [2]."""

    left: int
    top: int
    side: int
    ratio: NDArray[np.float64]

    @property
    def order(self) -> tuple[int, int, int]:
        """Largest first, then from left to right."""
        return -round(math.log(self.side, _STEP)), self.left, self.top


def find_faces(picture: Image.Image) -> list[Face]:
    """The faces that look at us, more or less, and stand upright: largest first, left before right.

    picture: RGB, turned as its EXIF says, of any size. Faces are equally large if they differ by
    less than the steps in which they are searched, a sixth.
    Raises UserError if dlib or its predictor is not installed, ValueError for other modes.
    """
    if picture.mode != "RGB":
        raise ValueError(f"a picture of mode RGB is needed, not {picture.mode}")
    dlib, predictor = _dlib(), _predictor(predictor_file())
    found = _search(picture, _SEARCHED)
    if not found and picture.width * picture.height > _SEARCHED / _ENLARGED**2:
        found = _search(picture, _SEARCHED_AGAIN)
    found.sort(key=lambda one: one.order)
    return [_placed(dlib, predictor, picture, one) for one in found]


def _search(picture: Image.Image, pixels: int) -> list[_Found]:
    """In a copy of so many pixels, at most."""
    scale = min(math.sqrt(pixels / (picture.width * picture.height)), _ENLARGED)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    copy = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    with _translated():
        squares, scores, _ = _detector().run(np.asarray(copy), 0, 0.0)
    least = _DOUBTFUL * max(scores, default=0.0)
    ratio = np.array(picture.size) / size
    return [
        _Found(square.left(), square.top(), square.width(), ratio)
        for square, score in zip(squares, scores, strict=True)
        if score >= least
    ]


def _placed(dlib: Any, predictor: Any, picture: Image.Image, found: _Found) -> Face:
    """The points, in a copy of the face's surroundings.

    Here places are those of the pixels' upper left corners, until they leave.
    """
    start = np.array([found.left, found.top]) * found.ratio
    end = start + found.side * found.ratio
    margin = (end - start) * _AROUND
    least = np.floor(np.maximum(start - margin, 0))
    most = np.ceil(np.minimum(end + margin, picture.size))
    size = np.maximum(np.rint((most - least) * _PLACED / (end - start)), 1)
    part = picture.resize(
        (int(size[0]), int(size[1])),
        Image.Resampling.BICUBIC,
        (least[0], least[1], most[0], most[1]),
        reducing_gap=2,
    )
    fine = size / (most - least)
    (left, top), (right, bottom) = ((place - least) * fine for place in (start, end))
    square = dlib.rectangle(round(left), round(top), round(right) - 1, round(bottom) - 1)
    with _translated():
        points = [(point.x, point.y) for point in predictor(np.asarray(part), square).parts()]
    box = (*(round(place) for place in start), *(round(place) for place in end))
    return Face((np.array(points) + 0.5) / fine + least - 0.5, box)


def _dlib() -> Any:
    """Imported only where a face is looked for: it is optional. Raises UserError."""
    try:
        import dlib
    except ImportError as error:
        raise _missing() from error
    return dlib


def predictor_file() -> Path:
    """The predictor of the points, if it and dlib are installed; neither is imported.

    The package that carries it needs a part of setuptools that is gone. Raises UserError.
    """
    if find_spec("dlib") is None:
        raise _missing()
    spec = find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "models", "shape_predictor_68_face_landmarks.dat")
        if path.is_file():
            return path
    raise _missing()


def _missing() -> UserError:
    return UserError(
        "faces are found by dlib, which is not installed: pip install 'anthesis[faces]'; or "
        "--align off for a picture that is aligned already or is no face"
    )


@cache
def _detector() -> Any:
    """0.5 s."""
    return _dlib().get_frontal_face_detector()


@cache
def _predictor(path: Path) -> Any:
    """1 s. Raises UserError if the file is damaged."""
    with _translated():
        return _dlib().shape_predictor(str(path))


@contextmanager
def _translated() -> Iterator[None]:
    """All that dlib raises is a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"dlib, which finds faces, failed ({reason}): pip install --force-reinstall "
            "'anthesis[faces]'; or --align off"
        ) from error
