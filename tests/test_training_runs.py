"""Whole trainings of a few steps: what they leave, how they end, and how they go on."""

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from engine.bench.synthetic import synthetic
from engine.errors import UserError
from engine.generator import Generator
from engine.networks.config import StyleGAN2Config
from engine.networks.discriminator import Discriminator, DiscriminatorConfig
from engine.training import folder
from engine.training.folder import read_state, superfluous
from engine.training.log import Log, write_chart
from engine.training.options import InterruptedTrainingError, Options, Progress
from engine.training.plan import plan
from engine.training.samples import samples
from engine.weights import NetworkFile, load_network, read_network
from engine.weights.discriminators import read_discriminator
from engine.weights.saving import save_network
from live.cli import app
from live.progress import Training
from tests.test_weights import nvidia_module, persistence  # noqa: F401 - a fixture
from tests.trained import CONFIG, Blobs, Told, lines, run, trainer

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A training of 20 steps that nothing interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    run(out, augment=True)
    return out


def same_end(out: Path, other: Path) -> None:
    """Both came to the same state, network, grid and log."""
    tensors, facts = read_state(folder.Folder(out).newest())
    expected, its = read_state(folder.Folder(other).newest())
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)
    clocks = {"seconds"}
    assert {k: v for k, v in facts.items() if k not in clocks} == {
        k: v for k, v in its.items() if k not in clocks
    }
    assert (out / "grid-000000.png").read_bytes() == (other / "grid-000000.png").read_bytes()
    ours, theirs = (load_file(path / "network.safetensors") for path in (out, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def network_file(path: Path, config: StyleGAN2Config = CONFIG) -> Path:
    net = synthetic(config)
    tensors = {name: x.numpy() for name, x in net.state_dict().items()}
    save_network(NetworkFile(path, "", "", config, tensors, {}), path, np.float32)
    return path


# What a training leaves


def test_the_result_is_performed(whole):
    generator = Generator(whole / "network.safetensors", device="cpu")
    picture = generator.render(generator.map(3))
    generator.close()
    assert picture.shape == (16, 16, 4)
    file = read_network(whole / "network.safetensors")
    assert file.metadata["kimg"] == "0.2"
    assert file.has_w_avg


def test_its_mean_w_is_that_of_many_latents(whole):
    net = load_network(whole / "network.safetensors")
    w = net.map(torch.randn(4000, net.z_dim, generator=torch.Generator().manual_seed(1)))
    off = (w.mean(dim=(0, 1)) - net.w_avg).abs().max()
    assert off < 5 * w.std() / 4000**0.5


def test_it_is_the_average_that_is_performed(whole):
    tensors, _ = read_state(folder.Folder(whole).newest())
    net = load_network(whole / "network.safetensors")
    name = "synthesis.b8.conv0.weight"
    torch.testing.assert_close(
        net.state_dict()[name], tensors[f"average.{name}"], rtol=1e-3, atol=0
    )
    assert not torch.allclose(net.state_dict()[name], tensors[f"generator.{name}"], rtol=1e-3)


def test_a_sheet_shows_the_same_latents_and_one_the_data(whole):
    for name in ("grid-000000.png", "data.png"):
        with Image.open(whole / name) as sheet:
            assert sheet.size == (16 * 16, 10 * 16)
            assert np.asarray(sheet).std() > 1
    one, other = (torch.cat([*samples(trainer(), 40, "grid")]) for _ in range(2))
    assert len(one) == 40
    assert torch.equal(one, other)


def test_the_log_tells_and_is_drawn(whole):
    told = lines(whole)
    assert told[-1]["pictures"] == 160
    assert {"generator", "discriminator", "sign", "p"} <= told[-1].keys()
    with Image.open(whole / "log.png") as chart:
        assert chart.width == 1200
        colours = {colour for _, colour in chart.getcolors(1 << 20)}
    assert {(233, 84, 32), (94, 170, 220)} <= colours


def test_a_chart_of_very_little_and_of_very_much(tmp_path):
    write_chart(tmp_path / "none.png", [])
    write_chart(tmp_path / "one.png", [{"pictures": 8, "r1": 0.5}])
    many = [{"pictures": n, "r1": n % 7, "generator": -1.0} for n in range(1, 5000)]
    write_chart(tmp_path / "many.png", many)


def test_the_measure_is_asked_and_told(tmp_path):
    asked = []

    def measure_of(blobs, device, inception, report):
        def distance(pictures):
            asked.append(torch.cat([*pictures]).shape)
            return {"features": 1.5, "patches": 2.5}

        return distance

    told = run(tmp_path, measure_of=measure_of, kimg=0.032)
    assert asked == [(512, 3, 16, 16)]
    assert any("features 1.5, patches 2.5" in line for line in told.lines)
    assert lines(tmp_path)[-1]["features"] == 1.5


def test_progress_is_told(tmp_path):
    told = run(tmp_path, kimg=0.064)
    last = told.gone[-1]
    assert (last.kimg, last.share, last.left_s) == (0.064, 1.0, 0.0)
    assert last.rate > 0
    assert told.lines[-1].endswith("network.safetensors: 0.1 kimg; anthesis play performs it")


def test_progress_in_words(capsys):
    now = iter([0.0, 11.0, 11.0])
    with Training(lambda: False, sys.stderr, lambda: next(now)) as bar:
        means = {"generator": 0.8123, "discriminator": 1.2, "r1": 0.03}
        bar.went(Progress(12.34, 0.5, 38.12, 3723.0, means, 0.12))
    assert capsys.readouterr().err == (
        "12.3 kimg · 38.1 pictures a second · 1:02:03 left · G 0.812 D 1.200 R1 0.030 · p 0.12\n"
    )


def test_disk_use_is_bounded(tmp_path):
    folder.Folder(tmp_path).make()
    where = folder.Folder(tmp_path)
    for kimg in range(0, 2000, 20):
        for path in (where.state(kimg), where.snapshot(kimg), where.grid(kimg)):
            path.touch()
        where.thin_out()
    states = sorted(path.name for path in (tmp_path / "snapshots").glob("*.state"))
    assert states == ["001960.state", "001980.state"]
    kept = sorted(int(p.stem) for p in (tmp_path / "snapshots").glob("*.safetensors"))
    assert len(kept) == folder.NETWORKS
    assert (kept[0], kept[-1]) == (0, 1980)
    assert max(np.diff(kept)) <= 3 * 1980 / folder.NETWORKS
    assert len(list(tmp_path.glob("grid-*.png"))) == folder.GRIDS


def test_the_densest_are_dropped_first():
    assert superfluous([0, 10, 11, 20], 3) == [2]
    assert superfluous([0, 1], 1) == []


# How it goes on


def test_it_goes_on_after_ctrl_c(whole, tmp_path):
    with pytest.raises(InterruptedTrainingError):
        run(tmp_path, told=Told(looks=13), augment=True)
    assert read_state(folder.Folder(tmp_path).newest())[1]["steps"] == 13
    told = run(tmp_path, augment=True)
    assert told.lines[0].endswith("goes on after 0.1 kimg")
    same_end(tmp_path, whole)


def test_it_goes_on_after_a_kill(whole, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-m", "tests.trained", tmp_path], cwd=ROOT, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert read_state(folder.Folder(tmp_path).newest())[1]["steps"] == 8
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"pictures": 97, "gener')  # a line that the kill cut
    run(tmp_path, augment=True)
    same_end(tmp_path, whole)
    assert lines(tmp_path) == lines(whole)


def test_what_was_told_of_later_steps_is_taken_back(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"pictures": 8}\n{"pictures": 16}\nnonsense\n[]\n{"pictures": 24}\n')
    log = Log(path, 16)
    log.add({"pictures": 17})
    assert [json.loads(line)["pictures"] for line in path.read_text().splitlines()] == [8, 16, 17]


def test_a_finished_training_is_there_already(whole, tmp_path):
    before = (whole / "network.safetensors").stat().st_mtime_ns
    run(whole, augment=True)
    assert (whole / "network.safetensors").stat().st_mtime_ns == before


def test_minutes_count_what_was_trained_before(tmp_path):
    def clock():
        clock.now += 1.0
        return clock.now

    clock.now = 0.0

    def go_on(minutes):
        run(tmp_path, clock=clock, minutes=minutes, kimg=None)
        return read_state(folder.Folder(tmp_path).newest())[1]

    first = go_on(0.2)
    assert 12 <= first["seconds"] < 30
    second = go_on(0.6)
    assert 36 <= second["seconds"] < 54
    assert second["steps"] > first["steps"]


def test_gamma_may_change_but_not_the_networks(tmp_path):
    run(tmp_path, kimg=0.016)
    told = run(tmp_path, kimg=0.032, gamma=2.0)
    assert "gamma now 2.0" in told.lines[0]
    with pytest.raises(UserError, match="another generator, discriminator: --force"):
        run(tmp_path, kimg=0.032, channel_max=4)
    with pytest.raises(UserError, match="another set of pictures, flowers: --force"):
        run(tmp_path, kimg=0.032, pictures=Path("others"))
    told = run(tmp_path, kimg=0.016, channel_max=4, force=True)
    assert not any("goes on" in line for line in told.lines)


def test_what_is_not_a_trainings_is_not_replaced(tmp_path):
    start = network_file(tmp_path / "network.safetensors")
    before = start.read_bytes()
    with pytest.raises(UserError, match="is there already, and no training to go on with"):
        run(tmp_path)
    assert start.read_bytes() == before
    run(tmp_path, kimg=0.008, force=True)
    assert start.read_bytes() != before


def test_a_gpu_that_is_too_small_says_so(tmp_path, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("engine.training.trainer.Trainer.step", full)
    with pytest.raises(UserError, match="does not hold a step of 8 pictures"):
        run(tmp_path)


def test_a_damaged_state_is_named(tmp_path):
    run(tmp_path, kimg=0.016)
    state = folder.Folder(tmp_path).newest()
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"000000\.state: is no state of a training"):
        run(tmp_path)


# What goes wrong


def test_losses_that_are_no_numbers_stop_it_and_the_last_good_is_kept(tmp_path):
    with pytest.raises(UserError, match=r"no number after 0\.1 kimg; .*000000\.state is the last"):
        run(tmp_path, blobs=Blobs(broken_from=100))
    tensors, facts = read_state(folder.Folder(tmp_path).newest())
    assert facts["steps"] == 8
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert np.isfinite(load_network(tmp_path / "network.safetensors").w_avg.numpy()).all()


def test_a_full_disk_leaves_the_snapshot_before(small_disk, tmp_path):
    """Each state takes 500 kB: some fit, and then none does."""
    out = small_disk / "run"
    options = {"kimg": 0.5, "snapshot": 0.064}
    (small_disk / "other").write_bytes(bytes(500_000))
    sized: list[Path] = []

    class Filling(Told):
        def say(self, line):
            super().say(line)
            if "grid" in line and not sized:  # after the first snapshot somebody fills the disk
                sized.append(small_disk / "filler")
                free = os.statvfs(small_disk)
                sized[0].write_bytes(bytes(max(free.f_bavail * free.f_bsize - 8192, 0)))

    with pytest.raises(UserError, match="cannot be written"):
        run(out, told=Filling(), channel_base=32, channel_max=4, **options)
    newest = folder.Folder(out).newest()
    _, facts = read_state(newest)
    assert facts["steps"] == 8
    assert load_network(out / "network.safetensors").resolution == 16
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def test_a_snapshot_of_which_only_the_state_was_written_is_made_good(tmp_path):
    run(tmp_path)
    network = {name: x.clone() for name, x in load_file(tmp_path / "network.safetensors").items()}
    newest = folder.Folder(tmp_path).newest()
    later = newest.stat().st_mtime_ns + 10**9
    os.utime(newest, ns=(later, later))
    (tmp_path / "network.safetensors").write_bytes(b"the one before")
    told = run(tmp_path)  # the same command
    again = load_file(tmp_path / "network.safetensors")
    assert all(torch.equal(again[name], network[name]) for name in network)
    assert "goes on after 0.2 kimg" in told.lines[0]


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    run(tmp_path, kimg=0.064)
    half = (
        ".network.safetensors.abcd_123",
        "snapshots/.000012.state.abcdefgh",
        "pictures/.flowers-128-v1-0-20480.npy.abcdefgh",
    )
    theirs = ".notes.txt.abcdefgh", ".hidden"
    (tmp_path / "pictures").mkdir()
    for name in (*half, *theirs):
        (tmp_path / name).write_bytes(b"x")
    run(tmp_path, kimg=0.128)
    assert not any((tmp_path / name).exists() for name in half)
    assert all((tmp_path / name).exists() for name in theirs)


def test_another_pool_is_another_training(tmp_path):
    run(tmp_path, kimg=0.064, pool=64)
    with pytest.raises(UserError, match="another pool: --force"):
        run(tmp_path, kimg=0.128, pool=128)


def test_force_removes_nothing_before_there_are_pictures(tmp_path):
    run(tmp_path / "run", kimg=0.064)
    left = sorted(tmp_path.rglob("*"))
    asked = ["train", str(tmp_path / "typo"), "-o", str(tmp_path / "run"), "--force"]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, UserError)
    assert sorted(tmp_path.rglob("*")) == left


def test_force_does_not_remove_what_is_gone_on_from(tmp_path):
    run(tmp_path, kimg=0.064)
    for start in (tmp_path, tmp_path / "network.safetensors"):
        with pytest.raises(UserError, match="would be removed by --force"):
            run(tmp_path, kimg=0.064, start=start, force=True)
    assert (tmp_path / "network.safetensors").exists()


def test_a_training_is_not_left_among_its_pictures(tmp_path):
    done = CliRunner().invoke(app, ["train", str(tmp_path), "-o", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "is where the pictures are" in str(done.exception)


def test_pools_and_pairs_are_for_flowers(tmp_path):
    for name in ("pool", "pairs"):
        with pytest.raises(UserError, match=f"{name}: is for flowers only"):
            run(tmp_path, pictures=Path("faces"), **{name: 64})


# From another network


def test_it_goes_on_from_another_network(tmp_path):
    start = network_file(tmp_path / "start.safetensors")
    told = run(tmp_path / "run", start=start, freeze=0.016, kimg=0.016, resolution=None)
    tensors, facts = read_state(folder.Folder(tmp_path / "run").newest())
    assert facts["settings"]["freeze_kimg"] == 0.016
    before = load_network(start).state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensors[f"generator.{name}"], tensor)  # it still waits
    assert told.lines


@pytest.mark.usefixtures("persistence")
def test_the_discriminator_of_the_file_is_taken(tmp_path, request):
    persistent = request.getfixturevalue("persistence")
    net, critic = synthetic(CONFIG), Discriminator(DiscriminatorConfig((6, 8, 4)))
    for weight in critic.parameters():
        weight.data.normal_(generator=torch.Generator().manual_seed(1))
    parts = {"G_ema": net, "D": critic}
    pickled = {
        part: nvidia_module({k: x.numpy() for k, x in each.state_dict().items()}, persistent)
        for part, each in parts.items()
    }
    start = tmp_path / "start.pkl"
    start.write_bytes(pickle.dumps(pickled))
    config, _ = read_discriminator(start, 16)
    assert config == critic.config
    run(tmp_path / "run", start=start, kimg=0.001, resolution=None)
    tensors, facts = read_state(folder.Folder(tmp_path / "run").newest())
    assert facts["settings"]["discriminator"] == [6, 8, 4]
    assert facts["settings"]["freeze_kimg"] == 0
    before = critic.state_dict()["b4.fc.weight"]
    moved = (tensors["discriminator.b4.fc.weight"] - before).abs().max()
    assert 0 < moved < 0.01  # two steps of Adam from there


@pytest.mark.usefixtures("persistence")
@pytest.mark.parametrize("change", ["classes", "shape", "nan"])
def test_a_discriminator_that_cannot_be_trained_is_left(change, tmp_path, request):
    critic = Discriminator(DiscriminatorConfig((6, 8, 4)))
    params = {name: x.numpy() for name, x in critic.state_dict().items()}
    if change == "classes":
        params["mapping.embed.weight"] = np.zeros((6, 10), np.float32)
    elif change == "shape":
        params["b4.fc.weight"] = np.zeros((6, 10), np.float32)
    else:
        params["b4.fc.weight"] = np.full((6, 96), np.nan, np.float32)
    pickled = nvidia_module(params, request.getfixturevalue("persistence"))
    start = tmp_path / "start.pkl"
    start.write_bytes(pickle.dumps({"G_ema": None, "D": pickled}))
    assert read_discriminator(start, 16) is None


def test_another_resolution_or_family_is_refused(tmp_path):
    start = network_file(tmp_path / "start.safetensors")
    with pytest.raises(UserError, match=r"its pictures are 16x16, not --resolution 32"):
        run(tmp_path / "run", start=start, resolution=32)
    grey = network_file(tmp_path / "grey.safetensors", StyleGAN2Config(8, (4, 4), (8,), 1))
    with pytest.raises(UserError, match="grey pictures"):
        run(tmp_path / "run", start=grey, resolution=None)
    (tmp_path / "other.pt").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"other\.pt.*accepted"):
        run(tmp_path / "run", start=tmp_path / "other.pt")
    assert not (tmp_path / "run").exists()


# What is asked


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"resolution": 48}, "--resolution 48: a power of two"),
        ({"resolution": 2048}, "--resolution 2048: a power of two"),
        ({"resolution": 64, "channel_base": 32}, "less than one channel at 64x64"),
    ],
)
def test_what_no_network_is(asked, said):
    with pytest.raises(UserError, match=said):
        plan(Options(Path("flowers"), Path("run"), **asked), None, precision="float32")


