"""What a projection leaves: its record, and which result is of which photo and network."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projected import project, record

from engine.errors import UserError
from engine.projection import results
from engine.projection.results import find_result, read_result, result_stem

COMMAND = "anthesis project photos/irene.jpg --network ffhq.pt -o latents"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # messages have the names that people give
    for name in ("photos/irene.jpg", "photos/anna.jpg", "ffhq.pt", "faces.pt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(name.encode())
    return tmp_path


IRENE, ANNA = Path("photos/irene.jpg"), Path("photos/anna.jpg")
FFHQ, FACES = Path("ffhq.pt"), Path("faces.pt")
FOLDERS = (Path("latents"), Path("photos"), Path("photos/latents"))


def find(photo: Path = IRENE, face: int = 1, network: Path = FFHQ) -> Path:
    return find_result(photo, face, network, FOLDERS)


def missing(photo: Path = IRENE, face: int = 1, network: Path = FFHQ) -> str:
    """What is said where there is none."""
    with pytest.raises(UserError) as refusal:
        find(photo, face, network)
    return one_line(refusal.value)


def one_line(error: UserError) -> str:
    assert str(error).isprintable()
    return str(error)


# --- the record --------------------------------------------------------------------------------


def test_files_are_called_by_the_photo_and_the_face() -> None:
    assert result_stem(Path("a/irene.jpg"), 1) == "irene"
    assert result_stem(Path("band.2024.png"), 12) == "band.2024.face12"


def test_a_record_is_read(folder: Path) -> None:
    npy = project(IRENE, FFHQ, FOLDERS[0], face=2)
    result = read_result(npy.with_suffix(".json"))
    assert (result.photo.name, result.photo.align, result.photo.face) == ("irene.jpg", "face", 2)
    assert (result.network.name, result.network.resolution) == ("ffhq.pt", 1024)
    assert (result.network.num_ws, result.network.w_dim) == (18, 512)
    assert (result.steps, result.finished, result.loss, result.psnr) == (500, True, 0.0213, 24.0)
    assert (result.lpips, result.seconds, result.device) == (None, 71.5, "cpu")
    assert result.settings["start"] == "mean"


def test_a_record_may_say_more_than_is_known_here(folder: Path) -> None:
    more = {"photo": record(IRENE, FFHQ)["photo"] | {"eyes": [1, 2]}, "weather": None}
    npy = project(IRENE, FFHQ, FOLDERS[0], changes=more)
    assert read_result(npy.with_suffix(".json")).photo.name == "irene.jpg"


def _changed(**changes: Any) -> bytes:
    return json.dumps(_RECORD | changes).encode()


_RECORD = {
    "anthesis": 1,
    "photo": {"name": "a.jpg", "sha256": "0" * 64, "align": "none", "face": None},
    "network": {"name": "n", "sha256": "f" * 64, "resolution": 8, "num_ws": 4, "w_dim": 8},
    "steps": 0,
    "finished": False,
}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "Invalid JSON"),
        (b"\x93NUMPY", "Invalid JSON"),
        (b'{"anthesis": "\xff"}', "Invalid JSON"),
        (_changed()[:-9], "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "not the record of a projection"),
        (b"{}", "anthesis: Field required"),
        (b'{"version": "5.1", "shapes": []}', "anthesis: Field required"),  # of another program
        (_changed(anthesis=2), "anthesis: Input should be 1"),
        (_changed(photo=None), "photo: "),
        (_changed(photo=_RECORD["photo"] | {"sha256": "0" * 63}), "photo.sha256: "),
        (_changed(photo=_RECORD["photo"] | {"sha256": "0" * 64 + "\n"}), "photo.sha256: "),
        (_changed(photo=_RECORD["photo"] | {"face": 0}), "photo.face: "),
        (_changed(photo=_RECORD["photo"] | {"name": "n" * 256}), "photo.name: "),
        (_changed(network=_RECORD["network"] | {"num_ws": "18"}), "network.num_ws: "),
        (_changed(steps=True), "steps: "),
        (_changed(steps=1e400), "steps: "),
        (_changed(finished=1), "finished: "),
        (_changed(loss=float("nan")), "loss: "),
        (_changed(loss="0.1"), "loss: "),
        (_changed(settings=[1]), "settings: "),
        (_changed(x=" " * (1 << 18)), "is too large for the record of a projection"),
    ],
)
def test_what_is_no_record_is_said_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "irene.json"
    file.write_bytes(_changed())
    assert read_result(file).steps == 0
    file.write_bytes(data)
    with pytest.raises(UserError) as refusal:
        read_result(file)
    said = one_line(refusal.value).removeprefix(f"{file}: ")
    assert says in said
    assert len(said) < 300


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("nothing.json", "folder.json", "pipe.json"):
        if name == "folder.json":
            (tmp_path / name).mkdir()
        elif name == "pipe.json" and hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="there is no such file"):
            read_result(tmp_path / name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
PLACES = [(key,) for key in _RECORD] + [
    (table, key) for table in ("photo", "network") for key in _RECORD[table]
]


@given(st.sampled_from(PLACES), values)
def test_whatever_a_record_holds_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, ...], value: Any
) -> None:
    changed = json.loads(json.dumps(_RECORD))
    table = changed
    for step in place[:-1]:
        table = table[step]
    table[place[-1]] = value
    _read_or_refused(tmp_path_factory.getbasetemp() / "any.json", json.dumps(changed).encode())


@given(st.integers(0, len(_changed())), st.binary(max_size=4))
def test_a_damaged_record_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes
) -> None:
    data = _changed()
    file = tmp_path_factory.getbasetemp() / "any.json"
    _read_or_refused(file, data[:at] + noise + data[at + len(noise) :])


def _read_or_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        result = read_result(file)
    except UserError as error:
        one_line(error)
    else:
        assert (type(result.steps), type(result.finished)) == (int, bool)
        assert len(result.photo.sha256) == len(result.network.sha256) == 64


# --- which result ------------------------------------------------------------------------------


def test_the_first_folder_that_has_the_result_gives_it(folder: Path) -> None:
    assert missing() == f"photos/irene.jpg: has not been projected for ffhq.pt: {COMMAND}"
    for place in reversed(FOLDERS):
        project(IRENE, FFHQ, place)
        assert find() == place / "irene.npy"


def test_an_interrupted_search_counts(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0], changes={"finished": False, "steps": 12})
    assert find() == Path("latents/irene.npy")


def test_photo_and_network_are_known_by_their_contents(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    moved, network = Path("irene.jpeg"), Path("faces/ffhq1024.pt")
    network.parent.mkdir()
    shutil.copy(IRENE, moved)
    shutil.copy(FFHQ, network)
    assert find(moved, network=network) == Path("latents/irene.npy")


def test_each_face_has_a_result_of_its_own(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    assert missing(face=2) == (
        "photos/irene.jpg: face 2 has not been projected for ffhq.pt: "
        "anthesis project photos/irene.jpg --face 2 --network ffhq.pt -o latents"
    )
    project(IRENE, FFHQ, FOLDERS[0], face=2)
    assert find(face=2) == Path("latents/irene.face2.npy")
    shutil.copy("latents/irene.face2.json", "latents/irene.json")
    assert "(latents/irene.npy is of face 2): anthesis" in missing()


def test_a_photo_without_a_face_that_was_looked_for_is_its_first(folder: Path) -> None:
    whole = record(IRENE, FFHQ)["photo"] | {"align": "none", "face": None}
    project(IRENE, FFHQ, FOLDERS[0], changes={"photo": whole})
    assert find() == Path("latents/irene.npy")


def test_another_picture_of_that_name_is_told(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    IRENE.write_bytes(b"another photo")
    assert missing() == (
        "photos/irene.jpg: has not been projected for ffhq.pt (latents/irene.npy is of another "
        f"picture of that name): {COMMAND.replace('-o ', '-o photos/')}"
    )
    drawing = IRENE.with_suffix(".png")
    drawing.write_bytes(b"a drawing")
    assert "latents/irene.npy is of another picture, irene.jpg)" in missing(drawing)


def test_another_network_is_told_and_its_result_left_in_place(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    assert missing(network=FACES) == (
        "photos/irene.jpg: has not been projected for faces.pt (latents/irene.npy is for another "
        "network, ffhq.pt): anthesis project photos/irene.jpg --network faces.pt -o photos/latents"
    )
    FFHQ.write_bytes(b"other weights")
    assert "(latents/irene.npy is for another network of that name)" in missing()


def test_the_command_takes_no_other_files_place(folder: Path) -> None:
    FOLDERS[0].mkdir()
    among = FOLDERS[0] / "otto.jpg"
    among.write_bytes(b"otto")
    assert missing(among).endswith("-o latents")
    portrait = FOLDERS[0] / "otto.png"  # where the picture of its result would be
    portrait.write_bytes(b"otto")
    assert missing(portrait).endswith("-o photos")
    Path("photos/otto.npy").write_bytes(b"")
    assert missing(portrait).endswith("-o photos/latents")
    project(ANNA, FFHQ, Path("photos/latents")).rename("photos/latents/otto.npy")
    assert missing(portrait).endswith("-o latents")  # the command itself is to see to it


def test_what_is_damaged_or_of_unknown_origin_hides_nothing(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0]).with_suffix(".json").write_text("{")
    assert "(latents/irene.npy is of unknown origin: latents/irene.json: is not the" in missing()
    Path("latents/irene.json").unlink()
    assert "is of unknown origin: latents/irene.json: there is no such file)" in missing()
    Path("photos/irene.json").write_text('{"shapes": []}')  # of another program, and no latent
    assert "photos/irene.json" not in missing()
    project(IRENE, FFHQ, FOLDERS[2])
    assert find() == Path("photos/latents/irene.npy")


def test_a_record_alone_is_no_result(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0]).unlink()
    assert missing().startswith("photos/irene.jpg: has not been projected for ffhq.pt: anthesis")


def test_a_bundled_network_goes_by_its_name(folder: Path) -> None:
    with pytest.raises(UserError) as refusal:
        find_result(IRENE, 1, FFHQ, FOLDERS, network_name="flowers")
    said = "has not been projected for flowers: anthesis project photos/irene.jpg --network flowers"
    assert said in str(refusal.value)


def test_names_are_quoted_for_a_shell(folder: Path) -> None:
    photo = Path("photos/Irene & Otto's.jpg")
    photo.write_bytes(b"two")
    quoted = "'photos/Irene & Otto'\"'\"'s.jpg'"
    assert f"anthesis project {quoted} --network ffhq.pt" in missing(photo)


def test_names_with_line_breaks_are_told_in_one_line(folder: Path) -> None:
    photo = Path("photos/a\nb.jpg")
    photo.write_bytes(b"two lines")
    assert "a\\nb.jpg" in missing(photo)


def test_names_that_leave_no_room_for_a_result_are_not_found(folder: Path) -> None:
    photo = Path("photos") / f"{'n' * 250}.jpg"
    photo.write_bytes(b"long")
    assert "has not been projected" in missing(photo, face=2)


# --- hashes ------------------------------------------------------------------------------------


@pytest.fixture
def hashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed."""
    seen: list[Path] = []
    real = results.sha256
    monkeypatch.setattr(results, "sha256", lambda path: (seen.append(path), real(path))[1])
    results._sha256_at.cache_clear()
    return seen


def test_a_file_is_hashed_once_and_again_when_it_has_changed(hashed: list[Path]) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    project(ANNA, FFHQ, FOLDERS[0])
    for photo in (IRENE, ANNA, IRENE):
        find(photo)
    assert hashed == [IRENE, FFHQ, ANNA]
    FFHQ.write_bytes(b"weights of another size")
    assert "another network of that name" in missing()
    assert hashed == [IRENE, FFHQ, ANNA, FFHQ]


def test_nothing_is_hashed_where_there_is_no_result(hashed: list[Path]) -> None:
    missing()
    assert hashed == []
    project(ANNA, FFHQ, FOLDERS[0]).rename("latents/irene.npy")
    Path("latents/anna.json").rename("latents/irene.json")
    missing()
    assert hashed == [IRENE]  # the network may be large


def test_a_photo_that_is_gone_is_said_to_be(folder: Path) -> None:
    project(IRENE, FFHQ, FOLDERS[0])
    IRENE.unlink()
    assert missing() == "photos/irene.jpg: cannot be read (No such file or directory)"
