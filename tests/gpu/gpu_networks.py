"""The networks that are checked, as files, and what sections do with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from gpu_lines import Told

from engine.bench.subject import BUNDLED, Subject
from engine.networks.stylegan2 import StyleGAN2


def config_f(told: Told, resolution: int = 1024) -> tuple[StyleGAN2, Path]:
    """Configuration F of random weights, on the CPU, and its file by the project's own saving."""
    subject = Subject.of(config="f", resolution=resolution)
    net = subject.load()
    return net, subject.file(net, told.folder)


def bundled() -> tuple[StyleGAN2, Path]:
    """The flowers."""
    return Subject.of().load(), BUNDLED


@contextmanager
def exact() -> Iterator[None]:
    """float32 as it is said: no TF32 in convolutions, where PyTorch takes it unasked."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
