"""A change of size is a short cross-fade: the old picture goes as the new ones come."""

import numpy as np
import pytest

from engine.link import FrameHeader
from live.compositor import Compositor, Look
from live.source import Frame
from live.succession import FADE, Succession


def frame(size, level):
    header = FrameHeader(0, 1, size, size, 1, 1, 0, 0, 0)
    pixels = np.full((size, size, 4), level, np.uint8)
    return Frame(header, np.zeros((1, 1), np.float32), pixels)


def seen(compositor, pictures, at):
    compositor.compose(pictures.layers(at), Look())
    shown = compositor.read()[..., :3]
    assert (shown == shown[0, 0]).all()
    return int(shown[0, 0, 0])


@pytest.fixture
def pictures(gl):
    made = Succession(gl)
    yield made
    made.release()


def test_frames_of_one_size_replace_each_other_at_once(gl, pictures):
    compositor = Compositor(gl, (32, 32))
    for at, level in enumerate([10, 200, 90]):
        pictures.upload(frame(16, level), at)
        assert seen(compositor, pictures, at) == level


def test_another_size_comes_in_over_the_last_of_the_old(gl, pictures):
    compositor = Compositor(gl, (32, 32))
    pictures.upload(frame(16, 200), 0)
    pictures.upload(frame(8, 100), 1000)
    levels = [seen(compositor, pictures, 1000 + FADE * step // 10) for step in range(11)]
    assert levels[0] == 200
    assert abs(levels[5] - 150) <= 1
    assert levels[10] == 100
    assert levels == sorted(levels, reverse=True)
    pictures.upload(frame(8, 60), 1000 + FADE)
    assert seen(compositor, pictures, 1000 + FADE) == 60


def test_the_new_size_goes_on_moving_while_it_comes_in(gl, pictures):
    compositor = Compositor(gl, (32, 32))
    pictures.upload(frame(16, 200), 0)
    pictures.upload(frame(8, 100), 0)
    pictures.upload(frame(8, 0), FADE // 2)
    assert abs(seen(compositor, pictures, FADE // 2) - 100) <= 1


def test_a_change_in_the_midst_of_a_change_fades_from_the_newest(gl, pictures):
    compositor = Compositor(gl, (32, 32))
    for size, level in ((16, 200), (8, 100), (4, 40)):
        pictures.upload(frame(size, level), 0)
    assert seen(compositor, pictures, 0) == 100
    assert seen(compositor, pictures, FADE) == 40
