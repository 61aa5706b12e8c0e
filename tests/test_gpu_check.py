"""The GPU check: without CUDA it claims nothing, and no section of it takes the others along."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GPU = Path(__file__).parent / "gpu"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch):
    """The script as a module, its folder on the path for as long as the test runs."""
    monkeypatch.setattr(sys, "path", [str(GPU), *sys.path])
    for name in ("check", "gpu_lines"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import check

    return check


def test_without_cuda_it_says_so_and_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run(
        [sys.executable, str(GPU / "check.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout == (
        "There is no CUDA on this machine: nothing was built, checked or timed.\n"
    )
    assert done.stderr == ""


def test_without_torch_either(check, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert check.main([]) == 0
    assert capsys.readouterr().out.startswith("torch is not installed: nothing")


def test_pytest_collects_none_of_it() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", str(GPU)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


SECTIONS = """
import os, sys, time
from gpu_lines import Line, NotRunError, at_least, at_most

def fine(told):
    print("a library says something", end="")
    assert told.folder.is_dir()
    yield at_most("fine", "time", 1.0, " ms", 2.0, goal=1.5)
    yield at_least("fine", "rate", 250, "", 240)

def slow(told):
    yield at_most("slow", "time", 3.0, " ms", 2.0)

def broken(told):
    yield Line("broken", "so far", "known", verdict="ok")
    raise ValueError("the reason\\nis this")

def missing(told):
    raise NotRunError("no moderngl")
    yield

def imports(told):
    import nothing_of_that_name
    yield

def ours(told):
    import engine.nothing_of_that_name
    yield

def dies(told):
    yield Line("dies", "so far", "known")
    os.abort()

def hangs(told):
    yield Line("hangs", "so far", "known")
    time.sleep(60)

def breaks_the_device(told):
    class Torch:
        class cuda:
            is_initialized = staticmethod(lambda: True)
            @staticmethod
            def synchronize():
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
    sys.modules["torch"] = Torch
    raise RuntimeError("CUDA error")
    yield

def fresh(told):
    yield Line("fresh", "process", "same" if "torch" in sys.modules else "another")
"""


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "fake_sections.py").write_text(SECTIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def lines(check, *names: str, limit: float = 60.0) -> list[tuple[str, str, str]]:
    """What, found and verdict of every row of those sections, but for what a section took."""
    rows = check.run([f"fake_sections:{name}" for name in names], minutes=0.0, limit=limit)
    return [
        (row.section, "" if row.what == "(the section)" else row.found, row.verdict) for row in rows
    ]


def test_a_section_that_fails_is_a_row_and_the_others_go_on(check, sections: Path) -> None:
    assert lines(check, "broken", "missing", "imports", "ours", "slow", "fine") == [
        ("broken", "known", "ok"),
        ("broken", "", "FAILED: ValueError: the reason is this"),
        ("missing", "", "not run: no moderngl"),
        ("imports", "", "not run: no nothing_of_that_name"),
        ("ours", "", "FAILED: No module named 'engine.nothing_of_that_name'"),
        ("slow", "3 ms", "MISSED"),
        ("slow", "", ""),
        ("fine", "1 ms", "ok, goal reached"),
        ("fine", "250", "ok"),
        ("fine", "", ""),
    ]


def test_a_section_that_takes_the_process_with_it(check, sections: Path) -> None:
    assert lines(check, "dies", "fine") == [
        ("dies", "known", ""),
        ("dies", "", "FAILED: it ended with -6"),
        ("fine", "1 ms", "ok, goal reached"),
        ("fine", "250", "ok"),
        ("fine", "", ""),
    ]


def test_a_section_that_hangs(check, sections: Path) -> None:
    assert lines(check, "hangs", limit=1.5) == [
        ("hangs", "known", ""),
        ("hangs", "", "FAILED: no word for 2 s"),
    ]


def test_after_a_cuda_error_comes_another_process(check, sections: Path) -> None:
    rows = lines(check, "breaks_the_device", "fresh", "fresh")
    assert rows[0] == ("breaks_the_device", "", "FAILED: RuntimeError: CUDA error")
    assert rows[1:] == [("fresh", "another", ""), ("fresh", "", "")] * 2


def test_what_failed_or_missed_is_in_the_exit_code(
    check, sections: Path, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "_missing", lambda: "")
    names = ("fine", "missing", "slow", "broken")
    monkeypatch.setattr(check, "SECTIONS", {name: f"fake_sections:{name}" for name in names})
    assert check.main(["fine", "missing"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["section", "what", "found", "wanted"]
    row = " ".join(said[1].split())
    assert row == "fine time 1 ms <= 2 ms, goal 1.5 ms ok, goal reached"
    assert said[-1] == "4 rows, 0 of them failed or missed"
    assert check.main(["slow"]) == 1
    assert check.main(["broken", "--json", str(tmp_path / "rows.json")]) == 1
    records = json.loads((tmp_path / "rows.json").read_text())
    assert [record["verdict"][:6] for record in records] == ["ok", "FAILED"]
    assert check.main(["nothing"]) == 2


def test_every_section_is_there(check) -> None:
    """Their modules want CUDA's parts of torch only when they are called."""
    for section in check.SECTIONS.values():
        module, _, name = section.partition(":")
        assert f"def {name}(told: Told) -> Iterator[Line]:" in (GPU / f"{module}.py").read_text()
