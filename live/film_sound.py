"""The sound of a film: samples become packets of its sound stream, each in its place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

_BIT_RATE = 192_000  # of AAC
_LAYOUTS = {1: "mono", 2: "stereo", 4: "4.0", 6: "5.1", 8: "7.1"}
# 24 bits lie at the top of the 32 that FFmpeg is given for them.
_FULL_SCALE = (1 << 23) - 1


@dataclass(frozen=True, slots=True)
class Sound:
    """What the sound of a film is."""

    rate: int  # samples a second
    channels: int  # 1, 2, 4, 6 or 8


class SoundStream:
    """The sound stream of an output file, made before the file's header is written.

    codec: "aac", "flac" or "pcm_s24le". Raises ValueError for a number of channels that no layout
    is known for, and what FFmpeg raises.
    """

    def __init__(self, container: OutputContainer, codec: str, sound: Sound) -> None:
        if sound.channels not in _LAYOUTS:
            raise ValueError(f"no sound of {sound.channels} channels can be written")
        self._container = container
        self.rate = sound.rate
        self._layout = _LAYOUTS[sound.channels]
        self._channels = sound.channels
        self._next = 0  # the number of the next sample
        stream = container.add_stream(codec, rate=sound.rate, layout=self._layout)
        assert isinstance(stream, AudioStream)
        self._stream = stream
        coder = stream.codec_context
        self._planar = codec == "aac"
        coder.format = "fltp" if self._planar else "s32"
        if self._planar:
            coder.bit_rate = _BIT_RATE
        coder.time_base = Fraction(1, sound.rate)
        # AAC begins with 1024 samples of nothing before the sound. Matroska says so, and players
        # leave them out. A fragmented mp4 cannot: FFmpeg would put all the sound 21 ms late, and
        # lengthen the first picture. Without that packet the sound lies where it belongs, its
        # first 21 ms faded in.
        self._unprimed = container.format.name in ("mp4", "mov")

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples, [n, channels] in -1..1; what is beyond is clipped, NaN is silence.

        Raises ValueError if the channels are others, and what FFmpeg and the disk raise.
        """
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise ValueError(f"a sound of {self._channels} channels got samples {samples.shape}")
        if not len(samples):
            return
        heard = np.clip(np.nan_to_num(samples), -1.0, 1.0)
        if self._planar:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(heard.T, np.float32), "fltp", self._layout
            )
        else:
            whole = np.rint(heard.astype(np.float64) * _FULL_SCALE).astype(np.int32) << 8
            frame = av.AudioFrame.from_ndarray(whole.reshape(1, -1), "s32", self._layout)
        frame.sample_rate = self.rate
        frame.time_base = Fraction(1, self.rate)
        frame.pts = self._next
        self._next += len(samples)
        self._mux(frame)

    def close(self) -> None:
        """Have the encoder write what it holds. A stream of no sound gets a moment of silence."""
        if not self._next:  # a stream without a packet is a file that some players refuse
            self.write(np.zeros((1024, self._channels), np.float32))
        self._mux(None)

    def _mux(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            if not (self._unprimed and packet.pts is not None and packet.pts < 0):
                self._container.mux(packet)
