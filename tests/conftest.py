"""Shared by all tests."""

from collections.abc import Iterator

import moderngl
import pytest
from hypothesis import settings

from live.offscreen import Offscreen

# Under load a test is slow, and has not failed.
settings.register_profile("anthesis", deadline=None)
settings.load_profile("anthesis")


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
