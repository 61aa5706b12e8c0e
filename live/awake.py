"""Keeps the machine awake and the screen lit for the whole show, windowed or full screen.

Desktops, Windows and macOS are asked through wakepy, a bare X server through its screen saver
extension. All of it happens on a thread of its own: importing wakepy takes 80 ms, and a D-Bus that
accepts but never answers takes for ever.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from live import x11

log = logging.getLogger(__name__)

GOODBYE_S = 0.5
"""How long the end of a show waits for the thanks; what is left ends with the process."""


class Vigil:
    """What is done to keep the machine awake."""

    def __init__(self) -> None:
        self.held: tuple[str, ...] = ()
        """What works, by name, once `settled` is set."""
        self.settled = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="awake", daemon=True)

    def _keep(self) -> None:
        with ExitStack() as holding:
            self._hold_x11(holding)
            self._hold_desktop(holding)
            if not self.held:
                log.warning(
                    "nothing here keeps the screen from going dark by itself; "
                    "turn off screen saver and power saving by hand (under X11, install libxss1)"
                )
            self.settled.set()
            self._over.wait()

    def _hold_x11(self, holding: ExitStack) -> None:
        display = os.environ.get("DISPLAY")
        resume = x11.suspend_screen_saver(display) if display and sys.platform == "linux" else None
        if resume is not None:
            holding.callback(resume)
            self.held += ("X11 screen saver",)

    def _hold_desktop(self, holding: ExitStack) -> None:
        try:
            from wakepy import keep

            if holding.enter_context(keep.presenting(on_fail="pass")).active:
                self.held += ("desktop",)
        except Exception as error:  # noqa: BLE001 - every desktop fails in its own way, none matters
            log.debug("wakepy: %s", error)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def end(self) -> None:
        """Let the machine sleep again."""
        self._over.set()
        self._thread.join(GOODBYE_S)


@contextmanager
def awake() -> Iterator[Vigil]:
    """Keep the machine awake within the block. Never waits, never fails; a failure is logged."""
    vigil = Vigil()
    vigil.start()
    try:
        yield vigil
    finally:
        vigil.end()
