"""Networks that grow, flowers drawn ahead, trainings in stages."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engine.errors import UserError
from engine.flowers.source import flowers
from engine.networks.discriminator import Discriminator, DiscriminatorConfig
from engine.networks.filters import double
from engine.networks.stylegan2 import StyleGAN2
from engine.training.ancestors import ancestor
from engine.training.beginning import new_discriminator, new_generator
from engine.training.folder import read_state
from engine.training.growing import grow_discriminator, grow_generator
from engine.training.options import InterruptedTrainingError
from engine.training.pool import draw_ahead
from engine.weights import load_network
from live.cli import app
from live.recipe import Recipe, bundled_recipes, load_recipe, trainings
from tests.trained import CONFIG, CPU, Blobs, Told, lines, run, settings


def trained_generator() -> StyleGAN2:
    """One whose every tensor is something."""
    net = new_generator(settings())
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.normal_(generator=random)
    return net


@pytest.mark.parametrize("channels", [(8, 8, 8), (16, 12, 9), (16, 8, 8, 4), (9, 9, 9, 9, 9)])
@torch.no_grad()
def test_a_grown_generator_shows_what_it_showed(channels):
    net = trained_generator()
    larger = new_generator(settings(generator=replace(CONFIG, channels=channels)))
    grow_generator(net, larger)
    ws = net.map(torch.randn(3, 16))
    expected = net.synthesize(ws, "const")
    for _ in channels[3:]:
        expected = double(expected)
    z_layers = ws[:, :1].repeat(1, larger.num_ws, 1)
    shown = larger.synthesize(z_layers, "const")
    torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(larger.w_avg, net.w_avg)


def test_what_was_added_can_be_learned():
    larger = new_generator(settings(generator=replace(CONFIG, channels=(16, 16, 16, 4))))
    grow_generator(trained_generator(), larger)
    picture = larger.synthesize(larger.map(torch.randn(2, 16)), "none")
    weights = [larger.synthesis.b8.conv0.weight, larger.synthesis.b32.torgb.weight]
    slopes = torch.autograd.grad(picture.square().sum(), weights)
    assert slopes[0][:8, 8:].abs().min() > 0  # the old begin to listen to the new
    assert slopes[1].abs().min() > 0


def test_a_generator_does_not_shrink():
    smaller = new_generator(settings(generator=replace(CONFIG, channels=(8, 8, 4))))
    with pytest.raises(ValueError, match=r"channels \[8, 8, 8\] don't fit into \[8, 8, 4\]"):
        grow_generator(trained_generator(), smaller)


def test_a_grown_discriminator_keeps_the_blocks_it_had():
    small = new_discriminator(settings())
    larger = Discriminator(DiscriminatorConfig((8, 8, 8, 4)))
    assert grow_discriminator(small.state_dict(), larger)
    x = torch.randn(4, 8, 16, 16)
    assert torch.equal(larger.b16.conv0(x), small.b16.conv0(x))
    assert torch.equal(larger.b4.out.weight, small.b4.out.weight)
    assert not grow_discriminator(small.state_dict(), Discriminator(DiscriminatorConfig((4,) * 4)))


def test_a_training_goes_on_from_a_training(tmp_path):
    run(tmp_path / "one")
    run(tmp_path / "two", start=tmp_path / "one", kimg=0.008)
    before = ancestor(tmp_path / "one")
    assert before.critic.channels == (8, 8, 8)
    average = load_network(tmp_path / "one" / "network.safetensors").synthesis.b8.conv1.weight
    torch.testing.assert_close(
        before.network.synthesis.b8.conv1.weight, average, rtol=1e-3, atol=1e-3
    )
    facts = read_state(tmp_path / "two" / "snapshots" / "000000.state")[1]
    assert facts["settings"]["freeze_kimg"] == 0  # its discriminator came along
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--from .*empty: is no folder of a training"):
        run(tmp_path / "three", start=tmp_path / "empty")


def test_a_training_grows(tmp_path):
    run(tmp_path / "one")
    grown = {"resolution": 32, "channel_base": 256, "grow": True, "freeze": 0.016}
    grown["blobs"] = Blobs(resolution=32)
    run(tmp_path / "two", start=tmp_path / "one", kimg=0.032, **grown)
    network = load_network(tmp_path / "two" / "network.safetensors")
    assert network.config.channels == (8, 8, 8, 8)
    told = lines(tmp_path / "two")
    assert told[-1]["pictures"] == 32
    assert "generator" in told[-1]


def test_flowers_are_drawn_ahead_once(tmp_path):
    told = Told()
    pool = draw_ahead(70, 16, 3, tmp_path, told, CPU)
    drawn = [pool.take(first, 10, CPU) for first in range(0, 140, 10)]
    for half in (drawn[:7], drawn[7:]):  # each time round, each once
        latents = torch.cat([batch.latents for batch in half])
        assert len(latents.unique(dim=0)) == 70
    own, pictures = flowers(3, 70, 16)
    batch = drawn[4]
    number = int((own == batch.latents[2]).all(dim=1).nonzero())
    torch.testing.assert_close(batch.pictures[2], pictures[number], rtol=0, atol=1 / 255)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = draw_ahead(70, 16, 3, tmp_path, told, CPU)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(again.take(40, 10, CPU).pictures, batch.pictures)
    assert "64 of 70 flowers drawn ahead" in told.lines[0]


def test_a_drawing_that_is_interrupted_leaves_nothing(tmp_path):
    with pytest.raises(InterruptedTrainingError):
        draw_ahead(200, 16, 0, tmp_path, Told(looks=1), CPU)
    assert list(tmp_path.iterdir()) == []


RECIPE = """
[[stage]]
kimg = 0.032
resolution = 16
channel_base = 64
mapping = 2
batch = 8
pool = 64

