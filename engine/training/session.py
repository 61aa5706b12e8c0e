"""From pictures to a network that is performed: the story of `anthesis train`.

    what is asked, and what was published where nothing is   options, plan
    pictures, prepared or drawn                              batches
    new networks, or those that another training ended with  players
    where it was, if it was begun before                     resuming
    a step, again and again                                  trainer
    the average, a grid, a chart, all of the state           folder, log

Whatever is written is whole at any moment. What was interrupted, or killed, goes on where it was
written last, and comes to the same end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from engine.errors import UserError
from engine.generator import choose_device
from engine.projection.objective import tensor_cores
from engine.training.ancestors import ancestor
from engine.training.batches import Batches
from engine.training.folder import Folder, write_grid, write_network, write_state
from engine.training.inception import Inception
from engine.training.log import Log, write_chart
from engine.training.memory import keep_memory
from engine.training.options import InterruptedTrainingError, Options, Progress, Report
from engine.training.pictures import measure_of, measured, open_inception, open_pictures
from engine.training.players import players
from engine.training.resuming import check, clear, facts_of, is_over, resume
from engine.training.samples import grid_shape, mean_w, morphs, samples
from engine.training.settings import Precision
from engine.training.trainer import SETTLE_EVERY, DivergedError, Trainer

Distance = Callable[[Iterable[Tensor]], Mapping[str, float]]
"""From pictures, batches [n, 3, R, R], to their distances to the data, by name."""

Open = Callable[[Options, int, Path, Report], Batches]
"""The pictures that were asked for, of that resolution, prepared in a folder. Raises UserError."""

MeasureOf = Callable[[Batches, torch.device, Inception | None, Report], Distance]

_LINES = 50  # of the log, between two snapshots
_MORPHS = 256  # pictures, between two of which a morph is looked at
_RECENT_S = 60.0  # over which the speed is told


@dataclass(slots=True)
class _Run:
    """A training on its way."""

    options: Options
    report: Report
    trainer: Trainer
    folder: Folder
    log: Log
    distance: Distance | None
    seconds: float  # trained before
    clock: Callable[[], float]
    logged: int = 0  # steps
    kept: int = 0  # steps
    speeds: deque[tuple[float, int]] = field(default_factory=deque)  # moments and pictures
    means: Mapping[str, float] = field(default_factory=dict)  # of the newest line

    @property
    def kimg(self) -> float:
        return self.trainer.pictures / 1000


def train(
    options: Options,
    report: Report,
    open_pictures: Open = open_pictures,
    measure_of: MeasureOf | None = measure_of,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Train until kimg or minutes are over. Raises UserError, InterruptedTrainingError."""
    device = choose_device(options.device)
    before = None if options.start is None else ancestor(options.start)
    where = Folder(options.out)
    settings, generator, discriminator = players(options, before, _precision(options, device))
    state = None if options.force else check(options, settings, where)
    if state is not None and is_over(options, state, where):
        report.say(f"{where.network}: is trained; anthesis play performs it")
        return
    inception = None if measure_of is None else open_inception(options, device, report)
    where.tidy()
    batches = open_pictures(options, settings.resolution, where.cache, report)
    trainer = Trainer(settings, batches, generator, discriminator, device)
    if options.force:  # not before: whatever is wrong with what was asked costs nothing
        clear(options, where)
    where.make()
    seconds = 0.0 if state is None else resume(state, trainer, where, report)
    if trainer.learns_alone:
        report.say(f"the discriminator learns alone for {settings.freeze_kimg:g} kimg")
    log = Log(where.log, trainer.pictures)
    distance = None
    if measure_of is not None:
        distance = measure_of(batches, device, inception, report)
    run = _Run(options, report, trainer, where, log, distance, seconds, clock)
    run.logged = trainer.steps
    run.kept = trainer.steps if state is None or where.is_whole(state) else 0
    if not where.data.exists():
        columns, rows = grid_shape(settings.resolution)
        data = batches.take(0, columns * rows, device).pictures
        write_grid(where.data, data, columns)
    if device.type == "cpu":
        keep_memory()
    with tensor_cores() if device.type == "cuda" else nullcontext():
        _go_on(run)


def _precision(options: Options, device: torch.device) -> Precision:
    if options.precision == "auto":
        return "float16" if device.type == "cuda" else "float32"
    return cast(Precision, options.precision)


