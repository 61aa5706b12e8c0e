"""From the keys of a cue to its path through W+: seeds, latent files, mixing and truncation.

W+ arrays here are float32 [num_ws, w_dim] before truncation; the path truncates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.path import Path as Morph
from engine.weights.latents import read_latent

if TYPE_CHECKING:
    from engine.link import NetworkFacts
    from live.setlist import Cue, Key, Part
    from live.source import Seed


class NetworkShape(Protocol):
    """What keys must fit: `engine.link.NetworkFacts`, or a part of them."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def num_ws(self) -> int:
        """Layers of W+."""

    @property
    def w_dim(self) -> int:
        """Numbers of a w."""

    @property
    def num_classes(self) -> int:
        """0 where seeds have none."""


class Resolved(NamedTuple):
    """The keys of a cue, all that a path through them depends on besides the set list."""

    ws: NDArray[np.float32]  # [N, num_ws, w_dim], before truncation
    psi: NDArray[np.float64]  # [N, num_ws]
    w_avg: NDArray[np.float32]  # [w_dim]


def wanted(cue: Cue) -> set[Seed]:
    """The seeds, each with its class, that an engine must map before the path can be built."""
    parts = [(part, key) for key in cue.keys for part in (key, key.mix) if part is not None]
    return {(part.seed, key.label) for part, key in parts if part.seed is not None}


def check(cue: Cue) -> None:
    """Read the cue's latent files, once for the whole show; see `latent_of`.

    Raises UserError for one that is damaged or not finite. Whether their shapes fit is known once
    the network is.
    """
    for i, key in enumerate(cue.keys):
        for part in (key, key.mix):
            if part is not None and part.latent is not None:
                _read(part.latent, _place(cue, i, key, part))


def fit(cue: Cue, facts: NetworkShape) -> None:
    """See that every key fits the network; needs no engine. Raises UserError as `build_path`."""
    blank = np.zeros((facts.num_ws, facts.w_dim), np.float32)
    mapped = dict.fromkeys(wanted(cue), blank)
    for i, key in enumerate(cue.keys):
        _key(cue, i, key, facts, mapped)


def build_path(cue: Cue, facts: NetworkFacts, mapped: Mapping[Seed, NDArray[np.float32]]) -> Morph:
    """The path of a cue on its network; see `resolve`."""
    return path_through(cue, resolve(cue, facts, mapped))


def resolve(cue: Cue, facts: NetworkFacts, mapped: Mapping[Seed, NDArray[np.float32]]) -> Resolved:
    """The keys of a cue as numbers.

    `mapped` holds what `wanted` asks for: the untruncated w [w_dim] or W+ [num_ws, w_dim] of each.
    Raises UserError that names cue and key where a latent, a layer or a class does not fit.
    """
    built = [_key(cue, i, key, facts, mapped) for i, key in enumerate(cue.keys)]
    return Resolved(
        np.stack([ws for ws, _ in built]), np.stack([psi for _, psi in built]), facts.w_avg
    )


def path_through(cue: Cue, resolved: Resolved) -> Morph:
    """The path of a cue through its keys. Raises ValueError if they are not as many."""
    return Morph(
        resolved.ws,
        cue.segments,
        cue.path,
        ends=cue.ends,
        ending=cue.ending,
        psi=resolved.psi,
        w_avg=resolved.w_avg,
    )


def _key(
    cue: Cue,
    i: int,
    key: Key,
    facts: NetworkShape,
    mapped: Mapping[Seed, NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A key's W+ and its psi per layer."""
    _check_class(_place(cue, i, key, key), key, facts)
    ws = np.array(_ws(_place(cue, i, key, key), key, key.label, facts, mapped))
    psi = np.full(facts.num_ws, key.psi)
    if key.mix is not None:
        place = _place(cue, i, key, key.mix)
        fine = _layers(place, key.mix.span, facts)
        ws[fine] = _ws(place, key.mix, key.label, facts, mapped)[fine]
        psi[fine] = key.mix.psi
    if key.cutoff is not None:
        psi[key.cutoff :] = 1.0
    return ws, psi


def _ws(
    place: str,
    part: Part,
    label: int | None,
    facts: NetworkShape,
    mapped: Mapping[Seed, NDArray[np.float32]],
) -> NDArray[np.float32]:
    shape = (facts.num_ws, facts.w_dim)
    if part.seed is not None:
        return np.broadcast_to(mapped[part.seed, label], shape)
    assert part.latent is not None
    latent = _read(part.latent, place)
    if latent.shape not in ((1, facts.w_dim), shape):
        raise UserError(
            f"{place}: {part.latent} holds {list(latent.shape)}; the network {facts.name} takes "
            f"{[1, facts.w_dim]} or {list(shape)}"
        )
    return np.broadcast_to(latent, shape)


def _read(
    latent: Path, place: str, read: Callable[[Path], NDArray[np.float32]] | None = None
) -> NDArray[np.float32]:
    try:
        return (read or latent_of)(latent)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


_LATENTS: dict[Path, NDArray[np.float32]] = {}
"""What was read; see `latent_of`."""


def latent_of(path: Path) -> NDArray[np.float32]:
    """What `read_latent` finds in a file, as it was when last read; not to be written to.

    `fit` and `build_path` run on the stage's render thread in the middle of a show, and a disk may
    take longer than a frame. Besides, a file that changes or goes then no longer matters until
    somebody asks to `reread` it. As many are kept as set lists name. What cannot be read is tried
    again.
    """
    if path not in _LATENTS:
        _LATENTS[path] = _fresh(path)
    return _LATENTS[path]


def reread(cues: Sequence[Cue]) -> None:
    """Read all latents of these cues again, on whatever thread; if one is wrong, none is taken.

    Raises UserError as `check` does.
    """
    fresh: dict[Path, NDArray[np.float32]] = {}
    for cue in cues:
        for i, key in enumerate(cue.keys):
            for part in (key, key.mix):
                if part is not None and part.latent is not None and part.latent not in fresh:
                    fresh[part.latent] = _read(part.latent, _place(cue, i, key, part), _fresh)
    _LATENTS.update(fresh)


def _fresh(path: Path) -> NDArray[np.float32]:
    latent = read_latent(path)
    latent.flags.writeable = False
    return latent


def _layers(place: str, span: tuple[int, int | None], facts: NetworkShape) -> slice:
    first, last = span
    if max(first, last or 0) >= facts.num_ws:
        raise UserError(
            f"{place}.layers: the network {facts.name} has layers 0 to {facts.num_ws - 1}"
        )
    return slice(first, None if last is None else last + 1)


def _check_class(place: str, key: Key, facts: NetworkShape) -> None:
    """Classes belong to the seeds of conditional networks, and those need one."""
    has_seed = key.seed is not None or (key.mix is not None and key.mix.seed is not None)
    if facts.num_classes == 0 and key.label is not None:
        raise UserError(f"{place}.class: the network {facts.name} has no classes; leave it out")
    if facts.num_classes == 0 or not has_seed:
        return
    if key.label is None or key.label >= facts.num_classes:
        raise UserError(
            f"{place}.class: the network {facts.name} wants a class, 0 to {facts.num_classes - 1}"
        )


def _place(cue: Cue, i: int, key: Key, part: Part) -> str:
    """Where in the set list, for messages."""
    return f'[[cue]] "{cue.name}" keys[{i}]' + ("" if part is key else ".mix")
