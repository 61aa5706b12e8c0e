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

It is written again every second while the recording goes on, then with the last NEWEST of repeated
and missing; a kill leaves that. In the end all of them are there.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from live.claims import place
from live.recorder import Recorder

log = logging.getLogger(__name__)

# Of a 50 Hz projector at 60 frames a second there are 36,000 an hour: to write all of them every
# second took the show's thread 24 ms of Python's lock at the worst.
NEWEST = 200
MOST_MARKERS = 1000
LONGEST_MARKER = 80  # characters
SLICE = 1000  # runs that are encoded at once: 0.4 ms in which no other thread runs

Facts: TypeAlias = Callable[[], Mapping[str, Any]]
"""What the performance knows of itself now: its set list, networks, take."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment that somebody marked."""

    text: str
    show_time_ns: int


@dataclass(slots=True)
class Sidecar:
    """The file beside one film. `write` is for any thread, all else for the stage's.

    tap: what is recorded, in a word.
    """

    recorder: Recorder
    facts: Facts
    tap: str
    overwrite: bool = False
    began: datetime | None = None  # local time of the first picture
    markers: list[Marker] = field(default_factory=list)
    path: Path | None = None  # once it is written
    _written: str = ""
    _failed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self) -> None:
        """Bring the file up to date, if that can be done; says once if it cannot."""
        with self._lock:
            # A line a key: the encoder that indents is Python and takes 20 times as long.
            lines = (f" {json.dumps(key)}: {_json(value)}" for key, value in self._record().items())
            self._write("{\n" + ",\n".join(lines) + "\n}\n")

    def mark(self, text: str, at: int) -> bool:
        """Mark a show time (ns); whether there was room for it."""
        if len(self.markers) < MOST_MARKERS:
            text = text[:LONGEST_MARKER] or f"marker {len(self.markers) + 1}"
            self.markers.append(Marker(text, at))
            return True
        return False

    def _write(self, text: str) -> None:
        if text == self._written:
            return
        film = self.recorder.path
        unfinished = film.with_name(f".{film.name}.json.{os.getpid()}")
        try:
            unfinished.write_text(text)
            if self.path is None:
                wished = film.with_name(f"{film.name}.json")
                self.path = place(unfinished, wished, overwrite=self.overwrite)
            else:
                unfinished.replace(self.path)
            self._written = text
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            if not self._failed and not self.recorder.failed:  # whose disk is gone, as was said
                self._failed = True
                log.warning("%s.json: cannot be written: %s", self.recorder.path, error.strerror)

    def _record(self) -> dict[str, Any]:
        recorder, counts = self.recorder, self.recorder.counts
        newest = NEWEST if recorder.state == "recording" else None
        return {
            "anthesis recording": 1,
            "film": recorder.path.name,
            "state": recorder.state,
            "began": None if self.began is None else self.began.isoformat(timespec="milliseconds"),
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
            "repeated": recorder.repeated(newest),
            "missing": [
                [_seconds(run.first_ns), _seconds(run.last_ns), run.pictures]
                for run in recorder.missing(newest)
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


def _json(value: Any) -> str:
    """JSON, of long lists a slice at a time: the stage's thread gets its turn in between."""
    if not isinstance(value, list) or len(value) <= SLICE:
        return json.dumps(value)
    slices = []
    for start in range(0, len(value), SLICE):
        slices.append(json.dumps(value[start : start + SLICE])[1:-1])
        time.sleep(0)
    return f"[{', '.join(slices)}]"
