"""Training: the losses by hand, the fast generator against the reference, steps and their state."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.bench.synthetic import synthetic
from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.training import losses
from engine.training.batches import Batch, Rendered, Shuffled
from engine.training.beginning import new_discriminator, new_generator
from engine.training.dice import dice, mixed_ws
from engine.training.settings import average_decay, published_batch, published_gamma
from engine.training.synthesis import synthesize
from engine.training.trainer import DivergedError, Trainer
from tests.trained import CONFIG, CPU, Blobs, settings, trainer


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Losses


def test_losses_are_the_logistic_ones():
    fake, real = torch.tensor([0.3, -2.0]), torch.tensor([1.5, -0.25])

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    believed = [-math.log(sigmoid(x)) for x in fake.tolist()]
    assert losses.generator_loss(fake).item() == pytest.approx(sum(believed) / 2)
    told = [-math.log(1 - sigmoid(x)) for x in fake.tolist()]
    known = [-math.log(sigmoid(x)) for x in real.tolist()]
    expected = sum(told) / 2 + sum(known) / 2
    assert losses.discriminator_loss(fake, real).item() == pytest.approx(expected)


def test_r1_and_its_gradient_by_hand():
    """logit = (a . x)^2: its slope is 2 (a . x) a, so R1 is 4 (a . x)^2 |a|^2, a mean of N."""
    a = torch.randn(3 * 4 * 4, dtype=torch.double, generator=random())
    a.requires_grad_()
    x = torch.randn(5, 3, 4, 4, dtype=torch.double, generator=random(1)).requires_grad_()
    dots = x.flatten(1) @ a
    square = losses.gradient_square(dots.square(), x)
    expected = (4 * dots.square() * a.square().sum()).mean()
    assert square.item() == pytest.approx(expected.item())
    (slope,) = torch.autograd.grad(square, a)
    d, v, n = dots.detach(), a.detach(), a.detach().square().sum()
    by_hand = (8 * d[:, None] * x.detach().flatten(1) * n + 8 * d.square()[:, None] * v).mean(dim=0)
    torch.testing.assert_close(slope, by_hand)


def test_path_lengths_and_their_gradient_by_hand():
    """Picture = A w: J^T y is A^T y whatever w is, and its length's slope is known."""
    matrix = torch.randn(48, 6, dtype=torch.double, generator=random()).requires_grad_()
    ws = torch.randn(2, 1, 6, dtype=torch.double, generator=random(1)).requires_grad_()
    y = torch.randn(2, 3, 4, 4, dtype=torch.double, generator=random(2))
    lengths = losses.path_lengths((ws[:, 0] @ matrix.T).reshape(2, 3, 4, 4), ws, y)
    flat = y.flatten(1) / 4
    torch.testing.assert_close(lengths, (flat @ matrix).norm(dim=1))
    mean = torch.tensor(0.7, dtype=torch.double)
    (slope,) = torch.autograd.grad(losses.path_penalty(lengths, mean), matrix)
    back = flat @ matrix.detach()
    factor = (lengths.detach() - mean) / lengths.detach()
    torch.testing.assert_close(slope, torch.einsum("n,nk,nj->kj", factor, flat, back))


def test_layers_share_a_path_length():
    ws = torch.randn(3, 4, 6).requires_grad_()
    pictures = (ws.sum(dim=(1, 2))[:, None, None, None]).expand(3, 1, 2, 2)
    lengths = losses.path_lengths(pictures, ws, torch.ones(3, 1, 2, 2))
    torch.testing.assert_close(lengths, torch.full((3,), 2 * math.sqrt(6)))


def test_distances_of_pairs():
    x = torch.zeros(2, 3, 16, 16)
    y = x + 0.5
    assert losses.pair_distance(y, x, largest=8).item() == pytest.approx(0.5 * 2)  # at 8 and 4
    features, theirs = [torch.ones(2, 4)], [torch.full((2, 4), 2.0)]
    assert losses.feature_distance(features, theirs).item() == pytest.approx(0.5, rel=1e-3)


def test_what_was_published():
    assert published_gamma(256, 16) == pytest.approx(0.8192)
    assert [published_batch(side) for side in (64, 128, 256, 512, 1024)] == [32, 32, 16, 8, 4]
    chosen = settings(ema_kimg=10, ema_ramp=0.05)
    assert average_decay(chosen, 10_000_000) == pytest.approx(0.5 ** (8 / 10_000))
    assert average_decay(chosen, 8_000) == pytest.approx(0.5 ** (8 / 400))
    assert average_decay(chosen, 0) == 0


