"""Where VGG16's weights are on a computer, and how they get there if the user says so; no torch."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError

from engine.errors import UserError
from engine.weights import sha256
from engine.weights.vgg import PUBLISHED, URL
from engine.weights.whole import whole

Progress = Callable[[int, int | None], object]
"""Told how many bytes have come, and how many there are, if the server says so."""

_NVIDIAS = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/vgg16.pt"
_NAME = URL.rpartition("/")[2]
_MOST = 1 << 30  # bytes; the file has 528 MiB
_CHUNK = 1 << 20
_PATIENCE = 30.0  # seconds without a byte


def find_vgg(named: Path | None = None) -> Path:
    """VGG16's weights where the user says; None: where torch or NVIDIA's code keep theirs.

    Raises UserError that says where to get them if they are not there.
    """
    for path in [named] if named else _places():
        if path.exists():
            return path
    raise UserError(
        f"{named or 'VGG16'}: there are no such weights on this computer: --fetch-vgg gets "
        f"VGG16's (528 MB), or put {URL} into {checkpoints()}, or do without: --loss mse"
    )


def find_heads() -> Path | None:
    """LPIPS's heads, if the package `lpips` is installed. It is not imported."""
    spec = find_spec("lpips")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "weights", "v0.1", "vgg.pth")
        if path.is_file():
            return path
    return None


def fetch(progress: Progress, url: str = URL, digest: str = PUBLISHED[_NAME]) -> Path:
    """Download VGG16's weights to torch's cache, where torchvision finds them too.

    Only ever on the user's word. Nothing is downloaded if they are there. The file appears whole
    and with the SHA-256 `digest`, or not at all. Raises UserError.
    """
    out = checkpoints() / url.rpartition("/")[2]
    if out.is_file() and sha256(out) == digest:
        return out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out.parent}: cannot be made ({error.strerror})") from error
    done, hashed = 0, hashlib.sha256()
    with whole(out) as stream, closing(_chunks(url)) as chunks:
        for chunk, total in chunks:
            stream.write(chunk)
            hashed.update(chunk)
            done += len(chunk)
            if done > _MOST:
                raise UserError(f"{url}: sends more than {_MOST} bytes: not VGG16's weights")
            progress(done, total)
        if hashed.hexdigest() != digest:
            raise UserError(
                f"{url}: the {done} bytes that came are not what was published (SHA-256 begins "
                f"with {hashed.hexdigest()[:8]}, not {digest[:8]}): try again"
            )
    return out


def checkpoints() -> Path:
    """The folder where torch keeps downloaded weights (torch.hub)."""
    home = os.environ.get("TORCH_HOME")
    if home is None:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = str(Path(cache) / "torch")
    return _expanded(home) / "hub" / "checkpoints"


def _places() -> list[Path]:
    """In the order in which they are looked at."""
    names = (_NAME, _NVIDIAS.rpartition("/")[2])
    # NVIDIA's code names what it downloaded by the MD5 of its address.
    address = hashlib.md5(_NVIDIAS.encode(), usedforsecurity=False).hexdigest()
    cache = os.environ.get("DNNLIB_CACHE_DIR") or "~/.cache/dnnlib"
    downloaded = _expanded(cache) / "downloads" / f"{address}_{names[1]}"
    return [*(checkpoints() / name for name in names), downloaded]


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user without a home
        return Path(path)


def _chunks(url: str) -> Generator[tuple[bytes, int | None]]:
    """What comes from the address, and its size if that is told. Raises UserError."""
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as response:
            length = response.headers.get("Content-Length") or ""
            total = int(length) if length.isdecimal() else None
            while chunk := response.read(_CHUNK):
                yield chunk, total
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the server's answer as well, and its connection is open
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{url}: cannot be fetched ({' '.join(str(reason).split()) or type(error).__name__}); "
            "try again, or do without: --loss mse"
        ) from error
