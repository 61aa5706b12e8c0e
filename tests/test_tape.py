"""The tape through changes of size, disks that fill up and an early end: the files read back."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import moderngl
import pytest

import live.film
import live.recorder
import live.tape
from engine.errors import UserError
from live.codecs import format_for
from live.tape import Tape

MS = 1_000_000
SMALL, LARGE = (64, 32), (96, 48)
Size = tuple[int, int]
Draw = Callable[[Size], moderngl.Framebuffer]


@pytest.fixture
def drawn(gl: moderngl.Context) -> Draw:
    """A program picture of a size."""

    def draw(size: Size) -> moderngl.Framebuffer:
        target = gl.framebuffer([gl.texture(size, 4)])
        target.clear(0.5, 0.5, 0.5, 1.0)
        return target

    return draw


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Files are opened only while this is set."""
    event = threading.Event()
    event.set()
    opened = live.film.opened

    def slow(*args: object) -> object:
        assert event.wait(10), "see() waits for the file"
        return opened(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(live.film, "opened", slow)
    yield event
    event.set()


def show(tape: Tape, target: moderngl.Framebuffer, since_ms: int, frames: int) -> int:
    """So many frames, 100 ms apart; return when the next one comes."""
    for frame in range(frames):
        tape.see(target, (since_ms + frame * 100) * MS)
    return since_ms + frames * 100


def films(folder: Path) -> dict[str, tuple[int, Size]]:
    """The files of a folder: how many frames they hold, and of which size."""
    found = {}
    for path in folder.iterdir():
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        found[path.name] = (len(frames), (frames[0].width, frames[0].height))
    return found


def test_a_size_that_stands_still_becomes_the_next_file(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 4)
    show(tape, drawn(LARGE), at, 5 + 3)  # half a second goes by, then three frames
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (4, SMALL), "a-2.mp4": (3, LARGE)}
    assert tape.counts == {
        "written": 7,
        "dropped": 5,
        "duplicated": 0,
        "files": [str(tmp_path / "a.mp4"), str(tmp_path / "a-2.mp4")],
    }


def test_dragging_the_edge_of_a_window_makes_one_more_file(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 3)
    for width in range(66, 96, 2):
        at = show(tape, drawn((width, 48)), at, 1)
    at = show(tape, drawn((60, 48)), at, 4)  # a rest that is too short
    show(tape, drawn(LARGE), at, 5 + 2)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (3, SMALL), "a-2.mp4": (2, LARGE)}
    assert tape.counts["dropped"] == 15 + 4 + 5


def test_a_size_that_comes_back_begins_another_file(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 3)
    at = show(tape, drawn(LARGE), at, 2)
    show(tape, drawn(SMALL), at, 5 + 2)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (3, SMALL), "a-2.mp4": (2, SMALL)}


def test_the_next_file_is_not_waited_for(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, gate: threading.Event
) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 1)
    gate.clear()
    show(tape, drawn(LARGE), at, 5 + 3)
    gate.set()
    tape.close(60)
    assert films(tmp_path)["a-2.mp4"] == (3, LARGE)


def fill_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))


def take_the_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(path)
    path.write_text("no folder any more")


@pytest.mark.parametrize(
    ("misfortune", "said", "left"),
    [(fill_the_disk, "256 MB are left", ["a.mp4"]), (take_the_folder, "is not a folder", [])],
)
def test_where_the_next_file_cannot_be_made_the_show_goes_on(
    gl: moderngl.Context,
    tmp_path: Path,
    drawn: Draw,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    misfortune: Callable[[Path, pytest.MonkeyPatch], None],
    said: str,
    left: list[str],
) -> None:
    folder = tmp_path / "films"
    tape = Tape(gl, folder / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 4)
    while tape._recorders[0]._pending:  # the first file is not to fail
        time.sleep(0.001)
    misfortune(folder, monkeypatch)
    at = show(tape, drawn(LARGE), at, 10)
    tape._recorders[-1].close()  # from here on the failure is known
    at = show(tape, drawn(LARGE), at, 10)
    show(tape, drawn(SMALL), at, 10)  # nor is another file begun
    tape.close(60)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert said in caplog.text
    assert tape.counts == {
        "written": 4,
        "dropped": 30,
        "duplicated": 0,
        "files": [str(folder / name) for name in left],
    }


def test_a_size_without_memory_ends_the_recording_and_not_the_show(
    gl: moderngl.Context,
    tmp_path: Path,
    drawn: Draw,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*args: object) -> None:
        raise moderngl.Error("cannot create buffer")

    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 4)
    monkeypatch.setattr(live.tape, "Tap", fails)
    show(tape, drawn(LARGE), at, 10)
    tape.close(60)
    assert [record.message for record in caplog.records] == [
        "recording stopped, the show goes on: cannot create buffer"
    ]
    assert films(tmp_path) == {"a.mp4": (4, SMALL)}
    assert (tape.counts["written"], tape.counts["dropped"]) == (4, 10)


def test_the_first_file_must_be_possible(gl: moderngl.Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        Tape(gl, tmp_path / "file" / "a.mp4", SMALL, fps=10)


def test_only_files_that_exist_are_told(gl: moderngl.Context, tmp_path: Path, drawn: Draw) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    show(tape, drawn(LARGE), 0, 5 + 1)  # not one frame of the first size
    tape.close(60)
    assert list(films(tmp_path).values()) == [(1, LARGE)]
    assert tape.counts["files"] == [str(path) for path in tmp_path.iterdir()]


def test_a_gpus_pictures_under_way_are_kept_at_a_change_of_size(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.recorder, "is_software", lambda renderer: False)
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 4)
    show(tape, drawn(LARGE), at, 5 + 3)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (4, SMALL), "a-2.mp4": (3, LARGE)}


def test_the_end_does_not_wait_for_an_encoder_that_stands_still(
    gl: moderngl.Context,
    tmp_path: Path,
    drawn: Draw,
    gate: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tape = Tape(gl, tmp_path / "a.mp4", SMALL, fps=10)
    at = show(tape, drawn(SMALL), 0, 4)
    tape._recorders[0].close()
    gate.clear()
    show(tape, drawn(LARGE), at, 5 + 3)
    tape.close(0.01)
    assert "a-2.mp4: not complete when the program ended" in caplog.text
    assert len(caplog.records) == 1
    tape.close(0.01)  # nor is that said twice
    assert len(caplog.records) == 1
    assert tape.counts == {
        "written": 4,
        "dropped": 5 + 3,
        "duplicated": 0,
        "files": [str(tmp_path / "a.mp4")],
    }
    gate.set()
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (4, SMALL)}


def test_every_file_has_the_format_and_only_the_first_takes_a_name_that_is_there(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    for name in ("a.mkv", "a-2.mkv"):
        (tmp_path / name).write_text("old")
    path, format = format_for(tmp_path / "a", "ffv1", None)
    tape = Tape(gl, path, SMALL, 10, format, overwrite=True)
    at = show(tape, drawn(SMALL), 0, 4)
    show(tape, drawn(LARGE), at, 5 + 3)
    tape.close(60)
    assert (tmp_path / "a-2.mkv").read_text() == "old"
    (tmp_path / "a-2.mkv").unlink()
    assert films(tmp_path) == {"a.mkv": (4, SMALL), "a-3.mkv": (3, LARGE)}
    with av.open(str(tmp_path / "a-3.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
