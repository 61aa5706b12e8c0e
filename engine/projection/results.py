"""What a projection leaves: the names of its files, their record, and whose they are.

Of a photo irene.jpg these are `irene.npy` (float32 [num_ws, w_dim]), `irene.png` and the record,
`irene.json`; of another face than the largest `irene.face2.npy` and so on. The stage imports this:
no torch here, no Pillow.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from engine.errors import UserError, one_line
from engine.weights import sha256

_ENDINGS = (".npy", ".png", ".json")
_LARGEST = 1 << 18  # bytes of a record; it is about 1000

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 31)]
Size: TypeAlias = Annotated[int, Field(ge=1, le=1 << 16)]
Face: TypeAlias = Annotated[int, Field(ge=1, le=99)]
Figure: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """Which picture was projected, and what of it."""

    name: Name
    sha256: Sha256  # of the file's bytes
    align: Annotated[str, Field(max_length=255)]
    face: Face | None  # counted from 1, the largest


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """Which network it was projected for."""

    name: Name
    sha256: Sha256  # of the checkpoint
    resolution: Size
    num_ws: Size
    w_dim: Size


@dataclass(frozen=True, slots=True)
class Result:
    """The record of a projection, finished or interrupted; see `read_result`."""

    anthesis: Literal[1]  # the record's format
    photo: PhotoFacts
    network: NetworkFacts
    steps: Count  # that were done
    finished: bool
    loss: Figure | None = None
    psnr: Figure | None = None  # dB
    lpips: Figure | None = None  # None where its weights were not at hand
    seconds: Figure | None = None
    device: Annotated[str, Field(max_length=255)] = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def result_stem(photo: Path, face: int) -> str:
    """What the files of a photo's result are called, without their endings."""
    return photo.stem if face == 1 else f"{photo.stem}.face{face}"


def read_result(path: Path) -> Result:
    """Read the record of a projection; what it holds besides is passed over.

    Raises UserError, one line, for one that cannot be read, is damaged, or is something else.
    """
    try:
        if not path.is_file():  # a pipe would be read for ever
            raise UserError(one_line(f"{path}: there is no such file"))
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UserError(one_line(f"{path}: cannot be read ({error.strerror})")) from error
    if len(data) > _LARGEST:
        raise UserError(one_line(f"{path}: is too large for the record of a projection"))
    try:
        return _RESULT.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        wrong = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        said = f"{path}: is not the record of a projection: {wrong:.200}"
        raise UserError(one_line(said)) from error


def find_result(
    photo: Path,
    face: int,
    network: Path,
    folders: Sequence[Path],
    *,
    network_name: str | None = None,
) -> Path:
    """The W+ of a photo's face for a network: the .npy in the first folder that has it.

    Photo and network are known by the SHA-256 of their bytes, so that a file which was renamed is
    still the same, and another of its name is not. A search that was interrupted counts: what it
    left is the best it had found. `network_name` is what the user calls a network that they know by
    name. Raises UserError, one line: the command that makes what is missing, and what lies where it
    was looked for instead.
    """
    stem = result_stem(photo, face)
    others = []
    for folder in folders:
        latent = folder / f"{stem}.npy"
        if not _is_file(latent):
            continue
        wrong = _mismatch(folder / f"{stem}.json", photo, face, network)
        if wrong is None:
            return latent
        others.append(f"{latent} {wrong}")
    which = "" if face == 1 else f"face {face} "
    instead = f" ({others[0]})" if others else ""
    command = _command(photo, face, network_name or str(network), _free(folders, photo, stem))
    called = network_name or network.name
    raise UserError(
        one_line(f"{photo}: {which}has not been projected for {called}{instead}: {command}")
    )


def _mismatch(record: Path, photo: Path, face: int, network: Path) -> str | None:
    """Why a result is not the one that is looked for; None if it is.

    The network is hashed last: it may be large.
    """
    try:
        result = read_result(record)
    except UserError as error:
        return f"is of unknown origin: {error}"
    if result.photo.sha256 != _sha256(photo):
        same = result.photo.name == photo.name
        return f"is of another picture{' of that name' if same else f', {result.photo.name}'}"
    if result.photo.face not in (None, face):  # None where no face was looked for
        return f"is of face {result.photo.face}"
    if result.network.sha256 != _sha256(network):
        same = result.network.name == network.name
        return f"is for another network{' of that name' if same else f', {result.network.name}'}"
    return None


def _free(folders: Sequence[Path], photo: Path, stem: str) -> Path:
    """Where to put a result so that it is found and takes no other file's place.

    Rather not beside the photo, where its picture would look like another photo.
    """
    for folder in (folders[0], *(folder for folder in folders if folder != photo.parent)):
        if not any(_is_file(folder / f"{stem}{ending}") for ending in _ENDINGS):
            return folder
    return folders[0]


def _command(photo: Path, face: int, network: str, output: Path) -> str:
    words = ["anthesis", "project", str(photo), "--network", network, "-o", str(output)]
    if face != 1:
        words[3:3] = ["--face", str(face)]
    return shlex.join(words)


def _is_file(path: Path) -> bool:
    with suppress(OSError):  # a name too long, a folder that may not be read
        return path.is_file()
    return False


def _sha256(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return _sha256_at(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=1024)
def _sha256_at(path: Path, mtime_ns: int, size: int) -> str:
    """The hash of a file as it was then: 360 MB, a network of 1024x1024, take half a second."""
    return sha256(path)
