"""Photos read from disk, whatever made them: upright, RGB, in sRGB.

Only raster formats whose decoders are compiled into Pillow are opened: nothing in a file is
executed, and no other program is started for one (Pillow hands PostScript to Ghostscript).
"""

from __future__ import annotations

import io
import math
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from engine.errors import UserError

MOST = 400_000_000
"""Pixels of the largest photo that is read; the largest sensors of phones have 200 million."""

LARGE = 64_000_000
"""Pixels that are kept of any photo: 256 MB in Pillow, which gives every pixel four bytes. Larger
ones are made smaller, but keep what a small face in them needs."""

SPARE = 4
"""The short side of a photo that was made smaller is at least this many times the network's."""

FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "BMP", "GIF", "PPM")
_UNSIGNED = {".tga": "TGA"}
# TGA has nothing at its beginning to know it by: where it is tried on any file, it finds pictures
# in what is none.

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# Most raw files are TIFFs whose first picture is a thumbnail.
_RAW = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf"),
    *(".srw", ".x3f"),
}
_DNG_VERSION = 50706

# What Pillow's decoders raise for damaged files, besides what they say they raise.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_ONE_READER = threading.Lock()  # Pillow's bound is one for the process


def read_photo(path: Path, least: int) -> Image.Image:
    """The photo, RGB, turned as its EXIF says, in sRGB, on white where it is transparent.

    least: pixels along a side of the network's picture. A photo of more than LARGE pixels comes
        smaller by a whole number, its short side being SPARE times that at least.

    16 bits become 8; of an animation or several pages it is the first. Nothing of the file's own
    (EXIF, profile) is left with it. Raises UserError for what is not there, no picture, damaged,
    or of more than MOST pixels.
    """
    with reading():
        return read_of_many(path, least)


@contextmanager
def reading() -> Iterator[None]:
    """Inside, any number of threads may `read_of_many`; whoever else reads photos waits."""
    with _ONE_READER, _bounded():
        yield


def read_of_many(
    path: Path, least: int, large: int = LARGE, file: BinaryIO | None = None
) -> Image.Image:
    """As `read_photo`, inside `reading`.

    large: instead of LARGE. With 0 every picture comes as small as `least` allows, which for JPEGs
        takes a fraction of the time.
    file: the photo itself, if it is no file on disk: `path` is then what it is called.
    """
    if file is None:
        _check_place(path)
    try:
        with nullcontext(file) if file is not None else path.open("rb") as stream:
            return _flat(path, _decoded(path, stream, least, large))
    except MemoryError as error:
        raise UserError(f"{path}: there is not the memory to read it: export it smaller") from error
    except OSError as error:  # of the disk: Pillow's are translated
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_place(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such photo") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a folder: name the photos in it")
    if not stat.S_ISREG(mode):  # a pipe or a device, which may never end
        raise UserError(f"{path}: is no file: save the photo to disk first")


@contextmanager
def _bounded() -> Iterator[None]:
    """Inside, Pillow refuses pictures of more than MOST pixels, and warns of nothing.

    It warns of oddities, such as EXIF that ends too early, which keep no picture from being shown.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pillow itself warns at the bound, and refuses at twice the bound only.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decoded(path: Path, file: BinaryIO, least: int, large: int) -> Image.Image:
    """The first picture in the file, in a mode of its own, upright. Raises UserError."""
    with _damage_told(path, file):
        picture = _opened(path, file)
    factor = _factor(picture, least, large)
    with _damage_told(path, file):
        if factor > 1:  # decoding a JPEG to 1/2, 1/4 or 1/8 takes a fraction of time and memory
            picture.draft(picture.mode, (picture.width // factor, picture.height // factor))
        picture.load()
    return _upright(_reduced(picture, least, large))


@contextmanager
def _damage_told(path: Path, file: BinaryIO) -> Iterator[None]:
    """Inside, nothing but Pillow is called: what it raises becomes a UserError."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: {_strange(path, file)}: export it as JPEG or PNG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{path}: has more than {MOST // 1_000_000} megapixels: export it smaller"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(
            f"{path}: is damaged or cut short ({reason}): copy it once more, or export it as JPEG "
            "or PNG"
        ) from error


