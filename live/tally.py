"""What has become of the messages that arrived, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Malformation: TypeAlias = Literal[
    "not OSC", "damaged", "too large", "type tags", "pattern", "bundle", "framing", "argument"
]


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages so far; a bundle counts as those in it, a pattern as the addresses it means.

    `received` is the sum of the next four and of what still waits:
    `applied`: handed to the show, questions and the releases of buttons included;
    `merged`: replaced, before the show saw it, by a newer value for the same address;
    `refused`: from a sender that is not allowed, to an address unknown here, one too many, too far
    ahead, or from a fader that has not picked up its value;
    `malformed`: not OSC, or with arguments that the address cannot take; `kinds` tells which.
    `late` are those, among the others, that came after the time of their bundle.
    """

    received: int = 0
    applied: int = 0
    merged: int = 0
    refused: int = 0
    malformed: int = 0
    late: int = field(default=0, compare=False)
    kinds: Mapping[Malformation, int] = field(default_factory=dict, compare=False)

    def asdict(self) -> dict[str, int]:
        """What the statistics write of every message."""
        return {
            "received": self.received,
            "applied": self.applied,
            "merged": self.merged,
            "refused": self.refused,
            "malformed": self.malformed,
        }

    def details(self) -> dict[str, Any]:
        """And beside that."""
        return {"late": self.late, "malformed": dict(sorted(self.kinds.items()))}


class Tally:
    """Counts that one thread adds to."""

    def __init__(self) -> None:
        self.received = self.applied = self.merged = self.refused = self.late = 0
        self.kinds: Counter[Malformation] = Counter()


def total(heard: Tally, read: Tally) -> Counts:
    """The counts of two threads together."""
    kinds = heard.kinds + read.kinds
    return Counts(
        heard.received + read.received,
        heard.applied + read.applied,
        heard.merged + read.merged,
        heard.refused + read.refused,
        sum(kinds.values()),
        heard.late + read.late,
        kinds,
    )
