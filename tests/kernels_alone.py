"""Triton's kernels: on a GPU where there is one, else in Triton's interpreter.

`test_kernels.py` runs this in a process of its own: Triton's LLVM and that of Mesa's OpenGL, which
other tests load, do not share one.
"""

import os
import sys
from dataclasses import replace

import pytest
import torch
from test_inference import KINDS, latent, network

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

from engine.inference import kernels, plain  # noqa: E402
from engine.inference.choice import choose  # noqa: E402
from engine.inference.folded import Folded  # noqa: E402
from engine.inference.fused import Fused  # noqa: E402

SKIP = sorted(KINDS.keys() - {"resnet", "orig", "clamped resnet"})


@pytest.fixture(autouse=True)
def exact():
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        yield


def folded_as(dtype, **kind):
    net = network(**{"channels": (20, 16, 12), **kind})
    for block in net.synthesis.blocks:
        if block.torgb is not None:
            block.torgb.weight.mul_(0.1)  # fewer pixels beyond black and white
            block.torgb.bias.zero_()
    return Folded(net, DEVICE, dtype), net


def frames(folded, net, noise=1.0, size=None, colour=None):
    """The same frame by Triton's kernels and by PyTorch's: int [size, size, 4] each."""
    size = size or folded.resolution
    ws, factor = latent(net).to(DEVICE), torch.tensor(noise, device=DEVICE)
    fused = Fused(folded).frame(ws, factor, size, colour)
    known = plain.frame(folded, ws, factor, size, colour)
    assert fused.shape == (size, size, 4)
    assert fused.dtype == torch.uint8
    return fused.cpu().int(), known.cpu().int()


@pytest.mark.parametrize("kind", SKIP)
def test_frames_are_those_of_pytorchs_kernels(kind):
    fused, known = frames(*folded_as(torch.float32, **KINDS[kind]), noise=0.3)
    assert (fused - known).abs().max() <= 1  # sums in another order, then cut to a level
    assert (fused != known).float().mean() < 0.01
    assert (fused[..., 3] == 255).all()
    assert fused[..., :3].float().std() > 5  # there is a picture


def test_frames_in_half_precision_are_within_what_is_promised():
    """Of the reference in float32: a mean of 1 % and no more than 12 % anywhere."""
    half, net = folded_as(torch.float16)
    whole, _ = folded_as(torch.float32)
    fused, _ = frames(half, net)
    _, known = frames(whole, net)
    off = (fused - known).abs().float() / 255
    assert off.mean() <= 0.01
    assert off.max() <= 0.12


def test_activations_near_the_limit_of_half_precision_do_not_overflow():
    net = network(channels=(20, 16, 12), conv_clamp=256.0)
    for layer in (m for m in net.modules() if hasattr(m, "noise_strength")):
        layer.bias.fill_(1e4)
    fused, known = frames(Folded(net, DEVICE, torch.float16), net)
    assert (fused - known).abs().float().mean() < 2


@pytest.mark.parametrize("size", [4, 8])
def test_early_frames_have_the_colours_that_were_fitted(size):
    folded, net = folded_as(torch.float32)
    torch.manual_seed(1)
    colour = (torch.eye(4, device=DEVICE) + 0.2 * torch.randn(4, 4, device=DEVICE)).float()
    colour[:, 3] = colour[3] = 0.0  # there is no alpha in a sum
    shift = torch.tensor([140.0, 120.0, 100.0, 255.0], device=DEVICE)
    fused, known = frames(folded, net, size=size, colour=(colour, shift))
    assert (fused - known).abs().max() <= 1
    assert (fused != known).float().mean() < 0.02


def test_there_is_no_frame_of_a_size_that_the_network_does_not_make():
    folded, net = folded_as(torch.float32)
    with pytest.raises(ValueError, match="no picture of 24x24"):
        frames(folded, net, size=24)


