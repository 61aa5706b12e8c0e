"""The desktop's furniture: bar, dock, and the frames of windows, in the figures of Yaru."""

from __future__ import annotations

import math
from collections.abc import Collection

from live.overlay.drawing import TOP, Drawing, Kit
from live.overlay.quads import Box, Colour
from live.overlay.state import PaneName

BAR, HEADER, RADIUS, PADDING = 32, 46, 12, 8
BUTTON, BUTTON_STEP = 24, 34
ICON, DOCK_PADDING, DOCK_RADIUS, DOCK_MARGIN = 48, 12, 18, 8

SHADE = (0, 0, 0, 150)
EDGE = (90, 90, 90, 255)  # of dark icons on the dark dock

APPS: tuple[PaneName | None, ...] = (None, "terminal", "monitor", "picture")
"""What stands in the dock; None is the files, which nobody opens."""


# Windows


def content(width: int, height: int, kit: Kit) -> Box:
    """The part of a window of that size below its header."""
    header = min(kit.px(HEADER), height)
    return Box(0, header, width, height - header)


def window(
    size: tuple[int, int],
    title: str,
    drawing: Drawing,
    header: Colour,
    body: Colour,
    hole: Box | None,
) -> None:
    """A window's frame: shadow, header bar with title and buttons, the ground of its content.

    The ground leaves out the hole, for what would shine through of it would tint what comes there.
    """
    kit, desktop = drawing.kit, drawing.kit.theme.desktop
    inner = content(*size, kit)
    bar = Box(0, 0, size[0], inner.top)
    line = kit.px(1)
    drawing.shadow(Box(0, 0, *size), SHADE)
    drawing.rounded(bar, header, kit.px(RADIUS), TOP)
    drawing.fill(Box(0, bar.height - line, bar.width, line), desktop.border)
    for part in [inner] if hole is None else around(hole, inner):
        drawing.fill(part, body)
    shown, width = _fitted(title, size[0] - 6 * kit.px(BUTTON_STEP), kit)
    top = (bar.height - kit.atlas.sans_height) // 2
    drawing.text(shown, (bar.width - width) // 2, top, desktop.header_text, bold=True)
    if bar.width > 8 * kit.px(BUTTON_STEP):
        _buttons(bar, drawing)


def around(hole: Box, whole: Box) -> list[Box]:
    """What is left of a box without a hole that lies in it."""
    right, bottom = hole.left + hole.width, hole.top + hole.height
    return [
        Box(whole.left, whole.top, whole.width, hole.top - whole.top),
        Box(whole.left, hole.top, hole.left - whole.left, hole.height),
        Box(right, hole.top, whole.left + whole.width - right, hole.height),
        Box(whole.left, bottom, whole.width, whole.top + whole.height - bottom),
    ]


def _fitted(title: str, room: int, kit: Kit) -> tuple[str, int]:
    """The title, shortened where the window is narrow, and its width."""
    width = kit.atlas.line(title, True).advance
    while width > room and title:
        title = title[:-2].rstrip() + "…" if len(title) > 2 else ""
        width = kit.atlas.line(title, True).advance
    return title, width


def _buttons(bar: Box, drawing: Drawing) -> None:
    """Close, maximise, minimise from the right, each on its round ground."""
    kit, desktop = drawing.kit, drawing.kit.theme.desktop
    side, middle, stroke = kit.px(BUTTON), bar.height // 2, kit.px(1.4)
    reach = kit.px(8)
    for number in range(3):
        centre = bar.width - kit.px(BUTTON) - number * kit.px(BUTTON_STEP)
        ground = Box(centre - side // 2, middle - side // 2, side, side)
        drawing.rounded(ground, desktop.button, side // 2)
        sign = Box(centre - reach // 2, middle - reach // 2, reach, reach)
        if number == 0:
            _cross(sign, stroke, drawing)
        elif number == 1:
            drawing.fill(sign, desktop.header_text)
            drawing.fill(sign.inset(stroke), desktop.button)
        else:
            low = Box(sign.left, sign.top + reach - stroke, reach, stroke)
            drawing.fill(low, desktop.header_text)


def _cross(place: Box, stroke: int, drawing: Drawing) -> None:
    """Two diagonals, of small boxes: there are no other lines here."""
    for step in range(place.width):
        for column in (step, place.width - 1 - step):
            dot = Box(place.left + column, place.top + step, stroke, 1)
            drawing.fill(dot, drawing.kit.theme.desktop.header_text)


# The bar


def bar(width: int, clock: str, drawing: Drawing) -> None:
    """The bar along the top: activities, the clock in its middle, the system's signs."""
    kit, desktop = drawing.kit, drawing.kit.theme.desktop
    height, margin = kit.px(BAR), kit.px(16)
    top = (height - kit.atlas.sans_height) // 2
    drawing.fill(Box(0, 0, width, height), desktop.bar)
    drawing.text("Activities", margin, top, desktop.bar_text, bold=True)
    wide = kit.atlas.line(clock, True).advance
    drawing.text(clock, (width - wide) // 2, top, desktop.bar_text, bold=True)
    _signs(width - margin, height // 2, drawing)


def _signs(right: int, middle: int, drawing: Drawing) -> None:
    """Power, sound and network, from the right."""
    kit, desktop = drawing.kit, drawing.kit.theme.desktop
    ink, side, stroke = desktop.bar_text, kit.px(14), kit.px(1.6)
    power = Box(right - side, middle - side // 2, side, side)
    drawing.rounded(power, ink, side // 2)
    drawing.rounded(power.inset(stroke), desktop.bar, side // 2 - stroke)
    gap = Box(power.left + side // 2 - stroke, power.top - 1, 2 * stroke, side // 2)
    drawing.fill(gap, desktop.bar)
    drawing.fill(Box(power.left + (side - stroke) // 2, power.top - 1, stroke, side // 2), ink)
    sound = power.left - kit.px(28)
    drawing.fill(Box(sound, middle - kit.px(2.5), kit.px(4), 2 * kit.px(2.5)), ink)
    for step in range(kit.px(5)):
        tall = kit.px(2.5) + step
        drawing.fill(Box(sound + kit.px(3) + step, middle - tall, 1, 2 * tall), ink)
    drawing.fill(Box(sound + kit.px(11), middle - kit.px(4), stroke, 2 * kit.px(4)), ink)
    network = sound - kit.px(30)
    for step in range(4):
        tall = kit.px(4 + 3.4 * step)
        left = network + round(4.5 * kit.scale * step)
        drawing.fill(Box(left, middle + side // 2 - tall, kit.px(3), tall), ink)


# The dock


def dock(height: int, running: Collection[PaneName], drawing: Drawing) -> None:
    """The dock along the left edge, a dot beside what is open."""
    kit, desktop = drawing.kit, drawing.kit.theme.desktop
    side, padding = kit.px(ICON), kit.px(DOCK_PADDING)
    step = side + padding
    tall = (len(APPS) + 1) * step + 2 * padding
    top = kit.px(BAR) + (height - kit.px(BAR) - tall) // 2
    place = Box(kit.px(DOCK_MARGIN), top, side + 2 * padding, tall)
    drawing.rounded(place, desktop.dock, kit.px(DOCK_RADIUS))
    dot = kit.px(5)
    for number, app in enumerate(APPS):
        tile = Box(place.left + padding, place.top + padding + number * step, side, side)
        _icon(app, tile, drawing)
        if app in running:
            left = place.left + (padding - dot) // 2
            beside = Box(left, tile.top + (side - dot) // 2, dot, dot)
            drawing.rounded(beside, desktop.accent, dot // 2)
    below = place.top + padding + len(APPS) * step + padding
    _grid(Box(place.left + padding, below, side, side), drawing)


def _icon(app: PaneName | None, tile: Box, drawing: Drawing) -> None:
    if app == "terminal":
        _terminal_icon(tile, drawing)
    elif app == "monitor":
        _monitor_icon(tile, drawing)
    elif app == "picture":
        _picture_icon(tile, drawing)
    else:
        _files_icon(tile, drawing)


def _part(tile: Box, left: float, top: float, width: float, height: float) -> Box:
    """A part of a tile, in parts of its side."""
    side = tile.width
    return Box(
        tile.left + round(left * side),
        tile.top + round(top * side),
        max(1, round(width * side)),
        max(1, round(height * side)),
    )


def _terminal_icon(tile: Box, drawing: Drawing) -> None:
    kit = drawing.kit
    drawing.outlined(tile, EDGE, (38, 12, 31, 255), tile.width // 5)
    top = tile.top + (tile.height - kit.atlas.sans_height) // 2 - tile.height // 8
    ink = kit.theme.terminal.bright_white
    drawing.text(">_", tile.left + tile.width // 5, top, ink, bold=True)


def _monitor_icon(tile: Box, drawing: Drawing) -> None:
    terminal = drawing.kit.theme.terminal
    drawing.outlined(tile, EDGE, (27, 38, 44, 255), tile.width // 5)
    bars = (
        (0.34, terminal.green),
        (0.56, terminal.yellow),
        (0.44, terminal.green),
        (0.66, terminal.red),
    )
    for number, (tall, ink) in enumerate(bars):
        drawing.fill(_part(tile, 0.17 + 0.175 * number, 0.83 - tall, 0.12, tall), ink)


def _picture_icon(tile: Box, drawing: Drawing) -> None:
    """A flower: five petals around a heart."""
    theme = drawing.kit.theme
    drawing.rounded(tile, (223, 233, 238, 255), tile.width // 5)
    for number in range(5):
        angle = 2.0 * math.pi * (number / 5.0 - 0.25)
        left, top = 0.36 + 0.19 * math.cos(angle), 0.36 + 0.19 * math.sin(angle)
        petal = _part(tile, left, top, 0.28, 0.28)
        drawing.rounded(petal, theme.desktop.wallpaper[-2], petal.width // 2)
    heart = _part(tile, 0.39, 0.39, 0.22, 0.22)
    drawing.rounded(heart, theme.terminal.bright_yellow, heart.width // 2)


def _files_icon(tile: Box, drawing: Drawing) -> None:
    accent = drawing.kit.theme.desktop.accent
    back = (*(round(0.75 * channel) for channel in accent[:3]), 255)
    radius = max(1, tile.width // 12)
    drawing.rounded(_part(tile, 0.06, 0.14, 0.42, 0.3), back, radius)
    drawing.rounded(_part(tile, 0.06, 0.22, 0.88, 0.64), back, radius)
    drawing.rounded(_part(tile, 0.06, 0.34, 0.88, 0.52), accent, radius)


def _grid(tile: Box, drawing: Drawing) -> None:
    """Nine dots: show the applications."""
    ink = drawing.kit.theme.desktop.bar_text
    for number in range(9):
        dot = _part(tile, 0.2 + 0.25 * (number % 3), 0.2 + 0.25 * (number // 3), 0.12, 0.12)
        drawing.rounded(dot, ink, dot.width // 2)
