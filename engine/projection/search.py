"""One photo's way through W+: where it is, what was best, how it is kept on disk.

A search is told losses and gradients and knows no network. Its whole state can be taken out and
put back, so that an interrupted search goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.projection import noise_maps
from engine.projection.presets import Preset, learning_rate, pull

Arrays = Mapping[str, NDArray[np.float32]]


class DivergedError(Exception):
    """The loss is no number, again."""


@dataclass(slots=True)
class _Facts:
    """Of a search, all that is not an array."""

    position: int = 0  # on the preset's way, ahead of `steps` where a plateau was cut short
    steps: int = 0  # taken
    phase: int = 0  # the position where the present phase began
    rate: float = 1.0  # of the preset's
    restarts: int = 0
    loss: float = math.inf  # the best
    mark: float = math.inf  # the best loss where progress was last asked for
    marked: int = 0  # and when


class Search:
    """A search by a preset.

    steps: of the whole way. start: [1, w_dim], one w for all layers, or [L, w_dim]; also what the
    pull leads to. maps: noise maps [1, 1, r, r] to be found as well. frames: of a film of the
    search, at most; they are kept as W+.
    """

    def __init__(
        self,
        preset: Preset,
        steps: int,
        start: Tensor,
        num_ws: int,
        maps: Sequence[Tensor] = (),
        frames: int = 0,
    ) -> None:
        self._preset, self._length, self._num_ws = preset, steps, num_ws
        self._anchor = start.clone()
        self._facts = _Facts()
        shared = preset.shared > 0 and len(start) == 1
        self._latent = start.clone() if shared else start.expand(num_ws, -1).clone()
        self._maps = [x.clone() for x in maps]
        self._adam = self._optimiser()
        self._best = self.ws.clone()
        self._best_maps = [x.clone() for x in maps]
        self._every = math.ceil(steps / frames) if frames else 0
        self._film: list[NDArray[np.float32]] = []

    @property
    def ws(self) -> Tensor:
        """Where it is, [L, w_dim]."""
        return self._latent.expand(self._num_ws, -1)

    @property
    def maps(self) -> list[Tensor]:
        """Its noise maps there."""
        return self._maps

    @property
    def best(self) -> Tensor:
        """Where the loss was least, [L, w_dim]; before the first step, the start."""
        return self._best

    @property
    def best_maps(self) -> list[Tensor]:
        """The noise maps there."""
        return self._best_maps

    @property
    def loss(self) -> float:
        """The least so far; infinite before the first step."""
        return self._facts.loss

    @property
    def steps(self) -> int:
        """Taken so far."""
        return self._facts.steps

    @property
    def left(self) -> int:
        """Steps to take, if no plateau cuts them short."""
        return self._length - self._facts.position

    @property
    def film(self) -> Sequence[NDArray[np.float32]]:
        """W+ [L, w_dim] that it passed, evenly over its steps."""
        return self._film

    def step(self, loss: float, of_ws: Tensor, of_maps: Sequence[Tensor] = ()) -> None:
        """Go on from here, where the loss and its gradients are these.

        of_ws: [L, w_dim]. A loss that is no number leads back to the best so far, at half the
        rate; a second one raises DivergedError.
        """
        facts = self._facts
        if not math.isfinite(loss):
            return self._restart()
        if self._every and facts.position % self._every == 0:
            self._film.append(self.ws.cpu().numpy().copy())
        if loss < facts.loss:
            facts.loss = loss
            self._best.copy_(self.ws)
            for kept, here in zip(self._best_maps, self._maps, strict=True):
                kept.copy_(here)
        self._descend(of_ws, of_maps)
        facts.steps += 1
        facts.position += 1
        if len(self._latent) < self._num_ws and self._at >= self._preset.shared:
            self._latent = self.ws.clone()
            self._begin_phase()
        elif self._stands_still():
            preset, shared = self._preset, len(self._latent) < self._num_ws
            ahead = preset.shared if shared else 1 - preset.ramp_down
            facts.position = max(facts.position, round(self._length * ahead))
        return None

    def state(self) -> tuple[dict[str, NDArray[np.float32]], str]:
        """Arrays, and a text, from which `restore` goes on exactly."""
        arrays = {"latent": self._latent, "best": self._best}
        for number, x in enumerate(self._maps):
            arrays |= {f"map{number}": x, f"best_map{number}": self._best_maps[number]}
        for number, moments in self._adam.state_dict()["state"].items():
            arrays |= {f"adam{number}.{name}": value for name, value in moments.items()}
        found = {name: array.detach().cpu().numpy() for name, array in arrays.items()}
        if self._film:
            found["film"] = np.stack(self._film)
        return found, json.dumps(asdict(self._facts))

    def restore(self, arrays: Arrays, text: str) -> None:
        """Go on where `state` was taken. Raises ValueError for that of another search."""
        try:
            facts = _read_facts(text)
            rows, (_, w_dim) = len(arrays["latent"]), self._anchor.shape
            if not 0 <= facts.position <= self._length or rows not in (1, self._num_ws):
                raise TypeError
            self._facts = facts
            self._latent = self._read(arrays, "latent", (rows, w_dim))
            self._best.copy_(self._read(arrays, "best", (self._num_ws, w_dim)))
            for number, (x, kept) in enumerate(zip(self._maps, self._best_maps, strict=True)):
                x.copy_(self._read(arrays, f"map{number}", x.shape))
                kept.copy_(self._read(arrays, f"best_map{number}", x.shape))
            self._adam = self._optimiser()
            self._restore_moments(arrays)
            film = arrays.get("film", np.empty((0, self._num_ws, w_dim), np.float32))
            if film.shape[1:] != (self._num_ws, w_dim):
                raise TypeError
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("is of another search") from error
        self._film = list(film)

    @property
    def _at(self) -> float:
        """How far on its way, 0 to 1."""
        return self._facts.position / self._length

    def _descend(self, of_ws: Tensor, of_maps: Sequence[Tensor]) -> None:
        facts, preset = self._facts, self._preset
        weight = pull(preset, self._at)
        if weight:
            of_ws = of_ws + 2 * weight / self.ws.numel() * (self.ws - self._anchor)
        shared = len(self._latent) < self._num_ws
        self._latent.grad = of_ws.sum(dim=0, keepdim=True) if shared else of_ws
        for x, gradient in zip(self._maps, of_maps, strict=True):
            x.grad = gradient
        since = (facts.position - facts.phase) / self._length
        rate = facts.rate * learning_rate(preset, self._at, since)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        noise_maps.normalize(self._maps)

    def _stands_still(self) -> bool:
        """Whether the next phase, or the end, may as well begin now."""
        facts, preset = self._facts, self._preset
        if preset.patience is None or facts.position < facts.marked + preset.patience:
            return False
        if (facts.position - facts.phase) / self._length < preset.ramp_up:
            return False  # the slower it goes, the longer the search
        still = facts.loss > facts.mark * (1 - preset.progress)
        facts.mark, facts.marked = facts.loss, facts.position
        return still

    def _restart(self) -> None:
        facts = self._facts
        if facts.restarts:
            raise DivergedError
        facts.restarts += 1
        facts.rate /= 2
        self._latent = self._best[: len(self._latent)].clone()
        self._maps = [x.clone() for x in self._best_maps]
        self._begin_phase()

    def _begin_phase(self) -> None:
        self._facts.phase = self._facts.marked = self._facts.position
        self._facts.mark = self._facts.loss
        self._adam = self._optimiser()

    def _optimiser(self) -> torch.optim.Adam:
        return torch.optim.Adam([self._latent, *self._maps], betas=self._preset.betas)

    def _restore_moments(self, arrays: Arrays) -> None:
        parameters = [self._latent, *self._maps]
        moments = {
            number: {
                "step": torch.tensor(float(arrays[f"adam{number}.step"])),
                "exp_avg": self._read(arrays, f"adam{number}.exp_avg", x.shape),
                "exp_avg_sq": self._read(arrays, f"adam{number}.exp_avg_sq", x.shape),
            }
            for number, x in enumerate(parameters)
            if f"adam{number}.step" in arrays
        }
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})

    def _read(self, arrays: Arrays, name: str, shape: Sequence[int]) -> Tensor:
        """Raises KeyError or TypeError for what cannot be of this search."""
        array = arrays[name]
        if array.shape != tuple(shape) or not np.isfinite(array).all():
            raise TypeError
        return torch.from_numpy(array.copy()).to(self._anchor)


def _read_facts(text: str) -> _Facts:
    """Raises TypeError or ValueError."""
    facts = _Facts(**json.loads(text))
    for field in fields(_Facts):
        kind = (int, float) if isinstance(field.default, float) else int
        if not isinstance(getattr(facts, field.name), kind):
            raise TypeError
    return facts
