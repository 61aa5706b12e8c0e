"""The codecs that a film may have: which file each lies in, and how its encoders are set.

Live, an encoder shares two cores with the engine and keeps no frame back, for a kill loses what
waits inside it: every live setting here has a latency of 0 frames, counted. CPU time a frame in
ms, Mbit/s at 30 frames a second and PSNR for 1280x720 on two cores, of moving fine texture:

    h264    5.6    13    44.4 dB   libx264 ultrafast, crf 18; 4:4:4 9.2 ms, 27 Mbit/s
    hevc    43    7.4    44.2      libx265 ultrafast, crf 18; superfast takes 87; 4:4:4 56 ms
    av1     23    6.5    45.0      SVT-AV1 preset 11 for real time, crf 24; preset 10 takes 30
    prores  17    110    47.8      constant quantiser 8; its rate control takes 126
    ffv1    43    350    exact
    png     36    417    exact     deflate level 1 on rows' differences; level 3 takes 55

Offline the same encoders take longer for better pictures (libx264 medium 65 ms, 46.8 dB; libx265
medium 204, 46.6; SVT-AV1 preset 6 58). Their groups of pictures are closed, without B-frames, so
that films can be joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from engine.errors import UserError

Effort = Literal["live", "offline"]
From: TypeAlias = Literal["program", "picture", "output"]
"""What is recorded of a show: the program picture before the output's corner pin, the same without
the overlay, or the output as the audience sees it."""
TAPS: tuple[From, ...] = get_args(From)


@dataclass(frozen=True, slots=True)
class Format:
    """What the pictures of a film are kept as."""

    codec: str  # a key of CODECS: "h264", "hevc", "av1", "prores", "ffv1", "png"
    chroma: str  # "420", "422", "444" or "rgb"


H264 = Format("h264", "420")


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg with its options, and whether it needs a graphics card."""

    name: str
    options: Mapping[str, str]
    hardware: bool = False


@dataclass(frozen=True, slots=True)
class Codec:
    """Where a codec is kept and what encodes it."""

    suffixes: tuple[str, ...]  # the first is the default; none: a folder of pictures
    pixels: Mapping[str, str]  # chroma to FFmpeg's pixel format; the first is the default
    live: Encoder
    offline: Encoder
    nvenc: str | None = None
    full_chroma: Mapping[str, str] = field(default_factory=dict)  # more options, for 4:4:4


# What x265 says goes past every log: a line for each file, onto the operator's terminal.
_X265 = "log-level=none:open-gop=0"
_FFV1 = Encoder("ffv1", {"level": "3", "slices": "4", "slicecrc": "1"})
_PNG = Encoder("png", {"compression_level": "1", "pred": "up"})
_PRORES = {"profile": "hq", "vendor": "apl0"}  # the vendor by which editors know Apple's own

CODECS: Mapping[str, Codec] = {
    "h264": Codec(
        (".mp4", ".mkv", ".mov"),
        {"420": "yuv420p", "444": "yuv444p"},
        Encoder("libx264", {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}),
        Encoder("libx264", {"preset": "medium", "crf": "14"}),
        nvenc="h264_nvenc",
        # x264 takes six steps of chroma back in 4:4:4, and colours are what that is chosen for.
        full_chroma={"chromaoffset": "-6"},
    ),
    "hevc": Codec(
        (".mp4", ".mkv", ".mov"),
        {"420": "yuv420p", "444": "yuv444p"},
        Encoder(
            "libx265",
            {"preset": "ultrafast", "tune": "zerolatency", "crf": "18", "x265-params": _X265},
        ),
        Encoder("libx265", {"preset": "medium", "crf": "16", "x265-params": _X265}),
        nvenc="hevc_nvenc",
    ),
    "av1": Codec(
        (".mp4", ".mkv"),
        {"420": "yuv420p"},
        Encoder(
            "libsvtav1",
            {"preset": "11", "crf": "24", "svtav1-params": "rtc=1:pred-struct=1:lookahead=0"},
        ),
        Encoder("libsvtav1", {"preset": "6", "crf": "18"}),
        nvenc="av1_nvenc",
    ),
    "prores": Codec(
        (".mov", ".mkv"),
        {"422": "yuv422p10le"},
        # 118 is FFmpeg's unit of a quantiser.
        Encoder("prores_ks", {**_PRORES, "flags": "+qscale", "global_quality": str(8 * 118)}),
        Encoder("prores_ks", _PRORES),
    ),
    "ffv1": Codec((".mkv",), {"rgb": "bgr0"}, _FFV1, _FFV1),
    "png": Codec((), {"rgb": "rgb24"}, _PNG, _PNG),
}