def _opened(path: Path, file: BinaryIO) -> Image.Image:
    """Its size is known, its pixels are not read yet. Raises what Pillow does."""
    Image.init()
    wanted = (*FORMATS, _UNSIGNED.get(path.suffix.lower(), ""))
    picture = Image.open(file, formats=[name for name in wanted if name in Image.OPEN])
    if picture.format == "TIFF" and (_is_raw(path) or _DNG_VERSION in _tags(picture)):
        raise UnidentifiedImageError
    return picture


def _is_raw(path: Path) -> bool:
    return path.suffix.lower() in _RAW


def _tags(picture: Image.Image) -> dict[int, object]:
    """A TIFF's own."""
    return dict(getattr(picture, "tag_v2", {}))


def _strange(path: Path, file: BinaryIO) -> str:
    """What a file is whose format is not read."""
    file.seek(0)
    head = file.read(64)
    if not head:
        return "is empty"
    kind = head[8:12] if head[4:8] == b"ftyp" else b""
    if kind in _HEIC:
        return "is a HEIC picture, which is not read here"
    if _is_raw(path) or kind == b"crx " or head.startswith((b"II*\0", b"MM\0*")):
        return "is a camera's raw picture, or a TIFF of a kind that is not read here"
    return f"is none of the pictures that are read here ({', '.join(FORMATS)}, TGA)"


def _factor(picture: Image.Image, least: int, large: int) -> int:
    """By what whole number the picture may and should be made smaller."""
    wanted = math.ceil(math.sqrt(picture.width * picture.height / max(large, 1)))
    allowed = min(picture.size) // (SPARE * least)
    return max(min(wanted, allowed), 1)


def _reduced(picture: Image.Image, least: int, large: int) -> Image.Image:
    """Smaller if it is too large; pictures of palettes and such, of a byte a pixel, as they are."""
    factor = _factor(picture, least, large)
    if factor <= 1 or picture.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return picture
    return picture.reduce(factor)


def _upright(picture: Image.Image) -> Image.Image:
    with suppress(*_DAMAGE):  # EXIF that says nothing: the picture is as it is stored
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _flat(path: Path, picture: Image.Image) -> Image.Image:
    """RGB, in sRGB, on white, free of what the file said. Raises UserError."""
    colours, alpha = _separated(path, picture)
    colours = _in_srgb(colours, picture.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", picture.size, "white")
        white.paste(colours, mask=alpha)
        colours = white
    colours.info = {}  # a profile would be saved with it, and be wrong
    return colours


def _separated(path: Path, picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours (L, RGB, CMYK or LAB) and what hides them (L). Raises UserError."""
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        return _eight_bits(picture)
    if mode in ("I", "F"):
        raise UserError(
            f"{path}: holds numbers of 32 bits, which do not say what white is: export it with 8 "
            "or 16 bits"
        )
    if mode in ("LA", "La"):
        grey = picture.convert("LA")
        return grey.getchannel("L"), grey.getchannel("A")
    if picture.has_transparency_data:
        full = picture.convert("RGBA")
        return full.convert("RGB"), full.getchannel("A")
    return (picture if mode in ("L", "CMYK", "LAB") else picture.convert("RGB")), None


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 9 to 16 bits, and what hides it; the upper eight, as Pillow does for colours."""
    levels = np.asarray(picture)
    tags = _tags(picture)
    bits = tags.get(ExifTags.Base.BitsPerSample)
    used = bits[0] if isinstance(bits, tuple) and bits else 16
    grey = np.clip(levels >> (used - 8), 0, 255).astype(np.uint8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # white is 0
        grey = 255 - grey
    hidden = picture.info.get("transparency")
    if not isinstance(hidden, int):
        return Image.fromarray(grey), None
    return Image.fromarray(grey), Image.fromarray(np.where(levels == hidden, 0, 255).astype("u1"))


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, always a new picture.

    A profile that is broken, or for other colours than the picture's, is passed over, as browsers
    do: the picture can be seen, and sRGB is what most without a profile are.
    """
    with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
        if picture.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            picture.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return transform.apply(picture)
    return picture.convert("RGB")
