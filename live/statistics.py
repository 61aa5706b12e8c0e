"""What a show has to say of itself: counted while it runs, told when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from live.distribution import Distribution
from live.ensemble import Ensemble
from live.outfile import write_json
from live.source import Frame, Outage, Source

MEMORY_EVERY_NS = 500_000_000
MB = 1024 * 1024


class Statistics:
    """Counts of one performance. Times in ns by the stage's clock.

    While two networks cross-fade, a presented picture can hold a new frame of each: `generated`
    counts both. Everything but the times to window and first frame begins with the first generated
    frame, so that the counts divided by `seconds` are rates of the performance, not of its start.

    lateness_ms is how far behind the moment it was made for a new picture was seen: its p50 with
    the sign, around 0 when the pacing is right, its p99 and max of the absolute value. stage_ms is
    a turn without its waits, for the frame's time and for the display; drawing that OpenGL puts off
    until then is not in it. steps_ms is what each step of a turn takes, by which a stall is found,
    its two waits included. Percentiles are within 0.5 %, and nothing grows with the show's length.
    """

    def __init__(self, began: int) -> None:
        self._started = began
        self._window_at: int | None = None
        self._first_at: int | None = None
        self._last_at = began
        self.presented = self.generated = self.repeated = 0
        self._divisor = 1
        self._divisor_changes = 0
        self._sizes: Counter[int] = Counter()
        self._engine_ms = Distribution()
        self._intervals_ms = Distribution()
        self._lateness_ms = Distribution()
        self._absolute_lateness_ms = Distribution()
        self._stage_ms = Distribution()
        self._steps_ms: dict[str, Distribution] = {}
        self._memory_at = began
        self._peak = {"stage": 0, "engine": 0}

    def window_up(self, now: int) -> None:
        """The window, or the context without one, is there."""
        self._window_at = now

    def frame_taken(self, frame: Frame) -> None:
        """A new frame of an engine is in the picture that is presented next."""
        self.generated += 1
        self._sizes[frame.header.width] += 1
        self._engine_ms.add((frame.header.finished - frame.header.started) / 1e6)

    def frame_presented(self, now: int, lateness: int | None, work: int, divisor: int) -> None:
        """A picture is on screen.

        `lateness` is how far behind the moment it was made for a new picture was seen, None if it
        is the last one again; `work` what the stage did for this frame; both in ns. `divisor` is
        that of the cadence.
        """
        if self._first_at is None:
            if lateness is None:
                return
            self._first_at = now
        else:
            self._intervals_ms.add((now - self._last_at) / 1e6)
            self._divisor_changes += divisor != self._divisor
        self._last_at, self._divisor = now, divisor
        self.presented += 1
        self.repeated += lateness is None
        self._stage_ms.add(work / 1e6)
        if lateness is not None:
            self._lateness_ms.add(lateness / 1e6)
            self._absolute_lateness_ms.add(abs(lateness) / 1e6)

    def step_took(self, name: str, took: int) -> None:
        """A step of a turn is done; in ns."""
        if self._first_at is not None:
            self._steps_ms.setdefault(name, Distribution()).add(took / 1e6)

    def sample_memory(self, now: int, sources: Sequence[Source]) -> None:
        """Look at both processes' memory now and then; cheap enough for every frame."""
        if now - self._memory_at < MEMORY_EVERY_NS:
            return
        self._memory_at = now
        self._peak["stage"] = max(self._peak["stage"], psutil.Process().memory_info().rss)
        engines = sum(source.memory() for source in sources)
        self._peak["engine"] = max(self._peak["engine"], engines)

    def summary(
        self,
        now: int,
        ensemble: Ensemble,
        osc: dict[str, int],
        recorder: dict[str, Any],
        faults: int,
        frame_path: tuple[str, str] = ("host", ""),
    ) -> dict[str, Any]:
        """The record of the show, as `--stats` writes it."""
        first, facts = self._first_at, ensemble.facts
        restarts = ensemble.restarts + sum(source.restarts for source in ensemble.sources)
        network = None
        if facts is not None:
            network = {
                "name": facts.name,
                "resolution": facts.resolution,
                "sha256": facts.sha256,
            }
        return {
            "seconds": 0.0 if first is None else round((self._last_at - first) / 1e9, 3),
            "device": None if facts is None else facts.device,
            "network": network,
            "frame_path": frame_path[0],
            "frame_path_why": frame_path[1],
            "frames": {
                "presented": self.presented,
                "generated": self.generated,
                "repeated": self.repeated,
            },
            "time_to_window_s": self._since_start(self._window_at),
            "time_to_first_frame_s": self._since_start(first),
            "engine_ms": _percentiles(self._engine_ms, 50, 99),
            "engine_form": next((s.form for s in ensemble.sources if s.form), None),
            "sizes": {str(size): self._sizes[size] for size in sorted(self._sizes, reverse=True)},
            "cadence": {"divisor": self._divisor, "changes": self._divisor_changes},
            "present_interval_ms": _percentiles(self._intervals_ms, 50, 95, 99, 100),
            "lateness_ms": {
                **_percentiles(self._lateness_ms, 50),
                **_percentiles(self._absolute_lateness_ms, 99, 100),
            },
            "stage_ms": _percentiles(self._stage_ms, 50, 99),
            "steps_ms": {
                name: _percentiles(took, 50, 99, 100) for name, took in self._steps_ms.items()
            },
            "engine_restarts": restarts,
            "engine_outages": [
                {
                    "at_s": round((outage.since - (first or outage.since)) / 1e9, 3),
                    "seconds": round((outage.until - outage.since) / 1e9, 3),
                }
                for outage in _outages(ensemble, now)
            ],
            "osc": osc,
            "recorder": recorder,
            "stage_faults": faults,
            "peak_rss_mb": {name: round(peak / MB, 1) for name, peak in self._peak.items()},
        }

    def _since_start(self, moment: int | None) -> float | None:
        return None if moment is None else round((moment - self._started) / 1e9, 3)


