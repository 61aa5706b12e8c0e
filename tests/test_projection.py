"""A photo into W+: the search, what it leaves, and what it says of photos that will not do."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file
from test_encoders import NARROW, _checkpoint, _narrow
from typer.testing import CliRunner

from engine.bench.synthetic import synthetic
from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2
from engine.perceptual import VGG16, Perceptual
from engine.projection import session, together
from engine.projection.noise_maps import likeness, normalize
from engine.projection.objective import LPIPS_WEIGHT, VIDEO_WEIGHT, Eager, Objective
from engine.projection.options import InterruptedSearchError, Options
from engine.projection.presets import BEST, VIDEO, Preset, learning_rate, pull
from engine.projection.results import read_result
from engine.projection.search import DivergedError, Search
from engine.weights import NetworkFile, load_network
from engine.weights.latents import read_latent
from engine.weights.saving import save_network
from live.cli import app
from live.progress import Steps
from live.project import project, write_film

REFERENCE = Path(__file__).parent / "data" / "parity" / "projector_reference.safetensors"
CONFIG = StyleGAN2Config(z_dim=24, channels=(16, 16, 12, 8), mapping=(24, 24))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads on two busy cores wait for each other far longer than one works."""
    monkeypatch.setattr("engine.projection.models.cpu_threads", lambda: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def saved(net: StyleGAN2, path: Path) -> Path:
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    save_network(NetworkFile(path, "memory", "nvidia", net.config, tensors, {}), path, np.float32)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights, 32 x 32, as wide as the narrow encoder."""
    return saved(synthetic(CONFIG), tmp_path_factory.mktemp("network") / "tiny.safetensors")


@pytest.fixture
def net(network: Path) -> StyleGAN2:
    return load_network(network)


def picture_of(net: StyleGAN2, seed: int, folder: Path, name: str = "irene.png") -> Path:
    """A picture of the network's own, as a photo."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, net.z_dim)).float()
    with torch.no_grad():
        picture = net.synthesize(net.map(z, psi=0.8))[0].clamp(-1, 1)
    pixels = ((picture + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8).numpy()
    path = folder / name
    Image.fromarray(pixels.squeeze()).save(path)
    return path


@dataclass
class Told:
    """A report that remembers, and wants to end it after so many steps."""

    stop_after: int = 1 << 30
    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    together: list[list[str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def failed(self, line: str) -> None:
        self.failures.append(line)

    def begins(self, names: Sequence[str], left: int) -> None:
        self.together.append(list(names))

    def stepped(self, loss: float, left: int) -> None:
        self.losses.append(loss)

    def stopped(self) -> bool:
        return len(self.losses) >= self.stop_after


@pytest.fixture
def asked(network: Path, tmp_path: Path) -> Callable[..., Options]:
    """Options for a short search of pixels."""

    def options(*photos: Path, **changes: object) -> Options:
        plain = Options(
            photos, network, tmp_path / "latents", steps=20, loss="mse", align="off", device="cpu"
        )
        return replace(plain, **changes)

    return options


# How a search goes


@pytest.mark.parametrize("steps", [200, 1000])
def test_the_rate_rises_and_falls_as_published(steps: int) -> None:
    published = load_file(REFERENCE)[f"out.lr_{steps}"]
    preset = Preset("nvidia", steps, 0.1, (0.9, 0.999), ramp_up=0.05, ramp_down=0.25)
    rates = [learning_rate(preset, i / steps, i / steps) for i in range(steps)]
    np.testing.assert_allclose(rates, published, rtol=1e-6, atol=1e-9)


def test_noise_is_told_from_pictures_as_published() -> None:
    reference = load_file(REFERENCE)
    maps = [torch.from_numpy(reference[f"in.noise_{i}"])[None, None] for i in range(9)]
    found = [float(likeness([x])) for x in maps]
    np.testing.assert_allclose(found, reference["out.reg_per_map"], rtol=1e-5)
    assert float(likeness(maps)) == pytest.approx(sum(found))
    normalize(maps)
    for i, x in enumerate(maps):
        expected = reference[f"out.norm_nvidia_{i}"]
        np.testing.assert_allclose(x[0, 0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_video_took_a_thousand_steps_at_one_rate_and_no_pull() -> None:
    assert VIDEO.steps == 1000
    assert {learning_rate(VIDEO, i / 1000, i / 1000) for i in range(1000)} == {0.01}
    assert {pull(VIDEO, i / 1000) for i in range(1000)} == {0.0}


def test_the_best_takes_half_and_lets_go_of_the_start() -> None:
    assert BEST.steps <= VIDEO.steps / 2
    pulls = [pull(BEST, i / 100) for i in range(100)]
    assert pulls[0] == BEST.pull
    assert pulls == sorted(pulls, reverse=True)
    assert set(pulls[50:]) == {0.0}


def bowl(search: Search, goal: torch.Tensor) -> tuple[float, torch.Tensor]:
    """A loss whose least is at a known W+, and its slope."""
    off = search.ws - goal
    return float(off.square().mean()), 2 * off / off.numel()


@pytest.mark.parametrize("preset", [VIDEO, BEST])
def test_a_search_finds_the_bottom_and_keeps_the_best(preset: Preset) -> None:
    goal = torch.full((4, 6), 0.3)
    search = Search(preset, 300, torch.zeros(1, 6), 4)
    losses = []
    while search.left > 0:
        loss, slope = bowl(search, goal)
        losses.append(loss)
        search.step(loss, slope)
    assert search.loss == min(losses) < 1e-3 * losses[0]
    assert float((search.best - goal).square().mean()) == pytest.approx(search.loss)


def test_all_layers_are_one_at_first_where_the_preset_says_so() -> None:
    goal = torch.arange(24.0).reshape(4, 6)
    search = Search(BEST, 100, torch.zeros(1, 6), 4)
    spread = []
    while search.left > 0:
        spread.append(float((search.ws - search.ws[0]).abs().max()))
        search.step(*bowl(search, goal))
    shared = round(100 * BEST.shared)
    assert set(spread[:shared]) == {0.0}
    assert min(spread[shared + 2 :]) > 0


def test_what_an_encoder_said_is_not_made_one() -> None:
    start = torch.arange(24.0).reshape(4, 6)
    search = Search(BEST, 100, start, 4)
    assert torch.equal(search.ws, start)


def test_a_plateau_brings_the_end_forward() -> None:
    search = Search(BEST, 1000, torch.zeros(1, 6), 4)
    while search.left > 0:
        search.step(1.0, torch.zeros(4, 6))
    assert BEST.ramp_down * 1000 < search.steps < 500


def test_a_plateau_of_one_w_leaves_the_layers_their_time() -> None:
    search = Search(BEST, 2000, torch.zeros(1, 6), 4)
    alone = 0  # steps in which every layer has a w of its own
    while search.left > 0:
        parted = not torch.equal(search.ws, search.ws[:1].expand(4, -1))
        alone += parted
        loss = 0.99 ** (alone + 1) if parted else 1.0
        search.step(loss, torch.arange(1.0, 25).reshape(4, 6))
    assert alone > 1700


def test_a_slow_beginning_is_no_plateau() -> None:
    search = Search(BEST, 20_000, torch.zeros(4, 6), 4)
    while search.left > 0 and search.steps < 500:
        since = search.steps / 20_000
        search.step(1 - since, torch.ones(4, 6))
    assert search.left == 20_000 - 500


def test_no_plateau_is_seen_where_it_still_descends() -> None:
    search = Search(BEST, 300, torch.zeros(1, 6), 4)
    for step in range(300):
        search.step(0.99**step, torch.ones(4, 6))
    assert search.steps == 300
    assert search.left == 0


def test_a_loss_that_is_no_number_leads_back_to_the_best_at_half_the_rate_once() -> None:
    goal = torch.full((4, 6), 50.0)
    search = Search(VIDEO, 100, torch.zeros(1, 6), 4)
    for _ in range(10):
        search.step(*bowl(search, goal))
    best = search.best.clone()
    search.step(float("nan"), torch.full((4, 6), float("nan")))
    assert torch.equal(search.ws, best)
    assert search.left == 90
    search.step(*bowl(search, goal))
    # Adam's first step is its rate, whatever the slope.
    np.testing.assert_allclose((search.ws - best).numpy(), VIDEO.rate / 2, rtol=1e-3)
    with pytest.raises(DivergedError):
        search.step(float("inf"), torch.zeros(4, 6))


@given(before=st.integers(0, 59), preset=st.sampled_from([VIDEO, BEST]), maps=st.booleans())
@settings(max_examples=20)
def test_a_search_that_was_put_away_goes_on_exactly(
    before: int, preset: Preset, maps: bool
) -> None:
    goal = torch.linspace(-1, 1, 24).reshape(4, 6)
    noise = [torch.linspace(-2, 1, 16).reshape(1, 1, 4, 4)] if maps else []
    slopes = [torch.linspace(0, 1, 16).reshape(1, 1, 4, 4).sin()] if maps else []

    def new() -> Search:
        return Search(preset, 60, torch.zeros(1, 6), 4, noise, frames=7)

    def go(search: Search, steps: int) -> None:
        for _ in range(steps):
            search.step(*bowl(search, goal), slopes)

    whole, first, second = new(), new(), new()
    go(whole, 60)
    go(first, before)
    second.restore(*first.state())
    go(second, 60 - before)
    assert torch.equal(whole.best, second.best)
    assert whole.loss == second.loss
    assert len(whole.film) == len(second.film) == 7
    for x, y in zip(whole.best_maps, second.best_maps, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays, text: ({**arrays, "latent": np.zeros((4, 7), np.float32)}, text),
        lambda arrays, text: ({**arrays, "best": np.full((4, 6), np.nan, np.float32)}, text),
        lambda arrays, text: ({}, text),
        lambda arrays, text: (arrays, "{}x"),
        lambda arrays, text: (arrays, '{"position": 61}'),
        lambda arrays, text: (arrays, '{"position": "1"}'),
        lambda arrays, text: (arrays, '{"colour": 1}'),
        lambda arrays, text: (arrays, '{"loss": "1"}'),
        lambda arrays, text: ({**arrays, "latent": np.zeros((3, 6), np.float32)}, text),
        lambda arrays, text: ({**arrays, "best": np.zeros((1, 6), np.float32)}, text),
        lambda arrays, text: ({**arrays, "adam0.exp_avg": np.zeros((1, 6), np.float32)}, text),
        lambda arrays, text: ({**arrays, "film": np.zeros((1, 5, 6), np.float32)}, text),
    ],
)
def test_the_state_of_another_search_is_refused(damage: Callable[..., object]) -> None:
    search = Search(VIDEO, 60, torch.zeros(1, 6), 4)
    search.step(1.0, torch.ones(4, 6))
    with pytest.raises(ValueError, match="another search"):
        Search(VIDEO, 60, torch.zeros(1, 6), 4).restore(*damage(*search.state()))


# What is minimised


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    torch.manual_seed(0)
    return Perceptual(VGG16())


@pytest.mark.parametrize("kind", ["mse", "video", "lpips"])
def test_the_loss_is_what_it_is_called(net: StyleGAN2, perceptual: Perceptual, kind: str) -> None:
    torch.manual_seed(1)
    targets = torch.rand(2, 3, 32, 32) * 2 - 1
    objective = Objective(net, targets, kind, None if kind == "mse" else perceptual)
    ws = net.w_avg + 0.3 * torch.randn(2, net.num_ws, net.w_dim)
    pictures = net.synthesize(ws)
    expected = (pictures - targets).square().mean(dim=(1, 2, 3))
    if kind == "video":
        expected += VIDEO_WEIGHT * perceptual.video(pictures, perceptual.video_features(targets))
    elif kind == "lpips":
        expected += LPIPS_WEIGHT * perceptual.lpips(pictures, perceptual.lpips_features(targets))
    losses, slope, _ = Eager(objective)(ws, [])
    torch.testing.assert_close(losses, expected)
    # A short way against the slope is downhill by what the slope says.
    step = slope * (1e-4 / slope.norm())
    there = Eager(objective)(ws - step, [])[0]
    fall = (losses - there).sum()
    torch.testing.assert_close(fall, (slope * step).sum(), rtol=0.05, atol=1e-7)


def test_photos_that_are_searched_together_do_not_know_of_each_other(net: StyleGAN2) -> None:
    torch.manual_seed(1)
    targets = torch.rand(2, 3, 32, 32) * 2 - 1
    ws = net.w_avg + 0.3 * torch.randn(2, net.num_ws, net.w_dim)
    both = Eager(Objective(net, targets))(ws, [])
    alone = Eager(Objective(net, targets[1:]))(ws[1:], [])
    torch.testing.assert_close(both[0][1:], alone[0])
    torch.testing.assert_close(both[1][1:], alone[1])


# What it leaves


def test_a_photo_becomes_a_key(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    photo = picture_of(net, 1, tmp_path)
    told = Told()
    options = asked(photo, steps=150)
    assert session.project(options, told) == 0
    ws = read_latent(options.out / "irene.npy")
    assert ws.shape == (net.num_ws, net.w_dim)
    assert ws.dtype == np.float32
    with torch.no_grad():
        shown = net.synthesize(torch.from_numpy(ws)[None])[0].clamp(-1, 1)
        mean = net.synthesize(net.w_avg.expand(1, net.num_ws, -1))[0].clamp(-1, 1)
    photo_pixels = np.asarray(Image.open(photo), np.float64)
    psnr = []
    for picture in (shown, mean):
        pixels = ((picture + 1) * 127.5).round().permute(1, 2, 0).numpy()
        psnr.append(10 * np.log10(255**2 / np.square(pixels - photo_pixels).mean()))
    assert psnr[0] > psnr[1] + 10
    result = read_result(options.out / "irene.json")
    assert result.finished
    assert result.psnr == pytest.approx(psnr[0], abs=0.01)
    assert (result.lpips, result.photo.align, result.photo.face) == (None, "off", 1)
    assert result.settings == {
        "preset": "best",
        "steps": 150,
        "loss": "mse",
        "encoder": None,
        "noise_maps": False,
    }
    assert f"{psnr[0]:.1f} dB" in told.lines[-1]
    assert sorted(path.name for path in options.out.iterdir()) == [
        "irene.json",
        "irene.npy",
        "irene.png",
    ]


def test_photo_crop_and_result_stand_side_by_side(
    asked: Callable[..., Options], tmp_path: Path
) -> None:
    photo = tmp_path / "wide.png"
    Image.new("RGB", (64, 32), (200, 30, 30)).save(photo)
    options = asked(photo)
    session.project(options, Told())
    with Image.open(options.out / "wide.png") as shown:
        assert shown.size == (16 + 1024 + 16 + 512 + 16 + 512 + 16, 16 + 512 + 16)
        assert shown.getpixel((100, 270)) == (200, 30, 30)  # of the photo, beside the square
        assert shown.getpixel((16 + 1024 + 16 + 256, 270)) == (200, 30, 30)


def test_the_same_again_is_there_already(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    photo = picture_of(net, 1, tmp_path)
    options = asked(photo)
    session.project(options, Told())
    before = {path: path.stat().st_mtime_ns for path in options.out.iterdir()}
    again = Told()
    assert session.project(options, again) == 0
    assert again.together == []
    assert "is there already" in again.lines[0]
    assert before == {path: path.stat().st_mtime_ns for path in options.out.iterdir()}


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"steps": 21}, "other settings"), ({"preset": VIDEO}, "other settings")],
)
def test_a_result_of_something_else_is_not_replaced_unless_asked(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    changes: dict[str, object],
    what: str,
) -> None:
    photo = picture_of(net, 1, tmp_path)
    session.project(asked(photo), Told())
    latent = (tmp_path / "latents" / "irene.npy").read_bytes()
    told = Told()
    assert session.project(asked(photo, **changes), told) == 1
    assert what in told.failures[0]
    assert "--force" in told.failures[0]
    assert (tmp_path / "latents" / "irene.npy").read_bytes() == latent
    assert session.project(asked(photo, force=True, **changes), Told()) == 0
    assert (tmp_path / "latents" / "irene.npy").read_bytes() != latent


def test_another_photo_of_that_name_and_files_of_the_users_are_not_replaced(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    session.project(asked(picture_of(net, 1, tmp_path)), Told())
    (tmp_path / "other").mkdir()
    told = Told()
    session.project(asked(picture_of(net, 2, tmp_path / "other")), told)
    assert "another photo" in told.failures[0]
    mine = tmp_path / "latents" / "mine.npy"
    mine.write_bytes(b"mine")
    told = Told()
    session.project(asked(picture_of(net, 2, tmp_path, "mine.png")), told)
    assert "from somewhere else" in told.failures[0]
    assert mine.read_bytes() == b"mine"


def test_a_photo_is_never_replaced(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    photo = picture_of(net, 1, tmp_path)
    before = photo.read_bytes()
    told = Told()
    assert session.project(asked(photo, out=tmp_path, force=True), told) == 1
    assert "another folder" in told.failures[0]
    assert photo.read_bytes() == before


def test_two_photos_of_one_name_are_refused(asked: Callable[..., Options], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same files"):
        session.project(asked(tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png"), Told())


def test_what_was_interrupted_goes_on_to_the_same_result(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    photo = picture_of(net, 1, tmp_path)
    whole, parted = asked(photo, out=tmp_path / "whole"), asked(photo)
    session.project(whole, Told())
    with pytest.raises(InterruptedSearchError):
        session.project(parted, Told(stop_after=7))
    assert not read_result(parted.out / "irene.json").finished
    assert read_latent(parted.out / "irene.npy").shape == (8, 24)
    assert (parted.out / "irene.png").exists()
    rest = Told()
    assert session.project(parted, rest) == 0
    assert "goes on after 7 steps" in rest.lines[0]
    assert len(rest.losses) == 13
    for name in ("irene.npy", "irene.png"):
        assert (parted.out / name).read_bytes() == (whole.out / name).read_bytes()
    assert not (parted.out / "irene.search").exists()


class Interrupting(Told):
    """Pulls the plug when files of that ending are about to get their name."""

    def __init__(self, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        replace_file = Path.replace

        def replaced(path: Path, target: Path) -> Path:
            if str(target).endswith(ending):
                monkeypatch.undo()
                raise KeyboardInterrupt
            return replace_file(path, target)

        monkeypatch.setattr(Path, "replace", replaced)


@pytest.mark.parametrize("ending", [".search", ".npy", ".png", ".npz", ".mp4", ".json"])
def test_an_end_between_any_two_files_is_made_good_by_the_same_command(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    ending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = picture_of(net, 1, tmp_path)
    options = asked(photo, noise_maps=True, film=write_film)
    whole = replace(options, out=tmp_path / "whole")
    session.project(whole, Told())
    with pytest.raises(KeyboardInterrupt):
        session.project(options, Interrupting(ending, monkeypatch))
    assert not any(path.name.startswith(".") for path in options.out.iterdir())
    told = Told()
    assert session.project(options, told) == 0, told.failures
    names = sorted(path.name for path in whole.out.iterdir())
    assert sorted(path.name for path in options.out.iterdir()) == names
    assert len(names) == 5
    found, expected = (read_latent(out / "irene.npy") for out in (options.out, whole.out))
    np.testing.assert_array_equal(found, expected)


def test_a_search_that_was_replacing_another_goes_on_as_itself(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = picture_of(net, 1, tmp_path)
    first, second = asked(photo), asked(photo, steps=30)
    with pytest.raises(InterruptedSearchError):
        session.project(first, Told(stop_after=7))
    with pytest.raises(KeyboardInterrupt):
        session.project(replace(second, force=True), Interrupting(".npy", monkeypatch))
    assert session.project(first, Told()) == 1  # not from the other's state
    told = Told()
    assert session.project(second, told) == 0
    assert "goes on after 30 steps" in told.lines[0]
    assert read_result(second.out / "irene.json").settings["steps"] == 30


def test_noise_maps_do_not_outlive_their_search(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path), noise_maps=True)
    session.project(options, Told())
    session.project(replace(options, noise_maps=False, force=True), Told())
    assert not (options.out / "irene.noise.npz").exists()


@pytest.mark.parametrize("name", ["irene.npy", "irene.png"])
def test_what_was_deleted_of_a_result_is_found_again(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path, name: str
) -> None:
    options = asked(picture_of(net, 1, tmp_path))
    session.project(options, Told())
    (options.out / name).unlink()
    assert session.project(options, Told()) == 0
    assert (options.out / name).exists()


def test_a_search_that_is_ended_makes_no_film_until_it_is_over(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path), film=write_film)
    with pytest.raises(InterruptedSearchError):
        session.project(options, Told(stop_after=7))
    assert not (options.out / "irene.mp4").exists()
    session.project(options, Told())
    with av.open(str(options.out / "irene.mp4")) as film:
        assert len(list(film.decode(video=0))) == 20 + 1


def test_a_film_of_the_users_is_not_replaced(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path), film=write_film)
    options.out.mkdir()
    film = options.out / "irene.mp4"
    film.write_bytes(b"mine")
    told = Told()
    assert session.project(options, told) == 1
    assert "irene.mp4" in told.failures[0]
    assert film.read_bytes() == b"mine"


def test_a_film_of_a_search_that_is_over_takes_another(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path))
    session.project(options, Told())
    told = Told()
    assert session.project(replace(options, film=write_film), told) == 1
    assert "without a film" in told.failures[0]
    assert "--force" in told.failures[0]


def test_a_photo_that_has_not_begun_leaves_nothing(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path))

    class Pressed(Told):
        """Ctrl-C while the photo is prepared."""

        def stopped(self) -> bool:
            return bool(self.together)

    for told in (Told(stop_after=0), Pressed()):
        with pytest.raises(InterruptedSearchError):
            session.project(options, told)
        assert list(options.out.iterdir()) == []


def test_photos_are_read_when_it_is_their_turn(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.projection.models._TOGETHER", 2)
    photos = [picture_of(net, seed, tmp_path, f"{seed}.png") for seed in range(3)]

    class Deleting(Told):
        def begins(self, names: Sequence[str], left: int) -> None:
            super().begins(names, left)
            photos[2].unlink()

    told = Deleting()
    assert session.project(asked(*photos, steps=3), told) == 1
    assert told.together == [["0.png", "1.png"]]
    assert "2.png" in told.failures[0]


def test_names_that_cannot_be_written_are_told_before_the_search(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    told = Told()
    assert session.project(asked(picture_of(net, 1, tmp_path, f"{'x' * 245}.png")), told) == 1
    assert "cannot be written" in told.failures[0]
    assert told.together == []


def test_photos_are_searched_together_and_a_bad_one_does_not_keep_the_others(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("not a picture")
    good = [picture_of(net, seed, tmp_path, f"{seed}.png") for seed in range(3)]
    told = Told()
    options = asked(good[0], bad, *good[1:], steps=5)
    assert session.project(options, told) == 1
    assert told.together == [["0.png", "1.png", "2.png"]]
    assert len(told.failures) == 1
    assert "notes.jpg" in told.failures[0]
    assert {path.name for path in options.out.glob("*.npy")} == {"0.npy", "1.npy", "2.npy"}


def test_an_encoder_alone_and_as_a_start(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    encoder = _narrow(NARROW)
    file = tmp_path / "encoder.pt"
    torch.save(_checkpoint(encoder), file)
    photo = picture_of(net, 1, tmp_path)
    alone = asked(photo, encoder=file, steps=0, out=tmp_path / "alone")
    assert session.project(alone, Told()) == 0
    found = read_latent(alone.out / "irene.npy")
    larger = Image.open(photo).resize((256, 256), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(larger)).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = encoder.encode(pixels)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    begun = asked(photo, encoder=file, steps=1, out=tmp_path / "begun")
    session.project(begun, Told())
    np.testing.assert_allclose(read_latent(begun.out / "irene.npy"), found)
    assert read_result(begun.out / "irene.json").settings["encoder"]


def test_an_encoder_of_another_width_is_refused(
    asked: Callable[..., Options], tmp_path: Path
) -> None:
    file = tmp_path / "encoder.pt"
    torch.save(_checkpoint(_narrow(replace(NARROW, w_dim=32))), file)
    with pytest.raises(UserError, match="8 w of 32"):
        session.project(asked(tmp_path / "irene.png", encoder=file), Told())


def test_no_search_and_no_encoder_is_nothing(asked: Callable[..., Options]) -> None:
    with pytest.raises(UserError, match="--encoder"):
        session.project(asked(Path("irene.png"), steps=0), Told())


def test_noise_maps_are_found_too_and_stay_noise(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path), noise_maps=True)
    session.project(options, Told())
    with np.load(options.out / "irene.noise.npz") as maps:
        assert list(maps) == [
            "b4.conv1",
            *(f"b{size}.conv{i}" for size in (8, 16, 32) for i in (0, 1)),
        ]
        for name, layer in zip(maps, net.synthesis.layers(), strict=True):
            assert maps[name].shape == layer.noise_const.shape
            assert maps[name].mean() == pytest.approx(0, abs=1e-5)
            assert np.square(maps[name]).mean() == pytest.approx(1, abs=1e-4)
            assert not np.array_equal(maps[name], layer.noise_const.numpy())


def test_a_grey_network_sees_grey_photos(asked: Callable[..., Options], tmp_path: Path) -> None:
    grey = synthetic(replace(CONFIG, img_channels=1))
    options = asked(
        picture_of(grey, 1, tmp_path), network=saved(grey, tmp_path / "grey.safetensors"), steps=60
    )
    assert session.project(options, Told()) == 0
    assert (read_result(options.out / "irene.json").psnr or 0) > 20


def test_a_film_of_the_search_can_be_played(
    asked: Callable[..., Options], net: StyleGAN2, tmp_path: Path
) -> None:
    options = asked(picture_of(net, 1, tmp_path), film=write_film)
    session.project(options, Told())
    with av.open(str(options.out / "irene.mp4")) as film:
        frames = list(film.decode(video=0))
    assert len(frames) == 20 + 1  # every step, and the best
    assert (frames[0].width, frames[0].height) == (32, 32)
    first, last = (
        frame.to_ndarray(format="rgb24").astype(float) for frame in frames[:: len(frames) - 1]
    )
    assert np.abs(first - last).mean() > 2


def test_a_search_that_diverges_twice_is_told_of(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hopeless(Eager):
        def __call__(self, ws, maps):
            losses, *slopes = super().__call__(ws, maps)
            first = torch.tensor([float("nan"), 1.0])[-len(ws) :]  # who is gone is not asked again
            return losses * first, *slopes

    monkeypatch.setattr(together, "Eager", Hopeless)
    photos = [picture_of(net, seed, tmp_path, f"{seed}.png") for seed in range(2)]
    told = Told()
    options = asked(*photos)
    assert session.project(options, told) == 1
    assert "0.png" in told.failures[0]
    assert "no number" in told.failures[0]
    assert {path.name for path in options.out.iterdir()} == {"1.npy", "1.png", "1.json"}


@pytest.mark.parametrize("fits", [1, 0])
def test_a_memory_that_holds_fewer_photos_gets_fewer(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits: int,
) -> None:
    tried = []

    class Small(Eager):
        def __call__(self, ws, maps):
            tried.append(len(ws))
            if len(ws) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(ws, maps)

    monkeypatch.setattr(together, "Eager", Small)
    photos = [picture_of(net, seed, tmp_path, f"{seed}.png") for seed in range(3)]
    options = asked(*photos, steps=2)
    if fits:
        assert session.project(options, Told()) == 0
        assert tried == [3, 1, 1, 1, 1, 1, 1]
        assert len(list(options.out.glob("*.npy"))) == 3
    else:
        with pytest.raises(UserError, match="memory of cpu"):
            session.project(options, Told())


def test_who_has_ended_is_not_searched_on_with_the_others(
    asked: Callable[..., Options],
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    class Counted(Eager):
        def __call__(self, ws, maps):
            sizes.append(len(ws))
            return super().__call__(ws, maps)

    monkeypatch.setattr(together, "Eager", Counted)
    photos = [picture_of(net, seed, tmp_path, f"{seed}.png") for seed in range(2)]
    with pytest.raises(InterruptedSearchError):
        session.project(asked(photos[0]), Told(stop_after=15))
    sizes.clear()
    session.project(asked(*photos), Told())
    assert sizes == [2] * 5 + [1] * 15


# As a user meets it


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["project", *map(str, arguments)])
    if isinstance(done.exception, UserError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_a_face_is_cut_out_unless_the_network_shows_none(network: Path, tmp_path: Path) -> None:
    collins = Path(__file__).parent / "data" / "faces" / "collins.jpg"
    out = tmp_path / "latents"
    common = ("--loss", "mse", "--steps", 2, "--device", "cpu", "-o", out)
    assert run(collins, "--network", network, *common)[0] == 0
    assert read_result(out / "collins.json").photo.align == "face"
    plain = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), (9, 90, 9)).save(plain)
    code, said = run(plain, "--network", network, *common)
    assert code == 2
    assert "no face" in said
    assert "--align off" in said
    assert run(plain, "--network", "flowers", *common)[0] == 0
    assert read_result(out / "plain.json").photo.align == "off"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--network", "nothing.pt"), "nothing.pt"),
        (("--network", "{stylegan1}", "--loss", "mse"), "StyleGAN1"),
        (("--network", "{network}"), "--fetch-vgg"),
        (("--network", "{network}", "--vgg", "{photo}"), "irene.png"),
        (("--network", "{network}", "--loss", "mse", "--encoder", "{network}"), "encoder"),
        (("--loss", "l1"), "vgg"),
        (("--preset", "better"), "video"),
        (("--device", "abacus"), "devices are"),
        (("--align", "off", "--face", "2"), "looks for none"),
        (("--face", "2", "--loss", "mse"), "no face"),
    ],
)
def test_what_cannot_be_is_one_line(
    network: Path,
    net: StyleGAN2,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    said: str,
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME", "DNNLIB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    photo = picture_of(net, 1, tmp_path)
    stylegan1 = Path(__file__).parent / "data" / "parity" / "tf_sg1_r16.pkl"
    names = {"network": network, "photo": photo, "stylegan1": stylegan1}
    filled = [argument.format(**names) for argument in arguments]
    code, output = run(photo, *filled, "-o", tmp_path / "latents")
    assert code == 2
    assert said in output
    assert not list((tmp_path / "latents").glob("*"))


def test_names_that_are_no_text_are_told_in_a_line_and_found_again(
    network: Path, net: StyleGAN2, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = picture_of(net, 1, tmp_path, os.fsdecode(b"new\nline \x1b[31m \xff.png"))
    options = Options((photo,), network, tmp_path / "l", steps=2, loss="mse", align="off")
    assert [project(options), project(options)] == [0, 0]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "new\\nline \\x1b[31m" in said[0]
    assert "is there already" in said[1]


def test_a_search_that_was_led_back_to_its_start_is_told_of() -> None:
    now = [0.0]
    stream = io.StringIO()
    with Steps(lambda: False, stream, lambda: now[0]) as steps:
        steps.begins(["irene.jpg"], 10)
        now[0] = 11.0
        steps.stepped(float("inf"), 10)  # its loss was no number
        now[0] = 22.0
        steps.stepped(0.5, 9)
    assert stream.getvalue().splitlines()[1:] == [
        "irene.jpg: step 1 of 10, loss 0.5000, 3:18 left",
    ]


def test_a_photo_that_is_named_twice_is_found_once(
    network: Path, net: StyleGAN2, tmp_path: Path
) -> None:
    photo, out = picture_of(net, 1, tmp_path), tmp_path / "latents"
    common = ("--network", network, "--loss", "mse", "--align", "off", "--steps", 2, "-o", out)
    code, said = run(photo, photo, *common)
    assert code == 0, said
    assert (out / "irene.npy").exists()


def test_two_processes_make_the_same_film_each_in_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = np.zeros((32, 32, 4), np.uint8)
    film = tmp_path / "irene.mp4"

    def frames() -> Iterator[np.ndarray]:
        yield black
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            write_film(film, [black] * 3)
        yield black

    write_film(film, frames())
    with av.open(str(film)) as written:
        assert len(list(written.decode(video=0))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["irene.mp4"]


SEARCH = """
import sys
from engine.projection import together
together._KEEP_S = 0.0
from live.cli import main
main()
"""


def started(*arguments: object) -> subprocess.Popen[str]:
    """A search in a process of its own, that is kept on disk at every step."""
    command = [sys.executable, "-c", SEARCH, "project", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def until_kept(process: subprocess.Popen[str], record: Path, steps: int) -> None:
    """Wait until that many steps are on disk."""
    while process.poll() is None:
        if record.exists() and json.loads(record.read_text())["steps"] >= steps:
            return
    raise AssertionError(process.communicate()[1])


def test_a_kill_leaves_whole_files_and_the_same_command_goes_on(
    network: Path, net: StyleGAN2, tmp_path: Path
) -> None:
    photo, out = picture_of(net, 1, tmp_path), tmp_path / "latents"
    arguments = (photo, "--network", network, "--loss", "mse", "--align", "off", "-o", out)
    arguments = (*arguments, "--steps", 400, "--device", "cpu")
    process = started(*arguments)
    until_kept(process, out / "irene.json", 20)
    process.kill()
    process.communicate()
    killed_at = read_result(out / "irene.json").steps
    assert read_latent(out / "irene.npy").shape == (8, 24)
    assert not read_result(out / "irene.json").finished
    process = started(*arguments)
    until_kept(process, out / "irene.json", killed_at + 20)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "goes on from here" in said
    stopped_at = read_result(out / "irene.json").steps
    assert stopped_at >= killed_at + 20
    told = Told()
    options = Options((photo,), network, out, steps=400, loss="mse", align="off", device="cpu")
    assert session.project(options, told) == 0
    assert f"goes on after {stopped_at} steps" in told.lines[0]
    assert read_result(out / "irene.json").finished
