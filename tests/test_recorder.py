"""The recorder with real files: what is read back by FFmpeg is what was offered."""

import contextlib
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import moderngl
import numpy as np
import pytest
from numpy.typing import NDArray

import live.film
import live.recorder
import live.tap
from engine.errors import UserError
from live.codecs import CODECS, Format, format_for
from live.compositor import Compositor, Layer, Look
from live.recorder import Recorder, RecorderCounts
from live.tap import Tap
from live.texture import Picture

Pixels = NDArray[np.uint8]
MS = 1_000_000


def flat(level: int, size: tuple[int, int] = (64, 32)) -> Pixels:
    return np.full((size[1], size[0], 4), level, np.uint8)


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def rgb(frame: av.VideoFrame) -> NDArray[np.float64]:
    """BT.709, limited range, by the formulas of the recommendation: [height, width, 3] 0..255."""
    width, height = frame.width, frame.height
    planes = frame.to_ndarray().astype(float)
    y = (planes[:height] - 16) / 219
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    cb, cr = ((np.kron(plane, np.ones((2, 2))) - 128) / 224 for plane in chroma)
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.stack([red, green, blue], axis=2) * 255


def levels(path: Path) -> list[int]:
    """The grey of each frame, which tells them apart; flat pictures come back within 2."""
    return [round(float(rgb(frame).mean()) / 10) * 10 for frame in decoded(path)]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Acquired once for each frame that the encoder thread has written."""
    semaphore = threading.Semaphore(0)
    write = live.film.Film.write

    def announced(film: live.film.Film, index: int, rgba: Pixels) -> int:
        gap = write(film, index, rgba)
        semaphore.release()
        return gap

    monkeypatch.setattr(live.film.Film, "write", announced)
    return semaphore


def test_frames_take_their_place_by_their_times(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    start = 77 * MS
    for level, at in ((10, 0), (20, 96), (30, 207), (40, 215), (50, 510), (60, 520), (70, 649)):
        recorder.offer(flat(level), start + at * MS)
    recorder.close()
    # 40 and 60 come before their time; 3 and 4 were never drawn
    assert levels(path) == [10, 20, 30, 30, 30, 50, 70]
    assert recorder.counts == RecorderCounts(written=7, dropped=2, duplicated=2, files=1, early=2)
    assert recorder.failed is None
    frames = decoded(path)
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(7)])


def test_the_stream_is_what_players_and_editors_expect(
    tmp_path: Path, encoded: threading.Semaphore
) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=25)
    path = recorder.start()
    for i in range(60):
        recorder.offer(flat(i), i * 40 * MS)
        assert encoded.acquire(timeout=60)  # as fast as the encoder takes them, none dropped
    recorder.close()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 25
        assert stream.frames == 60  # an ordinary mp4 again: its index knows them all
    frames = decoded(path)
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 25, 50]
    tags = {
        (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        for frame in frames
    }
    assert tags == {(1, 1, 1, 1)}  # BT.709, limited range


def test_colours_come_back(tmp_path: Path) -> None:
    """Within 3/255 of what was offered, in the middle of flat patches; BT.601 would be 20 off."""
    colours = np.array(
        [
            [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)],
            [(0, 0, 0), (128, 128, 128), (233, 84, 32), (119, 33, 111)],
        ]
    )
    pixels = np.full((64, 128, 4), 255, np.uint8)
    pixels[..., :3] = np.kron(colours, np.ones((32, 32, 1)))
    recorder = Recorder(tmp_path / "a.mp4", (128, 64), fps=30)
    path = recorder.start()
    recorder.offer(pixels, 0)
    recorder.close()
    got = rgb(decoded(path)[0])
    inner = got.reshape(2, 32, 4, 32, 3)[:, 8:24, :, 8:24].mean(axis=(1, 3))
    assert np.abs(inner - colours).max() <= 3


def test_odd_sides_are_made_even_by_repeating_the_last(tmp_path: Path) -> None:
    pixels = np.zeros((33, 65, 4), np.uint8)
    pixels[:, 63:] = pixels[31:] = 200
    recorder = Recorder(tmp_path / "a.mp4", (65, 33), fps=30)
    path = recorder.start()
    recorder.offer(pixels, 0)
    recorder.close()
    got = rgb(decoded(path)[0])
    assert got.shape == (34, 66, 3)
    assert np.abs(got[:, 64:] - 200).max() < 12
    assert np.abs(got[32:] - 200).max() < 12
    assert np.abs(got[:28, :60]).max() < 12


def test_a_frame_offered_belongs_to_the_caller_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    pixels = flat(0)
    for i in range(6):
        pixels[:] = i * 10 + 50
        recorder.offer(pixels[::-1], i * 100 * MS)
        pixels[:] = 250
    recorder.close()
    assert levels(path) == [50, 60, 70, 80, 90, 100]


def test_a_slow_encoder_drops_frames_and_never_holds_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoded: threading.Semaphore
) -> None:
    gate = threading.Event()
    write = live.film.Film.write

    def slow(film: live.film.Film, index: int, rgba: Pixels) -> int:
        assert gate.wait(60)
        return write(film, index, rgba)

    monkeypatch.setattr(live.film.Film, "write", slow)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    for i in range(20):  # nothing is encoded meanwhile, and yet this ends
        recorder.offer(flat(i * 10), i * 100 * MS)
    assert recorder.counts.dropped == 11  # one in work and eight waiting were taken
    gate.set()
    assert all(encoded.acquire(timeout=60) for _ in range(9))
    recorder.offer(flat(240), 20 * 100 * MS)
    recorder.close()
    assert levels(path) == [*range(0, 90, 10), *[80] * 11, 240]
    assert recorder.counts == RecorderCounts(
        written=21, dropped=11, duplicated=11, files=1, early=0
    )


def test_no_file_is_ever_overwritten(tmp_path: Path) -> None:
    wished = tmp_path / "new folder" / "show.mp4"
    paths = []
    for _ in range(3):
        recorder = Recorder(wished, (64, 32), fps=10)
        paths.append(recorder.start())
        recorder.offer(flat(100), 0)
        recorder.close()
    assert [path.name for path in paths] == ["show.mp4", "show-2.mp4", "show-3.mp4"]
    assert all(levels(path) == [100] for path in paths)
    bare = Recorder(tmp_path / "bare", (64, 32), fps=10)
    assert bare.start().name == "bare.mp4"
    bare.close()


def test_a_recording_without_frames_leaves_no_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    assert path.exists()
    recorder.close()
    recorder.close()
    assert not path.exists()
    assert recorder.counts == RecorderCounts(written=0, dropped=0, duplicated=0, files=0, early=0)


def test_a_loop_that_wakes_irregularly_drops_and_repeats_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    late = [0, 60, -10, 70, 0, 50, -60, 74]
    for frame, ms in enumerate(late):
        recorder.offer(flat(10 * frame + 10), (100 * frame + ms) * MS)
    recorder.close()
    assert levels(path) == [10 * frame + 10 for frame in range(len(late))]
    assert recorder.counts == RecorderCounts(written=8, dropped=0, duplicated=0, files=1, early=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "film.avi",
            r"cannot record to .*film\.avi: h264 is kept in \.mp4 or \.mkv or \.mov; name",
        ),
        ("file/film.mp4", r"cannot record to .*film\.mp4: .*file is not a folder"),
        ("file/deeper/film.mp4", r"cannot record to .*film\.mp4: Not a directory"),
        ("x" * 300 + ".mp4", r"cannot record to .*: File name too long"),
    ],
)
def test_what_cannot_be_recorded_to_is_said_at_the_start(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message) as caught:
        Recorder(tmp_path / name, (64, 32), fps=10).start()
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_pyav_without_the_encoder_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*args: object) -> None:
        av.CodecContext.create("libx264-of-another-build", "w")

    monkeypatch.setattr(live.film, "opened", without)
    with pytest.raises(UserError, match="built without libx264"):
        Recorder(tmp_path / "a.mp4", (64, 32), fps=10).start()
    assert not list(tmp_path.iterdir())


class Disk:
    """A disk whose free space is told by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 1 << 40
        usage = type(shutil.disk_usage("."))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 41, 0, self.free))


