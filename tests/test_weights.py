"""Checkpoints: told apart by their keys, accounted for by name and shape, refused in one line."""

import argparse
import json
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import engine.nets
from engine.errors import UserError
from engine.weights import load_network, read_network, sha256
from engine.weights.containers import glance
from engine.weights.latents import read_latent

DATA = Path(__file__).parent / "data" / "parity"
BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"

State = dict[str, torch.Tensor]


def refusal(path: Path) -> str:
    """What is said of a file that is refused: one line that begins with its name."""
    with pytest.raises(UserError) as caught:
        read_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# What a file is


@pytest.mark.parametrize(
    ("name", "container", "dialect", "channels", "mapping", "classes", "clamp"),
    [
        ("nv_sg2ada_r64.pti_module.pt", "torch zip", "NVIDIA module", 5, 8, 0, None),
        ("nv_sg2ada_r64_cond3.nvcontainer.pkl", "pickle", "NVIDIA G_ema", 5, 2, 3, 256),
        ("rosinality_r32_legacyzip.pt", "torch legacy", "rosinality g_ema", 4, 8, 0, None),
        ("rosinality_train_r8_000000.pt", "torch zip", "rosinality g_ema", 2, 2, 0, None),
        ("psp_r32.pt", "torch zip", "rosinality decoder", 4, 8, 0, None),
        ("tf_sg2_r32.pkl", "pickle", "TensorFlow Gs", 4, 8, 0, None),
        ("tf_sg2ada_r16_cond4.pkl", "pickle", "TensorFlow Gs", 3, 2, 4, None),
    ],
)
def test_tells_what_a_file_is(
    name: str,
    container: str,
    dialect: str,
    channels: int,
    mapping: int,
    classes: int,
    clamp: float | None,
) -> None:
    file = read_network(DATA / name)
    assert (file.container, file.dialect, file.family) == (container, dialect, "stylegan2")
    assert (len(file.config.channels), len(file.config.mapping)) == (channels, mapping)
    assert (file.config.num_classes, file.config.conv_clamp) == (classes, clamp)
    assert file.has_w_avg == (name != "rosinality_train_r8_000000.pt")


def test_the_bundled_network() -> None:
    net = load_network(BUNDLED)
    assert (net.z_dim, net.w_dim, net.num_classes) == (512, 512, 0)
    assert net.resolution >= 128
    assert BUNDLED.stat().st_size < 28e6  # it is cloned by everyone
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}


# rosinality


