"""`anthesis osc`: looking at a desk, patching it, and trying without one."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from engine.errors import UserError
from live import cli_options as opt
from live import osc_listing, touchosc
from live.addresses import ADDRESSES
from live.osc_client import Client
from live.osc_watch import Where
from live.osc_watch import learn as learn_entry
from live.osc_watch import monitor as watch

app = typer.Typer(
    help="Look at a desk's messages, patch them, and send some without a desk.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DEFAULT = "127.0.0.1:9000"

Prefix: TypeAlias = Annotated[
    str, typer.Option(metavar="/NAME", help="What begins every address, if not /anthesis.")
]


@contextmanager
def _quietly() -> Iterator[None]:
    """What the server would log of refused messages, the lines that are printed say already."""
    logger = logging.getLogger("live.osc")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _prefixed(prefix: str) -> str:
    """A prefix as it is put before "/psi": nothing, where it is empty or a slash."""
    return "/" + prefix.strip("/") if prefix.strip("/") else ""


def _say(text: str) -> None:
    typer.echo(text, err=True)


@app.command("list")
def list_addresses(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    layout: Annotated[
        Path | None,
        typer.Option("--touchosc", metavar="FILE.tosc", help="Write a TouchOSC layout instead."),
    ] = None,
    prefix: Prefix = "/anthesis",
) -> None:
    """Print every address with its arguments, their ranges, and what it does."""
    prefix = _prefixed(prefix)
    if layout is not None:
        try:
            layout.write_bytes(touchosc.layout(prefix))
        except OSError as error:
            raise UserError(f"--touchosc {layout}: {error.strerror or error}") from error
    elif as_json:
        typer.echo(json.dumps(osc_listing.record(prefix), indent=2))
    else:
        typer.echo(osc_listing.text(prefix))


@app.command(context_settings={"ignore_unknown_options": True})
def send(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="psi, or with its slashes /Page1/Fader201.")
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENT]...", help="0.5 is a float, 1 an integer, else words."),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="HOST:PORT", help="Where the show listens.")
    ] = DEFAULT,
    prefix: Prefix = "/anthesis",
) -> None:
    """Send one message; a value without an argument is asked for, and the answer printed."""
    prefix = _prefixed(prefix)
    full = address if address.startswith("/") else f"{prefix}/{address}"
    name = full.removeprefix(f"{prefix}/")
    with Client(to) as client:
        known = ADDRESSES.get(name)
        value = known is not None and known.kind == "value"
        asks = name == "ping" or (value and args in (None, [], ["?"]))
        if not asks:
            client.send(full, *map(_argument, args or ()))
            return
        answer = client.ask(full)
    if answer is None:
        raise UserError(f"no answer from {to}: is a show on there, and is this computer allowed?")
    typer.echo(str(answer))


@app.command()
def monitor(
    setlist: opt.SetListFile = None,
    osc: opt.Osc = None,
    desk: opt.Desk = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0.1, help="End after that long.")
    ] = None,
) -> None:
    """Print what a desk sends and what it did, or why it did nothing.

    Beside a show that is on, that show is asked. Otherwise its port is listened to, as the set list
    and the desk say.
    """
    with suppress(KeyboardInterrupt), _quietly():
        watch(Where(setlist, osc, desk), typer.echo, seconds)


@app.command()
def learn(
    parameter: Annotated[
        str, typer.Argument(metavar="PARAMETER", help="Such as psi; anthesis osc list has all.")
    ],
    setlist: opt.SetListFile = None,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.toml", help="A desk file to add it to."),
    ] = None,
    counts_to: Annotated[
        tuple[float, float] | None,
        typer.Option("--input", metavar="LOW HIGH", help="What the fader counts, if not 0 to 1."),
    ] = None,
    osc: opt.Osc = None,
) -> None:
    """Print the map entry for the next thing that is moved on the desk."""
    with _quietly():
        entry = learn_entry(Where(setlist, osc), parameter, counts_to, file, _say)
    typer.echo(entry, nl=False)


def _argument(word: str) -> float | int | str:
    if re.fullmatch(r"[+-]?\d{1,9}", word, re.ASCII):
        return int(word)
    try:
        return float(word) if "_" not in word else word
    except ValueError:
        return word
