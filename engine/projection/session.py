"""From photos to keys of a set list: the story of `anthesis project`.

    read it, find the face, cut it out              photos, faces, crops
    begin at the mean w, or where an encoder says   models
    compare, descend, again and again               together, objective, search, presets
    write what was best                             outcome

A photo that cannot be read, or shows no face, is told of, and the others go on. What is written is
whole at any moment; a search that was interrupted, or killed, goes on where it was written last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.errors import UserError
from engine.networks.stylegan2 import StyleGAN2
from engine.photos import read_photo
from engine.projection import outcome
from engine.projection.crops import crop
from engine.projection.models import Models, load_models
from engine.projection.objective import tensor_cores
from engine.projection.options import InterruptedSearchError, Options, Pixels, Report
from engine.projection.results import Result, result_stem
from engine.projection.search import Search
from engine.projection.together import Task, descend
from engine.weights import sha256

FILM_FRAMES = 300


def project(options: Options, report: Report) -> int:
    """Find the W+ of photos. Returns how many of them failed, each of which was told of.

    Raises UserError for what none of them can do without, InterruptedSearchError.
    """
    if options.length == 0 and options.encoder is None:
        raise UserError("--steps 0: without a search it takes an --encoder")
    _check_names(options)
    models = load_models(options, report.say)
    origin = _origin(options, models)
    _make_folder(options.out)
    failed = 0
    tasks: list[Task] = []
    for photo in options.photos:
        if report.stopped():
            raise InterruptedSearchError
        try:
            task = _prepare(photo, options, models, origin, report)
        except UserError as error:
            report.failed(str(error))
            failed += 1
        else:
            tasks += [] if task is None else [task]
        # Not all at once: hundreds of photos would not fit into memory.
        if tasks and len(tasks) >= models.capacity:
            failed += _search(tasks, models, options, report)
            tasks = []
    return failed + (_search(tasks, models, options, report) if tasks else 0)


def _prepare(
    photo: Path, options: Options, models: Models, origin: dict[str, Any], report: Report
) -> Task | None:
    """Everything up to the search; None if its result is there already. Raises UserError."""
    net = models.net
    files = outcome.Files.of(options.out, result_stem(photo, options.face))
    outcome.check(files)
    read = read_photo(photo, net.resolution)
    if files.picture.resolve() == photo.resolve():
        raise UserError(f"{photo}: its result would take its place: name another folder with -o")
    about = {"name": _readable(photo.name), "sha256": sha256(photo)}
    origin = {"photo": {**about, "align": options.align, "face": options.face}, **origin}
    film = options.film is not None and options.length > 0
    before = None if options.force else outcome.before(files, origin, film=film)
    if isinstance(before, Result):
        report.say(f"{files.ws}: is there already, of this photo, network and settings")
        return None
    cut = crop(read, models.side, options.align, name=photo, face=options.face)
    # Most often it has that size: only encoders see more than a small network shows.
    picture = cut.picture.resize((net.resolution, net.resolution), Image.Resampling.LANCZOS)
    target = _tensor(picture if net.img_channels == 3 else picture.convert("L"))
    search = _new_search(options, models, cut.picture)
    shown, target = outcome.outlined(cut), target.to(models.device)
    task = Task(photo, files, origin, shown, picture, target, search, anew=before is None)
    if before is not None:
        try:
            search.restore(before.arrays, before.facts)
        except ValueError as error:
            raise UserError(f"{files.state}: {error}; --force begins anew") from error
        task.seconds = before.seconds
        report.say(f"{photo}: goes on after {search.steps} steps")
    return task


def _new_search(options: Options, models: Models, picture: Image.Image) -> Search:
    """From the mean w, or from what the encoder sees in the picture."""
    start = models.start(_tensor(picture).to(models.device))
    maps = []
    if options.noise_maps:
        maps = [layer.noise_const[None, None] for layer in models.net.synthesis.layers()]
    frames = FILM_FRAMES if options.film else 0
    return Search(options.preset, options.length, start, models.net.num_ws, maps, frames)


def _search(tasks: Sequence[Task], models: Models, options: Options, report: Report) -> int:
    """Search photos together, and write what was best. Returns how many failed."""
    report.begins([task.photo.name for task in tasks], max(task.search.left for task in tasks))
    with tensor_cores() if models.device.type == "cuda" else nullcontext():
        whole = descend(tasks, models, report, partial(_keep_all, models))
        failed = 0
        # What has not begun is worth no files: it would be taken for the photo's.
        for task in (task for task in tasks if task.search.steps or not task.running):
            try:
                report.say(_finish(task, models, options))
            except UserError as error:
                report.failed(str(error))
                failed += 1
    if not whole:
        raise InterruptedSearchError
    return failed


def _keep_all(models: Models, tasks: Sequence[Task]) -> None:
    """Write where searches are, so that a kill costs what came since."""
    for task in tasks:
        _keep(task)
        _write_result(task, models, finished=False)


def _finish(task: Task, models: Models, options: Options) -> str:
    """Write what was best. Returns in words what became of it. Raises UserError."""
    if task.diverged:
        raise UserError(
            f"{task.photo}: its loss is no number, at half the rate neither: try --preset video, "
            "--loss mse or --device cpu"
        )
    files, search, finished = task.files, task.search, not task.running
    _keep(task)
    result = _pixels(models.net, search.best)
    shown = Image.fromarray(result[..., :3])
    outcome.write_picture(files.picture, task.shown, task.picture, shown)
    if search.best_maps:
        maps = [x[0, 0].cpu().numpy() for x in search.best_maps]
        outcome.write_noise(files.noise, models.net.config.resolutions, maps)
    if finished and options.film is not None and search.film:  # who ends it does not wait for that
        options.film(files.film, _frames(search, models))
    # Last: a record that says "finished" stands for all the others.
    record = _write_result(task, models, finished=finished)
    if finished:
        files.state.unlink(missing_ok=True)
    lpips = "" if record["lpips"] is None else f", LPIPS {record['lpips']:.3f}"
    return (
        f"{files.ws}: PSNR {record['psnr']:.1f} dB{lpips}, {search.steps} steps in "
        f"{task.seconds:.1f} s{'' if finished else '; the same command goes on from here'}"
    )


def _keep(task: Task) -> None:
    """Write the search's state, before anything else of it: by that it is known again."""
    arrays, facts = task.search.state()
    state = outcome.State(arrays, facts, task.seconds, task.origin)
    outcome.write_state(task.files.state, state)
    if task.anew:
        outcome.clear(task.files)
        task.anew = False


