"""A bad frame does not end the show."""

from __future__ import annotations

import logging
from types import TracebackType

from engine.errors import UserError

log = logging.getLogger(__name__)


class Faults:
    """Wraps each step of a frame: what goes wrong is logged once per place, and counted.

    The steps that follow run all the same, so that master and blackout act and the last good
    picture stays whatever is broken. While `starting`, `UserError` passes: bad input must be loud
    then.
    """

    def __init__(self) -> None:
        self.count = 0
        self.starting = True
        self._known: set[tuple[type[BaseException], str, int]] = set()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None or kind is None or trace is None:
            return False
        if not isinstance(error, Exception) or (self.starting and isinstance(error, UserError)):
            return False
        self.count += 1
        last = trace
        while last.tb_next is not None:
            last = last.tb_next
        place = (kind, last.tb_frame.f_code.co_filename, last.tb_lineno)
        if place not in self._known:
            self._known.add(place)
            log.error("a frame went wrong; the show goes on", exc_info=error)
        return True
