"""The command line. It reads options and hands over; what a command does lives elsewhere."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.__main__ import main as engine_command
from engine.errors import UserError
from live import cli_options as opt
from live.cli_project import project
from live.cli_train import train
from live.codecs import TAPS
from live.osc_cli import app as osc_app
from live.overlay.state import NAMES
from live.performance import Options, perform, place
from live.setlist import SetList, bundled, load_setlist
from live.take import Take, check_files
from live.take_reader import read_take

app = typer.Typer(
    name="anthesis",
    help="Perform StyleGAN2 live: latent morphs, driven by a clock or a lighting desk.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


app.add_typer(osc_app, name="osc")

HANDED_OVER: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
}
"""A command whose options, --help too, are read by `engine.__main__`."""


def main() -> None:
    """Run one command. Exit code 2 when the user's input was wrong, 1 when we were."""
    logging.basicConfig(format="anthesis: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except UserError as error:
        typer.echo(f"anthesis: {error}", err=True)
        sys.exit(2)
    except Exception:  # noqa: BLE001 - the last resort, which tells whose fault it was
        traceback.print_exc()
        typer.echo("anthesis: this is a fault of Anthesis, not yours; please report it", err=True)
        sys.exit(1)


def _size(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower(), re.ASCII)
    if sides:
        size = int(sides[1]), int(sides[2])
        if all(16 <= side <= 16384 for side in size):
            return size
    raise typer.BadParameter(f"{text!r} is not a size like 1920x1080")


def _resumed(path: Path, setlist: Path | None, cue: str | None) -> Take:
    """The take to go on from. Raises UserError for one that cannot be, BadParameter for options."""
    if setlist is not None or cue is not None:
        raise typer.BadParameter("--resume brings its own set list and cue; leave them out")
    return read_take(path)


def _share(text: str) -> tuple[int, int]:
    share = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if share and 1 <= int(share[1]) <= int(share[2]):
        return int(share[1]), int(share[2])
    raise typer.BadParameter(f"--part {text!r} is not like 2/8")


def _words(context: typer.Context) -> dict[str, str]:
    """What was given to this command, by name, each as one word that says it again."""
    said = {}
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params[str(parameter.name)]
        if value is None or (value is False and not parameter.secondary_opts):
            continue
        if isinstance(value, bool):
            said[name] = parameter.opts[0] if value else parameter.secondary_opts[0]
        else:
            option = parameter.param_type_name == "option"
            said[name] = f"{parameter.opts[0]}={value}" if option else str(value)
    said.pop("watch")
    return said


def _backdrop(setlist: SetList, options: Options) -> list[str] | None:
    """What `live.backdrop` is told, behind a show that fills a monitor."""
    monitor, fullscreen = place(setlist, options)
    if options.headless or not fullscreen:
        return None
    return [] if monitor is None else [monitor]


def _part(name: str | None) -> str | None:
    if name not in (None, "engine", "stage", "projection"):
        raise typer.BadParameter(f"{name!r}: parts are engine, stage and projection")
    return name


@app.command()
def play(
    context: typer.Context,
    setlist: opt.SetListFile = None,
    monitor: opt.Monitor = None,
    fullscreen: opt.Fullscreen = None,
    size: opt.Size = "1280x720",
    fps: opt.Fps = None,
    osc: opt.Osc = None,
    desk: opt.Desk = None,
    cue: opt.Cue = None,
    device: opt.Device = "auto",
    overlay: opt.Overlay = None,
    record: opt.Record = None,
    codec: opt.Codec = None,
    chroma: opt.Chroma = None,
    tap: opt.Tap = "program",
    audio: opt.Audio = False,
    audio_device: opt.AudioDevice = None,
    overwrite: opt.Overwrite = False,
    take: opt.Take = None,
    resume: opt.Resume = None,
    force: opt.Force = False,
    headless: opt.Headless = False,
    seconds: opt.Seconds = None,
    stats: opt.Stats = None,
    watch: opt.Watch = False,
) -> None:
    """Perform a set list, on the projector or without a display.

    Keys: space plays and pauses, arrows and 1-9 choose cues, T taps the tempo, B is blackout,
    P is panic and back, Z freezes, O goes through the overlays, R records, F is full screen, H
    tells the rest, Esc twice ends the show. A set list that is saved takes over on the next beat.
    """
    options = Options(
        monitor=monitor,
        fullscreen=fullscreen,
        size=_size(size),
        fps=fps,
        osc=osc,
        desk=desk,
        cue=cue,
        device=device,
        overlay=overlay,
        record=record,
        codec=codec,
        chroma=chroma,
        tap=next(kind for kind in TAPS if kind == tap),
        audio=audio or audio_device is not None,
        audio_device=audio_device,
        overwrite=overwrite,
        take=take,
        resume=None if resume is None else _resumed(resume, setlist, cue),
        headless=headless,
        seconds=seconds,
        stats=stats,
    )
    if options.resume is not None:
        performed = options.resume.setlists[-1]
    else:
        performed = bundled() if setlist is None else load_setlist(setlist)
    if watch:
        from live.watch import watch as keep_performing

        raise typer.Exit(keep_performing(_words(context), _backdrop(performed, options)))
    if options.resume is not None and not force:
        check_files(options.resume)
    perform(performed, options)


@app.command()
def render(
    source: opt.Source,
    output: opt.FilmFile,
    size: opt.FilmSize = "1920x1080",
    fps: opt.FilmFps = 60.0,
    begin: opt.Begin = 0.0,
    end: opt.End = None,
    at: opt.Stills = None,
    codec: opt.Codec = None,
    chroma: opt.Chroma = None,
    overlay: opt.FilmOverlay = None,
    device: opt.Device = "auto",
    workers: opt.Workers = 1,
    part: opt.Part = None,
    overwrite: opt.Overwrite = False,
    force: opt.FilmForce = False,
) -> None:
    """Make a film of a take or a set list: exact, offline, without a dropped frame.

    A take is performed again as it was, a set list plays every cue once. What was interrupted goes
    on with the same command. A folder FILE.parts holds what is made so far; machines that see it
    can share the work: give each --part 1/8, --part 2/8 ..., and then run the command without.
    """
    from live.render import Options, render

    options = Options(
        source=source,
        output=output,
        size=_size(size),
        fps=fps,
        begin=begin,
        end=end,
        stills=tuple(at or ()),
        codec=codec,
        chroma=chroma,
        overlay=next((name for name in NAMES if name == overlay), None),
        device=device,
        workers=workers,
        part=None if part is None else _share(part),
        overwrite=overwrite,
        force=force,
    )
    try:
        typer.echo(render(options))
    except KeyboardInterrupt:
        typer.echo("anthesis: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


@app.command()
def check(
    setlist: Annotated[Path, typer.Argument(metavar="SETLIST", help="A set list (TOML).")],
) -> None:
    """Say whether a set list can be performed; opens nothing."""
    from live.rehearsal import check as check_setlist

    typer.echo(check_setlist(setlist))


@app.command()
def sheet(
    setlist: Annotated[
        Path | None,
        typer.Argument(metavar="SETLIST", help="A set list (TOML); without one, the flowers."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.png", help="A .png or .jpg.")
    ] = Path("sheet.png"),
    device: opt.Device = "auto",
) -> None:
    """Draw a contact sheet: the keys of every cue, and the path between them."""
    from live.rehearsal import sheet as draw_sheet

    typer.echo(draw_sheet(setlist, output, device))


app.command()(project)
app.command()(train)


@app.command(**HANDED_OVER)
def inspect(context: typer.Context) -> None:
    """Say what a network file is, without running anything in it."""
    raise typer.Exit(engine_command(["inspect", *context.args]))


@app.command(**HANDED_OVER)
def convert(context: typer.Context) -> None:
    """Write a network as .safetensors: plain data that loads at once."""
    raise typer.Exit(engine_command(["convert", *context.args]))


@app.command()
def monitors() -> None:
    """List the monitors, as `--monitor` takes them."""
    from live.window import list_monitors

    for number, monitor in enumerate(list_monitors(), start=1):
        typer.echo(f"{number}  {monitor}{'  (primary)' if monitor.primary else ''}")


@app.command()
def doctor() -> None:
    """Look at GPU, OpenGL, codecs, display and port, and say what to do."""
    from live.doctor import run_checks
    from live.findings import report

    findings = run_checks()
    typer.echo(report(findings))
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(2)


@app.command()
def bench(
    network: Annotated[
        Path | None,
        typer.Argument(metavar="NETWORK", help="A checkpoint; without one, the flowers."),
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="e|f", help="Random weights, of that configuration.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="R", help="Random weights, for pictures of R x R.")
    ] = None,
    channel_base: Annotated[
        int | None, typer.Option(metavar="N", help="Channels x resolution (f: 32768).")
    ] = None,
    channel_max: Annotated[
        int | None, typer.Option(metavar="N", help="Channels at most (512).")
    ] = None,
    device: opt.Device = "auto",
    precision: Annotated[
        str, typer.Option(metavar="auto|float32|float16", help="Of the session.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of the CPU, for the network.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Of the engine's, only these.")
    ] = None,
    early: Annotated[
        bool, typer.Option("--early", help="The session's smaller outputs, too.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="To measure the engine's paths for.")
    ] = 20.0,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="engine|stage|projection",
            callback=_part,
            help="That part alone; how photos are found is measured on demand only.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE|-", help="Write the rows as JSON; - prints it."),
    ] = None,
) -> None:
    """Measure this machine: the paths to a frame, and what each part of a frame costs.

    The session's frames are told as ratios to the floor, the time of the network's convolutions
    alone, and to the network as it was published. Where there is a compiler, compiling takes
    minutes.
    """
    from live.bench import bench as measure
    from live.engine_bench import EngineOptions

    options = EngineOptions(
        network=network,
        config=config,
        resolution=resolution,
        channel_base=channel_base,
        channel_max=channel_max,
        device=device,
        precision=precision,
        threads=threads,
        rows=rows,
        early=early,
        seconds=seconds,
    )
    typer.echo(measure(options, output, only))