def test_what_is_published_is_taken_where_nothing_is_said():
    faces = plan(Options(Path("faces"), Path("run")), None, precision="float16")
    assert faces.generator.channels == (512, 512, 512, 512, 256, 128, 64)
    assert len(faces.generator.mapping) == 8
    assert (faces.batch, faces.mixing, faces.augment, faces.pairs) == (16, 0.9, True, 0)
    assert faces.generator.conv_clamp == 256
    assert faces.half_resolutions == {32, 64, 128, 256}
    flowers = plan(Options(Path("flowers"), Path("run"), kimg=800), None, precision="float32")
    assert (flowers.mixing, flowers.augment, flowers.pairs_kimg) == (0.5, False, 400)
    assert flowers.generator.conv_clamp is None


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    runner = CliRunner()
    done = runner.invoke(app, ["train", "--help"])
    assert "PICTURES" in done.output
    done = runner.invoke(app, ["train", str(tmp_path), "--precision", "float8"])
    assert done.exit_code == 2
    done = runner.invoke(app, ["train", str(tmp_path), "--kimg", "nan"])
    assert done.exit_code == 2
    asked = []
    monkeypatch.setattr("live.train.train", asked.append)
    done = runner.invoke(app, ["train", "flowers", "-o", "x", "--kimg", "3", "--no-augment"])
    assert done.exit_code == 0
    assert asked[0] == [Options(Path("flowers"), Path("x"), kimg=3, augment=False)]
    given = ["train", "flowers", "-o", "x", "--inception", "fid.pth"]
    for recipe in ([], ["--recipe", "flowers128"]):
        assert runner.invoke(app, [*given, *recipe]).exit_code == 0
        assert {options.inception for options in asked[-1]} == {Path("fid.pth")}
    assert asked[1] == [Options(Path("flowers"), Path("x"), inception=Path("fid.pth"))]


def test_ctrl_c_ends_the_command_with_130(monkeypatch):
    def stop(options):
        raise InterruptedTrainingError

    monkeypatch.setattr("live.train.train", stop)
    done = CliRunner().invoke(app, ["train", "flowers"])
    assert done.exit_code == 130
    assert "the same command goes on from here" in done.output
