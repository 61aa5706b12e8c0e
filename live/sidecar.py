"""What is to be known of a recording besides its pictures: a JSON file beside the film.

    show.mp4.json
        film, state             "recording" until it ends: complete, or why not
        began, show_time_s      of its first picture: local time, and the show's
        setlist, networks       the text of the set list; files and their SHA-256
        take                    the performance, in a file beside it
        size, fps, codec, encoder, chroma, tap, sound
        frames                  written, duplicated, dropped, and early: dropped, but not missed
        repeated                [frame of the film, how many]: they show the one before them
        missing                 [from, to, how many]: pictures it lacks, by show time in seconds
        markers                 text, show_time_s and the frame of the film

It is written again while the recording goes on, whole each time: a kill leaves the last one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from live.outfile import place
from live.recorder import Recorder

log = logging.getLogger(__name__)

Facts: TypeAlias = Callable[[], Mapping[str, Any]]
"""What the performance knows of itself now: its set list, networks, take."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment that somebody marked."""

    text: str
    show_time_ns: int


@dataclass(slots=True)
class Sidecar:
    """The file beside one film. `write` is for the thread of its encoder, all else for the stage's.

    tap: what is recorded, in a word.
    """

    recorder: Recorder
    facts: Facts
    tap: str
    overwrite: bool = False
    began: datetime = field(default_factory=lambda: datetime.now().astimezone())
    markers: list[Marker] = field(default_factory=list)
    path: Path | None = None  # once it is written
    _written: str = ""
    _failed: bool = False

    def write(self) -> None:
        """Bring the file up to date, if that can be done; says once if it cannot."""
        text = json.dumps(self._record(), indent=1) + "\n"
        if text == self._written:
            return
        try:
            film = self.recorder.path
            unfinished = film.with_name(f".{film.name}.json.{os.getpid()}")
            unfinished.write_text(text)
            if self.path is None:
                wished = film.with_name(f"{film.name}.json")
                self.path = place(unfinished, wished, overwrite=self.overwrite)
            else:
                unfinished.replace(self.path)
            self._written = text
        except OSError as error:
            if not self._failed and not self.recorder.failed:  # whose disk is gone, as was said
                self._failed = True
                log.warning("%s.json: cannot be written: %s", self.recorder.path, error.strerror)

    def _record(self) -> dict[str, Any]:
        recorder, counts = self.recorder, self.recorder.counts
        return {
            "anthesis recording": 1,
            "film": recorder.path.name,
            "state": recorder.state,
            "began": self.began.isoformat(timespec="milliseconds"),
            "show_time_s": _seconds(recorder.first_ns),
            **self.facts(),
            **recorder.facts,
            "tap": self.tap,
            "frames": {
                "written": counts.written,
                "duplicated": counts.duplicated,
                "dropped": counts.dropped,
                "early": counts.early,
            },
            "repeated": [list(run) for run in recorder.repeated],
            "missing": [
                [_seconds(run.first_ns), _seconds(run.last_ns), run.pictures]
                for run in recorder.missing
            ],
            "markers": [
                {
                    "text": marker.text,
                    "show_time_s": _seconds(marker.show_time_ns),
                    "frame": recorder.frame_at(marker.show_time_ns),
                }
                for marker in list(self.markers)
            ],
        }


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e9, 6)
