"""Set lists: TOML in, validated and frozen models out; every fault is one line that says where.

The models mirror the tables of the file, and what a key leaves open is filled in: network, psi
and detail of [show], paths relative to the file, the latent that was found for a photo. Later
modules therefore never ask where a value is from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.errors import UserError
from engine.nets import NETWORKS, bundled_network
from engine.path import Ending, Ends, Kind, segment_count
from live.desks import DeskTable
from live.endpoint import networks, parse_endpoint
from live.glide import Drive
from live.overlay.programs import Layers, parse_layers
from live.overlay.settings import OverlayTable
from live.overlay.state import Name as OverlayName
from live.photos import with_results
from live.setlist_faults import Location, fault, told
from live.show import CueFacts, Programme, Seconds, find_cue
from live.toml_file import parse_toml, read_toml

_MAX_BYTES = 1 << 20  # a set list is typed by hand; a checkpoint given by mistake is not


@dataclass(frozen=True, slots=True)
class _Context:
    """What a table takes from outside itself."""

    folder: Path  # of the file
    psi: float = 1.0  # of [show]
    network: Path | None = None  # of [show]
    detail: int | str = "auto"  # of [show]


_Model = TypeVar("_Model", bound=BaseModel)


def _context(info: ValidationInfo) -> _Context:
    context = info.context
    assert isinstance(context, _Context)
    return context


def _file(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be the name of a file")
    try:
        path = _context(info).folder / Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value!s:.200}: there is no such user's folder") from error
    try:
        there = path.is_file()
    except OSError as error:  # a name too long, a folder that may not be read
        raise ValueError(f"{path!s:.200}: {error.strerror}") from error
    if not there:
        raise ValueError(f"there is no file {path}")
    return path


def _network(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, str) and value in NETWORKS:
        return bundled_network(value)
    return _file(value, info)


def _monitor(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _detail(value: object) -> int | str:
    if value in ("auto", "full") and isinstance(value, str):
        return value
    if type(value) is int and 4 <= value <= 2048 and value.bit_count() == 1:
        return value
    raise ValueError(
        f'{value!r:.60} is none of "auto", "full" and the powers of two from 4 to 2048'
    )


def _fade(value: object) -> float | Seconds:
    """Beats as a number, seconds as words."""
    if isinstance(value, str) and (
        said := re.fullmatch(r"(\d{1,4}(?:\.\d+)?) ?s", value, re.ASCII)
    ):
        if (count := float(said[1])) <= 3600:
            return Seconds(count)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 10_000:
        return float(value)
    raise ValueError(
        f'{value!r:.60} is no cross-fade; it is a number of beats, 0 to 10000, or seconds: "1.5 s"'
    )


def _number(low: float, high: float) -> Any:
    return Field(strict=True, ge=low, le=high, allow_inf_nan=False)


File: TypeAlias = Annotated[Path, BeforeValidator(_file)]
NetworkFile: TypeAlias = Annotated[Path, BeforeValidator(_network)]
Detail: TypeAlias = Annotated[Literal["auto", "full"] | int, PlainValidator(_detail)]
Text: TypeAlias = Annotated[str, Field(strict=True, min_length=1)]
Tempo: TypeAlias = Annotated[float, _number(20, 300)]
Beats: TypeAlias = Annotated[float, Field(strict=True, gt=0, le=10_000, allow_inf_nan=False)]
Fade: TypeAlias = Annotated[float | Seconds, PlainValidator(_fade)]
Psi: TypeAlias = Annotated[float, _number(-5, 5)]
Whole: TypeAlias = Annotated[int, Field(strict=True, ge=0)]
Seed: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]  # numpy's RandomState
Face: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=99)]

_TABLE = ConfigDict(frozen=True, extra="forbid")


class ShowTable(BaseModel):
    """[show]: what holds for every cue."""

    model_config = _TABLE

    title: Text = "Untitled"
    network: NetworkFile = Field(default="flowers", validate_default=True)
    tempo: Tempo = 120.0
    psi: Psi = 0.7
    fit: Literal["contain", "cover", "mirror"] = "contain"
    detail: Detail = "auto"
    position: Drive = "spring"
    overlay: OverlayName = "off"
    holding: File | None = None


class Part(BaseModel):
    """A latent: a seed, a file, or a photo that was projected.

    Its psi is that of [show] for seeds and 1 for the others. Of a photo `latent` is the file that
    was found for its face on the cue's network: see `live.photos`. Faces count from 1, the largest.
    """

    model_config = _TABLE

    seed: Seed | None = None
    latent: File | None = None
    photo: File | None = None
    face: Face = 1
    psi: Psi = 1.0

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: Any, info: ValidationInfo) -> Any:
        if isinstance(table, dict) and "psi" not in table and "seed" in table:
            return {**table, "psi": _context(info).psi}
        return table

    @model_validator(mode="after")
    def _one_source(self) -> "Part":
        if (self.seed, self.latent, self.photo).count(None) != 2:
            raise ValueError("needs one of seed, latent and photo")
        if self.photo is None and "face" in self.model_fields_set:
            raise ValueError("face goes with a photo")
        return self

    @property
    def called(self) -> str:
        """What it is called on screen: its seed, or its file's name without folder and ending."""
        if self.photo is not None:
            return self.photo.stem if self.face == 1 else f"{self.photo.stem}, face {self.face}"
        return f"seed {self.seed}" if self.latent is None else self.latent.stem


