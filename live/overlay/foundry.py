"""Makes what takes too long for a frame: the glyphs of a scale."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

from live.overlay import drawing
from live.overlay.atlas import Atlas
from live.overlay.drawing import Kit
from live.overlay.settings import OverlayTable


class Foundry:
    """Makes the glyphs of a scale on a thread, one at a time, and keeps the newest."""

    def __init__(self, table: OverlayTable) -> None:
        self._theme = table.theme
        self._thread = ThreadPoolExecutor(1, "glyphs")
        self._making: tuple[float, Future[Kit]] | None = None  # the scale, and what it will be
        self._failed: float | None = None  # a scale for which nothing could be made
        self._kit: Kit | None = None

    def kit(self, scale: float) -> Kit | None:
        """What fits the scale, or the last there was until that is made; None before the first.

        Raises what making it raised, once: it is not tried again for the same scale.
        """
        if self._making is not None and self._making[1].done():
            (self._failed, making), self._making = self._making, None
            self._kit = making.result()
            self._failed = None
        there = None if self._kit is None else self._kit.scale
        if self._making is None and scale not in (there, self._failed):
            self._making = (scale, self._thread.submit(self._make, scale, self._kit))
        return self._kit

    def wait(self, scale: float) -> None:
        """Return when what fits the scale is made. Raises what making it raised."""
        self.kit(scale)
        while self._making is not None:
            wait([self._making[1]])
            self.kit(scale)

    def _make(self, scale: float, before: Kit | None) -> Kit:
        """Thread: the glyphs are drawn again only where their size is another."""
        sizes = (drawing.mono_px(scale), drawing.sans_px(scale))
        if before is not None and sizes == (before.atlas.mono_px, before.atlas.sans_px):
            return Kit(scale, self._theme, before.atlas)
        return Kit(scale, self._theme, Atlas(self._theme, *sizes))

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)
