"""A change of size: the old picture fades into the new one, and nothing jumps or is left behind."""

from itertools import pairwise

import moderngl
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live.compositor import Compositor, Look
from live.succession import FADE, MOST, Succession


def upload(succession: Succession, size: int, level: int, at: int) -> None:
    pixels = np.full((size, size, 4), level, np.uint8)
    succession.upload(pixels, size, size, at)


def brightness(gl: moderngl.Context, succession: Succession, at: int) -> float:
    compositor = Compositor(gl, (16, 16))
    compositor.compose(succession.layers(at, 1.0), Look())
    return float(compositor.read()[..., :3].mean())


def test_the_old_size_fades_into_the_new_one_which_moves_on(gl: moderngl.Context) -> None:
    succession = Succession(gl)
    upload(succession, 16, 200, 0)
    assert brightness(gl, succession, 0) == 200
    upload(succession, 8, 100, FADE)
    assert brightness(gl, succession, FADE) == 200
    assert brightness(gl, succession, FADE + FADE // 2) == pytest.approx(150, abs=1)
    upload(succession, 8, 60, FADE + FADE // 2)  # live
    assert brightness(gl, succession, FADE + FADE // 2) == pytest.approx(130, abs=1)
    assert brightness(gl, succession, 2 * FADE) == 60
    assert len(succession.layers(2 * FADE, 1.0)) == 1


def test_a_frozen_time_holds_the_fade(gl: moderngl.Context) -> None:
    succession = Succession(gl)
    upload(succession, 16, 200, 0)
    upload(succession, 8, 100, 50)
    levels = {brightness(gl, succession, 50 + FADE // 3) for _ in range(5)}
    assert len(levels) == 1
    assert 100 < levels.pop() < 200


def test_back_to_the_old_size_in_mid_fade_does_not_jump(gl: moderngl.Context) -> None:
    succession = Succession(gl)
    upload(succession, 16, 200, 0)
    upload(succession, 8, 100, 0)
    before = brightness(gl, succession, FADE // 2)
    upload(succession, 16, 200, FADE // 2)
    assert brightness(gl, succession, FADE // 2) == pytest.approx(before, abs=1)
    assert brightness(gl, succession, FADE // 2 + FADE) == 200


def test_a_frame_that_does_not_fit_leaves_what_is_on_screen(gl: moderngl.Context) -> None:
    succession = Succession(gl)
    upload(succession, 16, 200, 0)
    with pytest.raises(ValueError, match="bytes for 8x8"):
        succession.upload(np.zeros((4, 4, 4), np.uint8), 8, 8, 10)
    assert brightness(gl, succession, FADE) == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([4, 8, 16]), st.integers(0, FADE)), min_size=1, max_size=12),
    st.floats(0.1, 1.0),
)
def test_weights_add_up_and_few_pictures_are_kept(
    gl: moderngl.Context, frames: list[tuple[int, int]], share: float
) -> None:
    succession, at = Succession(gl), 0
    pictures = set()
    for size, later in frames:
        at += later
        upload(succession, size, 100, at)
        layers = succession.layers(at, share)
        pictures |= {layer.picture for layer in layers}
        assert sum(layer.weight for layer in layers) == pytest.approx(share)
        assert layers[0].picture.size == (size, size)
        assert len(layers) <= MOST
        assert all(a.picture is not b.picture for a, b in pairwise(layers))
        kept = {generation.picture for generation in succession._generations}
        assert all(picture.texture is None for picture in pictures - kept)
    succession.release()
    assert all(picture.texture is None for picture in pictures)