class Mix(Part):
    """The fine layers of a key, from another latent."""

    layers: Layers

    @property
    def span(self) -> tuple[int, int | None]:
        """First and last layer, counted from 0; None means to the end."""
        return parse_layers(self.layers)


class Key(Part):
    """One key of a path.

    `beats` is the length of the segment that arrives here; at the first key it counts only in a
    loop, where the closing segment arrives. `cutoff` truncates the layers below it only.
    """

    beats: Beats | None = None
    label: Whole | None = Field(default=None, alias="class")
    cutoff: Whole | None = None
    mix: Mix | None = None

    @model_validator(mode="before")
    @classmethod
    def _hand_on(cls, table: Any) -> Any:
        """A psi given for the key holds for what is mixed in, too."""
        if isinstance(table, dict) and "psi" in table and isinstance(table.get("mix"), dict):
            return {**table, "mix": {"psi": table["psi"], **table["mix"]}}
        return table

    @model_validator(mode="after")
    def _class_of_a_seed(self) -> "Key":
        if self.label is not None and self.seed is None and (not self.mix or self.mix.seed is None):
            raise ValueError("class goes with a seed; a latent has been mapped already")
        return self


class Cue(BaseModel):
    """[[cue]]: a path through keys on one network.

    After `follow` beats the next cue begins, wherever on its path this one is. A `fade` is in
    beats, or seconds. `detail` is the size of the engine's pictures: a side in pixels, that of the
    network, or what the engine can make in time.
    """

    model_config = _TABLE

    name: Text
    network: NetworkFile
    tempo: Tempo | None = None
    keys: tuple[Key, ...]
    path: Kind = "catmull-rom"
    beats: Beats = 4.0
    ends: Ends = "through"
    ending: Ending = "hold"
    follow: Beats | None = None
    fade: Fade = 0.0
    overlay: OverlayName | None = None
    program: Text | None = None
    detail: Detail

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: Any, info: ValidationInfo) -> Any:
        if isinstance(table, dict):
            context = _context(info)
            return {"network": context.network, "detail": context.detail, **table}
        return table

    @model_validator(mode="after")
    def _enough_keys(self) -> "Cue":
        segment_count(len(self.keys), self.ends, self.ending)
        return self

    @model_validator(mode="after")
    def _one_way_on(self) -> "Cue":
        if self.follow is not None and self.ending == "next":
            raise ValueError('follow and ending = "next" both say when to go on: take one of them')
        return self

    @property
    def segments(self) -> tuple[float, ...]:
        """Beats of the segments in the order of travel, as `engine.path.Path` takes them."""
        arriving = [self.beats if key.beats is None else key.beats for key in self.keys]
        if self.ending == "loop":
            return (*arriving[1:], arriving[0])
        return tuple(arriving[2:-1] if self.ends == "guide" else arriving[1:])

    @property
    def duration(self) -> float:
        """Beats from the beginning to the end of the path, as `engine.path.Path` has it."""
        return list(accumulate(self.segments))[-1]


