"""What an overlay adds to a frame: rows for `live.bench`.

overlay is the time until one is drawn over a frame at 1280x720, in seconds of a show in which the
terminal prints and the monitor samples. "issued" is what that takes of the render thread's own time
at 1920x1080: Python and the driver's calls. On software OpenGL those calls place every quad
themselves, which elsewhere is the GPU's work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import numpy as np

from engine.bench.figures import Row
from live.captions import identity
from live.compositor import Compositor, Layer, Look
from live.gpus import Sampler
from live.offscreen import Offscreen
from live.overlay.overlay import Overlay, View
from live.overlay.state import NAMES, Name, OverlayState, arranged
from live.overlay.stream import Caption
from live.setlist import bundled
from live.texture import Picture

SIZE, LARGE = (1280, 720), (1920, 1080)
FPS = 60
TURNS, WARM_UP = 300, 120
SIDE, LAYERS, W_DIM = 1024, 18, 512  # of the network whose latents are printed: FFHQ's


def overlay_rows(offscreen: Offscreen) -> list[Row]:
    """Every overlay at 1280x720, and the desktop's calls at 1920x1080."""
    rows = []
    for name in NAMES[1:]:
        drawn, _ = _measured(offscreen, name, SIZE)
        rows.append(Row.of(f"overlay ({name})", drawn))
    _, issued = _measured(offscreen, "desktop", LARGE)
    rows.append(Row.of("overlay (desktop, 1920x1080, issued)", issued))
    return rows


def _measured(
    offscreen: Offscreen, name: Name, size: tuple[int, int]
) -> tuple[list[float], list[float]]:
    """Milliseconds until a frame's overlay is drawn, and of this thread until it is asked for."""
    setlist = bundled()
    drawn, issued = [], []
    with ExitStack() as closing:
        gauges = Sampler()
        closing.callback(gauges.close)
        gauges.start()
        identified = identity(setlist, 0)
        overlay = Overlay(offscreen.ctx, setlist.overlay, identified, gauges, datetime.now())
        closing.callback(overlay.release)
        compositor = Compositor(offscreen.ctx, size)
        closing.callback(compositor.release)
        overlay.wait(size)
        for turn, view in enumerate(_views(offscreen, name)):
            compositor.compose([] if overlay.covers(view) else view.pictures, Look())
            offscreen.ctx.finish()
            started, own = time.perf_counter_ns(), time.thread_time_ns()
            overlay.draw(compositor, view)
            own = time.thread_time_ns() - own
            offscreen.ctx.finish()
            if turn >= WARM_UP:
                drawn.append((time.perf_counter_ns() - started) / 1e6)
                issued.append(own / 1e6)
    return drawn, issued


def _views(offscreen: Offscreen, name: Name) -> Iterator[View]:
    """A show of some seconds, its pictures and latents noise."""
    noise = np.random.default_rng(0)
    ws = noise.standard_normal((LAYERS, W_DIM), np.float32)
    picture = Picture(offscreen.ctx)
    pixels = noise.integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    for turn in range(WARM_UP + TURNS):
        picture.upload(pixels, SIDE, SIDE)
        at = turn * 1_000_000_000 // FPS
        told = (turn, at / 1e9, "bench", 1, 1, 0.0, 120.0, 1.0, (), ws, ws[0], "cpu", SIDE)
        arrangement = arranged(OverlayState(name), at)
        now = time.perf_counter_ns()
        pictures = [Layer(picture)]
        yield View(at, now, arrangement, 1.0, 1.0, pictures, partial(Caption, *told))
    picture.release()
