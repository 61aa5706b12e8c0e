"""Adaptive augmentation: nothing at p = 0, exact where it can be, differentiable twice."""

import math
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from engine.training import augment as augmentation
from engine.training.augment import Adaptation, Transforms, augment, draw


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nothing(count: int) -> Transforms:
    return draw(count, torch.zeros(()), dice())


def turned(angle: float, count: int) -> Transforms:
    zero = torch.zeros(count)
    matrices = augmentation._matrices(zero, zero + angle, zero, zero, torch.zeros(count, 2))
    return replace(nothing(count), matrices=matrices, resampled=torch.ones(count).bool())


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=dice(1))


@pytest.fixture
def smooth() -> torch.Tensor:
    return F.interpolate(torch.randn(2, 3, 5, 5, generator=dice(2)), (32, 32), mode="bicubic")


def test_nothing_happens_at_0(pictures):
    assert torch.equal(augment(pictures, nothing(4)), pictures)


def test_something_happens_to_everything_at_1(pictures):
    changed = augment(pictures, draw(4, torch.ones(()), dice()))
    assert all(
        (one != other).float().mean() > 0.9 for one, other in zip(changed, pictures, strict=True)
    )
    assert changed.isfinite().all()


def test_flips_turns_and_shifts_move_pixels(pictures):
    none = nothing(4)
    one = torch.ones(4)
    assert torch.equal(augment(pictures, replace(none, flips=one)), pictures.flip(3))
    for turns in (1, 2, 3):
        expected = pictures.rot90(-turns, (2, 3))
        assert torch.equal(augment(pictures, replace(none, turns=turns * one)), expected)
    shifts = torch.tensor([2 / 16, -1 / 16]).expand(4, 2)
    shifted = augment(pictures, replace(none, shifts=shifts))
    assert torch.equal(shifted[:, :, :-1, 2:], pictures[:, :, 1:, :-2])
    assert torch.equal(shifted[:, :, -1], shifted[:, :, -3])  # mirrored at the last row


def test_a_flip_undoes_itself_and_four_turns_are_none(pictures):
    flip = replace(nothing(4), flips=torch.ones(4))
    assert torch.equal(augment(augment(pictures, flip), flip), pictures)
    turn = replace(nothing(4), turns=torch.ones(4))
    again = pictures
    for _ in range(4):
        again = augment(again, turn)
    assert torch.equal(again, pictures)


def test_resampling_alone_changes_nothing(pictures):
    resampled = augment(pictures, turned(0.0, 4))
    torch.testing.assert_close(resampled, pictures, rtol=0, atol=1e-5)


def test_a_quarter_resampled_is_a_quarter_turned(smooth):
    for sign in (-1, 1):
        resampled = augment(smooth, turned(sign * math.pi / 2, 2))
        exact = smooth.rot90(-sign, (2, 3))
        torch.testing.assert_close(resampled, exact, rtol=0, atol=0.05)


def test_a_shift_by_whole_pixels_is_exact(smooth):
    zero = torch.zeros(2)
    fraction = torch.tensor([[3 / 32, -2 / 32]]).expand(2, 2)
    matrices = augmentation._matrices(zero, zero, zero, zero, fraction)
    shifted = augment(
        smooth, replace(nothing(2), matrices=matrices, resampled=torch.ones(2).bool())
    )
    torch.testing.assert_close(
        shifted[:, :, 5:-5, 8:-5], smooth[:, :, 7:-3, 5:-8], rtol=0, atol=1e-4
    )


def test_scaling_magnifies(smooth):
    zero = torch.zeros(2)
    matrices = augmentation._matrices(zero + 1, zero, zero, zero, torch.zeros(2, 2))
    twice = augment(smooth, replace(nothing(2), matrices=matrices, resampled=torch.ones(2).bool()))
    expected = F.interpolate(smooth, scale_factor=2, mode="bicubic")[:, :, 16:-16, 16:-16]
    torch.testing.assert_close(twice, expected, rtol=0, atol=0.1)


def test_colours_are_what_they_say():
    zero = torch.zeros(1)
    given = {"brightness": zero, "contrast": zero, "inverted": zero, "hue": zero}
    given["saturation"] = zero
    picture = torch.randn(1, 3, 8, 8)

    def coloured(**changes):
        colours = augmentation._colours(**{**given, **changes})
        return augment(picture, replace(nothing(1), colours=colours))

    grey = picture.mean(dim=1, keepdim=True)
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(coloured(brightness=zero + 0.25), picture + 0.25, **close)
    torch.testing.assert_close(coloured(contrast=zero + 1), picture * 2, **close)
    torch.testing.assert_close(coloured(inverted=zero + 1), picture - 2 * grey, **close)
    torch.testing.assert_close(coloured(hue=zero + 2 * math.pi / 3), picture.roll(1, 1), **close)
    saturated = grey + 2 * (picture - grey)
    torch.testing.assert_close(coloured(saturation=zero + 1), saturated, **close)
    both = coloured(brightness=zero + 0.25, contrast=zero + 1)
    torch.testing.assert_close(both, (picture + 0.25) * 2, **close)


@pytest.mark.parametrize("p", [0.2, 0.7, 1.0])
def test_each_is_applied_as_often_as_p_says(p):
    """A flip and an inversion half as often, a turn three times in four: one draw is no change."""
    count = 20_000
    drawn = draw(count, torch.tensor(p), dice(3))

    def often(changed):
        return changed.float().mean().item()

    tolerance = 4 * math.sqrt(0.25 / count)
    assert often(drawn.flips != 0) == pytest.approx(p / 2, abs=tolerance)
    assert often(drawn.turns != 0) == pytest.approx(p * 3 / 4, abs=tolerance)
    assert often(drawn.shifts.any(dim=1)) == pytest.approx(p, abs=tolerance)
    # Scale, one of two rotations, aspect, fraction: resampled unless none of the four happens.
    assert often(drawn.resampled) == pytest.approx(1 - (1 - p) ** 4, abs=tolerance)
    identity = torch.eye(3, 4)
    unchanged = (drawn.colours == identity).all(dim=2).all(dim=1)
    assert often(unchanged) <= (1 - p) ** 4 * (1 - p / 2) + tolerance


def test_rotations_are_even_and_scales_balanced():
    drawn = draw(20_000, torch.ones(()), dice(4))
    linear = drawn.matrices[:, :, :2]
    areas = torch.linalg.det(linear).log2()
    assert areas.mean().item() == pytest.approx(0, abs=0.02)
    assert areas.std().item() == pytest.approx(2 * augmentation.SCALE, rel=0.05)
    assert linear.mean(dim=0).abs().max() < 0.02


def test_the_gradient_flows_twice():
    random = dice(5)
    drawn = draw(2, torch.ones(()), random)
    exact = Transforms(
        *(
            value.double() if value.is_floating_point() else value
            for value in (getattr(drawn, field.name) for field in fields(drawn))
        )
    )
    pictures = torch.randn(2, 3, 8, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: augment(x, exact), pictures, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: augment(x, exact), pictures, fast_mode=True)


def test_p_follows_the_sign():
    adaptation = Adaptation(0.6, 500_000)
    adaptation.adapt(0.7, 64)
    assert adaptation.p == pytest.approx(64 / 500_000)
    adaptation.adapt(0.6, 64)
    assert adaptation.p == pytest.approx(64 / 500_000)
    adaptation.adapt(-1, 64)
    adaptation.adapt(-1, 64)
    assert adaptation.p == 0
    for _ in range(10):
        adaptation.adapt(1, 100_000)
    assert adaptation.p == 1
