"""Maps: which message of a desk sets which parameter, as data in a set list or a desk's file.

    [[osc.map]]
    address = "/Page1/Fader201"      # or a pattern, or a list of either
    to      = "psi"                  # an address of Anthesis, without the prefix
    input   = [0, 100]               # what the fader counts; output is the parameter's own range

An entry is looked at when it is read: whatever is wrong with it is said then. `live.routes` makes
the entries of a show into a table that messages go through.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from live.addresses import ADDRESSES, Address, coerce
from live.patterns import Pattern
from live.slew import Slew, parse_slew

MOST_ENTRIES = 1000
_DEEPEST = 31  # arguments, as `live.osc` takes them, and parts of an address

# grandMA's speed masters run from 0 to 225 BPM, by a law that was fitted to their display:
# percent = bpm ** 0.5243838 / 0.17118, so that 50 % is 60 BPM and 100 % is 225.
_SPEED_EXPONENT, _SPEED_FACTOR = 0.5243838, 0.17118

Curve: TypeAlias = Literal["lin", "exp", "gamma", "table", "speedmaster"]
Takeover: TypeAlias = Literal["jump", "pickup"]
Transform: TypeAlias = Callable[[float], float]
SlewText: TypeAlias = Annotated[Slew, BeforeValidator(parse_slew)]

_Finite: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Range: TypeAlias = tuple[_Finite, _Finite]
_Given: TypeAlias = int | float | str
_Index: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=_DEEPEST)]


def _several(value: object) -> object:
    """One of something, where there may be several."""
    return (value,) if isinstance(value, (str, int)) else value


_Addresses: TypeAlias = Annotated[
    tuple[Annotated[str, Field(strict=True)], ...], BeforeValidator(_several)
]
_Indices: TypeAlias = Annotated[tuple[_Index, ...], BeforeValidator(_several)]


class MapEntry(BaseModel):
    """[[osc.map]]: what arrives, and what it sets.

    Attributes:
        address: the whole address as the desk sends it, prefix included; OSC patterns are allowed.
        to: the parameter: an address of Anthesis without the prefix.
        arg: which argument is the value, counted from 0; several for a parameter that takes
            several.
        part: instead of an argument, the part of the address between slashes that is the value,
            counted from 1, or from the end by -1.
        when: arguments that must be so for the entry to count, by their number.
        args: what is sent instead of the value, which then only says when: at its rising edge.
        input, output: ranges. A parameter's own range is the output unless it says otherwise.
        curve: lin, exp (even steps of output are even ratios), gamma, table, speedmaster.
        gamma, table: of those curves; the table's points are [input, output], both 0 to 1.
        clamp: whether what is outside the input range counts as its end.
        invert: the other way round.
        fires: a trigger "rise"s with its value through the middle of the input range, or comes with
            "every" message, or every "change" of the value.
        slew: how long the parameter takes to get there: "0.5 s", "200 ms", "2 beats".
        takeover: a fader jumps, or must first pick up the value where it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: _Addresses
    to: Annotated[str, Field(strict=True)]
    arg: _Indices = (0,)
    part: Annotated[int, Field(strict=True, ge=-_DEEPEST, le=_DEEPEST)] | None = None
    when: Mapping[str, _Given] = Field(default_factory=dict)
    args: tuple[_Given, ...] | None = None
    input: _Range | None = None
    output: _Range | None = None
    curve: Curve = "lin"
    gamma: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    table: tuple[_Range, ...] = ()
    clamp: Annotated[bool, Field(strict=True)] = True
    invert: Annotated[bool, Field(strict=True)] = False
    fires: Literal["rise", "every", "change"] | None = None
    slew: SlewText | None = None
    takeover: Takeover | None = None

    @property
    def target(self) -> Address:
        """What it sets."""
        return ADDRESSES[self.to]

    @property
    def scales(self) -> bool:
        """Whether numbers are changed on their way; otherwise they go as they come."""
        plain = self.curve == "lin" and not self.invert
        return not (plain and self.input is None and self.output is None)

    @field_validator("address")
    @classmethod
    def _readable(cls, address: tuple[str, ...]) -> tuple[str, ...]:
        for one in address:
            if not one.startswith("/") or not one.isascii() or not one.isprintable():
                raise ValueError(f'{one!r:.60} is no OSC address: it begins with "/"')
            Pattern(one)  # raises ValueError
        if not address:
            raise ValueError("names no address")
        return address

    @field_validator("to")
    @classmethod
    def _known(cls, to: str) -> str:
        if to not in ADDRESSES:
            close = get_close_matches(to, ADDRESSES, n=1)
            meant = f", did you mean {close[0]}?" if close else "; see anthesis osc list"
            raise ValueError(f"{to!r:.60}: no such parameter{meant}")
        return to

    @field_validator("when")
    @classmethod
    def _numbered(cls, when: Mapping[str, _Given]) -> Mapping[str, _Given]:
        for key in when:
            if not (key.isascii() and key.isdecimal() and int(key) <= _DEEPEST):
                raise ValueError(f'{key!r:.40}: arguments are numbered, when = {{ 0 = "Go+" }}')
        return when

    @model_validator(mode="after")
    def _fitting(self) -> MapEntry:
        check = (
            self._check_curve,
            self._check_ranges,
            self._check_selection,
            self._check_args,
            self._check_manner,
        )
        for one in check:
            one()
        return self

    def _check_curve(self) -> None:
        if (self.gamma is not None) != (self.curve == "gamma"):
            raise ValueError('gamma goes with curve = "gamma"')
        if bool(self.table) != (self.curve == "table"):
            raise ValueError('table goes with curve = "table"')
        inputs = [x for x, _ in self.table]
        if self.table and (len(inputs) < 2 or inputs != sorted(set(inputs))):
            raise ValueError("table: two points or more, with rising inputs")
        if self.curve == "speedmaster" and self.output is not None:
            raise ValueError("output: a speed master's output is BPM, leave it out")
        if self.curve == "exp" and min(self.out_range) <= 0.0:
            raise ValueError('output: for curve = "exp" both ends are above 0')

    def _check_ranges(self) -> None:
        if self.input is not None and self.input[0] == self.input[1]:
            raise ValueError("input: its two ends are the same")
        words = self.target.arguments[0].kind in ("text", "choice", "monitor")
        if self.scales and words and not self.target.presses:
            raise ValueError(f"{self.to} takes words, which have no ranges")
        if self.scales and not self.target.presses and not all(map(math.isfinite, self.out_range)):
            raise ValueError(f"output is missing: {self.to} has no range of its own")

    def _check_selection(self) -> None:
        if not 1 <= len(self.arg) <= len(self.target.arguments):
            raise ValueError(f"arg: {self.to} takes {len(self.target.arguments)} arguments")
        if self.part == 0:
            raise ValueError("part: the parts of an address are counted from 1, or from -1 back")
        if self.part is not None and "arg" in self.model_fields_set:
            raise ValueError("part: the value is either an argument or a part of the address")

    def _check_args(self) -> None:
        if self.args is None:
            return
        try:
            coerce(self.target, self.args)
        except ValueError as error:
            raise ValueError(f"args: {error}") from None
        if not self.args and self.target.kind == "value":
            raise ValueError("args: empty they would ask for the value")

    def _check_manner(self) -> None:
        if self.slew is not None and not self.target.slews:
            slewing = ", ".join(name for name, known in ADDRESSES.items() if known.slews)
            raise ValueError(f"slew: {self.to} has none; {slewing} have")
        if self.takeover == "pickup" and not self.target.relative:
            raise ValueError(f"takeover: {self.to} is no level that could be picked up")

    @property
    def out_range(self) -> tuple[float, float]:
        """The output range, or the parameter's own: 0 to 1 for switches and presses."""
        if self.output is not None:
            return self.output
        first = self.target.arguments[0]
        if first.kind in ("switch", "press"):
            return 0.0, 1.0
        return first.low, first.high

    def transform(self) -> Transform:
        """What becomes of a number; of NaN and infinities ValueError."""
        low, high = self.input or (0.0, 1.0)
        out_low, out_high = self.out_range
        shape = _shape(self, out_low, out_high)

        def changed(value: float) -> float:
            x = (value - low) / (high - low)
            if self.clamp:
                x = min(max(x, 0.0), 1.0)
            return shape(1.0 - x if self.invert else x)

        return changed


