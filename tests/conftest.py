"""Shared by all tests."""

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

# Before OpenGL: torch's optimisers load Triton where it is installed, and its LLVM crashes in a
# process that has Mesa's already. The other way round they get along.
with suppress(ImportError):
    import triton  # noqa: F401

import moderngl
import pytest
from hypothesis import settings

from live.offscreen import Offscreen

# Under load a test is slow, and has not failed.
settings.register_profile("anthesis", deadline=None)
settings.load_profile("anthesis")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped because something is not installed has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and "not installed" in str(report.longrepr):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="module")
def offscreen() -> Iterator[Offscreen]:
    output = Offscreen((64, 64))
    yield output
    output.close()


@pytest.fixture
def gl(offscreen: Offscreen) -> Iterator[moderngl.Context]:
    """A GL context without a display, current for the test."""
    with offscreen.ctx:
        yield offscreen.ctx


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "anthesis-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test has files open
