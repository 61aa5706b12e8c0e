"""The map entry for whatever is moved next, from what it sent. Pure."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence

from pydantic import ValidationError

from engine.errors import UserError
from live.addresses import ADDRESSES, number_of
from live.desks import DeskFile
from live.patterns import is_pattern
from live.setlist_faults import fault
from live.trace import Heard


class Learner:
    """Gathers what arrives, and picks what was moved out of what only chatters."""

    def __init__(self) -> None:
        self._heard: dict[str, list[Sequence[object]]] = {}

    def hear(self, heard: Heard) -> None:
        """Something arrived."""
        if not is_pattern(heard.address) and heard.address.startswith("/"):
            self._heard.setdefault(heard.address, []).append(heard.args)

    @property
    def moved(self) -> Heard | None:
        """What was moved: what changed most, or else came first; its last message."""
        if not self._heard:
            return None
        address = max(self._heard, key=lambda one: len({str(args) for args in self._heard[one]}))
        return Heard(address, self._heard[address][-1])

    def entry(self, to: str, counts_to: tuple[float, float] | None) -> str:
        """The [[osc.map]] entry that sets `to` by what was moved, as TOML.

        counts_to: the range that the fader counts. Without one it has to be 0 to 1. Raises
        UserError where nothing was moved, where what was needs a range, or makes no entry.
        """
        moved = self.moved
        if moved is None:
            raise UserError("nothing was moved; is the desk sending here? see anthesis osc monitor")
        sent = self._heard[moved.address]
        lines = ["[[osc.map]]", f"address = {json.dumps(moved.address)}", f'to = "{to}"']
        value = _value_of(sent)
        if value is not None:
            if value:
                lines.append(f"arg = {value}")
            lines += _scaling(to, [args[value] for args in sent if len(args) > value], counts_to)
        guard = moved.args[0] if value else None
        if isinstance(guard, str) and number_of(guard) is None:
            lines.append(f"when = {{ 0 = {json.dumps(guard)} }}")
        text = "\n".join(lines) + "\n"
        document = tomllib.loads(text)
        try:
            DeskFile.model_validate(document)
        except ValidationError as error:
            raise UserError(fault(error, DeskFile, document)) from error
        return text


def _value_of(sent: Sequence[Sequence[object]]) -> int | None:
    """Which argument is the value: the last number that changed, or else the last number."""
    numbers: list[int] = []
    changing: list[int] = []
    for n in range(min(map(len, sent))):
        values = {number_of(args[n]) for args in sent}
        if None not in values:
            numbers.append(n)
            if len(values) > 1:
                changing.append(n)
    return next(iter([*reversed(changing), *reversed(numbers)]), None)


def _scaling(to: str, values: Sequence[object], counts_to: tuple[float, float] | None) -> list[str]:
    """The entry's input range; none for what takes numbers as they come, such as cues."""
    first = ADDRESSES[to].arguments[0]
    ranged = first.kind in ("switch", "press") or math.isfinite(first.low + first.high)
    if counts_to is not None:
        return [f"input = [{counts_to[0]:g}, {counts_to[1]:g}]"]
    if not ranged:
        return []
    numbers = [number for number in map(number_of, values) if number is not None]
    outside = next((number for number in numbers if not 0.0 <= number <= 1.0), None)
    if outside is not None:
        raise UserError(
            f"what was moved sent {outside:g}: say what it counts to, for example --input 0 100"
        )
    return ["input = [0, 1]"]
