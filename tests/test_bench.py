"""The bench: what is wrong is known before anything is measured, and a show is left as it was."""

import json
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.__main__ import _parser
from engine.bench.figures import Figures, Row
from engine.errors import UserError
from live import bench, engine_bench, osc_bench
from live.engine_bench import EngineOptions
from live.show import CueFacts, Show
from live.source import Supervised


def test_the_json_is_looked_at_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "Offscreen", None)
    monkeypatch.setattr(bench, "measure", None)
    with pytest.raises(UserError, match=r"--json .*there is no folder"):
        bench.bench(EngineOptions(), str(tmp_path / "nowhere" / "x.json"))


ENGINE = Figures(
    "cpu (x86_64)", "mine", [Row("fast", 2.0, 3.0, 1.5)], {"threads": 2}, ["no compiler"]
)
STAGE = Figures("cpu", "flowers", [Row("upload", 0.1, 0.2)], {"OpenGL": "llvmpipe"})


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Both parts as if measured; what they were asked."""
    asked: list[object] = []
    monkeypatch.setattr(bench, "measure", lambda options: asked.append(options) or ENGINE)
    monkeypatch.setattr(bench, "_stage", lambda *told: asked.append(told) or STAGE)
    return asked


def test_both_parts_are_one_table_and_one_record(both: list[object], tmp_path: Path) -> None:
    options = EngineOptions(config="f", resolution=256, device="cpu")
    said = bench.bench(options, str(tmp_path / "x.json"))
    assert both == [options, (256, "cpu")]
    record = json.loads((tmp_path / "x.json").read_text())
    assert record["network"] == "256x256, config f, random weights"
    assert record["device"] == "cpu (x86_64)"
    assert [row["name"] for row in record["rows"]] == ["fast", "upload"]
    assert (record["threads"], record["OpenGL"]) == (2, "llvmpipe")
    for part in (record["network"], "x floor", "fast", "upload", "llvmpipe", "no compiler"):
        assert part in said
    assert json.loads(bench.bench(options, "-")) == record


@pytest.mark.parametrize(("only", "rows"), [("engine", ["fast"]), ("stage", ["upload"])])
def test_one_part_alone(both: list[object], only: str, rows: list[str]) -> None:
    record = json.loads(bench.bench(EngineOptions(), "-", only))
    assert [row["name"] for row in record["rows"]] == rows
    assert len(both) == 1


def test_a_part_that_cannot_be_measured_is_missing_and_said(
    both: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gl(*told: object) -> None:
        raise UserError("cannot draw without a display")

    monkeypatch.setattr(bench, "_stage", no_gl)
    record = json.loads(bench.bench(EngineOptions(), "-"))
    assert [row["name"] for row in record["rows"]] == ["fast"]
    assert "the stage's rows: cannot draw without a display" in record["left_out"]
    with pytest.raises(UserError, match="without a display"):
        bench.bench(EngineOptions(), "-", "stage")


def test_what_the_user_can_mend_in_the_network_ends_it(
    both: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="a power of two"):
        bench.bench(EngineOptions(resolution=100))
    with pytest.raises(UserError, match=r"nowhere\.pkl"):
        bench.bench(EngineOptions(network=Path("nowhere.pkl")))
    assert both == []

    def refuse(options: EngineOptions) -> None:
        raise UserError("no such device")

    monkeypatch.setattr(bench, "measure", refuse)
    with pytest.raises(UserError, match="no such device"):
        bench.bench(EngineOptions())


QUICK = EngineOptions(
    resolution=16, channel_base=64, device="cpu", threads=1, rows="floor,reference", seconds=0.0
)


def test_the_engines_rows_come_from_a_process_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = engine_bench.measure(QUICK)
    assert [row.name for row in figures.rows] == ["floor", "reference"]
    assert figures.facts["threads"] == 1
    assert "bench: preparing reference" in capsys.readouterr().err


def test_what_that_process_refuses_is_ours_to_say() -> None:
    with pytest.raises(UserError, match=r"^--rows quickest: rows are"):
        engine_bench.measure(replace(QUICK, rows="quickest"))


def test_a_process_that_breaks_down_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemError('the driver\\nis gone')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(RuntimeError, match=r"ended with 1: .*is gone"):
        engine_bench.measure(QUICK)


def test_all_options_are_handed_on() -> None:
    options = EngineOptions(
        Path("-odd.pkl"), "e", 64, 1024, 16, "cpu", "float32", 3, "fast", True, True, 1.5
    )
    told = _parser().parse_args(["bench", *options.arguments()])
    for field in fields(EngineOptions):
        assert getattr(told, field.name) == getattr(options, field.name), field.name


class Engine:
    """A process that may be stopped, and is not to stay so."""

    def __init__(self, pid: int) -> None:
        self.stopped = False
        engines.append(self)

    def suspend(self) -> None:
        self.stopped = True

    def resume(self) -> None:
        self.stopped = False


engines: list[Engine] = []


class Interrupted:
    """A stage whose turn is broken off while the engine is stopped."""

    def __init__(self, pid: int | None) -> None:
        source = Supervised.__new__(Supervised)
        process = SimpleNamespace(process=SimpleNamespace(pid=pid))
        source._engine = None if pid is None else process  # type: ignore[assignment]
        self.ensemble = SimpleNamespace(sources=[source])
        self.time = self.presented_at = 0
        self.clock = SimpleNamespace(now=lambda: self.time)

    def obey(self, message: object) -> None:
        """Plays already."""

    def turn(self) -> None:
        self.time += bench.STOP_NS // 3
        if engines[-1].stopped:
            raise KeyboardInterrupt


def test_a_bench_that_is_broken_off_leaves_no_engine_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "Process", Engine)
    with pytest.raises(KeyboardInterrupt):
        bench._interval_rows(Interrupted(4711))  # type: ignore[arg-type]
    assert not engines[-1].stopped


def test_without_an_engine_nothing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", None)
    with pytest.raises(AssertionError):
        bench._interval_rows(Interrupted(None))  # type: ignore[arg-type]


def test_the_change_is_between_two_files_with_a_fade(tmp_path: Path) -> None:
    setlist = bench._two_networks(tmp_path)
    first, second = setlist.cues
    assert first.network != second.network
    assert first.network.read_bytes() == second.network.read_bytes()
    assert second.fade == 1


def test_a_desk_is_measured_by_a_storm_of_which_nothing_is_lost() -> None:
    programme = (CueFacts("one", 8.0, "loop"),)
    show = Show.opening(programme, 120.0)
    with osc_bench.TimedDesk("127.0.0.1:0") as desk:

        def interval() -> float:
            time.sleep(0.02)  # a frame
            desk.messages(show, 0, programme)
            return 10.0

        rows = osc_bench.storm_rows(desk, interval, turns=1, turn_s=0.3)
    silence, storm, frame = rows
    assert silence.name == "interval (osc silence)"
    assert storm.name == "interval (osc storm)"
    assert frame.how.endswith(" 0 lost")
    assert desk.counts.received > 100
    assert desk.counts.refused == desk.counts.malformed == 0


def test_routes_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osc_bench, "MESSAGES", 200)
    assert [row.name for row in osc_bench.route_rows()] == ["osc_route", "osc_route (first)"]
    assert len(osc_bench.patch().entries) == 80
