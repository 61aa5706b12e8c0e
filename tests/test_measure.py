"""How a bench measures: in rounds, so that a busy machine hits all alike."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.__main__ import main
from engine.bench import contenders, measure
from engine.bench.contenders import Contender, wplus
from engine.bench.figures import Figures, Row, table
from engine.bench.measure import Options, Took, rounds, rows
from engine.bench.subject import Subject
from engine.errors import UserError
from engine.weights import load_network

DATA = Path(__file__).parent / "data" / "parity"
SMALL = Subject.of(resolution=32, channel_base=256, channel_max=16)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """A clock in seconds, and contenders that take their time on it."""

    def __init__(self, **ms: float) -> None:
        self.at = 0.0
        self.log: list[str] = []
        self.busy: Callable[[int], float] = lambda frames: 1.0
        self.contenders = [Contender(name, "", self._frame(name, ms[name])) for name in ms]

    def _frame(self, name: str, ms: float) -> Callable[[], None]:
        def frame() -> None:
            self.at += ms / 1000 * self.busy(len(self.log))
            self.log.append(name)

        return frame

    def timer(self, frame: Callable[[], object]) -> Took:
        before = self.at
        frame()
        return Took((self.at - before) * 1000)

    def run(self, seconds: float) -> dict[str, list[list[Took]]]:
        return rounds(self.contenders, self.timer, seconds, lambda: self.at)


def test_every_round_takes_every_contender_and_begins_with_another() -> None:
    machine = Machine(a=10, b=20)
    taken = machine.run(0.0)
    assert {name: [len(burst) for burst in bursts] for name, bursts in taken.items()} == {
        "a": [3] * 5,
        "b": [3] * 5,
    }
    odd, even = "aaaabbbb", "bbbbaaaa"
    assert "".join(machine.log) == "aabb" + odd + even + odd + even + odd


def test_it_lasts_as_long_as_asked_but_not_for_ever() -> None:
    machine = Machine(a=10)
    assert 99 <= len(machine.run(4.0)["a"]) <= 101
    assert len(Machine(a=10).run(1e6)["a"]) == 500


def test_of_what_takes_long_one_frame_a_round_will_do() -> None:
    taken = Machine(slow=900, quick=1).run(0.0)
    assert len(taken["slow"][0]) == 1
    assert len(taken["quick"][0]) == 3


@given(st.integers(0, 2**32 - 1))
def test_a_ratio_is_of_times_in_one_round(seed: int) -> None:
    """Whatever slows a round down, all of it, leaves the ratios as they are."""
    slower = np.random.default_rng(seed).uniform(1, 100, 50)
    taken = {
        name: [[Took(ms * load)] * 3 for load in slower]
        for name, ms in {"published": 12.0, "fast": 3.0, "floor": 2.0}.items()
    }
    found = {row.name: row for row in rows(taken, {"fast": "float32"})}
    assert found["fast"].ratio_to_floor == 1.5
    assert found["fast"].times_as_fast == 4.0
    assert found["floor"].ratio_to_floor == 1.0
    assert found["fast"].how == "float32"


def test_a_round_that_hits_all_alike_counts_as_any_other() -> None:
    taken = {
        "fast": [[Took(2)], [Took(20)], [Took(3)]],
        "floor": [[Took(1)], [Took(10)], [Took(3)]],
    }
    assert rows(taken, {})[0].ratio_to_floor == 2  # and not 3 / 3, the medians' ratio


def test_percentiles_are_of_all_frames_and_ratios_of_medians() -> None:
    taken = {
        "fast": [[Took(1), Took(2), Took(90)]] * 3,
        "floor": [[Took(1)]] * 2 + [[Took(100)]],
    }
    fast, _ = rows(taken, {})
    assert (fast.ms_p50, fast.ms_p99) == (2, 90)
    assert fast.ratio_to_floor == 2
    assert fast.times_as_fast is None


def test_gpu_times_are_told_where_there_are_any() -> None:
    (row,) = rows({"fast": [[Took(2, 1.5), Took(3, 2.5)]]}, {})
    assert row.gpu_ms_p50 == 2
    assert row.ratio_to_floor is None


class Session:
    """A session that remembers what was asked of it, and improves in three steps."""

    opened: ClassVar[list["Session"]]
    compiles, corrected = True, (32, 16)

    def __init__(self, file: Path, device: str, precision: str, threads: int) -> None:
        assert (device, precision, threads) == ("cpu", "float32", 1)
        assert load_network(file).resolution == 32
        self.asked: list[np.ndarray] = []
        self.asked_sizes: list[int | None] = []
        self.form, self.sizes, self.notes = "float32", (32,), []
        self.steps, self.closed = 3, False
        type(self).opened.append(self)

    def warm_up(self) -> None:
        pass

    def improve(self) -> bool:
        self.steps -= 1
        if self.steps == 0:
            self.sizes = self.corrected
            if self.compiles:
                self.form = "float32, compiled"
            else:
                self.notes = ["no C++ compiler: PyTorch's own kernels"]
        return self.steps > 0

    def close(self) -> None:
        self.closed = True

    def render(
        self, ws: np.ndarray, out: np.ndarray | None = None, size: int | None = None
    ) -> None:
        assert not self.closed
        assert out is None or out.shape == (size or 32, size or 32, 4)
        self.asked.append(ws)
        self.asked_sizes.append(size)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    class Fresh(Session):
        opened: ClassVar[list[Session]] = []

    monkeypatch.setattr(contenders, "Generator", Fresh)
    return Fresh


def measured(*names: str, early: bool = False) -> Figures:
    options = Options("cpu", threads=1, rows=names, early=early, seconds=0.0)
    return measure.measure(SMALL, options, lambda line: None)


def test_the_session_gets_another_wplus_in_every_frame(session: type[Session]) -> None:
    """The same one would be answered without any work."""
    figures = measured("fast", "floor")
    (opened,) = session.opened
    assert len(opened.asked) > 15
    for one, other in zip(opened.asked, opened.asked[1:], strict=False):
        assert not np.array_equal(one, other)
    assert [row.name for row in figures.rows] == ["fast", "floor"]
    assert figures.rows[0].ratio_to_floor is not None


def test_the_compiled_form_is_waited_for(session: type[Session]) -> None:
    fast, compiled = measured("fast", "compiled").rows
    assert (fast.name, fast.how) == ("fast", "float32")
    assert (compiled.name, compiled.how) == ("compiled", "float32, compiled")
    assert [one.steps for one in session.opened] == [3, 0]  # the eager one stays as it is
    assert all(one.closed for one in session.opened)


def test_without_a_compiler_that_row_is_left_out_and_said(session: type[Session]) -> None:
    session.compiles = False
    figures = measured("compiled", "floor")
    assert [row.name for row in figures.rows] == ["floor"]
    assert figures.left_out == ["compiled: no C++ compiler: PyTorch's own kernels"]


def test_smaller_outputs_are_measured_or_missing(session: type[Session]) -> None:
    figures = measured("fast", early=True)
    assert [row.name for row in figures.rows] == ["fast", "fast, 16 x 16"]
    assert {size for one in session.opened for size in one.asked_sizes} == {None, 16}
    session.corrected = (32,)
    assert "near enough" in measured("fast", early=True).left_out[0]


def test_a_row_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(net: object) -> None:
        raise torch.OutOfMemoryError("no memory\nfor that")

    monkeypatch.setattr(contenders, "Published", fail)
    figures = measured("published", "reference", "floor")
    assert [row.name for row in figures.rows] == ["reference", "floor"]
    assert figures.left_out == ["published: OutOfMemoryError, no memory"]


@pytest.mark.parametrize(
    ("name", "device", "is_"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "cuda", "float16"),
        ("float32", "cuda:1", "float32"),
        ("float16", "cuda", "float16"),
    ],
)
def test_precision(name: str, device: str, is_: str) -> None:
    assert contenders.resolve_precision(name, torch.device(device)) == is_


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_precision_that_there_is_not(name: str) -> None:
    with pytest.raises(UserError, match=name):
        contenders.resolve_precision(name, torch.device("cpu"))


def test_wplus_are_all_different_and_a_class_is_chosen() -> None:
    found = wplus(load_network(DATA / "tf_sg2ada_r16_cond4.pkl"))
    assert len({ws.tobytes() for ws in found}) == len(found) == 64
    steps = [
        np.abs(one - other).max() for one, other in zip(found, [*found[1:], found[0]], strict=True)
    ]
    assert max(steps) < 3 * np.median(steps) + 1


FIGURES = Figures(
    "cpu",
    "a network",
    [
        Row("fast", 2.0, 3.0, ratio_to_floor=1.5, times_as_fast=4.0, how="float32"),
        Row("present", 0.5, 0.75, ms_max=1.0),
    ],
    {"gmacs": 1.25},
    ["compiled: no C++ compiler"],
)


def test_the_record_has_the_keys_that_programs_read() -> None:
    record = FIGURES.record()
    assert {"device", "network", "rows"} <= record.keys()
    assert record["rows"][1] == {
        "name": "present",
        "ms_p50": 0.5,
        "ms_p99": 0.75,
        "ratio_to_floor": None,
        "ms_max": 1.0,
    }
    assert Figures.read(json.loads(json.dumps(record))) == FIGURES


def test_the_table_has_ratios_first_and_says_what_is_missing() -> None:
    lines = table(FIGURES).splitlines()
    head = next(line for line in lines if "p50 ms" in line)
    assert head.split("  ")[0] == ""
    assert head.index("x floor") < head.index("x as fast") < head.index("p50") < head.index("p99")
    fast = next(line for line in lines if line.startswith("fast"))
    assert fast.split() == ["fast", "1.50", "4.00", "2.000", "3.000", "float32"]
    assert lines[-1] == "compiled: no C++ compiler"


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = (
        "bench --resolution 16 --channel-base 64 --rows reference,published,floor --device cpu"
    )
    file = tmp_path / "bench.json"
    quick = ["--threads", "1", "--seconds", "0"]
    assert main([*options.split(), *quick, "--json", str(file)]) == 0
    said = capsys.readouterr()
    assert "x floor" in said.out
    assert "bench: preparing published" in said.err
    record = json.loads(file.read_text())
    assert [row["name"] for row in record["rows"]] == ["reference", "published", "floor"]
    assert record["threads"] == 1
    assert record["gmacs"] > 0
    assert main([*options.split(), *quick, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["network"] == record["network"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rows", "fast,quickest"], "--rows quickest"),
        (["--json", "/nowhere/at/all.json"], "there is no folder"),
        (["--device", "abacus"], "devices are"),
        (["--precision", "float16", "--device", "cpu"], "it is for CUDA"),
        (["missing.pkl"], "missing.pkl"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *options]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
