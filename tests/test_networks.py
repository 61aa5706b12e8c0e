"""The reference network against numbers computed by the published implementations."""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import engine.nets
from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2, leaky_relu
from engine.weights import load_network

DATA = Path(__file__).parent / "data" / "parity"
BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on two busy cores wait for each other far longer than one works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Case:
    """One file of reference numbers: inputs, outputs, and parameters where they are not beside."""

    facts: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @classmethod
    def read(cls, name: str) -> "Case":
        path = DATA / f"{name}.safetensors"
        with safe_open(path, "np") as file:
            facts = json.loads(file.metadata()["parity"])
        return cls(facts, {k: torch.from_numpy(v) for k, v in load_file(path).items()})

    def params(self) -> dict[str, np.ndarray]:
        return {
            key.removeprefix("param."): value.numpy()
            for key, value in self.tensors.items()
            if key.startswith("param.")
        }

    def check(self, name: str, image: torch.Tensor) -> None:
        """Compare with every output of that name: whole, strided, or the centre."""
        keys = [
            key
            for key in self.tensors
            if key == f"out.{name}" or key.startswith((f"out.{name}.s", f"out.{name}.c"))
        ]
        assert keys, name
        for key in keys:
            expected, got = self.tensors[key], image
            if ".stride" in key:
                step = int(key.rpartition("stride")[2])
                got = image[:, :, ::step, ::step]
            elif key.endswith(".crop"):
                start = (image.shape[-1] - 64) // 2
                got = image[:, :, start : start + 64, start : start + 64]
            assert got.shape == expected.shape
            bound = 1e-4 * max(1.0, float(expected.abs().max()))
            assert float((got - expected).abs().max()) <= bound, key


def canonical_file(case: Case, folder: Path) -> Path:
    """The case's parameters as Anthesis' own .safetensors, with what only metadata can say."""
    clamp = case.facts["kwargs"]["synthesis_kwargs"].get("conv_clamp")
    path = folder / "network.safetensors"
    save_file(case.params(), path, {"conv_clamp": json.dumps(clamp)})
    return path


def check_nvidia(case: Case, net: StyleGAN2) -> None:
    z, c = case.tensors["in.z"], case.tensors.get("in.c")
    case.check("w", net.map(z, c)[:, 0])
    case.check("ws_psi0.7", net.map(z, c, psi=0.7))
    case.check("ws_psi0.7_cutoff3", net.map(z, c, psi=0.7, cutoff=3))
    case.check("img_psi1_const", net.synthesize(net.map(z, c)))
    case.check("img_psi0.7_const", net.synthesize(net.map(z, c, psi=0.7)))
    case.check("img_psi0.7_none", net.synthesize(net.map(z, c, psi=0.7), noise="none"))
    case.check("img_wplus_const", net.synthesize(case.tensors["in.wplus"]))


def check_rosinality(case: Case, net: StyleGAN2) -> None:
    z, w_avg = case.tensors["in.z"], case.tensors["in.latent_avg"]
    w = net.map(z)
    case.check("w", w[:, 0])
    case.check("img_psi1", net.synthesize(w))
    case.check("img_psi0.7", net.synthesize(w_avg + 0.7 * (w - w_avg)))
    case.check("img_wplus", net.synthesize(case.tensors["in.wplus"]))


@pytest.mark.parametrize("name", ["r16_gray_nonoise", "r32_clamp", "r32_orig", "r32_resnet"])
def test_equals_nvidias_networks(name: str, tmp_path: Path) -> None:
    case = Case.read(f"nv_sg2ada_{name}")
    check_nvidia(case, load_network(canonical_file(case, tmp_path)))


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ("nv_sg2ada_r64.pti_module.pt", "nv_sg2ada_r64"),
        ("nv_sg2ada_r64_cond3.nvcontainer.pkl", "nv_sg2ada_r64_cond3"),
        ("tf_sg2_r32.pkl", "tf_sg2_r32.expected"),
        ("tf_sg2ada_r16_cond4.pkl", "tf_sg2ada_r16_cond4.expected"),
    ],
)
def test_equals_nvidias_networks_from_their_own_files(container: str, name: str) -> None:
    check_nvidia(Case.read(name), load_network(DATA / container))


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ("rosinality_r32_legacyzip.pt", "rosinality_sg2_r32"),
        ("psp_r32.pt", "rosinality_sg2_r32"),
        ("rosinality_train_r8_000000.pt", "rosinality_sg2_r8"),
    ],
)
def test_equals_rosinalitys_networks_from_their_own_files(container: str, name: str) -> None:
    case, net = Case.read(name), load_network(DATA / container)
    check_rosinality(case, net)
    w, layers = net.map(case.tensors["in.z"]), range(net.num_ws - 1)
    noise = [case.tensors[f"in.noise_{layer}"] for layer in layers]
    case.check("img_noiselist", net.synthesize(w, noise=noise))
    mixed = net.map(case.tensors["in.z2"])
    index = int(case.facts["calls"]["img_mix"].split("layers < ")[1].split(",")[0])
    mixed[:, :index] = w[:, :index]
    case.check("img_mix", net.synthesize(mixed))


