"""A set list as a desk wants it: another network for a cue, another seed for a key. Pure.

What comes of it is a set list with a text of its own, as if somebody had saved it. So it takes over
as one that was saved does, and a take keeps it.
"""

from __future__ import annotations

import tomllib
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from engine.nets import NETWORKS
from live.setlist import Cue, SetList, parse_setlist
from live.toml_writer import toml


class Wish(NamedTuple):
    """What a cue, by its index, is to be: on a network, or with a seed at a key, by its index."""

    cue: int
    network: str | None = None
    key: int | None = None
    seed: int | None = None


def recast(setlist: SetList, wishes: list[Wish]) -> SetList:
    """The set list with all wishes fulfilled, the later ones last.

    Raises ValueError for a network that must not be named, UserError for what is then wrong.
    """
    document = tomllib.loads(setlist.text)
    for wish in wishes:
        cue = document["cue"][wish.cue]
        if wish.network is not None:
            cue["network"] = allowed(setlist, wish.network)
        if wish.key is not None and wish.seed is not None:
            _reseed(cue["keys"], wish.key, wish.seed)
    return parse_setlist(setlist.file, toml(document))


def allowed(setlist: SetList, name: str) -> str:
    """A network that somebody on the network may name: a bundled one, or in the set list's folder.

    Raises ValueError for any other: nothing that is received can reach out of that folder.
    """
    if name in NETWORKS:
        return name
    path = Path(name)
    folder = setlist.file.parent.resolve()
    plain = not path.is_absolute() and ".." not in path.parts and not set("\\~:\0") & set(name)
    try:
        inside = plain and (folder / path).resolve().is_relative_to(folder)
        there = inside and (folder / path).is_file()
    except OSError:
        there = False
    if not there:
        raise ValueError(f"network: no {name!r:.60} in the set list's folder, nor is it bundled")
    return name


def coming_key(cue: Cue, beat: float) -> int:
    """The index of the key that can best be another, seen from a beat of the cue's path.

    The next one ahead that does not bend the path where the picture now is, nor in the next two
    beats: with many keys nothing jumps. With few, the next.
    """
    count = len(cue.keys)
    first = 1 if cue.ends == "guide" else 0
    ends = list(accumulate(cue.segments))
    soon = (beat + 2.0) % ends[-1] if cue.ending == "loop" else min(beat + 2.0, ends[-1])
    here = [_segment(ends, beat), _segment(ends, soon)]
    before, after = (0, 1) if cue.path == "linear" else (1, 2)
    ahead = [first + here[0] + 1 + n for n in range(count)]
    ahead = [n % count for n in ahead] if cue.ending == "loop" else [n for n in ahead if n < count]
    bending = {(first + segment + n) % count for segment in here for n in range(-before, after + 1)}
    free = [key for key in ahead if key not in bending]
    return next(iter([*free, *ahead, count - 1]))


def _segment(ends: list[float], beat: float) -> int:
    """In which segment of the path a beat lies."""
    return next((n for n, end in enumerate(ends) if beat < end), len(ends) - 1)


def _reseed(keys: list[dict[str, Any]], key: int, seed: int) -> None:
    """Another seed at a key; what belonged to a latent or a photo goes with it."""
    if key >= len(keys):
        raise ValueError(f"key/seed: the cue has {len(keys)} keys")
    for source in ("latent", "photo", "face"):
        keys[key].pop(source, None)
    keys[key]["seed"] = seed