def test_a_full_disk_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch).free = 1000
    with pytest.raises(UserError, match=r"a\.mp4: less than 256 MB are left on the disk"):
        Recorder(tmp_path / "a.mp4", (64, 32), fps=10).start()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_ends_the_recording_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    recorder.offer(flat(0), 0)
    disk.free = 1000
    offered = 1
    while not recorder.failed:
        recorder.offer(flat(offered % 250), recorder._next * 100 * MS)
        offered += 1
    recorder.offer(flat(0), recorder._next * 100 * MS)
    recorder.close()
    assert "less than 256 MB are left on the disk" in recorder.failed
    assert [record.levelno for record in caplog.records if record.levelno > logging.WARNING] == [
        logging.ERROR
    ]
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == recorder.counts.written <= 2
    assert recorder.counts.written + recorder.counts.dropped == offered + 1


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of this process end at 200 kB: writing more is an error, as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits of a process are a POSIX matter")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files")
def test_an_error_in_mid_show_is_told_once_and_the_show_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (90, 160, 4), dtype=np.uint8)
    recorder = Recorder(tmp_path / "a.mp4", (160, 90), fps=10)
    path = recorder.start()
    offered = 0
    while not recorder.failed:
        recorder.offer(np.roll(noise, offered, axis=1), recorder._next * 100 * MS)
        offered += 1
    for i in range(20):
        recorder.offer(noise, (recorder._next + i) * 100 * MS)
    recorder.close()
    assert recorder.failed == f"{path}: File too large"
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    assert recorder.counts.written + recorder.counts.dropped == offered + 20
    readable = 0
    with av.open(str(path)) as container, contextlib.suppress(av.error.InvalidDataError):
        for _ in container.decode(video=0):
            readable += 1
    assert readable >= 5  # what was written before stays, up to the frame that was cut off


