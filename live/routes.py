"""The table that a desk's messages go through: from an address and arguments to what is meant.

Built once, from the patch and the namespace. An address is looked up in dictionaries first and
matched against the patch's patterns only the first time that it comes; no message is matched
against a regular expression.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from live.addresses import ADDRESSES, Address, Change, Message, change, coerce, is_named, number_of
from live.mapping import MapEntry, Takeover
from live.patterns import Pattern, is_pattern, matching
from live.slew import Slew

KNOWN_ADDRESSES = 4096  # whose routes are remembered; senders can invent any number
MOST_REMEMBERED = 4096  # buttons, of all senders

Args: TypeAlias = Sequence[object]


class Patch(NamedTuple):
    """What a set list and a desk's file say of a desk.

    slew, takeover: by parameter, for whatever sets it and says nothing of its own.
    beneath: entries for addresses that none of `entries` is for.
    """

    entries: tuple[MapEntry, ...] = ()
    slew: Mapping[str, Slew] = {}
    takeover: Mapping[str, Takeover] = {}
    beneath: tuple[MapEntry, ...] = ()


class Manner(NamedTuple):
    """How a value gets to its parameter.

    slew: the time it takes, unless the message says. pickup: who must first pick the parameter up;
    None where it jumps.
    """

    slew: Slew | None = None
    pickup: Hashable = None


class Meant(NamedTuple):
    """A message that the show can obey; with a change, once the value is known that it changes."""

    message: Message
    manner: Manner = Manner()
    change: Change | None = None


class Memory:
    """Where buttons stood, by who has them: for rising edges. Bounded, the oldest is forgotten."""

    def __init__(self) -> None:
        self._last: OrderedDict[Hashable, object] = OrderedDict()

    def swap(self, key: Hashable, value: object) -> object:
        """Remember a value; what was there before, None if nothing."""
        before = self._last.pop(key, None)
        self._last[key] = value
        if len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)
        return before


class Native:
    """An address of the namespace: its arguments are what it takes."""

    def __init__(self, address: Address, patch: Patch) -> None:
        self.target = address
        self._slew = patch.slew.get(address.name)
        self._picks_up = patch.takeover.get(address.name) == "pickup"
        self.merges = address.merges

    def applies(self, args: Args) -> bool:
        """Whether the message is for it."""
        return True

    def read(self, address: str, args: Args, who: str, memory: Memory) -> Meant | None:
        """What is meant; None for what does nothing, as the release of a button.

        Raises ValueError for arguments that the address cannot take.
        """
        manner = Manner(self._slew, (self.target.name, who) if self._picks_up else None)
        changed = change(self.target, args)
        if changed is not None:
            return Meant(Message(self.target.name, (changed.operand,)), manner, changed)
        message = coerce(self.target, args)
        if self.target.presses and not self._rises(args, who, memory):
            return None
        return None if message is None else Meant(message, manner)

    def _rises(self, args: Args, who: str, memory: Memory) -> bool:
        """A fader presses once on its way up; a button that never says 0 does every time.

        Such a button sends the same number again and again, a fader on its way another one.
        """
        pressed = next((arg for arg in args if arg is not None), None)
        value = None if is_named(self.target, pressed) else number_of(pressed)
        if value is None:
            return True
        before = memory.swap((self.target.name, who), value)
        return before in (None, 0.0, value)


class Rule:
    """An entry of the patch, made ready."""

    def __init__(self, entry: MapEntry, number: int, patch: Patch) -> None:
        self.target = entry.target
        self._entry = entry
        self._number = number
        self._when = [(int(place), wanted) for place, wanted in entry.when.items()]
        self._scale = entry.transform() if entry.scales else None
        self._slew = entry.slew or patch.slew.get(entry.to)
        takeover = entry.takeover or patch.takeover.get(entry.to)
        self._picks_up = takeover == "pickup"
        self._gated = entry.args is not None or self.target.presses or entry.fires is not None
        self._fires = entry.fires or "rise"
        low, high = entry.input or (0.0, 1.0)
        self._middle, self._falling = (low + high) / 2, (high < low) != entry.invert
        # What may be merged before it is read: no gate would notice what was left out.
        self.merges = self.target.merges and not self._gated and not self._when

    def applies(self, args: Args) -> bool:
        """Whether its guard lets the message pass."""
        return all(n < len(args) and _same(args[n], wanted) for n, wanted in self._when)

    def read(self, address: str, args: Args, who: str, memory: Memory) -> Meant | None:
        """See `Native.read`."""
        entry = self._entry
        key = (self._number, who)
        changed = None if self._scale or self._gated else change(self.target, args)
        manner = Manner(self._slew, key if self._picks_up else None)
        if changed is not None:
            return Meant(Message(self.target.name, (changed.operand,)), manner, changed)
        values = self._values(address, args)
        if self._gated and not self._passes(values, key, memory):
            return None
        if entry.args is not None:
            wanted: Args = entry.args
        elif self.target.presses and not (values and is_named(self.target, values[0])):
            wanted = ()
        elif self._scale is None or self.target.presses:  # words stay what they are
            wanted = values
        else:
            wanted = [self._scaled(value) for value in values]
        message = coerce(self.target, wanted)
        if message is not None and not message.args and self.target.kind == "value":
            raise ValueError(f"{self.target.name}: no value in the message")
        return None if message is None else Meant(message, manner)

    def _values(self, address: str, args: Args) -> list[object]:
        """What the entry selects; nothing in a message without arguments."""
        entry = self._entry
        if entry.part is not None:
            parts = address.split("/")
            if not -len(parts) < entry.part < len(parts):
                raise ValueError(f"{entry.to}: the address has no part {entry.part}")
            return [parts[entry.part]]
        if not args:
            return []
        if entry.args is not None and entry.arg[0] >= len(args):
            return []
        missing = next((n for n in entry.arg if n >= len(args)), None)
        if missing is not None:
            raise ValueError(f"{entry.to}: there is no argument {missing}, only {len(args)}")
        return [args[n] for n in entry.arg]

    def _passes(self, values: Sequence[object], key: Hashable, memory: Memory) -> bool:
        """Whether the message fires, rather than releases or repeats."""
        if not values:
            return True
        if self._fires == "change":
            return memory.swap(key, values[0]) != values[0]
        number = number_of(values[0])
        if number is None or is_named(self.target, values[0]):
            return True
        if not math.isfinite(number):
            raise ValueError(f"{self.target.name}: {number} is not finite")
        up = number <= self._middle if self._falling else number >= self._middle
        before = memory.swap(key, up)
        return up and (self._fires == "every" or not before)

    def _scaled(self, value: object) -> float:
        number = number_of(value)
        if number is None or not math.isfinite(number):
            shown = repr(value) if isinstance(value, (str, float)) else type(value).__name__
            raise ValueError(f"{self.target.name}: {shown:.60} is no finite number to be scaled")
        assert self._scale is not None
        try:
            return self._scale(number)
        except (OverflowError, ZeroDivisionError):  # unclamped, far outside of a curve
            raise ValueError(f"{self.target.name}: {number:g} is far outside the range") from None


Route: TypeAlias = Native | Rule


class _Rules:
    """Rules by their addresses and patterns."""

    def __init__(self) -> None:
        self.exact: dict[str, list[Rule]] = {}
        self._patterns: list[tuple[Pattern, Rule]] = []

    def add(self, addresses: Sequence[str], rule: Rule) -> None:
        """One more."""
        for address in addresses:
            if is_pattern(address):
                self._patterns.append((Pattern(address), rule))
            else:
                self.exact.setdefault(address, []).append(rule)

    def of(self, address: str) -> tuple[Rule, ...]:
        """Those that an address is for, each once."""
        matching = [rule for pattern, rule in self._patterns if pattern.fits(address)]
        return tuple(dict.fromkeys([*self.exact.get(address, ()), *matching]))


class Routes:
    """All routes of a server: `prefix` begins the addresses of the namespace."""

    def __init__(self, prefix: str, patch: Patch) -> None:
        self._natives = {f"{prefix}/{n}": Native(a, patch) for n, a in ADDRESSES.items()}
        self._rules, self._beneath = _Rules(), _Rules()
        for number, entry in enumerate(patch.entries + patch.beneath):
            rules = self._rules if number < len(patch.entries) else self._beneath
            rules.add(entry.address, Rule(entry, number, patch))
        exact = (*self._rules.exact, *self._beneath.exact)
        self._addresses = tuple(dict.fromkeys([*exact, *self._natives]))
        self._memory = Memory()
        self.of = lru_cache(KNOWN_ADDRESSES)(self._of)
        self.merges = lru_cache(KNOWN_ADDRESSES)(self._merges)

    def meant(self, address: str, args: Args) -> list[tuple[str, Route]]:
        """The routes of a message, each with the address that it is for.

        Raises ValueError for an address pattern that is none.
        """
        meant: list[tuple[str, Route]] = []
        for one, rules, native in self.of(address):
            applying: list[tuple[str, Route]] = [
                (one, rule) for rule in rules if rule.applies(args)
            ]
            if not applying and native is not None:
                applying = [(one, native)]
            meant += applying
        return meant

    def read(self, route: Route, address: str, args: Args, who: str) -> Meant | None:
        """What a message from `who` means on one of its routes; see `Native.read`."""
        return route.read(address, args, who, self._memory)

    def _of(self, address: str) -> tuple[tuple[str, tuple[Rule, ...], Native | None], ...]:
        """What an address or an address pattern can be for."""
        rules = self._rules.of(address) or self._beneath.of(address)
        native = self._natives.get(address)
        if rules or native is not None:
            return ((address, rules, native),)
        if not is_pattern(address):
            return ()
        found = [self._of(one) for one in matching(address, self._addresses)]
        return tuple(one for several in found for one in several)

    def _merges(self, address: bytes) -> bool:
        """Whether of several messages with a number to this very address the last is enough."""
        try:
            text = address.decode("ascii")
        except UnicodeDecodeError:
            return False
        if is_pattern(text):
            return False
        of = self.of(text)
        return bool(of) and all(
            (not rules and native is not None and native.merges)
            or (bool(rules) and all(rule.merges for rule in rules))
            for _, rules, native in of
        )


def _same(value: object, wanted: float | str) -> bool:
    """Whether an argument is what a guard wants: a word, or a number however it is sent."""
    if isinstance(wanted, str):
        return value == wanted
    return number_of(value) == wanted
