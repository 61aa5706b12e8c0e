"""A training that goes on: whether a folder holds this one, and how far it has come."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.training.folder import Folder, read_facts, read_state
from engine.training.options import Options, Report
from engine.training.settings import Settings
from engine.training.trainer import Trainer

_FIXED = ("generator", "discriminator", "batch", "seed")


def facts_of(options: Options, settings: Settings, seconds: float) -> dict[str, Any]:
    """What a state tells, besides what the trainer puts into it."""
    return {
        "settings": asdict(settings),
        "seconds": round(seconds, 3),
        "pictures": options.pictures.name,
        "pool": options.pool,
        "mirror": options.mirror,
    }


def clear(options: Options, where: Folder) -> None:
    """With --force: remove an earlier training. Raises UserError if this one goes on from it."""
    start = options.start
    if start is not None and start.resolve() in {path.resolve() for path in where.own()}:
        raise UserError(f"--from {start}: would be removed by --force: name another folder with -o")
    where.clear()


def check(options: Options, settings: Settings, where: Folder) -> Path | None:
    """The newest state, if there is one; it is this training's. Raises UserError for another's."""
    newest = where.newest()
    if newest is None:
        if where.network.exists():
            raise UserError(
                f"{where.network}: is there already, and no training to go on with: --force "
                "replaces it, or name another folder with -o"
            )
        return None
    facts, asked = read_facts(newest), _plain(settings)
    before: dict[str, Any] = facts["settings"]
    other = [name for name in _FIXED if _kind(before.get(name)) != _kind(asked[name])]
    other += [name for name in ("pool", "mirror") if facts.get(name) != getattr(options, name)]
    if other or facts["pictures"] != options.pictures.name:
        what = ", ".join(other) or f"set of pictures, {facts['pictures']}"
        raise UserError(
            f"-o {where.path}: holds a training with another {what}: --force begins anew, or name "
            "another folder"
        )
    return newest


def is_over(options: Options, state: Path, where: Folder) -> bool:
    """Whether that state holds all that is asked for, and everything beside it was written."""
    facts = read_facts(state)
    kimg = facts["steps"] * facts["settings"]["batch"] / 1000
    enough = (options.kimg is not None and kimg >= options.kimg) or (
        options.minutes is not None and facts["seconds"] >= 60 * options.minutes
    )
    return enough and where.is_whole(state)


def resume(state: Path, trainer: Trainer, where: Folder, report: Report) -> float:
    """Go on from that state. Returns the seconds trained before. Raises UserError."""
    tensors, facts = read_state(state)
    before, asked = facts["settings"], _plain(trainer.settings)
    changed = [name for name in asked if asked[name] != before.get(name)]
    try:
        trainer.restore(tensors, facts)
    except ValueError as error:
        raise UserError(f"{state}: {error}; --force begins anew") from error
    but = ", ".join(f"{name} now {asked[name]}" for name in changed)
    report.say(
        f"{where.path}: goes on after {trainer.pictures / 1000:.1f} kimg"
        + (f" ({but})" if but else "")
    )
    return float(facts["seconds"])


def _plain(settings: Settings) -> dict[str, Any]:
    """As JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def _kind(value: object) -> object:
    """What is compared: a bound on activations goes with the device's precision."""
    if isinstance(value, dict):
        return {name: x for name, x in value.items() if name != "conv_clamp"}
    return value
