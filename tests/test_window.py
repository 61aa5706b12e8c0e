"""The real window under Xvfb: keys, pictures, full screen, and screens that go away."""

import ctypes
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from xvfb import xvfb

from engine.errors import UserError
from live import monitors, window
from live.app import Output
from live.offscreen import Offscreen, is_software
from live.window import Window, list_monitors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="X11 is Linux's")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with xvfb(800, 600) as name:
        yield name


@pytest.fixture
def no_other_context() -> Iterator[None]:
    """Put aside an EGL context that another test keeps: a thread has one, be it EGL's or GLX's."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:  # then nobody keeps one
        yield
        return
    getters = [egl.eglGetCurrentDisplay, egl.eglGetCurrentSurface, egl.eglGetCurrentContext]
    for getter in getters:
        getter.restype = ctypes.c_void_p
    display = ctypes.c_void_p(egl.eglGetCurrentDisplay())
    if not display:
        yield
        return
    surface = ctypes.c_void_p(egl.eglGetCurrentSurface(0x3059))  # EGL_DRAW
    context = ctypes.c_void_p(egl.eglGetCurrentContext())
    egl.eglMakeCurrent(display, None, None, None)
    yield
    egl.eglMakeCurrent(display, surface, surface, context)


@pytest.fixture
def on_display(display: str, no_other_context: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PYGLFW_LIBRARY_VARIANT", "x11")
    return display


@pytest.fixture
def shown(on_display: str) -> Iterator[Window]:
    opened = Window("Anthesis", (320, 200))
    yield opened
    opened.close()


def tool(*command: str, check: bool = True) -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=check, capture_output=True).stdout


def root_picture() -> Pixels:
    """The whole X screen as it is, [height, width, 3]."""
    picture = tool("import", "-window", "root", "png:-")
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def pattern(width: int, height: int) -> Pixels:
    """Every pixel of its own colour, rows top first."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [columns * 255 // width, rows * 255 // height, (rows * 7 + columns * 3) % 256]
    return np.stack(planes, axis=-1).astype(np.uint8)


def show(shown: Window, picture: Pixels) -> None:
    height, width = picture.shape[:2]
    texture = shown.ctx.texture((width, height), 3, np.ascontiguousarray(picture[::-1]))
    texture_frame = shown.ctx.framebuffer([texture])
    for _ in range(2):
        shown.ctx.copy_framebuffer(shown.screen, texture_frame)
        shown.present()
        shown.poll()
    shown.ctx.finish()


def poll_until(shown: Window, reached: Callable[[], bool]) -> None:
    while not reached():  # pytest's time limit ends it
        shown.poll()
        shown.present()


def press(shown: Window, keys: list[str], expected: int) -> list[str]:
    """Type with xdotool; the names that arrive, once there are as many as expected."""
    tool("xdotool", "mousemove", "400", "300", "key", *keys)
    names: list[str] = []
    while len(names) < expected:
        names += shown.poll()
    return names + shown.poll()


def test_keys_arrive_by_name_and_in_order(shown: Window) -> None:
    typed = ["space", "Left", "Right", "Up", "Down", "Escape", "Return", "comma", "period"]
    names = ["space", "left", "right", "up", "down", "escape", "enter", "comma", "period"]
    assert press(shown, [*typed, *"tTfbzoh19"], len(names) + 9) == [*names, *"ttfbzoh19"]
    assert shown.poll() == []


def test_plus_and_minus_from_any_key_that_carries_them(shown: Window) -> None:
    typed = ["plus", "equal", "KP_Add", "minus", "KP_Subtract"]
    assert press(shown, typed, 5) == ["plus", "plus", "plus", "minus", "minus"]


def test_other_peoples_shortcuts_are_left_alone(shown: Window) -> None:
    typed = ["ctrl+t", "alt+f", "super+b", "shift+1", "space"]
    assert press(shown, typed, 1) == ["space"]


def test_a_french_keyboard(shown: Window) -> None:
    tool("setxkbmap", "fr")
    try:
        typed = ["ampersand", "z", "equal", "plus", "semicolon"]
        assert press(shown, typed, 4) == ["1", "z", "plus", "plus"]
    finally:
        tool("setxkbmap", "us")


