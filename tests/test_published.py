"""The published arithmetic gives the reference's picture: else nothing is compared with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_networks import BUNDLED, DATA, Case, canonical_file

from engine.bench import published
from engine.bench.published import Published
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def difference(net: StyleGAN2, ws: torch.Tensor, noise_strength: float = 1.0) -> float:
    wanted = net.synthesize(ws, noise_strength=noise_strength)
    got = Published(net).synthesize(ws, noise_strength)
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("name", ["r16_gray_nonoise", "r32_clamp", "r32_orig", "r32_resnet"])
def test_the_picture_is_the_references(name: str, tmp_path: Path) -> None:
    """And, where the file holds them, the implementation's own."""
    case = Case.read(f"nv_sg2ada_{name}")
    net = load_network(canonical_file(case, tmp_path))
    assert difference(net, case.tensors["in.wplus"]) < 1e-4
    case.check("img_wplus_const", Published(net).synthesize(case.tensors["in.wplus"]))


def test_pictures_of_a_batch_have_weights_of_their_own() -> None:
    net = load_network(BUNDLED)
    torch.manual_seed(0)
    ws = net.map(torch.randn(3, net.z_dim))
    assert difference(net, ws) < 1e-4


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_noise_is_scaled(strength: float) -> None:
    net = load_network(DATA / "nv_sg2ada_r64.pti_module.pt")
    torch.manual_seed(0)
    assert difference(net, torch.randn(1, net.num_ws, net.w_dim), strength) < 1e-4


def test_the_reference_may_move_without_it() -> None:
    """What is measured beside it lies in another memory format."""
    net = load_network(DATA / "nv_sg2ada_r64.pti_module.pt")
    as_published = Published(net)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = [layer.weight for layer in as_published._net.synthesis.layers()]
    assert all(weight.is_contiguous() for weight in weights)


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_network(DATA / "nv_sg2ada_r64.pti_module.pt")
    monkeypatch.setattr(published, "LRELU_GAIN", 1.4)
    assert difference(net, torch.zeros(1, net.num_ws, net.w_dim)) > 1e-4
