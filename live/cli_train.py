"""The command `train` and its options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from engine.nets import bundled_network
from engine.training.options import InterruptedTrainingError, Options
from live.cli_options import Device, finite, one_of

Pictures: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="PICTURES",
        help="A folder or zip of pictures, a thousand or more if you can; or the word flowers, "
        "which Anthesis draws itself, without end.",
    ),
]
Folder: TypeAlias = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Where everything is left.")
]
Kimg: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0.001,
        callback=finite,
        help="Until so many thousand pictures were shown: 1000 shows much, 5000 to 25000 is usual; "
        "fine-tuning takes 100 to 1000.",
    ),
]
Minutes: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        min=0.01,
        callback=finite,
        help="Until it has trained so long, those before a break counted.",
    ),
]
From: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="NETWORK",
        help="Fine-tune: go on from any StyleGAN2 that Anthesis reads, from the folder of another "
        "training, or from the bundled flowers. By far the best start for a few hundred pictures, "
        "whatever the network knew before.",
    ),
]
Freeze: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="KIMG",
        min=0,
        callback=finite,
        help="With --from: how long a new discriminator learns alone, if the file brings none.",
    ),
]
Resolution: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="R", help="Pixels a side, a power of two (256, or as --from has it)."),
]
ChannelBase: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Channels x resolution: how wide the networks are. 16384 below 512x512, else 32768; "
        "half of it trains and performs much sooner, and suits simple subjects.",
    ),
]
ChannelMax: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, max=4096, help="Channels at most.")
]
Mapping: TypeAlias = Annotated[
    int, typer.Option(metavar="LAYERS", min=1, max=64, help="From z to w; 2 learn sooner.")
]
Batch: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=4096, help="Pictures a step (4096 / R, at most 32)."),
]
Gamma: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        callback=finite,
        help="Of R1: larger is steadier and less detailed. 0.0002 R x R / batch; try a quarter of "
        "it and four times as much before anything else.",
    ),
]
Rate: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=1e-6,
        max=0.1,
        callback=finite,
        help="Adam's; with --from it rises in the first kimg.",
    ),
]
Mixing: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="X", min=0, max=1, callback=finite, help="Style mixing (0.9; flowers 0.5)."
    ),
]
Augment: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--augment/--no-augment",
        help="Adaptive augmentation, which keeps a small set from being learned by heart: on, but "
        "for flowers.",
    ),
]
Mirror: TypeAlias = Annotated[
    bool,
    typer.Option("--mirror", help="Every picture also mirrored: twice as many; not for text."),
]
Noise: TypeAlias = Annotated[
    bool,
    typer.Option("--noise/--no-noise", help="Noise inputs, for fine texture that is never twice."),
]
Pairs: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="KIMG",
        min=0,
        callback=finite,
        help="Flowers only: compare each with what its own latent makes, less and less until then "
        "(half of --kimg, else 300; 0: never, and so with --from).",
    ),
]
Snapshot: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="KIMG", min=0.001, callback=finite, help="Between two snapshots and their grids."
    ),
]
InceptionFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--inception",
        metavar="FILE",
        help="FID at every snapshot, by Inception's weights as pytorch-fid publishes them (pt_"
        "inception-2015-12-05-6726825d.pth), also found where torch keeps its downloads; nothing "
        "is downloaded. Of 512 pictures on a CPU, a minute or two, and 2048 on CUDA: comparable "
        "with itself alone.",
    ),
]
Seed: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=0, help="The same seed trains the same network on a CPU.")
]
Precision: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|float32|float16|bfloat16",
        callback=one_of("auto", "float32", "float16", "bfloat16"),
        help="Of the four highest resolutions; auto is float16 on CUDA, else float32. CPUs with "
        "AVX512-BF16 or AMX are about twice as quick in bfloat16.",
    ),
]
Pool: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Flowers only: draw so many ahead, and learn from them again and again. On a CPU "
        "drawing each just once takes a third to a half of the time of learning from it.",
    ),
]
RecipeOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="A training in stages, from a TOML file, or flowers128 or flowers256, which come "
        "along. Beside it there are -o, --device, --inception, --snapshot and "
        "--force.",
    ),
]
Replace: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Begin anew, and replace what is there.")
]

_BESIDE_A_RECIPE = {"pictures", "output", "recipe", "device", "snapshot", "inception", "force"}


def train(
    context: typer.Context,
    pictures: Pictures,
    output: Folder = Path("run"),
    kimg: Kimg = None,
    minutes: Minutes = None,
    recipe: RecipeOption = None,
    start: From = None,
    freeze: Freeze = 10.0,
    resolution: Resolution = None,
    channel_base: ChannelBase = None,
    channel_max: ChannelMax = 512,
    mapping: Mapping = 8,
    batch: Batch = None,
    gamma: Gamma = None,
    rate: Rate = 0.0025,
    mixing: Mixing = None,
    augment: Augment = None,
    mirror: Mirror = False,
    noise: Noise = True,
    pool: Pool = None,
    pairs: Pairs = None,
    snapshot: Snapshot = 20.0,
    inception: InceptionFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    force: Replace = False,
) -> None:
    """Train a StyleGAN2 of your own, or fine-tune one; DIR/network.safetensors can be performed.

    Look at DIR/grid-*.png: training is over when they stop getting better, and DIR/log.png tells
    why. Ctrl-C leaves a snapshot, and the same command goes on from there, after a kill from the
    last one. Without --kimg or --minutes it goes on until Ctrl-C.
    """
    from live import train as run

    options = Options(
        pictures=pictures,
        out=output,
        resolution=resolution,
        channel_base=channel_base,
        channel_max=channel_max,
        mapping=mapping,
        batch=batch,
        gamma=gamma,
        rate=rate,
        mixing=mixing,
        kimg=kimg,
        minutes=minutes,
        start=None if start is None else bundled_network(str(start)),
        freeze=freeze,
        augment=augment,
        mirror=mirror,
        noise=noise,
        pool=pool,
        pairs=pairs,
        snapshot=snapshot,
        inception=inception,
        seed=seed,
        device=device,
        precision=precision,
        force=force,
    )
    stages = [options] if recipe is None else _stages(context, recipe, options)
    try:
        run.train(stages)
    except (InterruptedTrainingError, KeyboardInterrupt):
        again = "the same command without --force" if force else "the same command"
        typer.echo(f"anthesis: interrupted; {again} goes on from here", err=True)
        raise typer.Exit(130) from None


def _stages(context: typer.Context, recipe: str, asked: Options) -> list[Options]:
    """The trainings of a recipe, with what may be said besides. Raises UserError."""
    from live.recipe import find_recipe, load_recipe, trainings

    typed = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if _is_typed(context, parameter.name or "")
    }
    other = [option for name, option in typed.items() if name not in _BESIDE_A_RECIPE]
    if other:
        raise typer.BadParameter(
            f"{', '.join(other)}: beside a recipe there are -o, --device, --inception, --snapshot "
            "and --force; the rest stands in its file"
        )
    path = find_recipe(recipe)
    said: dict[str, Any] = {
        "device": asked.device,
        "force": asked.force,
        "inception": asked.inception,
    }
    if "snapshot" in typed:
        said["snapshot"] = asked.snapshot
    stages = trainings(load_recipe(path), path.parent, asked.pictures, asked.out)
    return [replace(stage, **said) for stage in stages]


def _is_typed(context: typer.Context, name: str) -> bool:
    """Whether it was on the command line, rather than left to its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
