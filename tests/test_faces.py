"""Faces found in a real photo, and the crop that a network is shown."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.alignment import face_quad
from engine.errors import UserError
from engine.photos import read_photo
from engine.projection.crops import crop
from engine.projection.faces import Face, find_faces

PHOTO = Path(__file__).parent / "data" / "faces" / "collins.jpg"
NAME = Path("irene.jpg")

# Where one sees them in the photo: the middles of the eyes and of the mouth.
EYES = (162, 101), (206, 102)
MOUTH = (183, 145)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    pytest.importorskip("dlib", reason="dlib is not installed")
    return read_photo(PHOTO, 256)


def features(face: Face) -> np.ndarray:
    """Left eye, right eye, mouth: [3, 2]."""
    points = face.landmarks
    return np.array([points[36:42].mean(0), points[42:48].mean(0), points[48:60].mean(0)])


def assert_is_hers(face: Face, scale: float = 1, shift: tuple[float, float] = (0, 0)) -> None:
    """Within a twentieth of her face's width of where one sees the eyes and the mouth."""
    assert (face.landmarks.shape, face.landmarks.dtype) == ((68, 2), np.float64)
    expected = (np.array([*EYES, MOUTH]) + 0.5) * scale - 0.5 + shift
    np.testing.assert_allclose(features(face), expected, rtol=0, atol=4 * scale)
    left, top, right, bottom = face.box
    assert left < features(face)[0, 0] < features(face)[1, 0] < right
    assert top < features(face)[0, 1] < features(face)[2, 1] < bottom


def side_by_side(*pictures: Image.Image) -> Image.Image:
    width = sum(picture.width for picture in pictures)
    out = Image.new("RGB", (width, max(picture.height for picture in pictures)), (90, 110, 130))
    left = 0
    for picture in pictures:
        out.paste(picture, (left, 0))
        left += picture.width
    return out


def scaled(picture: Image.Image, scale: float) -> Image.Image:
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC)


def landscape() -> Image.Image:
    """Sky, hills, a lake."""
    across, down = np.meshgrid(np.arange(900), np.arange(600))
    hills = 300 + 60 * np.sin(across / 70) + 25 * np.sin(across / 23)
    sky = np.stack([90 + down / 4, 140 + down / 5, 230 - down / 9], axis=2)
    land = np.stack([40 + down / 10, 110 - down / 12, 50 + across / 40], axis=2)
    lake = np.stack([30 + down / 20, 80 + down / 12, 150 + 9 * np.sin(down / 3)], axis=2)
    picture = np.where((down < hills)[:, :, None], sky, land)
    picture = np.where((down > 450)[:, :, None], lake, picture)
    return Image.fromarray(picture.astype(np.uint8))


@pytest.mark.parametrize("scale", [0.4, 1, 2, 7])
def test_her_face_is_found(portrait: Image.Image, scale: float) -> None:
    """Of 36, 90, 180 and 630 pixels."""
    faces = find_faces(scaled(portrait, scale))
    assert len(faces) == 1
    assert_is_hers(faces[0], scale)


def test_a_small_face_in_a_large_photo(portrait: Image.Image) -> None:
    photo = Image.new("RGB", (4000, 3000), (90, 110, 130))
    photo.paste(portrait, (3300, 2000))
    [face] = find_faces(photo)
    assert_is_hers(face, shift=(3300, 2000))


def test_the_largest_comes_first(portrait: Image.Image) -> None:
    first, second, third = find_faces(
        side_by_side(scaled(portrait, 0.7), scaled(portrait, 1.6), scaled(portrait, 1.1))
    )
    widths = [round(portrait.width * scale) for scale in (0.7, 1.6)]
    assert_is_hers(first, 1.6, (widths[0], 0))
    assert_is_hers(second, 1.1, (sum(widths), 0))
    assert_is_hers(third, 0.7)


def test_equally_large_ones_go_from_left_to_right(portrait: Image.Image) -> None:
    faces = find_faces(side_by_side(portrait, portrait, portrait))
    assert len(faces) == 3
    for index, face in enumerate(faces):
        assert_is_hers(face, shift=(index * portrait.width, 0))


def test_what_hardly_looks_like_a_face_counts_alone_only(portrait: Image.Image) -> None:
    """Turned so far that the detector hardly knows it, and larger than the one it is sure of."""
    turned = scaled(portrait, 2).rotate(
        42, Image.Resampling.BICUBIC, expand=True, fillcolor=(90, 110, 130)
    )
    assert len(find_faces(turned)) == 1
    [face] = find_faces(side_by_side(portrait, turned))
    assert_is_hers(face)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_face_in_a_photo_that_its_exif_turns(
    portrait: Image.Image, orientation: int, tmp_path: Path
) -> None:
    stored = {
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[274] = orientation
    portrait.transpose(stored[orientation]).save(tmp_path / "photo.png", exif=exif)
    [face] = find_faces(read_photo(tmp_path / "photo.png", 256))
    assert_is_hers(face)


@pytest.mark.parametrize(
    ("edge", "box"),
    [
        ("top", (0, 80, 400, 260)),
        ("left", (140, 0, 400, 260)),
        ("right", (0, 0, 225, 260)),
        ("bottom", (0, 0, 400, 165)),
    ],
)
def test_a_face_at_the_edge(portrait: Image.Image, edge: str, box: tuple[int, ...]) -> None:
    """Its hair, its ear or its chin cut off: what lies beyond is mirrored into the crop."""
    cut = portrait.crop(box)
    [face] = find_faces(cut)
    assert_is_hers(face, shift=(-box[0], -box[1]))
    made = crop(cut, 128, "face", name=NAME)
    outside = {
        "top": made.outline[:, 1].min() < 0,
        "left": made.outline[:, 0].min() < 0,
        "right": made.outline[:, 0].max() > cut.width,
        "bottom": made.outline[:, 1].max() > cut.height,
    }
    assert outside[edge]
    assert made.picture.size == (128, 128)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3000, 1), (1, 3000)])
