"""What a desk may send: the addresses, their arguments, and how what arrives becomes a message.

A *value* has a state: of several in one frame the last one wins, and without an argument, or with
"?" alone, it asks for the value. A *trigger* happens: none is ever merged away, and a lone 0 is the
release of its button and does nothing. Numbers outside the stated range are clamped to it; whether
a fader counts to 1 or to 100 is never guessed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from live.overlay.state import NAMES, PANES
from live.slew import LONGEST_S
from live.tempo import SOURCES

Value: TypeAlias = float | int | str

LONGEST_TEXT = 200  # characters


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to do, or without arguments to a value address, to tell."""

    address: str  # without the prefix: "tempo/bpm"
    args: tuple[Value, ...] = ()  # coerced: the types and ranges of the address
    age_ns: int = field(default=0, compare=False)  # when it takes effect, since it was received


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an address.

    A "number" is a float within low and high, an "integer" a whole number, a "switch" 1 from 0.5
    up and else 0, a "cue" a number counted from 1 or a name, and so a "monitor", a "choice" one of
    the words in `choices`, a "text" any words; a number in its place is a pressed button. A "press"
    carries nothing.
    """

    name: str
    kind: Literal["number", "integer", "switch", "cue", "monitor", "choice", "text", "press"]
    low: float = -math.inf
    high: float = math.inf
    optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """One address, without the prefix, and what it takes.

    `several` is an address with values that another argument tells apart.
    """

    name: str
    kind: Literal["value", "trigger"]
    arguments: tuple[Argument, ...]
    meaning: str
    several: bool = False

    @property
    def merges(self) -> bool:
        """Whether of several in one frame the last is enough."""
        return self.kind == "value" and not self.several

    @property
    def presses(self) -> bool:
        """Whether it is a button's: a number only says that it is pressed."""
        return self.kind == "trigger" and self.arguments[0].kind in ("press", "text")

    @property
    def relative(self) -> bool:
        """Whether it can be told a change: it holds one number."""
        first, *others = self.arguments
        return self.kind == "value" and first.kind == "number" and all(a.optional for a in others)

    @property
    def slews(self) -> bool:
        """Whether its last argument says how long it takes."""
        return self.arguments[-1] == SECONDS


class Change(NamedTuple):
    """What is to be done with the value that an address was last set to: "+", "-" or "*"."""

    address: str
    operator: str
    operand: float
    rest: tuple[object, ...] = ()

    def after(self, value: float) -> float:
        """The value that comes of it; may be out of every range."""
        if self.operator == "*":
            return value * self.operand
        return value + (self.operand if self.operator == "+" else -self.operand)


def _number(name: str, low: float, high: float, optional: bool = False) -> Argument:
    return Argument(name, "number", float(low), float(high), optional)


_PRESS = Argument("pressed", "press", optional=True)
_ON = Argument("on", "switch")
SECONDS = Argument("seconds", "number", 0.0, LONGEST_S, optional=True)


def _pane(name: str) -> tuple[Address, ...]:
    """What can be set of one pane of the overlay."""
    place = (
        _number("left", -1, 2),
        _number("top", -1, 2),
        _number("width", 0.02, 2),
        _number("height", 0.02, 2),
    )
    return (
        Address(f"overlay/pane/{name}", "value", (_ON,), f"1 opens the {name}, 0 closes it"),
        Address(
            f"overlay/pane/{name}/opacity",
            "value",
            (_number("opacity", 0, 1),),
            f"how far the {name} covers what is behind it",
        ),
        Address(
            f"overlay/pane/{name}/place",
            "value",
            place,
            f"where the {name} is in this overlay, in parts of the picture",
        ),
    )


