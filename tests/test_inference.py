"""The inference form of StyleGAN2: every way to play it gives the reference's picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import engine.nets
from engine.inference import forms, tuned
from engine.inference.folded import Folded
from engine.inference.plain import Plain, to_bytes
from engine.inference.tuned import Tuned
from engine.inference.walk import Player, picture_at, pictures
from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network

BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"
CPU = torch.device("cpu")
KINDS = {
    "skip": {},
    "resnet": {"architecture": "resnet"},
    "orig": {"architecture": "orig"},
    "grey": {"img_channels": 1},
    "clamped": {"conv_clamp": 0.8},
    "clamped resnet": {"conv_clamp": 0.8, "architecture": "resnet"},
    "without noise": {"use_noise": False},
}


def network(**kind: object) -> StyleGAN2:
    """32x32, a little of everything in every tensor, more channels than a filter has taps."""
    torch.manual_seed(5)
    config = StyleGAN2Config(z_dim=6, channels=(20, 16, 12, 6), mapping=(7, 9))
    net = StyleGAN2(replace(config, **kind)).requires_grad_(False)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if not name.endswith("kernel"):
            tensor.normal_() if tensor.ndim else tensor.fill_(0.4)
    return net


def latent(net: StyleGAN2, seed: int = 0) -> Tensor:
    ws = np.random.RandomState(seed).randn(net.num_ws, net.w_dim).astype(np.float32)
    return torch.from_numpy(ws)


def reference(net: StyleGAN2, ws: Tensor, noise: float) -> Tensor:
    """The reference's picture [R, R, 3], on the scale of bytes but without half the range."""
    img = net.synthesize(ws[None], noise_strength=noise)[0] * 127.5
    return img.expand(3, -1, -1).permute(1, 2, 0)


def played(folded: Folded, player: Player, ws: Tensor, noise: float = 1.0) -> Tensor:
    s, d = folded.styles(ws)
    return picture_at(folded.resolution, folded, player, s, d, torch.tensor(noise))


def assert_same(picture: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    """Within the tolerance of DESIGN's parity, on the scale of bytes."""
    error = (picture[..., :3].float() - wanted).abs().max()
    assert error <= tolerance * 127.5 * max(1.0, float(wanted.abs().max()) / 127.5)


PLAYERS: dict[str, Callable[[Folded], Player]] = {
    "plain": lambda folded: Plain(),
    "tuned": lambda folded: Tuned(folded.filter),
}


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [0.0, 1.0, 0.3])
def test_every_player_gives_the_references_picture(player: str, kind: str, noise: float) -> None:
    net = network(**KINDS[kind])
    folded = Folded(net, CPU)
    instance = PLAYERS[player](folded)
    for seed in range(2):  # the second time the forms are settled
        ws = latent(net, seed)
        assert_same(played(folded, instance, ws, noise), reference(net, ws, noise))


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_every_form_of_a_convolution_is_the_same(layer: int) -> None:
    folded = Folded(network(), CPU)
    convolution = folded.convolutions[layer]
    inputs = convolution.weight.shape[0 if convolution.up else 1]
    x = torch.randn(1, inputs, 8, 8).to(memory_format=torch.channels_last)
    s, d = torch.randn(inputs), torch.rand(len(convolution.bias)) + 0.5
    choices = forms.of_convolution(convolution, folded.filter, x)
    assert len(choices) == (6 if convolution.up else 2)
    wanted = choices[0](x, s, d)
    assert wanted.shape[-1] == (16 if convolution.up else 8)
    for form in choices[1:]:
        torch.testing.assert_close(form(x, s, d), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [4, 8, 32])