def test_no_picture_is_too_small_to_be_searched(size: tuple[int, int]) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    assert find_faces(Image.new("RGB", size)) == []


def test_the_crop_of_a_face(portrait: Image.Image) -> None:
    """Eyes and mouth lie where they do in FFHQ's own, in parts of a side."""
    made = crop(portrait, 256, "face", name=NAME)
    assert (made.picture.mode, made.picture.size) == ("RGB", (256, 256))
    assert made.photo is portrait
    [face] = find_faces(portrait)
    np.testing.assert_array_equal(made.outline, face_quad(face.landmarks).corners)
    [again] = find_faces(made.picture)
    left, right, mouth = features(again) / 256
    np.testing.assert_allclose([left, right], [(0.38, 0.48), (0.62, 0.48)], rtol=0, atol=0.03)
    assert mouth == pytest.approx((0.5, 0.72), abs=0.03)


def test_the_second_face(portrait: Image.Image) -> None:
    grey = scaled(portrait, 0.8).convert("L").convert("RGB")
    both = side_by_side(grey, portrait)
    hers = np.asarray(crop(both, 64, "face", name=NAME).picture).astype(int)
    other = np.asarray(crop(both, 64, "face", name=NAME, face=2).picture).astype(int)
    assert np.ptp(hers, axis=2).max() > 50
    assert np.ptp(other, axis=2).max() < 5


def test_a_photo_without_a_face() -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    with pytest.raises(UserError) as caught:
        crop(landscape(), 64, "face", name=NAME)
    assert str(caught.value) == (
        "irene.jpg: no face was found in it; --align off for a picture that is aligned already or "
        "is no face"
    )


def test_a_face_that_is_not_there(portrait: Image.Image) -> None:
    with pytest.raises(UserError) as caught:
        crop(portrait, 64, "face", name=NAME, face=2)
    assert str(caught.value) == "irene.jpg: shows 1 face; --face 2 is not there"
    with pytest.raises(UserError) as caught:
        crop(side_by_side(portrait, portrait), 64, "face", name=NAME, face=3)
    assert str(caught.value) == "irene.jpg: shows 2 faces; --face 3 is not there"


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_without_dlib_or_its_predictor(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(UserError) as caught:
        find_faces(Image.new("RGB", (64, 64)))
    assert str(caught.value) == (
        "faces are found by dlib, which is not installed: pip install 'anthesis[faces]'; or "
        "--align off for a picture that is aligned already or is no face"
    )


def test_align_off_needs_no_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert crop(landscape(), 64, "off", name=NAME).picture.size == (64, 64)


def test_a_damaged_predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    models = tmp_path / "face_recognition_models" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise AssertionError('imported')")
    (models / "shape_predictor_68_face_landmarks.dat").write_bytes(b"damaged" * 100)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="pip install --force-reinstall") as caught:
        find_faces(Image.new("RGB", (64, 64)))
    assert "\n" not in str(caught.value)


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    made = crop(Image.fromarray(pixels), 64, "off", name=NAME)
    np.testing.assert_array_equal(made.picture, pixels)
    np.testing.assert_array_equal(
        made.outline, [(-0.5, -0.5), (-0.5, 63.5), (63.5, 63.5), (63.5, -0.5)]
    )


@pytest.mark.parametrize("turned", [False, True])
def test_off_takes_the_middle(turned: bool) -> None:
    """Of a photo whose pixels tell where they are."""
    across = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    pixels = across.transpose(1, 0, 2) if turned else across
    made = crop(Image.fromarray(np.ascontiguousarray(pixels)), 100, "off", name=NAME)
    picture = np.asarray(made.picture)
    upright = picture.transpose(1, 0, 2) if turned else picture
    np.testing.assert_array_equal(upright, across[:, 50:150])
    lower_right = (99.5, 149.5) if turned else (149.5, 99.5)
    np.testing.assert_array_equal(made.outline[2], lower_right)


@pytest.mark.parametrize(("side", "size"), [(300, 64), (16, 64), (1, 8)])
def test_off_makes_it_larger_or_smaller(side: int, size: int) -> None:
    picture = Image.new("RGB", (side, side * 2), (10, 200, 30))
    made = crop(picture, size, "off", name=NAME)
    np.testing.assert_array_equal(made.picture, np.full((size, size, 3), (10, 200, 30)))


def test_what_only_a_program_can_get_wrong() -> None:
    pytest.importorskip("dlib", reason="dlib is not installed")
    with pytest.raises(ValueError, match="from 1"):
        crop(landscape(), 64, "face", name=NAME, face=0)
    with pytest.raises(ValueError, match="mode RGB"):
        find_faces(Image.new("L", (64, 64)))