_ALL = (
    Address("tempo/bpm", "value", (_number("bpm", 20, 300),), "beats a minute"),
    Address("tempo/norm", "value", (_number("norm", 0, 1),), "tempo on a fader, over 20-300 BPM"),
    Address("tempo/tap", "trigger", (_PRESS,), "tap the tempo"),
    Address("tempo/nudge", "trigger", (_number("beats", -16, 16),), "ahead or back, eased"),
    Address("tempo/mult", "trigger", (_number("factor", 0.125, 8),), "2 doubles the tempo, 0.5"),
    Address(
        "tempo/beat",
        "trigger",
        (Argument("number", "integer", optional=True), _number("bpm", 20, 300, optional=True)),
        "a beat is now, and optionally the tempo",
    ),
    Address("tempo/downbeat", "trigger", (_PRESS,), "the first beat of a bar of four is now"),
    Address("tempo/phase", "value", (_number("phase", 0, 1),), "how far into a beat it is now"),
    Address(
        "tempo/source",
        "value",
        (Argument("name", "choice", choices=SOURCES),),
        "who leads the tempo: the highest that speaks, or one alone",
    ),
    Address("play", "value", (_ON,), "1 plays, 0 pauses"),
    Address("stop", "trigger", (_PRESS,), "pause, and back to the beginning of the cue"),
    Address("speed", "value", (_number("factor", -8, 8),), "factor on the tempo; below 0 reversed"),
    Address("position", "value", (_number("position", 0, 1),), "a fader under the playhead"),
    Address("cue/go", "trigger", (Argument("cue", "cue", optional=True),), "to a cue, or the next"),
    Address("cue/next", "trigger", (_PRESS,), "to the next cue"),
    Address("cue/back", "trigger", (_PRESS,), "to the cue before"),
    Address("cue/hold", "value", (_ON,), "1 holds the picture where it is, 0 goes on from there"),
    Address("psi", "value", (_number("psi", -2, 2), SECONDS), "multiplies the psi of the path"),
    Address(
        "noise", "value", (_number("strength", 0, 2), SECONDS), "multiplies the network's noise"
    ),
    Address(
        "key/seed",
        "value",
        (
            Argument("seed", "integer", 0, 2**32 - 1),
            Argument("key", "integer", 1, 10_000, optional=True),
        ),
        "another seed for a key of this cue, the coming one or that number, from the next beat",
        several=True,
    ),
    Address(
        "network",
        "value",
        (Argument("name", "text"),),
        "this cue on another network of the set list's folder, from the next beat",
    ),
    Address("master", "value", (_number("level", 0, 1), SECONDS), "brightness"),
    Address("blackout", "value", (_ON,), "1 is black, whatever the master says"),
    Address("freeze", "value", (_ON,), "1 keeps the picture on screen"),
    Address(
        "fade",
        "value",
        (_number("target", 0, 1), _number("seconds", 0, 3600)),
        "move the master to a level",
    ),
    Address("fullscreen", "value", (_ON,), "1 fills the monitor, 0 is a window"),
    Address(
        "monitor",
        "value",
        (Argument("monitor", "monitor"),),
        "to the monitor of that number, or whose name has that in it",
    ),
    Address("panic", "trigger", (_PRESS,), "black in 0.5 s and held; again, a second later, back"),
    Address("panic/undo", "trigger", (_PRESS,), "back from panic at once"),
    Address(
        "overlay",
        "value",
        (Argument("name", "choice", choices=NAMES),),
        "what is over the picture: " + ", ".join(NAMES),
    ),
    Address("overlay/visible", "value", (_ON,), "0 closes the overlay, 1 opens it as it was"),
    Address("overlay/opacity", "value", (_number("opacity", 0, 1),), "of the whole overlay"),
    *(address for pane in PANES for address in _pane(pane)),
    Address(
        "record/start",
        "trigger",
        (Argument("name", "text", optional=True),),
        "record the picture, to a file of that name beside the others",
    ),
    Address("record/stop", "trigger", (_PRESS,), "end the recording"),
    Address(
        "record/marker",
        "trigger",
        (Argument("text", "text", optional=True),),
        "mark this moment in the recording",
    ),
    Address("ping", "trigger", (_PRESS,), "answer that the show is there"),
    Address(
        "subscribe",
        "trigger",
        (
            Argument("port", "integer", 1, 65535),
            Argument("pattern", "text", optional=True),
        ),
        "tell that port of the sender's what changes, for a minute",
    ),
)

ADDRESSES: Mapping[str, Address] = MappingProxyType({address.name: address for address in _ALL})


OF_THE_STAGE = ("fullscreen", "monitor", "network", "key/seed")
"""What is no part of the show's state: where its picture goes, and the set list. A take keeps the
set lists themselves."""


def change(address: Address, args: Sequence[object]) -> Change | None:
    """The change that these OSC arguments mean; None where they set a value.

    Raises ValueError, in one line, for a change that cannot be meant.
    """
    given = [arg for arg in args if arg is not None]
    if not given or given[0] not in ("+", "-", "*") or not isinstance(given[0], str):
        return None
    if not address.relative:
        raise ValueError(f"{address.name}: cannot be changed by {given[0]!r}, only set")
    if not 2 <= len(given) <= 1 + len(address.arguments):
        raise ValueError(f"{address.name}: {given[0]!r} takes a number")
    operand = _as_number(address.name, address.arguments[0], given[1])
    return Change(address.name, given[0], operand, tuple(given[2:]))