# The generator as training runs it


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_the_fast_generator_is_the_reference(architecture, clamp):
    config = StyleGAN2Config(16, (16, 12, 8), (16, 16), architecture=architecture, conv_clamp=clamp)
    net = synthetic(config)
    ws = torch.randn(3, net.num_ws, 16, generator=random())
    noise = [
        torch.randn(3, 1, *layer.noise_const.shape, generator=random(i))
        for i, layer in enumerate(net.synthesis.layers())
    ]
    for maps in (noise, None):
        exact = net.synthesize(ws, "none" if maps is None else maps)
        torch.testing.assert_close(synthesize(net, ws, maps), exact, rtol=1e-4, atol=1e-4)


def test_the_fast_generator_has_the_references_gradients():
    net = synthetic(CONFIG).requires_grad_(True)
    ws = torch.randn(2, net.num_ws, 16, generator=random())
    weights = [weight for name, weight in net.named_parameters() if "mapping" not in name]
    direction = torch.randn(2, 3, 16, 16, generator=random(1))

    def slopes(make):
        start = ws.clone().requires_grad_()
        pictures = make(start)
        first = torch.autograd.grad(
            (pictures * direction).sum(), weights, retain_graph=True, allow_unused=True
        )
        lengths = losses.path_lengths(pictures, start, direction)
        return first, torch.autograd.grad(lengths.square().sum(), weights, allow_unused=True)

    exact = slopes(lambda start: net.synthesize(start, "none"))
    fast = slopes(lambda start: synthesize(net, start, None))
    for ours, theirs in zip(fast, exact, strict=True):
        for mine, its in zip(ours, theirs, strict=True):
            assert (mine is None) == (its is None)
            if mine is not None:
                scale = its.abs().max().item() + 1e-6
                torch.testing.assert_close(mine / scale, its / scale, rtol=1e-3, atol=1e-3)


def test_half_precision_does_not_overflow():
    """Weights and styles whose products are far beyond 65504."""
    net = synthetic(StyleGAN2Config(16, (16, 16, 16), (16, 16), conv_clamp=256.0))
    for block in net.synthesis.blocks:
        block.conv1.weight.data.mul_(1e4)
        block.conv1.affine.weight.data.mul_(1e2)
    ws = torch.randn(2, net.num_ws, 16, generator=random())
    near = synthesize(net, ws, None, {16, 8})
    exact = synthesize(net, ws, None)
    assert near.dtype == torch.float32
    assert (near - exact).abs().mean() < 0.01 * (exact.max() - exact.min())
    assert not torch.equal(near, exact)


def test_styles_are_mixed_as_often_as_asked():
    net = trainer().generator
    z = torch.randn(400, 16, generator=random())
    assert torch.equal(mixed_ws(net, z, 0, random()), net.map(z))
    ws = mixed_ws(net, z, 0.5, random(1))
    own = (ws == net.map(z)).all(dim=2)
    assert own[:, 0].all()
    assert (~own).any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (own.int().diff(dim=1) <= 0).all()  # from some layer on, all are the other's


# Steps


def test_a_step_moves_both_players():
    t = trainer()
    before = {name: x.clone() for name, x in t.state()[0].items()}
    t.step()
    after = t.state()[0]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in moved} >= {"generator", "discriminator", "average"}
    assert set(t.means()) == {"generator", "discriminator", "sign", "r1", "path"}


def test_the_discriminators_first_step_by_hand():
    """Adam's first step is the rate in the direction of the gradient, whatever its size."""
    t = trainer(augment=False, path=0.0, mixing=0.0, noise=False)
    weight = t.discriminator.b4.out.weight
    before = weight.detach().clone()
    batch = t.batches.take(0, 8, CPU)
    z = torch.randn(8, 16, generator=dice(0, 0, "z", CPU))
    fakes = t.generator.synthesize(t.generator.map(z), "none").detach()
    loss = F.softplus(t.discriminator(fakes)).mean()
    loss = loss + F.softplus(-t.discriminator(batch.pictures)).mean()
    (slope,) = torch.autograd.grad(loss, weight)
    t._play(batch)
    expected = before - 0.0025 * 16 / 17 * slope.sign()
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-4)


