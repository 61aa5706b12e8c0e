"""What `anthesis project` leaves of a photo, without a search."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.projection.results import result_stem


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record(photo: Path, network: Path, face: int = 1, num_ws: int = 18) -> dict[str, Any]:
    """What the .json says."""
    return {
        "anthesis": 1,
        "photo": {"name": photo.name, "sha256": sha256(photo), "align": "face", "face": face},
        "network": {
            "name": network.name,
            "sha256": sha256(network),
            "resolution": 1024,
            "num_ws": num_ws,
            "w_dim": 512,
        },
        "settings": {"steps": 500, "lr": 0.1, "start": "mean"},
        "steps": 500,
        "finished": True,
        "loss": 0.0213,
        "psnr": 24,
        "lpips": None,
        "seconds": 71.5,
        "device": "cpu",
    }


def project(
    photo: Path,
    network: Path,
    folder: Path,
    ws: np.ndarray | None = None,
    face: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a result; the .npy's path. `changes` are other values of the record."""
    folder.mkdir(exist_ok=True)
    stem = result_stem(photo, face)
    ws = np.zeros((18, 512), np.float32) if ws is None else ws
    np.save(folder / f"{stem}.npy", ws)
    written = record(photo, network, face, len(ws)) | dict(changes or {})
    (folder / f"{stem}.json").write_text(json.dumps(written))
    return folder / f"{stem}.npy"
