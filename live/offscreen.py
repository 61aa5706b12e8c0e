"""The show's output where there is no display: a picture in memory, by EGL.

It has the members of `live.window.Window` that the frame loop uses.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import moderngl

from engine.errors import UserError

_DEVICES = 8
"""EGL devices tried: on a machine with a card but no working driver the first can fail."""


class Offscreen:
    """An output of `size` (width, height) pixels that nobody sees. Raises UserError without EGL.

    It does not pace anything: `present` waits for the drawing, not for a display.
    """

    vsync = False
    closing = False

    def __init__(self, size: tuple[int, int], refresh_hz: float = 60.0) -> None:
        self.size = size
        self.refresh_hz = refresh_hz
        self.ctx: moderngl.Context = _standalone_context()
        self.screen: moderngl.Framebuffer = self.ctx.simple_framebuffer(size, components=4)
        self.screen.clear()
        self.screen.use()

    @property
    def software(self) -> bool:
        """Whether GL runs on the CPU."""
        return is_software(str(self.ctx.info["GL_RENDERER"]))

    def poll(self) -> list[str]:
        """No keys are pressed here."""
        return []

    def present(self) -> None:
        """Wait until what was asked for is drawn, so that a slow GL shows in the intervals."""
        self.ctx.finish()

    def operator(self, text: str) -> None:
        """Nobody looks at a title here; operator text goes to the terminal."""

    @property
    def fullscreen(self) -> bool:
        """There is no screen to fill."""
        return False

    @property
    def monitor(self) -> str:
        """There is none."""
        return ""

    def toggle_fullscreen(self) -> None:
        """See `fullscreen`."""

    go_fullscreen = go_windowed = toggle_fullscreen

    def move_to(self, monitor: str) -> None:
        """Raises ValueError: there are no monitors to move between."""
        raise ValueError("the show has no window")

    def close(self) -> None:
        """Give everything back."""
        self.screen.release()
        self.ctx.release()
        if sys.platform == "linux":
            # glcontext leaves the dead context current, and then no GLX context can become so.
            ctypes.CDLL("libEGL.so.1").eglReleaseThread()


def is_software(renderer: str) -> bool:
    """Whether this GL_RENDERER draws on the CPU."""
    return any(
        name in renderer.lower() for name in ("llvmpipe", "softpipe", "swiftshader", "swrast")
    )


def _standalone_context() -> moderngl.Context:
    if sys.platform != "linux":  # Windows and macOS make one without a window by their own means
        return moderngl.create_context(require=330, standalone=True)
    # Naming the libraries spares a search by compiler and ldconfig: 6 ms instead of 64 ms.
    settings: dict[str, Any] = {"backend": "egl", "libgl": "libGL.so.1", "libegl": "libEGL.so.1"}
    reasons = []
    for device in range(_DEVICES):
        settings["device_index"] = device
        try:
            return moderngl.create_context(require=330, standalone=True, **settings)
        except Exception as error:  # noqa: BLE001 - glcontext raises bare Exception for everything
            reasons.append(str(error))
            if "requested device index" in reasons[-1] or "not loaded" in reasons[-1]:
                break
    raise UserError(
        f"cannot draw without a display: {reasons[0]}; OpenGL 3.3 by EGL is needed "
        "(Debian, Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri)"
    )
