"""Which network is measured, and what random weights make of it."""

from pathlib import Path

import pytest
import torch

from engine.bench.subject import BUNDLED, Subject
from engine.errors import UserError
from engine.weights import load_network


def test_without_options_it_is_the_bundled_network() -> None:
    subject = Subject.of()
    assert subject.network == BUNDLED
    assert subject.load().resolution == 128


def test_a_file_is_itself() -> None:
    assert Subject.of(Path("mine.pkl")) == Subject("mine.pkl", Path("mine.pkl"), None)


@pytest.mark.parametrize(
    ("options", "last", "most"),
    [
        ({"config": "f"}, 32, 512),
        ({"config": "e"}, 16, 512),
        ({"resolution": 256}, 128, 512),
        ({"resolution": 256, "channel_base": 4096}, 16, 512),
        ({"config": "f", "resolution": 256, "channel_max": 64}, 64, 64),
    ],
)
def test_options_are_dimensions(options: dict[str, object], last: int, most: int) -> None:
    subject = Subject.of(**options)  # type: ignore[arg-type]
    assert subject.config is not None
    assert subject.config.resolution == options.get("resolution", 1024)
    assert subject.config.channels[-1] == last
    assert max(subject.config.channels) == most
    assert str(subject.config.resolution) in subject.name


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"network": Path("x.pkl"), "config": "f"}, "its own dimensions"),
        ({"config": "g"}, "configurations are e and f"),
        ({"config": "f", "channel_base": 4096}, "leave out --channel-base"),
        ({"resolution": 100}, "a power of two"),
        ({"resolution": 4}, "a power of two"),
        ({"resolution": 4096}, "a power of two"),
        ({"resolution": 1024, "channel_base": 512}, "less than one channel"),
        ({"channel_max": 0}, "--channel-max 0"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Subject.of(**options)  # type: ignore[arg-type]


def test_random_weights_are_the_same_every_time_and_perform_as_trained_ones() -> None:
    subject = Subject.of(resolution=64, channel_base=2048, channel_max=64)
    net, again = subject.load(), subject.load()
    assert all(map(torch.equal, net.state_dict().values(), again.state_dict().values()))
    ws = net.map(torch.randn(4, 512, generator=torch.Generator().manual_seed(1)))
    assert 0.5 < float(ws.std()) < 2
    seen = []
    for block in net.synthesis.blocks:
        block.register_forward_hook(lambda module, given, made: seen.append(made[0].std()))
    img = net.synthesize(ws)
    assert 0.1 < float(img.std()) < 1
    assert len(seen) == 5
    assert all(0.3 < float(std) < 3 for std in seen)


def test_random_weights_are_written_for_those_who_read_files(tmp_path: Path) -> None:
    subject = Subject.of(resolution=16, channel_base=64)
    net = subject.load()
    read = load_network(subject.file(net, tmp_path))
    assert read.config == net.config
    assert all(map(torch.equal, net.state_dict().values(), read.state_dict().values()))
    assert Subject.of().file(net, tmp_path) == BUNDLED
