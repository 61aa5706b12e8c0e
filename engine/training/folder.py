"""What a training leaves in its folder, every file whole or not there, and never too many.

network.safetensors          the average so far: what `play` performs
grid-000120.png              the same latents after 120 kimg; data.png: what they should be like
log.jsonl, log.png           losses and measures
snapshots/000120.state       everything a training is (safetensors); the last two are kept
snapshots/000120.safetensors the network at that time; some are kept, evenly spread
pictures/                    what is learned from, prepared or drawn ahead
stage-1/                     the same, of a recipe's stage before the last
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import UserError
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import NetworkFile
from engine.weights.saving import save_network
from engine.weights.whole import whole

FORMAT = 1  # of the state

STATES = 2  # kept
NETWORKS = 10
GRIDS = 40

_HALF_MAX = 6e4

_HALF_WRITTEN = re.compile(
    r"\.(network\.safetensors|\d+\.(state|safetensors)|(grid-\d+|data|log)\.png|log\.jsonl"
    r"|(flowers|pictures)-[\w-]+\.npy)\.\w{8}"
)


@dataclass(frozen=True, slots=True)
class Folder:
    """The names of what one training leaves."""

    path: Path

    @property
    def network(self) -> Path:
        """The newest."""
        return self.path / "network.safetensors"

    @property
    def data(self) -> Path:
        """A sheet of the pictures that are learned from."""
        return self.path / "data.png"

    @property
    def log(self) -> Path:
        """A line of JSON now and then."""
        return self.path / "log.jsonl"

    @property
    def chart(self) -> Path:
        """The same, drawn."""
        return self.path / "log.png"

    @property
    def cache(self) -> Path:
        """Where pictures are prepared."""
        return self.path / "pictures"

    def state(self, kimg: int) -> Path:
        """Everything, after so much."""
        return self.path / "snapshots" / f"{kimg:06}.state"

    def snapshot(self, kimg: int) -> Path:
        """The network, after so much."""
        return self.path / "snapshots" / f"{kimg:06}.safetensors"

    def grid(self, kimg: int) -> Path:
        """What it makes, after so much."""
        return self.path / f"grid-{kimg:06}.png"

    def tidy(self) -> None:
        """Remove what kills left half-written, if there is anything. Raises UserError."""
        try:
            for folder in (self.path, self.path / "snapshots", self.cache):
                for path in folder.iterdir() if folder.is_dir() else ():
                    if _HALF_WRITTEN.fullmatch(path.name):
                        path.unlink()
        except OSError as error:
            raise UserError(f"-o {self.path}: cannot be used ({error.strerror})") from error

    def make(self) -> None:
        """Raises UserError."""
        try:
            (self.path / "snapshots").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"-o {self.path}: cannot be made ({error.strerror})") from error

    def newest(self) -> Path | None:
        """The newest state."""
        states = sorted((self.path / "snapshots").glob("[0-9]*.state"))
        return states[-1] if states else None

    def is_whole(self, state: Path) -> bool:
        """Whether the networks that go with the newest state were written after it."""
        written = state.stat().st_mtime_ns
        return all(
            path.exists() and path.stat().st_mtime_ns >= written
            for path in (self.snapshot(_number(state)), self.network)
        )

    def own(self) -> list[Path]:
        """What a training leaves, as far as it is there, and the folder."""
        patterns = "grid-[0-9]*.png", "snapshots/[0-9]*.state", "snapshots/[0-9]*.safetensors"
        many = [path for pattern in patterns for path in self.path.glob(pattern)]
        return [self.path, self.network, self.data, self.log, self.chart, *many]

    def clear(self) -> None:
        """Remove what an earlier training left, and nothing else."""
        for path in self.own()[1:]:
            path.unlink(missing_ok=True)

    def thin_out(self) -> None:
        """Remove what is more than it takes to go on, to look back and to choose from."""
        snapshots = self.path / "snapshots"
        for path in sorted(snapshots.glob("[0-9]*.state"))[:-STATES]:
            path.unlink()
        for folder, pattern, most in (
            (snapshots, "[0-9]*.safetensors", NETWORKS),
            (self.path, "grid-[0-9]*.png", GRIDS),
        ):
            paths = sorted(folder.glob(pattern))
            for index in superfluous([_number(path) for path in paths], most):
                paths[index].unlink()


def superfluous(numbers: Sequence[int], most: int) -> list[int]:
    """Which of ascending numbers to drop until `most` are left: where they are densest.

    The first and the last stay. Returns indices.
    """
    left = list(range(len(numbers)))
    dropped = []
    while len(left) > max(most, 2):
        gaps = [
            numbers[after] - numbers[before] for before, after in zip(left, left[2:], strict=False)
        ]
        dropped.append(left.pop(1 + int(np.argmin(gaps))))
    return dropped


def _number(path: Path) -> int:
    return int("".join(filter(str.isdecimal, path.stem)))


def write_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Raises UserError."""
    text = json.dumps({"anthesis": FORMAT, **facts})
    with whole(path) as stream:
        stream.write(safetensors.torch.save(dict(tensors), {"training": text}))


_WRONG = SafetensorError, OSError, ValueError, KeyError, TypeError


def read_facts(path: Path) -> dict[str, Any]:
    """Of a state, without its tensors. Raises UserError for a file that is something else."""
    try:
        with safe_open(path, "pt") as file:
            return _facts(file.metadata())
    except _WRONG as error:
        raise _no_state(path) from error


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_state` wrote. Raises UserError for a file that is something else."""
    try:
        with safe_open(path, "pt") as file:
            facts = _facts(file.metadata())
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except _WRONG as error:
        raise _no_state(path) from error


def _facts(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((metadata or {})["training"])
    if facts["anthesis"] != FORMAT:
        raise ValueError("another format")
    return facts


def _no_state(path: Path) -> UserError:
    return UserError(f"{path}: is no state of a training; delete it to go on from the one before")


def write_network(net: StyleGAN2, w_avg: Tensor, path: Path, notes: Mapping[str, str]) -> None:
    """The network with that mean w, in half precision if its numbers allow it. Raises UserError."""
    tensors = {name: x.detach().float().cpu().numpy() for name, x in net.state_dict().items()}
    tensors["mapping.w_avg"] = w_avg.float().cpu().numpy()
    file = NetworkFile(path, "training", "Anthesis", net.config, tensors, notes)
    fits = all(np.abs(array).max(initial=0) < _HALF_MAX for array in tensors.values())
    save_network(file, path, np.float16 if fits else np.float32)


def write_grid(path: Path, pictures: Tensor, columns: int) -> None:
    """Pictures [N, 3, R, R] in [-1, 1], in rows. Raises UserError."""
    n, _, side, _ = pictures.shape
    pixels = pictures.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    rows = pixels.permute(0, 2, 3, 1).reshape(n // columns, columns, side, side, 3)
    sheet = rows.permute(0, 2, 1, 3, 4).reshape(-1, columns * side, 3).cpu().numpy()
    with whole(path) as stream:
        Image.fromarray(sheet).save(stream, "PNG")
