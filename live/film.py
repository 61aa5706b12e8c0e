"""A film: pictures, and sound, into a file of any codec, each in its place.

    film = Film(path, Format("h264", "420"), (1280, 720), Fraction(30), sound=Sound(48000, 2))
    for index, rgba in enumerate(pictures):
        film.write(index, rgba)
        film.hear(samples)
    film.close()

mp4 and mov are written in fragments, mkv in clusters, of half a second: whatever kills the
process, all that lies before can be played. Pictures of a folder are there one by one.
"""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engine.errors import UserError
from live.codecs import Effort, Encoder, Format, can_sound, encoders, even, pixel_format
from live.film_sound import Sound, SoundStream
from live.priorities import ordinary

_log = logging.getLogger(__name__)

# What FFmpeg and the disk may raise: EINVAL is a ValueError in PyAV, ENOMEM a MemoryError.
ERRORS = (OSError, ValueError, MemoryError, av.error.FFmpegError)

_FRAGMENT_US = 500_000
# empty_moov: without it nothing is written while one of picture and sound has not begun.
# The second, for an FFmpeg that does not know the first (before 7.1), stays fragmented at the end.
_MOVFLAGS = ("hybrid_fragmented+empty_moov", "frag_keyframe+empty_moov+default_base_moof")
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Each chroma sample the mean of its four pixels, from full-resolution input. Measured against the
# formula of BT.709: luma and chroma exact but for rounding, and 1 ms faster than the default;
# fast_bilinear is off by up to 7 levels in luma.
_SCALING = int(Interpolation.AREA | Interpolation.FULL_CHR_H_INP)
# Two threads are no faster for 1280x720, and where one's rows begin they spoil each other's: of
# pictures 66 pixels wide, one in eight came to ProRes with eight wrong samples of chroma.
_THREADS = 1
_RGB = 0  # FFmpeg's AVCOL_SPC_RGB: no matrix


class Film:
    """A film of a constant frame rate; it reads no clock.

    path: the file, or for "png" the folder, which is there; what the file held is lost. size:
    width and height of the pictures in pixels; `self.size` is that of the file, whose odd sides
    repeat their last row or column where the chroma needs it. rate: frames a second. first: the
    number of a folder's first picture. nvenc: encode on the graphics card where that opens, else
    say so in the log and take the CPU. Colours are BT.709 in limited range, or sRGB.

    The encoder is opened and the header written at once. Raises UserError, one line, where that
    cannot be; the other methods raise one of ERRORS.
    """

    def __init__(
        self,
        path: Path,
        format: Format,
        size: tuple[int, int],
        rate: Fraction,
        *,
        effort: Effort = "live",
        sound: Sound | None = None,
        nvenc: bool = False,
        first: int = 0,
    ) -> None:
        self.path = path
        self.size = even(size, format)
        self.frames = 0  # in the file by now
        self._format = format
        self._rate = rate
        self._reformatter = VideoReformatter()
        self._last: av.VideoFrame | None = None
        width, height = self.size
        self._room = None if self.size == size else np.empty((height, width, 4), np.uint8)
        if sound is not None and not can_sound(format):
            raise UserError(f"cannot record to {path}: a folder of pictures has no sound")
        try:
            encoder = self._chosen(encoders(format, effort, nvenc=nvenc))
            self.encoder = encoder.name
            self._open(encoder, sound, first)
        except ERRORS as error:
            raise UserError(f"cannot record to {path}: {reason(error)}") from error

    def write(self, index: int, rgba: NDArray[np.uint8]) -> int:
        """Write a picture, uint8 [height, width, 4], at its index >= frames; return the gap.

        The frames of the gap repeat the last picture, or if there is none yet, show this one.
        Raises ValueError if the index lies in the film already.
        """
        if index < self.frames:
            raise ValueError(f"frame {index} is in the film already")
        gap = index - self.frames
        picture = self._converted(rgba)
        if self._last is None:
            self._last = picture
        for _ in range(gap):
            self.repeat()
        self._last = picture
        self.repeat()
        return gap

    def repeat(self) -> None:
        """Write the last picture once more. Raises ValueError if there is none."""
        if self._last is None:
            raise ValueError("a film without a picture has none to repeat")
        self._encode(self._last)
        self.frames += 1

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Append sound, [n, channels] in -1..1: sample i, counted from 0, is heard at i / rate.

        Raises ValueError if the film was made without sound.
        """
        if self._sound is None:
            raise ValueError("a film without sound heard some")
        self._sound.write(samples)

    def close(self) -> None:
        """Flush the encoders and complete the file; of a film without pictures nothing is left."""
        try:
            if self._last is None and can_sound(self._format):
                # FFmpeg 8.0 ends a hybrid file without a packet with a segmentation fault.
                self._encode(av.VideoFrame(*self.size, pixel_format(self._format)))
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.close()
        finally:
            self._container.close()

    def _encode(self, frame: av.VideoFrame) -> None:
        frame.pts = self.frames
        frame.time_base = 1 / self._rate
        self._container.mux(self._stream.encode(frame))

    def _converted(self, rgba: NDArray[np.uint8]) -> av.VideoFrame:
        """The picture as the encoder takes it: a frame of its own, `rgba` is not kept."""
        if self._room is not None:
            rgba = _padded(self._room, rgba)
        rgb = self._format.chroma == "rgb"
        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(rgba, "rgba"),
            format=pixel_format(self._format),
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if rgb else ColorRange.MPEG,
            interpolation=_SCALING,
            threads=_THREADS,
        )
        # ProRes and PNG say of colours what their frames say.
        frame.color_primaries = ColorPrimaries.BT709
        frame.color_trc = ColorTrc.IEC61966_2_1 if rgb else ColorTrc.BT709
        if rgb:
            frame.colorspace = _RGB
        return frame

    def _chosen(self, candidates: list[Encoder]) -> Encoder:
        """The first encoder that opens; of those on a graphics card that is tried beforehand."""
        for encoder in candidates:
            if not encoder.hardware:
                return encoder
            try:
                coder = av.CodecContext.create(encoder.name, "w")
                assert isinstance(coder, VideoCodecContext)
                coder.options = dict(encoder.options)
                self._set(coder)
                coder.open()
            except ERRORS as error:
                why = reason(error)
                _log.warning(
                    "%s: %s does not open here (%s), the CPU encodes", self.path, encoder.name, why
                )
                continue
            return encoder
        raise AssertionError("the last encoder is on the CPU")

    def _open(self, encoder: Encoder, sound: Sound | None, first: int) -> None:
        """Open the encoders and write the file's header, so that what is wrong is known at once."""
        if encoder.name == "libsvtav1":  # it prints its settings onto the operator's terminal
            os.environ.setdefault("SVT_LOG", "1")
        variants = list(_muxer_options(self.path, first))
        for options in variants:
            try:
                with ordinary():
                    self._start(encoder, sound, options)
                return
            except av.error.FFmpegError:
                if options is variants[-1]:
                    raise

    def _start(self, encoder: Encoder, sound: Sound | None, options: dict[str, str]) -> None:
        container = opened(self.path, options)
        try:
            stream = container.add_stream(
                encoder.name, rate=self._rate, options=dict(encoder.options)
            )
            assert isinstance(stream, VideoStream)
            self._set(stream.codec_context)
            tag = video_tag(self._format.codec, self.path)
            if tag is not None:
                stream.codec_context.codec_tag = tag
            self._sound = None
            if sound is not None:
                self._sound = SoundStream(container, sound_codec(self._format.codec), sound)
            container.start_encoding()
        except Exception:
            container.close()
            raise
        self._container, self._stream = container, stream

    def _set(self, coder: VideoCodecContext) -> None:
        """Set what all encoders have in common."""
        coder.width, coder.height = self.size
        coder.pix_fmt = pixel_format(self._format)
        coder.time_base = 1 / self._rate
        coder.framerate = self._rate
        every_frame = self._format.codec == "ffv1"  # FFV1's only key frames are whole ones
        coder.gop_size = 1 if every_frame else max(1, round(self._rate))  # a key frame a second
        coder.max_b_frames = 0
        rgb = self._format.chroma == "rgb"
        coder.colorspace = _RGB if rgb else Colorspace.ITU709
        coder.color_range = ColorRange.JPEG if rgb else ColorRange.MPEG
        coder.color_primaries = ColorPrimaries.BT709
        coder.color_trc = ColorTrc.IEC61966_2_1 if rgb else ColorTrc.BT709