def test_an_ffmpeg_without_hybrid_files_writes_plain_fragments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.film, "_MOVFLAGS", ("unheard_of", *live.film._MOVFLAGS[1:]))
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    recorder.offer(flat(50), 0)
    recorder.offer(flat(60), 100 * MS)
    recorder.close()
    assert levels(path) == [50, 60]
    assert recorder.failed is None


KILLED = """
import sys, numpy as np
from live.recorder import Recorder
recorder = Recorder(sys.argv[1], (64, 32), fps=30)
path = recorder.start()
index = 0
while recorder.counts.written < 150:
    recorder.offer(np.full((32, 64, 4), index % 200, np.uint8), index * 1_000_000_000 // 30)
    index = recorder._next
sys.stdout.write(f"{recorder.counts.written} {path}\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_killed_recording_is_readable_but_for_its_last_half_second(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.mp4")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        written, path = process.stdout.readline().split()
        process.kill()
    assert len(levels(Path(path))) >= int(written) - 15


def test_a_recorder_refuses_pictures_of_another_size(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    with pytest.raises(ValueError, match="64x32"):
        recorder.offer(flat(0, (32, 64)), 0)
    recorder.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The encoder stands still before its 21st frame until this is set."""
    gate = threading.Event()
    write = live.film.Film.write

    def slow(film: live.film.Film, index: int, rgba: Pixels) -> int:
        assert index < 20 or gate.wait(60)
        return write(film, index, rgba)

    monkeypatch.setattr(live.film.Film, "write", slow)
    yield gate
    gate.set()


