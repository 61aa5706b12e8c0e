"""The distances between pictures: what they must see, and what they must not."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from engine.training import measure, patches
from engine.training.features import RandomFeatures, energy_distance, mean_distance
from engine.training.measure import Distances, Measure

SIDE, COUNT = 32, 192


def blobs(count: int, seed: int, side: int = SIDE) -> torch.Tensor:
    """Soft discs on slopes of colour, [count, 3, side, side] in [-1, 1]."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:side, :side] / side
    pictures = random.uniform(-0.6, 0.2, (count, 3, 1, 1)) + np.zeros((count, 3, side, side))
    tilt = random.normal(0, 0.3, (2, count, 1, 1, 1))
    pictures += tilt[0] * across + tilt[1] * down
    for _ in range(4):
        x, y = random.random((2, count, 1, 1, 1))
        radius = random.uniform(0.05, 0.25, (count, 1, 1, 1))
        cover = 1 / (1 + np.exp((np.hypot(across - x, down - y) - radius) * side))
        pictures += cover * (random.uniform(-0.3, 1, (count, 3, 1, 1)) - pictures)
    return torch.from_numpy(pictures.clip(-1, 1)).float()


def blurred(pictures: torch.Tensor, deviation: float) -> torch.Tensor:
    line = torch.exp(-(torch.arange(-6, 7.0) ** 2) / (2 * deviation**2))
    line = (line / line.sum()).expand(3, 1, 1, -1)
    x = F.pad(pictures, (6, 6, 6, 6), "reflect")
    return F.conv2d(F.conv2d(x, line, groups=3), line.transpose(2, 3), groups=3)


def noisy(pictures: torch.Tensor, amount: float) -> torch.Tensor:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(5))
    return pictures + amount * noise


def collapsed(pictures: torch.Tensor, kept: float) -> torch.Tensor:
    return pictures[: int(kept)].repeat(len(pictures) // int(kept), 1, 1, 1)


def tinted(pictures: torch.Tensor, amount: float) -> torch.Tensor:
    return pictures + amount * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)


def paled(pictures: torch.Tensor, amount: float) -> torch.Tensor:
    return pictures * amount


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def others() -> torch.Tensor:
    """As the real ones, but not the same."""
    return blobs(COUNT, 2)


@pytest.fixture(scope="module")
def known() -> Measure:
    return Measure.of(blobs(COUNT, 1).split(50))


@pytest.fixture(scope="module")
def chance(known, others) -> Distances:
    return known.distance([others])


@pytest.mark.parametrize(
    ("spoiled", "amounts"),
    [
        (blurred, (0.7, 1, 2, 4)),
        (noisy, (0.03, 0.06, 0.12, 0.5)),
        (collapsed, (32, 8, 3, 1)),
        (tinted, (0.15, 0.3, 0.6)),
        (paled, (0.8, 0.6, 0.3)),
    ],
)
def test_both_grow_with_what_is_wrong(known, others, chance, spoiled, amounts):
    found = [chance] + [known.distance([spoiled(others, amount)]) for amount in amounts]
    for one, worse in itertools.pairwise(found):
        assert worse.features > one.features
        assert worse.patches > one.patches
    assert found[-1].features > 20
    assert found[-1].patches > 2.5 * chance.patches


def test_two_samples_of_the_same_are_near(chance):
    assert abs(chance.features) < 3
    assert chance.patches < 70
    assert [side for side, _ in chance.scales] == [32, 16]
    assert chance.patches == pytest.approx(np.mean([value for _, value in chance.scales]))


def test_the_same_pictures_are_nearest(known):
    same = known.distance([blobs(COUNT, 1)])
    assert same.patches == 0
    assert -10 < same.features < 0  # without bias: they are nearer than two samples would be


def test_a_scale_is_named_where_something_is_wrong_with_it(known, others, chance):
    fine = known.distance([noisy(others, 0.03)])
    assert fine.scales[0][1] > 5 * chance.scales[0][1]
    assert fine.scales[1][1] < 1.2 * chance.scales[1][1]
    colour = known.distance([tinted(others, 0.3)])
    assert colour.scales[1][1] > 2 * chance.scales[1][1]
    assert colour.scales[0][1] < 1.2 * chance.scales[0][1]


def test_the_same_every_time_however_they_come(known, others, chance):
    again = Measure.of([blobs(COUNT, 1)]).distance(others.split(7))
    assert again.patches == pytest.approx(chance.patches, rel=1e-3)
    assert again.features == pytest.approx(chance.features, abs=0.05)
    assert known.distance([others]) == chance


def test_no_random_state_is_taken_or_changed(known, others, chance):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert Measure.of([blobs(COUNT, 1)]).distance([others]).patches == chance.patches
    assert torch.equal(torch.get_rng_state(), before)