_BY_SUFFIX = {".mp4": "h264", ".mkv": "h264", ".mov": "prores"}
_SELECTABLE = ("420", "444")  # the chroma that somebody may ask for; the others are a codec's own
# Constant quality. With delay 0 NVENC hands out each frame at once, as a kill asks for.
_NVENC_LIVE = {"preset": "p4", "tune": "ll", "rc": "vbr", "cq": "19", "delay": "0"}
_NVENC_OFFLINE = {"preset": "p7", "tune": "hq", "rc": "vbr", "cq": "15"}


def format_for(path: Path, codec: str | None, chroma: str | None) -> tuple[Path, Format]:
    """The path with its suffix, and the format of the film there.

    codec: a key of CODECS; None takes what the suffix is known for, h264 without one. chroma:
    "420" or "444"; None takes the codec's own. Raises UserError, one line that names the path.
    """
    codec = codec or _BY_SUFFIX.get(path.suffix.lower(), "h264")
    if codec not in CODECS:
        raise _refused(path, f"there is no codec {codec}; take one of {', '.join(CODECS)}")
    pixels = CODECS[codec].pixels
    chosen = chroma or next(iter(pixels))
    if chroma is not None and (chroma not in _SELECTABLE or chroma not in pixels):
        choices = [name for name in pixels if name in _SELECTABLE]
        todo = f"take {' or '.join(choices)}" if choices else "leave it out"
        raise _refused(path, f"{codec} has no chroma {chroma}; {todo}")
    format = Format(codec, chosen)
    return suffixed(path, format), format


def suffixed(path: Path, format: Format) -> Path:
    """The path, with the codec's default suffix if it has none.

    Raises UserError, one line, if the codec is not kept in such a file.
    """
    suffixes = CODECS[format.codec].suffixes
    if not path.name:
        raise _refused(path, "is not the name of a file")
    if not suffixes and path.suffix:
        raise _refused(path, f"{format.codec} pictures go to a folder; name it without a suffix")
    if path.suffix.lower() in suffixes or not suffixes:
        return path
    if path.suffix:
        kinds = " or ".join(suffixes)
        raise _refused(path, f"{format.codec} is kept in {kinds}; name such a file")
    return path.with_name(path.name + suffixes[0])


def can_sound(format: Format) -> bool:
    """Whether a film of this format can have sound: a folder of pictures cannot."""
    return bool(CODECS[format.codec].suffixes)


def even(size: tuple[int, int], format: Format) -> tuple[int, int]:
    """The width and height in pixels that a file of pictures of `size` has.

    4:2:0 needs even sides and 4:2:2 an even width; 4:4:4 and RGB take any.
    """
    width, height = size
    return (
        width + width % 2 * (format.chroma in ("420", "422")),
        height + height % 2 * (format.chroma == "420"),
    )


def pixel_format(format: Format) -> str:
    """FFmpeg's name of the pixels that the encoder is given."""
    return CODECS[format.codec].pixels[format.chroma]


def encoders(format: Format, effort: Effort, *, nvenc: bool) -> list[Encoder]:
    """The encoders to try, the first that opens is to be taken; the last is on the CPU."""
    codec = CODECS[format.codec]
    on_cpu = codec.live if effort == "live" else codec.offline
    if format.chroma == "444":
        on_cpu = replace(on_cpu, options={**on_cpu.options, **codec.full_chroma})
    found = [on_cpu]
    if nvenc and codec.nvenc:
        options = _NVENC_LIVE if effort == "live" else _NVENC_OFFLINE
        found.insert(0, Encoder(codec.nvenc, options, hardware=True))
    return found


def _refused(path: Path, why: str) -> UserError:
    return UserError(f"cannot record to {path}: {why}")
