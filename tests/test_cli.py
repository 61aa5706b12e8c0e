"""Options whose values are wrong: said at once, with what is accepted."""

import math

import pytest
import typer
from typer.testing import CliRunner

from live import bench, cli, cli_options
from live.engine_bench import EngineOptions


@pytest.mark.parametrize("command", ["play", "sheet", "bench"])
@pytest.mark.parametrize("name", ["abacus", "cuda:", "cuda:x", "cpu:0", "CPU", "", "cuda:0 "])
def test_a_device_of_no_kind_is_refused_at_once(command: str, name: str) -> None:
    done = CliRunner().invoke(cli.app, [command, "--device", name])
    assert done.exit_code == 2
    assert "auto, cpu, cuda, cuda:N and mps" in done.output


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices_are_handed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    monkeypatch.setattr(cli, "perform", lambda setlist, options: heard.append(options.device))
    assert CliRunner().invoke(cli.app, ["play", "--device", name]).exit_code == 0
    assert heard == [name]


def test_a_bench_hands_on_what_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[object, ...]] = []
    monkeypatch.setattr(bench, "bench", lambda *asked: heard.append(asked) or "a table")
    words = "bench --config f --resolution 512 --threads 2 --early --only engine --json -"
    done = CliRunner().invoke(cli.app, words.split())
    assert done.exit_code == 0
    assert "a table" in done.output
    options = EngineOptions(config="f", resolution=512, threads=2, early=True)
    assert heard == [(options, "-", "engine")]


def test_a_bench_has_two_parts() -> None:
    done = CliRunner().invoke(cli.app, ["bench", "--only", "desk"])
    assert done.exit_code == 2
    assert "parts are engine, stage and projection" in done.output


@pytest.mark.parametrize("option", ["--from", "--to", "--at", "--fps"])
@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e300"])
def test_a_render_takes_seconds_that_there_are(option: str, number: str) -> None:
    done = CliRunner().invoke(cli.app, ["render", "x.take", "-o", "x.mp4", f"{option}={number}"])
    assert done.exit_code == 2, done.exception
    assert option in done.output


def test_ranges_that_let_nan_pass_are_not_all_there_is() -> None:
    for number in (math.nan, math.inf, [1.0, math.nan]):
        with pytest.raises(typer.BadParameter, match="finite"):
            cli_options.finite(number)
    for number in (None, 1.0, [], [1.0]):
        assert cli_options.finite(number) == number


@pytest.mark.parametrize("option", ["--size=SxS", "--part=S/S", "--part=٢/٨", "--size=16x٩٩"])
def test_numbers_that_are_none_are_refused(option: str) -> None:
    words = ["render", "x.take", "-o", "x.mp4", option.replace("S", "9" * 5000)]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 2, done.exception
    assert "is not" in done.output
