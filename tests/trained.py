"""Small trainings: pictures, settings and a report for the tests of training."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.networks.config import StyleGAN2Config
from engine.training import plan
from engine.training.batches import Batch
from engine.training.beginning import new_discriminator, new_generator
from engine.training.options import Options, Progress
from engine.training.session import train
from engine.training.settings import Settings
from engine.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIG = StyleGAN2Config(16, (8, 8, 8), (16, 16))


@dataclass
class Blobs:
    """Coloured discs, endless, that know their latents: a training source without a file."""

    resolution: int = 16
    count: int | None = None
    broken_from: int | None = None

    def take(self, first: int, count: int, where: torch.device) -> Batch:
        latents = torch.cat(
            [
                torch.randn(1, 5, generator=torch.Generator().manual_seed(number))
                for number in range(first, first + count)
            ]
        )
        place = torch.linspace(-1, 1, self.resolution)
        x = place[None, None, :] - 0.3 * latents[:, 0, None, None]
        y = place[None, :, None] - 0.3 * latents[:, 1, None, None]
        disc = torch.sigmoid(8 * (0.5 - (x.square() + y.square()).sqrt()))
        pictures = (2 * disc[:, None] - 1) * torch.tanh(latents[:, 2:, None, None])
        if self.broken_from is not None and first + count > self.broken_from:
            pictures[-1, 0, 0, 0] = float("nan")
        return Batch(pictures.to(where), latents.to(where))


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {"generator": CONFIG, "discriminator": (8, 8, 8), "batch": 8}
    return Settings(**{**given, "gamma": 0.1, **changes})


def trainer(**changes: Any) -> Trainer:
    chosen = settings(**changes)
    return Trainer(chosen, Blobs(), new_generator(chosen), new_discriminator(chosen), CPU)


@dataclass
class Told:
    """A report that remembers, and ends a training after so many looks."""

    looks: int | None = None
    lines: list[str] = field(default_factory=list)
    gone: list[Progress] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def went(self, progress: Progress) -> None:
        self.gone.append(progress)

    def stopped(self) -> bool:
        if self.looks is None:
            return False
        self.looks -= 1
        return self.looks < 0


def run(
    out: Path,
    blobs: Blobs | None = None,
    told: Told | None = None,
    measure_of: Any = None,
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> Told:
    """A training of blobs: 8 a step, a snapshot every 8 steps, 20 steps, unless it says else."""
    told, blobs = told or Told(), blobs or Blobs()
    given: dict[str, Any] = {
        "pictures": Path("flowers"),
        "resolution": 16,
        "channel_base": 128,
        "channel_max": 8,
        "mapping": 2,
        "batch": 8,
        "kimg": 0.16,
        "snapshot": 0.064,
        "device": "cpu",
    }
    asked = Options(out=out, **{**given, **options})
    with small_latents():
        train(asked, told, lambda *_: blobs, measure_of, clock)
    return told


@contextmanager
def small_latents() -> Iterator[None]:
    """z and w of 16 rather than 512: a step is quick, and a state small."""
    before, plan.LATENT = plan.LATENT, 16
    try:
        yield
    finally:
        plan.LATENT = before


def lines(out: Path) -> list[dict[str, Any]]:
    """The log, without what a clock says."""
    told = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    clocks = ("seconds", "pictures_s")
    return [{name: x for name, x in line.items() if name not in clocks} for line in told]


if __name__ == "__main__":
    torch.set_num_threads(1)
    import os
    import signal

    class Killed(Told):
        """Ends this process as a power cut would, in the middle of a step's bookkeeping."""

        def went(self, progress: Progress) -> None:
            if progress.kimg > 0.09:
                os.kill(os.getpid(), signal.SIGKILL)

    run(Path(sys.argv[1]), told=Killed(), augment=True)
