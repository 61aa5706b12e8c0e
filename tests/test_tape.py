"""The tape through changes of size, disks that fill up and an early end: the files read back."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import moderngl
import pytest

import live.film
import live.recorder
import live.sidecar
import live.tap
import live.tape
from engine.errors import UserError
from live.sidecar import NEWEST
from live.tape import Tape, Wanted

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


def taped(gl: moderngl.Context, path: Path, **wanted: Any) -> Tape:
    """A recording that has begun."""
    tape = Tape(gl, SMALL, Wanted(10, folder=path.parent, **wanted))
    tape.start(path)
    return tape


def show(tape: Tape, target: moderngl.Framebuffer, since_ms: int, frames: int) -> int:
    """So many frames, 100 ms apart; return when the next one comes."""
    for frame in range(frames):
        tape.see(target, (since_ms + frame * 100) * MS, target.size)
    return since_ms + frames * 100


def films(folder: Path) -> dict[str, tuple[int, Size]]:
    """The files of a folder: how many frames they hold, and of which size."""
    found = {}
    for path in folder.glob("*.mp4"):
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        found[path.name] = (len(frames), (frames[0].width, frames[0].height))
    return found


def test_a_size_that_stands_still_becomes_the_next_file(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    show(tape, drawn(LARGE), at, 5 + 3)  # half a second goes by, then three frames
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (4, SMALL), "a-2.mp4": (3, LARGE)}
    assert tape.counts == {
        "written": 7,
        "dropped": 5,
        "early": 0,
        "duplicated": 0,
        "files": [str(tmp_path / "a.mp4"), str(tmp_path / "a-2.mp4")],
    }


def test_dragging_the_edge_of_a_window_makes_one_more_file(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = taped(gl, tmp_path / "a.mp4")
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
    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 3)
    at = show(tape, drawn(LARGE), at, 2)
    show(tape, drawn(SMALL), at, 5 + 2)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (3, SMALL), "a-2.mp4": (2, SMALL)}


def test_the_next_file_is_not_waited_for(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, gate: threading.Event
) -> None:
    tape = taped(gl, tmp_path / "a.mp4")
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
    tape = taped(gl, folder / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    while tape._films[0].recorder._pending:  # the first file is not to fail
        time.sleep(0.001)
    misfortune(folder, monkeypatch)
    at = show(tape, drawn(LARGE), at, 10)
    tape._films[-1].recorder.close()  # from here on the failure is known
    at = show(tape, drawn(LARGE), at, 10)
    show(tape, drawn(SMALL), at, 10)  # nor is another file begun
    tape.close(60)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert said in errors[0].message
    assert tape.counts == {
        "written": 4,
        "dropped": 30,
        "early": 0,
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

    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    monkeypatch.setattr(live.tape, "Tap", fails)
    show(tape, drawn(LARGE), at, 10)
    tape.close(60)
    assert [record.message for record in caplog.records] == [
        "recording stopped, the show goes on: no memory for pictures of 96x48: cannot create buffer"
    ]
    assert films(tmp_path) == {"a.mp4": (4, SMALL)}
    assert (tape.counts["written"], tape.counts["dropped"]) == (4, 10)


def test_the_first_file_must_be_possible(gl: moderngl.Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        taped(gl, tmp_path / "file" / "a.mp4")


def test_only_files_that_exist_are_told(gl: moderngl.Context, tmp_path: Path, drawn: Draw) -> None:
    tape = taped(gl, tmp_path / "a.mp4")
    show(tape, drawn(LARGE), 0, 5 + 1)  # not one frame of the first size
    tape.close(60)
    assert list(films(tmp_path).values()) == [(1, LARGE)]
    assert tape.counts["files"] == [str(path) for path in tmp_path.glob("*.mp4")]


def test_a_gpus_pictures_under_way_are_kept_at_a_change_of_size(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.tap, "is_software", lambda renderer: False)
    tape = taped(gl, tmp_path / "a.mp4")
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
    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    tape._films[0].recorder.close()
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
        "early": 0,
        "duplicated": 0,
        "files": [str(tmp_path / "a.mp4")],
    }
    gate.set()
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (4, SMALL)}


def sidecar(path: Path) -> Any:
    return json.loads(path.with_name(f"{path.name}.json").read_text())


def test_recordings_begin_and_end_in_mid_show(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    begun: list[Path] = []
    tape = Tape(gl, SMALL, Wanted(10, folder=tmp_path), begun=begun.append)
    target = drawn(SMALL)
    assert tape.status == (False, False, 0, 0.0, "")
    at = show(tape, target, 0, 5)
    tape.begin("first", at * MS)
    assert tape.recording
    at = show(tape, target, at, 4)
    tape.stop()
    assert not tape.recording
    at = show(tape, target, at, 3)
    tape.begin("", at * MS)
    show(tape, target, at, 2)
    tape.close(60)
    (second,) = set(films(tmp_path)) - {"first.mp4"}
    assert films(tmp_path) == {"first.mp4": (4, SMALL), second: (2, SMALL)}
    assert second.startswith("anthesis-20")
    assert begun == [tmp_path / "first.mp4", tmp_path / second]
    assert (tape.counts["written"], tape.counts["dropped"]) == (6, 0)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "..", ".hidden", "a\\b"])
def test_the_desk_cannot_name_a_file_elsewhere(
    gl: moderngl.Context,
    tmp_path: Path,
    drawn: Draw,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tape = Tape(gl, SMALL, Wanted(10, folder=tmp_path / "films"))
    tape.begin(name, 0)
    show(tape, drawn(SMALL), 0, 2)
    tape.close(60)
    assert "is not a plain name" in caplog.text
    assert not list(tmp_path.iterdir())


def test_what_the_desk_names_like_another_kind_of_film_gets_the_right_ending(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    tape = Tape(gl, SMALL, Wanted(10, folder=tmp_path))
    tape.begin("night.1", 0)
    show(tape, drawn(SMALL), 0, 2)
    tape.close(60)
    assert list(films(tmp_path)) == ["night.1.mp4"]


def test_the_sidecar_says_what_is_in_the_film(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    facts = {"networks": {"a.pt": "0" * 64}, "take": "a.take"}
    tape = Tape(gl, SMALL, Wanted(10, folder=tmp_path), facts=lambda: facts)
    tape.start(tmp_path / "a.mp4")
    target = drawn(SMALL)
    at = show(tape, target, 5000, 4)
    tape.mark("the drop", at * MS)
    tape.mark("", (at + 50) * MS)
    show(tape, target, at + 300, 2)  # three pictures late
    tape.close(60)
    said = sidecar(tmp_path / "a.mp4")
    assert said["film"] == "a.mp4"
    assert said["state"] == "complete"
    assert (said["networks"], said["take"]) == (facts["networks"], "a.take")
    assert (said["size"], said["fps"]) == ([64, 32], 10.0)
    assert (said["codec"], said["encoder"], said["tap"]) == ("h264", "libx264", "program")
    assert said["show_time_s"] == 5.0
    assert said["frames"] == {"written": 9, "duplicated": 3, "dropped": 0, "early": 0}
    assert said["repeated"] == [[4, 3]]
    assert said["missing"] == []
    assert said["markers"] == [
        {"text": "the drop", "show_time_s": 5.4, "frame": 4},
        {"text": "marker 2", "show_time_s": 5.45, "frame": 4},
    ]


def test_a_sidecar_that_cannot_be_written_is_said_and_the_film_is_whole(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mp4.json").write_text("somebody's")
    tape = taped(gl, tmp_path / "a.mp4")
    show(tape, drawn(SMALL), 0, 4)
    tape.close(60)
    assert (tmp_path / "a.mp4.json").read_text() == "somebody's"
    assert json.loads((tmp_path / "a.mp4-2.json").read_text())["film"] == "a.mp4"
    again = tmp_path / "b.mp4"
    (tmp_path / "b.mp4.json").mkdir()
    tape = taped(gl, again, overwrite=True)
    show(tape, drawn(SMALL), 0, 4)
    tape.close(60)
    assert "b.mp4.json: cannot be written" in caplog.text
    assert films(tmp_path)["b.mp4"] == (4, SMALL)


def test_a_film_is_only_overwritten_where_that_was_asked_for(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    for frames, wanted in ((3, {}), (2, {}), (5, {"overwrite": True})):
        tape = taped(gl, tmp_path / "a.mp4", **wanted)
        at = show(tape, drawn(SMALL), 0, frames)
        show(tape, drawn(LARGE), at, 5 + 1 if wanted else 0)
        tape.close(60)
    assert films(tmp_path) == {"a.mp4": (5, SMALL), "a-2.mp4": (2, SMALL), "a-3.mp4": (1, LARGE)}


def test_an_odd_size_is_said_before_the_show(gl: moderngl.Context, tmp_path: Path) -> None:
    tape = Tape(gl, (65, 32), Wanted(10))
    said = tape.start(tmp_path / "a.mp4")
    assert said.endswith("a.mp4 is 66x32: the last row or column of 65x32 is there twice")
    tape.close(60)
    assert not list(tmp_path.iterdir())


def test_a_film_that_is_overwritten_is_there_until_the_first_picture(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    (tmp_path / "a.mp4").write_text("yesterday's")
    taped(gl, tmp_path / "a.mp4", overwrite=True).close(60)  # nothing was recorded
    assert (tmp_path / "a.mp4").read_text() == "yesterday's"
    tape = taped(gl, tmp_path / "a.mp4", overwrite=True)
    show(tape, drawn(SMALL), 0, 3)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (3, SMALL)}
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "a.mp4.json"}


def test_what_the_end_cuts_off_is_named(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    while tape._films[0].recorder._pending:
        time.sleep(0.001)
    stuck = threading.Event()
    monkeypatch.setattr(live.film.Film, "write", lambda *given: stuck.wait(30))
    show(tape, drawn(SMALL), at, 5)
    tape.close(0.05)
    said = sidecar(tmp_path / "a.mp4")
    stuck.set()
    assert said["state"].startswith("cut off")
    assert said["missing"] == [[0.4, 0.8, 5]]
    assert said["frames"]["dropped"] == 5


def test_while_it_records_a_sidecar_tells_the_newest_losses_and_all_in_the_end(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw
) -> None:
    """An hour of a 50 Hz projector has 36,000 of them; to write all every second would be felt."""
    tape = taped(gl, tmp_path / "a.mp4")
    target, film = drawn(SMALL), tape._films[0]
    for number in range(3 * NEWEST):
        tape.see(target, number * 200 * MS, SMALL)  # every second frame
        while film.recorder._pending:
            time.sleep(0.0001)
    film.write()
    assert len(sidecar(tmp_path / "a.mp4")["repeated"]) == NEWEST
    tape.close(60)
    assert len(sidecar(tmp_path / "a.mp4")["repeated"]) == 3 * NEWEST - 1


def test_markers_end_somewhere_and_that_is_said_once(
    gl: moderngl.Context,
    tmp_path: Path,
    drawn: Draw,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live.sidecar, "MOST_MARKERS", 3)
    tape = taped(gl, tmp_path / "a.mp4")
    tape.mark("before", 0)
    show(tape, drawn(SMALL), 0, 2)
    for _ in range(9):
        tape.mark("", 100 * MS)
    tape.close(60)
    assert len(sidecar(tmp_path / "a.mp4")["markers"]) == 3
    assert len(caplog.records) == 1
    tape.mark("after", 0)
    tape.mark("after", 0)
    assert len(caplog.records) == 2


def test_the_end_waits_for_no_disk_that_hangs(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for that of the film nor for that of its sidecar, which is the same."""
    tape = taped(gl, tmp_path / "a.mp4")
    at = show(tape, drawn(SMALL), 0, 4)
    while tape._films[0].recorder._pending:
        time.sleep(0.001)
    stuck = threading.Event()
    monkeypatch.setattr(live.film.Film, "write", lambda *given: stuck.wait(30))
    show(tape, drawn(SMALL), at, 2)
    with tape._films[0]._lock:  # somebody writes it just now
        tape.close(0.05)
    stuck.set()


def test_what_cannot_be_said_of_a_film_does_not_end_it(
    gl: moderngl.Context, tmp_path: Path, drawn: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    tape = Tape(gl, SMALL, Wanted(10, folder=tmp_path), facts=lambda: {"no JSON": object()})
    tape.start(tmp_path / "a.mp4")
    at, target = 0, drawn(SMALL)
    for _ in range(25):
        at = show(tape, target, at, 1)
        while tape._films[0].recorder._pending:
            time.sleep(0.0001)
    tape.close(60)
    assert films(tmp_path) == {"a.mp4": (25, SMALL)}
    assert len(caplog.records) == 1
