"""What a desk is told of the show, under out/, once it has subscribed. Pure.

`live.subscribers` sees to it that nothing is told twice, or more than 20 times a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from live.addresses import Value
from live.gpus import Sample
from live.show import Programme, Show

NOT_REPORTED = -1.0

Told: TypeAlias = tuple[str, tuple[Value, ...]]

FEEDBACK: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "out/bpm": ("f", "beats a minute"),
        "out/beat": ("i f", "beats since the show began, and how far into the next, 0 to 1"),
        "out/cue": ("i s", "number and name of the cue"),
        "out/fps": ("f", "pictures a second that the audience sees"),
        "out/record": ("i i s", "1 while it records, frames, file or why it ended"),
        "out/gpu/<n>": ("f f f", "load in %, memory in %, degrees Celsius; -1 is not reported"),
        "out/heartbeat": ("i", "seconds of show time, once a second: the show is alive"),
        "out/heard": (
            "s s i s ...",
            "who sent it, what it did, lines lost, the message; if asked for",
        ),
    }
)
"""What there is, with the types of its arguments and what they are."""


def feedback(
    show: Show, at: int, programme: Programme, interval: int, sample: Sample | None
) -> Iterator[Told]:
    """What is true at show time `at` (ns), to which the show was advanced.

    interval: between two pictures, of late, in ns. sample: what is known of the GPUs.
    """
    beat = show.transport.beat_at(at)
    cue = show.voice.cue
    yield "out/bpm", (round(show.transport.bpm, 3),)
    yield "out/beat", (math.floor(beat), round(beat % 1.0, 3))
    yield "out/cue", (cue + 1, programme[cue].name)
    yield "out/fps", (round(1e9 / max(interval, 1), 1),)
    yield "out/heartbeat", (at // 1_000_000_000,)
    for card in sample.cards if sample is not None else ():
        facts = (card.utilisation, card.memory_share, card.temperature)
        reported = tuple(NOT_REPORTED if fact is None else round(fact, 1) for fact in facts)
        yield f"out/gpu/{card.index}", reported
