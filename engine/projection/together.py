"""Photos that are searched together: one gradient for all, a step for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from engine.errors import UserError
from engine.projection.models import Models
from engine.projection.objective import Eager, Gradients, Graph
from engine.projection.options import Report
from engine.projection.outcome import Files
from engine.projection.search import DivergedError, Search

_KEEP_S = 30.0  # between two states on disk


@dataclass(eq=False, slots=True)
class Task:
    """One photo on its way."""

    photo: Path
    files: Files
    origin: dict[str, Any]  # photo, network and settings, as its record tells them
    shown: Image.Image  # the photo, beside the result
    picture: Image.Image  # what was cut from it
    target: Tensor  # the same, [1, C, R, R] in [-1, 1]
    search: Search
    anew: bool  # nothing of this search is on disk yet
    seconds: float = 0.0  # its share of the time that was taken
    diverged: bool = False

    @property
    def running(self) -> bool:
        """Whether there are steps to take."""
        return not self.diverged and self.search.left > 0


Keep = Callable[[Sequence[Task]], None]
"""Writes where searches are."""


def descend(tasks: Sequence[Task], models: Models, report: Report, keep: Keep) -> bool:
    """Take all steps. Returns False if the user ended it before.

    Raises UserError if the GPU's memory does not hold a single photo.
    """
    together = len(tasks)
    while running := [task for task in tasks if task.running]:
        try:
            if not _go_on(running[:together], models, report, keep):
                return False
            continue
        except torch.OutOfMemoryError as error:
            if together == 1:
                raise UserError(
                    f"the memory of {models.device} does not hold the search for a photo: end "
                    "other programs, or --loss mse, or --device cpu"
                ) from error
        # Outside, where nothing holds the arrays of what failed.
        together = max(1, min(together, len(running)) // 2)
        torch.cuda.empty_cache()
    return True


def _go_on(tasks: Sequence[Task], models: Models, report: Report, keep: Keep) -> bool:
    """Take steps until half of them are at their end: the others need a smaller gradient then."""
    gradients = _gradients(tasks, models)
    kept = then = time.monotonic()
    while len(running := [task for task in tasks if task.running]) > len(tasks) // 2:
        if report.stopped():
            return False
        ws = torch.stack([task.search.ws for task in tasks])
        losses, of_ws, of_maps = gradients(ws, _maps(tasks))
        # A slope that is no number makes the loss none, and one copy to the host tells of both.
        told = (losses + 0 * of_ws.sum(dim=(1, 2))).tolist()
        now = time.monotonic()
        for number, task in enumerate(tasks):
            if not task.running:
                continue
            task.seconds += (now - then) / len(running)
            try:
                task.search.step(told[number], of_ws[number], [x[number, None] for x in of_maps])
            except DivergedError:
                task.diverged = True
        then = now
        mean = sum(task.search.loss for task in running) / len(running)
        report.stepped(mean, max(task.search.left for task in running))
        if now - kept > _KEEP_S:
            keep(running)
            kept = time.monotonic()  # after it: on a CPU that takes long as well
    return True


def _gradients(tasks: Sequence[Task], models: Models) -> Gradients:
    objective = models.objective(torch.cat([task.target for task in tasks]))
    if models.device.type != "cuda":
        return Eager(objective)
    return Graph(objective, torch.stack([task.search.ws for task in tasks]), _maps(tasks))


def _maps(tasks: Sequence[Task]) -> list[Tensor]:
    """The noise maps of all, a batch a layer."""
    return [torch.cat(maps) for maps in zip(*(task.search.maps for task in tasks), strict=True)]
