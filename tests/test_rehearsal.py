"""The contact sheet, on sources without an engine: what it survives, and what it refuses."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import UserError
from live import rehearsal
from live.fake_source import Fake
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
