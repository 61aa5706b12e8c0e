"""[overlay] of a set list: theme, scale, and what its panes begin as."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from engine.errors import UserError
from live.overlay.programs import Program, bundled_programs
from live.overlay.state import LAYOUTS, NAMES, PANES, Name, OverlayState, Pane, PaneName, Place
from live.overlay.theme import Theme, load_theme

_TABLE = ConfigDict(frozen=True, extra="forbid")

Text: TypeAlias = Annotated[str, Field(strict=True, min_length=1, max_length=60)]
ProgramName: TypeAlias = Annotated[str, Field(pattern=r"^[\w-]{1,40}$")]
Share: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Scale: TypeAlias = Annotated[float, Field(strict=True, ge=0.25, le=4, allow_inf_nan=False)]


def _theme(value: object, info: ValidationInfo) -> Theme:
    if not isinstance(value, str):
        raise ValueError(f"must be the name of a theme or of its file, got {value!r:.60}")
    context: Any = info.context  # the set list's own
    try:
        return load_theme(value, context.folder)
    except UserError as error:
        raise ValueError(str(error)) from error


def _place(value: object) -> Place:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 4 or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(
            f"must be [left, top, width, height] in parts of the picture, got {value!r:.60}"
        )
    place = Place(*map(float, numbers))
    corner, size = place[:2], place[2:]
    if not all(-1 <= part <= 2 for part in corner) or not all(0.02 <= part <= 2 for part in size):
        raise ValueError(f"{value!r:.60}: left and top are -1 to 2, width and height 0.02 to 2")
    return place


def _places(value: object) -> dict[Name, Place]:
    """One place for every overlay, or a table of them."""
    if not isinstance(value, dict):
        return dict.fromkeys(NAMES, _place(value))
    places: dict[Name, Place] = {}
    for name in value:
        known = next((known for known in NAMES if known == name and known != "off"), None)
        if known is None:
            accepted = ", ".join(NAMES[1:])
            raise ValueError(f"no overlay {name!r:.60}; accepted are {accepted}")
        places[known] = _place(value[name])
    return places


class PaneTable(BaseModel):
    """[overlay.monitor], [overlay.picture]: a pane, in whichever overlay."""

    model_config = _TABLE

    shown: Annotated[bool, Field(strict=True)] = True
    opacity: Share = 1.0
    place: Annotated[dict[Name, Place], BeforeValidator(_places)] = Field(default_factory=dict)
    title: Text | None = None


class TerminalTable(PaneTable):
    """[overlay.terminal]: the pane, and what it runs."""

    program: Text = "latents"
    rate: Annotated[float | None, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)] = None
    user: Text = "anthesis"
    host: Text = "stage"


class OverlayTable(BaseModel):
    """[overlay]: how it looks, whichever is on."""

    model_config = _TABLE

    theme: Annotated[Theme, BeforeValidator(_theme)] = Field(default="yaru", validate_default=True)
    scale: Scale = 1.0
    opacity: Share = 1.0
    terminal: TerminalTable = TerminalTable()
    monitor: PaneTable = PaneTable()
    picture: PaneTable = PaneTable()
    programs: dict[ProgramName, Program] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_program(self) -> OverlayTable:
        try:
            self.find_program(None)
        except ValueError as error:
            raise ValueError(f"terminal.program: {error}") from error
        return self

    def find_program(self, name: str | None) -> Program:
        """What the terminal runs where a cue names this program, or none.

        Raises ValueError that lists the programs there are.
        """
        name = self.terminal.program if name is None else name
        programs = {**bundled_programs(), **self.programs}
        if name not in programs:
            raise ValueError(f"no program {name!r}; accepted are {', '.join(programs)}")
        rate = self.terminal.rate
        return programs[name] if rate is None else programs[name].model_copy(update={"rate": rate})

    def with_programs(self, other: OverlayTable) -> OverlayTable:
        """This table with the programs of another, and what that runs where a cue names none."""
        runs = {"program": other.terminal.program, "rate": other.terminal.rate}
        terminal = self.terminal.model_copy(update=runs)
        return self.model_copy(update={"programs": other.programs, "terminal": terminal})

    def pane(self, name: PaneName) -> PaneTable:
        """The table of a pane."""
        tables: dict[PaneName, PaneTable] = {
            "terminal": self.terminal,
            "monitor": self.monitor,
            "picture": self.picture,
        }
        return tables[name]

    def opening(self, name: Name) -> OverlayState:
        """The overlay of a show that begins with the one of that name."""
        panes = {
            pane: Pane(
                shown=self.pane(pane).shown,
                opacity=self.pane(pane).opacity,
                places={
                    overlay: place
                    for overlay, place in self.pane(pane).place.items()
                    if pane in LAYOUTS[overlay]
                },
            )
            for pane in PANES
        }
        return OverlayState(name, opacity=self.opacity, panes=panes)
