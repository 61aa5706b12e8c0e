"""The show's window: GLFW, its monitors and its keys. The only importer of glfw.

glfw is imported when a window or the list of monitors is asked for, so that this module can be
imported where there is neither display nor library. What GLFW reports in mid-show is logged once
per kind and never raised.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import sys
import time
from contextlib import suppress
from typing import Any

import moderngl

from engine.errors import UserError
from live import x11
from live.monitors import FallBack, Fill, MonitorFacts, MonitorWatch, choose, under
from live.offscreen import is_software

log = logging.getLogger(__name__)

LOOK_NS = 1_000_000_000
"""Monitors are enumerated again this often (0.1 ms under X11), besides GLFW's own notice."""

# fmt: off
_NAMED_KEYS = (
    "space", "left", "right", "up", "down", "escape", "enter", "tab", "backspace", "home", "end",
    "page_up", "page_down", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11",
    "f12",
)
# fmt: on
_BY_CHARACTER = {"+": "plus", "-": "minus"}
_BY_LAYOUT = {",": "comma", ".": "period", "=": "plus"}  # unshifted = is plus's key on a US board
_REPEATING = {"comma", "period"}  # held keys; plus and minus repeat as characters do


class NoDisplay(UserError):  # noqa: N818 - a condition to act upon: the show can go headless
    """There is no display to open a window on."""


class _Errors:
    """GLFW's errors: kept while starting, logged once per kind in the show, never raised."""

    def __init__(self) -> None:
        self.last = ""
        self.starting = True
        self._seen: set[int] = set()

    def __call__(self, code: int, text: bytes) -> None:
        self.last = text.decode(errors="replace")
        if not self.starting and code not in self._seen:
            self._seen.add(code)
            log.warning("GLFW: %s (further reports of this kind are not repeated)", self.last)


class _Loader:
    """Finds GL functions for moderngl through GLFW, whichever API made the context.

    Besides working on Wayland too, it is 16 ms quicker than moderngl's own search for libGL.
    """

    def __init__(self, glfw: Any) -> None:
        self._glfw = glfw

    def load_opengl_function(self, name: str) -> int:
        return ctypes.cast(self._glfw.get_proc_address(name), ctypes.c_void_p).value or 0

    def release(self) -> None:
        """The context belongs to the window."""


def _start_glfw(errors: _Errors) -> Any:
    """The glfw module, initialized. Raises NoDisplay or UserError."""
    glfw = _import_glfw()
    glfw.set_error_callback(errors)
    if sys.platform == "linux" and os.environ.get("PYGLFW_LIBRARY_VARIANT") == "x11":
        glfw.init_hint(glfw.PLATFORM, glfw.PLATFORM_X11)
    if not glfw.init():
        glfw.set_error_callback(None)
        raise NoDisplay(
            f"no display: {errors.last or 'GLFW cannot start'}; "
            "perform with --headless, or set DISPLAY to a screen you may use"
        )
    return glfw


def load_glfw() -> None:
    """Load the library where there is a display: 0.1 s that opening a window then does not take."""
    with suppress(UserError):
        _import_glfw()


def _import_glfw() -> Any:
    if sys.platform == "linux":
        _choose_variant(bool(os.environ.get("DISPLAY")), bool(os.environ.get("WAYLAND_DISPLAY")))
    try:
        return importlib.import_module("glfw")
    except (ImportError, OSError) as error:
        raise UserError(
            f"cannot load GLFW, the window library: {error}; "
            "reinstall the Python package glfw, or perform with --headless"
        ) from error


def _choose_variant(has_x11: bool, has_wayland: bool) -> None:
    """Prefer X11: on Wayland a swap with interval 1 hangs while the window is hidden (glfw#1350).

    pyGLFW chooses between its two libraries at import by this variable and the session's type.
    """
    if not has_x11 and not has_wayland:
        raise NoDisplay(
            "no display: neither DISPLAY nor WAYLAND_DISPLAY is set; "
            "start from a desktop session, or perform with --headless"
        )
    if "PYGLFW_LIBRARY_VARIANT" in os.environ:
        return
    os.environ["PYGLFW_LIBRARY_VARIANT"] = "x11" if has_x11 else "wayland"
    if has_wayland and has_x11:
        log.info("using X11 through XWayland, which shows need (PYGLFW_LIBRARY_VARIANT overrides)")
    elif has_wayland:
        log.warning("no X11 here, using Wayland: keep the window visible, hidden ones stop it")


