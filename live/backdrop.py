"""Black behind a full-screen show, a program that `live.watch` starts.

When a stage dies, its window goes with it: until the next one is there the audience would see the
desktop. This is a process of its own because Xlib ends the one that loses its X server. It has no
picture and does nothing, until its standard input ends. Other systems than X11 have none.
"""

from __future__ import annotations

import os
import sys

from engine.errors import UserError
from live import x11
from live.monitors import choose
from live.window import list_monitors


def main() -> None:
    """Cover the monitor that is named, or the first one; a line to the operator if that fails."""
    why = _cover(sys.argv[1] if len(sys.argv) > 1 else None)
    if why is not None:
        said = f"anthesis: {why}; should the stage be lost, the desktop will be seen meanwhile\n"
        sys.stderr.write(said)
        return
    sys.stdin.buffer.read()


def _cover(monitor: str | None) -> str | None:
    """Why it could not be done, or None."""
    display = os.environ.get("DISPLAY")
    if sys.platform != "linux" or not display:
        return "no backdrop without X11"
    try:
        monitors = list_monitors()
        at = choose(monitors, monitor or "1")
    except UserError as error:
        return f"no backdrop: {error}"
    if not x11.backdrop(display, at.x, at.y, at.width, at.height):
        return "no backdrop: the X server cannot be reached"
    return None


if __name__ == "__main__":
    main()
