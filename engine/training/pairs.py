"""Terms for pictures whose latent is known: each is compared with what the generator makes of it.

They show a young generator where to go, long before the discriminator can, and are weighed against
its gradient, so that their share of what moves the generator is what the settings say.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.training.settings import Settings

_MEASURE_EVERY = 16  # steps: three more passes through the discriminator
_KEEP = 0.7  # of what was measured before


class Pairs:
    """How strong the paired terms are.

    norms: lengths of three gradients with regard to the fakes [3]: the game's, and the terms'.
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self._settings = settings
        self.norms = torch.zeros(3, device=device)

    def weight(self, pictures: int) -> float:
        """Of each term, as a share of the game's gradient, after so many pictures."""
        if self._settings.pairs_kimg == 0:
            return 0.0
        begin, end = self._settings.pairs, self._settings.pairs_left
        gone = min(pictures / (1000 * self._settings.pairs_kimg), 1.0)
        return begin + (end - begin) * gone

    def loss(
        self,
        game: Tensor,
        distances: Sequence[Tensor],
        weight: float,
        fakes: Tensor,
        step: int,
    ) -> Tensor:
        """What to add to the generator's loss `game`; all come from the fakes."""
        if step % _MEASURE_EVERY == 0:
            slopes = [
                torch.autograd.grad(term, fakes, retain_graph=True)[0]
                for term in (game, *distances)
            ]
            measured = torch.stack([slope.norm() for slope in slopes])
            self.norms.copy_(measured if step == 0 else measured.lerp(self.norms, _KEEP))
        shares = weight * self.norms[0] / (self.norms[1:] + 1e-12)
        return (torch.stack(list(distances)) * shares).sum()
