"""GLSL 330 files and the one loader that compiles them.

A file may hold `#include "other.glsl"` on a line of its own; every file is taken in once. Drivers
count the lines of the joined text, so their messages are rewritten to name the file and the line a
person can open.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

import moderngl

# What precedes the message: Mesa "0:12(5): error", NVIDIA "0(12) : error", AMD, Intel and Apple
# "ERROR: 0:12: ...". The 0 is the number of the source string; we always hand over one.
_POSITION = re.compile(r"\b0(?::(\d+)(?:\(\d+\))?|\((\d+)\))")
_INCLUDE = re.compile(r'\s*#include\s+"([^"]+)"\s*$')


class ShaderError(RuntimeError):
    """A shader does not compile or link; the message names file and line."""


class Line(NamedTuple):
    """One line of a joined shader and where it was written."""

    file: str
    number: int
    text: str


def build(
    ctx: moderngl.Context, vertex: str, fragment: str, folder: Traversable | None = None
) -> moderngl.Program:
    """Compile and link two shader files of this package (or of `folder`).

    Raises ShaderError, whose message names file and line, if one is missing or refused.
    """
    where = folder or files(__name__)
    stages = {"vertex_shader": lines(vertex, where), "fragment_shader": lines(fragment, where)}
    sources = {stage: "\n".join(line.text for line in text) for stage, text in stages.items()}
    try:
        return ctx.program(
            vertex_shader=sources["vertex_shader"], fragment_shader=sources["fragment_shader"]
        )
    except moderngl.Error as error:
        log = str(error)
        stage = next((name for name in stages if name in log), None)
        if stage is None:
            raise ShaderError(f"shaders {vertex} and {fragment} do not link: {log}") from error
        raise ShaderError(located(log, stages[stage])) from error


def lines(name: str, folder: Traversable, taken: set[str] | None = None) -> list[Line]:
    """Return the lines of a shader file with its includes taken in, each only once."""
    taken = set() if taken is None else taken
    taken.add(name)
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except OSError as error:
        raise ShaderError(f"shader {name} cannot be read: {error}") from error
    joined: list[Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        include = _INCLUDE.match(line)
        if include is None:
            joined.append(Line(name, number, line))
        elif include[1] not in taken:
            joined.extend(lines(include[1], folder, taken))
    return joined


def located(log: str, source: list[Line]) -> str:
    """Return a driver's log with each position as `file:line` of the file it was written in."""

    def place(match: re.Match[str]) -> str:
        number = int(match[1] or match[2])
        if not 1 <= number <= len(source):
            return match[0]
        line = source[number - 1]
        return f"{line.file}:{line.number}"

    return _POSITION.sub(place, log)
