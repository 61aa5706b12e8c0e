"""The contact sheet, on sources without an engine: what it survives, and what it refuses."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from projected import project

from engine.errors import UserError
from live import rehearsal
from live.fake_source import Fake
from live.setlist import bundled
from live.source import Frame, Request, Seed


class Lossy(Fake):
    """Its first engine dies of its first request; frames come one request late, as from one that
    was asked again while it worked.
    """

    def __init__(self, device: str, network: Path, seeds: Iterable[Seed], now: int) -> None:
        super().__init__(network, seeds, now)
        self._engines = 1
        self._finished: Frame | None = None

    def ask(self, request: Request) -> None:
        if self._engines == 1:
            self._engines = 0
        if self._engines:
            super().ask(request)

    def latest(self) -> Frame | None:
        frame, self._finished = self._finished, super().latest()
        return frame

    def tend(self, now: int) -> None:
        if not self._engines:
            self._engines = 2


@pytest.fixture
def setlist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rehearsal, "Supervised", Lossy)
    monkeypatch.setattr(rehearsal, "PATIENCE_S", 10.0)
    path = tmp_path / "show.toml"
    path.write_text('[[cue]]\nname = "a"\nkeys = [{seed = 1}, {seed = 2}]\n')
    return path


def test_an_engine_that_is_lost_delays_the_sheet_and_no_more(setlist: Path, tmp_path: Path) -> None:
    rehearsal.sheet(setlist, tmp_path / "sheet.png", "cpu")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    step = rehearsal.PICTURE + rehearsal.GAP
    top = rehearsal.MARGIN + 2 * rehearsal.HEADING
    row = pixels[top + 20, rehearsal.MARGIN + 20 :: step][: rehearsal.BETWEEN + 2]
    assert len(np.unique(row, axis=0)) == len(row)  # each picture is of its own W+


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sheet", "not a kind of picture"),
        ("sheet.mp4", "not a kind of picture"),
        ("nowhere/sheet.png", "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_known_before_any_engine_starts(
    setlist: Path, tmp_path: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "Supervised", None)
    with pytest.raises(UserError, match=says) as refusal:
        rehearsal.sheet(setlist, tmp_path / name, "cpu")
    assert str(refusal.value).startswith(f"-o {tmp_path / name}")


# --- photos ------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A set list on the bundled network with two people of a photo, and another photo mixed in."""
    network = bundled().cues[0].network
    ws = np.random.RandomState(0).randn(12, 512).astype(np.float32)
    for name in ("band.jpg", "irene.jpg", *(f"p{n}.jpg" for n in range(3))):
        (tmp_path / name).write_bytes(name.encode())
        project(tmp_path / name, network, tmp_path / "latents", ws)
    project(tmp_path / "band.jpg", network, tmp_path / "latents", ws, face=2)
    path = tmp_path / "show.toml"
    path.write_text(
        '[[cue]]\nname = "a"\nkeys = [{seed = 1}, {photo = "band.jpg"}, {photo = "band.jpg"}, '
        '{photo = "band.jpg", face = 2, mix = {photo = "irene.jpg", layers = "4-"}}]\n'
        '[[cue]]\nname = "b"\nkeys = [{seed = 1}, {seed = 2}]\n'
    )
    return path


def test_a_check_tells_the_photos_of_each_cue_in_its_line(photos: Path) -> None:
    with_photos, without = rehearsal.check(photos).splitlines()[1:]
    assert with_photos == (
        "  1  a: 4 keys (photos: band; band, face 2; irene), 12 beats, catmull-rom, hold; "
        "flower128.safetensors"
    )
    assert "2 keys, 4 beats" in without
    more = "".join(f', {{photo = "p{n}.jpg"}}' for n in range(3))
    photos.write_text(photos.read_text().replace("{seed = 1}, {seed = 2}", f"{{seed = 1}}{more}"))
    assert "4 keys (photos: p0; p1; p2), 12 beats" in rehearsal.check(photos)
    photos.write_text(
        photos.read_text().replace("{seed = 1}, {photo = ", f"{{seed = 1}}{more}, {{photo = ")
    )
    assert "7 keys (photos: p0; p1; p2; band; 2 more), " in rehearsal.check(photos)


def test_a_check_says_how_a_photo_that_was_not_projected_will_be(photos: Path) -> None:
    (photos.parent / "latents" / "irene.npy").unlink()
    command = f"anthesis project {photos.parent}/irene.jpg --network flowers -o "
    with pytest.raises(UserError, match=r'\[\[cue\]\] 1 "a" keys\[3\]\.mix\.photo: ') as refusal:
        rehearsal.check(photos)
    assert command in str(refusal.value)


@pytest.mark.parametrize(
    ("caption", "lines"),
    [
        ("seed 1", ["seed 1"]),
        ("irene, face 2 + band, face 12", ["irene, face 2 + band, face", "12"]),
        ("", [""]),
    ],
)
def test_captions_are_broken_at_spaces(caption: str, lines: list[str]) -> None:
    assert rehearsal._wrapped(caption).split("\n") == lines


def test_a_long_name_stays_below_its_picture() -> None:
    name = "IMG_20261125_210455_portrait_of_irene_at_the_stage_door"
    lines = rehearsal._wrapped(f"{name} + seed 9").split("\n")
    assert "".join(lines).replace(" ", "") == f"{name}+seed9"
    assert max(map(rehearsal._caption_font().getlength, lines)) <= rehearsal.PICTURE


def test_there_is_room_for_every_line_of_a_caption(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the last picture of a sheet nothing is cut off, and lines of pictures don't collide."""

    class Flower(Lossy):
        num_ws, w_dim = 12, 512

    monkeypatch.setattr(rehearsal, "Supervised", Flower)
    sizes = []
    for name in ("irene.jpg", f"{'irene_' * 12}.jpg"):
        (tmp_path / "irene.jpg").replace(tmp_path / name)
        project(
            tmp_path / name, bundled().cues[0].network, tmp_path / "latents", np.ones((12, 512))
        )
        photos.write_text(photos.read_text().replace("irene.jpg", name))
        (tmp_path / name).with_name("irene.jpg").write_bytes((tmp_path / name).read_bytes())
        rehearsal.sheet(photos, tmp_path / "sheet.png", "cpu")
        with Image.open(tmp_path / "sheet.png") as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        sizes.append(len(pixels))
        below = pixels[-rehearsal.MARGIN - rehearsal.GAP :]
        assert (below == rehearsal.PAPER).all()
    lines = rehearsal._wrapped(f"band, face 2 + {'irene_' * 12}").count("\n")
    assert sizes[1] - sizes[0] == 3 * rehearsal.LINE * lines  # two lines of pictures, and one
