"""Recording on the graphics card, and films of takes made with it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from gpu_lines import FAILED, MISSED, NOT_RUN, OK, Line, NotRunError, Told, at_most
from gpu_stage import NEEDED, ROOT, performed, said_of, setlist_of

CODECS = {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"}
LOST = 25.0  # % of the pictures a second that a recording may cost
FALLBACK = "h264"  # recorded even where the CPU has to encode it
SIZE, RATE = "1920x1080", 60


def recording(told: Told) -> Iterator[Line]:
    """A show of 1920x1080 at 60 a second, recorded by each of NVENC's codecs, and rendered."""
    missing = [name for name in (*NEEDED, "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise NotRunError(f"no {', '.join(missing)}")
    setlist = setlist_of(told)
    bare = _rate(performed(told, setlist, SIZE, RATE))
    for codec, encoder in CODECS.items():
        why = _unopened(encoder)
        if why:
            yield Line("recording", f"{codec}, encoder", verdict=f"{NOT_RUN}: {encoder}: {why}")
        if why and codec != FALLBACK:
            continue
        film = told.folder / f"{codec}.mp4"
        try:
            summary = performed(
                told, setlist, SIZE, RATE, "--record", str(film), "--codec", codec, "--overwrite"
            )
            yield from _lines(codec, "" if why else encoder, film, summary, bare)
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            yield Line("recording", codec, verdict=f"{FAILED}: {error}")
    yield from _rendered(told, told.folder / f"{FALLBACK}.take")


def _unopened(encoder: str) -> str:
    """Why an encoder opens on this GPU not even for a small picture as it likes it best, if so.

    A100, H100 and H200 have none at all, and older cards none for AV1.
    """
    import av

    coder: Any = av.CodecContext.create(encoder, "w")
    coder.width, coder.height, coder.pix_fmt = 640, 360, "yuv420p"
    coder.time_base, coder.framerate = Fraction(1, RATE), RATE
    try:
        coder.open()
    except (OSError, ValueError, av.error.FFmpegError) as error:
        return str(error)
    return ""


def _rate(summary: dict[str, Any]) -> float:
    return float(summary["frames"]["presented"] / max(summary["seconds"], 1e-9))


def _lines(
    codec: str, encoder: str, film: Path, summary: dict[str, Any], bare: float
) -> Iterator[Line]:
    """encoder: the one that is to be taken, "" for any."""
    said = json.loads(film.with_name(f"{film.name}.json").read_text())
    if encoder:
        verdict = OK if said["encoder"] == encoder else MISSED
        yield Line("recording", f"{codec}, encoder", said["encoder"], encoder, verdict)
    yield from said_of("recording", f"{codec} by {said['encoder']}", summary)
    lost = 100 * (1 - _rate(summary) / bare)
    yield at_most("recording", f"{codec}, pictures a second lost", lost, " %", LOST)
    frames = said["frames"]
    lacks = sum(run[2] for run in said["missing"])
    yield at_most("recording", f"{codec}, pictures it lacks", lacks, f" of {frames['written']}", 6)
    decoded = _frames_of(film)
    verdict = OK if decoded == frames["written"] else MISSED
    yield Line("recording", f"{codec}, frames", str(decoded), str(frames["written"]), verdict)
    size = f"{film.stat().st_size * 8e-6 / max(summary['seconds'], 1):.1f} Mbit/s"
    yield Line("recording", f"{codec}, size", size)


def _rendered(told: Told, take: Path) -> Iterator[Line]:
    """The first seconds again: how fast, and whether pieces give the same pictures as the whole."""
    films = [told.folder / name for name in ("whole.mkv", "pieces.mkv")]
    for film in films:
        shares = ([],) if film.stem == "whole" else (["--part", "2/2"], [])
        began = time.monotonic()
        for share in shares:
            command = [sys.executable, "-m", "live", "render", str(take), "-o", str(film)]
            command += ["--size", SIZE, "--to", "8", "--codec", "ffv1", "--device", "cuda", *share]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
            if done.returncode:
                words = done.stderr.strip().splitlines() or ["nothing said"]
                yield Line("recording", "render", verdict=f"{FAILED}: {words[-1]:.160}")
                return
        seconds = time.monotonic() - began
        rate = f"{_frames_of(film) / seconds:.1f} frames a second, loading included"
        yield Line("recording", f"render, {film.stem}", rate)
    same = _md5(films[0]) == _md5(films[1])
    found = "the same" if same else "others"
    yield Line("recording", "render, pictures of pieces", found, "the same", OK if same else MISSED)


def _frames_of(film: Path) -> int:
    import av

    with av.open(str(film)) as container:
        return sum(1 for _ in container.decode(video=0))


def _md5(film: Path) -> str:
    import hashlib

    import av

    pictures = hashlib.md5()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            pictures.update(frame.to_ndarray(format="rgb24").tobytes())
    return pictures.hexdigest()
