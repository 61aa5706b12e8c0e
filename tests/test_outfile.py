"""Files written at a command's end: what cannot be written is known at its beginning."""

import json
import os
from pathlib import Path

import pytest

from engine.errors import UserError
from live.outfile import check_free, check_writable, claim, place, unclaim, write_json


def test_what_can_be_written_passes_and_is_left_alone(tmp_path: Path) -> None:
    check_writable("--stats", tmp_path / "new.json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.json").write_text("kept")
    check_writable("--stats", tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere/x.json", "there is no folder"),
        ("file/x.json", "there is no folder"),
        ("", "is a folder"),
        ("x" * 300, "too long"),
    ],
)
def test_what_cannot_be_written_is_said_with_option_and_path(
    name: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=says) as refusal:
        check_writable("--stats", tmp_path / name)
    assert str(refusal.value).startswith(f"--stats {tmp_path}")


@pytest.mark.parametrize("name", ["", "old.json"])
def test_rights_are_asked_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file, and of its folder where it is not there; not by doing, for root may anything."""
    (tmp_path / "old.json").touch()
    forbidden = tmp_path / name
    monkeypatch.setattr(os, "access", lambda path, mode: path != forbidden or mode != os.W_OK)
    with pytest.raises(UserError, match="may not be written"):
        check_writable("--stats", tmp_path / (name or "new.json"))
    check_writable("--stats", tmp_path / ("old.json" if not name else "new.json"))


def test_records_are_json(tmp_path: Path) -> None:
    write_json("--stats", tmp_path / "x.json", {"frames": 3})
    assert json.loads((tmp_path / "x.json").read_text()) == {"frames": 3}
    with pytest.raises(UserError, match=r"--stats .*nowhere.*cannot be written"):
        write_json("--stats", tmp_path / "nowhere" / "x.json", {})


# Names that are taken at the beginning.


@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_a_name_that_is_free_is_claimed(tmp_path: Path, name: str) -> None:
    wished = tmp_path / "new folder" / name
    paths = [claim(wished) for _ in range(3)]
    stem, suffix = wished.stem, wished.suffix
    assert [path.name for path in paths] == [name, f"{stem}-2{suffix}", f"{stem}-3{suffix}"]
    assert all(path.is_file() if suffix else path.is_dir() for path in paths)
    assert claim(wished, overwrite=True) == wished
    for path in paths:
        unclaim(path)
    assert not list(wished.parent.iterdir())


def test_overwriting_empties_a_file_and_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("old")
    claim(tmp_path / "film.mp4", overwrite=True)
    assert (tmp_path / "film.mp4").read_text() == ""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("000000.png", "1000000.png"):
        (folder / name).write_text("old")
    assert claim(folder, overwrite=True) == folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kept", ["notes.txt", "1.png", "000000.png.txt", "000000.jpg"])
def test_a_folder_with_anything_else_in_it_is_never_emptied(tmp_path: Path, kept: str) -> None:
    for name in ("000000.png", kept):
        (tmp_path / name).write_text("old")
    with pytest.raises(UserError, match="no picture of a film; name another folder"):
        claim(tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/a.mp4", "file is not a folder"),
        ("file", "is not a folder"),
        ("folder.mp4", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_overwritten_is_one_line(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match=why) as caught:
        claim(tmp_path / name, overwrite=True)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").exists()


# Names that are given at the end.


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(path.name)
    return path


def test_a_folder_of_pictures_gets_the_next_free_name(tmp_path: Path) -> None:
    wished = folder_of(tmp_path / "film", "mine.txt")
    (tmp_path / "film-2").touch()
    placed = place(folder_of(tmp_path / "new", "000000.png"), wished)
    assert placed == tmp_path / "film-3"
    assert (placed / "000000.png").read_text() == "new"
    assert (wished / "mine.txt").read_text() == "film"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film", "film-2", "film-3"]


def test_a_folder_takes_the_place_of_pictures_only(tmp_path: Path) -> None:
    wished = folder_of(tmp_path / "film", "000000.png", "000001.png")
    assert place(folder_of(tmp_path / "new", "000000.png"), wished, overwrite=True) == wished
    assert [path.read_text() for path in wished.iterdir()] == ["new"]
    (wished / "mine.txt").touch()
    (tmp_path / "link").symlink_to(wished)
    for other in ("film", "link", "file"):
        (tmp_path / "file").touch()
        newer = tmp_path / f"newer {other}"
        with pytest.raises(UserError, match=r"mine\.txt|is not a folder"):
            place(folder_of(newer, "000000.png"), tmp_path / other, overwrite=True)
        assert (newer / "000000.png").exists()
    assert len(list(wished.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "overwrite", "says"),
    [
        ("film.mp4", False, "is there already"),
        ("pictures", False, "is there already"),
        ("folder.mp4", True, "is a folder"),
        ("other", True, "holds mine.txt, which is no picture"),
        ("file", True, "is not a folder"),
        ("nowhere/film.mp4", True, "there is no folder"),
        ("nowhere/pictures", True, "there is no folder"),
        ("x" * 300, True, "too long"),
    ],
)
def test_a_film_that_cannot_be_placed_is_known_before_it_is_made(
    tmp_path: Path, name: str, overwrite: bool, says: str
) -> None:
    for file in ("film.mp4", "file"):
        (tmp_path / file).touch()
    folder_of(tmp_path / "pictures", "000000.png")
    folder_of(tmp_path / "folder.mp4")
    folder_of(tmp_path / "other", "mine.txt")
    with pytest.raises(UserError, match=says):
        check_free("-o", tmp_path / name, overwrite=overwrite)
    for free in ("new.mp4", "new"):
        check_free("-o", tmp_path / free, overwrite=False)
    for taken in ("film.mp4", "pictures"):
        check_free("-o", tmp_path / taken, overwrite=True)
