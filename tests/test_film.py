"""Films of every codec, written and read back by FFmpeg: the frames, their places, the sound."""

import itertools
import logging
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import live.film
from engine.errors import UserError
from live.codecs import CODECS, Encoder, Format, can_sound, even, format_for
from live.film import Film
from live.film_sound import Sound
from live.joining import frames_of, join
from live.priorities import ordinary

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
SMALL = (64, 32)
RATE = Fraction(10)
KINDS = [
    (Format(codec, chroma), suffix)
    for codec, how in CODECS.items()
    for chroma in how.pixels
    for suffix in how.suffixes or ("",)
]


def named(kind: object) -> str | None:
    return f"{kind.codec}-{kind.chroma}" if isinstance(kind, Format) else None


every_kind = pytest.mark.parametrize(("format", "suffix"), KINDS, ids=named)


def flat(level: int, size: Size = SMALL) -> Pixels:
    return np.full((size[1], size[0], 4), level, np.uint8)


def gradient(size: Size = SMALL) -> Pixels:
    """Red grows to the right, green downwards, blue both."""
    y, x = np.mgrid[: size[1], : size[0]]
    red, green = x * 255 // (size[0] - 1), y * 255 // (size[1] - 1)
    return np.stack([red, green, (red + green) // 2, np.full_like(x, 255)], 2).astype(np.uint8)


def place(folder: Path, suffix: str, name: str = "film") -> Path:
    path = folder / f"{name}{suffix}"
    if not suffix:
        path.mkdir()
    return path


def source(path: Path) -> str:
    return str(path) if path.suffix else f"{str(path).replace('%', '%%')}/%06d.png"


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(source(path)) as container:
        return list(container.decode(video=0))


def plane(frame: av.VideoFrame, number: int) -> NDArray[np.float64]:
    """The samples of a plane, [height, width] or for packed colours [height, width, n]."""
    of = frame.planes[number]
    deep = frame.format.components[0].bits > 8
    samples = np.frombuffer(of, np.uint16 if deep else np.uint8).reshape(of.height, -1)
    packed = {"bgr0": 4, "rgb24": 3}.get(frame.format.name)
    kept = samples[:, : of.width * (packed or 1)].astype(float)
    return kept.reshape(of.height, of.width, packed) if packed else kept / (4 if deep else 1)


def rgb(frame: av.VideoFrame) -> NDArray[np.float64]:
    """[height, width, 3] in 0..255, by the formulas of BT.709; its chroma is not interpolated."""
    if frame.format.name == "bgr0":
        return plane(frame, 0)[..., 2::-1]
    if frame.format.name == "rgb24":
        return plane(frame, 0)
    y = (plane(frame, 0) - 16) / 219
    height, width = y.shape
    chroma = [(plane(frame, number) - 128) / 224 for number in (1, 2)]
    times = (height // chroma[0].shape[0], width // chroma[0].shape[1])
    cb, cr = (np.kron(part, np.ones(times)) for part in chroma)
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.stack([red, green, blue], axis=2) * 255


def levels(path: Path) -> list[int]:
    return [round(float(rgb(frame).mean()) / 10) * 10 for frame in decoded(path)]


def written(
    path: Path, format: Format, pictures: list[Pixels], rate: Fraction = RATE, **how: object
) -> Path:
    height, width = pictures[0].shape[:2]
    film = Film(path, format, (width, height), rate, **how)  # type: ignore[arg-type]
    for index, picture in enumerate(pictures):
        film.write(index, picture)
    film.close()
    return path


# Formats and names.


@pytest.mark.parametrize(
    ("path", "codec", "chroma", "name", "format"),
    [
        ("a", None, None, "a.mp4", ("h264", "420")),
        ("a.mp4", None, None, "a.mp4", ("h264", "420")),
        ("a.MKV", None, None, "a.MKV", ("h264", "420")),
        ("a.mov", None, None, "a.mov", ("prores", "422")),
        ("a.mov", "h264", "444", "a.mov", ("h264", "444")),
        ("a", "hevc", None, "a.mp4", ("hevc", "420")),
        ("a", "av1", "420", "a.mp4", ("av1", "420")),
        ("a", "prores", None, "a.mov", ("prores", "422")),
        ("a", "ffv1", None, "a.mkv", ("ffv1", "rgb")),
        ("a", "png", None, "a", ("png", "rgb")),
    ],
)
def test_a_name_tells_the_format(
    path: str, codec: str | None, chroma: str | None, name: str, format: tuple[str, str]
) -> None:
    assert format_for(Path(path), codec, chroma) == (Path(name), Format(*format))


@pytest.mark.parametrize(
    ("path", "codec", "chroma", "message"),
    [
        ("a.avi", None, None, "a.avi: h264 is kept in .mp4 or .mkv or .mov; name such a file"),
        ("a.mov", "av1", None, "a.mov: av1 is kept in .mp4 or .mkv; name such a file"),
        ("a.mp4", "ffv1", None, "a.mp4: ffv1 is kept in .mkv; name such a file"),
        ("a.png", "png", None, "a.png: png pictures go to a folder; name it without a suffix"),
        ("a", "vp9", None, "a: there is no codec vp9; take one of h264, hevc, av1, prores, ffv1"),
        ("a", "av1", "444", "a: av1 has no chroma 444; take 420"),
        ("a", "prores", "422", "a: prores has no chroma 422; leave it out"),
        ("a", "h264", "422", "a: h264 has no chroma 422; take 420 or 444"),
        ("", None, None, ".: is not the name of a file"),
    ],
)
def test_what_no_film_can_be_is_one_line(
    path: str, codec: str | None, chroma: str | None, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        format_for(Path(path), codec, chroma)
    assert str(caught.value).startswith(f"cannot record to {message}")
    assert "\n" not in str(caught.value)


def test_sides_are_as_even_as_the_chroma_needs() -> None:
    assert even((65, 33), Format("h264", "420")) == (66, 34)
    assert even((65, 33), Format("prores", "422")) == (66, 33)
    assert even((65, 33), Format("h264", "444")) == even((65, 33), Format("png", "rgb")) == (65, 33)


# Every codec in every file.


@pytest.mark.parametrize("effort", ["live", "offline"])
@every_kind
def test_a_film_comes_back(tmp_path: Path, format: Format, suffix: str, effort: str) -> None:
    pictures = [flat(level) for level in range(10, 240, 10)]
    path = written(place(tmp_path, suffix), format, pictures, effort=effort)
    assert levels(path) == list(range(10, 240, 10))
    frames = decoded(path)
    rgb_kept = format.chroma == "rgb"
    tags = {
        (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        for frame in frames
    }
    assert tags == {(0, 2, 1, 13) if rgb_kept else (1, 1, 1, 1)}
    assert {frame.format.name for frame in frames} == {CODECS[format.codec].pixels[format.chroma]}
    if suffix:
        assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(23)])
        keys = {i for i, frame in enumerate(frames) if frame.key_frame}
        assert {0, 10, 20} <= keys or effort == "offline"  # a cut may have had its own instead
        assert all(keys & set(range(i, i + 10)) for i in range(13))
        assert len(keys) == 23 or format.codec not in ("ffv1", "prores")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == RATE
            assert stream.codec_context.has_b_frames in (0, False)
            if format.codec == "hevc" and suffix != ".mkv":
                assert stream.codec_context.codec_tag == "hvc1"
            if format.codec == "prores":
                assert stream.codec_context.codec_tag == "apch"  # 422 HQ


@every_kind
def test_odd_sides_repeat_their_last_or_stay(tmp_path: Path, format: Format, suffix: str) -> None:
    size = (65, 33)
    picture = flat(0, size)
    picture[:, 48:] = picture[24:] = 200
    path = written(place(tmp_path, suffix), format, [picture])
    (frame,) = decoded(path)
    assert (frame.width, frame.height) == even(size, format)
    got = rgb(frame)
    assert np.abs(got[26:, :] - 200).max() < 20
    assert np.abs(got[:, 50:] - 200).max() < 20
    assert np.abs(got[:20, :44]).max() < 20


# How far a gradient and flat patches may be off, in levels of 255; the gradient only in luma where
# chroma is kept for two or four pixels at once.
BOUNDS = defaultdict(
    lambda: 8.0, {"h264-444": 4.0, "ffv1-rgb": 0.0, "png-rgb": 0.0, "prores-422": 3}
)


@every_kind
def test_colours_come_back(tmp_path: Path, format: Format, suffix: str) -> None:
    """In the middle of flat patches and along a gradient; BT.601 would be 20 off."""
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (233, 84, 32)], np.uint8)
    patches = flat(255, (128, 64))
    patches[:32, :, :3] = np.repeat(colours, 32, axis=0)
    patches[32:] = gradient((128, 32))
    path = written(place(tmp_path, suffix), format, [patches])
    got = rgb(decoded(path)[0])
    bound = BOUNDS[f"{format.codec}-{format.chroma}"]
    inner = got[8:24].reshape(16, 4, 32, 3)[:, :, 8:24].mean(axis=(0, 2))
    assert np.abs(inner - colours).max() <= min(bound, 4)
    there, offered = got[34:62, 2:126], patches[34:62, 2:126, :3]
    if format.chroma in ("420", "422"):
        weights = np.array([0.2126, 0.7152, 0.0722])
        there, offered = there @ weights, offered @ weights
    error = np.abs(there - offered)
    assert np.percentile(error, 99) <= bound, error.max()
    if bound == 0:
        assert error.max() == 0


def test_pictures_of_every_width_are_converted_alike_each_time(tmp_path: Path) -> None:
    """Two threads of the conversion wrote into each other's rows, in one film of eight."""
    picture = [gradient((66, 33))]
    films = [
        written(tmp_path / f"{number}.mov", Format("prores", "422"), picture)
        for number in range(40)
    ]
    assert len({bytes(decoded(path)[0].planes[1]) for path in films}) == 1


@pytest.mark.parametrize("codec", CODECS)
def test_live_an_encoder_keeps_no_frame_back(codec: str) -> None:
    how = CODECS[codec]
    coder = av.CodecContext.create(how.live.name, "w")
    assert isinstance(coder, av.VideoCodecContext)
    pixels = next(iter(how.pixels.values()))
    coder.width, coder.height, coder.pix_fmt = 64, 32, pixels
    coder.time_base, coder.framerate, coder.max_b_frames = 1 / RATE, RATE, 0
    coder.options = dict(how.live.options)
    with ordinary():
        coder.open()
    for index in range(12):
        frame = av.VideoFrame(64, 32, pixels)
        frame.pts = index
        assert len(coder.encode(frame)) == 1


# Gaps.


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("ffv1", ".mkv"), ("png", "")])
def test_gaps_are_filled_with_the_last_picture(tmp_path: Path, codec: str, suffix: str) -> None:
    path = place(tmp_path, suffix)
    film = Film(path, format_for(path, codec, None)[1], SMALL, RATE)
    gaps = [film.write(index, flat(level)) for index, level in ((2, 50), (3, 60), (6, 70))]
    film.repeat()
    with pytest.raises(ValueError, match="in the film already"):
        film.write(6, flat(80))
    film.close()
    assert gaps == [2, 0, 2]
    assert levels(path) == [50, 50, 50, 60, 60, 60, 70, 70]
    assert film.frames == 8


