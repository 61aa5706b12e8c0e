"""How often engines are asked for a picture, and in which turn of the loop what they make is shown.

Pure: turns are counted and times measured by who calls. An engine that keeps up is asked in every
turn. One that cannot would answer now after one turn and now after two, which is seen as stutter;
so the cadence falls to a steady divisor and shows a new picture in every second, third ... turn.

A turn asks, waits for the frame's time, and shows. A picture can therefore be shown by the turn
that asked for it, if it is there after the wait, or some turns later. The cadence stands on a
ladder, on the lowest step that leaves the engine the time it takes:

    step   asked every   shown by the turn   the engine may take
    0      turn          that asked          the wait
    1      turn          after that          a turn
    2      2nd turn      after that          a turn and the wait
    3      2nd turn      2nd after that      2 turns
    ...

At odd steps a picture is taken just before the next one is asked for, so that a fast frame can
never overtake one that has not been shown. Where turns have no wait, as with vertical sync, even
steps leave no more time than those below them, and are passed over.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice

from live.distribution import Distribution

SECOND = 1_000_000_000
JUDGED = 8  # of the newest frames...
FEW = 3  # ...so many are too many, if they were too slow and it was seen
JITTER = 16  # of the newest frames half may not have come late, where a step costs no rate
STAY = 0.97  # of the time there is: an engine that takes more is too slow for a step
RETURN = 0.88  # of it: one that takes less could go back to that step...
NEARLY_ALL = 90  # ...with so many % of its frames...
PATIENCE = 3 * SECOND  # ...for so long
MOST_PATIENCE = 60 * SECOND
TRIAL = 10 * SECOND  # a return that holds for so long has not failed
RESERVE = 0.2  # of a refresh; see `budget`
LEAST_RESERVE = 1_000_000
UNANSWERED = 4096  # turns that are remembered; an engine that takes longer is not measured


def budget(period: int) -> int:
    """How long an engine may take for a frame at one a refresh; both in ns.

    The rest is the stage's: its turn takes 4 ms of 33 with software GL, and some tenths of one on a
    GPU; but there the engine's kernels and the stage's drawing exclude each other, so that at 240
    frames a second not a fifth of 4.2 ms is left, but at least 1 ms.
    """
    return max(period - max(round(RESERVE * period), LEAST_RESERVE), 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a frame came."""

    took: int  # ns, from when the engine could begin until the frame was there
    turns: int  # from the one that asked to the one that has it
    lost: int = 0  # frames asked for before it, that will not be shown


