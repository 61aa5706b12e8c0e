"""Any supported checkpoint to the reference network; nothing in a file is ever executed.

containers  bytes -> a tree of inert records, by `unpickle` and its closed list in `inert`
families    which part of the tree is a StyleGAN2 generator, and whose names it uses
nvidia, rosinality, tensorflow
            those names -> canonical names (`found` accounts for every one)
encoders    pSp's and e4e's encoders, from the files that hold their generator too
latents     W and W+ files

Importing this loads no torch: the stage reads latents, and `inspect` accounts for a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.weights import containers
from engine.weights.families import find
from engine.weights.found import W_AVG, account
from engine.weights.inert import UnreadableError

if TYPE_CHECKING:
    import torch

    from engine.networks.stylegan2 import StyleGAN2

__all__ = ["NetworkFile", "as_published", "load_network", "read_network", "sha256"]

# Samples of w to average where a file holds no mean: rosinality's training checkpoints.
_W_AVG_SAMPLES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFile:
    """A checkpoint, read and accounted for.

    tensors: float32, by canonical (NVIDIA's) names; all that config.shapes() names, and
        `mapping.w_avg` [w_dim] if the file has it.
    dialect: whose names the file uses, and where in it the generator was.
    metadata: what a safetensors file says of itself.
    """

    path: Path
    container: str
    dialect: str
    config: StyleGAN2Config
    tensors: Mapping[str, NDArray[np.float32]]
    metadata: Mapping[str, str]

    family = "stylegan2"

    @property
    def has_w_avg(self) -> bool:
        """Whether the file holds the mean w; where not, it is averaged at load."""
        return W_AVG in self.tensors


def read_network(path: Path | str) -> NetworkFile:
    """Read a checkpoint without torch. Raises UserError: what it looked like, what is wrong."""
    path = Path(path)
    contents = containers.read(path)
    try:
        found = find(contents)
        config, tensors = account(found)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error
    return NetworkFile(path, contents.container, found.dialect, config, tensors, contents.metadata)


def load_network(path: Path | str, device: str | torch.device = "cpu") -> StyleGAN2:
    """Any supported file to the reference network, float32, eval, its gradients off.

    Raises UserError for a file that is not one, is damaged, or holds another network.
    """
    # Torch takes a second to import and 200 MB; the stage, which reads latents, has neither.
    import torch

    from engine.networks.stylegan2 import StyleGAN2

    file = read_network(path)
    net = StyleGAN2(file.config).eval().requires_grad_(False)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in file.tensors.items()}
    if not file.has_w_avg:
        tensors[W_AVG] = torch.zeros(file.config.w_dim)
    net.load_state_dict(tensors)
    if not file.has_w_avg:
        _average_w(net)
    return net.to(device)


def _average_w(net: StyleGAN2) -> None:
    """Set w_avg to the mean of 10,000 w, the same at every load; classes take turns."""
    import torch

    total = torch.zeros(net.w_dim, dtype=torch.float64)
    random = np.random.RandomState(0)
    with torch.inference_mode():
        for start in range(0, _W_AVG_SAMPLES, 1000):
            z = torch.from_numpy(random.randn(1000, net.z_dim)).float()
            c = None
            if net.num_classes:
                turn = torch.arange(start, start + 1000) % net.num_classes
                c = torch.nn.functional.one_hot(turn, net.num_classes).float()
            total += net.mapping(z, c).double().sum(dim=0)
    net.w_avg.copy_(total / _W_AVG_SAMPLES)


def sha256(path: Path | str) -> str:
    """The file's SHA-256, in hexadecimal. Raises UserError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def as_published(path: Path, promised: str | None) -> None:
    """Let a file pass whose SHA-256 begins as was promised, or of which nothing was.

    Raises UserError: it is damaged, or not the one that its name says.
    """
    if promised is not None and not (digest := sha256(path)).startswith(promised):
        raise UserError(
            f"{path}: is damaged or not what was published under this name: its SHA-256 begins "
            f"with {digest[:8]}, not {promised[:8]}; delete it and get it again"
        )
