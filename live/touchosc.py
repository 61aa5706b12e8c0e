"""A TouchOSC layout of every address: faders for levels, buttons for switches and triggers.

A .tosc file is XML, compressed by zlib: nodes with properties, values, and the OSC messages that
they send. What is not said here is as TouchOSC makes it by itself.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from live.addresses import ADDRESSES, Address

COLUMNS = 8
CELL, GAP, LABEL = (150, 190), 10, 36  # pixels of a control, between two, and of its name
CUES = 9  # buttons that go to one each

_LEVEL, _SWITCH, _PRESS = (1.0, 0.57, 0.0), (0.2, 0.7, 0.4), (0.85, 0.3, 0.25)  # red, green, blue


class _Control(NamedTuple):
    """What somebody touches."""

    name: str
    kind: str  # FADER or BUTTON
    address: str
    colour: tuple[float, float, float]
    range: tuple[float, float] = (0.0, 1.0)
    toggles: bool = False
    constant: int | None = None  # is sent instead of the value


def layout(prefix: str = "/anthesis") -> bytes:
    """The file."""
    controls = [control for a in ADDRESSES.values() for control in _controls(a, prefix)]
    rows = -(-len(controls) // COLUMNS)
    size = (COLUMNS * (CELL[0] + GAP) + GAP, rows * (CELL[1] + LABEL + GAP) + GAP)
    root = Element("lexml", version="3")
    group = _node(root, "GROUP", "anthesis", (0, 0, *size))
    children = SubElement(group, "children")
    for number, control in enumerate(controls):
        column, row = number % COLUMNS, number // COLUMNS
        left, top = GAP + column * (CELL[0] + GAP), GAP + row * (CELL[1] + LABEL + GAP)
        _label(children, control.name, (left, top, CELL[0], LABEL))
        _control(children, control, (left, top + LABEL, *CELL))
    return zlib.compress(tostring(root, "UTF-8", xml_declaration=True), 9)


def _controls(address: Address, prefix: str) -> Iterator[_Control]:
    """What an address needs: none, where it takes words or several numbers."""
    first = address.arguments[0]
    full = f"{prefix}/{address.name}"
    if address.relative:
        yield _Control(address.name, "FADER", full, _LEVEL, (first.low, first.high))
    elif first.kind == "switch":
        yield _Control(address.name, "BUTTON", full, _SWITCH, toggles=True)
    elif address.presses:
        yield _Control(address.name, "BUTTON", full, _PRESS)
    elif first.kind == "cue":
        for cue in range(1, CUES + 1):
            yield _Control(f"{address.name} {cue}", "BUTTON", full, _PRESS, constant=cue)


def _node(parent: Element, kind: str, name: str, frame: tuple[int, int, int, int]) -> Element:
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"anthesis {kind} {name}")  # the same every time
    node = SubElement(parent, "node", ID=str(identity), type=kind)
    properties = SubElement(node, "properties")
    _property(properties, "s", "name", name)
    value = _property(properties, "r", "frame")
    for key, number in zip("xywh", frame, strict=True):
        SubElement(value, key).text = str(number)
    return node


def _property(properties: Element, kind: str, key: str, text: str | None = None) -> Element:
    made = SubElement(properties, "property", type=kind)
    SubElement(made, "key").text = key
    value = SubElement(made, "value")
    value.text = text
    return value


def _colour(properties: Element, colour: tuple[float, float, float]) -> None:
    value = _property(properties, "c", "color")
    for key, number in zip("rgba", (*colour, 1.0), strict=True):
        SubElement(value, key).text = str(number)


def _label(parent: Element, name: str, frame: tuple[int, int, int, int]) -> None:
    node = _node(parent, "LABEL", f"{name} label", frame)
    properties = node[0]
    _colour(properties, (0.0, 0.0, 0.0))
    _property(properties, "i", "textSize", "14")
    _property(properties, "b", "interactive", "0")
    values = SubElement(node, "values")
    _value(values, "text", name)


def _value(values: Element, key: str, default: str) -> None:
    value = SubElement(values, "value")
    for name, said in (
        ("key", key),
        ("locked", "0"),
        ("lockedDefaultCurrent", "0"),
        ("default", default),
        ("defaultPull", "0"),
    ):
        SubElement(value, name).text = said


def _control(parent: Element, control: _Control, frame: tuple[int, int, int, int]) -> None:
    node = _node(parent, control.kind, control.name, frame)
    properties = node[0]
    _colour(properties, control.colour)
    if control.kind == "BUTTON":
        _property(properties, "i", "buttonType", "2" if control.toggles else "0")
    _value(SubElement(node, "values"), "x", "0")
    osc = SubElement(SubElement(node, "messages"), "osc")
    for key, said in (("enabled", 1), ("send", 1), ("receive", 1), ("feedback", 0)):
        SubElement(osc, key).text = str(said)
    SubElement(osc, "connections").text = "00001"
    trigger = SubElement(SubElement(osc, "triggers"), "trigger")
    SubElement(trigger, "var").text = "x"
    # A button that sends a number of its own must not send it again when it is let go.
    SubElement(trigger, "condition").text = "ANY" if control.constant is None else "RISE"
    _partial(SubElement(osc, "path"), "CONSTANT", "STRING", control.address, (0.0, 1.0))
    arguments = SubElement(osc, "arguments")
    if control.constant is None:
        _partial(arguments, "VALUE", "FLOAT", "x", control.range)
    else:
        _partial(arguments, "CONSTANT", "INTEGER", str(control.constant), (0.0, 1.0))


def _partial(
    parent: Element, kind: str, conversion: str, value: str, scale: tuple[float, float]
) -> None:
    partial = SubElement(parent, "partial")
    for key, said in (
        ("type", kind),
        ("conversion", conversion),
        ("value", value),
        ("scaleMin", f"{scale[0]:g}"),
        ("scaleMax", f"{scale[1]:g}"),
    ):
        SubElement(partial, key).text = said