def test_fakes_are_taken_as_shown(known, others):
    """What the screen cannot show, such as values beyond white, is not there."""
    shown = (others * 127.5 + 127.5).round() / 127.5 - 1
    between = torch.rand(others.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    beyond = torch.where(others == 1, 3, shown + 0.9 * between / 127.5)
    assert (others == 1).any()
    assert known.distance([beyond]) == known.distance([shown])


def test_no_number_is_no_good_picture(known, others):
    broken = others.clone()
    broken[3, 0, 5, 5] = torch.nan
    assert np.isnan(known.distance([broken]).features)


@pytest.mark.parametrize(("most", "batches"), [(40, [0, 1, 2]), (32, [0, 1])])
def test_no_more_is_taken_than_needed(monkeypatch, most, batches):
    monkeypatch.setattr(measure, "MOST", most)
    pictures = blobs(48, 1)
    drawn = []

    def endless():
        for number in itertools.count():
            drawn.append(number)
            yield pictures[16 * (number % 3) :][:16]

    found = Measure.of(endless())
    assert drawn == batches
    assert found.distance([pictures[:most]]).patches == 0


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([], "no pictures"),
        ([torch.zeros(0, 3, 32, 32)], "no pictures"),
        ([torch.zeros(3, 32, 32)], "are needed"),
        ([torch.zeros(1, 4, 32, 32)], "are needed"),
        ([torch.zeros(1, 3, 32, 16)], "are needed"),
        ([torch.zeros(1, 3, 4, 4)], "are needed"),
        ([torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 16, 16)], "among some of 32"),
    ],
)
def test_what_cannot_be_measured(pictures, expected):
    with pytest.raises(ValueError, match=expected):
        Measure.of(pictures)


def test_fakes_of_another_size(known):
    with pytest.raises(ValueError, match="of 16 pixels, real ones of 32"):
        known.distance([torch.zeros(2, 3, 16, 16)])


@pytest.mark.parametrize("side", [8, 24, 512])
@pytest.mark.parametrize("count", [1, 3])
def test_any_size_and_few_or_flat_pictures(side, count):
    flat = torch.zeros(count, 3, side, side)
    found = Measure.of([flat]).distance([flat])
    assert (found.features, found.patches) == (0, 0)
    assert np.isfinite(Measure.of([flat]).distance([blobs(2, 0, side)]).features)


@pytest.mark.parametrize(("side", "sides"), [(8, [8]), (16, [16]), (128, [128, 64, 32, 16])])
def test_a_pyramid_adds_up_to_the_picture(side, sides):
    pictures = blobs(2, 0, side)
    levels = patches.pyramid(pictures)
    assert [level.shape[2] for level in levels] == sides
    whole = levels[-1]
    for level in reversed(levels[:-1]):
        whole = patches.enlarged(whole) + level
    torch.testing.assert_close(whole, pictures)
    slope = torch.linspace(-1, 1, side).expand(1, 3, side, side)
    for level in patches.pyramid(slope)[:-1]:  # what is smooth is in the coarsest
        assert level[..., 8:-8].abs().sum() == pytest.approx(0, abs=1e-3)


def test_patches_are_cut_from_the_picture_they_say():
    pictures = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    (found,) = patches.cut(pictures, np.random.RandomState(0))
    assert found.shape == (2 * patches.A_PICTURE, 3, 49)
    windows = F.unfold(pictures, 7).view(2, 3, 49, -1)
    places = []
    for number, patch in enumerate(found):
        its = windows[number // patches.A_PICTURE]
        (place,) = (its == patch[..., None]).all(dim=(0, 1)).nonzero().flatten()
        places.append(divmod(int(place), 10))
    assert {row for row, _ in places} == {column for _, column in places} == set(range(10))
    assert len(set(places)) > 64  # of a hundred


@given(st.integers(2, 40), st.floats(0.1, 3), st.floats(-2, 2))
def test_patches_distance_is_that_of_wasserstein(count, scale, shift):
    """Between a sample and itself moved: in one dimension the move, in deviations."""
    random = torch.Generator().manual_seed(count)
    sample = scale * torch.randn(50 * count, 3, 49, generator=random)
    direction = torch.full((147, 1), 147**-0.5)
    level = patches.summarised([sample], direction)
    moved = patches.distance(level, (sample + shift).split(64), direction)
    assert moved == pytest.approx(abs(shift) / scale * 147**0.5, rel=0.05, abs=1e-4)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32))
def test_energy_distance_is_its_definition(many, others, seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(many, 5)), random.normal(0.5, 2, (others, 5))
    between = np.mean([np.linalg.norm(a - b) for a in x for b in y])
    within = [
        np.mean([np.linalg.norm(a - b) for a, b in itertools.permutations(z, 2)]) for z in (x, y)
    ]
    one, other = torch.from_numpy(x), torch.from_numpy(y)
    found = energy_distance(one, other, mean_distance(one))
    assert found == pytest.approx((2 * between - sum(within)) / (2 * between))


@pytest.mark.parametrize(("side", "features"), [(8, 96), (32, 480), (64, 736), (512, 736)])
def test_features_are_finite_and_of_one_scale(side, features):
    with torch.no_grad():
        found = RandomFeatures()(blobs(4, 0, side))
    assert found.shape == (4, features)
    assert found.isfinite().all()
    assert 0.01 < found.abs().mean() < 3


def test_filters_are_orthogonal_and_half_of_them_see_differences_only():
    for filters in RandomFeatures(3).buffers():
        half = len(filters) // 2
        for part in (filters[:half], filters[half:]):
            rows = part.flatten(1)
            gain = rows[0].square().sum()
            torch.testing.assert_close(rows @ rows.T, gain * torch.eye(half), atol=1e-5, rtol=0)
        sums = filters.sum(dim=(2, 3)).square().sum(dim=1)
        assert sums[half:].max() < 1e-8 < sums[:half].min()
    torch.testing.assert_close(RandomFeatures(3).filters0, RandomFeatures(3).filters0)
    assert not torch.equal(RandomFeatures(3).filters0, RandomFeatures(4).filters0)
