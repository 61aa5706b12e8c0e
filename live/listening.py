"""One device, and the soundtracks of all films that it is heard in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from live.heard import Samples
from live.microphone import SoundInput
from live.soundtrack import Soundtrack


class Track(Soundtrack):
    """A soundtrack that knows its device."""

    def __init__(self, source: SoundInput) -> None:
        super().__init__(source.rate, source.channels)
        self._source = source

    @property
    def facts(self) -> dict[str, Any]:
        """Where it comes from, and how well."""
        known = {"device": self._source.name, "rate": self.rate, "channels": self.channels}
        return {**known, **asdict(self.counts)}


class Listening:
    """Hands what is heard to the newest track: one film is recorded at a time."""

    def __init__(self, source: SoundInput) -> None:
        self._source = source
        self._newest: Track | None = None

    def track(self) -> Track:
        """A new track, of a film that begins."""
        self._newest = Track(self._source)
        return self._newest

    def begin(self, show_time: Callable[[int], int]) -> None:
        """Listen from now on; `show_time` is that of a reading of the clock, both in ns."""

        def hear(samples: Samples, at: int) -> None:
            if self._newest is not None:
                self._newest.put(samples, show_time(at))

        self._source.listen(hear)
