"""A stage that waits in the wings, a program that `live.watch` starts.

All modules are loaded and nothing is open: no window, no engine, no port. A line on its standard
input, a JSON list of words, makes it `anthesis play` with these words. Where that input ends it was
not needed, and ends, too.
"""

from __future__ import annotations

import json
import sys
import time

import live
import live.awake  # what a show may need of modules, now and not then
import live.tape
from live.cli import main as command
from live.window import load_glfw


def main() -> None:
    """Wait, then perform. Ends as the command line does."""
    load_glfw()
    line = sys.stdin.buffer.readline()
    if line.endswith(b"\n"):
        live.BEGAN = time.perf_counter_ns()  # what came before was not this show
        sys.argv = ["anthesis", "play", *json.loads(line)]
        command()


if __name__ == "__main__":
    main()
