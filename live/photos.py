"""Photos among the keys of a set list: which file holds what was found for each in W+."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import UserError
from engine.projection.results import find_result
from live.setlist_faults import Location, told

if TYPE_CHECKING:
    from live.setlist import Cue, Key, Part, SetList

    _Part = TypeVar("_Part", bound=Part)


def with_results(
    setlist: SetList, document: Mapping[str, Any], names: Mapping[Path, str]
) -> SetList:
    """A set list whose photos all have their latent; `names` are those of the bundled networks.

    This follows validation: only a whole cue knows its network, and hashing a large one that stands
    in a set list with other faults would be in vain. Raises UserError with table and key for a
    photo that has not been projected for its cue's network.
    """

    def found(part: _Part, cue: Cue, at: Location) -> _Part:
        if part.photo is None:
            return part
        folders = _folders(setlist.file.parent, part.photo, cue.network)
        name = names.get(cue.network)
        try:
            latent = find_result(part.photo, part.face, cue.network, folders, network_name=name)
        except UserError as error:
            said = told(document, (*at, "photo"), error)
            raise UserError(f"{setlist.file}: {said}") from error
        return part.model_copy(update={"latent": latent})

    def key_found(key: Key, cue: Cue, at: Location) -> Key:
        key = found(key, cue, at)
        if key.mix is None:
            return key
        return key.model_copy(update={"mix": found(key.mix, cue, (*at, "mix"))})

    cues = []
    for i, cue in enumerate(setlist.cues):
        keys = (key_found(key, cue, ("cue", i, "keys", j)) for j, key in enumerate(cue.keys))
        cues.append(cue.model_copy(update={"keys": tuple(keys)}))
    return setlist.model_copy(update={"cues": tuple(cues)})


def _folders(folder: Path, photo: Path, network: Path) -> list[Path]:
    """Where results may lie, of a photo that a set list in `folder` names, the likeliest first.

    The last is for what the others have room for once only: a photo on several networks.
    """
    likely = [
        folder / "latents",
        photo.parent,
        photo.parent / "latents",
        folder,
        folder / "latents" / network.stem,
    ]
    return list(dict.fromkeys(likely))