def _shape(entry: MapEntry, low: float, high: float) -> Transform:
    """From 0-1 to the output range, by the entry's curve."""
    if entry.curve == "exp":
        return lambda x: low * (high / low) ** x
    if entry.curve == "gamma":
        gamma = entry.gamma or 1.0
        return lambda x: low + math.copysign(abs(x) ** gamma, x) * (high - low)
    if entry.curve == "table":
        return lambda x: low + _between(entry.table, x) * (high - low)
    if entry.curve == "speedmaster":
        return lambda x: float(max(100.0 * x * _SPEED_FACTOR, 0.0) ** (1.0 / _SPEED_EXPONENT))
    return lambda x: low + x * (high - low)


def _between(table: Sequence[tuple[float, float]], x: float) -> float:
    """A table's value at x: straight between its points, and as at its ends beyond them."""
    after = bisect_right(table, x, key=lambda point: point[0])
    if after == 0 or after == len(table):
        return table[min(after, len(table) - 1)][1]
    (x0, y0), (x1, y1) = table[after - 1], table[after]
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)


def check_manner(table: Mapping[str, Any], suits: Callable[[Address], bool], lacks: str) -> None:
    """See that a table by parameters names such as have what it says. Raises ValueError."""
    for name in table:
        if name not in ADDRESSES:
            close = get_close_matches(name, ADDRESSES, n=1)
            meant = f", did you mean {close[0]}?" if close else ""
            raise ValueError(f"{name!r:.60}: no such parameter{meant}")
        if not suits(ADDRESSES[name]):
            raise ValueError(f"{name}: {lacks}")