def _write_result(task: Task, models: Models, *, finished: bool) -> dict[str, Any]:
    """Write W+ and its record. Returns the record."""
    record = {
        "anthesis": outcome.FORMAT,
        **task.origin,
        "steps": task.search.steps,
        "finished": finished,
        **_distances(task, models),
        "seconds": round(task.seconds, 3),
        "device": str(models.device),
    }
    outcome.write_latent(task.files.ws, task.search.best.cpu().numpy())
    outcome.write_record(task.files.record, record)
    return record


@torch.no_grad()
def _distances(task: Task, models: Models) -> dict[str, float | None]:
    """Loss, PSNR (dB, of 8 bits) and LPIPS of what was best, as a show would show it."""
    objective = models.objective(task.target)
    found = objective.pictures(task.search.best[None])
    shown = _pixels(models.net, task.search.best)[..., :3].astype(np.float64)
    squares = np.square(shown - np.asarray(task.picture, np.float64))
    return {
        "loss": float(objective.losses(found, objective.features())),
        "lpips": objective.lpips(found),
        "psnr": float(10 * np.log10(255**2 / max(squares.mean(), 1e-3))),
    }


def _frames(search: Search, models: Models) -> Iterator[Pixels]:
    """The film: what the search passed, and at the end what was best."""
    for ws in search.film:
        yield _pixels(models.net, torch.from_numpy(ws).to(models.device))
    yield _pixels(models.net, search.best)


@torch.no_grad()
def _pixels(net: StyleGAN2, ws: Tensor) -> Pixels:
    """The picture of W+ [L, w_dim], as the stage shows it: uint8 [R, R, 4]."""
    picture = net.synthesize(ws[None])[0].clamp(-1, 1).add(1).mul(127.5).round()
    rgb = picture.expand(3, -1, -1).permute(1, 2, 0).to(torch.uint8).cpu().numpy()
    opaque = np.full((*rgb.shape[:2], 4), 255, np.uint8)
    opaque[..., :3] = rgb
    return opaque


def _tensor(picture: Image.Image) -> Tensor:
    """A picture of 8 bits -> [1, C, R, R] in [-1, 1]."""
    pixels = torch.from_numpy(np.array(picture))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def _origin(options: Options, models: Models) -> dict[str, Any]:
    """Where every result of this call is from, but for its photo."""
    net = models.net
    return {
        "network": {
            "name": _readable(options.network.name),
            "sha256": sha256(options.network),
            "resolution": net.resolution,
            "num_ws": net.num_ws,
            "w_dim": net.w_dim,
        },
        "settings": {
            "preset": options.preset.name,
            "steps": options.length,
            "loss": options.loss,
            "encoder": None if options.encoder is None else sha256(options.encoder),
            "noise_maps": options.noise_maps,
        },
    }


def _readable(name: str) -> str:
    """The name of a file in a record: JSON has no place for bytes that are no text."""
    return os.fsencode(name).decode("utf-8", "replace")


def _check_names(options: Options) -> None:
    """No two photos may leave the same files. Raises UserError."""
    stems: dict[str, Path] = {}
    for photo in options.photos:
        other = stems.setdefault(result_stem(photo, options.face), photo)
        if other is not photo:
            raise UserError(
                f"{photo}: would leave the same files as {other}: rename one, or project them "
                "into two folders"
            )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"-o {folder}: cannot be made ({error.strerror})") from error
