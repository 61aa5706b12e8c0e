"""Names that films take at their beginning, and give back if nothing comes of them."""

from pathlib import Path

import pytest

from engine.errors import UserError
from live.claims import claim


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
