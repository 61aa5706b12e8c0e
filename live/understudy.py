"""A stage that waits in the wings, a program that `live.watch` starts.

All modules are loaded and nothing is open: no window, no engine, no port. A line on its standard
input, a JSON list of words, makes it `anthesis play` with these words. Where that input ends it was
not needed, and ends, too.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType

PAUSE_S = 0.01


class Unhurried:
    """Before each module is looked for, a pause, until somebody is wanted on stage.

    550 modules are 0.6 s of CPU at once, while another stage plays. On two cores that are both at
    work, 1280x720 at 60 frames a second, it showed: of the intervals between frames meanwhile 5 %
    were above 28-32 ms and 1 % above 48, with these pauses above 25 and 34, as without an
    understudy. It has loaded all after 7 s. A lower priority would stay with it, on stage, too, and
    that of the loading thread alone helped nothing.
    """

    def __init__(self, descriptor: int) -> None:
        """`descriptor` becomes readable when there is no more time for pauses."""
        self._descriptor = descriptor

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None: the others find it."""
        if sys.platform != "win32":  # nobody is heard through a pipe there
            select.select([self._descriptor], [], [], PAUSE_S)
        return None


def main() -> None:
    """Wait, then perform. Ends as the command line does."""
    unhurried = Unhurried(sys.stdin.fileno())
    sys.meta_path.insert(0, unhurried)
    import live.awake  # what a show may need of modules, now and not then
    import live.tape
    from live.cli import main as command
    from live.window import load_glfw

    load_glfw()
    sys.meta_path.remove(unhurried)
    line = b""
    with suppress(KeyboardInterrupt):  # Windows tells all of a console
        line = sys.stdin.buffer.readline()
    if line.endswith(b"\n"):
        live.BEGAN = time.perf_counter_ns()  # what came before was not this show
        sys.argv = ["anthesis", "play", *json.loads(line)]
        command()


if __name__ == "__main__":
    main()