def rebuilt(case: Case, folder: Path) -> Path:
    """A rosinality checkpoint from the recipe of a case without parameters."""
    seed = case.facts["seed"] * 2654435761
    state = {}
    for key, (shape, mean, std) in case.facts["recipe"]["fill"].items():
        random = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0xFFFFFFFF)
        values = np.float32(std) * random.standard_normal(shape).astype(np.float32)
        state[key] = torch.from_numpy(np.float32(mean) + values)
    path = folder / "rebuilt.pt"
    torch.save({"g_ema": state, "latent_avg": case.tensors["in.latent_avg"]}, path)
    return path


def test_equals_rosinality_at_its_other_channel_multiplier(tmp_path: Path) -> None:
    case = Case.read("seeded_rosinality_sg2_cm1_128")
    check_rosinality(case, load_network(rebuilt(case, tmp_path)))


def test_equals_rosinality_at_1024(tmp_path: Path) -> None:
    """Config F, the network of the video; one picture, as it takes seconds on a CPU."""
    case = Case.read("seeded_rosinality_sg2_configf_1024")
    net = load_network(rebuilt(case, tmp_path))
    assert (net.resolution, net.num_ws, net.config.parameters()) == (1024, 18, 30_370_060)
    case.check("img_wplus", net.synthesize(case.tensors["in.wplus"]))


@pytest.fixture
def tiny() -> StyleGAN2:
    """A network of random weights, 16x16, small enough to differentiate."""
    torch.manual_seed(0)
    net = StyleGAN2(StyleGAN2Config(z_dim=6, channels=(5, 4, 3), mapping=(7, 6)))
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.requires_grad or tensor.ndim == 2:
            torch.nn.init.normal_(tensor)
    return net


def test_gradients_are_those_of_finite_differences(tiny: StyleGAN2) -> None:
    tiny.double()
    ws = torch.randn(1, tiny.num_ws, tiny.w_dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tiny.synthesize, ws, fast_mode=True)


def test_a_clamp_scales_with_the_gain() -> None:
    """As published; no case above has both a clamp and the gain of `resnet`."""
    x = leaky_relu(torch.tensor([-100.0, 0.5, 100.0]), gain=0.5, clamp=3.0)
    torch.testing.assert_close(x, torch.tensor([-1.5, 0.5 * 0.5 * 2**0.5, 1.5]))


def test_every_parameter_has_a_gradient(tiny: StyleGAN2) -> None:
    tiny.synthesize(tiny.map(torch.randn(2, 6))).square().sum().backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


def test_state_is_what_the_config_says(tiny: StyleGAN2) -> None:
    state = {name: tuple(tensor.shape) for name, tensor in tiny.state_dict().items()}
    assert state.pop("mapping.w_avg") == (6,)
    assert state == tiny.config.shapes()
    count = sum(parameter.numel() for parameter in tiny.parameters())
    assert tiny.config.parameters() == count


def test_a_batch_is_its_pictures(tiny: StyleGAN2) -> None:
    ws = torch.randn(3, tiny.num_ws, tiny.w_dim)
    together = tiny.synthesize(ws)
    for index in range(3):
        alone = tiny.synthesize(ws[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone)


def test_noise_strength_scales_the_noise(tiny: StyleGAN2) -> None:
    ws = torch.randn(1, tiny.num_ws, tiny.w_dim)
    maps = [2 * layer.noise_const[None, None] for layer in tiny.synthesis.layers()]
    doubled = tiny.synthesize(ws, noise_strength=2.0)
    torch.testing.assert_close(doubled, tiny.synthesize(ws, noise=maps))
    assert torch.equal(tiny.synthesize(ws, noise_strength=0.0), tiny.synthesize(ws, noise="none"))


def test_random_noise_differs_from_picture_to_picture(tiny: StyleGAN2) -> None:
    ws = torch.randn(1, tiny.num_ws, tiny.w_dim).repeat(2, 1, 1)
    first, second = tiny.synthesize(ws, noise="random")
    assert not torch.allclose(first, second)


def test_a_conditional_network_asks_for_its_class(tmp_path: Path) -> None:
    net = load_network(DATA / "tf_sg2ada_r16_cond4.pkl")
    with pytest.raises(ValueError, match="conditional"):
        net.map(torch.zeros(1, net.z_dim))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda net: net.synthesis.blocks[-1].conv0.weight.data.neg_(),
        lambda net: net.synthesis.blocks[1].conv1.noise_const.neg_(),
        lambda net: net.synthesis.blocks[0].torgb.bias.data.add_(1e-3),
    ],
)
def test_the_comparison_can_fail(spoil: Callable[[StyleGAN2], object]) -> None:
    net = load_network(DATA / "nv_sg2ada_r64.pti_module.pt")
    spoil(net)
    with pytest.raises(AssertionError):
        check_nvidia(Case.read("nv_sg2ada_r64"), net)


def test_outputs_are_about_minus_one_to_one() -> None:
    net = load_network(BUNDLED)
    z = torch.from_numpy(np.random.RandomState(1).randn(4, net.z_dim)).float()
    pictures = net.synthesize(net.map(z, psi=0.7))
    assert pictures.shape == (4, 3, 128, 128)
    assert 0.5 < float(pictures.abs().max()) < 2
