"""The film's sound: in time for hours, whatever the device's clock does; and the microphone."""

import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import live.microphone
from engine.errors import UserError
from live.clock import FakeClock
from live.fake_microphone import FakeMicrophone, tone
from live.heard import KEPT_S, Samples
from live.interpolation import AFTER, BEFORE, interpolate
from live.microphone import Microphone, SoundInput
from live.soundtrack import Soundtrack

S, MS = 1_000_000_000, 1_000_000


def film(
    microphone: FakeMicrophone,
    seconds: float,
    origin: int = 0,
    every: int = 100 * MS,
    hear: Callable[[Soundtrack, Samples, int], None] = Soundtrack.put,
    each: Callable[[Soundtrack, int, int], None] = lambda sound, behind, now: None,
) -> tuple[Samples, Soundtrack]:
    """The sound of a film, taken while it is made; `each` is told by how much it is behind."""
    sound = Soundtrack(microphone.rate, microphone.channels)
    microphone.listen(lambda samples, at: hear(sound, samples, at))
    sound.begin(origin)
    parts, end = [], origin + round(seconds * S)
    for now in range(origin + every, end, every):
        microphone.advance(now)
        parts.append(sound.take(now))
        taken = sum(map(len, parts)) if every >= 100 * MS and seconds < 100 else 0
        each(sound, now - origin - taken * S // sound.rate, now)
    microphone.advance(end)
    parts.append(sound.finish(end))
    return np.concatenate(parts), sound


def clicks_off(sound: Samples, rate: int, origin: int = 0) -> dict[int, float]:
    """By show time in s, how many ms too late its click is in the film; without what is missing."""
    around, found = rate // 8, {}
    first = origin // S + 1
    for second in range(first, first + len(sound) // rate):
        middle = (second * S - origin) * rate // S
        if not around <= middle < len(sound) - around:
            continue
        window = np.clip(sound[middle - around : middle + around, 0].astype(float), 0, None)
        window[window < 0.05] = 0
        if window.max() > 0.3:
            true = (second * S - origin) * rate / S
            at = (window * np.arange(len(window))).sum() / window.sum() + middle - around
            found[second] = (at - true) * 1000 / rate
    return found


def drifting(ppm: float = 100, **more: Any) -> FakeMicrophone:
    return FakeMicrophone(8000, drift_ppm=ppm, jitter_ns=10 * MS, block=80, **more)


# The film's time


@pytest.mark.parametrize("ppm", [100, -100])
def test_in_half_an_hour_each_click_is_within_2_ms_of_its_time(ppm):
    most = 0

    def watch(sound: Soundtrack, behind: int, now: int) -> None:
        nonlocal most
        most = max(most, sum(len(block) for *_, block in sound._heard._placed))

    microphone = FakeMicrophone(8000, drift_ppm=ppm, jitter_ns=10 * MS, block=160)
    heard, sound = film(microphone, 1800, every=500 * MS, each=watch)
    off = clicks_off(heard, 8000)
    assert len(heard) == 1800 * 8000
    assert list(off) == list(range(1, 1800))
    assert max(map(abs, off.values())) < 2
    assert max(abs(off[second]) for second in range(60, 1800)) < 0.5
    assert sound.counts.drift_ppm == pytest.approx(ppm, abs=5)
    assert most < 1.2 * 8000


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ppm", [500, -500])
def test_a_device_that_is_far_off_is_followed_from_its_first_second(ppm, seed):
    heard, _ = film(drifting(ppm, seed=seed), 40)
    off = clicks_off(heard, 8000)
    assert list(off) == list(range(1, 40))
    assert max(map(abs, off.values())) < 2


def test_a_broken_device_is_off_by_little_more_than_a_picture():
    heard, _ = film(drifting(2000), 60)
    off = clicks_off(heard, 8000)
    assert len(off) > 55
    assert max(map(abs, off.values())) < 50


def test_the_film_is_never_more_than_half_a_second_ahead_of_its_sound():
    behind: list[int] = []
    film(drifting(), 10, each=lambda sound, lag, now: behind.append(lag))
    assert max(behind) <= S // 2 + MS


def test_sound_from_before_the_film_is_dropped():
    microphone = drifting()
    sound = Soundtrack(8000, 1)
    microphone.listen(sound.put)
    microphone.advance(4 * S)
    assert not len(sound.take(4 * S))
    origin = 2_345_678_901
    sound.begin(origin)
    parts = [sound.take(4 * S)]
    for now in range(4 * S, 10 * S, 33 * MS):
        microphone.advance(now)
        parts.append(sound.take(now))
    parts.append(sound.finish(10 * S))
    off = clicks_off(np.concatenate(parts), 8000, origin)
    assert list(off) == list(range(3, 10))
    assert max(map(abs, off.values())) < 2
    assert sound.counts.lost_ms == 0


def test_a_film_that_begins_after_the_first_block_leaves_out_what_was_before():
    heard, _ = film(drifting(), 8, origin=1_200 * MS)
    off = clicks_off(heard, 8000, 1_200 * MS)
    assert list(off) == list(range(2, 10))[: len(off)]
    assert len(off) >= 7
    assert max(map(abs, off.values())) < 2


def test_sound_that_begins_late_is_silence_until_then():
    heard, sound = film(drifting(starts_ns=3_300 * MS), 12)
    off = clicks_off(heard, 8000)
    assert list(off) == list(range(4, 12))
    assert max(map(abs, off.values())) < 2
    assert not heard[: 3 * 8000].any()
    assert sound.counts.filled_ms == pytest.approx(3_300, abs=15)


def test_sound_that_begins_just_after_the_film_is_in_time_at_once():
    heard, _ = film(drifting(starts_ns=20 * MS), 5)
    assert max(map(abs, clicks_off(heard, 8000).values())) < 2


def test_without_any_sound_the_film_is_silent_and_as_long():
    sound = Soundtrack(8000, 2)
    sound.begin(S)
    assert len(sound.take(3 * S)) == 1.5 * 8000
    assert sound.finish(3 * S).shape == (4000, 2)
    assert sound.counts.filled_ms == 2000
    assert sound.counts.drift_ppm == 0


@settings(max_examples=60)
@given(
    st.sampled_from([8000, 44_100, 48_000]),
    st.integers(-(10**12), 10**12),
    st.lists(st.integers(0, 400 * MS), max_size=8),
    st.lists(st.tuples(st.integers(1, 2000), st.integers(-S, S)), max_size=12),
)
def test_the_film_has_exactly_its_samples_whatever_comes(rate, origin, takes, puts):
    sound = Soundtrack(rate, 1)
    sound.begin(origin)
    length, now, at = 0, origin, origin
    for i in range(max(len(takes), len(puts))):
        if i < len(puts):
            count, off = puts[i]
            sound.put(np.ones((count, 1), np.float32), at + off)
            at += count * S // rate
        if i < len(takes):
            now += takes[i]
            length += len(sound.take(now))
            assert length <= (now - origin) * rate / S
    now += 777_777
    length += len(sound.finish(now))
    assert length == round((now - origin) * rate / S)
    assert not len(sound.finish(now))


# What goes wrong


@pytest.mark.parametrize("seed", range(3))
def test_lost_blocks_are_silence_for_just_as_long(seed):
    microphone = drifting(signal=tone(500), lost=[(5_200 * MS, 7_300 * MS)], seed=seed)
    heard, sound = film(microphone, 10)
    loud = np.flatnonzero(np.abs(heard[:, 0]) > 0.05) / 8000
    widest = np.argmax(np.diff(loud))
    # Blocks of 10 ms: those that begin before or at the time are there, and after it not.
    assert loud[widest] == pytest.approx(5.205, abs=0.008)
    assert loud[widest + 1] == pytest.approx(7.305, abs=0.008)
    assert sound.counts.filled_ms == pytest.approx(2_100, abs=14)
    assert sound.counts.lost_ms == 0


@pytest.mark.parametrize("lost", [20, 40, 60, 2100])
@pytest.mark.parametrize("seed", range(2))
def test_after_lost_blocks_the_sound_is_in_time(lost, seed):
    begin = 15_195 * MS
    heard, sound = film(drifting(lost=[(begin, begin + lost * MS)], seed=seed), 30)
    off = clicks_off(heard, 8000)
    assert set(range(1, 30)) - set(off) <= {16, 17}
    assert max(map(abs, off.values())) < 2
    assert sound.counts.filled_ms == pytest.approx(lost, abs=14)


@pytest.mark.parametrize("off", [400, -400, 60])
def test_mistaken_time_stamps_change_nothing(off):
    blocks = itertools.count()

    def hear(sound: Soundtrack, samples: Samples, at: int) -> None:
        block = next(blocks)
        mistaken = block % 50 == 7 or block in (555, 556, 557)
        sound.put(samples, at + (off * MS if mistaken else 0))

    heard, sound = film(drifting(), 15, hear=hear)
    off = clicks_off(heard, 8000)
    assert list(off) == list(range(1, 15))
    assert max(map(abs, off.values())) < 2
    assert sound.counts.filled_ms < 15


def test_a_stalled_device_leaves_silence_and_what_comes_late_is_dropped():
    behind: dict[int, int] = {}
    heard, sound = film(
        drifting(stalls=[(10 * S, 13 * S)]),
        20,
        each=lambda sound, lag, now: behind.update({now: lag}),
    )
    off = clicks_off(heard, 8000)
    # The film waits half a second: what was heard from 12.5 s on is still in time.
    assert list(off) == [*range(1, 10), *range(13, 20)]
    assert max(map(abs, off.values())) < 2
    assert max(behind.values()) <= S // 2 + MS
    assert sound.counts.filled_ms == pytest.approx(2_500, abs=20)
    assert sound.counts.lost_ms == pytest.approx(2_500, abs=20)


def test_a_device_that_stalls_for_less_than_half_a_second_loses_nothing():
    heard, sound = film(drifting(stalls=[(9_700 * MS, 10_100 * MS)]), 20)
    off = clicks_off(heard, 8000)
    assert list(off) == list(range(1, 20))
    assert sound.counts.filled_ms < 15
    assert sound.counts.lost_ms == 0


def test_if_nobody_takes_the_oldest_is_let_go():
    microphone = drifting()
    sound = Soundtrack(8000, 1)
    microphone.listen(sound.put)
    sound.begin(0)
    microphone.advance(35_500 * MS)
    assert sum(len(block) for *_, block in sound._heard._placed) <= KEPT_S * 8000
    heard = sound.finish(35_500 * MS)
    assert len(heard) == 35.5 * 8000
    assert not heard[: 25 * 8000].any()
    off = clicks_off(heard, 8000)
    assert list(off) == list(range(26, 36))
    assert max(map(abs, off.values())) < 2
    assert sound.counts.lost_ms == pytest.approx(25_500, abs=20)
    assert sound.counts.filled_ms == pytest.approx(25_500, abs=20)


def test_a_block_is_copied_and_one_of_another_shape_refused():
    sound = Soundtrack(8000, 1)
    sound.begin(0)
    block = np.full((800, 1), 0.5, np.float32)
    sound.put(block, 0)
    block[:] = 0
    assert sound.finish(50 * MS)[100:300] == pytest.approx(0.5, abs=1e-4)
    sound.put(np.zeros((0, 1), np.float32), 0)
    with pytest.raises(ValueError, match="1 channels got"):
        sound.put(np.zeros((10, 2), np.float32), 0)
    with pytest.raises(ValueError, match="1 channels got"):
        sound.put(np.zeros(10, np.float32), 0)


def test_one_thread_puts_while_another_takes():
    microphone = FakeMicrophone(8000, drift_ppm=100, block=80)
    sound = Soundtrack(8000, 1)
    microphone.listen(sound.put)
    sound.begin(0)
    heard_to = taken_to = 0

    def device() -> None:
        nonlocal heard_to
        for now in range(0, 60 * S + 1, 20 * MS):
            while now - taken_to > 5 * S:
                time.sleep(0)
            microphone.advance(now)
            heard_to = now

    thread = threading.Thread(target=device)
    thread.start()
    parts = []
    while thread.is_alive():
        now = heard_to
        parts.append(sound.take(now))
        taken_to = now
    thread.join()
    parts.append(sound.finish(60 * S))
    heard = np.concatenate(parts)
    off = clicks_off(heard, 8000)
    assert len(parts) > 10
    assert len(heard) == 60 * 8000
    assert list(off) == list(range(1, 60))
    assert max(map(abs, off.values())) < 2


# How it sounds


def power(sound: NDArray[Any], rate: int) -> tuple[NDArray[Any], NDArray[Any]]:
    window = np.blackman(len(sound))
    spectrum = np.abs(np.fft.rfft(sound * window)) ** 2
    return np.fft.rfftfreq(len(sound), 1 / rate), spectrum


@pytest.mark.parametrize(
    ("hz", "ppm", "jitter"), [(1000, 100, 10), (1000, -500, 10), (15_000, 100, 2)]
)
def test_a_tone_stays_60_db_above_all_else(hz, ppm, jitter):
    microphone = FakeMicrophone(
        48_000, 2, signal=tone(hz), drift_ppm=ppm, jitter_ns=jitter * MS, block=480
    )
    heard, _ = film(microphone, 8, every=33 * MS)
    assert (heard[:, 0] == heard[:, 1]).all()
    for second in range(1, 8):
        frequencies, powers = power(heard[second * 48_000 : (second + 1) * 48_000, 0], 48_000)
        near = np.abs(frequencies - hz) < 20 + hz / 500
        assert 10 * np.log10(powers[near].sum() / powers[~near].sum()) > 60
    assert np.abs(heard[48_000:-4800]).max() == pytest.approx(0.5, abs=0.001)


def test_no_click_is_heard_between_blocks_and_no_wobble():
    microphone = FakeMicrophone(
        48_000, signal=tone(1000), drift_ppm=-300, jitter_ns=10 * MS, block=480
    )
    heard, _ = film(microphone, 20, every=33 * MS)
    samples = heard[48_000:-4800, 0].astype(float)
    # A sine is annihilated by this, a step is not.
    angle = 2 * np.pi * 1000 / 48_000
    rest = samples[2:] - 2 * np.cos(angle) * samples[1:-1] + samples[:-2]
    assert np.abs(rest).max() < 1e-4
    # Its phase, ten times a second: how far the pitch is off, in parts of itself.
    turns = np.exp(-1j * angle * np.arange(len(samples))) * samples
    phases = np.unwrap(np.angle(turns[: len(turns) // 4800 * 4800].reshape(-1, 4800).sum(axis=1)))
    pitch = np.diff(phases) / (2 * np.pi * 100)
    assert np.abs(pitch).max() < 1000e-6
    assert np.abs(pitch[100:]).max() < 300e-6
    assert np.abs(np.diff(pitch[100:])).max() < 100e-6


@pytest.mark.parametrize("hz", [100, 1000, 10_000, 20_000])
def test_what_lies_between_samples_is_right_to_90_db(hz):
    samples = np.sin(2 * np.pi * hz * np.arange(5000) / 48_000).astype(np.float32)
    places = 100.25 + 1.0003 * np.arange(4000)
    found = interpolate(samples[:, None], 100.25, 1.0003, 4000)[:, 0]
    error = found - np.sin(2 * np.pi * hz * places / 48_000)
    assert 10 * np.log10(0.5 / np.mean(error**2)) > 90


def test_at_samples_there_is_nothing_to_interpolate():
    samples = np.random.default_rng(1).standard_normal((200, 2)).astype(np.float32)
    found = interpolate(samples, BEFORE, 1.0, 200 - BEFORE - AFTER)
    assert found == pytest.approx(samples[BEFORE:-AFTER], abs=1e-6)
    with pytest.raises(IndexError):
        interpolate(samples, BEFORE, 1.0, 201 - BEFORE - AFTER)


# The microphone


class PortAudioError(Exception):
    pass


class FakeSoundDevice:
    """What live.microphone uses of the library sounddevice."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        self.devices = [{"name": "Desk", "max_input_channels": 8, "default_samplerate": 96_000.0}]
        self.streams: list[FakeStream] = []
        self.begun = ["begun"]
        self.begins = True
        self.opens = True
        self.answers = threading.Event()
        self.answers.set()
        self.asked = threading.Event()

    def query_devices(self, device: object, kind: str) -> dict[str, Any]:
        assert kind == "input"
        if isinstance(device, str):
            found = [known for known in self.devices if device in str(known["name"])]
            if not found:
                raise ValueError(f"No input device matching {device!r}\n[0] Desk")
            return found[0]
        if not self.devices:
            raise PortAudioError("Error querying device -1")
        return self.devices[device if isinstance(device, int) else 0]

    def check_input_settings(self, **settings: Any) -> None:
        if settings["samplerate"] < 8000:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, **settings: Any) -> "FakeStream":  # noqa: N802
        if not self.opens:
            raise PortAudioError("Device unavailable")
        self.streams.append(FakeStream(self, settings))
        return self.streams[-1]

    def _terminate(self) -> None:
        if self.begun[-1] == "ended":
            raise PortAudioError("PortAudio not initialized")
        self.begun.append("ended")

    def _initialize(self) -> None:
        if not self.begins:
            self.begins = True
            raise PortAudioError("Not the first time")
        self.begun.append("begun")

    def _exit_handler(self) -> None: ...


class FakeStream:
    def __init__(self, library: FakeSoundDevice, settings: dict[str, Any]) -> None:
        self.library, self.settings = library, settings
        self.running = False
        self.closed = False
        self.now: float | None = None

    @property
    def time(self) -> float:
        if self.now is None:
            raise PortAudioError("Error getting stream time")
        return self.now

    @property
    def active(self) -> bool:
        self.library.asked.set()
        self.library.answers.wait()
        return self.running

    def start(self) -> None:
        self.running = True

    def abort(self) -> None:
        self.library.answers.wait()
        self.running = False

    def close(self) -> None:
        self.closed = True

    def hear(self, count: int, adc: float, current: float, overflow: bool = False) -> None:
        times = SimpleNamespace(inputBufferAdcTime=adc, currentTime=current)
        block = np.zeros((count, self.settings["channels"]), np.float32)
        self.settings["callback"](block, count, times, SimpleNamespace(input_overflow=overflow))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSoundDevice]:
    library = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    monkeypatch.setattr(live.microphone, "WATCH_S", 0.005)
    monkeypatch.setattr(live.microphone, "RETRY_S", 0.02)
    yield library
    library.answers.set()


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def one_line(error: pytest.ExceptionInfo[UserError], *words: str) -> None:
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_without_the_library_or_portaudio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError) as error:
        Microphone.open(None)
    one_line(error, "--audio needs the extra: pip install 'anthesis[audio]'")

    class WithoutPortAudio:
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [WithoutPortAudio(), *sys.meta_path])
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UserError) as error:
        Microphone.open(None)
    one_line(error, "PortAudio", "apt install libportaudio2")


def test_a_device_that_is_not_there_is_one_line(device):
    with pytest.raises(UserError) as error:
        Microphone.open("Piano")
    one_line(error, "no sound input 'Piano'", "python -m sounddevice")
    device.devices[0]["default_samplerate"] = 100
    with pytest.raises(UserError) as error:
        Microphone.open(None)
    one_line(error, "Invalid sample rate")
    device.devices.clear()
    with pytest.raises(UserError) as error:
        Microphone.open(None)
    one_line(error, "no sound input:", "Error querying")


def test_it_is_known_by_name_and_by_number_and_has_two_channels_at_most(device):
    one = {"name": "Built-in Mic", "max_input_channels": 1, "default_samplerate": 44_100.0}
    device.devices.append(one)
    named, numbered = Microphone.open("Mic"), Microphone.open("1")
    assert (named.name, named.channels, named.rate) == ("Built-in Mic", 1, 44_100)
    assert numbered.name == named.name
    first = Microphone.open(None)
    assert (first.name, first.channels, first.rate) == ("Desk", 2, 48_000)


def test_it_and_its_stand_in_are_sound_inputs(device):
    inputs: list[SoundInput] = [Microphone.open(None), FakeMicrophone()]
    assert [(each.rate, each.channels) for each in inputs] == [(48_000, 2), (48_000, 1)]


def test_a_device_that_does_not_open_is_told_before_the_show(device):
    microphone = Microphone.open(None)
    device.opens = False
    with pytest.raises(UserError) as error:
        microphone.listen(lambda samples, at: None)
    one_line(error, "Desk cannot be opened: Device unavailable")
    microphone.close()


@pytest.mark.parametrize(
    ("adc", "current", "now", "age"),
    [
        (7.0, 7.02, None, 0.02),  # the stream has no time: the callback's
        (7.0, 7.02, 7.025, 0.025),  # Python was 5 ms late
        (7.0, 7.02, 99.0, 0.02),  # a clock of another kind
        (7.0, 7.001, 7.001, 0.01),  # its last samples would be from the future
        (0.0, 7.02, 7.02, 0.01),  # the device tells nothing
        (7.0, 6.0, None, 0.01),  # or nonsense
    ],
)
def test_the_time_of_a_block_is_that_of_its_first_sample(device, adc, current, now, age):
    microphone = Microphone.open(None, FakeClock(5 * S))
    heard: list[tuple[tuple[int, ...], int]] = []
    microphone.listen(lambda samples, at: heard.append((samples.shape, at)))
    stream = device.streams[0]
    stream.now = now
    stream.hear(480, adc, current)
    microphone.close()
    [(shape, at)] = heard
    assert shape == (480, 2)
    assert at == pytest.approx(5 * S - age * S, abs=10)


def test_after_close_nothing_is_heard(device):
    microphone = Microphone.open(None)
    heard: list[int] = []
    microphone.listen(lambda samples, at: heard.append(at))
    microphone.close()
    microphone.close()
    device.streams[0].hear(480, 1.0, 1.01)
    assert not heard
    assert device.streams[0].closed


def test_dropped_sound_is_counted_and_told_once(device, caplog):
    microphone = Microphone.open(None)
    microphone.listen(lambda samples, at: None)
    for overflow in (True, False, True):
        device.streams[0].hear(480, 1.0, 1.01, overflow)
    eventually(lambda: "dropped" in caplog.text)
    microphone.close()
    assert microphone.counts.overflows == 2
    assert caplog.text.count("dropped") == 1


def test_a_lost_device_is_told_once_and_tried_until_it_is_back(device, caplog):
    caplog.set_level(logging.INFO)
    microphone = Microphone.open(None)
    heard: list[int] = []
    microphone.listen(lambda samples, at: heard.append(at))
    device.opens = device.begins = False
    device.streams[0].running = False
    eventually(lambda: device.begun.count("begun") >= 4)
    assert device.begun[:5] == ["begun", "ended", "begun", "ended", "begun"]
    assert not heard
    device.opens = True
    eventually(lambda: "Desk is back" in caplog.text)
    device.streams[1].hear(480, 1.0, 1.01)
    microphone.close()
    assert device.streams[0].closed
    assert len(heard) == 1
    assert microphone.counts.lost == 1
    assert caplog.text.count("is lost") == 1


def test_a_device_that_says_nothing_is_lost(device):
    clock = FakeClock(5 * S)
    microphone = Microphone.open(None, clock)
    microphone.listen(lambda samples, at: None)
    clock.time += 4 * S
    eventually(lambda: len(device.streams) > 1)
    microphone.close()
    assert microphone.counts.lost == 1


def test_closing_does_not_wait_for_a_driver_that_hangs(device, monkeypatch, caplog):
    monkeypatch.setattr(live.microphone, "_CLOSE_S", 0.05)
    forgotten: list[Sequence[object]] = []
    monkeypatch.setattr(live.microphone.atexit, "unregister", forgotten.append)
    microphone = Microphone.open(None)
    heard: list[int] = []
    device.answers.clear()
    microphone.listen(lambda samples, at: heard.append(at))
    assert device.asked.wait(5)
    begun = time.monotonic()
    microphone.close()
    assert time.monotonic() - begun < 1
    device.streams[0].hear(480, 1.0, 1.01)
    assert not heard
    assert "does not close" in caplog.text
    assert len(forgotten) == 1
