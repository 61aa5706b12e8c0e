"""`anthesis train` as a person meets it: a bar, Ctrl-C, one stage after the other.

The training itself is the engine's, in this process: no stage of a show is open meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from engine.training.options import Options
from live.ctrl_c import ctrl_c
from live.progress import Training


def train(stages: Sequence[Options]) -> None:
    """Train a network, in stages that go on from each other; what is done is not done again.

    Raises UserError, and InterruptedTrainingError after Ctrl-C: a snapshot is written then.
    """
    from engine.training.session import train as learn  # torch, which takes a second

    with ctrl_c() as stopped:
        for number, stage in enumerate(stages, 1):
            with Training(stopped, sys.stderr) as report:
                if len(stages) > 1:
                    report.say(f"stage {number} of {len(stages)}")
                learn(stage, report)
