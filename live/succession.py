"""The pictures of one network: the newest, and for a moment the one before a change of size.

An engine that is short of time answers with smaller pictures, which look softer. The last of the
old size stays in sight while the first of the new ones come in over it, so that nobody sees when.
"""

from __future__ import annotations

from collections.abc import Iterator

import moderngl

from live.show import eased
from live.source import Frame
from live.texture import Picture

FADE = 300_000_000  # ns


class Succession:
    """One network's pictures on the GPU. Moments are show time in ns."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        self._live = Picture(ctx)
        self._before: Picture | None = None
        self._changed_at = 0

    def upload(self, frame: Frame, at: int) -> None:
        """Show a frame from now on. Raises as `Picture.upload`; what was shown then stays."""
        size = (frame.header.width, frame.header.height)
        if self._live.size in ((0, 0), size):
            self._live.upload(frame.pixels, *size)
            return
        coming = Picture(self._ctx)
        coming.upload(frame.pixels, *size)
        self._end_fade()
        self._before, self._live, self._changed_at = self._live, coming, at

    def layers(self, at: int) -> Iterator[tuple[Picture, float]]:
        """What to draw at a moment: pictures, with shares that add up to 1."""
        share = eased((at - self._changed_at) / FADE) if self._before is not None else 1.0
        if self._before is not None and share >= 1.0:
            self._end_fade()
        if self._before is not None:
            yield self._before, 1.0 - share
        yield self._live, share

    def release(self) -> None:
        """Free what is on the GPU."""
        self._end_fade()
        self._live.release()

    def _end_fade(self) -> None:
        if self._before is not None:
            self._before.release()
            self._before = None
