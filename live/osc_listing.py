"""Every address that a desk may send or hear, for reading: as text and as data."""

from __future__ import annotations

import math
from typing import Any

from live.addresses import ADDRESSES, Address, Argument
from live.feedback import FEEDBACK

_TYPES = {
    "number": "f",
    "integer": "i",
    "switch": "i",
    "cue": "i or s",
    "monitor": "i or s",
    "choice": "s",
    "text": "s",
    "press": "i",
}


def text(prefix: str = "/anthesis") -> str:
    """A line for each address: what it takes, and what it does."""
    rows = [(f"{prefix}/{a.name}", _takes(a), _says(a)) for a in ADDRESSES.values()]
    told = [(f"{prefix}/{name}", tags, says) for name, (tags, says) in FEEDBACK.items()]
    wide = [max(len(row[column]) for row in rows + told) for column in (0, 1)]

    def lines(table: list[tuple[str, str, str]]) -> list[str]:
        return [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c}".rstrip() for a, b, c in table]

    return "\n".join(
        [
            *lines(rows),
            "",
            'Values (=) answer with their value when they come without argument or with "?";',
            'levels (~) take a change, too: "+", "-" or "*" and a number. A lone 0 to a trigger',
            "is its release.",
            "",
            f"Told to whoever sends {prefix}/subscribe with a port, for a minute:",
            "",
            *lines(told),
        ]
    )


def record(prefix: str = "/anthesis") -> dict[str, Any]:
    """The same, for programs."""
    return {
        "prefix": prefix,
        "addresses": [
            {
                "address": f"{prefix}/{address.name}",
                "parameter": address.name,
                "kind": address.kind,
                "relative": address.relative,
                "arguments": [_argument(argument) for argument in address.arguments],
                "meaning": address.meaning,
            }
            for address in ADDRESSES.values()
        ],
        "feedback": [
            {"address": f"{prefix}/{name}", "types": tags, "meaning": says}
            for name, (tags, says) in FEEDBACK.items()
        ],
    }


def _argument(argument: Argument) -> dict[str, Any]:
    low, high = argument.low, argument.high
    if argument.kind in ("switch", "press"):
        low, high = 0, 1
    return {
        "name": argument.name,
        "types": _TYPES[argument.kind],
        "kind": argument.kind,
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
        "optional": argument.optional,
        "choices": list(argument.choices),
    }


def _takes(address: Address) -> str:
    said = (_range(argument) for argument in address.arguments)
    pairs = zip(said, address.arguments, strict=True)
    return " ".join(f"[{text}]" if argument.optional else text for text, argument in pairs)


def _range(argument: Argument) -> str:
    kind = _TYPES[argument.kind]
    if argument.choices:
        return "|".join(argument.choices)
    if argument.kind in ("switch", "press"):
        return "0|1"
    if not math.isfinite(argument.low) or not math.isfinite(argument.high):
        return f"{argument.name}:{kind.replace(' or ', '|')}"
    return f"{argument.name}:{kind} {argument.low:g}..{argument.high:g}"


def _says(address: Address) -> str:
    sign = "~" if address.relative else "=" if address.kind == "value" else " "
    return f"{sign} {address.meaning}"
