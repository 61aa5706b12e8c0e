"""`python -m engine inspect` and `convert`: what a user sees, and files that come out exact."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import engine.nets
from engine.__main__ import main
from engine.weights import load_network, read_network, sha256, whole

DATA = Path(__file__).parent / "data" / "parity"
BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"
CONTAINERS = [
    "nv_sg2ada_r64.pti_module.pt",
    "nv_sg2ada_r64_cond3.nvcontainer.pkl",
    "rosinality_r32_legacyzip.pt",
    "rosinality_train_r8_000000.pt",
    "psp_r32.pt",
    "tf_sg2_r32.pkl",
    "tf_sg2ada_r16_cond4.pkl",
]


def inspected(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert isinstance(facts, dict)
    return facts


def test_inspect_says_what_a_network_is(capsys: pytest.CaptureFixture[str]) -> None:
    path = DATA / "nv_sg2ada_r64_cond3.nvcontainer.pkl"
    facts = inspected(path, capsys)
    assert facts == {
        "file": str(path),
        "container": "pickle",
        "family": "stylegan2",
        "dialect": "NVIDIA G_ema",
        "architecture": "skip",
        "resolution": 64,
        "channels": {"4": 64, "8": 64, "16": 64, "32": 32, "64": 16},
        "picture": "RGB",
        "z_dim": 64,
        "w_dim": 64,
        "num_ws": 10,
        "mapping": "2 layers, learning rate x 0.01",
        "classes": 3,
        "noise": True,
        "conv_clamp": 256.0,
        "mean_w": "stored",
        "parameters": load_count(path),
        "memory_mb": 1.2,
        "converts_to": ".safetensors of 1.2 MB (0.6 with --half)",
        "notes": {},
        "sha256": sha256(path),
    }


def load_count(path: Path) -> int:
    return sum(parameter.numel() for parameter in load_network(path).parameters())


def test_inspect_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DATA / "rosinality_train_r8_000000.pt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "dialect         rosinality g_ema" in lines
    assert "mean w          none stored: averaged over 10000 w at load" in lines
    assert "channels        4: 24, 8: 20" in lines
    assert main(["inspect", str(BUNDLED)]) == 0
    assert "license: CC0-1.0" in capsys.readouterr().out


def test_notes_cannot_carry_terminal_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.safetensors"
    save_file(load_file(BUNDLED), path, {"author": "\x1b[2J\nfamily          none"})
    assert main(["inspect", str(path)]) == 0
    assert "author: \\x1b[2J\\nfamily" in capsys.readouterr().out


def test_without_torch() -> None:
    """Neither command needs torch: it would cost seconds, and inspect is for looking first."""
    script = (
        "import sys; from engine.__main__ import main; "
        "main(['inspect', sys.argv[1]]); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, BUNDLED], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "inspect", str(tmp_path / "absent.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"anthesis: {tmp_path}/absent.pt: cannot be read (No such file or directory)"
    ]


@pytest.mark.parametrize("name", CONTAINERS)
def test_conversion_keeps_every_bit(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "network.safetensors"
    assert main(["convert", str(DATA / name), "-o", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    before, after = read_network(DATA / name), read_network(out)
    assert after.config == before.config
    assert after.tensors.keys() == before.tensors.keys()
    for key, array in before.tensors.items():
        assert np.array_equal(after.tensors[key], array), key
    z = torch.randn(1, before.config.z_dim)
    c = torch.eye(before.config.num_classes)[:1] if before.config.num_classes else None
    old, new = load_network(DATA / name), load_network(out)
    assert torch.equal(old.w_avg, new.w_avg)
    assert torch.equal(old.synthesize(old.map(z, c)), new.synthesize(new.map(z, c)))


@pytest.mark.parametrize("name", ["gray_nonoise", "clamp", "orig", "resnet"])
def test_conversion_keeps_settings(name: str, tmp_path: Path) -> None:
    size = 16 if name == "gray_nonoise" else 32
    params = {
        key.removeprefix("param."): value
        for key, value in load_file(DATA / f"nv_sg2ada_r{size}_{name}.safetensors").items()
        if key.startswith("param.")
    }
    source, out = tmp_path / "source.safetensors", tmp_path / "out.safetensors"
    save_file(params, source, {"conv_clamp": "1.5", "mapping_lr_multiplier": "0.02"})
    assert main(["convert", str(source), "-o", str(out)]) == 0
    assert read_network(out).config == read_network(source).config
    assert read_network(out).config.conv_clamp == 1.5
    assert read_network(out).config.mapping_lr_multiplier == 0.02


def test_half_precision(tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    source = DATA / "tf_sg2_r32.pkl"
    assert main(["convert", str(source), "-o", str(out), "--half"]) == 0
    before = read_network(source).tensors
    for key, array in load_file(out).items():
        assert array.dtype == np.float16
        assert np.array_equal(array, before[key].astype(np.float16))


def test_half_of_the_bundled_network_is_the_bundled_network(tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    assert main(["convert", str(BUNDLED), "-o", str(out), "--half"]) == 0
    before, after = load_file(BUNDLED), load_file(out)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    told = read_network(out).metadata
    assert told.items() >= read_network(BUNDLED).metadata.items()
    assert told["license"] == "CC0-1.0"


def test_numbers_beyond_half_precision_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {key: array.astype(np.float32) for key, array in load_file(BUNDLED).items()}
    tensors["mapping.fc1.bias"][3] = 1e6
    source, out = tmp_path / "source.safetensors", tmp_path / "out.safetensors"
    save_file(tensors, source)
    assert main(["convert", str(source), "-o", str(out), "--half"]) == 2
    assert "mapping.fc1.bias is too large for half precision" in capsys.readouterr().err
    assert not out.exists()


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "network.safetensors"
    out.write_text("mine")
    command = ["convert", str(BUNDLED), "-o", str(out)]
    assert main(command) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*command, "--force"]) == 0
    assert read_network(out).config == read_network(BUNDLED).config
    assert stat.S_IMODE(out.stat().st_mode) == 0o644


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "network.safetensors"
    out.write_text("mine")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "fsync", full)
    assert main(["convert", str(BUNDLED), "-o", str(out), "--force"]) == 2
    assert f"{out}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["network.safetensors"]
    assert out.read_text() == "mine"


def test_places_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(BUNDLED), "-o", str(tmp_path / "network.pt")]) == 2
    assert "name it so" in capsys.readouterr().err
    assert main(["convert", str(BUNDLED), "-o", str(tmp_path / "no" / "x.safetensors")]) == 2
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err
