"""The discriminator: names, shapes, its parts against their formulas, and its filters."""

import math

import pytest
import torch
import torch.nn.functional as F

from engine.networks.discriminator import Discriminator, DiscriminatorConfig, with_deviation
from engine.networks.filters import (
    blur,
    double,
    halve,
    pooled_blur,
    pooled_double,
    pooled_halve,
)
from engine.networks.stylegan2 import Resample


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(config: DiscriminatorConfig) -> Discriminator:
    net = Discriminator(config)
    random = torch.Generator().manual_seed(5)
    for weight in net.parameters():
        weight.data.normal_(generator=random)
    return net


def test_names_and_shapes_are_nvidias():
    config = DiscriminatorConfig((24, 16, 8))
    shapes = {name: tuple(x.shape) for name, x in Discriminator(config).state_dict().items()}
    assert shapes == config.shapes()
    assert shapes == {
        "b16.fromrgb.weight": (8, 3, 1, 1),
        "b16.fromrgb.bias": (8,),
        "b16.conv0.weight": (8, 8, 3, 3),
        "b16.conv0.bias": (8,),
        "b16.conv1.weight": (16, 8, 3, 3),
        "b16.conv1.bias": (16,),
        "b16.skip.weight": (16, 8, 1, 1),
        "b8.conv0.weight": (16, 16, 3, 3),
        "b8.conv0.bias": (16,),
        "b8.conv1.weight": (24, 16, 3, 3),
        "b8.conv1.bias": (24,),
        "b8.skip.weight": (24, 16, 1, 1),
        "b4.conv.weight": (24, 25, 3, 3),
        "b4.conv.bias": (24,),
        "b4.fc.weight": (24, 384),
        "b4.fc.bias": (24,),
        "b4.out.weight": (1, 24),
        "b4.out.bias": (1,),
    }


@pytest.mark.parametrize("clamp", [None, 1.5])
def test_it_is_what_was_published(clamp):
    """Written out again, without what is folded: every gain where the paper has it."""
    net = drawn(DiscriminatorConfig((8, 6, 4), conv_clamp=clamp)).double()
    p = {name: x.detach() for name, x in net.state_dict().items()}
    pictures = torch.randn(8, 3, 16, 16, dtype=torch.double)
    taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.double) / 8
    kernel = torch.outer(taps, taps)

    def low_pass(x, padding):
        weight = kernel.expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, weight, padding=padding, groups=x.shape[1])

    def weight(name):
        return p[name] / math.sqrt(p[name][0].numel())

    def active(x, name, gain=1.0):
        x = F.leaky_relu(x + p[name].reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * math.sqrt(2) * gain
        return x if clamp is None or x.ndim == 2 else x.clamp(-clamp * gain, clamp * gain)

    x = active(F.conv2d(pictures, weight("b16.fromrgb.weight")), "b16.fromrgb.bias")
    for block in ("b16", "b8"):
        y = low_pass(x, 1)[:, :, ::2, ::2]
        y = F.conv2d(y, weight(f"{block}.skip.weight")) * math.sqrt(0.5)
        x = active(F.conv2d(x, weight(f"{block}.conv0.weight"), padding=1), f"{block}.conv0.bias")
        x = F.conv2d(low_pass(x, 2), weight(f"{block}.conv1.weight"), stride=2)
        x = active(x, f"{block}.conv1.bias", math.sqrt(0.5)) + y
    groups = x.reshape(4, 2, -1)
    deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=1)
    varied = torch.stack([deviation[i % 2].expand(4, 4) for i in range(8)])[:, None]
    x = F.conv2d(torch.cat([x, varied], dim=1), weight("b4.conv.weight"), padding=1)
    x = active(x, "b4.conv.bias")
    x = active(F.linear(x.flatten(1), weight("b4.fc.weight")), "b4.fc.bias")
    expected = F.linear(x, weight("b4.out.weight"), p["b4.out.bias"])[:, 0]
    # Blocks run in float32, whatever their weights are kept in.
    net.float()
    torch.testing.assert_close(net(pictures.float()), expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 3), (4, 4), (3, 3), (1, 1), (7, 1)])
def test_groups_fit_into_any_batch(count, group):
    x = torch.randn(count, 3, 4, 4)
    last = with_deviation(x)[:, 3]
    for number in range(count):
        others = [i for i in range(count) if i % (count // group) == number % (count // group)]
        expected = (x[others].var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(last[number], expected.expand(4, 4))


def test_filters_are_the_generators():
    x, resample = torch.randn(2, 3, 8, 8), Resample()
    torch.testing.assert_close(double(x), resample.upsample(x))
    torch.testing.assert_close(blur(x, 1, 4.0), resample.smooth(x))
    torch.testing.assert_close(halve(x), blur(x, 1)[:, :, ::2, ::2])


def test_filters_of_gpus_are_the_same():
    x = torch.randn(2, 3, 8, 8)
    for padding in (1, 2):
        torch.testing.assert_close(pooled_blur(x, padding, 4.0), blur(x, padding, 4.0))
    torch.testing.assert_close(pooled_halve(x, 1.0), halve(x))
    torch.testing.assert_close(pooled_halve(x, 4.0), halve(x, 4.0))
    torch.testing.assert_close(pooled_double(x, 4.0), double(x))
    torch.testing.assert_close(pooled_double(x, 1.0), double(x, 1.0))


@pytest.mark.parametrize("filtered", [lambda x: blur(x, 1), lambda x: blur(x, 2), halve, double])
def test_filters_differentiate_twice(filtered):
    x = torch.randn(1, 2, 6, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(filtered, x)
    assert torch.autograd.gradgradcheck(filtered, x)


def test_half_precision_is_near():
    net = drawn(DiscriminatorConfig((8, 6, 4), conv_clamp=256.0))
    pictures = torch.randn(4, 3, 16, 16)
    exact = net(pictures)
    net.half_resolutions = frozenset({16, 8})
    near = net(pictures)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.02, atol=0.02)
    assert not torch.equal(near, exact)
