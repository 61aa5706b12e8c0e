"""Soft take-over: a fader that stands elsewhere must first pick the value up where that is.

Pure. A fader that was moved while something else had the parameter would make it jump; with a
take-over it does nothing until it passes the present value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

MOST = 1024  # faders that are remembered, of all senders
_SAME = 1e-6  # of the range: what was set and what is told may differ in their rounding
_REACH = 0.01  # of the range: a fader this near has it


class _Fader(NamedTuple):
    at: float  # where it was last
    had: bool  # whether the parameter went with it


class Pickups:
    """Who has picked up what."""

    def __init__(self) -> None:
        self._faders: OrderedDict[Hashable, _Fader] = OrderedDict()

    def takes(self, fader: Hashable, at: float, value: float, span: float) -> bool:
        """Whether a fader that is now at `at` has the parameter, which was set to `value`.

        span: how wide the parameter's range is, all in its own units.
        """
        before = self._faders.pop(fader, None)
        near = abs(at - value) <= _REACH * span
        followed = before is not None and before.had and abs(before.at - value) <= _SAME * span
        passed = before is not None and min(before.at, at) <= value <= max(before.at, at)
        takes = near or followed or passed
        self._faders[fader] = _Fader(at, takes)
        if len(self._faders) > MOST:
            self._faders.popitem(last=False)
        return takes