def test_every_form_of_a_doubling_is_the_same(size: int) -> None:
    folded = Folded(network(), CPU)
    picture = torch.randn(size, size, 4)
    first, *others = forms.of_doubling(folded.filter, picture)
    wanted = first(picture)
    assert wanted.shape == (2 * size, 2 * size, 4)
    for form in others:
        torch.testing.assert_close(form(picture), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(Plain().double(picture), wanted, rtol=1e-5, atol=1e-5)


def test_every_form_of_to_rgb_is_the_same() -> None:
    folded = Folded(network(), CPU)
    layer = folded.blocks[1].picture
    assert layer is not None
    x = torch.randn(1, 16, 8, 8).to(memory_format=torch.channels_last)
    s = torch.randn(16)
    first, second = forms.of_picture(layer)
    torch.testing.assert_close(first(x, s), second(x, s), rtol=1e-4, atol=1e-3)


def test_early_pictures_are_the_partial_sums() -> None:
    net = network()
    folded = Folded(net, CPU)
    ws = latent(net)
    s, d = folded.styles(ws)
    found = {n: p.clone() for n, p in pictures(folded, Plain(), s, d, torch.tensor(1.0))}
    assert list(found) == [4, 8, 16, 32] == list(folded.pictures())
    for block in net.synthesis.blocks[3:]:  # without the last, the sum is that of 16x16, doubled
        block.torgb.weight.zero_()
        block.torgb.bias.zero_()
    doubled = reference(net, ws, 1.0)
    assert_same(Plain().double(found[16]), doubled)
    for size, picture in found.items():
        assert_same(
            picture_at(size, folded, Tuned(folded.filter), s, d, torch.tensor(1.0)),
            picture[..., :3],
        )


def test_only_the_full_picture_exists_without_skips() -> None:
    assert Folded(network(architecture="resnet"), CPU).pictures() == (32,)


def test_bytes_are_rounded_clamped_and_opaque() -> None:
    net = network()
    folded = Folded(net, CPU)
    sums = torch.tensor([-1e6, -128.0, -127.0, -0.6, -0.4, 0.0, 126.9, 127.4, 128.0, 1e6])
    picture = torch.zeros(1, 10, 4)
    picture[0, :, :3] = sums[:, None]
    found = to_bytes(picture, folded)
    assert found[0, :, 0].tolist() == [0, 0, 1, 127, 127, 128, 254, 255, 255, 255]
    assert (found[..., 3] == 255).all()


def test_a_colour_correction_is_applied_before_bytes() -> None:
    folded = Folded(network(), CPU)
    picture = torch.randn(4, 4, 4) * 50
    picture[..., 3] = 0
    matrix = torch.zeros(4, 4)
    matrix[0, 2] = matrix[1, 1] = matrix[2, 0] = 1.0  # red and blue change places
    found = to_bytes(picture, folded, (matrix, folded.offset))
    wanted = to_bytes(picture[..., [2, 1, 0, 3]], folded)
    assert torch.equal(found, wanted)


def test_half_precision_stays_near_the_reference() -> None:
    net = network()
    folded = Folded(net, CPU, torch.float16)
    ws = latent(net)
    wanted = reference(net, ws, 1.0)
    half = played(folded, Plain(), ws)[..., :3]
    assert half.dtype == torch.float32
    assert (half - wanted).abs().max() < 0.01 * wanted.abs().max()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_half_precision_survives_weights_of_any_size(scale: float) -> None:
    """Demodulation takes the weights' size away again, so it must not overflow on the way."""
    net = network()
    for layer in net.synthesis.layers():
        layer.weight.mul_(scale)
        layer.affine.weight.mul_(1000)
    ws = latent(net)
    wanted = reference(net, ws, 1.0)
    half = played(Folded(net, CPU, torch.float16), Plain(), ws)[..., :3]
    assert torch.isfinite(half).all()
    assert (half - wanted).abs().mean() < 0.01 * wanted.abs().max()


def test_half_precision_is_within_the_bounds_that_are_promised() -> None:
    """Of the image range: mean 1 %, 99.99th percentile 4 %, worst pixel 12 %, over 64 pictures."""
    net = load_network(BUNDLED)
    folded = Folded(net, CPU, torch.float16)
    errors = []
    for seed in range(64):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, net.z_dim)).float()
        ws = net.map(z)[0]
        half = played(folded, Plain(), ws)[..., :3]
        errors.append((half - reference(net, ws, 1.0)).abs().flatten() / 255)
    error = torch.cat(errors).sort().values
    assert error.mean() <= 0.01
    assert error[int(len(error) * 0.9999)] <= 0.04
    assert error[-1] <= 0.12


def test_styles_that_are_all_zero_make_no_holes() -> None:
    net = network()
    for layer in net.synthesis.layers():
        layer.affine.weight.zero_()
        layer.affine.bias.zero_()
    for dtype in (torch.float32, torch.float16):
        assert torch.isfinite(played(Folded(net, CPU, dtype), Plain(), latent(net))).all()


def test_thequickest_form_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"slow": 0.003, "quick": 0.001, "middling": 0.002}
    monkeypatch.setattr(tuned, "_seconds", lambda form, *args: seconds[form])
    assert tuned.quickest(list(seconds)) == "quick"


def test_a_slow_form_is_not_tried_against_others(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(tuned, "_seconds", lambda form, *args: tried.append(form) or 1.0)
    assert tuned.quickest(["first", "second"]) == "first"
    assert set(tried) == {"first"}
