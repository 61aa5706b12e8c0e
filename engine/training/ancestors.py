"""What a training goes on from: any network that is read, or what another training has left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2
from engine.training.folder import Folder, read_state
from engine.weights import load_network
from engine.weights.discriminators import read_discriminator


@dataclass(frozen=True, slots=True, eq=False)
class Critic:
    """A discriminator: channels of its blocks 4, 8, ... R, and its tensors by name."""

    channels: tuple[int, ...]
    tensors: dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Ancestor:
    """A generator, and its discriminator, if it brings one."""

    network: StyleGAN2
    critic: Critic | None = None


def ancestor(start: Path) -> Ancestor:
    """Read a checkpoint, or the newest state in a training's folder. Raises UserError."""
    if start.is_dir():
        return _trained(start)
    network = load_network(start)
    found = read_discriminator(start, network.resolution)
    if found is None:
        return Ancestor(network)
    return Ancestor(network, Critic(found[0].channels, found[1]))


def _trained(path: Path) -> Ancestor:
    newest = Folder(path).newest()
    if newest is None:
        raise UserError(f"--from {path}: is no folder of a training; name one, or a network")
    tensors, facts = read_state(newest)
    try:
        settings: dict[str, Any] = facts["settings"]
        network = StyleGAN2(StyleGAN2Config(**_immutable(settings["generator"])))
        network.load_state_dict(_below(tensors, "average."))
        channels = tuple(settings["discriminator"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{newest}: is no state that can be gone on from") from error
    return Ancestor(network, Critic(channels, _below(tensors, "discriminator.")))


def _immutable(config: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it, to what it was."""
    return {name: tuple(x) if isinstance(x, list) else x for name, x in config.items()}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, without it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
