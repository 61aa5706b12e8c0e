"""Programs of the terminal: what it types and prints, as data. Templates that can do nothing else.

A template is text with fields in braces, from a closed list: `{beat}`, `{beat:.2f}`, and looks that
hold from there on: `{red}`, `{bright_blue}`, `{bold}`, `{plain}`. `{{` and `}}` are braces. Set
lists come from friends, so that a format is no more than sign, width and digits, and nothing is
looked up in anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from live.overlay.text import COLOURS, Colour, Line, Span

Value: TypeAlias = str | int | float
Fields: TypeAlias = Mapping[str, Value]

TENSOR: Final = "tensor"
PROMPT: Final = "$ "  # what a line that is typed begins with


class _Kind(NamedTuple):
    sample: Value  # of the type that the field has
    spec: str = ""  # where the template names none


_TEXT, _COUNT = _Kind(""), _Kind(0)

SCRIPT: Mapping[str, _Kind] = dict.fromkeys(
    ("setlist", "cue", "network", "title", "user", "host"), _TEXT
)
FRAME: Mapping[str, _Kind] = {
    "frame": _COUNT,
    "time": _Kind(0.0, ".3f"),
    "cue": _TEXT,
    "number": _COUNT,
    "cues": _COUNT,
    "beat": _Kind(0.0, ".2f"),
    "bpm": _Kind(0.0, ".1f"),
    "psi": _Kind(0.0, ".2f"),
    "keys": _TEXT,
    "device": _TEXT,
    "resolution": _COUNT,
    TENSOR: _TEXT,
}
LAYER: Mapping[str, _Kind] = {
    **{name: kind for name, kind in FRAME.items() if name != TENSOR},
    "layer": _COUNT,
    "norm": _Kind(0.0, ".3f"),
    "distance": _Kind(0.0, ".3f"),
    "bar": _TEXT,
}
MESSAGE: Mapping[str, _Kind] = {
    "time": _Kind(0.0, ".3f"),
    "address": _TEXT,
    "arguments": _TEXT,
}

_LONGEST = 500  # characters of a template
_COLOURS: Mapping[str, Colour] = {colour: colour for colour in COLOURS}
_PARTS = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]")
_SPEC = re.compile(r"[<>^]?[+]?0?\d{0,2}(\.\d)?[dfegsx%]?", re.ASCII)


class _Gap(NamedTuple):
    """Where a field goes."""

    name: str
    spec: str


@dataclass(frozen=True, slots=True)
class Template:
    """A line with gaps, readable and checked."""

    source: str
    pieces: tuple[str | _Gap, ...]  # a gap named after a look switches to it

    def lines(self, fields: Fields, tensor: Callable[[], Iterable[str]] = tuple) -> Iterator[Line]:
        """The line with its gaps filled: several where `{tensor}` stands, whose lines are given.

        Every field that the template may have has to be there, floats as floats.
        """
        spans: list[Span] = []
        look = Span("")
        for piece in self.pieces:
            if isinstance(piece, str):
                spans.append(look._replace(text=piece))
            elif piece.name in _COLOURS:
                look = look._replace(colour=_COLOURS[piece.name])
            elif piece.name == "bold":
                look = look._replace(bold=True)
            elif piece.name == "plain":
                look = Span("")
            elif piece.name == TENSOR:
                for i, text in enumerate(tensor()):
                    if i > 0:
                        yield tuple(spans)
                        spans = []
                    spans.append(look._replace(text=text))
            else:
                spans.append(look._replace(text=format(fields[piece.name], piece.spec)))
        yield tuple(spans)

    def line(self, fields: Fields) -> Line:
        """The line of a template that has no `{tensor}`."""
        return next(self.lines(fields))


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """What is done once at the beginning: typed at the prompt, or printed."""

    template: Template
    typed: bool


def parse_template(source: str, kinds: Mapping[str, _Kind]) -> Template:
    """Read a template that may have these fields.

    Raises ValueError that names the field and lists what is accepted.
    """
    if len(source) > _LONGEST:
        raise ValueError(f"a template has at most {_LONGEST} characters, not {len(source)}")
    pieces: list[str | _Gap] = []
    for part in _PARTS.findall(source):
        if part in ("{{", "}}"):
            pieces.append(part[0])
        elif part in ("{", "}"):
            raise ValueError(f"a single {part} in {source!r:.60}; write {part * 2} to show one")
        elif part[0] == "{":
            pieces.append(_gap(part, kinds))
        else:
            pieces.append(part)
    if sum(isinstance(piece, _Gap) and piece.name == TENSOR for piece in pieces) > 1:
        raise ValueError("{tensor} may stand in a template once")
    return Template(source, tuple(pieces))


def _gap(part: str, kinds: Mapping[str, _Kind]) -> _Gap:
    name, colon, spec = part[1:-1].partition(":")
    looks = ("bold", "plain", *COLOURS)
    if name not in kinds and name not in looks:
        raise ValueError(
            f"no field {part!r:.60}; accepted are {', '.join(kinds)}; "
            f"for looks bold, plain, {', '.join(COLOURS)}"
        )
    if colon and (name in looks or name == TENSOR):
        raise ValueError(f"{part!r:.60}: {name} takes no format; write {{{name}}}")
    if name in looks:
        return _Gap(name, "")
    wrong = f"{part!r:.60} is no format for {name}; accepted are those like "
    wrong += "<20 or .8s" if isinstance(kinds[name].sample, str) else ">8, 06d or .2f"
    if not _SPEC.fullmatch(spec):
        raise ValueError(wrong)
    spec = spec if colon else kinds[name].spec
    try:
        format(kinds[name].sample, spec)
    except ValueError as error:
        raise ValueError(wrong) from error
    return _Gap(name, spec)


def parse_layers(layers: str) -> tuple[int, int | None]:
    """First and last layer of "0-", "4-7" or "2", counted from 0; None means to the end.

    Raises ValueError that says what is accepted.
    """
    match = re.fullmatch(r"\s*(\d{1,3})\s*(?:(-)\s*(\d{1,3})?)?\s*", layers, re.ASCII)
    if match is None:
        raise ValueError('must be layers like "8-" or "4-7", counted from 0')
    first, dash, last = match.groups()
    if not dash:
        return int(first), int(first)
    if last is not None and int(last) < int(first):
        raise ValueError('the last layer lies before the first; write "4-7", or "8-" to the end')
    return int(first), int(last) if last else None


def _layers(layers: str) -> str:
    parse_layers(layers)
    return layers


Layers: TypeAlias = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_layers)]
"""Layers of a network as text that `parse_layers` takes."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, got {value!r:.60}")
    return value