def test_the_screen_shows_what_was_drawn(shown: Window) -> None:
    picture = pattern(320, 200)
    show(shown, picture)
    screen = root_picture()
    np.testing.assert_array_equal(screen[200:400, 240:560], picture)
    assert shown.size == (320, 200)
    assert not shown.vsync  # Xvfb's GL is Mesa on the CPU: a swap waits for nothing
    assert shown.refresh_hz == 60.0
    assert not shown.closing


def test_full_screen_fills_the_monitor_and_comes_back(shown: Window) -> None:
    shown.toggle_fullscreen()
    assert shown.fullscreen
    assert shown.size == (800, 600)
    assert shown.screen.viewport == (0, 0, 800, 600)
    picture = pattern(800, 600)
    show(shown, picture)
    np.testing.assert_array_equal(root_picture(), picture)
    shown.toggle_fullscreen()
    assert not shown.fullscreen
    assert shown.size == (320, 200)
    show(shown, pattern(320, 200))
    np.testing.assert_array_equal(root_picture()[200:400, 240:560], pattern(320, 200))


def test_a_window_goes_to_a_monitor_that_there_is(shown: Window) -> None:
    assert shown.monitor == "screen"
    for monitor in ("1", "SCR"):
        shown.move_to(monitor)
        assert shown.size == (320, 200)
    with pytest.raises(ValueError, match="no monitor matches"):
        shown.move_to("projector")
    shown.go_fullscreen()
    shown.move_to("screen")
    assert shown.fullscreen
    assert shown.size == (800, 600)
    shown.go_windowed()


@pytest.mark.parametrize("fullscreen", [False, True])
def test_the_first_thing_seen_is_black(on_display: str, fullscreen: bool) -> None:
    tool("xsetroot", "-solid", "#ff8800")
    opened = Window("Anthesis", (320, 200), "screen", fullscreen=fullscreen)
    try:
        opened.ctx.finish()
        screen = root_picture()
        assert opened.fullscreen == fullscreen
        inside = screen if fullscreen else screen[200:400, 240:560]
        assert not inside.any()
        assert fullscreen or screen[0, 0].tolist() == [255, 136, 0]
    finally:
        opened.close()


@pytest.mark.parametrize("fullscreen", [False, True])
def test_it_is_black_before_it_is_shown_and_again_after(
    on_display: str, fullscreen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_when_black: list[bool] = []
    black = Window._black

    def watched(self: Window) -> None:
        glfw = sys.modules["glfw"]
        shown_when_black.append(bool(glfw.get_window_attrib(self._handle, glfw.VISIBLE)))
        black(self)

    monkeypatch.setattr(Window, "_black", watched)
    Window("Anthesis", (320, 200), fullscreen=fullscreen).close()
    assert shown_when_black == [False, True, True]


def test_the_show_goes_on_without_its_monitor_and_returns_to_it(
    on_display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "SETTLE_NS", 0)  # the waiting itself: test_monitors
    monkeypatch.setattr(window, "LOOK_NS", 0)
    opened = Window("Anthesis", (320, 200), fullscreen=True)
    try:
        # Off succeeds and xrandr then fails to make the screen 0 x 0: no check of its exit code.
        tool("xrandr", "--output", "screen", "--off", check=False)
        poll_until(opened, lambda: not opened.fullscreen)
        assert opened.monitors == []
        assert opened.size == (320, 200)
        tool("xrandr", "--output", "screen", "--auto")
        poll_until(opened, lambda: opened.fullscreen)
        assert opened.size == (800, 600)
        show(opened, pattern(800, 600))
        np.testing.assert_array_equal(root_picture(), pattern(800, 600))
    finally:
        opened.close()


def test_going_windowed_by_choice_stays_windowed(
    shown: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "SETTLE_NS", 0)
    monkeypatch.setattr(window, "LOOK_NS", 0)
    shown.go_fullscreen()
    assert shown.fullscreen
    shown.go_windowed()
    for _ in range(5):
        shown.poll()
    assert not shown.fullscreen


def test_a_monitor_that_is_not_there_is_refused_and_nothing_stays_open(on_display: str) -> None:
    with pytest.raises(UserError, match="1 screen@0,0 800x600"):
        Window("Anthesis", (320, 200), "Barco", fullscreen=True)
    with pytest.raises(UserError, match="no monitor matches"):
        Window("Anthesis", (320, 200), "7")
    opened = Window("Anthesis", (320, 200), "1")
    opened.close()
    opened.close()


def test_the_operators_line_is_the_windowed_title(shown: Window) -> None:
    def titles(text: str) -> bytes:
        return tool("xdotool", "search", "--name", text)

    shown.operator("cue 2 · 128 BPM")
    assert titles("^Anthesis – cue 2 · 128 BPM$")
    shown.operator("")
    assert titles("^Anthesis$")
    shown.go_fullscreen()
    shown.operator("not for the audience")
    assert titles("^Anthesis$")


def test_glfw_errors_are_logged_once_per_kind_and_not_raised(
    shown: Window, caplog: pytest.LogCaptureFixture
) -> None:
    glfw = sys.modules["glfw"]
    for _ in range(3):
        glfw.swap_interval(1)
        glfw.get_input_mode(shown._handle, 0)
    assert len(caplog.records) == 1
    assert "GLFW" in caplog.text


def test_the_list_of_monitors(on_display: str) -> None:
    (only,) = list_monitors()
    assert (only.name, only.x, only.y, only.width, only.height) == ("screen", 0, 0, 800, 600)
    assert only.primary


def refusal(environment: dict[str, str]) -> str:
    """What a fresh process is told that opens a window in this environment."""
    script = (
        "from engine.errors import UserError\n"
        "from live.window import Window\n"
        "try: Window('Anthesis', (320, 200))\n"
        "except UserError as error: print(type(error).__name__, error)\n"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=kept | environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    return result.stdout


@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ":9999"}])
def test_no_display_is_said_in_one_line(environment: dict[str, str]) -> None:
    said = refusal(environment)
    assert said.startswith("NoDisplay no display: ")
    assert "--headless" in said


