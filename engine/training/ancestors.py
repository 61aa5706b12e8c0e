"""What a training goes on from: any network that is read, or what another training has left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from engine.errors import UserError
from engine.networks.stylegan2 import StyleGAN2
from engine.training.folder import Folder, read_state
from engine.weights import load_network
from engine.weights.discriminators import read_discriminator


@dataclass(frozen=True, slots=True, eq=False)
class Ancestor:
    """A generator, and its discriminator, if it brings one: channels of its blocks 4, 8, ... R,
    and its tensors by name."""

    network: StyleGAN2
    channels: tuple[int, ...] | None = None
    tensors: dict[str, Tensor] | None = None


def ancestor(start: Path) -> Ancestor:
    """Read a checkpoint, or a training's folder. Raises UserError."""
    if start.is_dir():
        return _trained(Folder(start))
    network = load_network(start)
    found = read_discriminator(start, network.resolution)
    if found is None:
        return Ancestor(network)
    return Ancestor(network, found[0].channels, found[1])


def _trained(folder: Folder) -> Ancestor:
    newest = folder.newest()
    if newest is None or not folder.network.exists():
        raise UserError(f"--from {folder.path}: is no folder of a training; name one, or a network")
    network = load_network(folder.network)
    tensors, facts = read_state(newest)
    own = "discriminator."
    tensors = {name.removeprefix(own): x for name, x in tensors.items() if name.startswith(own)}
    return Ancestor(network, tuple(facts["settings"]["discriminator"]), tensors)