def _script_line(value: object) -> ScriptLine:
    source = _text(value)
    return ScriptLine(
        parse_template(source.removeprefix(PROMPT), SCRIPT), source.startswith(PROMPT)
    )


def _templates(kinds: Mapping[str, _Kind]) -> PlainValidator:
    return PlainValidator(lambda value: parse_template(_text(value), kinds))


_NONE = Template("", ())
_Script: TypeAlias = Annotated[ScriptLine, PlainValidator(_script_line)]
_Frame: TypeAlias = Annotated[Template, _templates(FRAME)]
_PerSecond: TypeAlias = Annotated[float, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)]


class Program(BaseModel):
    """What the terminal does: once its script, then a block of lines for a frame, again and again.

    A block is `frame`, then `layer` for each chosen layer. Messages are printed between blocks. An
    empty template prints nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    script: Annotated[tuple[_Script, ...], Field(max_length=100)] = ()
    frame: Annotated[tuple[_Frame, ...], Field(max_length=100)] = ()
    layer: Annotated[Template, _templates(LAYER)] = _NONE
    layers: Layers = "0-"
    message: Annotated[Template, _templates(MESSAGE)] = _NONE
    rate: _PerSecond = 24.0  # lines
    typing: _PerSecond = 16.0  # characters
    summarise: Annotated[bool, Field(strict=True)] = True  # tensors, as torch does
    pause: Annotated[float, Field(strict=True, ge=0, le=3600, allow_inf_nan=False)] = 0.5  # s

    @property
    def span(self) -> tuple[int, int | None]:
        """First and last layer, counted from 0; None means to the end."""
        return parse_layers(self.layers)

    @property
    def prints_frames(self) -> bool:
        """Whether it has anything to say of a frame."""
        return bool(self.frame or self.layer.source)


@cache
def bundled_programs() -> dict[str, Program]:
    """The programs that come with Anthesis, by name."""
    text = (files("live.overlay") / "programs.toml").read_text(encoding="utf-8")
    tables: dict[str, Any] = tomllib.loads(text)
    return {name: Program.model_validate(table) for name, table in tables.items()}