def opened(path: Path, options: dict[str, str]) -> OutputContainer:
    """Open a file, or with no suffix a folder of pictures, for writing. Raises one of ERRORS."""
    # "file:", because a name like "take 1: roses.mp4" is else one of a protocol.
    if path.suffix:
        name, kind = f"file:{path}", _CONTAINERS[path.suffix.lower()]
    else:
        name, kind = f"file:{str(path).replace('%', '%%')}/%06d.png", "image2"
    return av.open(name, "w", format=kind, container_options=options)


def video_tag(codec: str, path: Path) -> str | None:
    """The name that a codec's packets need in that file, where FFmpeg takes another by itself."""
    if codec == "hevc" and path.suffix.lower() in (".mp4", ".mov"):
        return "hvc1"  # QuickTime plays no other
    return None


def sound_codec(codec: str) -> str:
    """FFmpeg's name of the codec that sound has beside pictures of that one."""
    return {"ffv1": "flac", "prores": "pcm_s24le"}.get(codec, "aac")


def reason(error: Exception) -> str:
    """Return what the system says of an error, else what the library does: one line."""
    if isinstance(error, UnknownCodecError):
        return f"this PyAV is built without {error.args[0] if error.args else 'the encoder'}"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).splitlines()[0]


def _muxer_options(path: Path, first: int) -> list[dict[str, str]]:
    """The options of the muxer, best ones first, and others for an FFmpeg that refuses those."""
    if not path.suffix:
        # Written beside, then renamed: a kill leaves no half a picture.
        return [{"start_number": str(first), "atomic_writing": "1"}]
    # Pictures wait for no more than half a second for their sound.
    common = {"flush_packets": "1", "max_interleave_delta": str(_FRAGMENT_US)}
    if path.suffix.lower() == ".mkv":
        return [{**common, "cluster_time_limit": str(_FRAGMENT_US // 1000)}]
    common["frag_duration"] = str(_FRAGMENT_US)
    return [{**common, "movflags": movflags} for movflags in _MOVFLAGS]


def _padded(room: NDArray[np.uint8], rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy a picture into a larger one, whose last column and row repeat their neighbours."""
    height, width = rgba.shape[:2]
    room[:height, :width] = rgba
    room[:height, width:] = rgba[:, -1:]
    room[height:] = room[height - 1]
    return room
