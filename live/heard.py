"""What a sound device gave, each block at its place, with the gaps in which blocks were lost.

How long a gap was is known from time stamps only, each of them some milliseconds off. So what comes
after one stays loose until its place is needed, or 0.4 s of it are there, and is then put where
those time stamps say on average.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from live.sound_clock import SoundClock

Samples = NDArray[np.float32]

GATHERED_S = 0.4
"""The time stamps of so much sound decide where it belongs."""
KEPT_S = 10
"""Of sound that nobody takes; older sound is let go."""

# Blocks were lost if a time stamp is off by more than both, or several that are off the same way by
# more than the first add up to the second. So the loss of a single block shows, and a false alarm
# costs nothing: the time stamps that follow decide.
_SLACK_NS = 8e6
_ALARM_NS = 40e6
_MISTAKEN_NS = 30e6  # a time stamp that is further off tells nothing of the device's clock
# What looks like a shorter gap were mistaken time stamps. If not, it is half a picture's time, and
# is caught up with by stretching, which is better than two clicks that may be wrong.
_NO_GAP_S = 0.015
_ALIKE_S = 0.015  # so far from the middle one, time stamps are mistaken


class Heard:
    """Blocks of sound, placed by the device's own count of samples, gaps included.

    rate: samples a second; channels: of each block. Times are ns of show time.
    """

    def __init__(self, rate: int, channels: int, clock: SoundClock) -> None:
        self._rate = rate
        self._channels = channels
        self._clock = clock
        # The place of its first sample, its time stamp and the samples of each block.
        self._placed: deque[tuple[int, int, Samples]] = deque()
        self._end = 0  # the place after the last one
        self._loose: list[tuple[int, Samples]] = []  # with their time stamps, after a jump
        self._held = 0  # samples in both
        self._dropped: int | None = None  # places before this one are not asked for any more
        self._read_to = 0  # places before this one have been
        self._late, self._early = _Shift(), _Shift()

    @property
    def end(self) -> int:
        """The place after the last sample whose place is decided."""
        return self._end

    def add(self, samples: Samples, at_ns: int) -> int:
        """Keep a block, float32 [n, channels], said to have been heard at `at_ns`.

        Return how many samples are lost thereby: because their place has passed, or because nobody
        took the oldest.
        """
        self._held += len(samples)
        lost = 0
        if self._loose or self._shifts(at_ns):
            self._loose.append((at_ns, samples))
        else:
            lost = self._place(samples, at_ns)
        if sum(len(block) for _, block in self._loose) >= GATHERED_S * self._rate:
            lost += self._settle()
        return lost + self._let_go()

    def read(self, first: int, end: int) -> tuple[Samples, NDArray[np.bool_]]:
        """What is at the places from `first` up to, without, `end`, with silence in the gaps.

        Returns samples float32 [end - first, channels], and where there was sound, bool [end -
        first].
        """
        if self._loose and end > self._end + max(0, self._gap()):
            self._settle()
        self._read_to = end
        samples = np.zeros((end - first, self._channels), np.float32)
        present = np.zeros(end - first, np.bool_)
        for place, _, block in self._placed:
            begins, ends = max(place, first), min(place + len(block), end)
            if begins < ends:
                samples[begins - first : ends - first] = block[begins - place : ends - place]
                present[begins - first : ends - first] = True
        return samples, present

    def drop(self, before: int) -> None:
        """Forget what lies before that place; blocks that end after it are kept whole."""
        self._dropped = before
        while self._placed and self._placed[0][0] + len(self._placed[0][2]) <= before:
            self._held -= len(self._placed.popleft()[2])

    def _off(self, at_ns: int) -> float:
        """By how many ns a block at the end is later than was to be expected."""
        return at_ns - self._clock.time_at(self._end)

    def _shifts(self, at_ns: int) -> bool:
        """Whether this and the time stamps before it are off; those blocks then are loose again."""
        if not self._clock.started:
            return False
        off = self._off(at_ns)
        for shift, this_way in ((self._late, off), (self._early, -off)):
            if shift.add(this_way):
                self._loosen(shift.blocks - 1)
                return True
        return False

    def _loosen(self, blocks: int) -> None:
        """Take back the last blocks, but for those that were read."""
        while blocks and self._placed and self._placed[-1][0] >= self._read_to:
            self._end, at_ns, samples = self._placed.pop()
            self._loose.insert(0, (at_ns, samples))
            blocks -= 1

    def _gap(self) -> int:
        """Samples between the last placed block and the loose ones; below 0 if those overlap."""
        offset, gaps = self._end, []
        for at_ns, samples in self._loose:
            gaps.append(self._clock.index_at(at_ns) - offset)
            offset += len(samples)
        off = np.array(gaps)
        alike = off[np.abs(off - np.median(off)) <= _ALIKE_S * self._rate]
        gap = float(alike.mean()) if len(alike) else float(np.median(off))
        return 0 if abs(gap) < _NO_GAP_S * self._rate else round(gap)

    def _settle(self) -> int:
        """Place the loose blocks; return how many of their samples come too late."""
        gap = self._gap()
        if gap:
            self._end += gap
            self._clock.doubt()
        self._late, self._early = _Shift(), _Shift()
        loose, self._loose = self._loose, []
        return sum(self._place(samples, at_ns) for at_ns, samples in loose)

    def _place(self, samples: Samples, at_ns: int) -> int:
        """Put a block at the end; return how many of its samples come too late."""
        if not self._clock.started or abs(self._off(at_ns)) < _MISTAKEN_NS:
            self._clock.observe(self._end, at_ns)
        late = 0
        if self._dropped is not None:
            late = min(max(self._dropped - self._end, 0), len(samples))
        if late < len(samples):
            self._placed.append((self._end, at_ns, samples))
        else:
            self._held -= len(samples)
        self._end += len(samples)
        return late

    def _let_go(self) -> int:
        lost = 0
        while self._held - lost > KEPT_S * self._rate and self._placed:
            lost += len(self._placed.popleft()[2])
        self._held -= lost
        return lost


class _Shift:
    """Time stamps that are off one way, more than jitter would make them (a CUSUM test)."""

    def __init__(self) -> None:
        self._sum = 0.0  # ns
        self.blocks = 0  # since they are

    def add(self, off: float) -> bool:
        """Given how much the next one is off that way, in ns: whether they have shifted."""
        self._sum = max(0.0, self._sum + off - _SLACK_NS)
        self.blocks = self.blocks + 1 if self._sum else 0
        return self._sum > _ALARM_NS