@pytest.fixture
def checkpoint() -> dict[str, Any]:
    """A rosinality training checkpoint, 8x8, as torch reads it."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        loaded = torch.load(DATA / "rosinality_train_r8_000000.pt", weights_only=True)
    return dict(loaded)


def saved(content: object, folder: Path, legacy: bool = False) -> Path:
    path = folder / "network.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_real_type_becomes_float32(
    checkpoint: dict[str, Any], tmp_path: Path, legacy: bool, dtype: torch.dtype
) -> None:
    state = {name: tensor.to(dtype) for name, tensor in checkpoint["g_ema"].items()}
    net = load_network(saved({"g_ema": state}, tmp_path, legacy))
    wanted = state["convs.1.conv.weight"][0].float()
    assert torch.equal(net.synthesis.blocks[1].conv1.weight, wanted)


def test_tensors_may_be_windows_on_one_storage(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    state: State = checkpoint["g_ema"]
    weight = state["convs.1.conv.weight"]
    shared = torch.zeros(2, *weight.shape[:-1], 5)
    shared[1, ..., 1:4] = weight
    state["convs.1.conv.weight"] = shared[1, ..., 1:4]
    net = load_network(saved({"g_ema": state}, tmp_path))
    assert torch.equal(net.synthesis.blocks[1].conv1.weight, weight[0])


def test_a_missing_mean_is_averaged_the_same_at_every_load() -> None:
    path = DATA / "rosinality_train_r8_000000.pt"
    first, second = load_network(path), load_network(path)
    assert torch.equal(first.w_avg, second.w_avg)
    torch.manual_seed(1)
    independent = first.map(torch.randn(40_000, first.z_dim))[:, 0]
    error = (independent.mean(dim=0) - first.w_avg).abs() / independent.std(dim=0)
    assert float(error.max()) < 5 / 100  # five standard errors of a mean of 10,000


def test_a_mean_for_each_layer_is_taken_if_they_agree(
    checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    mean = torch.randn(32)
    content = {"g_ema": checkpoint["g_ema"], "latent_avg": mean.repeat(4, 1)}
    assert torch.equal(load_network(saved(content, tmp_path)).w_avg, mean)
    content["latent_avg"][2] += 1
    assert "latent_avg (4, 32) differs" in refusal(saved(content, tmp_path))


def _replace(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], None]:
    def spoil(state: State) -> None:
        state[name] = change(state[name].clone())

    return spoil


def _poke(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def poke(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return poke


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda state: state.pop("to_rgbs.0.bias"), "missing synthesis.b8.torgb.bias"),
        (lambda state: state.pop("noises.noise_2"), "missing synthesis.b8.conv1.noise_const"),
        (lambda state: state.pop("style.1.weight"), "missing mapping.fc0.weight"),
        (
            lambda state: state.update({"convs.1.extra": torch.zeros(1)}),
            "unexpected convs.1.extra",
        ),
        (lambda state: state.update({"attention.q": torch.zeros(2)}), "unexpected attention.q"),
        (
            _replace("convs.0.conv.modulation.bias", lambda bias: bias[:-1]),
            "convs.0.conv.modulation.bias (23,) instead of (24,)",
        ),
        (
            _replace("convs.0.conv.weight", lambda weight: weight[:, :, :, :1]),
            "convs.0.conv.weight (20, 24, 1, 3) instead of (20, 24, 3, 3)",
        ),
        (
            _replace("conv1.conv.weight", lambda weight: weight[0, 0]),
            "conv1.conv.weight (24, 3, 3)",
        ),
        (_replace("conv1.conv.weight", _poke(float("nan"))), "conv1.conv.weight holds NaN"),
        (_replace("style.2.bias", _poke(float("-inf"))), "style.2.bias holds NaN or infinite"),
        (
            _replace("style.2.bias", lambda bias: bias.double() * 1e300),
            "style.2.bias holds NaN or infinite",
        ),
        (_replace("style.2.bias", lambda bias: bias.long()), "style.2.bias is int64"),
        (
            _replace("convs.0.conv.blur.kernel", lambda kernel: kernel * 2),
            "filter convs.0.conv.blur.kernel is not [1, 3, 3, 1]",
        ),
    ],
)
def test_every_tensor_is_accounted_for(
    checkpoint: dict[str, Any], tmp_path: Path, spoil: Callable[[State], None], said: str
) -> None:
    spoil(checkpoint["g_ema"])
    assert said in refusal(saved({"g_ema": checkpoint["g_ema"]}, tmp_path))


# NVIDIA's modules


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> type:
    """What NVIDIA's code pickles as: a call of a function that only it has."""

    def _reconstruct_persistent_obj(meta: object) -> object:
        raise AssertionError("embedded code was run")

    module = types.ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Persistent:
        def __init__(self, state: dict[str, Any]) -> None:
            self.state = state

        def __reduce__(self) -> tuple[Any, ...]:
            meta = {"type": "class", "module_src": "raise RuntimeError", "state": self.state}
            return _reconstruct_persistent_obj, (meta,)

    return Persistent


def nvidia_file(params: dict[str, np.ndarray], folder: Path, persistent: type, **own: Any) -> Path:
    """NVIDIA's pickle of these tensors; `own` are attributes that every layer carries."""
    path = folder / "network.pkl"
    generator = nvidia_module(params, persistent, **own)
    path.write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": generator}))
    return path


