"""FFHQ's alignment against crops made by the published code, and what landmarks it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from engine.alignment import align, face_quad
from engine.errors import UserError

REFERENCE = Path(__file__).parent / "data" / "parity" / "ffhq_align_reference.safetensors"

# A face of 100 pixels between the eyes, upright: eyes, nose, corners of the mouth.
FACE = np.array([[100, 120], [200, 120], [150, 170], [115, 220], [185, 220]], np.float64)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    return load_file(REFERENCE)


def test_the_reference_is_what_it_is_taken_for() -> None:
    """Resampled at four times the size, as FFHQ's 4096 for 1024."""
    with safe_open(REFERENCE, "np") as file:
        cases = json.loads(file.metadata()["parity"])["cases"]
    assert {case["transform_size"] / case["output_size"] for case in cases.values()} == {4}


@pytest.mark.parametrize("case", ["inside", "padded", "shrink"])
def test_equals_the_published_crops(case: str, reference: dict[str, np.ndarray]) -> None:
    landmarks, expected = reference[f"in.{case}.landmarks"], reference[f"out.{case}.aligned"]
    face = align(Image.fromarray(reference[f"in.{case}.image"]), landmarks, len(expected))
    np.testing.assert_allclose(face_quad(landmarks).corners, reference[f"out.{case}.quad"])
    # In 255ths. With the Pillow of the reference it is 0; another's resampling may round otherwise.
    assert np.abs(np.int16(face) - np.int16(expected)).mean() <= 0.1


def test_five_points_lay_the_square_that_68_do(reference: dict[str, np.ndarray]) -> None:
    points = reference["in.padded.landmarks"]
    eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    five = np.stack([*eyes, points[30], points[48], points[54]])
    np.testing.assert_allclose(face_quad(five).corners, reference["out.padded.quad"])


def test_a_turned_face_comes_out_upright() -> None:
    """A photo turned by a quarter, with its landmarks: the same face, but for the resampling."""
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[:, None]), axis=2)
    upright = align(Image.fromarray(pixels), FACE, 128)
    turned_points = np.stack([299 - FACE[:, 1], FACE[:, 0]], axis=1)
    turned = align(Image.fromarray(np.rot90(pixels, -1).copy()), turned_points, 128)
    assert np.abs(np.int16(upright) - np.int16(turned)).max() <= 1


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.floats(0.01, 3),
    st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    st.integers(1, 24),
)
def test_any_face_in_any_picture_is_aligned_or_refused(
    sides: tuple[int, int], scale: float, shift: tuple[float, float], size: int
) -> None:
    picture = Image.new("RGB", sides, (10, 200, 30))
    try:
        face = align(picture, FACE * scale + shift, size)
    except UserError:
        return
    assert (face.mode, face.size) == ("RGB", (size, size))
    assert np.abs(np.int16(face) - (10, 200, 30)).max() <= 1  # plain stays plain, padded or not


def _poked(value: float) -> np.ndarray:
    points = FACE.copy()
    points[3, 1] = value
    return points


@pytest.mark.parametrize(
    ("landmarks", "said"),
    [
        (_poked(np.nan), "NaN"),
        (_poked(np.inf), "beyond any picture"),
        (_poked(1e300), "beyond any picture"),
        (
            FACE + 1000,
            "outside the picture of 300 x 300 pixels: the face would reach from (950, 930)",
        ),
        (FACE - (500, 0), "outside the picture"),
        (FACE * 20 - 1500, "outside the picture"),
        (np.full((5, 2), 50.0), "no square"),
        (FACE * 0.01 + 100, "no square"),
        (np.stack([200 - FACE[:, 0], FACE[:, 1]], axis=1), "no square"),  # left and right swapped
    ],
)
def test_landmarks_that_are_refused(landmarks: np.ndarray, said: str) -> None:
    with pytest.raises(UserError) as caught:
        align(Image.new("RGB", (300, 300)), landmarks, 16)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: align(Image.new("RGB", (300, 300)), FACE[:4]),
        lambda: align(Image.new("RGB", (300, 300)), np.zeros((68, 3))),
        lambda: align(Image.new("L", (300, 300)), FACE),
    ],
)
def test_what_only_a_program_can_get_wrong(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="needed"):
        call()