def test_the_average_follows_by_its_half_life():
    t = trainer(path=0.0, ema_kimg=0.016)
    for steps in range(1, 4):
        before = t.average.synthesis.b4.conv1.weight.clone()
        t.step()
        decay = 0.5 ** (8 / min(16, 0.05 * 8 * steps))
        now = t.generator.synthesis.b4.conv1.weight
        expected = before * decay + now * (1 - decay)
        torch.testing.assert_close(t.average.synthesis.b4.conv1.weight, expected.detach())


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_learns_much_the_same(precision):
    config = StyleGAN2Config(16, (8, 8, 8), (16, 16), conv_clamp=256.0)
    means = []
    for each in ("float32", precision):
        t = trainer(generator=config, precision=each, augment=False)
        for _ in range(5):
            t.step()
        means.append(t.means())
    assert means[0] != means[1]
    for name in ("generator", "discriminator", "r1", "path"):
        assert means[1][name] == pytest.approx(means[0][name], rel=0.1)


def test_a_frozen_generator_waits():
    t = trainer(freeze_kimg=0.016)
    before = {name: x.clone() for name, x in t.generator.state_dict().items()}
    t.step()
    t.step()
    assert equal(before, t.generator.state_dict())
    t.step()
    assert not equal(before, t.generator.state_dict())


def test_noise_that_is_not_wanted_stays_off():
    t = trainer(noise=False)
    t.step()
    assert all(layer.noise_strength == 0 for layer in t.generator.synthesis.layers())
    wanted = trainer()
    wanted.step()
    assert any(layer.noise_strength != 0 for layer in wanted.generator.synthesis.layers())


def test_pairs_begin_with_the_pictures_latents_and_fade():
    t = trainer(pairs=1.0, pairs_kimg=0.016)
    batch = t.batches.take(0, 8, CPU)
    assert torch.equal(t._latents(batch)[:, :5], batch.latents)
    t.step()
    assert "pairs" in t.means()
    t.step()
    t.step()
    batch = t.batches.take(24, 8, CPU)
    assert not (t._latents(batch)[:, :5] == batch.latents).any()


def test_a_share_of_the_pairs_stays_and_the_rest_is_mixed():
    t = trainer(pairs=1.0, pairs_kimg=0.016, pairs_left=0.25, pairs_share=0.7, mixing=1.0)
    for _ in range(3):
        t.step()
    assert t._pairs.weight(8) == pytest.approx(0.625)
    assert t._pairs.weight(t.pictures) == 0.25
    batch = t.batches.take(24, 8, CPU)
    paired = (t._latents(batch)[:, :5] == batch.latents).all(dim=1)
    assert paired.tolist() == [True] * 6 + [False] * 2


def test_the_rate_falls_to_nothing():
    t = trainer(fall=(0.032, 0.064), critic_rate=0.005, path=0.0)
    rates = []
    for _ in range(9):
        t.step()
        groups = t._adam_g.param_groups[0], t._adam_d.param_groups[0]
        rates.append((groups[0]["lr"], groups[1]["lr"] * 17 / 16))
    assert [rate / 0.0025 for rate, _ in rates] == pytest.approx([1] * 5 + [0.75, 0.5, 0.25, 0])
    assert all(critic == pytest.approx(2 * rate) for rate, critic in rates)


def test_without_noise_it_is_performed_without():
    generator = new_generator(settings())
    for layer in generator.synthesis.layers():
        layer.noise_strength.data.fill_(0.5)  # as another training left it
    chosen = settings(noise=False)
    t = Trainer(chosen, Blobs(), generator, new_discriminator(chosen), CPU)
    t.step()
    ws = t.average.map(torch.randn(2, 16))
    assert torch.equal(t.average.synthesize(ws, "const"), t.average.synthesize(ws, "none"))


def test_networks_without_noise_inputs_are_trained():
    t = trainer(generator=replace(CONFIG, use_noise=False), noise=False)
    t.step()
    assert set(t.means()) >= {"generator", "discriminator"}


def test_pairs_need_room_in_z():
    t = trainer(generator=replace(CONFIG, z_dim=4), pairs=1.0, pairs_kimg=1.0)
    with pytest.raises(UserError, match="the pictures have 5 latents, and the network's z 4"):
        t.step()


