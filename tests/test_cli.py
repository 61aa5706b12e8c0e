"""Options whose values are wrong: said at once, with what is accepted."""

import pytest
from typer.testing import CliRunner

from live import cli


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
