"""`anthesis train` as a person meets it: a bar, Ctrl-C.

The training itself is the engine's, in this process: no stage is open meanwhile.
"""

from __future__ import annotations

import sys

from engine.training.options import Options
from live.ctrl_c import ctrl_c
from live.progress import Training


def train(options: Options) -> None:
    """Train a network.

    Raises UserError, and InterruptedTrainingError after Ctrl-C: a snapshot is written then.
    """
    from engine.training.session import train as learn  # torch, which takes a second

    with ctrl_c() as stopped, Training(stopped, sys.stderr) as report:
        learn(options, report)
