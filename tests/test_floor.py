"""The floor: the convolutions of a network as published, no more and no fewer."""

import contextlib
import gc
import math
import weakref
from collections.abc import Iterator

import pytest
import torch

from engine.bench.floor import WARM_UP, Convolution, Floor, convolutions, gmacs
from engine.bench.subject import Subject
from engine.networks.config import StyleGAN2Config

CPU = torch.device("cpu")


def tiny(architecture: str = "skip") -> StyleGAN2Config:
    return StyleGAN2Config(z_dim=6, channels=(5, 4, 3), mapping=(6,), architecture=architecture)


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_there_is_one_for_every_tensor_that_convolves(architecture: str) -> None:
    config = tiny(architecture)
    wanted = [
        shape
        for name, shape in config.shapes().items()
        if name.startswith("synthesis.") and name.endswith("weight") and len(shape) == 4
    ]
    found = [(one.outputs, one.inputs, one.kernel, one.kernel) for one in convolutions(config)]
    assert sorted(found) == sorted(wanted)


def test_it_doubles_as_published_and_ends_where_the_picture_does() -> None:
    assert convolutions(tiny()) == [
        Convolution(5, 5, 3, 4),
        Convolution(5, 3, 1, 4),
        Convolution(5, 4, 3, 4, up=True),
        Convolution(4, 4, 3, 8),
        Convolution(4, 3, 1, 8),
        Convolution(4, 3, 3, 8, up=True),
        Convolution(3, 3, 3, 16),
        Convolution(3, 3, 1, 16),
    ]


@pytest.mark.parametrize(("resolution", "wanted"), [(1024, 74.3), (256, 45.1)])
def test_multiplications_are_those_that_are_published(resolution: int, wanted: float) -> None:
    """Of configuration F: Liu et al., "Content-Aware GAN Compression" (2021), table 1."""
    config = Subject.of(config="f", resolution=resolution).config
    assert config is not None
    assert round(gmacs(config), 1) == wanted


def test_what_it_makes_has_the_published_shapes() -> None:
    made = Floor(tiny("resnet"), CPU, torch.float32).run()
    shapes = [tuple(one.shape[1:]) for one in made]
    assert shapes[:4] == [(5, 4, 4), (4, 4, 4), (4, 9, 9), (4, 8, 8)]
    assert shapes[4:] == [(3, 8, 8), (3, 17, 17), (3, 16, 16), (3, 16, 16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_and_inputs_lie_channels_last_in_the_type(dtype: torch.dtype) -> None:
    floor = Floor(tiny(), CPU, dtype)
    for x, weight, _ in floor._steps:
        for tensor in (x, weight):
            assert tensor.dtype == dtype
            assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert all(math.isfinite(float(one.float().sum())) for one in floor.run())


def test_it_is_captured_after_it_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CUDA's part played by a record of what was asked of it."""
    said: list[str] = []

    class Graph:
        def replay(self) -> None:
            said.append("replay")

    class Stream:
        def wait_stream(self, other: object) -> None:
            said.append("wait")

    @contextlib.contextmanager
    def scope(what: object) -> Iterator[None]:
        name = "capture" if isinstance(what, Graph) else "side"
        said.append(name)
        assert torch.backends.cudnn.benchmark
        yield
        said.append(f"end of {name}")

    for name, part in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": scope,
        "graph": scope,
    }.items():
        monkeypatch.setattr(torch.cuda, name, part)
    run = Floor.run
    monkeypatch.setattr(Floor, "run", lambda floor: said.append("run") or run(floor))
    floor = Floor(tiny(), CPU, torch.float32)
    replay = floor.captured()
    weight = weakref.ref(floor._steps[0][1])
    del floor
    gc.collect()
    assert weight() is not None  # a graph knows only where it lay
    capture = said.index("capture")
    assert said[:capture].count("run") == WARM_UP
    assert said[capture:] == ["capture", "run", "end of capture"]
    assert not torch.backends.cudnn.benchmark
    replay()
    assert said[-1] == "replay"
