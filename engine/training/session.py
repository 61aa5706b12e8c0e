"""From pictures to a network that is performed: the story of `anthesis train`.

    what is asked, and what was published where nothing is   options, plan
    pictures, prepared or drawn                              batches
    new networks, or those that another training ended with  beginning
    a step, again and again                                  trainer
    the average, a grid, a chart, all of the state           folder, log

Whatever is written is whole at any moment. What was interrupted, or killed, goes on where it was
written last, and comes to the same end.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from engine.errors import UserError
from engine.generator import choose_device
from engine.networks.discriminator import Discriminator
from engine.networks.stylegan2 import StyleGAN2
from engine.projection.objective import tensor_cores
from engine.training.ancestors import Ancestor, ancestor
from engine.training.batches import Batches
from engine.training.beginning import new_discriminator, new_generator
from engine.training.folder import Folder, read_state, write_grid, write_network, write_state
from engine.training.growing import grow_discriminator, grow_generator
from engine.training.inception import Inception
from engine.training.log import Log, write_chart
from engine.training.memory import keep_memory
from engine.training.options import InterruptedTrainingError, Options, Progress, Report
from engine.training.pictures import measure_of, measured, open_inception, open_pictures
from engine.training.plan import plan, resolution
from engine.training.samples import detours, grid_shape, mean_w, samples
from engine.training.settings import Precision, Settings
from engine.training.trainer import SETTLE_EVERY, DivergedError, Trainer

Distance = Callable[[Tensor], Mapping[str, float]]
"""From pictures [N, 3, R, R] to their distances to the data, by name."""

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
    notes: dict[str, str]
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
    side = resolution(options, None if before is None else before.network.config)
    inception = None if measure_of is None else open_inception(options, device)
    batches = open_pictures(options, side, where.cache, report)
    settings, generator, discriminator = _players(options, before, _precision(options, device))
    trainer = Trainer(settings, batches, generator, discriminator, device)
    where.make()
    seconds = _resume(options, trainer, where, report)
    log = Log(where.log, trainer.pictures)
    notes = {"trained_on": options.pictures.name}
    distance = None
    if measure_of is not None:
        distance = measure_of(batches, device, inception, report)
    run = _Run(options, report, trainer, where, log, notes, distance, seconds, clock)
    run.logged = run.kept = trainer.steps
    if not where.data.exists():
        columns, rows = grid_shape(settings.resolution)
        data = batches.take(0, columns * rows, device).pictures
        write_grid(where.data, data, columns)
    if device.type == "cpu":
        keep_memory()
    with tensor_cores() if device.type == "cuda" else nullcontext():
        _go_on(run)


def is_done(options: Options) -> bool:
    """Whether its folder holds all the kimg that are asked for."""
    newest = Folder(options.out).newest()
    return newest is not None and options.kimg is not None and int(newest.stem) >= int(options.kimg)


def _precision(options: Options, device: torch.device) -> Precision:
    if options.precision == "auto":
        return "float16" if device.type == "cuda" else "float32"
    return cast(Precision, options.precision)


def _players(
    options: Options, before: Ancestor | None, precision: Precision
) -> tuple[Settings, StyleGAN2, Discriminator]:
    """The numbers, and both networks as they begin."""
    if before is None:
        settings = plan(options, None, frozen=False, precision=precision)
        return settings, new_generator(settings), new_discriminator(settings)
    settings = plan(options, before.network.config, frozen=True, precision=precision)
    if before.channels is not None and not options.grow:
        settings = replace(settings, discriminator=before.channels)
    generator, discriminator = new_generator(settings), new_discriminator(settings)
    try:
        if options.grow:
            grow_generator(before.network, generator)
        else:
            generator.load_state_dict(before.network.state_dict())
    except ValueError as error:
        raise UserError(f"--from {options.start}: {error}") from error
    if before.tensors is None:
        return settings, generator, discriminator
    if before.channels == settings.discriminator:
        discriminator.load_state_dict(before.tensors)
        settings = replace(settings, freeze_kimg=0.0)
    else:
        grow_discriminator(before.tensors, discriminator)
    return settings, generator, discriminator


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
    if trainer.steps != run.logged:
        _write_line(run)
    facts = {
        "settings": asdict(trainer.settings),
        "seconds": round(run.seconds, 3),
        "pictures": run.notes["trained_on"],
        **numbers,
    }
    write_state(where.state(kimg), tensors, facts)
    run.kept = trainer.steps
    notes = {**run.notes, "kimg": f"{run.kimg:.1f}"}
    w_avg = mean_w(trainer.average, trainer.settings.seed)
    write_network(trainer.average, w_avg, where.snapshot(kimg), notes)
    write_network(trainer.average, w_avg, where.network, notes)
    columns, rows = grid_shape(trainer.settings.resolution)
    write_grid(where.grid(kimg), samples(trainer, columns * rows, "grid"), columns)
    if run.distance is not None:
        distances = run.distance(samples(trainer, measured(trainer.device), "measure"))
        run.log.lines[-1] |= {**distances, "detours": detours(trainer, _MORPHS)}
        run.log.rewrite()
        told = ", ".join(f"{name} {value:.4g}" for name, value in distances.items())
        run.report.say(f"{where.grid(kimg)}: distance to the data: {told}")
    else:
        run.report.say(f"{where.grid(kimg)}")
    write_chart(where.chart, run.log.lines)
    where.thin_out()


def _resume(options: Options, trainer: Trainer, where: Folder, report: Report) -> float:
    """Go on from the newest state, if there is one. Returns the seconds trained before."""
    newest = where.newest()
    if options.force:
        where.clear()
        return 0.0
    if newest is None:
        if where.network.exists():
            raise UserError(
                f"{where.network}: is there already, and no training to go on with: --force "
                "replaces it, or name another folder with -o"
            )
        return 0.0
    tensors, facts = read_state(newest)
    settings = json.loads(json.dumps(asdict(trainer.settings)))
    before: dict[str, Any] = facts["settings"]
    fixed = ("generator", "discriminator", "batch", "seed")
    other = [name for name in fixed if before.get(name) != settings[name]]
    if other or facts["pictures"] != options.pictures.name:
        what = ", ".join(other) or f"pictures, {facts['pictures']}"
        raise UserError(
            f"-o {where.path}: holds a training with another {what}: --force begins anew, or name "
            "another folder"
        )
    changed = [name for name in settings if settings[name] != before.get(name)]
    try:
        trainer.restore(tensors, facts)
    except ValueError as error:
        raise UserError(f"{newest}: {error}; --force begins anew") from error
    but = ", ".join(f"{name} now {settings[name]}" for name in changed)
    report.say(
        f"{where.path}: goes on after {trainer.pictures / 1000:.1f} kimg"
        + (f" ({but})" if but else "")
    )
    return float(facts["seconds"])
