"""`anthesis project` as a person meets it: a bar, Ctrl-C, a film.

The search itself is the engine's, in this process: no stage is open meanwhile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from engine.errors import UserError
from engine.projection.options import Options, Pixels
from engine.weights.vgg_places import fetch
from live.codecs import Format
from live.ctrl_c import ctrl_c
from live.film import ERRORS, Film, reason
from live.outfile import sync
from live.progress import Bytes, Steps

FILM_RATE = Fraction(30)


def project(options: Options) -> int:
    """Find the W+ of photos; returns how many of them failed, each of which was told of.

    Raises UserError, and InterruptedSearchError after Ctrl-C: what was best is written then.
    """
    from engine.projection.session import project as search  # torch, which takes a second

    with ctrl_c() as stopped, Steps(stopped, sys.stderr) as report:
        return search(options, report)


def fetch_vgg() -> None:
    """Download VGG16's weights, with a bar. Raises UserError."""
    with Bytes("VGG16", sys.stderr) as bar:
        fetch(bar.came)


def write_film(path: Path, frames: Iterable[Pixels]) -> None:
    """A film of frames [R, R, 4], 30 a second, H.264, whole or not there. Raises UserError."""
    # Of this process: another may make the same film.
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    film = None
    try:
        for index, rgba in enumerate(frames):
            film = film or Film(
                partial, Format("h264", "420"), rgba.shape[1::-1], FILM_RATE, effort="offline"
            )
            film.write(index, rgba)
        if film is not None:
            film.close()
            sync(partial)
            partial.replace(path)
    except ERRORS as error:
        raise UserError(f"{path}: cannot be written ({reason(error)})") from error
    finally:
        partial.unlink(missing_ok=True)