def _go_on(run: _Run) -> None:
    """Steps until the end that was asked for."""
    options, trainer = run.options, run.trainer
    every = max(1, round(1000 * options.snapshot / trainer.settings.batch))
    began = run.clock()
    before = run.seconds
    run.speeds.append((began, trainer.pictures))
    try:
        while not _over(run) and not run.report.stopped():
            trainer.step()
            now = run.clock()
            run.seconds = before + now - began
            if trainer.steps % max(1, every // _LINES) == 0:
                _write_line(run)
            if trainer.steps % SETTLE_EVERY == 0:
                run.speeds.append((now, trainer.pictures))
                while now - run.speeds[0][0] > _RECENT_S and len(run.speeds) > 2:
                    run.speeds.popleft()
                run.report.went(_progress(run))
            if trainer.steps % every == 0:
                keep(run)
        if trainer.steps != run.kept:
            keep(run)
    except DivergedError as error:
        newest = run.folder.newest()
        kept = "nothing was written yet" if newest is None else f"{newest} is the last good state"
        raise UserError(
            f"-o {run.folder.path}: {error}; {kept}: go on from it with a larger --gamma or a "
            "smaller --rate"
        ) from error
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU's memory does not hold a step of {trainer.settings.batch} pictures: give a "
            "smaller --batch or --channel-base"
        ) from error
    if not _over(run):
        raise InterruptedTrainingError
    run.report.say(f"{run.folder.network}: {run.kimg:.1f} kimg; anthesis play performs it")


def _over(run: _Run) -> bool:
    return _share(run) >= 1


def _share(run: _Run) -> float:
    """How much of what was asked for is done, 0 where it has no end."""
    kimg, minutes = run.options.kimg, run.options.minutes
    return max(
        0.0 if kimg is None else run.kimg / kimg,
        0.0 if minutes is None else run.seconds / 60 / minutes,
    )


def _write_line(run: _Run) -> None:
    """A line of the log: means since the line before."""
    run.means = run.trainer.means()
    run.log.add(
        {
            "pictures": run.trainer.pictures,
            "seconds": round(run.seconds, 1),
            "pictures_s": round(_speed(run), 2),
            "p": run.trainer.p,
            **run.means,
        }
    )
    run.logged = run.trainer.steps


def _speed(run: _Run) -> float:
    """Pictures a second, of late."""
    then, pictures = run.speeds[0]
    return (run.trainer.pictures - pictures) / max(run.clock() - then, 1e-9)


def _progress(run: _Run) -> Progress:
    rate = _speed(run)
    kimg, minutes = run.options.kimg, run.options.minutes
    ends = []
    if kimg is not None:
        ends.append(1000 * (kimg - run.kimg) / max(rate, 1e-9))
    if minutes is not None:
        ends.append(60 * minutes - run.seconds)
    left = min(ends) if ends else None
    return Progress(run.kimg, min(_share(run), 1.0), rate, left, run.means, run.trainer.p)


def keep(run: _Run) -> None:
    """A snapshot: first the state, so that whatever fails after it costs a picture at most."""
    trainer, where = run.trainer, run.folder
    tensors, numbers = trainer.state()
    kimg = int(run.kimg)
    if trainer.steps != run.logged or not run.log.lines:
        _write_line(run)
    facts = facts_of(run.options, trainer.settings, run.seconds)
    write_state(where.state(kimg), tensors, {**facts, **numbers})
    run.kept = trainer.steps
    notes = {"trained_on": run.options.pictures.name, "kimg": f"{run.kimg:.1f}"}
    w_avg = mean_w(trainer.average, trainer.settings.seed)
    write_network(trainer.average, w_avg, where.snapshot(kimg), notes)
    write_network(trainer.average, w_avg, where.network, notes)
    columns, rows = grid_shape(trainer.settings.resolution)
    write_grid(where.grid(kimg), torch.cat([*samples(trainer, columns * rows, "grid")]), columns)
    if run.distance is not None:
        distances = run.distance(samples(trainer, measured(trainer.device), "measure"))
        run.log.lines[-1] |= {**distances, "detours": morphs(trainer, _MORPHS)}
        run.log.rewrite()
        told = ", ".join(f"{name} {value:.4g}" for name, value in distances.items())
        run.report.say(f"{where.grid(kimg)}: distance to the data: {told}")
    else:
        run.report.say(f"{where.grid(kimg)}")
    write_chart(where.chart, run.log.lines)
    where.thin_out()