def nvidia_module(params: dict[str, np.ndarray], persistent: type, **own: Any) -> object:
    """What NVIDIA's code pickles as a network of these tensors."""

    def module(prefix: str) -> object:
        below = {name.removeprefix(prefix) for name in params if name.startswith(prefix)}
        children = {name.partition(".")[0] for name in below if "." in name}
        parameters = {
            name: torch.nn.Parameter(torch.from_numpy(params[prefix + name].copy()))
            for name in below
            if "." not in name
        }
        modules = {child: module(f"{prefix}{child}.") for child in sorted(children)}
        return persistent({"_parameters": parameters, "_modules": modules, "_buffers": {}, **own})

    return module("")


def parity_params(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    path = DATA / f"{name}.safetensors"
    with safe_open(path, "np") as file:
        facts = json.loads(file.metadata()["parity"])
    params = load_file(path)
    return {
        key.removeprefix("param."): value
        for key, value in params.items()
        if key.startswith("param.")
    }, facts


@pytest.mark.parametrize("name", ["gray_nonoise", "clamp", "orig", "resnet"])
def test_modules_tell_their_settings(name: str, tmp_path: Path, persistence: type) -> None:
    size = 16 if name == "gray_nonoise" else 32
    params, facts = parity_params(f"nv_sg2ada_r{size}_{name}")
    wanted = facts["kwargs"]["synthesis_kwargs"]
    path = nvidia_file(
        params, tmp_path, persistence, conv_clamp=wanted.get("conv_clamp"), bias_gain=0.02
    )
    config = read_network(path).config
    assert config.resolution == size
    assert config.conv_clamp == wanted.get("conv_clamp")
    assert config.mapping_lr_multiplier == 0.02
    assert config.architecture == wanted.get("architecture", "skip")
    assert config.use_noise == wanted.get("use_noise", True)
    assert config.img_channels == facts["kwargs"]["img_channels"]


def test_modules_of_another_make_are_refused(tmp_path: Path, persistence: type) -> None:
    params, _ = parity_params("nv_sg2ada_r32_clamp")
    path = nvidia_file(params, tmp_path, persistence, activation="relu")
    assert "activation is relu; only lrelu" in refusal(path)
    path = nvidia_file(params, tmp_path, persistence, conv_clamp="wide")
    assert "conv_clamp is wide, where a positive number" in refusal(path)
    del params["synthesis.b16.conv1.noise_strength"]
    path = nvidia_file(params, tmp_path, persistence)
    assert "missing synthesis.b16.conv1.noise_strength" in refusal(path)
    params["synthesis.b16.resample_filter"] = np.full((4, 4), 1 / 16, np.float32)
    path = nvidia_file(params, tmp_path, persistence)
    assert "filter synthesis.b16.resample_filter is not" in refusal(path)


# Networks that are known, and are not StyleGAN2


def test_stylegan3_is_named(tmp_path: Path, persistence: type) -> None:
    params = {
        "synthesis.input.freqs": np.zeros((4, 2), np.float32),
        "synthesis.L0_36_512.weight": np.zeros((4, 4, 3, 3), np.float32),
        "mapping.fc0.weight": np.zeros((4, 4), np.float32),
    }
    assert "StyleGAN3 network, which is not" in refusal(nvidia_file(params, tmp_path, persistence))


def test_stylegan1_of_tensorflow_is_named() -> None:
    assert "StyleGAN1 network of NVIDIA's TensorFlow code" in refusal(DATA / "tf_sg1_r16.pkl")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"g_running": {"progression.0.conv1.0.conv.weight_orig": torch.zeros(2)}},
            "StyleGAN1 network of rosinality/style-based-gan-pytorch",
        ),
        (
            {"g_mapping.map.dense0.weight": torch.zeros(2, 2), "init_block.const": torch.zeros(1)},
            "StyleGAN1 network of huangzh13/StyleGAN.pytorch",
        ),
        (
            {"GAN": {"SE.net.0.weight": torch.zeros(2), "GE.initial_block": torch.zeros(1)}},
            "network of lucidrains/stylegan2-pytorch",
        ),
        ({"features.0.weight": torch.zeros(2)}, "a dictionary of 1 entries (features.0.weight)"),
        (torch.zeros(1, 18, 512), "a tensor of shape (1, 18, 512), a latent perhaps"),
        ([1, 2], "a list without a network"),
    ],
)
def test_other_contents_are_named(content: object, said: str, tmp_path: Path) -> None:
    message = refusal(saved(content, tmp_path))
    assert said in message
    assert "accepted: StyleGAN2 as rosinality .pt" in message


