"""Who is told what changes, and when. Pure; times in ns, `live.osc` sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from live.addresses import Value
from live.patterns import matching

Who: TypeAlias = tuple[str, int]
"""Host and port."""

LIFETIME = 60_000_000_000  # since somebody last subscribed; a desk that is gone is forgotten
EVERY = 50_000_000  # between two values of one address: 20 a second
MOST = 32  # at once...
MOST_OF_A_HOST = 4
"""...whose address anybody on the network can pretend to have. One more takes the place of the one
that has not been renewed for longest: who learns fader after fader leaves such behind."""


_Told: TypeAlias = tuple[tuple[Value, ...] | None, int]
"""Values, and when they were told; None is to be told again."""


@dataclass(slots=True)
class _Subscriber:
    pattern: str  # "" for everything
    until: int
    told: dict[str, _Told] = field(default_factory=dict)


class Subscribers:
    """Those who want to be told, each at the address that it has itself."""

    def __init__(self) -> None:
        self._all: dict[Who, _Subscriber] = {}

    def add(self, who: Who, pattern: str, at: int) -> None:
        """Tell `who`, from `at` on for a while, whatever matches; all that is known comes at once.

        However often somebody subscribes, no value is told too soon after the last.

        Raises ValueError for a pattern that is none, and when there are too many already.
        """
        matching(pattern, ())
        self._all = {known: one for known, one in self._all.items() if one.until > at}
        before = self._all.pop(who, None)
        told: dict[str, _Told] = {}
        if before is not None:
            told = {address: (None, when) for address, (_, when) in before.told.items()}
        ports = [known for known in self._all if known[0] == who[0]]  # the oldest first
        if len(ports) >= MOST_OF_A_HOST:
            del self._all[ports[0]]
        if len(self._all) >= MOST:
            raise ValueError(f"{MOST} have subscribed already")
        self._all[who] = _Subscriber(pattern, at + LIFETIME, told)

    def due(self, address: str, args: Sequence[Value], at: int) -> list[Who]:
        """To whom these values of a full address are to be sent now.

        Called with what is true at `at` as often as one likes: the same is not told twice, and what
        comes too soon after the last is told by a later call, if it still holds.
        """
        due, values = [], tuple(args)
        for who, one in self._all.items():
            told, when = one.told.get(address, (None, at - EVERY))
            news = told != values and at - when >= EVERY and one.until > at
            if news and (not one.pattern or matching(one.pattern, (address,))):
                one.told[address] = (values, at)
                due.append(who)
        return due

    def asking(self, address: str, at: int) -> list[Who]:
        """Those whose pattern is this very address, for what only they are told."""
        return [who for who, one in self._all.items() if one.pattern == address and one.until > at]
