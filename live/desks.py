"""Desk files: maps for a whole desk, those that come with Anthesis and one's own.

A desk file is TOML with the same tables as a set list has under [osc]: [[osc.map]], [osc.slew] and
[osc.takeover]. A set list's entries come first: where both are for an address, by name or by
pattern, the set list's count alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import UserError
from live.addresses import Address
from live.mapping import MOST_ENTRIES, MapEntry, SlewText, Takeover, check_manner
from live.routes import Patch
from live.setlist_faults import fault
from live.slew import Slew
from live.toml_file import read_toml

_MAX_BYTES = 1 << 20


class DeskTable(BaseModel):
    """What [osc] says of the desk's messages, in a desk file and in a set list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: Annotated[tuple[MapEntry, ...], Field(max_length=MOST_ENTRIES)] = ()
    slew: Mapping[str, SlewText] = Field(default_factory=dict)
    takeover: Mapping[str, Takeover] = Field(default_factory=dict)

    @field_validator("map", mode="before")
    @classmethod
    def _tables(cls, entries: object) -> object:
        if isinstance(entries, dict):
            raise ValueError("write [[osc.map]], with two brackets on either side")
        return entries

    @field_validator("slew")
    @classmethod
    def _slewing(cls, slew: Mapping[str, Slew]) -> Mapping[str, Slew]:
        check_manner(slew, lambda known: known.slews, "is set at once, whatever the time")
        return slew

    @field_validator("takeover")
    @classmethod
    def _picking_up(cls, takeover: Mapping[str, Takeover]) -> Mapping[str, Takeover]:
        check_manner(takeover, can_be_picked_up, "is no level that could be picked up")
        return takeover

    @property
    def patch(self) -> Patch:
        """The same, for `live.routes`."""
        return Patch(self.map, self.slew, self.takeover)


class DeskFile(BaseModel):
    """A desk's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    osc: DeskTable


def can_be_picked_up(address: Address) -> bool:
    """Whether the parameter stays where it was set, so that a fader can find it there."""
    return address.relative and address.name not in ("position", "tempo/phase")


def bundled_desks() -> dict[str, Path]:
    """The desks whose files come with Anthesis, by name."""
    folder = Path(str(files("setlists") / "desks"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_desk(path: Path) -> Patch:
    """Read a desk's file. Raises UserError: one line with file, entry and key."""
    _, document = read_toml(path, "desk file", _MAX_BYTES)
    try:
        return DeskFile.model_validate(document).osc.patch
    except ValidationError as error:
        raise UserError(f"{path}: {fault(error, DeskFile, document)}") from error


def find_desk(desk: str, folder: Path) -> Patch:
    """The patch of a desk given by name, or by its file's, relative to `folder`.

    Raises UserError for one that is not there, naming those that are.
    """
    known = bundled_desks()
    if desk in known:
        return load_desk(known[desk])
    path = folder / desk
    if "/" not in desk and not desk.endswith(".toml"):
        raise UserError(f"desk {desk!r:.60}: there are {', '.join(known)}, or name a file.toml")
    return load_desk(path)


def joined(own: Patch, desk: Patch) -> Patch:
    """A set list's patch, and what a desk's has beyond it."""
    slew, takeover = {**desk.slew, **own.slew}, {**desk.takeover, **own.takeover}
    return Patch(own.entries, slew, takeover, own.beneath + desk.entries)


def patch_of(own: DeskTable, desk: str | None, folder: Path) -> Patch:
    """What messages mean to a set list in `folder`, and to the desk that goes with it.

    desk: a name or a file that was given besides; without one, there may be one in the set list.
    Raises UserError as `find_desk`.
    """
    return own.patch if desk is None else joined(own.patch, find_desk(desk, folder))
