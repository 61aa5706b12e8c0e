"""The picture before the first frame, from the user's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from engine.errors import UserError

LARGEST = 4096  # pixels a side


def load_holding(path: Path | None) -> np.ndarray | None:
    """The picture, uint8 [height, width, 4]; None where there is to be none.

    Raises UserError if it cannot be read.
    """
    if path is None:
        return None
    try:
        # Named formats: for PostScript, Pillow would run a program on the user's file.
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "TIFF", "BMP")) as picture:
            picture.thumbnail((LARGEST, LARGEST))
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: the holding picture cannot be read: {error}") from error
