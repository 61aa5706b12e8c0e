"""An X server of the test's own, on whichever display is free."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def xvfb(width: int = 1280, height: int = 720, *options: str) -> Iterator[str]:
    """Start Xvfb with one screen, hand over its display's name (":7"), end it afterwards."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed (Debian: xvfb)")
    reading, writing = os.pipe()
    screen = f"{width}x{height}x24"
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp"]
    command += ["-noreset"]  # else it starts afresh, for a moment deaf, when its last client leaves
    if shutil.which("setpriv") is not None:  # ends with the tests, should Xlib or a signal end them
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    process = subprocess.Popen(
        [*command, *options],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()  # written once it accepts connections
        assert number, f"Xvfb ended with {process.wait()}"
        yield f":{number}"
    finally:
        process.terminate()
        process.wait()
