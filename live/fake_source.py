"""A source of pictures without an engine, for rehearsing the stage: see `live.source`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from engine.link import Floats, FrameHeader, NetworkFacts, Pixels
from live.source import Frame, Outage, Request, Seed, Shared


class Fake:
    """A source without an engine: its frames are a plain function of W+, made on the spot.

    Seeds map to standard normal numbers; the picture is a colour gradient whose ends are the first
    numbers of the first and last layer, so that a test can read from a picture what was asked.
    """

    resolution, num_ws, w_dim = 64, 10, 8

    def __init__(self, network: Path, seeds: Iterable[Seed], now: int = 0) -> None:
        self.network = network
        self.restarts = self.stillborn = 0
        self.outages: list[Outage] = []
        self.lost_at: int | None = None
        self.refusal: str | None = None
        self.form, self.sizes = "fake", (self.resolution,)
        self.shared: Shared | None = None
        self.on_gpu = False
        self.mapped = {seed: self._map(seed) for seed in seeds}
        self.asked: list[Request] = []
        self.facts: NetworkFacts | None = NetworkFacts(
            name=network.name,
            family="fake",
            resolution=self.resolution,
            z_dim=self.w_dim,
            w_dim=self.w_dim,
            num_ws=self.num_ws,
            num_classes=0,
            sha256="0" * 64,
            device="fake",
            w_avg=np.zeros(self.w_dim, np.float32),
        )
        self._frame: Frame | None = None

    def _map(self, seed: Seed) -> Floats:
        w = np.random.RandomState(seed[0]).randn(self.w_dim).astype(np.float32)
        return np.broadcast_to(w, (self.num_ws, self.w_dim))

    def tend(self, now: int) -> None:
        """Nothing dies here."""

    def ask(self, request: Request) -> None:
        """Make the frame at once."""
        assert self.facts is not None
        self.asked.append(request)
        size = self.facts.resolution
        header = FrameHeader(
            generation=0,
            serial=len(self.asked),
            width=size,
            height=size,
            num_ws=self.facts.num_ws,
            w_dim=self.facts.w_dim,
            show_time=request.show_time,
            started=request.show_time,
            finished=request.show_time,
        )
        self._frame = Frame(header, request.ws, fake_picture(request.ws, size))

    def latest(self) -> Frame | None:
        """The frame of the last request."""
        frame, self._frame = self._frame, None
        return frame

    def map(self, seeds: Iterable[Seed]) -> None:
        """Map more, at once."""
        self.mapped.update({seed: self._map(seed) for seed in seeds})

    def share(self, handles: Sequence[bytes], side: int) -> None:
        """There is no GPU."""
        self.shared = Shared("a fake has none")

    def memory(self) -> int:
        """No process, no memory."""
        return 0

    def close(self) -> None:
        """Nothing to end."""

    def join(self, timeout_s: float) -> None:
        """Nothing to wait for."""


def fake_picture(ws: Floats, size: int) -> Pixels:
    """The fake's picture of W+ [num_ws, w_dim >= 3]: uint8 [size, size, 4], left to right."""
    ends = np.clip((np.stack([ws[0, :3], ws[-1, :3]]) + 3) / 6, 0, 1)
    across = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    row = ends[0] * (1 - across) + ends[1] * across
    picture = np.full((size, size, 4), 255, np.uint8)
    picture[:, :, :3] = np.rint(row * 255).astype(np.uint8)
    return picture
