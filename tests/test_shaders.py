"""Shaders: every file compiles, and a refused one is named with its line."""

from importlib.resources import files
from pathlib import Path

import moderngl
import pytest

import shaders

VERTEX = "#version 330 core\nvoid main() { gl_Position = vec4(0.0); }\n"


def test_every_fragment_shader_compiles(gl: moderngl.Context) -> None:
    names = [entry.name for entry in files("shaders").iterdir() if entry.name.endswith(".frag")]
    assert {"picture.frag", "reduce.frag", "widen.frag"} <= set(names)
    for name in names:
        own = name.replace(".frag", ".vert")
        vertex = own if (files("shaders") / own).is_file() else "quad.vert"
        shaders.build(gl, vertex, name).release()


def test_a_refused_shader_is_named_with_the_line_of_its_file(
    gl: moderngl.Context, tmp_path: Path
) -> None:
    (tmp_path / "all.vert").write_text(VERTEX)
    (tmp_path / "bad.frag").write_text(
        "#version 330 core\nout vec4 colour;\nvoid main() { colour = missing; }\n"
    )
    with pytest.raises(shaders.ShaderError, match=r"bad\.frag:3\b.*missing"):
        shaders.build(gl, "all.vert", "bad.frag", tmp_path)


def test_an_error_in_an_included_file_is_named_there(gl: moderngl.Context, tmp_path: Path) -> None:
    (tmp_path / "all.vert").write_text(VERTEX)
    (tmp_path / "part.glsl").write_text("// one\nfloat part() { return wrong; }\n")
    (tmp_path / "main.frag").write_text(
        '#version 330 core\nout vec4 colour;\n#include "part.glsl"\n'
        "void main() { colour = vec4(part()) + astray; }\n"
    )
    with pytest.raises(shaders.ShaderError) as caught:
        shaders.build(gl, "all.vert", "main.frag", tmp_path)
    assert "part.glsl:2" in str(caught.value)
    assert "main.frag:4" in str(caught.value)


def test_shaders_that_do_not_link_are_both_named(gl: moderngl.Context, tmp_path: Path) -> None:
    (tmp_path / "a.vert").write_text(
        "#version 330 core\nout vec3 q;\nvoid main() { q = vec3(0.0); gl_Position = vec4(0.0); }\n"
    )
    (tmp_path / "b.frag").write_text(
        "#version 330 core\nin vec4 q;\nout vec4 colour;\nvoid main() { colour = q; }\n"
    )
    with pytest.raises(shaders.ShaderError, match=r"a\.vert and b\.frag do not link"):
        shaders.build(gl, "a.vert", "b.frag", tmp_path)


def test_a_missing_shader_is_named(gl: moderngl.Context) -> None:
    with pytest.raises(shaders.ShaderError, match=r"nowhere\.frag"):
        shaders.build(gl, "quad.vert", "nowhere.frag")


def test_a_file_is_included_once_even_when_two_ask_for_it(tmp_path: Path) -> None:
    (tmp_path / "c.glsl").write_text("float c;\n")
    (tmp_path / "b.glsl").write_text('#include "c.glsl"\nfloat b;\n')
    (tmp_path / "a.frag").write_text('#include "c.glsl"\n#include "b.glsl"\nfloat a;\n')
    joined = shaders.lines("a.frag", tmp_path)
    assert [line.text for line in joined] == ["float c;", "float b;", "float a;"]
    assert [(line.file, line.number) for line in joined] == [
        ("c.glsl", 1),
        ("b.glsl", 2),
        ("a.frag", 3),
    ]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("0:2(7): error: no", "b.glsl:9: error: no"),  # Mesa
        ("0(2) : error C1503: undefined", "b.glsl:9 : error C1503: undefined"),  # NVIDIA
        ("ERROR: 0:1: 'x' : undeclared", "ERROR: a.frag:1: 'x' : undeclared"),  # AMD, Apple
        ("0:77(1): error: beyond the end", "0:77(1): error: beyond the end"),
    ],
)
def test_positions_of_all_drivers_are_understood(log: str, expected: str) -> None:
    source = [shaders.Line("a.frag", 1, ""), shaders.Line("b.glsl", 9, "")]
    assert shaders.located(log, source) == expected
