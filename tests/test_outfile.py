"""Files written at a command's end: what cannot be written is known at its beginning."""

import json
import os
from pathlib import Path

import pytest

from engine.errors import UserError
from live.outfile import check_writable, write_json


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
