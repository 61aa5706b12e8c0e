"""The options of `play` and `render`: what they are called, what they take, what they do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from live.codecs import CODECS, TAPS
from live.overlay.state import NAMES
from live.rerun import LONGEST_S


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name, re.ASCII):
        raise typer.BadParameter(f"{name!r}: devices are auto, cpu, cuda, cuda:N and mps")
    return name


def one_of(*names: str) -> Callable[[str | None], str | None]:
    """The check of an option that is one of these words, or not given."""

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise typer.BadParameter(f"{name!r}: it is one of {', '.join(names)}")
        return name

    return check


def finite(value: float | list[float] | None) -> float | list[float] | None:
    """Ranges of Click let "nan" pass, which is neither less nor more than anything."""
    numbers = value if isinstance(value, list) else [value]
    if any(number is not None and not math.isfinite(number) for number in numbers):
        raise typer.BadParameter("it must be a finite number")
    return value


Device: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]|mps", callback=_device, help="What the network runs on."
    ),
]


Codec: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(CODECS),
        callback=one_of(*CODECS),
        help="Of the film; by its name's ending if none.",
    ),
]
Chroma: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="420|444",
        callback=one_of("420", "444"),
        help="Colour resolution of H.264 and HEVC.",
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Take the place of a film that is there.")
]

# What is performed, and where.

SetListFile: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="SETLIST", help="A set list (TOML); without one, the flowers."),
]
Monitor: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME|N", help="Which monitor; `anthesis monitors` lists them."),
]
Fullscreen: TypeAlias = Annotated[
    bool | None,
    typer.Option("--fullscreen/--windowed", help="Fill the monitor, or play in a window."),
]
Size: TypeAlias = Annotated[
    str, typer.Option(metavar="WxH", help="Of the window, or of the picture headless.")
]
Fps: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=1,
        max=240,
        help="Of a headless show and of a recording: default 60, 30 on software OpenGL.",
    ),
]
Osc: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to listen for the desk, over the set list."),
]
Desk: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="What the desk's messages mean: a desk that comes with Anthesis, or a file.",
    ),
]
Cue: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME|N", help="The cue to begin with.")
]
Overlay: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(NAMES), callback=one_of(*NAMES), help="What is over the picture at first."
    ),
]
Record: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Record from the first picture on; R does it later."),
]
Tap: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="program|picture|output",
        callback=one_of(*TAPS),
        help="What is recorded: with the overlay, without, or as the output shows it.",
    ),
]
Audio: TypeAlias = Annotated[
    bool, typer.Option("--audio", help="Record sound, too, from the default device.")
]
AudioDevice: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME|N", help="The device to record sound from.")
]
Take: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.take",
        help="Keep what was done, to the bit; beside a recording without being asked.",
    ),
]
Resume: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE.take", help="Go on where a take ends, with its set list."),
]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Resume although a network or latent has changed.")
]
Headless: TypeAlias = Annotated[
    bool, typer.Option("--headless", help="Without a window, for recording and trying out.")
]
Seconds: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="S", min=0.1, help="End that long after the first picture (headless: 10)."
    ),
]
Stats: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="Write what was measured.")
]
Watch: TypeAlias = Annotated[
    bool,
    typer.Option("--watch", help="Start the stage again, where it was, should it die."),
]

# What is filmed.

Source: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SETLIST|TAKE", help="What is performed again, or for itself.")
]
FilmFile: TypeAlias = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="A film (.mov is ProRes, .mp4 H.264), or with --at a picture.",
    ),
]
FilmSize: TypeAlias = Annotated[str, typer.Option(metavar="WxH", help="Of the picture.")]
FilmFps: TypeAlias = Annotated[
    float,
    typer.Option(metavar="N", min=1, max=240, callback=finite, help="Frames a second."),
]
Begin: TypeAlias = Annotated[
    float,
    typer.Option(
        "--from",
        metavar="S",
        min=0,
        max=LONGEST_S,
        callback=finite,
        help="Second of the show to begin at.",
    ),
]
End: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--to",
        metavar="S",
        min=0,
        max=LONGEST_S,
        callback=finite,
        help="Second of the show to end at.",
    ),
]
Stills: TypeAlias = Annotated[
    list[float] | None,
    typer.Option(
        metavar="S",
        min=0,
        max=LONGEST_S,
        callback=finite,
        help="Make a still of that second; may be repeated.",
    ),
]
FilmOverlay: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(NAMES),
        callback=one_of(*NAMES),
        help="Over all of it, not as the show says.",
    ),
]
Workers: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, max=256, help="Engines that work at once.")
]
Part: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="N/M", help="Make only that share of the parts; for a farm's queue."),
]
FilmForce: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Although a network or latent has changed.")
]