# Files that are something else


def _compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02N.")


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flowers.txt", "roses")


def _torchscript(path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "a PNG picture"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS"),
        (lambda path: path.write_text("\n<!DOCTYPE html>"), "a web page"),
        (lambda path: path.write_bytes(b"\x00" * 64), "no kind of weights"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: None, "cannot be read (No such file or directory)"),
        (_zip, "a zip archive without weights"),
        (_compressed, "compressed zip"),
        (_torchscript, "TorchScript"),
        (
            lambda path: path.write_bytes((128).to_bytes(8, "little") + b"{" + b"x" * 127),
            "damaged safetensors",
        ),
        (lambda path: path.write_bytes(BUNDLED.read_bytes()[:-1]), "damaged safetensors"),
    ],
)
def test_what_else_a_file_may_be(make: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "network.bin"
    make(path)
    assert said in refusal(path)


TERABYTE = 1 << 40


def _sparse(path: Path, start: bytes) -> Path:
    """A file larger than any memory, which takes no room on the disk."""
    path.write_bytes(start)
    os.truncate(path, TERABYTE)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="files of zeros take room there")
@pytest.mark.parametrize("start", [b"\x1aE\xdf\xa3matroska", b"c", b"\0" * 8 + b"x", b"\x89PNG"])
def test_what_is_no_network_is_refused_unread(start: bytes, tmp_path: Path) -> None:
    path = _sparse(tmp_path / "movie.mkv", start)
    assert "; accepted: " in refusal(path)
    with pytest.raises(UserError, match="; accepted: "):
        glance(path)


@pytest.mark.parametrize("path", [*DATA.glob("*.p*"), BUNDLED], ids=lambda path: path.name)
def test_a_glance_lets_through_what_is_read(path: Path) -> None:
    glance(path)


@pytest.mark.skipif(sys.platform == "win32", reason="files of zeros take room there")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_what_is_too_large_for_a_latent_is_refused_unread(suffix: str, tmp_path: Path) -> None:
    path = _sparse(
        tmp_path / f"latent{suffix}", b"PK\x03\x04" if suffix != ".npy" else b"\x93NUMPY"
    )
    with pytest.raises(UserError, match=r"is too large for a latent: 1099511627776 bytes"):
        read_latent(path)


def test_metadata_is_checked(tmp_path: Path) -> None:
    tensors, path = load_file(BUNDLED), tmp_path / "network.safetensors"
    for key, value, said in (
        ("conv_clamp", "-1", "conv_clamp is -1"),
        ("conv_clamp", "[", "not a number"),
        ("mapping_lr_multiplier", "NaN", "mapping_lr_multiplier is nan"),
        ("resample_filter", "[1, 2, 1]", "resample_filter of [1, 2, 1]"),
    ):
        save_file(tensors, path, {key: value})
        assert said in refusal(path)


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match="cannot be read"):
        sha256(tmp_path / "absent")