def test_a_gl_that_is_too_old_is_said_in_one_line(display: str) -> None:
    said = refusal({"DISPLAY": display, "MESA_GL_VERSION_OVERRIDE": "2.1"})
    assert said.startswith("UserError no OpenGL 3.3 core profile for a window: ")
    assert "libgl1-mesa-dri" in said


def test_importing_the_window_loads_no_glfw() -> None:
    script = "import sys, live.window, live.monitors; print('glfw' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "False\n"


def test_offscreen_draws_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    output = Offscreen((64, 48), 30.0)
    try:
        assert (output.size, output.refresh_hz) == ((64, 48), 30.0)
        assert not any(output.screen.read())
        output.screen.clear(0.2, 0.4, 0.6)
        output.present()
        assert output.screen.read(components=4)[:4] == bytes([51, 102, 153, 0])
        assert output.poll() == []
        assert not output.closing
        assert output.software == is_software(output.ctx.info["GL_RENDERER"])
    finally:
        output.close()


def test_without_egl_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCONTEXT_LINUX_LIBEGL", "libabsent.so")
    with pytest.raises(UserError, match="libegl1 libgl1 libgl1-mesa-dri"):
        Offscreen((64, 48))


@pytest.mark.parametrize(
    ("renderer", "software"),
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", True),
        ("softpipe", True),
        ("NVIDIA GeForce RTX 4090/PCIe/SSE2", False),
        ("Mesa Intel(R) UHD Graphics 620 (KBL GT2)", False),
    ],
)
def test_software_gl_is_known_by_its_name(renderer: str, software: bool) -> None:
    assert is_software(renderer) == software


def test_both_outputs_offer_the_loop_the_same(on_display: str) -> None:
    def members(output: Window | Offscreen) -> set[str]:
        try:
            return set(dir(output))
        finally:
            output.close()

    needed = {name for name in {*vars(Output), *Output.__annotations__} if name[0] != "_"}
    assert {"ctx", "screen", "size", "refresh_hz", "poll", "closing", "present"} <= needed
    assert needed <= members(Offscreen((8, 8)))  # one after the other: a thread has one context
    assert needed <= members(Window("Anthesis", (320, 200)))


def test_a_complaint_of_the_x_server_does_not_end_the_show(
    shown: Window, caplog: pytest.LogCaptureFixture
) -> None:
    glfw = sys.modules["glfw"]
    xlib = ctypes.CDLL("libX11.so.6")
    display = ctypes.cast(glfw.get_x11_display(), ctypes.c_void_p)
    for _ in range(3):
        xlib.XMapWindow(display, ctypes.c_ulong(1))  # no such window
        xlib.XSync(display, 0)
    show(shown, pattern(320, 200))
    assert caplog.text.count("X11: error 3 ") == 1
