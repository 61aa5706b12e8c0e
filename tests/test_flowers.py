"""The flowers: the same for ever, whatever they are asked for with, and still as they were."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.flowers.chance import normals
from engine.flowers.layers import layers_of
from engine.flowers.render import develop, draw_group, render
from engine.flowers.scene import LATENTS, scene
from engine.flowers.source import flowers
from engine.flowers.species import BACKGROUNDS, SPECIES

REFERENCE = Path(__file__).parent / "data" / "flowers.png"
KINDS = [kind.name for kind in SPECIES]


def pure(name: str, background: int = 0) -> torch.Tensor:
    """Latents [1, 55] of nothing but one species."""
    latents = torch.zeros(1, LATENTS)
    latents[0, KINDS.index(name)] = 5
    latents[0, len(SPECIES) + background] = 5
    return latents


def sheet(pictures: torch.Tensor) -> np.ndarray:
    """Pictures [N, 3, s, s] side by side as bytes [s, N * s, 3]."""
    values = ((pictures + 1) * 127.5).round().to(torch.uint8)
    return torch.cat(list(values), dim=2).permute(1, 2, 0).numpy()


def test_latents_are_normal_and_the_same_on_every_machine():
    rows = normals(seed=3, first=0, count=2000, width=LATENTS)
    assert abs(rows.mean()) < 0.01
    assert abs(rows.std() - 1) < 0.01
    assert np.abs(np.corrcoef(rows.T) - np.eye(LATENTS)).max() < 0.1
    rounded = np.round(rows[:100] * 1e6).astype("<i8")  # logarithms may differ in their last bit
    assert hashlib.sha256(rounded.tobytes()).hexdigest()[:16] == "754c32afa5bd90d3"


def test_a_flower_does_not_depend_on_what_is_asked_for_with_it():
    latents, pictures = flowers(seed=4, count=5, size=48)
    for first, count in [(0, 1), (2, 3), (4, 1)]:
        some_latents, some = flowers(seed=4, count=count, size=48, first=first)
        assert torch.equal(some_latents, latents[first : first + count])
        assert torch.equal(some, pictures[first : first + count])
    assert torch.equal(render(scene(latents), 48), pictures)


def test_flowers_drawn_together_in_bands_are_those_drawn_one_by_one():
    """What a GPU does, on a CPU."""
    latents, alone = flowers(seed=5, count=3, size=40)
    flowers_scene = scene(latents)
    together = torch.empty_like(alone)
    draw_group(flowers_scene, layers_of(flowers_scene), together, at_once=3 * 40 * 7)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_seeds_and_places_far_along_differ():
    first = flowers(seed=0, count=1, size=8)[0]
    assert not torch.equal(first, flowers(seed=1, count=1, size=8)[0])
    assert not torch.equal(first, flowers(seed=0, count=1, size=8, first=10**12)[0])


@pytest.mark.parametrize("size", [1, 2, 7, 33, 64, 65, 130])
def test_any_size(size):
    _, pictures = flowers(seed=6, count=2, size=size)
    assert pictures.shape == (2, 3, size, size)
    assert pictures.dtype == torch.float32
    assert pictures.isfinite().all()
    assert pictures.abs().max() <= 1


def test_none_at_all():
    latents, pictures = flowers(seed=6, count=0, size=16)
    assert latents.shape == (0, LATENTS)
    assert pictures.shape == (0, 3, 16, 16)


@given(
    st.lists(
        st.floats(width=32, allow_nan=False) | st.sampled_from([-6.0, 6.0]),
        min_size=LATENTS,
        max_size=LATENTS,
    )
)
@settings(max_examples=15, deadline=None)
def test_extreme_latents_are_still_pictures(values):
    picture = render(scene(torch.tensor([values])), 24)
    assert picture.isfinite().all()
    assert picture.abs().max() <= 1


def test_wrong_latents_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 55\], not \[2, 54\]"):
        scene(torch.zeros(2, 54))
    with pytest.raises(ValueError, match="NaN"):
        scene(torch.full((1, LATENTS), torch.nan))
    with pytest.raises(ValueError, match="at least 1 pixel"):
        render(scene(torch.zeros(1, LATENTS)), 0)
    with pytest.raises(ValueError, match="must not be negative"):
        flowers(seed=0, count=1, size=8, first=-1)


def test_a_large_picture_made_small_is_the_small_one():
    latents, small = flowers(seed=7, count=3, size=64)
    reduced = F.avg_pool2d(render(scene(latents), 256), 4)
    assert (reduced - small).abs().mean() < 0.03
    assert (reduced.mean(dim=(2, 3)) - small.mean(dim=(2, 3))).abs().max() < 0.04


def test_neighbours_in_latents_look_alike():
    """Nothing jumps but the number of petals: the chances follow the latents smoothly, too."""
    latents = flowers(seed=8, count=4, size=8)[0]
    near = latents + 1e-3 * torch.randn(4, LATENTS, generator=torch.Generator().manual_seed(0))
    same = scene(latents).petals.count == scene(near).petals.count
    assert same.sum() >= 2
    apart = (render(scene(latents), 32) - render(scene(near), 32)).abs().mean(dim=(1, 2, 3))
    assert apart[same].max() < 0.01


def test_the_middle_is_the_disc_and_corners_are_background():
    picture = (render(scene(pure("daisy")), 65)[0] + 1) / 2
    red, green, blue = picture[:, 32, 32]
    assert red > 0.6
    assert green > 0.5
    assert blue < 0.3  # yellow
    assert picture[:, 32, 48].min() > 0.6  # a white petal
    red, green, blue = picture[:, 3, 3]
    assert green > red  # the first background is leaves
    assert green > blue
    sunflower = (render(scene(pure("sunflower")), 65)[0] + 1) / 2
    assert sunflower[:, 32, 32].mean() < 0.4  # brown


def test_what_is_named_moves_what_it_says():
    plain = scene(pure("daisy"))
    latents = pure("daisy")
    latents[0, len(SPECIES) + len(BACKGROUNDS) + 18] = 2.0  # 0.07 to the right: 2.24 of 64 pixels
    moved = scene(latents)
    assert moved.pose.x - plain.pose.x == pytest.approx(0.07)
    assert torch.equal(moved.petals.count, plain.petals.count)

    def middle(of):
        white = (render(of, 64)[0].amin(dim=0) > 0.2).float()
        return float((white.sum(dim=0) * torch.arange(64)).sum() / white.sum())

    assert middle(moved) - middle(plain) == pytest.approx(2.24, abs=0.6)


def test_the_film_curve_rises_and_stays_in_range():
    light = torch.linspace(0, 8, 100).expand(3, 100).clone()
    values = develop(light)
    assert values[0, 0] == -1
    assert (values.diff(dim=1) >= 0).all()
    assert values.max() <= 1


def test_flowers_still_look_as_they_did():
    """One of each species and six of a series, 20 pixels wide."""
    species = torch.cat([pure(kind, i % len(BACKGROUNDS)) for i, kind in enumerate(KINDS)])
    latents = torch.cat([species, flowers(seed=2, count=6, size=8)[0]])
    now = np.concatenate([sheet(part) for part in render(scene(latents), 20).split(8)])
    with Image.open(REFERENCE) as picture:
        then = np.asarray(picture).astype(float)
    apart = np.abs(now.astype(float) - then)
    assert apart.mean() < 0.1
    assert np.quantile(apart, 0.999) <= 2