def coerce(address: Address, args: Sequence[object]) -> Message | None:
    """The message that these OSC arguments mean; None for the release of a button.

    Takes i f d h T F and numeric strings as int, float, bool and str; N (None) counts as absent,
    and I is handed in as True. Raises ValueError, in one line, for what cannot be meant.
    """
    given = [arg for arg in args if arg is not None]
    if given in ([], ["?"]) and address.kind == "value":
        return Message(address.name)
    if address.kind == "trigger" and len(given) == 1 and _is_zero(given[0]):
        return None
    if len(given) > len(address.arguments):
        raise ValueError(f"{address.name}: {len(given)} arguments, {_wanted(address)}")
    coerced: list[Value] = []
    for argument, value in zip(address.arguments, given, strict=False):
        coerced += _coerced(address.name, argument, value)
    if any(not argument.optional for argument in address.arguments[len(given) :]):
        raise ValueError(f"{address.name}: {len(given)} arguments, {_wanted(address)}")
    return Message(address.name, tuple(coerced))


def _coerced(address: str, argument: Argument, value: object) -> tuple[Value, ...]:
    """The argument as its kind wants it; nothing where it carries nothing."""
    if argument.kind == "cue":
        return _cue(address, value)
    if argument.kind == "monitor":
        return (_monitor(address, argument, value),)
    if argument.kind == "text":
        return _text(address, argument, value)
    if argument.kind == "choice":
        return (_choice(address, argument, value),)
    number = _as_number(address, argument, value)
    if argument.kind == "press":
        return ()
    if argument.kind == "switch":
        return (int(number >= 0.5),)
    if argument.kind == "integer":
        return (_within(address, argument, _whole(address, argument, number)),)
    return (min(max(number, argument.low), argument.high),)


def _cue(address: str, value: object) -> tuple[Value, ...]:
    """A name stays as it is; a pressed button names no cue, so it is go without a cue."""
    if value is True:
        return ()
    if isinstance(value, str) and value.strip():
        return (value,)
    argument = ADDRESSES[address].arguments[0]
    return (_whole(address, argument, _as_number(address, argument, value)),)


def _monitor(address: str, argument: Argument, value: object) -> Value:
    """A number, or words to look for in names."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    if words and words.isprintable() and not words.isdecimal():
        return words[:LONGEST_TEXT]
    return _whole(address, argument, _as_number(address, argument, value))


def _text(address: str, argument: Argument, value: object) -> tuple[Value, ...]:
    """Words in one line; the number of a pressed button is none."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    if words and words.isprintable():
        return (words[:LONGEST_TEXT],)
    if not argument.optional:
        raise ValueError(f"{address}: {argument.name} must be words, got {value!r:.60}")
    if not isinstance(value, str):
        _as_number(address, argument, value)
    return ()


def is_named(address: Address, value: object) -> bool:
    """Whether a value is words that go with a press, rather than the number of the button."""
    return address.presses and address.arguments[0].kind == "text" and isinstance(value, str)


def _choice(address: str, argument: Argument, value: object) -> str:
    if isinstance(value, str) and value in argument.choices:
        return value
    shown = repr(value) if isinstance(value, (str, int, float)) else type(value).__name__
    raise ValueError(
        f"{address}: {argument.name} must be one of {', '.join(argument.choices)}, got {shown:.60}"
    )


def _whole(address: str, argument: Argument, number: float) -> int:
    if number != math.floor(number):
        raise ValueError(f"{address}: {argument.name} must be a whole number, got {number:g}")
    return int(number)


def _within(address: str, argument: Argument, number: int) -> int:
    if not argument.low <= number <= argument.high:
        wanted = f"{argument.name} is from {argument.low} to {argument.high}"
        raise ValueError(f"{address}: {wanted}, got {number:.12g}")
    return number


def _as_number(address: str, argument: Argument, value: object) -> float:
    number = number_of(value)
    if number is None or not math.isfinite(number):
        shown = repr(value) if isinstance(value, (str, int, float)) else type(value).__name__
        raise ValueError(f"{address}: {argument.name} must be a finite number, got {shown:.60}")
    return number


def number_of(value: object) -> float | None:
    """The number that an OSC argument or a numeric string stands for."""
    if not isinstance(value, (int, float, str)) or (isinstance(value, str) and "_" in value):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_zero(value: object) -> bool:
    return number_of(value) == 0.0


def _wanted(address: Address) -> str:
    names = [f"[{a.name}]" if a.optional else a.name for a in address.arguments]
    return f"it takes {' '.join(names)}"
