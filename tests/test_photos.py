"""Photos of every kind that people have: the colours they show, and what is said of bad ones."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, features

from engine.errors import UserError
from engine.photos import FORMATS, LARGE, MOST, SPARE, read_of_many, read_photo, reading

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)
LEAST = 16


def quarters(mode: str = "RGB", side: int = 32) -> Image.Image:
    """Red, green, blue and white, from the upper left on, as we read."""
    picture = Image.new("RGB", (side, side), WHITE)
    half = side // 2
    picture.paste(RED, (0, 0, half, half))
    picture.paste(GREEN, (half, 0, side, half))
    picture.paste(BLUE, (0, half, half, side))
    return picture.convert(mode)


def corners(picture: Image.Image) -> np.ndarray:
    """The colours near the four corners, [4, 3], as we read."""
    pixels = np.asarray(picture).astype(int)
    assert (picture.mode, pixels.shape[2]) == ("RGB", 3)
    down, across = pixels.shape[0] // 4, pixels.shape[1] // 4
    return pixels[[down, down, -down - 1, -down - 1], [across, -across - 1] * 2]


def assert_colours(picture: Image.Image, *colours: tuple[int, ...], within: int = 0) -> None:
    np.testing.assert_allclose(corners(picture), colours, rtol=0, atol=within)


def refusal(path: Path) -> str:
    """What is said of a photo that is refused: one line, beginning with its name."""
    with pytest.raises(UserError) as caught:
        read_photo(path, LEAST)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "ppm", "tga"])
def test_formats_that_lose_nothing(suffix: str, tmp_path: Path) -> None:
    quarters().save(tmp_path / f"photo.{suffix}")
    photo = read_photo(tmp_path / f"photo.{suffix}", LEAST)
    assert photo.size == (32, 32)
    assert_colours(photo, RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "mpo"])
def test_formats_that_lose_a_little(suffix: str, tmp_path: Path) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("Pillow's AVIF is not installed")
    more = {"save_all": True, "append_images": [Image.new("RGB", (32, 32))]}
    options = more if suffix == "mpo" else {}
    quarters().save(tmp_path / f"photo.{suffix}", quality=95, **options)
    assert_colours(
        read_photo(tmp_path / f"photo.{suffix}", LEAST), RED, GREEN, BLUE, WHITE, within=4
    )


def test_the_name_need_not_tell_the_format(tmp_path: Path) -> None:
    quarters().save(tmp_path / "photo.heic", "PNG")
    assert_colours(read_photo(tmp_path / "photo.heic", LEAST), RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("L", "jpg"), ("L", "tif"), ("P", "png"), ("P", "gif")]
)
def test_grey_and_palettes(mode: str, suffix: str, tmp_path: Path) -> None:
    if mode == "L":
        picture, grey = Image.new("L", (32, 32), 77), (77, 77, 77)
        expected = [grey] * 4
    else:
        picture = quarters().quantize(4, dither=Image.Dither.NONE)
        expected = [RED, GREEN, BLUE, WHITE]
    picture.save(tmp_path / f"photo.{suffix}")
    assert_colours(read_photo(tmp_path / f"photo.{suffix}", LEAST), *expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_one_bit(suffix: str, tmp_path: Path) -> None:
    picture = Image.new("1", (32, 32), 0)
    picture.paste(1, (16, 0, 32, 32))
    picture.save(tmp_path / f"photo.{suffix}")
    photo = read_photo(tmp_path / f"photo.{suffix}", LEAST)
    assert_colours(photo, BLACK, WHITE, BLACK, WHITE)


def test_cmyk_as_adobe_writes_it(tmp_path: Path) -> None:
    """JPEGs of CMYK hold it inverted, TIFFs do not."""
    for name in ("photo.jpg", "photo.tif"):
        quarters("CMYK").save(tmp_path / name, quality=95)
        photo = read_photo(tmp_path / name, LEAST)
        assert_colours(photo, RED, GREEN, BLUE, WHITE, within=4)


def test_lab(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    picture = ImageCms.profileToProfile(quarters(), srgb, lab, outputMode="LAB")
    picture.save(tmp_path / "photo.tif")
    # Of the purest colours 8 bits of L*a*b* tell the darkest channels badly.
    assert_colours(read_photo(tmp_path / "photo.tif", LEAST), RED, GREEN, BLUE, WHITE, within=24)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], bits: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """Rows without their filter byte."""
    step = max(len(rows) // size[1], 1)
    data = b"".join(b"\0" + rows[start : start + step] for start in range(0, len(rows), step))
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


LEVELS = np.array([[0, 0x4000], [0x8080, 0xFFFF]], ">u2")
AS_BYTES = [(0,) * 3, (0x40,) * 3, (0x80,) * 3, (255,) * 3]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_16_bits(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(LEVELS.astype(np.uint16)).save(path)
    assert_colours(read_photo(path, LEAST), *AS_BYTES)


def test_colours_of_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    colours = np.stack([LEVELS, LEVELS[::-1], LEVELS[:, ::-1]], axis=2)
    path.write_bytes(png((2, 2), 16, 2, colours.astype(">u2").tobytes()))
    expected = (colours.reshape(4, 3) >> 8).astype(int)
    assert_colours(read_photo(path, LEAST), *map(tuple, expected))


def tiff(bits: int, white_is: int, rows: bytes, size: tuple[int, int], *more: tuple) -> bytes:
    """Grey, one strip; more: further tags (number, type, count, value) as TIFF has them."""
    tags = [
        *((256, 3, 1, size[0]), (257, 3, 1, size[1]), (258, 3, 1, bits), (259, 3, 1, 1)),
        *((262, 3, 1, white_is), (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, size[1])),
        *((279, 4, 1, len(rows)), *more),
    ]
    rows += b"\0" * (len(rows) % 2)
    body = b"".join(
        struct.pack("<HHI", *tag[:3]) + struct.pack("<HH" if tag[1] == 3 else "<I", *value)
        for tag in sorted(tags)
        for value in [(tag[3], 0) if tag[1] == 3 else (tag[3],)]
    )
    return (
        b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + struct.pack("<H", len(tags)) + body
    ) + b"\0" * 4


def test_scans_in_which_white_is_zero(tmp_path: Path) -> None:
    (tmp_path / "scan.tif").write_bytes(tiff(16, 0, LEVELS.astype("<u2").tobytes(), (2, 2)))
    photo = read_photo(tmp_path / "scan.tif", LEAST)
    assert_colours(photo, *((255 - grey[0],) * 3 for grey in AS_BYTES))


def test_scans_of_12_bits(tmp_path: Path) -> None:
    rows = bytes([0x00, 0x04, 0x00, 0x80, 0x0F, 0xFF])  # 000 400, 800 FFF
    (tmp_path / "scan.tif").write_bytes(tiff(12, 1, rows, (2, 2)))
    assert_colours(read_photo(tmp_path / "scan.tif", LEAST), *AS_BYTES)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_what_is_transparent_is_white(suffix: str, tmp_path: Path) -> None:
    picture = quarters("RGBA")
    alpha = Image.new("L", (32, 32), 255)
    alpha.paste(0, (0, 0, 16, 16))
    alpha.paste(51, (16, 0, 32, 16))  # a fifth
    picture.putalpha(alpha)
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    picture.save(tmp_path / f"photo.{suffix}", **options)
    photo = read_photo(tmp_path / f"photo.{suffix}", LEAST)
    assert_colours(photo, WHITE, (204, 255, 204), BLUE, WHITE)


def test_grey_with_alpha(tmp_path: Path) -> None:
    picture = Image.new("LA", (32, 32), (100, 255))
    picture.paste((0, 0), (0, 0, 16, 16))
    picture.save(tmp_path / "photo.png")
    grey = (100, 100, 100)
    assert_colours(read_photo(tmp_path / "photo.png", LEAST), WHITE, grey, grey, grey)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palettes_with_a_transparent_colour(suffix: str, tmp_path: Path) -> None:
    picture = quarters().quantize(4, dither=Image.Dither.NONE)
    hidden = picture.getpixel((0, 0))
    picture.save(tmp_path / f"photo.{suffix}", transparency=hidden)
    assert_colours(read_photo(tmp_path / f"photo.{suffix}", LEAST), WHITE, GREEN, BLUE, WHITE)


def test_palettes_with_half_transparent_colours(tmp_path: Path) -> None:
    picture = quarters().quantize(4, dither=Image.Dither.NONE)
    alpha = bytearray([255] * 4)
    alpha[picture.getpixel((0, 0))] = 51
    picture.save(tmp_path / "photo.png", transparency=bytes(alpha))
    photo = read_photo(tmp_path / "photo.png", LEAST)
    assert_colours(photo, (255, 204, 204), GREEN, BLUE, WHITE)


@pytest.mark.parametrize(
    ("bits", "colour", "rows", "key", "expected"),
    [
        (8, 0, bytes([10, 20, 30, 40]), (10,), [WHITE, (20,) * 3, (30,) * 3, (40,) * 3]),
        (8, 2, bytes([9, 9, 9, 1, 2, 3] * 2), (9, 9, 9), [WHITE, (1, 2, 3)] * 2),
        (16, 0, LEVELS.tobytes(), (0x4000,), [BLACK, WHITE, (128,) * 3, WHITE]),
        (1, 0, bytes([0b01000000] * 2), (0,), [WHITE] * 4),
    ],
)
def test_pngs_with_a_transparent_colour(
    bits: int,
    colour: int,
    rows: bytes,
    key: tuple[int, ...],
    expected: list[tuple[int, ...]],
    tmp_path: Path,
) -> None:
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    (tmp_path / "photo.png").write_bytes(png((2, 2), bits, colour, rows, transparent))
    assert_colours(read_photo(tmp_path / "photo.png", LEAST), *expected)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_first_picture_of_an_animation(suffix: str, tmp_path: Path) -> None:
    others = [Image.new("RGB", (32, 32), colour) for colour in (BLACK, BLUE)]
    options = {"lossless": True} if suffix == "webp" else {}
    quarters().save(
        tmp_path / f"photo.{suffix}", save_all=True, append_images=others, duration=40, **options
    )
    photo = read_photo(tmp_path / f"photo.{suffix}", LEAST)
    assert_colours(photo, RED, GREEN, BLUE, WHITE)


# What a camera turned so stores, of the upright picture.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda upright: upright.transpose(Image.Transpose.ROTATE_180),
    4: lambda upright: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda upright: upright.transpose(Image.Transpose.TRANSPOSE),
    6: lambda upright: upright.transpose(Image.Transpose.ROTATE_90),
    7: lambda upright: upright.transpose(Image.Transpose.TRANSVERSE),
    8: lambda upright: upright.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_turned_as_its_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    upright = quarters().resize((64, 32), Image.Resampling.NEAREST)
    STORED[orientation](upright).save(path, exif=exif, quality=95)
    photo = read_photo(path, LEAST)
    assert photo.size == (64, 32)
    assert_colours(photo, RED, GREEN, BLUE, WHITE, within=8)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"nonsense"])
def test_broken_exif_turns_nothing(exif: bytes, tmp_path: Path) -> None:
    quarters().save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert_colours(read_photo(tmp_path / "photo.jpg", LEAST), RED, GREEN, BLUE, WHITE, within=4)


def swapped_profile() -> bytes:
    """sRGB's own, but its red and its blue change places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_is_followed(mode: str, tmp_path: Path) -> None:
    picture = quarters().quantize(4) if mode == "P" else quarters(mode)
    picture.save(tmp_path / "photo.png", icc_profile=swapped_profile())
    photo = read_photo(tmp_path / "photo.png", LEAST)
    assert_colours(photo, BLUE, GREEN, RED, WHITE, within=1)