def _enumerate(glfw: Any) -> list[tuple[MonitorFacts, Any]]:
    """What GLFW sees now, the primary monitor first. Reads a round trip's worth from X11."""
    found = []
    for number, handle in enumerate(glfw.get_monitors()):
        with suppress(ValueError, AttributeError):  # no mode or name: it went while we looked
            mode = glfw.get_video_mode(handle)
            x, y = glfw.get_monitor_pos(handle)
            name = glfw.get_monitor_name(handle)
            facts = MonitorFacts(
                name=name.decode(errors="replace") if isinstance(name, bytes) else name,
                x=x,
                y=y,
                width=mode.size.width,
                height=mode.size.height,
                refresh_hz=float(mode.refresh_rate),
                primary=number == 0,
            )
            found.append((facts, handle))
    return found


def list_monitors() -> list[MonitorFacts]:
    """The monitors there are, in the order that `--monitor N` counts. Raises NoDisplay.

    Not while a `Window` is open: it ends GLFW when done.
    """
    glfw = _start_glfw(_Errors())
    try:
        return [facts for facts, _ in _enumerate(glfw)]
    finally:
        _stop_glfw(glfw)


def _stop_glfw(glfw: Any) -> None:
    glfw.terminate()
    glfw.set_error_callback(None)


class Window:
    """An output on a screen: windowed, or full screen at the monitor's current video mode.

    `size` is the windowed size in screen coordinates; `monitor` as `live.monitors.choose` reads
    it (None: the primary one). Everything is called from the thread that opened it. Raises
    NoDisplay, or UserError for a monitor or an OpenGL that is not there.
    """

    def __init__(
        self,
        title: str,
        size: tuple[int, int],
        monitor: str | None = None,
        *,
        fullscreen: bool = False,
    ) -> None:
        self._title = title
        self._windowed_size = size
        self._errors = _Errors()
        self._watch = MonitorWatch()
        self._keys: list[str] = []
        self._operator_text = ""
        self._monitors_changed = False
        self._glfw = _start_glfw(self._errors)
        try:
            self._open(monitor, fullscreen=fullscreen)
        except BaseException:
            _stop_glfw(self._glfw)
            raise
        self._errors.starting = False

    def _open(self, monitor: str | None, *, fullscreen: bool) -> None:
        glfw = self._glfw
        self._x11 = sys.platform == "linux" and glfw.get_platform() == glfw.PLATFORM_X11
        if self._x11:
            x11.survive_errors()
        self._monitors = _enumerate(glfw)
        here = [facts for facts, _ in self._monitors]
        at = choose(here, monitor) if monitor is not None else next(iter(here), None)
        self._hint()
        self._handle = glfw.create_window(*self._windowed_size, self._title, None, None)
        if not self._handle:
            raise UserError(
                f"no OpenGL 3.3 core profile for a window: {self._errors.last}; update the "
                "graphics driver (Debian: libgl1-mesa-dri), or perform with --headless"
            )
        glfw.make_context_current(self._handle)
        glfw.swap_interval(1)
        loader: Any = _Loader(glfw)
        self.ctx: moderngl.Context = moderngl.create_context(require=330, context=loader)
        self.screen: moderngl.Framebuffer = self.ctx.screen
        self._software = is_software(str(self.ctx.info["GL_RENDERER"]))
        self._resized(None, *glfw.get_framebuffer_size(self._handle))
        self._listen()
        self._black()
        if fullscreen and at is not None:
            self._fill(at)
        else:
            self._unfill(at)
            glfw.show_window(self._handle)
        self._looked_ns = time.perf_counter_ns()
        glfw.poll_events()
        self._black()  # both buffers: what was drawn before the window was mapped is gone
        self._black()

    def _hint(self) -> None:
        glfw = self._glfw
        hints = {
            glfw.CONTEXT_VERSION_MAJOR: 3,
            glfw.CONTEXT_VERSION_MINOR: 3,
            glfw.OPENGL_PROFILE: glfw.OPENGL_CORE_PROFILE,
            glfw.OPENGL_FORWARD_COMPAT: True,
            glfw.VISIBLE: False,  # shown once it is black: no flash of desktop
            glfw.AUTO_ICONIFY: False,  # a click on the operator's screen must not end the show
            glfw.DEPTH_BITS: 0,
            glfw.STENCIL_BITS: 0,
        }
        for hint, value in hints.items():
            glfw.window_hint(hint, value)
        for hint in (glfw.X11_CLASS_NAME, glfw.X11_INSTANCE_NAME, glfw.WAYLAND_APP_ID):
            glfw.window_hint_string(hint, "anthesis")

    def _listen(self) -> None:
        glfw, handle = self._glfw, self._handle
        self._named_keys = {getattr(glfw, f"KEY_{name.upper()}"): name for name in _NAMED_KEYS}
        self._named_keys[glfw.KEY_KP_ENTER] = "enter"
        for digit in range(10):
            self._named_keys[getattr(glfw, f"KEY_KP_{digit}")] = str(digit)
        glfw.set_key_callback(handle, self._key)
        glfw.set_char_callback(handle, self._character)
        glfw.set_framebuffer_size_callback(handle, self._resized)
        glfw.set_monitor_callback(self._monitor_reported)
        if self._x11:
            display = _address(glfw.get_x11_display())
            x11.blacken(display or 0, glfw.get_x11_window(handle))

    # What the frame loop uses

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in framebuffer pixels; follows the window."""
        return self._size

    @property
    def refresh_hz(self) -> float:
        """Of the monitor the window is on; 60 where the system does not say (Xvfb)."""
        monitor = self._here()
        return (monitor.refresh_hz if monitor else 0.0) or 60.0

    @property
    def vsync(self) -> bool:
        """Whether `present` waits for the display; on software GL it returns at once."""
        return not self._software

    @property
    def closing(self) -> bool:
        """Whether the window was asked to close."""
        return bool(self._glfw.window_should_close(self._handle))

    def poll(self) -> list[str]:
        """Names of the keys pressed since the last call; looks after the monitors besides."""
        self._glfw.poll_events()
        now_ns = time.perf_counter_ns()
        if self._monitors_changed or now_ns - self._looked_ns >= LOOK_NS:
            self._look(now_ns)
        keys, self._keys = self._keys, []
        return keys

    def present(self) -> None:
        """Show what was drawn to `screen`."""
        self._glfw.swap_buffers(self._handle)

    def close(self) -> None:
        """Take the window down and end GLFW; a second call does nothing."""
        if self._handle is not None:
            self.ctx.release()
            self._handle = None
            _stop_glfw(self._glfw)

    def operator(self, text: str) -> None:
        """A line for the operator, in the title of a windowed show; full screen shows none."""
        if text != self._operator_text and not self.fullscreen:
            self._operator_text = text
            title = f"{self._title} – {text}" if text else self._title
            self._glfw.set_window_title(self._handle, title)

    # Monitors

    @property
    def fullscreen(self) -> bool:
        """Whether the window fills a monitor now."""
        return bool(self._glfw.get_window_monitor(self._handle))

    @property
    def monitors(self) -> list[MonitorFacts]:
        """The monitors there were at the last look."""
        return [facts for facts, _ in self._monitors]

    def go_fullscreen(self) -> None:
        """Fill the monitor that the window is on."""
        monitor = self._here()
        if monitor is not None:
            self._fill(monitor)

    def go_windowed(self) -> None:
        """Back to a window, on the monitor that was filled."""
        monitor = self._here()
        self._watch.want(None)
        self._unfill(monitor)

    @property
    def monitor(self) -> str:
        """The name of the monitor that the window is on, "" where there is none."""
        here = self._here()
        return "" if here is None else here.name

    def move_to(self, monitor: str) -> None:
        """To another monitor, filling it or not as before.

        monitor: as `live.monitors.choose` reads it. Raises ValueError where it finds none, or
        several.
        """
        try:
            to = choose(self.monitors, monitor)
        except UserError as error:
            raise ValueError(str(error)) from error
        if self.fullscreen:
            self._fill(to)
        else:
            self._unfill(to)

    def toggle_fullscreen(self) -> None:
        """What the key F does."""
        if self.fullscreen:
            self.go_windowed()
        else:
            self.go_fullscreen()

    def _look(self, now_ns: int) -> None:
        self._looked_ns = now_ns
        self._monitors_changed = False
        self._monitors = _enumerate(self._glfw)
        match self._watch.see(self.monitors, self._filled(), now_ns):
            case Fill(monitor):
                log.warning("full screen on %s", monitor)
                self._fill(monitor)
            case FallBack(monitor):
                log.warning("the show's monitor is gone; windowed until it is found again")
                self._unfill(monitor)

    def _filled(self) -> MonitorFacts | None:
        handle = self._glfw.get_window_monitor(self._handle)
        if not handle:
            return None
        address = _address(handle)
        return next((facts for facts, there in self._monitors if _address(there) == address), None)

    def _here(self) -> MonitorFacts | None:
        filled = self._filled()
        if filled is not None:
            return filled
        x, y = self._glfw.get_window_pos(self._handle)
        width, height = self._glfw.get_window_size(self._handle)
        return under(self.monitors, x + width / 2, y + height / 2)

    def _fill(self, monitor: MonitorFacts) -> None:
        """Full screen at the monitor's *current* mode: nothing is switched, nothing goes black."""
        glfw = self._glfw
        handle = next((there for facts, there in self._monitors if facts == monitor), None)
        if handle is None:
            return
        self._watch.want(monitor)
        glfw.set_input_mode(self._handle, glfw.CURSOR, glfw.CURSOR_HIDDEN)
        rate = round(monitor.refresh_hz) or glfw.DONT_CARE
        glfw.set_window_monitor(self._handle, handle, 0, 0, monitor.width, monitor.height, rate)
        self._resized(None, *glfw.get_framebuffer_size(self._handle))

    def _unfill(self, monitor: MonitorFacts | None) -> None:
        """A window of the asked size, or what of it fits, in the middle of the monitor."""
        glfw = self._glfw
        glfw.set_input_mode(self._handle, glfw.CURSOR, glfw.CURSOR_NORMAL)
        width, height = self._windowed_size
        x = y = 0
        if monitor is not None:
            width, height = min(width, monitor.width), min(height, monitor.height)
            x = monitor.x + (monitor.width - width) // 2
            y = monitor.y + (monitor.height - height) // 2
        glfw.set_window_monitor(self._handle, None, x, y, width, height, glfw.DONT_CARE)
        self._resized(None, *glfw.get_framebuffer_size(self._handle))

    # What GLFW calls

    def _key(self, _window: object, key: int, scancode: int, action: int, mods: int) -> None:
        glfw = self._glfw
        if action == glfw.RELEASE or mods & (glfw.MOD_CONTROL | glfw.MOD_ALT | glfw.MOD_SUPER):
            return
        name = self._named_keys.get(key) or self._lettered(key, scancode, mods)
        if name is not None and (action == glfw.PRESS or name in _REPEATING):
            self._keys.append(name)

    def _lettered(self, key: int, scancode: int, mods: int) -> str | None:
        """The key's name by the keyboard's layout, so that T is T on every board."""
        glfw = self._glfw
        text: str | bytes | None = glfw.get_key_name(key, scancode)
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        if glfw.KEY_0 <= key <= glfw.KEY_9:
            # By place: the digits of a French board are shifted, a Swiss + is a shifted 1.
            return None if mods & glfw.MOD_SHIFT else str(key - glfw.KEY_0)
        if text is None or glfw.KEY_KP_0 <= key <= glfw.KEY_KP_EQUAL:
            return None
        if text in _BY_LAYOUT:
            return None if mods & glfw.MOD_SHIFT else _BY_LAYOUT[text]
        return text.casefold() if text.isalpha() else None

    def _character(self, _window: object, codepoint: int) -> None:
        """Plus and minus come as characters: which key they are on depends on the layout."""
        name = _BY_CHARACTER.get(chr(codepoint))
        if name is not None:
            self._keys.append(name)

    def _resized(self, _window: object, width: int, height: int) -> None:
        if width > 0 and height > 0:  # minimized windows report 0 x 0 on Windows
            self._size = (width, height)
            self.screen.viewport = (0, 0, width, height)

    def _monitor_reported(self, _monitor: object, _event: int) -> None:
        self._monitors_changed = True

    def _black(self) -> None:
        self.screen.clear()
        self.present()


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
