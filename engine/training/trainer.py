"""A training, one step after the other; `Trainer.step` tells the story.

Both players learn from the same pictures in a step: one pass of the generator, and one of the
discriminator over what it made, serve both. The published code makes a second of each, after the
discriminator has learned.

All that is random is thrown by `dice`, so that the state is in the numbers `state` hands over.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.networks.discriminator import Discriminator
from engine.networks.stylegan2 import StyleGAN2
from engine.training import losses
from engine.training.augment import Adaptation, augment, draw
from engine.training.batches import Batch, Batches
from engine.training.dice import classes, dice, mixed_ws, noise_maps
from engine.training.pairs import Pairs
from engine.training.settings import (
    PATH_DECAY,
    PATH_EVERY,
    PATH_SHRINK,
    R1_EVERY,
    Settings,
    average_decay,
    rate_share,
)
from engine.training.synthesis import synthesize

SETTLE_EVERY = 4
"""Steps between two looks at the numbers, for which a GPU must be waited for."""


class DivergedError(Exception):
    """A loss or a weight is no number; says which, and after how many pictures."""


class Trainer:
    """Both networks, what moves them, and how far they are.

    generator and discriminator: as they begin; they are this trainer's from now on.
    """

    def __init__(
        self,
        settings: Settings,
        batches: Batches,
        generator: StyleGAN2,
        discriminator: Discriminator,
        device: torch.device,
    ) -> None:
        self.settings, self.batches, self.device = settings, batches, device
        self.generator, self.discriminator = generator, discriminator
        _prepare(generator, device)
        _prepare(discriminator, device)
        if not settings.noise and generator.config.use_noise:
            for layer in generator.synthesis.layers():
                layer.noise_strength.data.zero_()  # it is performed as it is trained
                layer.noise_strength.requires_grad_(False)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.half_type: torch.dtype = getattr(torch, settings.precision)
        self.discriminator.half_resolutions = settings.half_resolutions
        self.discriminator.half_type = self.half_type
        self._players = _trained(self.generator), _trained(self.discriminator)
        path_every = PATH_EVERY if settings.path else None
        self._adam_g, self._slower_g = _adam(self._players[0], path_every)
        self._adam_d, self._slower_d = _adam(self._players[1], R1_EVERY)
        self.steps = 0
        self._set_rates()
        self._path_mean = torch.zeros((), device=device)
        self._pairs = Pairs(settings, device)
        self._adaptation = Adaptation(settings.target, 1000 * settings.ramp_kimg)
        self._fresh: dict[str, list[Tensor]] = {}
        self._signs: list[float] = []
        self._sums: dict[str, tuple[float, int]] = {}

    @property
    def pictures(self) -> int:
        """Real pictures that the discriminator was shown."""
        return self.steps * self.settings.batch

    @property
    def p(self) -> float:
        """How often each operation of the augmentation is applied."""
        return self._adaptation.p

    @property
    def learns_alone(self) -> bool:
        """Whether the generator still waits for its discriminator."""
        return self.pictures < 1000 * self.settings.freeze_kimg

    def step(self) -> None:
        """Learn from one batch. Raises DivergedError."""
        batch = self.batches.take(self.pictures, self.settings.batch, self.device)
        self._set_rates()
        self._play(batch)
        if self.steps % R1_EVERY == 0:
            self._smooth_discriminator(batch.pictures)
        if self.settings.path and self.steps % PATH_EVERY == 0 and not self.learns_alone:
            self._smooth_generator()
        self.steps += 1
        self._follow()
        if self.steps % SETTLE_EVERY == 0:
            self.settle()
            self._adapt()

    def _set_rates(self) -> None:
        settings = self.settings
        share = rate_share(settings, self.pictures, settings.freeze_kimg)
        self._adam_g.param_groups[0]["lr"] = settings.rate * self._slower_g * share
        share = rate_share(settings, self.pictures)
        rate = settings.critic_rate or settings.rate
        self._adam_d.param_groups[0]["lr"] = rate * self._slower_d * share

    def _play(self, batch: Batch) -> None:
        """Both losses of one batch, and a step of both players."""
        alone = self.learns_alone
        with torch.set_grad_enabled(not alone):
            fakes = self._fakes(batch)
        seen = fakes.detach().requires_grad_(not alone)
        judged, features = self.discriminator.judge(self._augmented(seen, "fakes"))
        real, real_features = self.discriminator.judge(
            self._augmented(batch.pictures, "real pictures")
        )
        slope = None
        if not alone:
            loss = losses.generator_loss(judged)
            self._note("generator", loss)
            weight = self._pairs.weight(self.pictures)
            if weight and batch.latents is not None:
                of = self._paired(batch)
                distances = (
                    losses.pair_distance(seen[:of], batch.pictures[:of]),
                    losses.feature_distance(
                        [x[:of] for x in features], [x[:of] for x in real_features]
                    ),
                )
                self._note("pairs", distances[0])
                loss = loss + self._pairs.loss(loss, distances, weight, seen, self.steps)
            (slope,) = torch.autograd.grad(loss, seen, retain_graph=True)
        loss = losses.discriminator_loss(judged, real)
        self._note("discriminator", loss)
        self._note("sign", real.sign().mean())
        self._move(self._adam_d, self._players[1], loss)
        if slope is not None:
            self._move(self._adam_g, self._players[0], fakes, slope)

    def _smooth_discriminator(self, pictures: Tensor) -> None:
        """R1, as seldom as it can be without harm, and as much stronger."""
        pictures = pictures.detach().requires_grad_()
        logits = self.discriminator(self._augmented(pictures, "real pictures"))
        square = losses.gradient_square(logits, pictures)
        self._note("r1", square)
        # The biases of the last layer have no share in it; Adam counts their step nevertheless.
        loss = square * (self.settings.gamma / 2 * R1_EVERY) + 0 * logits.sum()
        self._move(self._adam_d, self._players[1], loss)

    def _smooth_generator(self) -> None:
        """Steps in W+ shall go equally far in the picture, wherever they begin."""
        random = self._dice("path")
        count = max(self.settings.batch // PATH_SHRINK, 1)
        z = torch.randn(count, self.generator.z_dim, device=self.device, generator=random)
        ws = mixed_ws(self.generator, z, self.settings.mixing, random)
        pictures = self._synthesized(ws, random)
        direction = torch.randn(pictures.shape, device=self.device, generator=random)
        lengths = losses.path_lengths(pictures, ws, direction)
        mean = lengths.detach().mean()
        # Begun at the first mean rather than at 0: a trained generator would be flattened.
        self._path_mean.copy_(torch.where(self._path_mean == 0, mean, self._path_mean))
        self._path_mean.lerp_(mean, PATH_DECAY)
        penalty = losses.path_penalty(lengths, self._path_mean)
        self._note("path", penalty)
        loss = penalty * (self.settings.path * PATH_EVERY) + 0 * pictures.sum()
        self._move(self._adam_g, self._players[0], loss)

    def _paired(self, batch: Batch) -> int:
        """How many of the fakes are made from the latents of the batch's pictures: the first."""
        if batch.latents is None or not self._pairs.weight(self.pictures):
            return 0
        return math.ceil(self.settings.pairs_share * len(batch.pictures))

    def _latents(self, batch: Batch) -> Tensor:
        """z [N, z_dim]; those that are paired begin with the latents of their pictures."""
        count, z_dim, of = len(batch.pictures), self.generator.z_dim, self._paired(batch)
        z = torch.randn(count, z_dim, device=self.device, generator=self._dice("z"))
        if batch.latents is not None and of:
            known = batch.latents.shape[1]
            if known > z_dim:
                raise UserError(
                    f"pairs: the pictures have {known} latents, and the network's z {z_dim}: "
                    "train without"
                )
            z[:of, :known] = batch.latents[:of]
        return z

    def _fakes(self, batch: Batch) -> Tensor:
        """As many fakes as pictures. What is paired isn't mixed: it would be no pair any more."""
        z, of, random = self._latents(batch), self._paired(batch), self._dice("play")
        paired = self.generator.map(z[:of], classes(self.generator, of, random))
        others = mixed_ws(self.generator, z[of:], self.settings.mixing, random)
        return self._synthesized(torch.cat([paired, others]), random)

    def _synthesized(self, ws: Tensor, random: torch.Generator) -> Tensor:
        learned = self.settings.noise and self.generator.config.use_noise
        noise = noise_maps(self.generator, len(ws), random) if learned else None
        half = self.settings.half_resolutions
        return synthesize(self.generator, ws, noise, half, self.half_type)

    def _augmented(self, pictures: Tensor, purpose: str) -> Tensor:
        """What the discriminator is shown of them; the same in both looks at one batch."""
        if not self.settings.augment or self.p == 0:
            return pictures
        p = torch.full((), self.p, device=self.device)
        return augment(pictures, draw(len(pictures), p, self._dice(purpose)))

    def _move(
        self,
        adam: torch.optim.Adam,
        weights: list[Tensor],
        loss: Tensor,
        slope: Tensor | None = None,
    ) -> None:
        """One step of Adam down the loss."""
        gradients = torch.autograd.grad(loss, weights, slope, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None and self.settings.precision == "float16":
                # float16 overflows now and then: as published, such a number counts as large.
                torch.nan_to_num(gradient, nan=0, posinf=1e5, neginf=-1e5, out=gradient)
            weight.grad = gradient
        adam.step()
        adam.zero_grad()

    @torch.no_grad()
    def _follow(self) -> None:
        """The average of the generator over its past, which is what is performed."""
        decay = average_decay(self.settings, self.pictures)
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    def _dice(self, purpose: str) -> torch.Generator:
        return dice(self.settings.seed, self.steps, purpose, self.device)

    def _note(self, name: str, value: Tensor) -> None:
        self._fresh.setdefault(name, []).append(value.detach())

    def settle(self) -> None:
        """Look at the losses since the last time. Raises DivergedError."""
        fresh, self._fresh = self._fresh, {}
        for name, values in fresh.items():
            numbers = torch.stack(values).tolist()
            if not all(map(math.isfinite, numbers)):
                what = {"sign": "discriminator", "r1": "R1", "path": "path length"}.get(name, name)
                raise DivergedError(
                    f"the loss of {what} is no number after {self.pictures / 1000:.1f} kimg"
                )
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + sum(numbers), count + len(numbers)
            if name == "sign":
                self._signs += numbers

    def _adapt(self) -> None:
        """More augmentation or less, by what the discriminator said since the last time."""
        signs, self._signs = self._signs, []
        if self.settings.augment:
            sign = sum(signs) / len(signs)
            self._adaptation.adapt(sign, SETTLE_EVERY * self.settings.batch)

    def means(self) -> dict[str, float]:
        """Losses, R1, path length and sign, each a mean since this was called last."""
        self.settle()
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, on the CPU, and numbers that `restore` takes. Raises DivergedError."""
        tensors = {"path_mean": self._path_mean, "pairs": self._pairs.norms}
        for part, net in self._networks().items():
            tensors |= {f"{part}.{name}": x for name, x in net.state_dict().items()}
        for part, adam in (("adam_g", self._adam_g), ("adam_d", self._adam_d)):
            for index, moments in adam.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{name}": x for name, x in moments.items()}
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise DivergedError(f"{name} is no number after {self.pictures / 1000:.1f} kimg")
        apart = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
        self.settle()
        return apart, {"steps": self.steps, "p": self.p, "signs": self._signs}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ValueError for one that is not of these networks."""
        try:
            self.steps, self._adaptation.p = int(numbers["steps"]), float(numbers["p"])
            self._signs = [float(sign) for sign in numbers["signs"]]
            for part, net in self._networks().items():
                net.load_state_dict(_below(tensors, f"{part}."))
            for part, adam in (("adam_g", self._adam_g), ("adam_d", self._adam_d)):
                _restore_adam(adam, _below(tensors, f"{part}."))
            self._path_mean.copy_(tensors["path_mean"])
            self._pairs.norms.copy_(tensors["pairs"])
        except (KeyError, RuntimeError) as error:
            raise ValueError("is not of these networks") from error

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }


def _prepare(net: nn.Module, device: torch.device) -> None:
    net.to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train().requires_grad_(True)


def _trained(net: nn.Module) -> list[Tensor]:
    return [weight for weight in net.parameters() if weight.requires_grad]


def _adam(weights: Iterable[Tensor], every: int | None) -> tuple[torch.optim.Adam, float]:
    """Adam (0, 0.99), and what its rate is multiplied by.

    Where one step in `every` is doubled, both rate and memory are slowed down accordingly.
    """
    slower = 1.0 if every is None else every / (every + 1)
    betas = 0.0, 0.99**slower
    return torch.optim.Adam(weights, betas=betas, eps=1e-8, fused=True), slower


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _restore_adam(adam: torch.optim.Adam, tensors: Mapping[str, Tensor]) -> None:
    """Moments from tensors called like `12.exp_avg`, laid out in memory as their weights are."""
    weights = adam.param_groups[0]["params"]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, kind = name.partition(".")
        if kind != "step":
            tensor = torch.empty_like(weights[int(index)]).copy_(tensor)
        moments.setdefault(int(index), {})[kind] = tensor
    adam.load_state_dict({**adam.state_dict(), "state": moments})
