"""The compositor against Pillow, against numpy and against reference pictures, under EGL.

The references in tests/data/compositor are made anew by `python -m tests.test_compositor`; look at
them before committing them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import MagicMock

import moderngl
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

import live.texture
from live.compositor import Compositor, Fit, Layer, Look, Rectangle, placed
from live.offscreen import is_software
from live.texture import Picture

REFERENCES = Path(__file__).parent / "data" / "compositor"
FITS: tuple[Fit, ...] = ("contain", "cover", "mirror")
Pixels = NDArray[np.uint8]


# Pictures made of arithmetic: what goes wrong in scaling shows in them.


def opaque(rgb: NDArray[np.floating]) -> Pixels:
    alpha = np.full((*rgb.shape[:2], 1), 255.0)
    return np.concatenate([np.clip(rgb, 0, 255), alpha], axis=2).round().astype(np.uint8)


def zone_plate(width: int, height: int) -> Pixels:
    """Rings up to half the sampling rate at the sides: aliasing shows as rings elsewhere."""
    y, x = np.mgrid[:height, :width]
    radius = (x - width / 2) ** 2 + (y - height / 2) ** 2
    rings = 127.5 + 127.5 * np.cos(np.pi / max(width, height) * radius)
    return opaque(np.stack([rings, 255 - rings, np.roll(rings, 3, axis=1)], axis=2))


def gradients(width: int, height: int) -> Pixels:
    y, x = np.mgrid[:height, :width]
    return opaque(
        np.stack([255 * x / (width - 1), 255 * y / (height - 1), 255 * (x + y) % 97 / 97], 2)
    )


def edges(width: int, height: int) -> Pixels:
    """Hard edges, and a corner of each its own colour, so that a turned picture is seen."""
    rgb = np.zeros((height, width, 3))
    rgb[: height // 2, : width // 3] = (255, 30, 0)
    rgb[: height // 4, width // 2 :] = (0, 200, 40)
    rgb[height // 2 :, width // 4 :] = (255, 255, 255)
    rgb[-height // 8 :, -width // 8 :] = (10, 20, 250)
    return opaque(rgb)


SYNTHETIC = {"zone plate": zone_plate, "gradients": gradients, "edges": edges}


def picture(gl: moderngl.Context, pixels: Pixels) -> Picture:
    made = Picture(gl)
    made.upload(np.ascontiguousarray(pixels), pixels.shape[1], pixels.shape[0])
    return made


def composed(
    gl: moderngl.Context,
    size: tuple[int, int],
    look: Look,
    *layers: Pixels | tuple[Pixels, float],
) -> Pixels:
    """What is composed of pictures, each alone or with its weight."""
    weighted = [layer if isinstance(layer, tuple) else (layer, 1.0) for layer in layers]
    compositor = Compositor(gl, size)
    compositor.compose([Layer(picture(gl, pixels), weight) for pixels, weight in weighted], look)
    return compositor.read()


# The same in numpy, written from the definition: a matrix of weights for each axis.


def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def weights(inputs: int, outputs: int) -> NDArray[np.float64]:
    """[outputs, inputs]: enlarging repeats the edge's sample, reducing does without."""
    ratio = inputs / outputs
    centres = (np.arange(outputs) + 0.5) * ratio - 0.5
    if ratio > 1:
        raw = kernel((np.arange(inputs)[None] - centres[:, None]) / ratio)
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))
    wide = np.arange(-2, inputs + 2)
    raw = kernel(wide[None] - centres[:, None])
    folded = np.zeros((outputs, inputs))
    for column, sample in enumerate(np.clip(wide, 0, inputs - 1)):
        folded[:, sample] += raw[:, column]
    return folded


def expected(pixels: Pixels, size: tuple[int, int], fit: Fit) -> NDArray[np.float64]:
    """What is shown of one picture, float [height, width, 3] of 0..255."""
    height, width = pixels.shape[:2]
    ratios = size[0] / width, size[1] / height
    scale = max(ratios) if fit == "cover" else min(ratios)
    inner = round(width * scale), round(height * scale)
    along_x = np.einsum("oi,yic->yoc", weights(width, inner[0]), pixels[..., :3].astype(float))
    along_x = np.clip(along_x, 0, 255).round()
    scaled = np.einsum("oi,ixc->oxc", weights(height, inner[1]), along_x).clip(0, 255)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    if fit == "cover":
        return scaled[-top : size[1] - top, -left : size[0] - left]
    beside = ((top, size[1] - inner[1] - top), (left, size[0] - inner[0] - left), (0, 0))
    return np.pad(scaled, beside, mode="symmetric" if fit == "mirror" else "constant")