[[stage]]
kimg = 0.064
resolution = 32
channel_base = 128
batch = 8
freeze = 0.008
"""


def test_a_recipe_is_trained_stage_by_stage(tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    out = tmp_path / "run"
    asked = ["train", "flowers", "--recipe", str(recipe), "-o", str(out), "--device", "cpu"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert load_network(out / "network.safetensors").resolution == 32
    first = out / "stage-1" / "network.safetensors"
    assert load_network(first).config.channels == (16, 8, 4)
    assert [p.suffix for p in (out / "stage-1" / "pictures").iterdir()] == [".npy"]
    written = first.stat().st_mtime_ns
    again = CliRunner().invoke(app, asked)
    assert again.exit_code == 0, again.output
    assert first.stat().st_mtime_ns == written  # what is done is passed over


def test_a_recipe_says_what_is_not_asked_beside_it(tmp_path):
    asked = ["train", "flowers", "--recipe", "flowers256", "--gamma", "3", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 2
    assert "--gamma: beside a recipe" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "stage"),
        ("[stage]\nkimg = 1", "with two brackets"),
        ("[[stage]]\nkimg = 1\nresolution = 64\nbach = 3", "[[stage]] 1 bach"),
        ("[[stage]]\nkimg = 0\nresolution = 64", "[[stage]] 1 kimg"),
        (
            "[[stage]]\nkimg = 1\nresolution = 64\n[[stage]]\nkimg = 1\nresolution = 64\n"
            'from = "x"',
            "stage 2 goes on from the one before",
        ),
        (
            "[[stage]]\nkimg = 1\nresolution = 64\n[[stage]]\nkimg = 1\nresolution = 32",
            "stage 2 is smaller",
        ),
        (
            "[[stage]]\nkimg = 1\nresolution = 64\n[[stage]]\nkimg = 1\nresolution = 64\n"
            "channel_base = 8192",
            "stage 2 is smaller",
        ),
        ("[[stage]]\nkimg = 1\nresolution = 100", "resolution 100: it is a power of two"),
        ("[[stage]]\nkimg = 1\nresolution = 64\nchannel_base = 32", "channel base of 32"),
    ],
)
def test_a_recipe_that_is_wrong_is_one_line(tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert "\n" not in line


def test_the_bundled_recipes():
    for path in bundled_recipes().values():
        stages = trainings(load_recipe(path), path.parent, Path("flowers"), Path("run"))
        assert stages[-1].out == Path("run")
        assert all(stage.grow and stage.start is not None for stage in stages)
    assert set(bundled_recipes()) == {"flowers128", "flowers256"}


def test_a_recipe_begins_from_nothing_where_it_names_nothing():
    recipe = Recipe.model_validate({"stage": [{"kimg": 1, "resolution": 64}] * 2})
    first, second = trainings(recipe, Path(), Path("flowers"), Path("run"))
    assert (first.start, first.grow) == (None, False)
    assert (second.start, second.grow) == (Path("run/stage-1"), True)