def test_srgbs_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png", icc_profile=profile)
    assert np.abs(np.int16(read_photo(tmp_path / "photo.png", LEAST)) - pixels).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("profile", [b"broken", swapped_profile()[:200], b"\0" * 300, None])
def test_a_profile_that_cannot_be_followed_is_passed_over(
    mode: str, profile: bytes | None, tmp_path: Path
) -> None:
    if profile is None:  # whole, but of other colours than the picture's
        lab = ImageCms.createProfile("LAB")
        profile = ImageCms.ImageCmsProfile(lab).tobytes()
    quarters(mode).save(tmp_path / "photo.tif", icc_profile=profile)
    expected = corners(quarters(mode).convert("RGB"))
    assert_colours(read_photo(tmp_path / "photo.tif", LEAST), *map(tuple, expected))


def test_nothing_of_the_file_stays_with_the_photo(tmp_path: Path) -> None:
    """Saved, it would get the profile that it no longer has."""
    quarters().save(tmp_path / "photo.png", icc_profile=swapped_profile(), dpi=(72, 72))
    photo = read_photo(tmp_path / "photo.png", LEAST)
    assert photo.info == {}
    photo.save(tmp_path / "again.png")
    again = read_photo(tmp_path / "again.png", LEAST)
    assert_colours(again, *map(tuple, corners(photo)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
def test_a_single_pixel(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), WHITE).save(tmp_path / f"photo.{suffix}")
    photo = read_photo(tmp_path / f"photo.{suffix}", 1024)
    assert (photo.size, photo.getpixel((0, 0))) == ((1, 1), WHITE)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_huge_photo_comes_smaller(suffix: str, tmp_path: Path) -> None:
    size = (10_000, 7_000)
    assert size[0] * size[1] > LARGE
    Image.new("L", size, 77).save(tmp_path / f"photo.{suffix}", compress_level=1)
    assert read_photo(tmp_path / f"photo.{suffix}", 512).size == (5_000, 3_500)
    # Half of it would have too little for the network.
    assert SPARE * 1024 > 7_000 // 2
    assert read_photo(tmp_path / f"photo.{suffix}", 1024).size == size


def test_a_photo_beyond_pillows_bound_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarters().save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(tmp_path / "photo.png", LEAST).size == (32, 32)
    assert Image.MAX_IMAGE_PIXELS == 100


def settings_of_pillow() -> tuple[object, ...]:
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, Image.WARN_POSSIBLE_FORMATS


@pytest.mark.parametrize("side", [20_001, 30_000, 1_000_000])
def test_too_many_pixels(side: int, tmp_path: Path) -> None:
    """Their number is in the first bytes: nothing is decoded."""
    before = settings_of_pillow()
    (tmp_path / "photo.png").write_bytes(png((side, side), 8, 2, b""))
    assert side * side > MOST
    assert refusal(tmp_path / "photo.png") == "has more than 400 megapixels: export it smaller"
    assert settings_of_pillow() == before


def test_what_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "photo.png") == "there is no such photo"
    assert refusal(tmp_path) == "is a folder: name the photos in it"
    assert "cannot be read (File name too long)" in refusal(tmp_path / ("a" * 300))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name is POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refusal(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    quarters().save(tmp_path / "photo.png")
    (tmp_path / "photo.png").chmod(0)
    assert "cannot be read (Permission denied)" in refusal(tmp_path / "photo.png")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("photo.jpg", b"", "is empty"),
        ("photo.jpg", b"Dear diary,", "is none of the pictures that are read here"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("photo.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        ("photo.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a camera's raw picture"),
        ("photo.raf", b"FUJIFILMCCD-RAW 0201", "a camera's raw picture"),
        ("photo.psd", b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0\1\0\x08\0\3", "is none of"),
        ("photo.pdf", b"%PDF-1.7\n", "is none of"),
        ("photo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is none of"),
    ],
)
def test_what_is_no_picture_that_is_read(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    line = refusal(tmp_path / name)
    assert said in line
    assert line.endswith(": export it as JPEG or PNG")


@pytest.mark.parametrize(
    ("name", "more"), [("photo.nef", ()), ("photo.tif", [(50706, 4, 1, 0x0401)])]
)
def test_a_raw_pictures_thumbnail_is_not_taken_for_it(
    name: str, more: list[tuple], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(tiff(8, 1, bytes(4), (2, 2), *more))
    assert "a camera's raw picture" in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", ["eps", "ps", "png"])
def test_postscript_is_not_run(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would hand it to Ghostscript."""
    buffer = io.BytesIO()
    quarters().save(buffer, "EPS")
    (tmp_path / f"photo.{suffix}").write_bytes(buffer.getvalue())

    def run(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", run)
    assert "is none of" in refusal(tmp_path / f"photo.{suffix}")


@pytest.mark.parametrize("numbers", ["F", "I"])
def test_numbers_without_a_white(numbers: str, tmp_path: Path) -> None:
    Image.new(numbers, (4, 4), 1).save(tmp_path / "photo.tif")
    assert "32 bits" in refusal(tmp_path / "photo.tif")
    assert refusal(tmp_path / "photo.tif").endswith("export it with 8 or 16 bits")


ALL = {"JPEG": {}, "PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {}, "BMP": {}, "GIF": {}}


@pytest.mark.parametrize("kind", [*ALL, "PPM", "TGA"])
def test_cut_short(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("photo.tga" if kind == "TGA" else "photo")
    pixels = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **ALL.get(kind, {}))
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    before = settings_of_pillow()
    line = refusal(path)
    assert settings_of_pillow() == before
    if kind != "TIFF":  # its directory is at its end
        assert line.startswith("is damaged or cut short (")
        assert line.endswith("copy it once more, or export it as JPEG or PNG")


def whole_files() -> dict[str, bytes]:
    files = {}
    profile = swapped_profile()
    exif = Image.Exif()
    exif[274] = 6
    for kind, options in ALL.items():
        buffer = io.BytesIO()
        picture = quarters().quantize(4) if kind == "GIF" else quarters()
        more = {} if kind in ("BMP", "GIF") else {"exif": exif, "icc_profile": profile}
        picture.save(buffer, kind, **options, **more)
        files[kind] = buffer.getvalue()
    buffer = io.BytesIO()
    quarters().quantize(4).save(buffer, "PNG", transparency=b"\0\xff\x80")
    files["palette"] = buffer.getvalue()
    return files


WHOLE = whole_files()


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
def test_any_damage_is_survived_or_told(
    tmp_path_factory: pytest.TempPathFactory, kind: str, poked: list[tuple[float, int]], kept: float
) -> None:
    content = bytearray(WHOLE[kind])
    for place, value in poked:
        content[int(place * len(content))] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: max(int(2 * kept * len(content)), 1)])  # every other one is whole
    said = f"{path}: "
    try:
        assert read_photo(path, LEAST).mode == "RGB"
    except UserError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


def test_only_pictures_of_pixels_are_opened() -> None:
    assert not {"EPS", "PDF", "WMF", "PSD", "FITS", "HDF5", "GRIB", "BUFR"} & set(FORMATS)


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_of_many_photos_each_is_made_as_small_as_allowed(tmp_path, form):
    path = tmp_path / f"photo.{form}"
    quarters(side=1000).save(path)
    with reading():
        assert read_of_many(path, LEAST).size == (1000, 1000)
        small = read_of_many(path, LEAST, large=0)
        assert SPARE * LEAST <= small.width < 2 * SPARE * LEAST
        assert_colours(small, RED, GREEN, BLUE, WHITE, within=4)
        bytes_alone = io.BytesIO(path.read_bytes())
        named = read_of_many(Path("nowhere", path.name), LEAST, file=bytes_alone)
    assert named.size == (1000, 1000)
