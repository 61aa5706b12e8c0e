"""FID: the distance by closed forms, Inception by the paper's own operations, files, a training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.training import pictures
from engine.training.fid import Gaussian, frechet_distance, inception_features
from engine.training.inception import Inception, load_inception
from engine.training.pictures import measure_of
from engine.weights import inception
from engine.weights.inception import CONVOLUTIONS, find_inception, read_inception
from engine.weights.vgg_places import checkpoints
from tests.trained import CPU, Blobs, lines, run

State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: what the developer has downloaded decides nothing."""
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The distance


def gaussian(mean: torch.Tensor, covariance: torch.Tensor) -> Gaussian:
    return Gaussian(mean.double(), covariance.double())


def points(seed: int, count: int = 40, dimensions: int = 6) -> torch.Tensor:
    """Of a skewed cloud, away from 0."""
    skew = torch.randn(dimensions, dimensions, generator=random(seed + 1000))
    return torch.randn(count, dimensions, generator=random(seed)) @ skew + seed % 3


def test_means_and_covariances_are_those_of_numpy():
    cloud = points(1)
    found = Gaussian.of(cloud)
    np.testing.assert_allclose(found.mean, cloud.double().mean(dim=0))
    np.testing.assert_allclose(found.covariance, np.cov(cloud.double().numpy(), rowvar=False))
    assert found.covariance.dtype == torch.float64
    assert not Gaussian.of(cloud[:1]).covariance.any()


def test_equals_are_not_apart():
    for cloud in (points(1), points(2, count=3), torch.zeros(4, 6)):
        assert frechet_distance(Gaussian.of(cloud), Gaussian.of(cloud)) < 1e-6


def test_a_shift_counts_by_its_square():
    one = Gaussian.of(points(1))
    shift = torch.tensor([3.0, 0, 0, 4, 0, 0]).double()
    moved = Gaussian(one.mean + shift, one.covariance)
    assert frechet_distance(one, moved) == pytest.approx(25)


def test_spreads_along_the_axes_count_by_their_difference():
    ones, others = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([4.0, 0.5, 3.0])
    zero = torch.zeros(3)
    found = frechet_distance(
        gaussian(zero, ones.square().diag()), gaussian(zero, others.square().diag())
    )
    assert found == pytest.approx((ones - others).square().sum().item())


def test_of_one_dimension():
    one = gaussian(torch.tensor([1.0]), torch.tensor([[9.0]]))
    other = gaussian(torch.tensor([3.0]), torch.tensor([[1.0]]))
    assert frechet_distance(one, other) == pytest.approx(2**2 + (3 - 1) ** 2)


def plainly(one: Gaussian, other: Gaussian) -> float:
    """By the eigenvalues of the product itself, which is not symmetric."""
    values = np.linalg.eigvals(one.covariance.numpy() @ other.covariance.numpy())
    shared = np.sqrt(values.real.clip(0)).sum()
    traces = np.trace(one.covariance.numpy()) + np.trace(other.covariance.numpy())
    return float(np.square((one.mean - other.mean).numpy()).sum() + traces - 2 * shared)


seeds = st.integers(0, 10_000)


@given(seeds, seeds, st.integers(2, 40))
def test_it_is_the_formula_either_way_round(first, second, count):
    one, other = Gaussian.of(points(first, count)), Gaussian.of(points(second))
    found = frechet_distance(one, other)
    assert found >= 0
    assert found == pytest.approx(frechet_distance(other, one), rel=1e-6, abs=1e-5)
    assert found == pytest.approx(plainly(one, other), rel=1e-4, abs=1e-4)


@given(seeds, seeds)
def test_how_space_is_turned_and_where_it_begins_is_no_matter(first, second):
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.double, generator=random(first)))
    one, other = points(first).double(), points(second).double()
    there = [Gaussian.of(cloud @ turn + 5) for cloud in (one, other)]
    expected = frechet_distance(Gaussian.of(one), Gaussian.of(other))
    assert frechet_distance(*there) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_fewer_the_farther_though_all_are_of_one_kind():
    clouds = [torch.randn(2, count, 32, generator=random(count)) for count in (16, 64, 1024)]
    found = [frechet_distance(*map(Gaussian.of, pair)) for pair in clouds]
    assert found[0] > 2 * found[1] > 8 * found[2] > 0


def test_what_is_no_number_is_none():
    broken = points(1)
    broken[0, 0] = torch.nan
    assert np.isnan(frechet_distance(Gaussian.of(points(1)), Gaussian.of(broken)))
    assert np.isnan(frechet_distance(Gaussian.of(broken), Gaussian.of(points(1))))


