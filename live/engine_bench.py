"""The engine's part of a bench: `python -m engine bench` in a process of its own.

Paths to a frame need torch, which the stage never loads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from engine.bench.figures import Figures
from engine.bench.subject import Subject
from engine.errors import UserError
from engine.weights import read_network

OURS = "anthesis: "  # what a line begins with that says what is wrong with the user's input


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """As `python -m engine bench` takes them; None where nothing was said."""

    network: Path | None = None
    config: str | None = None
    resolution: int | None = None
    channel_base: int | None = None
    channel_max: int | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    rows: str | None = None
    early: bool = False
    projection: bool = False
    seconds: float = 20.0

    def subject(self) -> Subject:
        """What is measured. Raises UserError for options that make no network."""
        return Subject.of(
            self.network, self.config, self.resolution, self.channel_base, self.channel_max
        )

    def side(self) -> int:
        """Pixels along one side of its picture. Raises UserError for a file that is no network."""
        subject = self.subject()
        if subject.config is not None:
            return subject.config.resolution
        assert subject.network is not None
        return read_network(subject.network).config.resolution

    def arguments(self) -> list[str]:
        """The same as words of a command line."""
        words = ["--device", self.device, "--precision", self.precision]
        words += ["--seconds", str(self.seconds)] + ["--early"] * self.early
        words += ["--projection"] * self.projection
        for option in ("config", "resolution", "channel_base", "channel_max", "threads", "rows"):
            value = getattr(self, option)
            if value is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        return words if self.network is None else [*words, "--", str(self.network)]


def measure(options: EngineOptions) -> Figures:
    """Run it, and let its progress be seen on standard error.

    Raises UserError for what the user can mend, RuntimeError with its last words if it broke down.
    """
    command = [sys.executable, "-m", "engine", "bench", "--json", "-", *options.arguments()]
    said = ""
    with TemporaryFile("w+") as answer:
        with subprocess.Popen(command, stdout=answer, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            for line in child.stderr:
                said = line.strip() or said
                if not line.startswith(OURS):
                    sys.stderr.write(line)
        if child.returncode == 2 and said.startswith(OURS):
            raise UserError(said.removeprefix(OURS))
        if child.returncode:
            raise RuntimeError(f"it ended with {child.returncode}: {said}")
        answer.seek(0)
        return Figures.read(json.load(answer))
