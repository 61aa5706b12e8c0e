"""What a microphone hears, by sounddevice: the only importer of that, and only when asked for.

    microphone = Microphone.open(None)     # the system's default input
    microphone.listen(soundtrack.put)
    microphone.close()

PortAudio, which sounddevice stands on, calls back on a thread of its own. A thread of ours watches
that it goes on doing so, opens the device again when it does not, and closes it: a driver can hang
in any of that, and then neither the show nor its end waits for it.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from live.clock import Clock, WallClock

_log = logging.getLogger(__name__)

Hear = Callable[[NDArray[np.float32], int], None]
"""Given a block, float32 [n, channels], and the clock's ns at its first sample. The samples are the
device's own and change afterwards: copy what is to be kept."""

WATCH_S = 0.25
RETRY_S = 2.0
"""Between two attempts to open a device that was lost."""
SILENT_NS = 3_000_000_000
"""A device that has said nothing for so long is lost, even if PortAudio has not noticed."""
_CLOSE_S = 1.0
_MOST_RATE = 48_000  # more is no use in a film
_MOST_LATENCY_S = 2.0  # what a device says it needed; more is a mistake


class SoundInput(Protocol):
    """What the film's sound comes from."""

    rate: int  # samples a second, by the device's own clock
    channels: int  # 1 or 2
    name: str

    def listen(self, hear: Hear) -> None:
        """Begin to call `hear`, on another thread."""

    def close(self) -> None:
        """End that; returns within a second or so."""


@dataclass(frozen=True, slots=True)
class MicrophoneCounts:
    """What went wrong with the device."""

    overflows: int  # times that it dropped sound, because this machine was too slow
    lost: int  # times that it went away


class Microphone:
    """A sound device with one or two channels; `listen` opens it, `close` closes it."""

    def __init__(self, library: Any, wanted: str | None, clock: Clock) -> None:
        self._library = library
        self._wanted = _number_or_name(wanted)
        self._clock = clock
        found = library.query_devices(self._wanted, "input")
        self.name = str(found["name"])
        self.channels = min(2, int(found["max_input_channels"]))
        self.rate: int = min(_MOST_RATE, round(found["default_samplerate"]))
        self._hear: Hear | None = None
        self._stream: Any = None
        self._heard_ns = 0  # when the last block came
        self._overflows = self._lost = 0
        self._end = threading.Event()
        self._watcher: threading.Thread | None = None

    @classmethod
    def open(cls, name: str | None, clock: Clock | None = None) -> Microphone:
        """The input device of that number, or whose name contains `name`; None: the default one.

        clock: by which `hear` is told the time; `WallClock` if None. Raises UserError when there is
        no such device, or sounddevice or PortAudio is not installed.
        """
        library = _library()
        try:
            microphone = cls(library, name, clock or WallClock())
            library.check_input_settings(
                device=microphone._wanted,
                channels=microphone.channels,
                dtype="float32",
                samplerate=microphone.rate,
            )
        except (library.PortAudioError, ValueError) as error:
            which = "no sound input" if name is None else f"no sound input {name!r}"
            raise UserError(
                f"{which}: `python -m sounddevice` lists what there is ({_line(error)})"
            ) from error
        return microphone

    @property
    def counts(self) -> MicrophoneCounts:
        """What went wrong up to now."""
        return MicrophoneCounts(self._overflows, self._lost)

    def listen(self, hear: Hear) -> None:
        """Call `hear` for each block from now on; call once.

        Raises UserError if the device cannot be opened now. Should it go away later, that is
        logged, and it is tried again every 2 s.
        """
        self._hear = hear
        try:
            self._start()
        except (self._library.PortAudioError, ValueError) as error:
            raise UserError(f"{self.name} cannot be opened: {_line(error)}") from error
        self._watcher = threading.Thread(target=self._watch, name="microphone", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop listening; after a second the device is left to itself, if its driver hangs."""
        self._hear = None
        self._end.set()
        if self._watcher is None:
            return
        self._watcher.join(_CLOSE_S)
        if self._watcher.is_alive():
            _log.warning("%s does not close; it is left to itself", self.name)
            # At exit it would be waited for once more, without end.
            atexit.unregister(self._library._exit_handler)

    def _start(self) -> None:
        stream = self._library.InputStream(
            samplerate=self.rate,
            device=self._wanted,
            channels=self.channels,
            dtype="float32",
            callback=self._callback,
        )
        self._stream = stream
        self._heard_ns = self._clock.now()
        try:
            stream.start()
        except self._library.PortAudioError:
            self._stop()
            raise

    def _stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()  # both ignore errors
            stream.close()

    def _callback(self, samples: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Hand a block on; PortAudio's thread."""
        now = self._clock.now()
        stream, hear = self._stream, self._hear
        if stream is None or hear is None:
            return
        self._heard_ns = now
        self._overflows += bool(status.input_overflow)
        hear(samples, now - round(self._age(stream, frames, times) * 1e9))

    def _age(self, stream: Any, frames: int, times: Any) -> float:
        """Seconds since the first of `frames` samples was heard.

        PortAudio took currentTime before this thread was let into Python, which can be ms ago: the
        stream's time of now is better. Some devices say nothing useful of either, but no sample is
        from the future.
        """
        least = frames / self.rate
        try:
            now = stream.time
        except self._library.PortAudioError:
            now = times.currentTime
        for moment in (now, times.currentTime):
            age = float(moment) - float(times.inputBufferAdcTime)
            if times.inputBufferAdcTime > 0 and 0 <= age <= _MOST_LATENCY_S:
                return max(age, least)
        return least

    def _watch(self) -> None:
        """See to it that the device is heard, until close()."""
        overflowed = False
        while not self._end.wait(WATCH_S):
            if self._overflows and not overflowed:
                overflowed = True
                _log.warning("%s: sound was dropped, this machine is too slow", self.name)
            if not self._alive():
                self._lost += 1
                self._return()
        self._stop()

    def _alive(self) -> bool:
        try:
            active = self._stream.active
        except self._library.PortAudioError:
            return False
        return bool(active) and self._clock.now() - self._heard_ns < SILENT_NS

    def _return(self) -> None:
        """Open the device again, once it is there, or until close()."""
        _log.error("%s is lost, the show goes on without its sound until it is back", self.name)
        self._stop()
        while not self._end.wait(RETRY_S):
            # PortAudio knows the devices that were there when it began.
            with suppress(self._library.PortAudioError):  # it may have failed to begin again
                self._library._terminate()
            try:
                self._library._initialize()
                self._start()
            except (self._library.PortAudioError, ValueError) as error:
                _log.debug("%s: %s", self.name, _line(error))
            else:
                _log.warning("%s is back", self.name)
                return


def _library() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise UserError("--audio needs the extra: pip install 'anthesis[audio]'") from error
    except OSError as error:
        todo = "apt install libportaudio2" if sys.platform == "linux" else "install PortAudio"
        raise UserError(f"--audio needs PortAudio: {todo} ({_line(error)})") from error
    return sounddevice


def _number_or_name(wanted: str | None) -> int | str | None:
    return int(wanted) if wanted is not None and wanted.isdecimal() else wanted


def _line(error: Exception) -> str:
    """A PortAudioError's message, or a list of devices, in one line."""
    return " ".join(str(error).split())
