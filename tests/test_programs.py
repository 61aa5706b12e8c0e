"""Programs of the terminal: templates that can do nothing but what they are for."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from live.overlay.programs import (
    FRAME,
    LAYER,
    MESSAGE,
    SCRIPT,
    Program,
    bundled_programs,
    parse_layers,
    parse_template,
)
from live.overlay.text import COLOURS, Span, plain
from live.setlist_faults import fault

FIELDS = {
    **{"frame": 1204, "time": 3.25, "cue": "garden", "number": 1, "cues": 4, "beat": 12.375},
    **{"bpm": 120.0, "psi": 0.7, "keys": "seed 124 0.63", "device": "cuda:0", "resolution": 1024},
}


def filled(source, kinds=FRAME, **fields):
    return plain(parse_template(source, kinds).line({**FIELDS, **fields}))


# --- templates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("no fields", "no fields"),
        ("frame {frame:06d}  cue {number}/{cues} {cue}", "frame 001204  cue 1/4 garden"),
        ("{beat} {beat:.1f} {beat:8.3f}|{beat:+.1e}", "12.38 12.4   12.375|+1.2e+01"),
        ("{cue:>10}|{cue:<10}|{cue:^10}|{cue:.3s}", "    garden|garden    |  garden  |gar"),
        ("{psi:.0%} {frame:x} {bpm} {time}", "70% 4b4 120.0 3.250"),
        ("{{{frame}}} {{cue}} }}{{", "{1204} {cue} }{"),
        ("{keys} on {device}", "seed 124 0.63 on cuda:0"),
    ],
)
def test_fields_are_filled_in(source, text):
    assert filled(source) == text


def test_looks_cost_no_width():
    line = parse_template("a{red}b{bold}c{bright_blue}d{plain}e", FRAME).line({})
    assert line == (
        Span("a"),
        Span("b", "red"),
        Span("c", "red", bold=True),
        Span("d", "bright_blue", bold=True),
        Span("e"),
    )


def test_every_colour_has_its_name():
    for colour in COLOURS:
        assert parse_template(f"{{{colour}}}x", MESSAGE).line({}) == (Span("x", colour),)


def test_a_tensor_takes_several_lines():
    template = parse_template("{red}w = {tensor}; {cue}", FRAME)
    lines = template.lines(FIELDS, lambda: iter(["[[1.],", " [2.],", " [3.]]"]))
    assert [plain(line) for line in lines] == ["w = [[1.],", " [2.],", " [3.]]; garden"]
    (middle,) = list(template.lines(FIELDS, lambda: iter(["a", "b", "c"])))[1]
    assert middle == Span("b", "red")


def test_what_is_filled_in_is_no_template():
    assert filled("{cue}", cue="{frame} {red} {0} {") == "{frame} {red} {0} {"


HOSTILE = [
    *("{frame.__class__}", "{frame[0]}", "{frame!r}", "{__class__}", "{0}", "{}", "{ frame }"),
    *("{", "}", "}}{", "{{}", "{frame", "frame}", "{{frame}", "{frame}}", "{frame:{cue}}"),
    *("{frame:999999999}", "{frame:100}", "{beat:.99f}", "{beat:.999999999f}", "{frame:,}"),
    *("{frame:\u0663}", "{frame:=5}", "{frame:*<5}", "{frame:c}", "{frame:n}", "{frame:#x}"),
    *("{cue:d}", "{cue:+5}", "{beat:d}", "{frame:.2d}", "{frame:s}", "{frame: d}", "{frame:5 }"),
    *("{tensor:5}", "{tensor}{tensor}", "{red:5}", "{bold:}", "{tensor:}", "{frame\n}"),
]


@pytest.mark.parametrize("source", HOSTILE)
def test_templates_that_ask_for_more_are_refused(source):
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_template(source, FRAME)
    assert "\n" not in str(refusal.value)


@given(st.text("{}:.<>^+0123456789dfegsx%_ frametensocurdbil[]()!"))
def test_what_was_read_can_be_filled_in(source):
    try:
        template = parse_template(source, FRAME)
    except ValueError:
        return
    lines = template.lines(FIELDS, lambda: iter(["tensor"]))
    assert sum(len(plain(line)) for line in lines) <= 330 * (1 + len(source))


def test_a_refusal_names_the_field_and_what_is_accepted():
    with pytest.raises(ValueError, match=r"no field '\{fram\}'; accepted are frame, time, .*red"):
        parse_template("x {fram}", FRAME)
    with pytest.raises(ValueError, match=r"'\{frame:1000\}' is no format for frame.*06d"):
        parse_template("x {frame:1000}", FRAME)
    with pytest.raises(ValueError, match=r"single \}.*write \}\}"):
        parse_template("x }", FRAME)
    with pytest.raises(ValueError, match="at most 500 characters"):
        parse_template("x" * 501, FRAME)


@pytest.mark.parametrize(
    ("key", "field"),
    [("layer", "tensor"), ("message", "frame"), ("layer", "address"), ("message", "bar")],
)
def test_every_place_has_its_own_fields(key, field):
    with pytest.raises(ValidationError, match=f"no field '{{{field}}}'"):
        Program.model_validate({key: f"{{{field}}}"})
    with pytest.raises(ValidationError, match="no field"):
        Program.model_validate({"script": [f"{{{field}}}"]})


# --- programs ----------------------------------------------------------------------------------


class File(BaseModel):
    """As much of a set list as a program needs around it."""

    program: dict[str, Program]


def refusal(text):
    document = tomllib.loads(text)
    with pytest.raises(ValidationError) as refused:
        File.model_validate(document)
    line = fault(refused.value, File, document)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ('script = ["ok", "{frame}"]', ["script[1]", "'{frame}'", "setlist, cue"]),
        ('frame = ["{nothing}"]', ["frame[0]", "'{nothing}'", "tensor"]),
        ("frame = [5]", ["frame[0]", "must be text, got 5"]),
        ('frame = "{frame}"', ["frame", "list"]),
        ("layer = 5", ["layer", "must be text"]),
        ('layers = "7-4"', ["layers", "before the first"]),
        ('layers = "all"', ["layers", '"4-7"']),
        ("rate = 0", ["rate", "greater than or equal to 1"]),
        ("rate = 1001", ["rate", "1000"]),
        ("typing = nan", ["typing"]),
        ("pause = -1", ["pause"]),
        ("pause = inf", ["pause"]),
        ('summarise = "no"', ["summarise", "boolean"]),
        (f"frame = {['x'] * 101}", ["frame", "100"]),
    ],
)
def test_a_fault_is_one_line_that_says_where(key, says):
    line = refusal(f"[program.mine]\n{key}")
    for part in says:
        assert part in line


def test_a_key_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Program.model_validate({"speed": 5})


def test_a_program_is_what_the_table_says():
    program = Program.model_validate(
        {"script": ["$ echo {{", "hello {user}"], "frame": ["{frame}"], "layers": "2", "rate": 5}
    )
    assert [line.typed for line in program.script] == [True, False]
    typed, printed = (plain(line.template.line({"user": "irene"})) for line in program.script)
    assert (typed, printed) == ("echo {", "hello irene")
    assert (program.span, program.rate, program.typing, program.summarise) == ((2, 2), 5, 16, True)
    assert program.prints_frames
    with pytest.raises(ValidationError, match="frozen"):
        program.rate = 6


def test_an_empty_program_does_nothing():
    program = Program()
    assert (program.script, program.prints_frames, program.message.source) == ((), False, "")


def test_layers():
    assert parse_layers("0-") == (0, None)
    assert parse_layers("4-7") == (4, 7)
    assert parse_layers(" 2 ") == (2, 2)
    for wrong in ("", "-", "-3", "a", "1-2-3", "3-2", "1000", "\u0663"):
        with pytest.raises(ValueError, match="layer"):
            parse_layers(wrong)


def test_the_bundled_programs():
    programs = bundled_programs()
    assert list(programs) == ["latents", "waterfall", "styles", "log"]
    latents, waterfall, styles, log = programs.values()
    assert (latents.summarise, waterfall.summarise) == (True, False)
    identity = dict.fromkeys(SCRIPT, "x")
    assert plain(latents.script[0].template.line(identity)) == "anthesis play x --cue x"
    assert latents.script[0].typed
    caption = plain(latents.frame[0].line(FIELDS))
    assert caption == "frame 001204  cue 1/4 garden  beat 12.38  seed 124 0.63"
    assert any(piece == ("tensor", "") for piece in latents.frame[1].pieces)
    layer = {**FIELDS, "layer": 3, "norm": 20.5, "distance": 10.25, "bar": "██▌"}
    assert set(LAYER) == set(layer)
    heading, row = plain(styles.frame[-1].line(FIELDS)), plain(styles.layer.line(layer))
    assert row == "    3    20.500       10.250  ██▌"
    assert heading.index("|w|") + 3 == row.index("20.500") + 6
    assert len(heading) == row.index("10.250") + 6
    message = {"time": 61.5, "address": "/anthesis/psi", "arguments": "0.5"}
    assert plain(log.message.line(message)) == "   61.500  /anthesis/psi  0.5"