def test_what_is_not_encoded_in_time_is_left_and_said(
    tmp_path: Path,
    held: threading.Event,
    encoded: threading.Semaphore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    for i in range(20):
        recorder.offer(flat(i * 10), i * 100 * MS)
        assert encoded.acquire(timeout=60)
    for i in range(20, 25):
        recorder.offer(flat(i * 10), i * 100 * MS)
    recorder.close(timeout_s=0.01)
    recorder.close(timeout_s=0.01)
    assert len(caplog.records) == 1
    assert "not complete when the program ended" in caplog.text
    assert str(path) in caplog.text
    fragments = levels(path)  # nothing has been written to its end
    assert len(fragments) >= 20 - 5
    assert fragments == [i * 10 for i in range(len(fragments))]
    counts = recorder.counts
    assert (counts.written, counts.dropped, counts.files) == (20, 5, 1)
    assert recorder.missing() == [(2_000 * MS, 2_400 * MS, 5)]
    held.set()
    recorder.close()
    assert recorder.counts.written == 21  # the one in work; the others are not waited for
    assert recorder.counts.dropped == 4
    assert recorder.missing() == [(2_100 * MS, 2_400 * MS, 4)]


def test_a_file_made_in_mid_show_takes_frames_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    opened = live.film.opened

    def slow(*args: object) -> object:
        assert gate.wait(10), "the file is made on the thread that offers the frames"
        return opened(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(live.film, "opened", slow)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start_unseen()
    for i in range(5):
        recorder.offer(flat(i * 10), i * 100 * MS)
    gate.set()
    recorder.close()
    assert levels(recorder.path) == [0, 10, 20, 30, 40]


# What a film lacks.


def test_what_is_missing_and_what_is_repeated_is_named(
    tmp_path: Path, held: threading.Event, encoded: threading.Semaphore
) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    start = 5_000 * MS
    for i in range(20):
        recorder.offer(flat(0), start + i * 100 * MS)
        assert encoded.acquire(timeout=60)
    while len(recorder._slots) < 9:  # the last one comes back a moment after its frame is written
        time.sleep(0.001)
    for half in range(40, 64):  # twice as many as the film takes; one in work, eight waiting
        recorder.offer(flat(100), start + half * 50 * MS)
    assert recorder.missing() == [(start + 2850 * MS, start + 3150 * MS, 4)]
    held.set()
    assert all(encoded.acquire(timeout=60) for _ in range(9))
    recorder.offer(flat(200), start + 3200 * MS)
    recorder.close()
    counts = recorder.counts
    assert (counts.written, counts.dropped, counts.early, counts.duplicated) == (33, 15, 11, 3)
    assert counts.dropped - counts.early == sum(run.pictures for run in recorder.missing())
    assert recorder.repeated() == [(29, 3)]


def test_a_good_show_keeps_no_names(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    for i in range(40):
        recorder.offer(flat(0), i * 50 * MS)
        while recorder._pending:
            time.sleep(0.001)
    recorder.close()
    assert (recorder.missing(), recorder.repeated()) == ([], [])
    assert recorder.counts.early == recorder.counts.dropped == 19


def test_pictures_lost_on_both_threads_are_one_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    held: threading.Event,
    encoded: threading.Semaphore,
) -> None:
    disk = Disk(monkeypatch)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    for i in range(20):
        recorder.offer(flat(0), i * 100 * MS)
        assert encoded.acquire(timeout=60)
    first = recorder._next
    disk.free = 1000
    for i in range(first, first + 5):
        recorder.offer(flat(0), i * 100 * MS)
    held.set()
    while not recorder.failed:
        time.sleep(0.001)
    recorder.offer(flat(0), (first + 5) * 100 * MS)
    recorder.close()
    written = recorder.counts.written
    (run,) = recorder.missing()
    assert run == (written * 100 * MS, (first + 5) * 100 * MS, first + 6 - written)


def test_being_behind_is_said_once_until_it_has_been_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    write = live.film.Film.write

    def slow(film: live.film.Film, index: int, rgba: Pixels) -> int:
        assert gate.wait(60)
        return write(film, index, rgba)

    monkeypatch.setattr(live.film.Film, "write", slow)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    path = recorder.start()
    said = []
    for second in (0, 5, 12, 30):
        gate.clear()
        for i in range(15):
            recorder.offer(flat(0), (second * 1000 + i * 100) * MS)
        said.append(len(caplog.records))
        gate.set()
        while recorder._pending:
            time.sleep(0.001)
    recorder.close()
    assert said == [1, 1, 1, 2]
    assert f"{path}: the encoder is behind, pictures are missing from the film" in caplog.text


def test_the_disk_is_watched_while_a_gap_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    recorder.offer(flat(0), 0)
    repeat = live.film.Film.repeat

    def filling(film: live.film.Film) -> None:
        repeat(film)
        if film.frames == 500:
            disk.free = 1000

    monkeypatch.setattr(live.film.Film, "repeat", filling)
    recorder.offer(flat(0), 3_600_000 * MS)  # an hour later
    recorder.close()
    assert recorder.failed is not None
    assert recorder.counts.written == 500
    assert recorder.missing() == [(3_600_000 * MS, 3_600_000 * MS, 1)]


def test_a_recording_ends_before_it_eats_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.free = 700 << 20
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10)
    recorder.start()
    write = live.film.Film.write

    def eating(film: live.film.Film, index: int, rgba: Pixels) -> int:
        disk.free -= 20 << 20  # 200 MB in a second
        return write(film, index, rgba)

    monkeypatch.setattr(live.film.Film, "write", eating)
    while not recorder.failed:
        recorder.offer(flat(0), recorder._next * 100 * MS)
    recorder.close()
    assert "in a second less than 256 MB would be left on the disk" in recorder.failed
    assert disk.free > 256 << 20


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.mkv", "ffv1"), ("a", "png")])
def test_a_small_disk_that_is_really_full_leaves_a_whole_film(
    small_disk: Path, name: str, codec: str
) -> None:
    path, format = format_for(small_disk / name, codec, None)
    noise = np.random.default_rng(3).integers(0, 256, (90, 160, 4), dtype=np.uint8)
    recorder = Recorder(path, (160, 90), 10, format)
    recorder.start()
    while not recorder.failed:
        recorder.offer(np.roll(noise, recorder._next, axis=1), recorder._next * 100 * MS)
    recorder.close()
    assert "less than 153 kB" in recorder.failed  # a twentieth of it
    assert shutil.disk_usage(small_disk).free >= (3 << 20) // 20 - 150_000
    where = str(path) if path.suffix else f"{path}/%06d.png"
    with av.open(where) as container:
        assert len(list(container.decode(video=0))) == recorder.counts.written > 10


# Formats, names and sound.


@pytest.mark.parametrize(("name", "codec"), [("a", "png"), ("a", "ffv1"), ("a", "hevc")])
def test_a_recording_of_another_format(tmp_path: Path, name: str, codec: str) -> None:
    _, format = format_for(tmp_path / name, codec, None)
    paths = []
    for _ in range(2):
        recorder = Recorder(tmp_path / name, (65, 33), 10, format)
        paths.append(recorder.start())
        recorder.offer(flat(100, (65, 33)), 0)
        recorder.close()
        assert recorder.counts.written == 1
    suffix = next(iter(CODECS[codec].suffixes), "")
    assert [path.name for path in paths] == [f"a{suffix}", f"a-2{suffix}"]
    empty = Recorder(tmp_path / "empty", (64, 32), 10, format)
    empty.start()
    empty.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_overwriting_takes_the_wished_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x" * 1_000_000)
    recorder = Recorder(tmp_path / "a.mp4", (64, 32), fps=10, overwrite=True)
    path = recorder.start()
    recorder.offer(flat(50), 0)
    recorder.close()
    assert path == tmp_path / "a.mp4"
    assert levels(path) == [50]
    assert path.stat().st_size < 100_000


class Hum:
    """A soundtrack that is known up to a tenth of a second before now: the time of each sample."""

    rate, channels = 1000, 1

    def __init__(self) -> None:
        self.origins: list[int] = []
        self.given = 0

    def begin(self, origin_ns: int) -> None:
        self.origins.append(origin_ns)

    def take(self, until_ns: int) -> NDArray[np.float32]:
        return self._until(until_ns - 100 * MS)

    def finish(self, until_ns: int) -> NDArray[np.float32]:
        return self._until(until_ns)

    def _until(self, ns: int) -> NDArray[np.float32]:
        end = max(self.given, (ns - self.origins[0]) // MS)
        samples = np.arange(self.given, end, dtype=np.float32)[:, None] / 10_000
        self.given = end
        return samples


def test_a_film_has_its_sound_to_its_end(tmp_path: Path) -> None:
    hum = Hum()
    path, format = format_for(tmp_path / "a", "ffv1", None)
    recorder = Recorder(path, (64, 32), 10, format, sound=hum)
    path = recorder.start()
    for i in (0, 1, 4):
        recorder.offer(flat(i), (7_000 + i * 100) * MS)
    recorder.close()
    assert hum.origins == [7_000 * MS]
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    heard = np.concatenate(frames, axis=1)[0] / 2**31
    np.testing.assert_allclose(heard, np.arange(500) / 10_000, atol=1e-6)


def test_a_folder_of_pictures_refuses_sound(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", (64, 32), 10, Format("png", "rgb"), sound=Hum())
    with pytest.raises(UserError, match="a folder of pictures has no sound"):
        recorder.start()
    assert not list(tmp_path.iterdir())


# The tap.


def test_software_gl_is_read_at_once_with_the_top_row_first(gl: moderngl.Context) -> None:
    pixels = np.zeros((32, 64, 4), np.uint8)
    pixels[:8] = pixels[:, :3] = 200
    pixels[..., 3] = 255
    picture = Picture(gl)
    picture.upload(pixels, 64, 32)
    compositor = Compositor(gl, (64, 32))
    compositor.compose([Layer(picture)], Look())
    tap = Tap(gl, (64, 32))
    (taken,) = tap.take(compositor.target, 5)
    np.testing.assert_array_equal(taken.pixels, pixels)
    assert taken.show_time_ns == 5
    assert list(tap.drain()) == []


def test_a_gpu_is_read_two_frames_late(
    gl: moderngl.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.tap, "is_software", lambda renderer: False)
    target = gl.framebuffer([gl.texture((8, 4), 4)])
    tap = Tap(gl, (8, 4))
    arrived = []
    for frame in range(7):
        target.clear(frame / 255, 0.0, 0.0, 1.0)
        taken = [(one.show_time_ns, int(one.pixels[0, 0, 0])) for one in tap.take(target, frame)]
        assert taken == ([(frame - 2, frame - 2)] if frame >= 2 else [])
        arrived += taken
    arrived += [(one.show_time_ns, int(one.pixels[3, 7, 0])) for one in tap.drain()]
    assert arrived == [(frame, frame) for frame in range(7)]
    tap.release()


def test_a_tap_refuses_a_picture_of_another_size(gl: moderngl.Context) -> None:
    tap = Tap(gl, (8, 4))
    with pytest.raises(ValueError, match=r"\(8, 4\)"):
        tap.take(gl.framebuffer([gl.texture((4, 8), 4)]), 0)
