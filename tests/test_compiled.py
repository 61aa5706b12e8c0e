"""Compiling in the background: a package that plays the same, or a sentence why there is none."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import generator as session
from engine import worker
from engine.generator import Generator
from engine.inference import compiled
from engine.inference.compiled import Compilation, cache, compiler, find_or_compile
from engine.inference.folded import Folded
from engine.inference.plain import Finished
from engine.weights import load_network

SMALL = Path(__file__).parent / "data" / "parity" / "psp_r32.pt"

needs_compiler = pytest.mark.skipif(compiler() is None, reason="g++ is not installed")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "anthesis" / "compiled"


@pytest.mark.alone  # the compiler runs at the lowest priority: beside other tests it may never
@needs_compiler
def test_a_network_is_compiled_by_its_own_process_and_taken_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FRAMES_BEFORE_COMPILING", 1)
    generator = Generator(SMALL, device="cpu", threads=1)
    ws = generator.map(3)
    before = generator.render(ws)
    assert generator.improve()
    generator._frames._compilation._process.wait()  # type: ignore[attr-defined]
    while generator.improve():
        pass
    assert generator.notes == []
    # Which of the two is quicker is the machine's affair; that it was compiled is in the cache.
    (package,) = home.glob("*.pt2")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    net = load_network(SMALL)
    folded = Folded(net, torch.device("cpu"))
    play, finished = compiled._open(package), Finished(folded, net.resolution)
    for noise in (0.0, 1.0):
        example = (*folded.styles(torch.from_numpy(ws)), torch.tensor(noise))
        assert (play(*example).int() - finished(*example).int()).abs().max() <= 1
    assert np.abs(play(*example).numpy().astype(int) - before).max() <= 1
    again = generator.render(ws + 0)
    assert np.abs(again.astype(int) - before).max() <= 1
    assert find_or_compile(SMALL, threads=1) == package  # the second time it is there


def test_the_quicker_form_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for delay, stays in ((0.0, True), (0.05, False)):
        generator = Generator(SMALL, device="cpu")
        generator.render(generator.map(1))
        frames = generator._frames
        picture = torch.zeros(32, 32, 4, dtype=torch.uint8)

        def rival(*args: torch.Tensor, delay: float = delay, picture: torch.Tensor = picture):
            time.sleep(delay)
            return picture

        frames._rival = rival  # type: ignore[attr-defined]
        frames._compilation = None  # type: ignore[attr-defined]
        while frames.improve():
            pass
        assert ("compiled" in generator.form) is stays


def test_without_a_compiler_it_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(session, "FRAMES_BEFORE_COMPILING", 0)
    generator = Generator(SMALL, device="cpu")
    while generator.improve():
        pass
    assert len(generator.notes) == 1
    assert "no C++ compiler" in generator.notes[0]
    assert "compiled" not in generator.form


def test_a_network_without_a_file_stays_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FRAMES_BEFORE_COMPILING", 0)
    generator = Generator(load_network(SMALL), device="cpu")
    while generator.improve():
        pass
    assert generator.notes == []


def test_an_engine_that_replaces_another_stays_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FRAMES_BEFORE_COMPILING", 0)
    begun = []
    monkeypatch.setattr(Compilation, "begin", lambda self: begun.append(self))
    for generation in (0, 1):
        generator, _, _ = worker._open(SMALL, "cpu", generation)
        generator.improve()
    assert len(begun) == 1


def test_it_does_not_begin_before_the_show_has_gone_on_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Compilation, "begin", lambda self: pytest.fail("too early"))
    generator = Generator(SMALL, device="cpu")
    for seed in range(5):
        generator.render(generator.map(seed))
        assert generator.improve()


def test_a_cache_that_others_may_write_to_is_not_used(home: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)
    assert cache() is None
    home.chmod(0o700)
    assert cache() == home


def test_a_package_that_is_none_is_a_sentence(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"PK not really")
    compilation = Compilation(SMALL, 1)
    script = f"import sys; sys.stdout.write({str(broken)!r})"
    compilation._process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    compilation._process.wait()
    assert compilation.take() is None
    assert compilation.over
    assert "cannot be opened" in compilation.why
    assert "\n" not in compilation.why


def test_old_packages_make_room(home: Path) -> None:
    folder = cache()
    assert folder is not None
    for age in range(compiled.KEPT + 3):
        package = folder / f"{age}.pt2"
        package.touch()
        os.utime(package, (1000 - age, 1000 - age))
    abandoned = folder / "tmpabc"
    abandoned.mkdir()
    os.utime(abandoned, (1000, 1000))
    compiled._tidy(folder)
    assert {path.name for path in folder.iterdir()} == {
        f"{age}.pt2" for age in range(compiled.KEPT - 1)
    }


@needs_compiler
def test_the_compiler_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "true")
    assert compiler() == shutil.which("true")


def test_it_ends_with_its_engine(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.inference.compiled", str(SMALL), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.communicate(timeout=60)  # closes its input, as an engine's death does
    assert process.returncode == 1
    assert not list(home.glob("*.pt2"))
