"""The bench: what is wrong is known before anything is measured, and a show is left as it was."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.errors import UserError
from live import bench
from live.source import Supervised


def test_the_json_is_looked_at_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "Offscreen", None)
    with pytest.raises(UserError, match=r"--json .*there is no folder"):
        bench.bench(tmp_path / "nowhere" / "x.json", "cpu")


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