def difference(got: Pixels, want: NDArray[np.float64] | Pixels) -> NDArray[np.float64]:
    return np.abs(got[..., :3].astype(float) - want[..., :3])


OUTPUTS = [(160, 90), (90, 160), (101, 57), (400, 40), (64, 64), (65, 64), (64, 67)]


@pytest.mark.parametrize("size", OUTPUTS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("source", [(32, 32), (50, 30), (128, 128)])
def test_fit_is_what_numpy_computes(
    gl: moderngl.Context, fit: Fit, size: tuple[int, int], source: tuple[int, int]
) -> None:
    """Within 1/255 when enlarged (two roundings), 1.5/255 when reduced (four)."""
    for make in SYNTHETIC.values():
        pixels = make(*source)
        got = composed(gl, size, Look(fit), pixels)
        off = difference(got, expected(pixels, size, fit))
        assert off.max() <= 1.5
        assert off.mean() <= 0.3  # rounding alone is 0.25
        assert (got[..., 3] == 255).all()


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("source", [128, 200, 512, 1024])
def test_scaling_is_pillows(gl: moderngl.Context, name: str, source: int) -> None:
    """Enlarged and reduced: within 0.15/255 of Pillow's BICUBIC on average, 3/255 at most.

    At the very edge Pillow shares out the weights of samples that do not exist, where enlarging
    here repeats the last one: two pixels of the picture are left out of the worst case.
    """
    pixels = SYNTHETIC[name](source, source)
    got = composed(gl, (640, 360), Look("contain"), pixels)[:, 140:500]
    pillow = Image.fromarray(pixels).convert("RGB").resize((360, 360), Image.Resampling.BICUBIC)
    off = difference(got, np.asarray(pillow))
    edge = -(-2 * 360 // source)
    assert off.mean() <= 0.15
    assert off[edge:-edge, edge:-edge].max() <= 3


def test_a_picture_of_the_outputs_size_is_shown_exactly(gl: moderngl.Context) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (90, 160, 4), dtype=np.uint8)
    for fit in FITS:
        got = composed(gl, (160, 90), Look(fit), pixels)
        np.testing.assert_array_equal(got[..., :3], pixels[..., :3])
        assert (got[..., 3] == 255).all()  # the picture's own alpha does not matter


def test_a_rehearsal_draws_with_every_program_and_leaves_black(
    gl: moderngl.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    compositor = Compositor(gl, (40, 30))
    drawn = []
    quads = (compositor._reduce, compositor._widen, compositor._draw)
    for name, quad in zip(("_reduce", "_widen", "_draw"), quads, strict=True):
        watched = MagicMock(wraps=quad, program=quad.program)
        watched.render.side_effect = lambda *_, of=name, **__: drawn.append(of)
        monkeypatch.setattr(compositor, name, watched)
    compositor.rehearse()
    assert set(drawn) == {"_reduce", "_widen", "_draw"}
    assert not compositor.read()[..., :3].any()
    compositor.release()


def test_master_0_is_exactly_black(gl: moderngl.Context) -> None:
    white = np.full((16, 16, 4), 255, np.uint8)
    for fit in FITS:
        got = composed(gl, (40, 30), Look(fit, master=0.0), (white, 0.5), (white, 0.5))
        assert not got[..., :3].any()
        assert (got[..., 3] == 255).all()


def test_the_bars_of_contain_are_exactly_black(gl: moderngl.Context) -> None:
    white = np.full((16, 16, 4), 255, np.uint8)
    got = composed(gl, (160, 90), Look("contain"), white)
    assert (got[:, 35:125, :3] == 255).all()
    assert not got[:, :35, :3].any()
    assert not got[:, 125:, :3].any()


@pytest.mark.parametrize("master", [0.003, 0.25, 0.5, 0.99])
def test_master_multiplies_the_encoded_values(gl: moderngl.Context, master: float) -> None:
    pixels = gradients(64, 64)
    got = composed(gl, (64, 64), Look(master=master), pixels)
    assert difference(got, pixels * master).max() <= 0.51  # one rounding


@pytest.mark.parametrize("mix", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("master", [1.0, 0.6])
def test_mix_blends_the_encoded_values(gl: moderngl.Context, mix: float, master: float) -> None:
    """Within 1/255: each picture is rounded by itself."""
    first, second = zone_plate(64, 64), edges(64, 64)
    got = composed(gl, (64, 64), Look(master=master), (first, 1 - mix), (second, mix))
    want = (first * (1 - mix) + second * mix) * master
    assert difference(got, want).max() <= 1.01


def test_two_cross_fades_at_once_are_the_weighted_sum(gl: moderngl.Context) -> None:
    """Two networks fade while the size of each one's frames changes; each is scaled and rounded."""
    made = [zone_plate(64, 64), gradients(32, 32), edges(64, 64), edges(16, 16)]
    weights = (0.42, 0.28, 0.18, 0.12)
    for master in (1.0, 0.3):
        got = composed(gl, (160, 90), Look(master=master), *zip(made, weights, strict=True))
        scaled = [expected(pixels, (160, 90), "contain") for pixels in made]
        want = sum(one * weight * master for one, weight in zip(scaled, weights, strict=True))
        assert difference(got, want).max() <= 3  # type: ignore[arg-type]


def test_overshoot_beside_an_edge_does_not_shine_through_a_fade(gl: moderngl.Context) -> None:
    pixels = edges(32, 32)
    full = composed(gl, (320, 320), Look(), pixels)
    half = composed(gl, (320, 320), Look(master=0.5), pixels)
    assert difference(half, full * 0.5).max() <= 1


def test_the_ends_of_a_cross_fade_are_the_pictures_themselves(gl: moderngl.Context) -> None:
    first, second = zone_plate(64, 64), edges(64, 64)
    for mix, want in ((0.0, first), (1.0, second)):
        got = composed(gl, (64, 64), Look(), (first, 1 - mix), (second, mix))
        np.testing.assert_array_equal(got, want)


def test_pictures_of_other_sizes_and_shapes_cross_fade_in_their_places(
    gl: moderngl.Context,
) -> None:
    """Such as a holding picture and the first frame; within 2/255, each scaled and rounded."""
    first, second = gradients(96, 54), edges(32, 32)
    for fit in FITS:
        got = composed(gl, (160, 90), Look(fit), (first, 0.6), (second, 0.4))
        size = (160, 90)
        want = expected(first, size, fit) * 0.6 + expected(second, size, fit) * 0.4
        assert difference(got, want).max() <= 2


def test_a_missing_picture_is_black(gl: moderngl.Context) -> None:
    pixels = edges(32, 32)
    empty = Picture(gl)
    compositor = Compositor(gl, (32, 32))
    compositor.compose([], Look())
    assert not compositor.read()[..., :3].any()
    compositor.compose([Layer(empty, 0.5), Layer(empty, 0.5)], Look())
    assert not compositor.read()[..., :3].any()
    quarter = Layer(picture(gl, pixels), 0.25)
    for layers in ([quarter], [quarter, Layer(empty, 0.75)]):
        compositor.compose(layers, Look())
        assert difference(compositor.read(), pixels * 0.25).max() <= 0.51


def test_a_picture_faded_into_itself_stays(gl: moderngl.Context) -> None:
    pixels = zone_plate(64, 64)
    compositor = Compositor(gl, (64, 64))
    same = picture(gl, pixels)
    compositor.compose([Layer(same, 0.7), Layer(same, 0.3)], Look())
    np.testing.assert_array_equal(compositor.read(), pixels)


def test_new_pixels_new_sizes_and_new_outputs_are_followed(gl: moderngl.Context) -> None:
    shown = Picture(gl)
    compositor = Compositor(gl, (64, 64))
    steps = [
        (edges(64, 64), (64, 64), "contain"),
        (gradients(64, 64), (64, 64), "contain"),  # other pixels, the same size
        (gradients(16, 16), (64, 64), "contain"),
        (gradients(16, 16), (120, 40), "contain"),
        (gradients(16, 16), (120, 40), "mirror"),
        (gradients(16, 16), (120, 40), "cover"),
        (edges(128, 128), (120, 40), "cover"),
        (edges(96, 54), (160, 90), "mirror"),
    ]
    for pixels, size, fit in steps:
        shown.upload(pixels, pixels.shape[1], pixels.shape[0])
        compositor.resize(size)
        compositor.compose([Layer(shown)], Look(fit))
        assert compositor.read().shape == (size[1], size[0], 4)
        assert difference(compositor.read(), expected(pixels, size, fit)).max() <= 1.5


def test_a_size_without_memory_leaves_the_last_program_picture(gl: moderngl.Context) -> None:
    pixels = edges(64, 32)
    shown = picture(gl, pixels)
    compositor = Compositor(gl, (64, 32))
    compositor.compose([Layer(shown)], Look())
    with pytest.raises(moderngl.Error):
        compositor.resize((gl.info["GL_MAX_TEXTURE_SIZE"] + 1, 32))
    assert compositor.size == (64, 32)
    np.testing.assert_array_equal(compositor.read(), pixels)
    compositor.compose([Layer(shown)], Look(master=0.5))
    assert difference(compositor.read(), pixels[..., :3].astype(float) * 0.5).max() <= 1
    compositor.resize((120, 40))
    compositor.compose([Layer(shown)], Look("cover"))
    assert difference(compositor.read(), expected(pixels, (120, 40), "cover")).max() <= 1.5


def test_a_place_without_memory_leaves_the_picture_in_the_last_one(gl: moderngl.Context) -> None:
    """Cut out of the middle, so that where the strip begins and its rows must stay too."""
    pixels = edges(64, 32)
    shown = picture(gl, pixels)
    compositor = Compositor(gl, (30, 40))
    compositor.compose([Layer(shown)], Look("cover"))
    (strip,) = compositor._full.values()
    wide = gl.info["GL_MAX_TEXTURE_SIZE"] + 1
    too_large = Rectangle(0, 0, wide, wide // 2)
    with pytest.raises(moderngl.Error):
        strip.follow(shown, too_large, too_large)
    compositor.compose([Layer(shown)], Look("cover"))
    assert difference(compositor.read(), expected(pixels, (30, 40), "cover")).max() <= 1.5


def test_a_minimised_window_keeps_the_last_size(gl: moderngl.Context) -> None:
    compositor = Compositor(gl, (64, 32))
    compositor.resize((0, 0))
    assert compositor.size == (64, 32)


def test_show_copies_the_program_picture_to_the_screen(gl: moderngl.Context) -> None:
    pixels = edges(64, 32)
    compositor = Compositor(gl, (64, 32))
    compositor.compose([Layer(picture(gl, pixels))], Look())
    screen = gl.framebuffer([gl.renderbuffer((64, 32), 4)])
    compositor.show(screen)
    on_screen = np.frombuffer(screen.read(components=4), np.uint8).reshape(32, 64, 4)
    np.testing.assert_array_equal(on_screen[::-1], pixels)  # GL's rows begin at the bottom


def test_what_others_left_in_gl_does_not_matter(gl: moderngl.Context) -> None:
    pixels = edges(64, 64)
    gl.enable_only(moderngl.BLEND | moderngl.CULL_FACE | moderngl.DEPTH_TEST)
    gl.blend_func = (moderngl.ZERO, moderngl.ONE)
    gl.front_face = "cw"
    try:
        got = composed(gl, (64, 64), Look(), pixels)
    finally:
        gl.enable_only(moderngl.NOTHING)
        gl.front_face = "ccw"
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize(
    ("source", "output", "fit", "want"),
    [
        ((128, 128), (1280, 720), "contain", Rectangle(280, 0, 720, 720)),
        ((128, 128), (1280, 720), "mirror", Rectangle(280, 0, 720, 720)),
        ((128, 128), (1280, 720), "cover", Rectangle(0, -280, 1280, 1280)),
        ((128, 128), (720, 1280), "contain", Rectangle(0, 280, 720, 720)),
        ((1920, 1080), (1280, 720), "contain", Rectangle(0, 0, 1280, 720)),
        ((1000, 10), (100, 100), "contain", Rectangle(0, 49, 100, 1)),
        ((5000, 1), (100, 100), "contain", Rectangle(0, 49, 100, 1)),
    ],
)
def test_pictures_are_centred_and_keep_their_shape(
    source: tuple[int, int], output: tuple[int, int], fit: Fit, want: Rectangle
) -> None:
    assert placed(source, output, fit) == want


def test_the_pixel_buffers_of_a_gpu_bring_the_same_pixels(
    gl: moderngl.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.texture, "is_software", lambda renderer: False)
    shown = Picture(gl)
    compositor = Compositor(gl, (64, 64))
    for turn in range(5):  # more often than the ring has buffers
        pixels = np.ascontiguousarray(np.roll(edges(64, 64), turn * 7, axis=1))
        shown.upload(pixels, 64, 64)
        compositor.compose([Layer(shown)], Look())
        np.testing.assert_array_equal(compositor.read(), pixels)


def test_any_buffer_of_the_right_size_is_a_picture(gl: moderngl.Context) -> None:
    pixels = edges(16, 8)
    shown = Picture(gl)
    for buffer in (pixels, pixels.tobytes(), bytearray(pixels), memoryview(pixels)):
        shown.upload(buffer, 16, 8)
        assert shown.size == (16, 8)
    assert shown.uploads == 4


def test_wrong_pixels_are_refused_and_the_picture_stays(gl: moderngl.Context) -> None:
    pixels = edges(16, 8)
    shown = picture(gl, pixels)
    with pytest.raises(ValueError, match="508 contiguous bytes for 16x8"):
        shown.upload(pixels.tobytes()[:-4], 16, 8)
    with pytest.raises(ValueError, match="512 scattered bytes"):
        shown.upload(pixels[::-1], 16, 8)
    with pytest.raises(ValueError, match="0x8"):
        shown.upload(b"", 0, 8)
    with pytest.raises(ValueError, match="sides are 1 to"):
        shown.upload(b"", 1 << 20, 1)
    compositor = Compositor(gl, (16, 8))
    compositor.compose([Layer(shown)], Look())
    np.testing.assert_array_equal(compositor.read(), pixels)


@contextmanager
def memory_left(size: int) -> Iterator[None]:
    """This process, and with it software GL, gets no more than so many bytes."""
    resource = pytest.importorskip("resource", reason="limits of a process are a POSIX matter")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through pixel buffers"])
def test_a_frame_without_memory_leaves_the_last_picture(
    gl: moderngl.Context, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not is_software(gl.info["GL_RENDERER"]):
        pytest.skip("the memory of a GPU cannot be limited")
    monkeypatch.setattr(live.texture, "is_software", lambda renderer: direct)
    side = 8192
    pixels = edges(16, 8)
    shown = picture(gl, pixels)
    large = np.zeros((side, side, 4), np.uint8)  # memory that is never touched
    # The texture fits only where it is the buffers that shall not.
    with (
        memory_left(large.nbytes // 2 if direct else large.nbytes * 2),
        pytest.raises(moderngl.Error, match="no memory for a" if direct else "no memory for pixel"),
    ):
        shown.upload(large, side, side)
    assert (shown.size, shown.uploads) == ((16, 8), 1)
    compositor = Compositor(gl, (16, 8))
    compositor.compose([Layer(shown)], Look())
    np.testing.assert_array_equal(compositor.read(), pixels)
    brighter = edges(16, 8) // 2
    shown.upload(brighter, 16, 8)
    compositor.compose([Layer(shown)], Look())
    np.testing.assert_array_equal(compositor.read()[..., :3], brighter[..., :3])


# Reference pictures: one look each, small enough to be looked at as files.


def scenes(gl: moderngl.Context) -> dict[str, Pixels]:
    square, wide = edges(32, 32), gradients(64, 36)
    size = (160, 90)
    return {
        "contain": composed(gl, size, Look("contain"), square),
        "cover": composed(gl, size, Look("cover"), zone_plate(32, 32)),
        "mirror": composed(gl, size, Look("mirror"), square),
        "portrait": composed(gl, (90, 160), Look("mirror"), square),
        "reduced": composed(gl, size, Look("contain"), zone_plate(256, 256)),
        "faded": composed(gl, size, Look("contain", master=0.4), wide),
        "mixed": composed(gl, size, Look("contain"), (wide, 0.57), (square, 0.43)),
    }


def test_the_reference_pictures_are_met(gl: moderngl.Context) -> None:
    """Within 2/255 in the worst pixel and 0.1/255 on average: room for another driver's floats."""
    for name, got in scenes(gl).items():
        want = np.asarray(Image.open(REFERENCES / f"{name}.png").convert("RGB"))
        off = difference(got, want)
        assert off.max() <= 2, name
        assert off.mean() <= 0.1, name


def make_references() -> None:
    for name, pixels in scenes(moderngl.create_context(standalone=True, backend="egl")).items():
        Image.fromarray(pixels).convert("RGB").save(REFERENCES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    make_references()
