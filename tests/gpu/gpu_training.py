"""Training on the GPU: is float16 near float32 in both players, and how fast does it learn."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from gpu_lines import Line, Told, at_least, at_most

from engine.networks import filters
from engine.networks.config import StyleGAN2Config
from engine.projection.objective import tensor_cores
from engine.training.batches import Batch
from engine.training.beginning import new_discriminator, new_generator
from engine.training.settings import CLAMP, Settings, published_gamma
from engine.training.trainer import Trainer

PICTURES_S = 400.0  # as asked, at 256 x 256 with a channel base of 4096
CLOSE = 0.1  # of a gradient's length: float16 keeps 11 bits, and sums many
BATCH = 64
STEPS = 64  # timed: all kinds of steps in their proportion


class Coloured:
    """Pictures that cost nothing: what is timed is the training."""

    resolution = 256
    count = 4096

    def __init__(self, device: torch.device) -> None:
        small = torch.randn(256, 3, 16, 16, device=device)
        size = (self.resolution, self.resolution)
        self._pictures = torch.nn.functional.interpolate(small, size, mode="bilinear")
        self._latents = torch.randn(256, 55, device=device)

    def take(self, first: int, count: int, where: torch.device) -> Batch:
        chosen = torch.arange(first, first + count, device=where) % 256
        return Batch(self._pictures[chosen], self._latents[chosen])


def training(told: Told) -> Iterator[Line]:
    """The bundled network's size, its terms one after the other."""
    device = torch.device("cuda")
    pictures = Coloured(device)
    with tensor_cores():
        yield from _near(pictures, device)
        yield from _filters(device)
        for what, changes in (
            ("float32, the game alone", {"precision": "float32", "path": 0.0, "mixing": 0.0}),
            ("the game alone", {"path": 0.0, "mixing": 0.0}),
            ("as published", {}),
            ("with pairs", {"pairs": 1.0, "pairs_kimg": 1e6, "mixing": 0.5}),
            ("as published, augmented", {"augment": True}),
        ):
            yield from _timed(what, _trainer(pictures, device, **changes))


def _trainer(pictures: Coloured, device: torch.device, **changes: object) -> Trainer:
    channels = tuple(min(4096 // side, 512) for side in (4, 8, 16, 32, 64, 128, 256))
    given: dict[str, object] = {
        "generator": StyleGAN2Config(512, channels, (512,) * 4, conv_clamp=CLAMP),
        "discriminator": channels,
        "batch": BATCH,
        "gamma": published_gamma(256, BATCH),
        "augment": False,
        "precision": "float16",
    }
    settings = Settings(**{**given, **changes})  # type: ignore[arg-type]
    networks = new_generator(settings), new_discriminator(settings)
    return Trainer(settings, pictures, *networks, device)


def _near(pictures: Coloured, device: torch.device) -> Iterator[Line]:
    """The same first step in both precisions: what Adam was given."""
    moments = {}
    for precision in ("float32", "float16"):
        trainer = _trainer(pictures, device, precision=precision, path=0.0)
        trainer.step()
        moments[precision] = trainer.state()[0]
    for player in ("adam_g", "adam_d"):
        names = [n for n in moments["float16"] if n.startswith(player) and n.endswith("exp_avg")]
        exact = torch.cat([moments["float32"][name].flatten() for name in names])
        near = torch.cat([moments["float16"][name].flatten() for name in names])
        off = float((near - exact).norm() / exact.norm())
        yield at_most("training", f"{player}, float16 to float32", off, "", CLOSE)


def _filters(device: torch.device) -> Iterator[Line]:
    """Means of two against a convolution a channel, float16 and channels-last, at 256 x 256."""
    x = torch.randn(BATCH, 16, 256, 256, device=device).half()
    x = x.contiguous(memory_format=torch.channels_last)
    taps = torch.tensor([1.0, 3, 3, 1], device=device)
    kernel = (torch.outer(taps, taps) / 64).half().expand(16, 1, 4, 4).contiguous()
    ways = {
        "pooled": lambda: filters.pooled_blur(x, 2, 1.0),
        "convolved": lambda: torch.nn.functional.conv2d(x, kernel, padding=2, groups=16),
    }
    for name, way in ways.items():
        for timed in (False, True):
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(20):
                way()
            torch.cuda.synchronize()
            if timed:
                took = (time.perf_counter() - began) / 20 * 1000
                yield Line("training", f"filter at 256, {name}", f"{took:.3g} ms")


def _timed(what: str, trainer: Trainer) -> Iterator[Line]:
    if trainer.settings.augment:
        trainer._adaptation.p = 0.3
    for _ in range(17):
        trainer.step()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(STEPS):
        trainer.step()
    trainer.settle()
    torch.cuda.synchronize()
    speed = STEPS * BATCH / (time.perf_counter() - began)
    unit = " pictures/s"
    if trainer.settings.precision == "float16":
        yield at_least("training", f"256, base 4096, {what}", speed, unit, PICTURES_S)
    else:
        yield Line("training", f"256, base 4096, {what}", f"{speed:.4g}{unit}")
    peak = torch.cuda.max_memory_allocated() / 1e9
    yield Line("training", f"256, base 4096, {what}, memory", f"{peak:.3g} GB")
