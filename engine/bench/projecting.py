"""How well and how fast pictures are found in a network: its own, so that they are in it.

    anthesis bench [NETWORK] --only projection

Five pictures (seeds 100-104, psi 0.8) are searched for together, by pixels alone, with each preset
in 400 steps. What is found is as near as the steps allow; photos it never saw are another matter,
whose limit is the network's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from engine.bench.figures import Figures, Row
from engine.bench.subject import Subject
from engine.generator import choose_device, cpu_threads
from engine.networks.stylegan2 import StyleGAN2
from engine.projection.objective import Eager, Graph, Objective, tensor_cores
from engine.projection.presets import PRESETS, Preset
from engine.projection.search import Search

SEEDS = range(100, 105)
PSI = 0.8
STEPS = 400


def measure_projection(subject: Subject, device: str, say: Callable[[str], object]) -> Figures:
    """A row a preset: a step of all pictures, and how near they came. Raises UserError."""
    where = choose_device(device)
    if where.type == "cpu":
        torch.set_num_threads(cpu_threads())
    net = subject.load().to(where)
    cuda = where.type == "cuda"
    targets = _own(net)
    rows = []
    with tensor_cores() if cuda else nullcontext():
        for preset in PRESETS.values():
            say(f"{preset.name}: {STEPS} steps for {len(SEEDS)} pictures")
            rows.append(_row(net, targets, preset))
    name = f"{where} ({torch.cuda.get_device_name(where)})" if cuda else str(where)
    return Figures(name, subject.name, rows, {"resolution": net.resolution})


def _row(net: StyleGAN2, targets: Tensor, preset: Preset) -> Row:
    objective = Objective(net, targets)
    searches = [Search(preset, STEPS, net.w_avg[None], net.num_ws) for _ in SEEDS]
    ws = torch.stack([search.ws for search in searches])
    gradients = Graph(objective, ws, []) if ws.is_cuda else Eager(objective)
    took = []
    while any(search.left > 0 for search in searches):
        started = time.perf_counter()
        losses, of_ws, _ = gradients(torch.stack([search.ws for search in searches]), [])
        for search, loss, slope in zip(searches, losses.tolist(), of_ws, strict=True):
            if search.left > 0:
                search.step(loss, slope)
        took.append((time.perf_counter() - started) * 1000)
    with torch.no_grad():
        found = objective.pictures(torch.stack([search.best for search in searches]))
    squares = (_levels(found) - _levels(targets)).square().mean(dim=(1, 2, 3))
    psnr = 10 * torch.log10(255**2 / squares.clamp(min=1e-3))
    row = Row.of(f"step ({preset.name}, {len(SEEDS)} pictures)", took)
    steps = int(np.median([search.steps for search in searches]))
    how = f"PSNR {psnr.median():.1f} dB, least {psnr.min():.1f}, after {steps} steps"
    return Row(row.name, row.ms_p50, row.ms_p99, ms_max=row.ms_max, how=how)


def _own(net: StyleGAN2) -> Tensor:
    """The network's pictures, rounded to 8 bits: [N, C, R, R] in [-1, 1]."""
    z = np.concatenate([np.random.RandomState(seed).randn(1, net.z_dim) for seed in SEEDS])
    c = torch.eye(net.num_classes)[[0] * len(SEEDS)] if net.num_classes else None
    with torch.no_grad():
        ws = net.map(
            torch.from_numpy(z).float().to(net.w_avg.device),
            None if c is None else c.to(net.w_avg.device),
            psi=PSI,
        )
        return _levels(net.synthesize(ws)) / 127.5 - 1


def _levels(pictures: Tensor) -> Tensor:
    return pictures.clamp(-1, 1).add(1).mul(127.5).round()