def test_the_rates_rise_as_each_player_begins():
    t = trainer(warm_kimg=0.032, freeze_kimg=0.016, path=0.0)
    rates = []
    for _ in range(6):
        t.step()
        rates.append([a.param_groups[0]["lr"] / 0.0025 for a in (t._adam_g, t._adam_d)])
    generator, discriminator = zip(*rates, strict=True)
    assert generator == pytest.approx((0, 0, 0.25, 0.5, 0.75, 1))
    assert discriminator == pytest.approx([x * 16 / 17 for x in (0.25, 0.5, 0.75, 1, 1, 1)])


def test_augmentation_adapts_every_four_steps():
    t = trainer(ramp_kimg=0.032)
    for step in range(1, 9):
        t.step()
        assert (t.p == 0) or step >= 4
    assert t.p > 0 or t.means()["sign"] < 0.6


@pytest.mark.parametrize("steps", [1, 6])
def test_a_state_goes_on_to_the_same_bit(steps):
    first = trainer(pairs=1.0, pairs_kimg=1.0, ramp_kimg=0.05)
    first._adaptation.p = 0.4
    for _ in range(steps):
        first.step()
    tensors, numbers = first.state()
    assert len(numbers["signs"]) == steps % 4  # what p will be adapted by, in a while
    for _ in range(7):
        first.step()
    second = trainer(pairs=1.0, pairs_kimg=1.0, ramp_kimg=0.05)
    second.restore(tensors, numbers)
    for _ in range(7):
        second.step()
    assert equal(first.state()[0], second.state()[0])
    assert first.state()[1] == second.state()[1]


def test_a_state_of_others_is_refused():
    tensors, numbers = trainer().state()
    other = trainer(discriminator=(4, 4, 4))
    with pytest.raises(ValueError, match="not of these networks"):
        other.restore(tensors, numbers)


def test_a_loss_that_is_no_number_is_told_where():
    t = trainer()
    t.batches = Blobs(broken_from=24)
    for _ in range(3):
        t.step()
    with pytest.raises(DivergedError, match=r"no number after 0\.0 kimg"):
        t.step()
    assert t.steps == 4


def test_a_weight_that_is_no_number_is_not_kept():
    t = trainer()
    t.step()
    t.generator.synthesis.b4.const.data[0, 0, 0] = float("inf")
    with pytest.raises(DivergedError, match=r"synthesis\.b4\.const is no number"):
        t.state()


# Pictures by their number


def test_pictures_are_shuffled_by_their_order():
    class Numbers:
        resolution = 4

        def __len__(self):
            return 5

        def batch(self, indices, device="cpu"):
            return torch.tensor(indices).float()[:, None, None, None].expand(-1, 3, 4, 4)

        def order(self, seed):
            class Backwards:
                def take(self, start, count):
                    return [(-place) % 5 for place in range(start, start + count)]

            return Backwards()

    row = Shuffled(Numbers(), 0)
    assert row.count == 5
    assert row.take(3, 4, CPU).pictures[:, 0, 0, 0].tolist() == [2, 1, 0, 4]


def test_rendered_pictures_are_told_their_number():
    def render(seed, count, size, device, first):
        latents = torch.arange(first, first + count)[:, None].float()
        return latents, latents[:, :, None, None].expand(-1, 3, size, size)

    batch = Rendered(render, 8, 3).take(7, 2, CPU)
    assert isinstance(batch, Batch)
    assert batch.latents is not None
    assert batch.latents.flatten().tolist() == [7, 8]
    assert batch.pictures.shape == (2, 3, 8, 8)


def test_dice_are_others_for_every_seed_step_and_purpose():
    thrown = {
        torch.randn(1, generator=dice(seed, step, purpose, CPU)).item()
        for seed in (0, 1)
        for step in (0, 1, 2)
        for purpose in ("z", "path")
    }
    assert len(thrown) == 12
    assert torch.equal(
        torch.randn(4, generator=dice(1, 2, "z", CPU)),
        torch.randn(4, generator=dice(1, 2, "z", CPU)),
    )


def test_every_step_has_latents_noise_and_pictures_of_its_own():
    t = trainer()
    asked = []
    t.batches = Blobs()
    take = t.batches.take
    t.batches.take = lambda first, count, where: asked.append(first) or take(first, count, where)
    z = t._latents(take(0, 8, CPU))
    t.step()
    t.step()
    assert asked == [0, 8]
    assert not torch.equal(t._latents(take(0, 8, CPU)), z)