class Orders:
    """What one engine was asked for and has not answered yet."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}  # turn and clock by show time, oldest first
        self._finished = 0  # clock, of the frame before

    def asked(self, show_time: int, turn: int, now: int) -> None:
        """A frame for that show time was asked for; `now` by the clock, in ns."""
        self._open[show_time] = (turn, now)
        if len(self._open) > UNANSWERED:
            del self._open[next(iter(self._open))]

    def due(self, turn: int, latency: int) -> bool:
        """Whether it is time to show what was asked for, so many turns after that."""
        for asked_in, _ in islice(self._open.values(), 1):
            return turn >= asked_in + latency
        return False

    def answered(self, show_time: int, finished: int, turn: int) -> Answer | None:
        """A frame was taken, which the engine finished at `finished` by the clock, in ns.

        What was asked before it was replaced or overtaken, and is lost. None for one unheard of.
        """
        if show_time not in self._open:
            return None
        asked_in, asked_at = self._open[show_time]
        lost = sum(key < show_time for key in self._open)
        self._open = {key: kept for key, kept in self._open.items() if key > show_time}
        began = max(asked_at, self._finished)
        self._finished = finished
        return Answer(max(finished - began, 0), turn - asked_in, lost)


class Cadence:
    """The step of the ladder; see above. Quick to fall, slow to come back.

    It falls when more than half of the last JUDGED frames took longer than their step allows, or
    FEW of them did and came late for it or overtook others: at once to the step that fits most. It
    comes back when for PATIENCE nearly all frames have left a lower step a margin; if that fails
    within TRIAL, the next return takes twice the patience. Less than FEW slow frames, whatever they
    took, change nothing.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval  # ns between turns
        self._wait: float = interval  # ns of it between asking and showing
        self._step = 0
        self._asked_in: int | None = None
        self._took: deque[int] = deque(maxlen=JUDGED)
        self._late: deque[bool] = deque(maxlen=JITTER)
        self._patience = PATIENCE
        self._fits_since: int | None = None  # a lower step
        self._fitting_took = Distribution()  # ns, of the frames since then
        self._returned_at: int | None = None

    @property
    def divisor(self) -> int:
        """A picture is asked for in every so many turns."""
        return self._step // 2 + 1

    @property
    def latency(self) -> int:
        """So many turns after the one that asked, the picture is shown."""
        return (self._step + 1) // 2

    @property
    def takes_before_asking(self) -> bool:
        """Whether a turn takes the picture it will show before it asks for another."""
        return self._step % 2 == 1

    def asks(self, turn: int) -> bool:
        """Whether this turn is one to ask in."""
        return self._asked_in is None or turn >= self._asked_in + self.divisor

    def asked(self, turn: int) -> None:
        """This turn has asked."""
        self._asked_in = turn

    def turned(self, interval: int, wait: int) -> None:
        """How long turns take, and how much of the last one lay between asking and showing; ns."""
        self._interval = max(interval, 1)
        self._wait += 0.1 * (min(max(wait, 0), interval) - self._wait)

    def answered(self, answer: Answer, now: int) -> None:
        """Judge a frame that was taken at `now`, by the clock in ns."""
        if self._returned_at is not None and now - self._returned_at >= TRIAL:
            self._returned_at, self._patience = None, PATIENCE
        self._took.append(answer.took)
        self._late.append(answer.turns > self.latency or answer.lost > 0)
        most = STAY * self._room
        newest = zip(reversed(self._took), reversed(self._late), strict=False)
        missed = sum(took > most and late for took, late in newest)
        ranked = sorted(self._took, reverse=True)
        typical = ranked[min(max(len(ranked) // 2, FEW - 1), len(ranked) - 1)]
        if missed >= FEW or (len(ranked) >= FEW and typical > most):
            self._fall(max(self._fitting(typical, STAY), self._step + 1))
        elif self._step % 2 == 0 and 2 * sum(self._late) >= JITTER:
            self._fall(self._step + 1)  # takes later, and asks as often
        elif len(ranked) == JUDGED:
            self._consider_return(answer.took, typical, now)

    @property
    def _room(self) -> float:
        """What the step leaves the engine, in ns."""
        return self.latency * self._interval + (0 if self._step % 2 else self._wait)

    def _fitting(self, took: float, share: float) -> int:
        """The lowest step of whose room the engine takes no more than this share."""
        needed = took / share
        turns = max(math.ceil(needed / self._interval), 1)
        waits = (turns - 1) * self._interval + self._wait >= needed
        return 2 * turns - (2 if waits else 1)

    def _fall(self, step: int) -> None:
        self._settle(step)
        if self._returned_at is not None:
            self._returned_at, self._patience = None, min(2 * self._patience, MOST_PATIENCE)

    def _consider_return(self, took: int, typical: int, now: int) -> None:
        if self._fitting(typical, RETURN) >= self._step:
            self._fits_since = None
            return
        if self._fits_since is None:
            self._fits_since, self._fitting_took = now, Distribution()
        self._fitting_took.add(took)
        if now - self._fits_since < self._patience:
            return
        self._fits_since = None
        step = self._fitting(self._fitting_took.percentile(NEARLY_ALL) or 0.0, RETURN)
        if step < self._step:
            self._settle(step)
            self._returned_at = now

    def _settle(self, step: int) -> None:
        self._step = step
        self._late.clear()
        self._fits_since = None
