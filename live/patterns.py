"""OSC 1.0 address patterns: ? * [a-z] [!a-z] {this,that}, part by part between slashes.

Matching takes time in proportion to the pattern, whatever it says: patterns come from the network,
and the usual translation into a regular expression can be made to backtrack for seconds. Here the
places in an address that the pattern can have reached are carried along as the bits of an integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 128
"""Characters; no address is half as long. The worst of them is tried on a hundred addresses within
a millisecond."""

_SPECIAL = frozenset("?*[]{}")


def is_pattern(address: str) -> bool:
    """Whether the address holds a character that means something in patterns."""
    return not _SPECIAL.isdisjoint(address)


class Pattern:
    """A pattern made ready: what it says is looked at once, matching an address costs little.

    Raises ValueError for a bracket or brace that is not closed, and for one longer than LONGEST.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST:
            raise ValueError(f"a pattern of {len(pattern)} characters")
        parts = pattern.split("/")
        self._count = len(parts)
        # Most parts of most patterns are plain words, and most addresses differ in one of those.
        self._plain = [(i, part) for i, part in enumerate(parts) if not is_pattern(part)]
        self._others = [(i, _tokens(part)) for i, part in enumerate(parts) if is_pattern(part)]

    def fits(self, address: str) -> bool:
        """Whether it means this address."""
        there = address.split("/")
        return (
            len(there) == self._count
            and all(there[i] == part for i, part in self._plain)
            and all(_fits(tokens, there[i]) for i, tokens in self._others)
        )


@lru_cache(maxsize=256)
def matching(pattern: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `addresses` that the pattern means, in their order.

    Raises ValueError as `Pattern` does.
    """
    return tuple(filter(Pattern(pattern).fits, addresses))


@dataclass(frozen=True, slots=True)
class _Any:
    """*: any characters, or none."""


@dataclass(frozen=True, slots=True)
class _OneOf:
    """One character that is among these, or with `other` one that is not."""

    characters: frozenset[str]
    other: bool = False


@dataclass(frozen=True, slots=True)
class _Either:
    """One of these words."""

    words: tuple[str, ...]


_Token = _Any | _OneOf | _Either


def _tokens(part: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(part):
        character = part[at]
        if character == "*":
            if not tokens or tokens[-1] != _Any():  # one after another is as good as one
                tokens.append(_Any())
        elif character == "?":
            tokens.append(_OneOf(frozenset(), other=True))
        elif character in "[{":
            close = part.find("]" if character == "[" else "}", at)
            if close < 0:
                raise ValueError(f"{character!r} is not closed")
            inside = part[at + 1 : close]
            tokens.append(
                _one_of(inside)
                if character == "["
                else _Either((*dict.fromkeys(inside.split(",")),))
            )
            at = close
        else:
            tokens.append(_OneOf(frozenset(character)))
        at += 1
    return tokens


def _one_of(inside: str) -> _OneOf:
    other = inside.startswith("!")
    inside = inside[1:] if other else inside
    characters: set[str] = set()
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            # Addresses are printable ASCII: no range needs to be wider, whatever it says.
            first, last = ord(inside[at]), min(ord(inside[at + 2]), 127)
            characters.update(map(chr, range(first, last + 1)))
            at += 3
        else:
            characters.add(inside[at])
            at += 1
    return _OneOf(frozenset(characters), other)


def _fits(tokens: Sequence[_Token], text: str) -> bool:
    everywhere = (1 << (len(text) + 1)) - 1
    reached = 1  # bit i: the tokens read so far can have used up text[:i]
    for token in tokens:
        match token:
            case _Any():
                reached = everywhere & -(reached & -reached)  # the lowest bit and all above
            case _OneOf(characters, other):
                good = sum(1 << i for i, c in enumerate(text) if (c in characters) != other)
                reached = (reached & good) << 1
            case _Either(words):
                reached = _after_words(reached, words, text)
        if not reached:
            return False
    return bool(reached >> len(text))


def _after_words(reached: int, words: tuple[str, ...], text: str) -> int:
    after = 0
    for word in words:
        if not word:
            after |= reached
            continue
        at = text.find(word)
        while at >= 0:
            after |= (reached >> at & 1) << (at + len(word))
            at = text.find(word, at + 1)
    return after
