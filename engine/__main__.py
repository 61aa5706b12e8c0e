"""`python -m engine`: what a checkpoint is, its conversion, and how fast it is performed.

`anthesis` hands over to this.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.bench.figures import Figures, table
from engine.bench.subject import CHANNEL_BASES, CHANNEL_MAX, Subject
from engine.errors import UserError
from engine.weights import NetworkFile, read_network, sha256
from engine.weights.inert import shown
from engine.weights.saving import dimensions, save_network


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit code 2, and one line on stderr, if the user's input was wrong."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except UserError as error:
        sys.stderr.write(f"anthesis: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anthesis", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser(
        "inspect",
        help="say what a checkpoint is",
        description="Say what a checkpoint is. Nothing in it is executed.",
    )
    inspect.add_argument("network", type=Path, metavar="NETWORK", help="a checkpoint of any kind")
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser(
        "convert",
        help="write a checkpoint as .safetensors",
        description="Write a checkpoint as .safetensors: plain data, safe to pass on.",
    )
    convert.add_argument("network", type=Path, metavar="NETWORK", help="a checkpoint of any kind")
    convert.add_argument("-o", dest="out", type=Path, metavar="FILE.safetensors", required=True)
    convert.add_argument(
        "--half", action="store_true", help="half precision: half the size, rounded to 11 bits"
    )
    convert.add_argument("--force", action="store_true", help="replace FILE if it is there")
    convert.set_defaults(run=_convert)
    _add_bench(commands)
    return parser


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure paths to a frame",
        description="Measure the session beside the network as published and beside the floor: "
        "its convolutions alone. Compiling takes minutes where there is a compiler; --rows leaves "
        "it out.",
    )
    option = bench.add_argument
    option("network", type=Path, metavar="NETWORK", nargs="?", help="without one, the flowers")
    option("--config", metavar="|".join(CHANNEL_BASES), help="random weights, of that size")
    option("--resolution", type=int, metavar="R", help="random weights, for pictures of R x R")
    option("--channel-base", type=int, metavar="N", help="channels x resolution")
    option("--channel-max", type=int, metavar="N", help=f"at most ({CHANNEL_MAX})")
    option("--device", default="auto", metavar="auto|cpu|cuda[:N]|mps")
    option("--precision", default="auto", metavar="auto|float32|float16")
    option("--threads", type=_count, metavar="N", help="of the CPU")
    option("--rows", metavar="NAME,...", help="only these, such as fast,floor")
    option("--early", action="store_true", help="the session's smaller outputs, too")
    option("--projection", action="store_true", help="how its own pictures are found, instead")
    option("--seconds", type=float, default=20.0, metavar="S", help="to measure for (20)")
    option("--json", metavar="FILE|-", help="write the rows as JSON; - writes nothing else")
    bench.set_defaults(run=_bench)


def _inspect(arguments: argparse.Namespace) -> None:
    facts = describe(read_network(arguments.network))
    if arguments.json:
        text = json.dumps(facts, indent=2)
    else:
        text = "\n".join(
            f"{key.replace('_', ' '):15} {_words(value)}" for key, value in facts.items()
        )
    sys.stdout.write(text + "\n")


def describe(file: NetworkFile) -> dict[str, object]:
    """What `inspect` says of a network, in that order."""
    config = file.config
    mapping = f"{len(config.mapping)} layers, learning rate x {config.mapping_lr_multiplier:g}"
    mb = sum(array.nbytes for array in file.tensors.values()) / 1e6
    known = dimensions(config)
    notes = {key: text for key, text in file.metadata.items() if key not in known}
    return {
        "file": str(file.path),
        "container": file.container,
        "family": file.family,
        "dialect": file.dialect,
        "architecture": config.architecture,
        "resolution": config.resolution,
        "channels": dict(zip(map(str, config.resolutions), config.channels, strict=True)),
        "picture": {1: "grey", 3: "RGB"}.get(
            config.img_channels, f"{config.img_channels} channels"
        ),
        "z_dim": config.z_dim,
        "w_dim": config.w_dim,
        "num_ws": config.num_ws,
        "mapping": mapping,
        "classes": config.num_classes,
        "noise": config.use_noise,
        "conv_clamp": config.conv_clamp,
        "mean_w": "stored" if file.has_w_avg else "none stored: averaged over 10000 w at load",
        "parameters": config.parameters(),
        "memory_mb": round(mb, 1),
        "converts_to": f".safetensors of {mb:.1f} MB ({mb / 2:.1f} with --half)",
        "notes": notes,
        "sha256": sha256(file.path),
    }


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _convert(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: what is written is .safetensors; name it so")
    if out.exists() and not arguments.force:
        raise UserError(f"{out}: is there already; --force replaces it")
    file = read_network(arguments.network)
    save_network(file, out, np.float16 if arguments.half else np.float32)
    sys.stdout.write(
        f"{out}: {file.family}, {file.config.resolution}x{file.config.resolution}, "
        f"{out.stat().st_size / 1e6:.1f} MB\n"
    )


def _bench(arguments: argparse.Namespace) -> None:
    subject = Subject.of(
        arguments.network,
        arguments.config,
        arguments.resolution,
        arguments.channel_base,
        arguments.channel_max,
    )
    file = None if arguments.json in (None, "-") else Path(arguments.json)
    if file is not None and not file.parent.is_dir():
        raise UserError(f"--json {file}: there is no folder {file.parent}")
    figures = _measured(subject, arguments, lambda line: sys.stderr.write(f"bench: {line}\n"))
    record = json.dumps(figures.record(), indent=2) + "\n"
    sys.stdout.write(record if arguments.json == "-" else table(figures) + "\n")
    if file is not None:
        try:
            file.write_text(record)
        except OSError as error:
            raise UserError(f"--json {file}: cannot be written ({error.strerror})") from error


def _measured(
    subject: Subject, arguments: argparse.Namespace, say: Callable[[str], object]
) -> Figures:
    # Both load torch, which the stage must not.
    if arguments.projection:
        from engine.bench.projecting import measure_projection

        return measure_projection(subject, arguments.device, say)
    from engine.bench.measure import Options, measure

    options = Options(
        device=arguments.device,
        precision=arguments.precision,
        threads=arguments.threads,
        rows=_rows(arguments.rows),
        early=arguments.early,
        seconds=arguments.seconds,
    )
    return measure(subject, options, say)


def _rows(names: str | None) -> tuple[str, ...]:
    from engine.bench.contenders import ROWS

    if names is None:
        return ROWS
    rows = tuple(name.strip() for name in names.split(","))
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        raise UserError(f"--rows {unknown[0]}: rows are {', '.join(ROWS)}")
    return rows


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