def test_a_film_without_a_picture_has_none_to_repeat(tmp_path: Path) -> None:
    film = Film(tmp_path / "a.mp4", Format("h264", "420"), SMALL, RATE)
    with pytest.raises(ValueError, match="without a picture"):
        film.repeat()
    film.close()


@pytest.mark.parametrize("sound", [None, Sound(48000, 2)])
@every_kind
def test_a_film_without_pictures_can_be_closed(
    tmp_path: Path, format: Format, suffix: str, sound: Sound | None
) -> None:
    path = place(tmp_path, suffix)
    if sound is not None and not can_sound(format):
        with pytest.raises(UserError, match="a folder of pictures has no sound"):
            Film(path, format, SMALL, RATE, sound=sound)
        return
    Film(path, format, SMALL, RATE, sound=sound).close()
    assert not path.is_dir() or not list(path.iterdir())


# Folders of pictures.


def test_pictures_are_numbered_from_the_first_wished(tmp_path: Path) -> None:
    folder = place(tmp_path, "", "100 % roses: %03d")
    written(folder, Format("png", "rgb"), [flat(10), flat(20)], first=998)
    assert sorted(path.name for path in folder.iterdir()) == ["000998.png", "000999.png"]


def test_a_name_that_looks_like_a_protocol_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    format = Format("h264", "420")
    part = written(Path("roses:1.mp4"), format, [flat(30)], effort="offline")
    join([part, part], Path("roses:2.mp4"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["roses:1.mp4", "roses:2.mp4"]


# The operator's terminal.


def test_nothing_is_printed(tmp_path: Path) -> None:
    """x265 and SVT-AV1 write to the terminal past every log, unless they are told not to."""
    script = (
        "import sys, numpy as np\n"
        "from fractions import Fraction\n"
        "from pathlib import Path\n"
        "from live.codecs import Format\n"
        "from live.film import Film\n"
        "for effort in ('live', 'offline'):\n"
        "    for codec in ('h264', 'hevc', 'av1'):\n"
        "        path = Path(sys.argv[1]) / f'{codec}{effort}.mp4'\n"
        "        film = Film(path, Format(codec, '420'), (64, 32), Fraction(10), effort=effort)\n"
        "        film.write(3, np.zeros((32, 64, 4), np.uint8))\n"
        "        film.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


# Encoders that are not there.


def test_a_codec_that_is_not_in_this_pyav_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = [Encoder("libsvtav1-of-another-build", {})]
    monkeypatch.setattr(live.film, "encoders", lambda *args, **how: absent)
    with pytest.raises(UserError) as caught:
        Film(tmp_path / "a.mp4", Format("av1", "420"), SMALL, RATE)
    assert str(caught.value) == (
        f"cannot record to {tmp_path / 'a.mp4'}: "
        "this PyAV is built without libsvtav1-of-another-build"
    )


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_without_nvenc_the_cpu_encodes_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    nowhere = Encoder(f"{codec}_nvenc", {"gpu": "63"}, hardware=True)  # on no machine
    monkeypatch.setattr(live.film, "encoders", lambda *args, **how: [nowhere, CODECS[codec].live])
    film = Film(path, Format(codec, "420"), SMALL, RATE, nvenc=True)
    film.write(0, flat(50))
    film.close()
    assert film.encoder == CODECS[codec].live.name
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"{codec}_nvenc does not open here" in caplog.text
    assert levels(path) == [50]


@pytest.mark.parametrize(
    ("name", "sound", "why"),
    [
        ("no folder/a.mp4", None, "No such file or directory"),
        ("no folder/a.mkv", None, "No such file or directory"),
        ("a.mp4", Sound(48000, 3), "no sound of 3 channels can be written"),
        ("a.mp4", Sound(12345, 2), "Invalid argument"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, name: str, sound: Sound | None, why: str
) -> None:
    with pytest.raises(UserError) as caught:
        Film(tmp_path / name, Format("h264", "420"), SMALL, RATE, sound=sound)
    assert str(caught.value) == f"cannot record to {tmp_path / name}: {why}"


# The machine belongs to the show.


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="priorities as Linux has them")
@pytest.mark.parametrize(("format", "suffix"), KINDS)
def test_no_encoder_takes_the_machine_for_itself(
    tmp_path: Path, format: Format, suffix: str
) -> None:
    """SVT-AV1 would, for root: real-time threads, that of the caller among them."""
    path = tmp_path / f"a{suffix}"
    if not suffix:
        path.mkdir()
    film = Film(path, format, (64, 32), Fraction(30))
    for index in range(3):
        film.write(index, np.zeros((32, 64, 4), np.uint8))
    threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    film.close()
    policies = {os.sched_getscheduler(0)}
    for thread in threads:
        with suppress(ProcessLookupError):
            policies.add(os.sched_getscheduler(thread))
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}


# Kills.

KILLED = """
import os, signal, sys
import numpy as np
from fractions import Fraction
from pathlib import Path
from live.codecs import format_for
from live.film import Film
from live.film_sound import Sound
path, format = format_for(Path(sys.argv[1]), sys.argv[2], None)
sound = Sound(48000, 2) if sys.argv[3] else None
if not path.suffix:
    path.mkdir()
film = Film(path, format, (64, 32), Fraction(30), sound=sound)
for index in range(89):  # before a key frame, with which a fragment would begin anyway
    film.write(index, np.full((32, 64, 4), index * 2, np.uint8))
    if sys.argv[3] == "sound":
        film.hear(np.zeros((1600, 2), np.float32))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.mp4", "h264", ""),
        ("a.mp4", "h264", "sound"),
        ("a.mp4", "h264", "that never comes"),
        ("a.mp4", "av1", ""),
        ("a.mkv", "hevc", "sound"),
        ("a.mov", "prores", "sound"),
        ("a.mkv", "ffv1", ""),
        ("a", "png", ""),
    ],
)
def test_a_killed_film_is_readable_but_for_its_last_half_second(
    tmp_path: Path, name: str, codec: str, sound: str
) -> None:
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), codec, sound])
    assert done.returncode == -9
    frames = decoded(path)
    # Half a second, and where sound lies between, a frame or two; or as long a wait for it.
    assert len(frames) >= 89 - (17 if sound in ("", "sound") else 32)
    assert [round(float(rgb(frame).mean()) / 2) for frame in frames] == pytest.approx(
        range(len(frames)), abs=1
    )


# Sound.

SOUNDING = [(format, suffix) for format, suffix in KINDS if can_sound(format)]


def clicks(rate: int, seconds: Fraction, at: list[float]) -> NDArray[np.float32]:
    """Stereo, a click of a millisecond on the left at each time; on the right half as loud."""
    samples = np.zeros((int(rate * seconds), 2), np.float32)
    for time in at:
        samples[round(time * rate) : round((time + 0.001) * rate)] = (0.8, 0.4)
    return samples


def heard(path: Path) -> tuple[NDArray[np.float64], int, float]:
    """Samples [n, channels] in -1..1, their rate, and the time of the first, after the picture."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    with av.open(str(path)) as container:
        start = next(container.decode(video=0)).time
    parts = []
    for frame in frames:
        samples = frame.to_ndarray().astype(float)
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T / 2**31
        parts.append(samples.T)
    assert frames[0].time is not None
    return np.concatenate(parts), frames[0].sample_rate, frames[0].time - start


@pytest.mark.parametrize(("format", "suffix"), SOUNDING, ids=named)
def test_sound_lies_where_it_belongs(tmp_path: Path, format: Format, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    film = Film(path, format, SMALL, RATE, sound=Sound(48000, 2))
    sound = clicks(48000, Fraction(2), [0.5, 1.0, 1.5])
    ends = itertools.accumulate([4800] * 20)
    for index, end in enumerate(ends):
        film.write(index, flat(index * 10))
        film.hear(sound[end - 4800 : end - 4800 + 1000])  # in pieces of any length
        film.hear(sound[end - 4800 + 1000 : end])
    film.close()
    samples, rate, start = heard(path)
    loud = np.nonzero(np.abs(samples[:, 0]) > 0.4)[0] / rate + start
    onsets = loud[np.diff(loud, prepend=-1) > 0.1]
    assert onsets == pytest.approx([0.5, 1.0, 1.5], abs=0.002)
    assert np.abs(samples[:, 1]).max() == pytest.approx(0.4, abs=0.1)
    assert len(samples) / rate == pytest.approx(2, abs=0.03)
    frames = decoded(path)
    assert frames[0].time == pytest.approx(0)
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(20)])


@pytest.mark.parametrize(("codec", "suffix"), [("ffv1", ".mkv"), ("prores", ".mov")])
def test_sound_beside_pictures_for_editing_is_exact(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    path, format = format_for(tmp_path / f"a{suffix}", codec, None)
    noise = np.random.default_rng(5).uniform(-1, 1, (4800, 1)).astype(np.float32)
    film = Film(path, format, SMALL, RATE, sound=Sound(48000, 1))
    film.write(0, flat(0))
    film.hear(noise)
    film.close()
    samples, _, start = heard(path)
    assert start == 0
    assert np.abs(samples - noise).max() < 2**-22


def test_sound_that_is_no_number_is_silence(tmp_path: Path) -> None:
    film = Film(tmp_path / "a.mp4", Format("h264", "420"), SMALL, RATE, sound=Sound(48000, 2))
    film.write(0, flat(0))
    film.hear(np.full((4800, 2), np.nan, np.float32))
    film.hear(np.zeros((0, 2), np.float32))
    with pytest.raises(ValueError, match="2 channels"):
        film.hear(np.zeros((5, 1), np.float32))
    film.close()
    assert np.abs(heard(tmp_path / "a.mp4")[0]).max() < 1e-3


def test_a_film_without_sound_hears_none(tmp_path: Path) -> None:
    film = Film(tmp_path / "a.mp4", Format("h264", "420"), SMALL, RATE)
    with pytest.raises(ValueError, match="without sound"):
        film.hear(np.zeros((5, 2), np.float32))
    film.close()


# Joining.


def moving(number: int) -> Pixels:
    return np.ascontiguousarray(np.roll(gradient(), 3 * number, axis=1))


def parts_of(folder: Path, format: Format, suffix: str, rate: Fraction) -> list[Path]:
    """Films of 1, 12 and 5 frames."""
    numbers = iter(range(18))
    found = []
    for part, frames in enumerate((1, 12, 5)):
        path = place(folder, suffix, f"part{part}")
        pictures = [moving(next(numbers)) for _ in range(frames)]
        found.append(written(path, format, pictures, rate, effort="offline"))
    return found


def planes(frame: av.VideoFrame) -> list[bytes]:
    return [plane(frame, number).tobytes() for number in range(len(frame.planes))]


@pytest.mark.parametrize("rate", [RATE, Fraction(30000, 1001)])
@every_kind
def test_a_joined_film_is_its_parts(
    tmp_path: Path, format: Format, suffix: str, rate: Fraction
) -> None:
    parts = parts_of(tmp_path, format, suffix, rate)
    expected = [planes(frame) for part in parts for frame in decoded(part)]
    tags = {(frame.colorspace, frame.color_trc) for part in parts for frame in decoded(part)}
    to = place(tmp_path, suffix, "joined")
    join(parts, to)
    frames = decoded(to)
    assert [planes(frame) for frame in frames] == expected
    assert {(frame.colorspace, frame.color_trc) for frame in frames} == tags
    if suffix:
        times = [frame.time for frame in frames]
        assert times == pytest.approx([i / float(rate) for i in range(18)], abs=0.001)
        with av.open(str(to)) as container:
            assert container.streams.video[0].average_rate == rate
            if format.codec == "hevc" and suffix != ".mkv":
                assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    else:
        assert sorted(path.name for path in to.iterdir())[-1] == "000017.png"
    assert [frames_of(film) for film in (*parts, to)] == [1, 12, 5, 18]


def truncated(folder: Path) -> Path:
    path = folder / "bad.mp4"
    path.write_bytes(b"no film at all")
    return path


def other(**changed: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        size = changed.get("size", SMALL)
        rate = changed.get("rate", RATE)
        format = changed.get("format", Format("h264", "420"))
        effort = changed.get("effort", "offline")
        film = Film(folder / "bad.mp4", format, size, rate, effort=effort)  # type: ignore[arg-type]
        film.write(3, flat(0, size))  # type: ignore[arg-type]
        film.close()
        return film.path

    return make


def sounding(folder: Path) -> Path:
    film = Film(folder / "bad.mp4", Format("h264", "420"), SMALL, RATE, sound=Sound(48000, 2))
    film.write(0, flat(0))
    film.close()
    return film.path


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda folder: folder / "bad.mp4", "No such file or directory"),
        (truncated, "Invalid data found when processing input"),
        (other(size=(96, 32)), "it is 96x32, not 64x32"),
        (other(rate=Fraction(25)), "it has 25 frames a second, not 10"),
        (other(format=Format("hevc", "420")), "it is hevc yuv420p, not h264 yuv420p"),
        (other(format=Format("h264", "444")), "it is h264 yuv444p, not h264 yuv420p"),
        (other(effort="live"), "it was encoded with other settings"),
        (sounding, "has sound"),
    ],
)
def test_a_part_that_does_not_fit_is_one_line(
    tmp_path: Path, bad: Callable[[Path], Path], why: str
) -> None:
    good = written(tmp_path / "good.mp4", Format("h264", "420"), [flat(0)] * 3, effort="offline")
    with pytest.raises(UserError) as caught:
        join([good, bad(tmp_path)], tmp_path / "to.mp4")
    assert why in str(caught.value)
    assert "bad.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("links", [True, False])
def test_parts_keep_the_pictures_that_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    parts = parts_of(tmp_path, Format("png", "rgb"), "", RATE)
    to = place(tmp_path, "", "joined")
    join(parts, to)
    assert [frames_of(folder) for folder in (*parts, to)] == [1, 12, 5, 18]


def test_of_a_damaged_film_the_frames_are_counted_that_can_be_read(tmp_path: Path) -> None:
    film = written(tmp_path / "a.mkv", Format("ffv1", "rgb"), [moving(n) for n in range(9)])
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    assert 0 < frames_of(film) < 9
    film.write_bytes(b"")
    assert frames_of(film) == frames_of(tmp_path / "nowhere.mkv") == 0
    folder = written(place(tmp_path, ""), Format("png", "rgb"), [flat(0)] * 3)
    (folder / "000000.png").write_bytes(b"")
    picture = folder / "000002.png"
    picture.write_bytes(picture.read_bytes()[:-1])
    assert frames_of(folder) == 1
    for picture in folder.iterdir():
        picture.unlink()
    assert frames_of(folder) == 0


def test_pictures_that_do_not_fit_are_left_where_they_are(tmp_path: Path) -> None:
    png = Format("png", "rgb")
    parts = [
        written(place(tmp_path, "", "a"), png, [flat(0)]),
        written(place(tmp_path, "", "b"), png, [flat(0, (32, 64))]),
    ]
    to = place(tmp_path, "", "to")
    with pytest.raises(UserError, match="is 32x64, not 64x32"):
        join(parts, to)
    assert not list(to.iterdir())
    with pytest.raises(UserError, match="has no pictures"):
        join([to], to)
    with pytest.raises(UserError, match="there are no parts"):
        join([], to)
