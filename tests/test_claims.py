"""Names that films take at their beginning, and give back if nothing comes of them."""

from pathlib import Path

import pytest

from engine.errors import UserError
from live.claims import check_free, claim, place


@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_a_name_that_is_free_is_claimed(tmp_path: Path, name: str) -> None:
    wished = tmp_path / "new folder" / name
    claims = [claim(wished) for _ in range(3)]
    stem, suffix = wished.stem, wished.suffix
    assert [one.path.name for one in claims] == [name, f"{stem}-2{suffix}", f"{stem}-3{suffix}"]
    assert all(one.path.is_file() if suffix else one.path.is_dir() for one in claims)
    for one in claims:
        one.give_up()
    assert not list(wished.parent.iterdir())


def old_film(folder: Path, name: str) -> Path:
    path = folder / name
    if path.suffix:
        path.write_text("old")
    else:
        path.mkdir()
        for number in ("000000.png", "1000000.png"):
            (path / number).write_text("old")
    return path


@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_what_is_overwritten_is_there_again_if_no_film_comes(tmp_path: Path, name: str) -> None:
    path = old_film(tmp_path, name)
    size = path.stat().st_size
    taken = claim(path, overwrite=True)
    assert taken.path == path
    assert path.stat().st_size != size if path.suffix else not list(path.iterdir())
    taken.give_up()
    assert path.read_text() == "old" if path.suffix else len(list(path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_what_is_overwritten_goes_with_the_first_picture(tmp_path: Path, name: str) -> None:
    path = old_film(tmp_path, name)
    claim(path, overwrite=True).keep()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "" if path.suffix else not list(path.iterdir())


@pytest.mark.parametrize("kept", ["notes.txt", "1.png", "000000.png.txt", "000000.jpg"])
def test_a_folder_with_anything_else_in_it_is_never_taken(tmp_path: Path, kept: str) -> None:
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
        ("folder.mp4", "is a folder"),
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


def test_a_file_gets_a_name_that_nobody_has(tmp_path: Path) -> None:
    wished = tmp_path / "x.json"
    for text, name in (("a", "x.json"), ("b", "x-2.json"), ("c", "x-3.json")):
        written = tmp_path / "written"
        written.write_text(text)
        assert place(written, wished) == tmp_path / name
        assert (tmp_path / name).read_text() == text
        assert not written.exists()
    (tmp_path / "written").write_text("d")
    assert place(tmp_path / "written", wished, overwrite=True) == wished
    assert wished.read_text() == "d"


@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_a_name_that_cannot_be_taken_leaves_what_is_there(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_film(tmp_path, name)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("live.claims._make", full)
    with pytest.raises(UserError, match="No space left on device"):
        claim(path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old" if path.suffix else len(list(path.iterdir())) == 2
