"""Runs the tests of Triton's kernels in processes of their own, which they must have; see there."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("file", ["kernels_alone.py", "kernels_compiled.py"])
def test_tritons_kernels(file, tmp_path):
    # conftest brings OpenGL in.
    command = [sys.executable, "-m", "pytest", file, "--noconftest", "-p", "no:cacheprovider"]
    surroundings = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=HERE, env=surroundings, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
