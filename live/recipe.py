"""Recipes: trainings in stages, each going on from the one before, as data.

A recipe is TOML with a [[stage]] a training. Two come with Anthesis: how the bundled network was
made, and how a larger one will be.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.errors import UserError
from engine.nets import NETWORKS, bundled_network
from engine.training.options import Options
from engine.training.plan import channel_table
from engine.training.settings import PATH_WEIGHT
from live.setlist_faults import fault
from live.toml_file import read_toml

_MAX_BYTES = 1 << 20

Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1e-6, le=0.1)]
Channels = Annotated[int, Field(ge=1, le=1 << 20)]


class Stage(BaseModel):
    """One training; the names are those of `Options`, where all of them are explained.

    start: called `from`; a network beside the recipe or one of the bundled, for the first stage
    only. grow: every later stage's network becomes as large as it says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kimg: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    resolution: Annotated[int, Field(ge=8, le=1024)]
    channel_base: Channels | None = None
    channel_max: Channels = 512
    critic_base: Channels | None = None
    critic_max: Channels | None = None
    mapping: Annotated[int, Field(ge=1, le=64)] = 8
    batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    gamma: Amount | None = None
    rate: Rate = 0.0025
    critic_rate: Rate | None = None
    fall: Share = 0.0
    average: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    mixing: Share | None = None
    path: Amount = PATH_WEIGHT
    noise: bool = True
    start: Annotated[str | None, Field(alias="from")] = None
    freeze: Amount = 10.0
    augment: bool | None = None
    mirror: bool = False
    pool: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    pairs: Amount | None = None
    pairs_begin: Share = 1.0
    pairs_left: Share = 0.0
    pairs_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    snapshot: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution {self.resolution}: it is a power of two")
        try:
            assert self.channels
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the generator's blocks. Raises UserError."""
        return channel_table(self.channel_base, self.channel_max, self.resolution)


class Recipe(BaseModel):
    """A recipe's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=16)]

    @field_validator("stage", mode="before")
    @classmethod
    def _tables(cls, stages: object) -> object:
        if isinstance(stages, dict):
            raise ValueError("write [[stage]], with two brackets on either side")
        return stages

    @field_validator("stage")
    @classmethod
    def _each_larger(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        """Said before the first stage is trained rather than after it."""
        for number, (before, stage) in enumerate(pairwise(stages), 2):
            if stage.start is not None:
                raise ValueError(f"stage {number} goes on from the one before it, not from a file")
            shrunk = any(a > b for a, b in zip(before.channels, stage.channels, strict=False))
            if stage.resolution < before.resolution or shrunk:
                raise ValueError(f"stage {number} is smaller than the one before: networks grow")
        return stages


def bundled_recipes() -> dict[str, Path]:
    """The recipes that come with Anthesis, by name."""
    folder = Path(str(files("engine.nets")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(recipe: str) -> Path:
    """The file of a recipe given by name, or by its file's. Raises UserError."""
    known = bundled_recipes()
    if recipe in known:
        return known[recipe]
    if "/" not in recipe and not recipe.endswith(".toml"):
        raise UserError(f"--recipe {recipe:.60}: there are {', '.join(known)}, or name a file.toml")
    return Path(recipe)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises UserError: one line with file, stage and key."""
    _, document = read_toml(path, "recipe", _MAX_BYTES)
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {fault(error, Recipe, document)}") from error


def trainings(recipe: Recipe, folder: Path, pictures: Path, out: Path) -> list[Options]:
    """What to ask of each training, in order; the last is left in `out`, the others below it.

    folder: of the recipe, where the network it goes on from may be.
    """
    asked = []
    before: Path | None = None
    for number, stage in enumerate(recipe.stage, 1):
        last = number == len(recipe.stage)
        where = out if last else out / f"stage-{number}"
        if stage.start is not None:
            ours = stage.start in NETWORKS
            before = bundled_network(stage.start) if ours else folder / stage.start
        given = stage.model_dump(exclude={"start"})
        options = Options(pictures=pictures, out=where, start=before, grow=before is not None)
        asked.append(replace(options, **given))
        before = where
    return asked