@pytest.mark.parametrize("channels", [1, 33, 100])
def test_the_filter_reaches_every_pixel_of_every_channel(channels):
    """The doubling's second half alone, at sides that no tile divides."""
    torch.manual_seed(channels)
    net = network(channels=(channels, channels))
    layer = replace(Folded(net, DEVICE).blocks[1].convolutions[0], noise=None, clamp=None)
    for side in (2, 26):
        y = torch.randn(1, channels, side + 1, side + 1, device=DEVICE)
        d, scale = torch.rand(2, channels, device=DEVICE) + 0.5
        one = torch.ones((), device=DEVICE)
        x = kernels.smooth(layer, y.contiguous(memory_format=torch.channels_last), d, one, scale)
        wanted = plain._smoothed(y) * d[:, None, None] + layer.bias[:, None, None]
        wanted = torch.nn.functional.leaky_relu(wanted, 0.2) * scale[:, None, None]
        assert x.shape == (1, channels, side, side)
        torch.testing.assert_close(x, wanted, rtol=1e-4, atol=1e-4)


def test_styles_and_demodulations_are_the_folded_networks():
    folded, net = folded_as(torch.float16)
    ws = latent(net).to(DEVICE)
    s = folded.affine(ws)
    scaled, d = kernels.Demodulation(folded.convolutions, folded.epsilons)(s)
    known, known_d = folded.styles(ws)
    torch.testing.assert_close(d, known_d.float(), rtol=2e-3, atol=1e-3)
    for layer in folded.convolutions:
        part = scaled[layer.inputs]
        # Not 1 to the bit: a GPU divides by multiplying with a reciprocal.
        assert part.abs().max().item() == pytest.approx(1.0, abs=1e-6)
        torch.testing.assert_close(part, known[layer.inputs].float(), rtol=1e-3, atol=1e-3)


def test_a_network_with_silent_styles_is_played():
    net = network(channels=(20, 16))
    for module in net.modules():
        if hasattr(module, "affine"):
            module.affine.weight.zero_()
            module.affine.bias.zero_()
    folded = Folded(net, DEVICE, torch.float16)
    fused, known = frames(folded, net)
    assert (fused - known).abs().max() <= 1


def test_tritons_kernels_are_chosen_where_they_make_the_same_picture():
    folded, net = folded_as(torch.float16)
    chosen = choose(folded, latent(net).to(DEVICE))
    assert (chosen.kernels, chosen.note) == ("Triton", "")


@pytest.mark.parametrize("kind", ["resnet", "orig"])
def test_networks_that_do_not_sum_pictures_are_played_by_pytorch(kind):
    folded, net = folded_as(torch.float16, **KINDS[kind])
    chosen = choose(folded, latent(net).to(DEVICE))
    assert (chosen.kernels, chosen.note) == ("PyTorch's kernels", "")


def test_kernels_that_make_another_picture_are_not_chosen(monkeypatch):
    folded, net = folded_as(torch.float16)
    monkeypatch.setattr(Fused, "frame", lambda *given: 255 - plain.frame(folded, *given[1:]))
    chosen = choose(folded, latent(net).to(DEVICE))
    assert chosen.kernels == "PyTorch's kernels"
    assert "picture of 8x8 is off by" in chosen.note


def test_without_a_compiler_pytorch_plays_and_a_sentence_says_why(monkeypatch):
    folded, net = folded_as(torch.float16)

    def compile_it(*given):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable")

    monkeypatch.setattr(kernels.Demodulation, "__call__", compile_it)
    chosen = choose(folded, latent(net).to(DEVICE))
    assert chosen.kernels == "PyTorch's kernels"
    assert "Failed to find C compiler. Please specify" in chosen.note
    assert "\n" not in chosen.note


def test_without_triton_pytorch_plays_and_a_sentence_says_why(monkeypatch):
    folded, net = folded_as(torch.float16)
    for name in ("engine.inference.fused", "engine.inference.kernels"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["engine.inference"], "kernels")
    monkeypatch.setitem(sys.modules, "triton", None)
    chosen = choose(folded, latent(net).to(DEVICE))
    assert chosen.kernels == "PyTorch's kernels"
    assert "triton" in chosen.note