class Osc(DeskTable):
    """[osc]: where to listen for a desk, to whom, and what its messages mean.

    An empty `allow` means this machine; where more than that is listened to, private networks.
    The prefix "/" is none at all. `desk` is the name of a desk's file, or where it is: it is read
    when the show begins, for a take is performed again without it.
    """

    model_config = _TABLE

    listen: Text = "127.0.0.1:9000"
    allow: tuple[Text, ...] = ()
    prefix: Text = "/anthesis"
    desk: Text | None = None

    @field_validator("listen", "allow")
    @classmethod
    def _readable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        try:
            parse_endpoint(value) if isinstance(value, str) else networks(value)
        except UserError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("prefix")
    @classmethod
    def _an_address(cls, prefix: str) -> str:
        if not re.fullmatch(r"/|(/[^\s#*,/?\[\]{}]+)+", prefix):
            raise ValueError('must be like "/anthesis": slashes and names, no spaces or #*,?[]{}')
        return prefix


class Output(BaseModel):
    """[output]: where the picture goes."""

    model_config = _TABLE

    monitor: Annotated[Text | None, BeforeValidator(_monitor)] = None
    fullscreen: Annotated[bool, Field(strict=True)] = False


class SetList(BaseModel):
    """A whole set list."""

    model_config = _TABLE

    show: ShowTable
    cues: tuple[Cue, ...] = Field(alias="cue")
    overlay: OverlayTable = Field(default_factory=dict, validate_default=True)
    osc: Osc = Osc()
    output: Output = Output()
    _file: Path = PrivateAttr(default=Path())
    _text: str = PrivateAttr(default="")

    @property
    def file(self) -> Path:
        """Where it was read from."""
        return self._file

    @property
    def text(self) -> str:
        """What stood there."""
        return self._text

    @field_validator("cues", mode="before")
    @classmethod
    def _tables(cls, cues: Any) -> Any:
        if isinstance(cues, dict):
            raise ValueError("write [[cue]], with two brackets on either side")
        if cues == []:
            raise ValueError("there must be at least one")
        return cues

    def find(self, which: int | str) -> int:
        """The index of a cue, by name or by number from 1. Raises UserError that lists them."""
        try:
            return find_cue([cue.name for cue in self.cues], which)
        except ValueError as error:
            raise UserError(str(error)) from error


def load_setlist(path: Path) -> SetList:
    """Read and validate a set list, and look that the files it names are there.

    Raises UserError: one line with the file, the table, the key, what is wrong and what is right.
    """
    return _of(path, *read_toml(path, "set list", _MAX_BYTES))


def parse_setlist(path: Path, text: str) -> SetList:
    """The same for a text that was once that of the file. Raises UserError."""
    if len(text) > _MAX_BYTES:
        raise UserError(f"{path}: is too large for a set list")
    return _of(path, text, parse_toml(path, text))


def _of(path: Path, text: str, document: dict[str, Any]) -> SetList:
    context = _Context(path.parent)
    show = _validated(ShowTable, path, document, document.get("show", {}), ("show",), context)
    context = replace(context, psi=show.psi, network=show.network, detail=show.detail)
    document["show"] = document.get("show", {})
    setlist = _validated(SetList, path, document, document, (), context)
    setlist._file, setlist._text = path, text
    _check_names(setlist, document)
    return with_results(setlist, document, {bundled_network(name): name for name in NETWORKS})


def _check_names(setlist: SetList, document: Mapping[str, Any]) -> None:
    """What a cue calls itself and what it calls for. Raises UserError, one line."""
    names = [cue.name for cue in setlist.cues]
    for i, cue in enumerate(setlist.cues):
        if cue.name in names[:i]:
            wrong = f"cue {names.index(cue.name) + 1} has that name already"
            raise UserError(f"{setlist.file}: {told(document, ('cue', i, 'name'), wrong)}")
        try:
            setlist.overlay.find_program(cue.program)
        except ValueError as error:
            said = told(document, ("cue", i, "program"), error)
            raise UserError(f"{setlist.file}: {said}") from error


def bundled() -> SetList:
    """The set list that comes with Anthesis."""
    return load_setlist(Path(str(files("setlists") / "flowers.toml")))


def programme(setlist: SetList) -> Programme:
    """What the show's state needs to know of the cues."""
    return tuple(
        CueFacts(cue.name, cue.duration, cue.ending, cue.fade, cue.tempo, cue.overlay, cue.follow)
        for cue in setlist.cues
    )


def _validated(
    model: type[_Model],
    path: Path,
    document: Mapping[str, Any],
    table: object,
    at: Location,
    context: _Context,
) -> _Model:
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        raise UserError(f"{path}: {fault(error, SetList, document, at)}") from error
