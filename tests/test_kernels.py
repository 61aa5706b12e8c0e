"""Runs `kernels_alone.py` in a process of its own, which it must have; see there."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_tritons_kernels():
    # conftest brings OpenGL in.
    command = [sys.executable, "-m", "pytest", "kernels_alone.py", "--noconftest"]
    command += ["-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
