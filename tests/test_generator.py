"""A session: seeds to W+, W+ to pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import engine.nets
from engine.errors import UserError
from engine.generator import Generator, choose_device
from engine.inference import apple, plain, tuned
from engine.networks.config import StyleGAN2Config
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network

DATA = Path(__file__).parent / "data" / "parity"
BUNDLED = Path(engine.nets.__file__).parent / "flower128.safetensors"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A session sets torch's threads; the tests after it should find them as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def flowers() -> Generator:
    return Generator(BUNDLED, device="cpu")


def network(img_channels: int = 3, use_noise: bool = True) -> StyleGAN2:
    """A network of random weights, 16x16, whose pictures leave [-1, 1] on both sides."""
    torch.manual_seed(3)
    net = StyleGAN2(
        StyleGAN2Config(
            z_dim=6,
            channels=(5, 4, 3),
            mapping=(7, 6),
            img_channels=img_channels,
            use_noise=use_noise,
        )
    ).requires_grad_(False)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.shape != (1, 1, 4, 4):
            torch.nn.init.normal_(tensor) if tensor.ndim else tensor.fill_(0.7)
    for block in net.synthesis.blocks:
        block.torgb.bias.zero_()
        block.torgb.weight.mul_(4)
    return net


def expected_pixels(net: StyleGAN2, ws: np.ndarray, noise_strength: float = 1.0) -> np.ndarray:
    """The contract for colour, in float64 with numpy: rounded, clamped, opaque."""
    img = net.synthesize(torch.from_numpy(ws)[None], noise_strength=noise_strength)[0]
    levels = np.clip(np.floor((img.double().numpy() + 1) * 127.5 + 0.5), 0, 255)
    rgb = np.broadcast_to(levels.transpose(1, 2, 0), (*img.shape[1:], 3))
    return np.concatenate([rgb, np.full((*img.shape[1:], 1), 255)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("img_channels", [1, 3])
def test_pixels_are_the_reference_rounded_and_clamped(img_channels: int) -> None:
    reference, net = network(img_channels), network(img_channels)
    generator = Generator(net, device="cpu")
    ws = np.random.RandomState(0).randn(6, 6).astype(np.float32)
    frame = generator.render(ws, noise_strength=0.5)
    wanted = expected_pixels(reference, ws, 0.5)
    assert frame.dtype == np.uint8
    assert frame.shape == (16, 16, 4)
    assert {0, 255} < set(wanted[..., :3].flat)
    # A value on the edge between two levels may round either way.
    assert np.abs(frame.astype(int) - wanted).max() <= 1
    assert (frame == wanted).mean() > 0.99


@pytest.mark.parametrize("value", [-5.0, -1.0, -0.5, 0.0, 0.25, 1.0, 5.0])
def test_range_maps_to_levels(value: float) -> None:
    net = network(use_noise=False)
    for block in net.synthesis.blocks:
        block.torgb.weight.zero_()
        block.torgb.bias.zero_()
    net.synthesis.blocks[-1].torgb.bias.fill_(value)
    frame = Generator(net, device="cpu").render(np.zeros((6, 6), np.float32))
    assert (frame[..., :3] == min(255, max(0, int((value + 1) * 127.5 + 0.5)))).all()
    assert (frame[..., 3] == 255).all()


def test_noise_strength_counts() -> None:
    net = network()
    generator = Generator(net, device="cpu")
    ws = np.random.RandomState(1).randn(6, 6).astype(np.float32)
    still = generator.render(ws, noise_strength=0)
    assert not np.array_equal(still, generator.render(ws, noise_strength=1))
    assert np.array_equal(still, generator.render(ws, noise_strength=0))


def test_renders_into_memory_that_is_given(flowers: Generator) -> None:
    shared = bytearray(2 * flowers.resolution**2 * 4)
    out = np.frombuffer(shared, np.uint8)[-(flowers.resolution**2) * 4 :]
    out = out.reshape(flowers.resolution, flowers.resolution, 4)
    ws = flowers.map(3)
    assert flowers.render(ws, out=out) is out
    assert np.array_equal(out, flowers.render(ws))
    assert not any(shared[: len(shared) // 2])


def test_the_same_request_is_not_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(network(), device="cpu")
    rendered = []
    render = generator._frames.render
    monkeypatch.setattr(
        generator._frames, "render", lambda *args: rendered.append(1) or render(*args)
    )
    ws = np.zeros((6, 6), np.float32)
    first = generator.render(ws)
    first_copy = first.copy()
    first[:] = 0  # a caller's frame is the caller's
    assert np.array_equal(generator.render(ws), first_copy)
    assert len(rendered) == 1
    generator.render(ws, noise_strength=0.5)
    generator.render(ws + 1)
    generator.render(ws)
    assert len(rendered) == 4


def test_seeds_are_numpys(flowers: Generator) -> None:
    ws = flowers.map(21)
    assert ws.shape == (flowers.num_ws, flowers.w_dim)
    assert ws.dtype == np.float32
    assert (ws == ws[0]).all()
    z = torch.from_numpy(np.random.RandomState(21).randn(1, 512)).float()
    wanted = load_network(BUNDLED).map(z)
    np.testing.assert_allclose(ws, wanted[0].numpy(), atol=1e-6)


def test_a_seeds_bits_do_not_depend_on_threads_or_on_what_came_before(flowers: Generator) -> None:
    first = flowers.map(5)
    for seed in range(4):
        flowers.map(seed)
    torch.set_num_threads(2)
    assert np.array_equal(flowers.map(5), first)


def test_classes() -> None:
    generator = Generator(DATA / "tf_sg2ada_r16_cond4.pkl", device="cpu")
    assert generator.num_classes == 4
    assert not np.array_equal(generator.map(1, 0), generator.map(1, 3))
    with pytest.raises(UserError, match="class 4: the network's classes are 0 to 3"):
        generator.map(1, 4)
    with pytest.raises(UserError, match="no class given"):
        generator.map(1)


def test_what_there_is_not_is_refused(flowers: Generator) -> None:
    with pytest.raises(UserError, match="no classes"):
        flowers.map(1, 0)
    with pytest.raises(UserError, match="seed -1"):
        flowers.map(-1)
    with pytest.raises(UserError, match="4 channels"):
        Generator(network(img_channels=4), device="cpu")
    with pytest.raises(ValueError, match="expected"):
        flowers.render(np.zeros((1, 512), np.float32))


@pytest.mark.parametrize("name", ["gpu", "cpu0", "cuda:x", "meta", ""])
def test_devices_that_are_not_devices(name: str) -> None:
    with pytest.raises(UserError, match="devices are auto"):
        choose_device(name)


def test_devices_that_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UserError, match="no NVIDIA GPU"):
        choose_device("cuda")
    with pytest.raises(UserError, match="no Apple GPU"):
        choose_device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    with pytest.raises(UserError, match="there are 1"):
        choose_device("cuda:1")


def test_a_driver_too_old_is_named_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(
        UserError, match=r"for CUDA 11\.4, and this torch for 12\.8.* driver 52[58]"
    ):
        choose_device("cuda")


def smooth_network() -> StyleGAN2:
    """32x32, whose last block adds next to nothing to the picture but another brightness."""
    torch.manual_seed(3)
    net = StyleGAN2(StyleGAN2Config(z_dim=6, channels=(6, 5, 4, 3), mapping=(7, 6)))
    net.requires_grad_(False)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if not name.endswith("kernel"):
            tensor.normal_() if tensor.ndim else tensor.fill_(0.1)
    for block in net.synthesis.blocks[1:]:
        block.torgb.weight.mul_(0.02)
    net.synthesis.blocks[-1].torgb.bias.fill_(0.2)
    net.synthesis.blocks[0].torgb.weight.mul_(0.1)
    return net


def test_early_pictures_in_the_colours_of_the_full_one() -> None:
    generator = Generator(smooth_network(), device="cpu", smallest=16)
    assert generator.sizes == (32,)
    while generator.sizes == (32,) and generator.rendered < 100:
        generator.render(np.full((8, 6), generator.rendered, np.float32))
        generator.improve()
    assert generator.sizes == (32, 16)
    ws = np.random.RandomState(9).randn(8, 6).astype(np.float32)
    full, early = generator.render(ws), generator.render(ws, size=16)
    assert early.shape == (16, 16, 4)
    assert (early[..., 3] == 255).all()
    halved = full.reshape(16, 2, 16, 2, 4).astype(float).mean((1, 3))
    difference = halved[..., :3] - early[..., :3]
    assert np.sqrt((difference**2).mean()) < 255 / 20  # 26 dB
    assert abs(difference.mean()) < 5  # though the last block made it brighter by 25


def test_early_pictures_that_lack_too_much_are_not_offered() -> None:
    net = smooth_network()
    net.synthesis.blocks[-1].torgb.weight.mul_(100)
    generator = Generator(net, device="cpu", smallest=16)
    for seed in range(20):
        generator.render(np.full((8, 6), seed, np.float32))
        generator.improve()
    assert generator.sizes == (32,)


def test_an_architecture_without_early_pictures_has_none() -> None:
    config = StyleGAN2Config(z_dim=6, channels=(6, 5, 4, 3), mapping=(7, 6), architecture="resnet")
    generator = Generator(StyleGAN2(config), device="cpu", smallest=4)
    for _ in range(20):
        generator.improve()
    assert generator.sizes == (32,)


def test_warming_up_leaves_no_picture_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(network(), device="cpu")
    ws = np.ones((6, 6), np.float32)
    wanted = generator.render(ws)
    generator.warm_up()
    assert np.array_equal(generator.render(ws), wanted)
    assert generator.device_name == "cpu"


@pytest.fixture
def apples(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch says that there is an Apple GPU; what it then does is up to this machine's torch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is a real one")
def test_where_apples_gpu_fails_the_cpu_plays_or_a_sentence_says_why(apples: None) -> None:
    generator = Generator(network(), device="auto")
    assert generator.device.type == "cpu"
    assert generator.notes[0].startswith("Apple's GPU is not used, the CPU is: ")
    assert "\n" not in generator.notes[0]
    with pytest.raises(UserError, match=r"device mps: .*; use cpu"):
        Generator(network(), device="mps")


def test_wrong_pictures_are_not_taken_for_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert apple.why_not(network(), cpu) == ""
    frames = iter((plain.frame, lambda *given: 255 - plain.frame(*given)))
    monkeypatch.setattr(apple, "frame", lambda *given: next(frames)(*given))
    assert "its picture of 16x16 is off by" in apple.why_not(network(), cpu)


def test_a_steady_session_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen by its time is chosen otherwise in the next process: films would differ."""
    with monkeypatch.context() as patched:
        patched.setattr(tuned, "_seconds", lambda *given: pytest.fail("timed"))
        generator = Generator(network(), device="cpu", steady=True)
        frame = generator.render(generator.map(1))
    assert frame.any()
    with monkeypatch.context() as patched:  # of any other session: whatever is last
        times = iter(range(10**9, 0, -1))
        patched.setattr(tuned, "_seconds", lambda form, *args: next(times) * 1e-15)
        other = Generator(network(), device="cpu").render(generator.map(1))
    assert np.abs(other.astype(int) - frame).max() <= 1