# The network


def random_state() -> State:
    """As the published file is laid out, with numbers that keep a picture's size on its way."""
    state: State = {}
    dice = random(7)
    for name, each in CONVOLUTIONS.items():
        shape = (each.outputs, each.inputs, *each.kernel)
        fan_in = each.inputs * each.kernel[0] * each.kernel[1]
        state[f"{name}.conv.weight"] = torch.randn(shape, generator=dice) * (2 / fan_in) ** 0.5
        for part in ("weight", "running_var"):
            state[f"{name}.bn.{part}"] = torch.rand(each.outputs, generator=dice) + 0.5
        for part in ("bias", "running_mean"):
            state[f"{name}.bn.{part}"] = torch.randn(each.outputs, generator=dice) / 5
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    return {**state, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


@pytest.fixture(scope="module")
def state() -> State:
    return random_state()


@pytest.fixture(scope="module")
def saved(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "fid.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(saved: Path) -> Inception:
    return load_inception(saved)


class Plain:
    """Inception written down once more: convolution, normalisation and ReLU one by one.

    It was held against pytorch-fid's own on random weights: the same features to the bit.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def unit(self, x, name, stride=1, padding=0):
        weight = self.state[f"{name}.conv.weight"]
        norm = {part: self.state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var")}
        gains = {part: self.state[f"{name}.bn.{part}"] for part in ("weight", "bias")}
        x = F.conv2d(x, weight, stride=stride, padding=padding)
        return F.relu(F.batch_norm(x, **norm, **gains, training=False, eps=0.001))

    def chain(self, x, block, *steps):
        for name, *how in steps:
            x = self.unit(x, f"{block}.{name}", *how)
        return x

    @staticmethod
    def mean(x):
        """Sums of neighbours, divided by how many there are."""
        ones = torch.ones(x.shape[1], 1, 3, 3)
        sums = F.conv2d(x, ones, padding=1, groups=x.shape[1])
        return sums / F.conv2d(torch.ones(1, 1, *x.shape[2:]), ones[:1], padding=1)

    @staticmethod
    def largest(x):
        sides = F.pad(x, (1, 1, 1, 1), value=-1e9).unfold(2, 3, 1).unfold(3, 3, 1)
        return sides.amax(dim=(4, 5))

    def a(self, x, block):
        return [
            self.chain(x, block, ("branch1x1",)),
            self.chain(x, block, ("branch5x5_1",), ("branch5x5_2", 1, 2)),
            self.chain(
                x,
                block,
                ("branch3x3dbl_1",),
                ("branch3x3dbl_2", 1, 1),
                ("branch3x3dbl_3", 1, 1),
            ),
            self.chain(self.mean(x), block, ("branch_pool",)),
        ]

    def b(self, x, block):
        return [
            self.chain(x, block, ("branch3x3", 2)),
            self.chain(
                x, block, ("branch3x3dbl_1",), ("branch3x3dbl_2", 1, 1), ("branch3x3dbl_3", 2)
            ),
            F.max_pool2d(x, kernel_size=3, stride=2),
        ]

    def c(self, x, block):
        across, down = (0, 3), (3, 0)
        return [
            self.chain(x, block, ("branch1x1",)),
            self.chain(
                x, block, ("branch7x7_1",), ("branch7x7_2", 1, across), ("branch7x7_3", 1, down)
            ),
            self.chain(
                x,
                block,
                ("branch7x7dbl_1",),
                ("branch7x7dbl_2", 1, down),
                ("branch7x7dbl_3", 1, across),
                ("branch7x7dbl_4", 1, down),
                ("branch7x7dbl_5", 1, across),
            ),
            self.chain(self.mean(x), block, ("branch_pool",)),
        ]

    def d(self, x, block):
        return [
            self.chain(x, block, ("branch3x3_1",), ("branch3x3_2", 2)),
            self.chain(
                x,
                block,
                ("branch7x7x3_1",),
                ("branch7x7x3_2", 1, (0, 3)),
                ("branch7x7x3_3", 1, (3, 0)),
                ("branch7x7x3_4", 2),
            ),
            F.max_pool2d(x, kernel_size=3, stride=2),
        ]

    def e(self, x, block, pooled=None):
        once = self.chain(x, block, ("branch3x3_1",))
        twice = self.chain(x, block, ("branch3x3dbl_1",), ("branch3x3dbl_2", 1, 1))
        return [
            self.chain(x, block, ("branch1x1",)),
            self.chain(once, block, ("branch3x3_2a", 1, (0, 1))),
            self.chain(once, block, ("branch3x3_2b", 1, (1, 0))),
            self.chain(twice, block, ("branch3x3dbl_3a", 1, (0, 1))),
            self.chain(twice, block, ("branch3x3dbl_3b", 1, (1, 0))),
            self.chain(self.mean(x) if pooled is None else pooled, block, ("branch_pool",)),
        ]

    def last(self, x, block):
        return self.e(x, block, self.largest(x))

    def blocks(self):
        kinds = {"5bcd": self.a, "6a": self.b, "6bcde": self.c, "7a": self.d, "7b": self.e}
        named = [(f"Mixed_{key[0]}{it}", kind) for key, kind in kinds.items() for it in key[1:]]
        return [*named, ("Mixed_7c", self.last)]

    def features(self, x):
        """Of pictures [N, 3, 299, 299]."""
        x = self.unit(x, "Conv2d_1a_3x3", 2)
        x = self.unit(x, "Conv2d_2a_3x3")
        x = self.unit(x, "Conv2d_2b_3x3", 1, 1)
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        x = self.unit(self.unit(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        for name, kind in self.blocks():
            x = torch.cat(kind(x, name), dim=1)
        return x.flatten(2).mean(dim=2)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=random(3)) * 2 - 1


def test_each_block_is_what_it_is_plainly(network, state):
    inputs = (192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048)
    for (name, kind), channels in zip(Plain(state).blocks(), inputs, strict=True):
        x = noise(2, channels, 9, 7)
        expected = torch.cat(kind(x, name), dim=1)
        found = network.get_submodule(name)(x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, msg=name)


def test_all_of_it_is_what_it_is_plainly(network, state):
    shown = noise(1, 3, 299, 299)
    found = network(shown)
    assert found.shape == (1, 2048)
    torch.testing.assert_close(found, Plain(state).features(shown), rtol=1e-3, atol=1e-3)
    assert found.std() > 0.1  # not all alike, as they would be where nothing arrives


def test_other_pictures_are_resized_between_their_pixels_centres(network, monkeypatch):
    """Every place of 299 is where it is between two of 64, and nothing is filtered before."""
    seen = []
    monkeypatch.setattr(network, "along", lambda x, *names: seen.append(x) or x)
    monkeypatch.setattr("engine.training.inception.BLOCKS", {})
    picture = noise(1, 3, 64, 64)
    network(picture)
    place = ((torch.arange(299) + 0.5) * 64 / 299 - 0.5).clamp(0, 63)
    before, share = place.floor().long(), place.frac()
    after = (before + 1).clamp(max=63)
    rows = picture[:, :, before] * (1 - share)[:, None] + picture[:, :, after] * share[:, None]
    expected = rows[..., before] * (1 - share) + rows[..., after] * share
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_it_has_the_published_size():
    """As torchvision counts its own, without the heads."""
    assert len(CONVOLUTIONS) == 94
    numbers = sum(
        each.outputs * (each.inputs * each.kernel[0] * each.kernel[1] + 2)
        for each in CONVOLUTIONS.values()
    )
    assert numbers == 21_785_568


def test_normalisation_is_folded_in(saved, state):
    folded = read_inception(saved)
    name = "Conv2d_2b_3x3"
    x = noise(2, 32, 5, 5)
    weight, bias = (torch.from_numpy(folded[f"{name}.{part}"]) for part in ("weight", "bias"))
    found = F.relu(F.conv2d(x, weight, bias, padding=1))
    torch.testing.assert_close(found, Plain(state).unit(x, name, padding=1), rtol=1e-5, atol=1e-5)


def test_features_are_those_of_what_can_be_seen(network):
    wild = 3 * noise(3, 3, 16, 16)
    seen = (wild.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1
    found = inception_features(network, [wild[:2], wild[2:]])
    torch.testing.assert_close(found, network(seen), rtol=1e-4, atol=1e-4)


# Files


def refusal(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


def test_torchvisions_is_refused_by_its_head(state, tmp_path):
    spoilt = {"fc.weight": torch.zeros(1000, 2048), "AuxLogits.fc.bias": torch.zeros(1000)}
    torch.save({**state, **spoilt}, tmp_path / "inception_v3_google.pth")
    message = refusal(read_inception, tmp_path / "inception_v3_google.pth")
    assert "is torchvision's Inception" in message
    assert message.endswith("wanted: pytorch-fid's pt_inception-2015-12-05-6726825d.pth")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda state: state.pop("fc.weight"), "missing fc.weight"),
        (lambda state: state.pop("Mixed_7c.branch_pool.bn.bias"), "missing Mixed_7c.branch_pool."),
        (lambda state: state.update({"Mixed_7d.bias": torch.ones(1)}), "unexpected Mixed_7d.bias"),
        (
            lambda state: state.update({"Conv2d_3b_1x1.bn.bias": torch.ones(79)}),
            "wrong shape: Conv",
        ),
        (lambda state: state.update({"Conv2d_3b_1x1.bn.bias": "text"}), "no tensors alone"),
        (
            lambda state: state.update({"Conv2d_3b_1x1.bn.bias": torch.full((80,), torch.nan)}),
            "holds NaN",
        ),
        (
            lambda state: state.update({"Conv2d_3b_1x1.bn.running_var": -torch.ones(80)}),
            "Conv2d_3b_1x1.bn.running_var has numbers below 0",
        ),
        (lambda state: state.clear(), "is not FID's Inception: missing fc.weight"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(spoil, said, state, tmp_path):
    spoilt = {name: value.half() for name, value in state.items()}
    spoil(spoilt)
    torch.save(spoilt, tmp_path / "fid.pth")
    assert said in refusal(read_inception, tmp_path / "fid.pth")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file; accepted: FID's Inception as pytorch-fid's pt_inception-2015"),
        (b"<html>", "a web page"),
        (b"\x00" * 64, "no kind of weights"),
        (b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00:\x85R.", "posix.system"),
    ],
)
def test_what_else_a_file_may_be(data, said, tmp_path):
    (tmp_path / "fid.pth").write_bytes(data)
    assert said in refusal(read_inception, tmp_path / "fid.pth")
    assert "No such file" in refusal(read_inception, tmp_path / "none.pth")
    assert "is not a file" in refusal(read_inception, tmp_path)


@pytest.mark.parametrize("name", inception._NAMES)
def test_a_file_is_what_its_name_says_or_not_even_read(name, tmp_path, monkeypatch):
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / name)
    monkeypatch.setattr(inception.containers, "read", None)
    assert "not 6726825d; delete it" in refusal(read_inception, tmp_path / name)


def test_where_it_is_found(home):
    assert find_inception() is None
    there = home / ".cache/torch/hub/checkpoints" / inception.URL.rpartition("/")[2]
    there.parent.mkdir(parents=True)
    there.touch()
    assert there.parent == checkpoints()
    assert find_inception() == there
    (home / "mine.pth").touch()
    assert find_inception(home / "mine.pth") == home / "mine.pth"
    message = refusal(find_inception, home / "none.pth")
    assert inception.URL in message
    assert "--inception" in message


# A training


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MEASURED", {"cpu": 6})


@pytest.mark.usefixtures("few")
def test_a_training_tells_it_beside_the_others(saved, tmp_path):
    told = run(tmp_path / "run", measure_of=measure_of, inception=saved, kimg=0.016)
    last = lines(tmp_path / "run")[-1]
    assert last["fid"] > 0
    assert last.keys() >= {"features", "patches", "fid"}
    assert any("between 6 pictures and 6 of the network's" in line for line in told.lines)
    assert any(f", fid {last['fid']:.4g}" in line for line in told.lines)


@pytest.mark.usefixtures("few")
def test_without_weights_there_is_none(tmp_path):
    told = run(tmp_path / "run", measure_of=measure_of, kimg=0.016)
    assert "fid" not in lines(tmp_path / "run")[-1]
    assert not any("fid" in line for line in told.lines)


def test_weights_that_are_none_stop_it_before_anything_is_made(tmp_path):
    (tmp_path / "fid.pth").write_bytes(b"<html>")
    with pytest.raises(UserError, match="a web page"):
        run(tmp_path / "run", measure_of=measure_of, inception=tmp_path / "fid.pth")
    assert not (tmp_path / "run").exists()


class Colours(torch.nn.Module):
    """Stands for Inception: the mean of each colour."""

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        return shown.mean(dim=(2, 3))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("count", [None, 4])
def test_the_sets_it_compares(count):
    """Real pictures as the other distances have them, without a break for the network."""
    said: list[str] = []
    report = type("Report", (), {"say": staticmethod(said.append)})
    blobs = Blobs(count=count)
    distance = measure_of(blobs, CPU, Colours(), report)
    real = blobs.take(1 << 40 if count is None else 0, count or 6, CPU).pictures
    assert distance([real])["fid"] < 1e-6
    others = measure_of(blobs, CPU, None, report)([real + 0.2])
    assert others.items() < distance([real + 0.2]).items()
    assert distance([real + 0.2])["fid"] == pytest.approx(0.12, abs=0.03)
    assert f"between {count or 6} pictures and 6" in said[0]
