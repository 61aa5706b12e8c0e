"""The command `project` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from engine.nets import NETWORKS, bundled_network
from engine.projection.options import ALIGNS, Align, InterruptedSearchError, Loss, Options
from engine.projection.presets import PRESETS
from live.cli_options import Device, one_of

Photos: TypeAlias = Annotated[
    list[Path], typer.Argument(metavar="PHOTO...", help="Pictures of any usual kind.")
]
Network: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Whose W+ it shall be: a checkpoint; the flowers, or the encoder's own, if none.",
    ),
]
Folder: TypeAlias = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Where what is found is left.")
]
PresetName: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="|".join(PRESETS),
        callback=one_of(*PRESETS),
        help="best finds more in half the steps; video is how the music video's faces were found.",
    ),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, max=100_000, help="Of the search (500, video 1000); 0: the encoder's."
    ),
]
LossName: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="vgg|mse",
        callback=one_of("vgg", "mse"),
        help="Likeness to the eye by VGG16 beside the pixels, or the pixels alone.",
    ),
]
Vgg: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="VGG16's weights, if they are not where torch or NVIDIA keep them."
    ),
]
FetchVgg: TypeAlias = Annotated[
    bool, typer.Option("--fetch-vgg", help="Download VGG16's weights (528 MB) to torch's cache.")
]
EncoderFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="FILE", help="Begin where pSp's or e4e's encoder says."),
]
AlignName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(ALIGNS),
        callback=one_of(*ALIGNS),
        help="Cut out a face as FFHQ has them, or the square in the middle (so for the flowers).",
    ),
]
Face: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, max=99, help="Of several faces; 1 is the largest.")
]
NoiseMaps: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--noise-maps", help="Let noise maps take fine detail meanwhile; they are written, too."
    ),
]
FilmOfIt: TypeAlias = Annotated[
    bool, typer.Option("--film", help="Make a film of every search, NAME.mp4.")
]
Replace: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Begin anew, and replace what is there.")
]


def project(
    photos: Photos,
    network: Network = None,
    output: Folder = Path("latents"),
    preset: PresetName = "best",
    steps: Steps = None,
    loss: LossName = "vgg",
    vgg: Vgg = None,
    fetch_vgg: FetchVgg = False,
    encoder: EncoderFile = None,
    align: AlignName = None,
    face: Face = 1,
    noise_maps: NoiseMaps = False,
    film: FilmOfIt = False,
    device: Device = "auto",
    force: Replace = False,
) -> None:
    """Find photos in a network: NAME.npy is a key of a set list, at once.

    NAME.png shows photo, crop and result, NAME.json tells how near it is. Ctrl-C keeps the best so
    far, and the same command goes on from there.
    """
    from live import project as run

    named = network or ("flowers" if encoder is None else None)
    ours = named in NETWORKS
    if fetch_vgg:
        run.fetch_vgg()
    options = Options(
        photos=tuple(dict.fromkeys(photos)),  # `irene.jpg *.jpg` names one twice
        network=_network(named, encoder),
        out=output,
        preset=PRESETS[preset],
        steps=steps,
        loss=_loss(loss),
        vgg=vgg,
        encoder=encoder,
        align=_align(align, face, bundled=ours),
        face=face,
        noise_maps=noise_maps,
        film=run.write_film if film else None,
        device=device,
        force=force,
    )
    try:
        failed = run.project(options)
    except (InterruptedSearchError, KeyboardInterrupt):
        typer.echo("anthesis: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if failed:
        raise typer.Exit(2)


def _network(named: str | None, encoder: Path | None) -> Path:
    """A bundled network by its name, a checkpoint, or the decoder beside the encoder."""
    return bundled_network(named).expanduser() if named else encoder or Path()


def _align(name: str | None, face: int, *, bundled: bool) -> Align:
    """As asked; the flowers show no faces, unless one of several is meant."""
    if name is None:
        return "off" if bundled and face == 1 else "face"
    if name == "off" and face > 1:
        raise typer.BadParameter(f"--face {face}: --align off looks for none")
    return next(align for align in ALIGNS if align == name)


def _loss(name: str) -> Loss:
    return "vgg" if name == "vgg" else "mse"
