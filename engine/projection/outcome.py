"""What a search leaves in its folder, every file whole or not there.

irene.npy       [L, w_dim] float32: a key of a set list
irene.png       the photo, what was cut from it, and what the network makes of it
irene.json      how far it is from the photo, and where it is from
irene.noise.npz the noise maps, if they were looked for
irene.mp4       a film of the search, if it was asked for
irene.search    the state of a search that is not at its end (safetensors)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open

from engine.errors import UserError
from engine.projection.crops import Crop
from engine.projection.results import Result, read_result
from engine.weights.whole import whole

FORMAT = 1  # of the record

_GAP = 16  # pixels between the pictures
_LEAST_SHOWN = 512  # pixels of their height
_PAPER, _MARK = (24, 24, 26), (233, 84, 32)


@dataclass(frozen=True, slots=True)
class Files:
    """The names of what one search leaves."""

    ws: Path
    picture: Path
    record: Path
    noise: Path
    film: Path
    state: Path

    @classmethod
    def of(cls, folder: Path, stem: str) -> Files:
        """In a folder."""
        endings = (".npy", ".png", ".json", ".noise.npz", ".mp4", ".search")
        return cls(*(folder / f"{stem}{ending}" for ending in endings))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A search put away: see `Search.state`.

    seconds: that it has taken. origin: photo, network and settings, as the record tells them.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    facts: str
    seconds: float
    origin: Mapping[str, Any]


def before(files: Files, origin: Mapping[str, Any], *, film: bool) -> Result | State | None:
    """What the same search left here: its result, or its state; None if nothing is here.

    origin: photo, network and settings. film: whether one is wanted.
    Raises UserError where something else is: it may be dear.
    """
    record = read_result(files.record) if files.record.exists() else None
    found = {} if record is None else _origin(record)
    if record is not None and found == origin and record.finished and _whole(files):
        if film and not files.film.exists():
            raise UserError(
                f"{files.ws}: is there already, without a film: --force searches once more"
            )
        return record
    # By its state a search is known even if it was killed while it replaced another's files.
    if files.state.exists() and (state := read_state(files.state)).origin == origin:
        return state
    wanted = (files.ws, files.picture, files.record, *((files.film,) if film else ()))
    in_the_way = [path for path in wanted if path.exists()]
    if not in_the_way or found == origin:
        return None
    what = "from somewhere else"
    if found:
        other = [part for part in origin if found[part] != origin[part]]
        what = f"from another {' and '.join(other)}".replace("another settings", "other settings")
    raise UserError(
        f"{in_the_way[0]}: is there already, {what}: --force replaces it, or name another folder "
        "with -o"
    )


def _whole(files: Files) -> bool:
    return files.ws.exists() and files.picture.exists()


def _origin(result: Result) -> dict[str, Any]:
    return {
        "photo": asdict(result.photo),
        "network": asdict(result.network),
        "settings": dict(result.settings),
    }


def check(files: Files) -> None:
    """See that files of these names can be written, before a search. Raises UserError."""
    longest = max(astuple(files), key=lambda path: len(path.name))
    try:
        with NamedTemporaryFile(prefix=f".{longest.name}.", dir=longest.parent):
            pass
    except OSError as error:
        raise UserError(f"{files.ws}: cannot be written ({error.strerror})") from error


def clear(files: Files) -> None:
    """Take away what would be told of the next result: record and noise maps of another search.

    Raises UserError.
    """
    try:
        for path in (files.record, files.noise):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{files.ws}: cannot be replaced ({error.strerror})") from error


def write_latent(path: Path, ws: NDArray[np.float32]) -> None:
    """W+ [L, w_dim]. Raises UserError."""
    with whole(path) as stream:
        np.save(stream, ws)


def write_noise(
    path: Path, resolutions: Sequence[int], maps: Sequence[NDArray[np.float32]]
) -> None:
    """Noise maps [r, r], one a convolution, by the names of their layers. Raises UserError."""
    layers = ["b4.conv1", *(f"b{r}.conv{i}" for r in resolutions[1:] for i in (0, 1))]
    named: dict[str, Any] = dict(zip(layers, maps, strict=True))
    with whole(path) as stream:
        np.savez(stream, **named)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Raises UserError."""
    with whole(path) as stream:
        stream.write((json.dumps(record, indent=2) + "\n").encode())


def write_picture(path: Path, photo: Image.Image, cut: Image.Image, result: Image.Image) -> None:
    """Photo, as `outlined` made it, crop and result side by side. Raises UserError."""
    side = (photo.height, photo.height)
    squares = [picture.resize(side, Image.Resampling.BICUBIC) for picture in (cut, result)]
    width = photo.width + 2 * photo.height + 4 * _GAP
    drawn = Image.new("RGB", (width, photo.height + 2 * _GAP), _PAPER)
    left = _GAP
    for picture in (photo, *squares):
        drawn.paste(picture, (left, _GAP))
        left += picture.width + _GAP
    with whole(path) as stream:
        drawn.save(stream, "PNG")


def outlined(crop: Crop) -> Image.Image:
    """The photo, as high as the crop or 512 pixels, with a line around what was cut from it."""
    photo, height = crop.photo, max(crop.picture.height, _LEAST_SHOWN)
    # A panorama would leave nothing else to see.
    scale = min(height / photo.height, 3 * height / photo.width)
    size = max(round(photo.width * scale), 1), max(round(photo.height * scale), 1)
    shown = Image.new("RGB", (size[0], height), _PAPER)
    above = (height - size[1]) // 2
    shown.paste(photo.resize(size, Image.Resampling.LANCZOS), (0, above))
    line = height // 256
    # The outline is told by pixels' middles, Pillow draws from corners; all of the line is to be
    # seen where it runs along the edge.
    places = (crop.outline + 0.5) * scale + (0, above)
    inside = np.clip(places, line // 2, np.array(shown.size) - 1 - line // 2)
    on_edge = np.abs(places - inside) <= line
    corners = [tuple(place) for place in np.where(on_edge, inside, places).tolist()]
    ImageDraw.Draw(shown).line([*corners, corners[0], corners[1]], _MARK, line, joint="curve")
    return shown


def write_state(path: Path, state: State) -> None:
    """Raises UserError."""
    about = json.dumps({"seconds": state.seconds, "origin": state.origin})
    with whole(path) as stream:
        stream.write(
            safetensors.numpy.save(dict(state.arrays), {"search": state.facts, "about": about})
        )


def read_state(path: Path) -> State:
    """What `write_state` wrote. Raises UserError for a file that is something else."""
    try:
        with safe_open(path, "np") as file:
            told = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(told["about"])
        return State(arrays, told["search"], float(about["seconds"]), dict(about["origin"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no state of a search; delete it to begin anew") from error
