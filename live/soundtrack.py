"""The film's sound: blocks of a device with a clock of its own, put onto the timeline of the film.

    sound = Soundtrack(microphone.rate, microphone.channels)
    microphone.listen(sound.put)               # the device's thread
    sound.begin(first_picture_ns)
    while filming:
        encode(sound.take(picture_ns))         # the encoder's thread
    encode(sound.finish(last_picture_ns))

Sample i of the film is what was heard at origin + i / rate. A device is some 100 ppm off, which
would be a third of a second in an hour; the sound is stretched by as much, so slowly that no ear
can follow, and what the film has is always within 2 ms of its time, however long it runs.

The film gets the sound 0.4 s late. So long are the time stamps of a beginning, or of what comes
after a gap, gathered before it is decided where the sound belongs: one alone may be 10 ms off.
The film never waits longer than 0.5 s: what is not there by then is silence.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from live.heard import GATHERED_S, Heard, Samples
from live.interpolation import AFTER, BEFORE, interpolate
from live.sound_clock import MOST_DRIFT, SoundClock

_SECOND = 1_000_000_000
_GATHERED_NS = round(GATHERED_S * _SECOND)
_PATIENCE_NS = 500_000_000  # how far the film may be ahead of its sound
# Where the sound belongs is known ever better, and approached within 1 s as long as it is known
# within 1 ms, more slowly after that. A step of 1 ms at once would be a click; this way it is 1000
# ppm for a moment, a sixtieth of a semitone.
_ROUGHLY_S = 1e-3
_APPROACH_S = (1.0, 5.0)
_MOST_STRETCH = MOST_DRIFT + 100e-6
_LEAP_S = 0.030  # so far off is what no stretching follows: a leap, which is heard, but in time
_CHUNKS = 10  # a second: within one the stretching is constant


@dataclass(frozen=True, slots=True)
class SoundCounts:
    """What became of the sound."""

    filled_ms: int  # of the film, up to now, are silence because there was no sound for them
    lost_ms: int  # of sound came too late for the film, or nobody took them in time
    drift_ppm: float  # by which the device is faster than the show's clock; 0 before it is heard


class Soundtrack:
    """Sound on the timeline of a film, for one thread that puts and one that takes.

    rate: samples a second, of the device and of the film; channels: of both. It reads no clock. A
    call holds up the other thread for no longer than it takes to copy 0.1 s of sound.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate = rate
        self.channels = channels
        self._lock = threading.Lock()  # over the next three
        self._clock = SoundClock(rate)
        self._heard = Heard(rate, channels, self._clock)
        self._lost = 0
        # The encoder's thread's.
        self._origin_ns: int | None = None
        self._taken = 0  # samples of the film
        self._filled = 0
        self._place = 0.0  # where the film's next sample is among the device's
        self._at_rest = True  # the last chunk was silence: the place may jump

    @property
    def counts(self) -> SoundCounts:
        """What became of the sound up to now."""
        with self._lock:
            drift, lost = self._clock.drift, self._lost
        ms = 1000 / self.rate
        return SoundCounts(round(self._filled * ms), round(lost * ms), round(drift * 1e6, 1))

    def put(self, samples: Samples, at_ns: int) -> None:
        """Add a block, float32 [n, channels], whose first sample was heard at show time `at_ns`.

        The block is copied. `at_ns` may be 10 ms off, either way. Raises ValueError if the block
        has another number of channels.
        """
        if samples.ndim != 2 or samples.shape[1] != self.channels:
            raise ValueError(f"a soundtrack of {self.channels} channels got {samples.shape}")
        if not len(samples):
            return
        samples = samples.astype(np.float32)  # a copy
        with self._lock:
            lost = self._heard.add(samples, at_ns)
            if self._origin_ns is not None:
                self._lost += lost

    def begin(self, origin_ns: int) -> None:
        """The film's first picture is that of show time `origin_ns`; call once.

        Sound from before is dropped, except for the newest 10 s, if this is called late.
        """
        self._origin_ns = origin_ns

    def take(self, until_ns: int) -> Samples:
        """The film's next samples, float32 [n, channels]: what is known, up to `until_ns` at most.

        None before `begin`. Where there was no sound, there is silence.
        """
        if self._origin_ns is None:
            return self._silence(0)
        ready = until_ns - _PATIENCE_NS
        with self._lock:
            if self._clock.started:
                heard = int(self._clock.time_at(self._heard.end))
                ready = min(max(ready, heard - _GATHERED_NS), until_ns)
        return self._up_to((ready - self._origin_ns) * self.rate // _SECOND)

    def finish(self, until_ns: int) -> Samples:
        """The film's last samples, float32 [n, channels]: all up to `until_ns`, where it ends.

        The film then has exactly round((until_ns - origin) * rate / 1e9) samples, or as many as
        were taken, if that is more.
        """
        if self._origin_ns is None:
            return self._silence(0)
        return self._up_to(round((until_ns - self._origin_ns) * self.rate / _SECOND))

    def _up_to(self, end: int) -> Samples:
        chunk = max(1, self.rate // _CHUNKS)
        parts = [self._silence(0)]
        while self._taken < end:
            parts.append(self._next(min(chunk, end - self._taken)))
        return np.concatenate(parts)

    def _next(self, count: int) -> Samples:
        """So many samples of the film, all of them stretched alike."""
        assert self._origin_ns is not None
        with self._lock:
            if not self._clock.started:
                self._taken += count
                self._filled += count
                return self._silence(count)
            step = self._approach(self._origin_ns + self._taken * _SECOND / self.rate)
            whole = math.floor(self._place)
            most = math.ceil(step * count) + 1  # one more than rounding can ask for
            window, heard = self._heard.read(whole - BEFORE, whole + most + AFTER)
        result = interpolate(window, BEFORE + self._place - whole, step, count)
        self._at_rest = not heard.any()
        self._filled += count - int(np.count_nonzero(heard[BEFORE : BEFORE + count]))
        self._place += step * count
        self._taken += count
        with self._lock:
            self._heard.drop(math.floor(self._place) - BEFORE)
        return result

    def _approach(self, ns: float) -> float:
        """How many of the device's samples make one of the film's, from show time `ns` on."""
        place = self._clock.index_at(ns)
        if self._at_rest or abs(place - self._place) > _LEAP_S * self.rate:
            self._place = place
        least, most = _APPROACH_S
        seconds = min(max(_ROUGHLY_S / self._clock.uncertainty, least), most)
        stretch = self._clock.drift + (place - self._place) / (self.rate * seconds)
        return 1 + min(max(stretch, -_MOST_STRETCH), _MOST_STRETCH)

    def _silence(self, count: int) -> Samples:
        return np.zeros((count, self.channels), np.float32)