# Latents


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("mv_stylegan_1x18x512.pt", 18),
        ("nvlabs_projected_w.npz", 18),
        ("pti_pivot_0.pt", 18),
        ("rosinality_projector_wplus.pt", 18),
        ("w_512.npy", 1),
        ("wplus_18x512.npy", 18),
    ],
)
def test_latents_as_projectors_save_them(name: str, rows: int) -> None:
    path = DATA / "latents" / name
    latent = read_latent(path)
    assert latent.shape == (rows, 512)
    assert latent.dtype == np.float32
    if path.suffix == ".pt":
        loaded = torch.load(path, weights_only=True)
        if isinstance(loaded, dict):
            loaded = loaded["photo.jpg"]["latent"]
        wanted = loaded.detach().numpy()
    else:
        wanted = np.load(path)
        wanted = wanted["w"] if path.suffix == ".npz" else wanted
    assert np.array_equal(latent.ravel(), wanted.ravel())


@pytest.mark.parametrize("shape", [(512,), (1, 512), (18, 512), (1, 18, 512), (7,)])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_shapes_of_latents(shape: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    array = np.random.RandomState(0).randn(*shape).astype(np.float32)
    path = _write_latent(array, tmp_path / f"latent{suffix}")
    latent = read_latent(path)
    assert latent.shape == (shape[-2] if len(shape) > 1 else 1, shape[-1])
    assert np.array_equal(latent.ravel(), array.ravel())


def _write_latent(array: np.ndarray, path: Path) -> Path:
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".npz":
            np.savez_compressed(path, w=array)
        case _:
            torch.save(torch.from_numpy(array.astype(array.dtype.newbyteorder("="))), path)
    return path


def test_latents_of_other_types_and_orders(tmp_path: Path) -> None:
    array = np.asfortranarray(np.random.RandomState(0).randn(18, 512).astype(">f8"))
    latent = read_latent(_write_latent(array, tmp_path / "latent.npy"))
    assert np.array_equal(latent, array.astype(np.float32))
    expanded = torch.randn(1, 1, 512).expand(1, 18, 512)
    torch.save(expanded, tmp_path / "latent.pt")
    assert np.array_equal(read_latent(tmp_path / "latent.pt"), expanded[0].numpy())
    half = torch.randn(18, 512).bfloat16()
    torch.save(half, tmp_path / "latent.pt")
    assert np.array_equal(read_latent(tmp_path / "latent.pt"), half.float().numpy())


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 18, 512), np.float32), r"has the shape \[3, 18, 512\]; expected"),
        (np.zeros((0, 512), np.float32), r"has the shape \[0, 512\]; expected"),
        (np.float32(1), r"shape \[\]"),
        (np.zeros((2, 2, 2, 2), np.float32), r"shape \[2, 2, 2, 2\]"),
        (np.full((18, 512), np.nan, np.float32), "NaN"),
        (np.full((18, 512), 1e300), "NaN or infinite"),
        (np.zeros((18, 512), np.int64), "int64 .*real numbers are expected"),
    ],
)
def test_what_is_not_a_latent_is_refused(
    array: np.ndarray, said: str, suffix: str, tmp_path: Path
) -> None:
    path = _write_latent(np.asarray(array), tmp_path / f"latent{suffix}")
    with pytest.raises(UserError, match=rf"^{path}: .*{said}"):
        read_latent(path)


def test_files_that_are_not_latents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 latents \(photo.jpg, b.png\)"):
        read_latent(DATA / "latents" / "rosinality_projector_w.pt")
    with pytest.raises(UserError, match="cannot be read"):
        read_latent(tmp_path / "absent.npy")
    with pytest.raises(UserError, match="holds a dictionary of ckpt"):
        read_latent(saved({"ckpt": "a.pt", "eigvec": torch.zeros(512, 64)}, tmp_path))
    np.savez(tmp_path / "latent.npz", v=np.zeros(512))
    with pytest.raises(UserError, match="no array named `w`"):
        read_latent(tmp_path / "latent.npz")
    np.save(tmp_path / "latent.npy", np.array({"a": [1]}, dtype=object))
    with pytest.raises(UserError, match="object"):
        read_latent(tmp_path / "latent.npy")