def write(summary: dict[str, Any], path: Path) -> None:
    """Write the statistics as JSON. Raises UserError where that cannot be done."""
    write_json("--stats", path, summary)


def in_words(summary: dict[str, Any]) -> str:
    """The same for the person at the terminal: a few lines."""
    seconds, frames = summary["seconds"], summary["frames"]
    if not seconds:
        return "no frame was generated"
    rate = frames["presented"] / seconds
    generated = frames["generated"] / seconds
    interval, engine = summary["present_interval_ms"], summary["engine_ms"]
    stage = summary["stage_ms"]
    lines = [
        f"{seconds:.1f} s on {summary['device']}: {rate:.1f} frames a second presented, "
        f"{generated:.1f} generated ({engine['p50']:.1f} ms each)",
        f"between frames {interval['p50']:.1f} ms, 99 % under {interval['p99']:.1f} ms, "
        f"never more than {interval['max']:.1f} ms; the stage's own work {stage['p50']:.1f} ms, "
        f"99 % under {stage['p99']:.1f} ms",
        *_governed(summary),
        *_brought(summary),
        f"window after {summary['time_to_window_s']:.2f} s, "
        f"first picture after {summary['time_to_first_frame_s']:.2f} s",
    ]
    if summary["engine_restarts"]:
        lost = sum(outage["seconds"] for outage in summary["engine_outages"])
        lines.append(f"engine started again {summary['engine_restarts']} times, {lost:.1f} s lost")
    recorder = summary["recorder"]
    if recorder["files"]:
        lines.append(
            f"recorded {recorder['written']} frames ({recorder['duplicated']} repeated, "
            f"{recorder['dropped'] - recorder['early']} missing) to {', '.join(recorder['files'])}"
        )
    return "\n".join(lines)


def _governed(summary: dict[str, Any]) -> list[str]:
    """Smaller pictures and fewer of them, where there were such: a line, or none."""
    told = []
    sizes, cadence = summary["sizes"], summary["cadence"]
    full = str(summary["network"]["resolution"])
    if set(sizes) - {full}:
        total = sum(sizes.values())
        shares = (f"{size}x{size} {100 * count / total:.1f} %" for size, count in sizes.items())
        told.append(f"frames by size: {', '.join(shares)}")
    if cadence["changes"] or cadence["divisor"] > 1:
        every = "refresh" if cadence["divisor"] == 1 else f"{cadence['divisor']} refreshes"
        told.append(f"a new picture every {every} in the end ({cadence['changes']} changes)")
    return ["; ".join(told)] if told else []


def _brought(summary: dict[str, Any]) -> list[str]:
    """How frames left an NVIDIA GPU; of engines elsewhere there is nothing to tell."""
    if not str(summary["device"]).startswith("cuda"):
        return []
    stays = summary["frame_path"] != "host"
    how = "stay on the GPU" if stays else "go through the host's memory"
    return [f"frames {how}: {summary['frame_path_why']}"]


def _outages(ensemble: Ensemble, now: int) -> list[Outage]:
    """All of the show, one that has not ended included."""
    outages = list(ensemble.outages)
    for source in ensemble.sources:
        outages += source.outages
        if source.lost_at is not None:
            outages.append(Outage(source.lost_at, now))
    return sorted(outages, key=lambda outage: outage.since)


def _percentiles(values: Distribution, *which: int) -> dict[str, float | None]:
    found = {"max" if p == 100 else f"p{p}": values.percentile(p) for p in which}
    return {name: None if ms is None else round(ms, 3) for name, ms in found.items()}
