"""VGG16 from the files people have, and both distances on its features."""

import contextlib
import hashlib
import http.server
import io
import json
import math
import pickle
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import nn

from engine.errors import UserError
from engine.perceptual import VGG16, Perceptual, load_perceptual, reduced
from engine.weights import read_network, vgg, vgg_places
from engine.weights.containers import parse
from engine.weights.inert import Tensor, UnreadableError
from engine.weights.vgg import CONVS, read_heads, read_vgg
from engine.weights.vgg_places import checkpoints, fetch, find_heads, find_vgg

CASE = Path(__file__).parent / "data" / "parity" / "seeded_lpips_vgg.safetensors"
INDICES = [index for stage in CONVS for index, _, _ in stage]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on two busy cores wait for each other far longer than one works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: what the developer has downloaded decides nothing."""
    for name in ("TORCH_HOME", "XDG_CACHE_HOME", "DNNLIB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in load_file(CASE).items()}


@pytest.fixture(scope="module")
def trunk() -> dict[str, torch.Tensor]:
    """The reference's convolutions, from its recipe, by torchvision's names."""
    with safe_open(CASE, "np") as file:
        facts = json.loads(file.metadata()["parity"])
    state = {}
    for key, (shape, mean, std) in facts["recipe"]["fill"].items():
        seed = (zlib.crc32(key.encode()) ^ (facts["seed"] * 2654435761)) & 0xFFFFFFFF
        values = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
        state[key] = torch.from_numpy(np.float32(mean) + np.float32(std) * values)
    return state


@pytest.fixture(scope="module")
def heads(reference: dict[str, torch.Tensor]) -> tuple[np.ndarray, ...]:
    return tuple(reference[f"param.lin{k}.model.1.weight"].flatten().numpy() for k in range(5))


@pytest.fixture(scope="module")
def network(trunk: dict[str, torch.Tensor]) -> VGG16:
    net = VGG16()
    net.load_state_dict(trunk)
    return net


@pytest.fixture(scope="module")
def saved(trunk: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As torchvision's file is laid out and named: by the hash that it has."""
    path = tmp_path_factory.mktemp("torchvision") / "vgg16.pth"
    torch.save({**trunk, "classifier.6.bias": torch.zeros(1000)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(path.with_name(f"vgg16-{digest[:8]}.pth"))


class Conv(nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.padding = [1, 1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.conv2d(x, self.weight, self.bias, padding=self.padding))


class Scripted(nn.Module):
    """As NVIDIA's file is laid out."""

    def __init__(self, trunk: dict[str, torch.Tensor], heads: tuple[np.ndarray, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for number, index in enumerate(INDICES, 1):
            names = (f"features.{index}.weight", f"features.{index}.bias")
            self.layers.add_module(f"conv{number}", Conv(*(trunk[name] for name in names)))
        for stage, head in enumerate(heads):
            self.register_buffer(f"lpips{stage}", torch.from_numpy(head)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def script(
    trunk: dict[str, torch.Tensor],
    heads: tuple[np.ndarray, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("nvidia") / "vgg16-of-nvidia.pt"
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.script(Scripted(trunk, heads)).save(str(path))
    return path


def refusal(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


def pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=generator) * 2 - 1


# The distances


def by_stage(perceptual: Perceptual, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The parts [5, N] of LPIPS, whose sum is the distance."""
    both = zip(perceptual.lpips_features(a), perceptual.lpips_features(b), strict=True)
    return torch.stack([(mine - its).square().sum(dim=(1, 2, 3)) for mine, its in both])


def test_lpips_is_the_published_one(network, heads, reference) -> None:
    perceptual = Perceptual(network, heads)
    a, b = reference["in.a"], reference["in.b"]
    expected = [reference[f"out.layer{stage}"].flatten() for stage in range(5)]
    torch.testing.assert_close(by_stage(perceptual, a, b), torch.stack(expected), rtol=1e-5, atol=0)
    distance = perceptual.lpips(a, perceptual.lpips_features(b))
    torch.testing.assert_close(distance, reference["out.d"].flatten(), rtol=1e-5, atol=0)


def test_without_heads_all_channels_count_alike(network, heads) -> None:
    a, b = pictures(1, 32), pictures(1, 32, seed=1)
    alike, ones = Perceptual(network), Perceptual(network, tuple(map(np.ones_like, heads)))
    torch.testing.assert_close(by_stage(alike, a, b), by_stage(ones, a, b))


def test_the_videos_loss_is_that_of_the_first_31_layers(network, trunk) -> None:
    layers = []
    for number, stage in enumerate(CONVS):
        for index, inputs, outputs in stage:
            conv = nn.Conv2d(inputs, outputs, 3, padding=1)
            conv.weight.data = trunk[f"features.{index}.weight"]
            conv.bias.data = trunk[f"features.{index}.bias"]
            layers += [conv, nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        assert len(layers) == (5, 10, 17, 24, 31)[number]
    a, b = pictures(2, 64), pictures(2, 64, seed=1)
    # ImageNet's own normalisation, which LPIPS rounds to three digits.
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    one, other = (nn.Sequential(*layers)(((x + 1) / 2 - mean) / deviation) for x in (a, b))
    expected = [nn.functional.mse_loss(*pair) for pair in zip(one, other, strict=True)]
    perceptual = Perceptual(network)
    features = perceptual.video_features(b)
    assert features.shape == (2, 512, 2, 2)
    torch.testing.assert_close(
        perceptual.video(a, features), torch.stack(expected), rtol=2e-3, atol=0
    )


@pytest.mark.parametrize("kind", ["video", "lpips"])
def test_going_down_the_gradient_comes_nearer(network, heads, kind) -> None:
    perceptual = Perceptual(network, heads)
    features = getattr(perceptual, f"{kind}_features")(pictures(1, 32, seed=1))
    x = pictures(2, 32).requires_grad_()
    before = getattr(perceptual, kind)(x, features)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    assert all(float(one.abs().max()) > 0 for one in gradient)
    with torch.no_grad():
        after = getattr(perceptual, kind)(x - 0.02 * gradient.sign(), features)
    assert bool((after < before).all())
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())


def test_where_nothing_is_seen_the_gradient_is_finite(trunk) -> None:
    """No feature anywhere: a length of 0, whose root has no slope."""
    dead = VGG16()
    dead.load_state_dict(
        {name: torch.zeros_like(value) - 1 * (value.ndim == 1) for name, value in trunk.items()}
    )
    perceptual = Perceptual(dead)
    x = pictures(1, 16).requires_grad_()
    distance = perceptual.lpips(x, [torch.ones(1)] * 5)
    distance.sum().backward()
    assert math.isfinite(float(distance.detach()))
    assert x.grad is not None
    assert not x.grad.any()


def test_half_precision_and_channels_last_are_nearly_the_same(trunk, heads) -> None:
    net = VGG16()
    net.load_state_dict(trunk)
    with torch.no_grad():  # features in the hundreds, as trained ones are: lengths don't matter
        for parameter in net.features["28"].parameters():
            parameter *= 500
    perceptual = Perceptual(net, heads)
    a, b = pictures(1, 32), pictures(1, 32, seed=1)
    exact = by_stage(perceptual, a, b)
    half = perceptual.half().to(memory_format=torch.channels_last)
    torch.testing.assert_close(by_stage(half, a, b), exact, rtol=1e-2, atol=0)
    assert half.video(a, half.video_features(b)).isfinite().all()


def test_large_pictures_are_averaged_to_256() -> None:
    x = pictures(1, 512)
    assert torch.allclose(reduced(x), nn.functional.avg_pool2d(x, 2), atol=1e-6)
    assert reduced(x[..., :128]).shape == (1, 3, 256, 64)
    assert reduced(x[..., :256, :200]).shape == (1, 3, 256, 200)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 8)])
def test_what_is_no_picture_is_named(network, shape) -> None:
    perceptual = Perceptual(network)
    for features in (perceptual.lpips_features, perceptual.video_features):
        with pytest.raises(ValueError, match="are needed, not"):
            features(torch.zeros(shape))


def test_nothing_is_set_for_the_whole_process(network) -> None:
    flags = (
        torch.get_default_dtype(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32,
        torch.is_grad_enabled(),
    )
    Perceptual(network).lpips_features(pictures(1, 16))
    assert flags == (
        torch.get_default_dtype(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32,
        torch.is_grad_enabled(),
    )


# The files


def test_torchvisions_file_without_its_classifier(saved, trunk) -> None:
    perceptual = load_perceptual(saved)
    state = perceptual.vgg.state_dict()
    assert state.keys() == trunk.keys()
    assert all(torch.equal(state[name], trunk[name]) for name in trunk)
    assert read_vgg(saved).heads is None


def test_nvidias_file_by_its_tensors_alone(script, trunk, heads, monkeypatch) -> None:
    monkeypatch.setattr(torch.jit, "load", None)
    file = read_vgg(script)
    assert file.source == "NVIDIA"
    assert all(np.array_equal(file.trunk[name], trunk[name]) for name in trunk)
    assert file.heads is not None
    assert all(map(np.array_equal, file.heads, heads))
    assert "head4" in dict(load_perceptual(script).named_buffers())


def test_the_heads_of_the_package(saved, heads, reference, tmp_path, monkeypatch) -> None:
    assert find_heads() is None
    path = tmp_path / "site" / "lpips" / "weights" / "v0.1" / "vgg.pth"
    path.parent.mkdir(parents=True)
    (tmp_path / "site" / "lpips" / "__init__.py").write_text("raise SystemExit")
    names = [f"lin{stage}.model.1.weight" for stage in range(5)]
    torch.save({name: reference[f"param.{name}"] for name in names}, path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_heads() == path
    assert "not what was published" in refusal(read_heads, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(vgg.PUBLISHED, "lpips/weights/v0.1/vgg.pth", digest)
    assert all(map(np.array_equal, read_heads(path), heads))
    assert "head0" in dict(load_perceptual(saved).named_buffers())


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"lin4.model.1.weight": torch.ones(1, 64, 1, 1)}, "not of 512 channels"),
        ({"lin4.model.1.weight": -torch.ones(1, 512, 1, 1)}, "below 0"),
        ({"lin4.model.1.weight": "text"}, "no tensor lin4.model.1.weight"),
        ({"lin4.model.1.weight": torch.full((1, 512, 1, 1), torch.nan)}, "NaN"),
    ],
)
def test_heads_that_are_none(spoilt, said, reference, tmp_path) -> None:
    names = [f"lin{stage}.model.1.weight" for stage in range(5)]
    torch.save({name: reference[f"param.{name}"] for name in names} | spoilt, tmp_path / "h.pth")
    assert said in refusal(read_heads, tmp_path / "h.pth")


def test_a_file_that_is_not_what_its_name_says_is_not_even_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(vgg.containers, "read", None)
    for name in ("vgg16-397923af.pth", "vgg16-0123abcd.pth", "vgg16.pt", "0123_vgg16.pt"):
        torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / name)
        message = refusal(read_vgg, tmp_path / name)
        assert "its SHA-256 begins with" in message
    assert f"not {vgg.PUBLISHED['vgg16.pt'][:8]}" in message


def test_the_hash_of_torchvisions_file_begins_as_its_name() -> None:
    assert vgg.published(Path("vgg16-397923af.pth")).startswith("397923af")
    assert all(len(digest) == 64 for digest in vgg.PUBLISHED.values())
    assert vgg.published(Path("my-weights-20240101.pth")) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda state: state.pop("features.28.bias"), "missing features.28.bias"),
        (lambda state: state.update({"features.31.bias": torch.ones(1)}), "unexpected features.31"),
        (lambda state: state.update({"features.0.bias": torch.ones(63)}), "wrong shape: features"),
        (lambda state: state.update({"features.0.bias": torch.full((64,), torch.inf)}), "infinite"),
        (lambda state: state.update({"features.0.bias": torch.ones(64).int()}), "not real numbers"),
        (lambda state: state.update({"features.0.bias": "text"}), "no tensor features.0.bias"),
        (lambda state: state.clear(), "is not VGG16: missing features.0.weight"),
    ],
)
def test_what_is_wrong_with_a_trunk_is_named(spoil, said, trunk, tmp_path) -> None:
    state = {name: value.half() for name, value in trunk.items()}
    spoil(state)
    torch.save(state, tmp_path / "vgg.pth")
    assert said in refusal(read_vgg, tmp_path / "vgg.pth")


def test_old_files_of_half_precision_are_read_too(trunk, tmp_path) -> None:
    state = {name: value.half() for name, value in trunk.items()}
    # torchvision's file is older than the zip.
    torch.save(state, tmp_path / "vgg.pth", _use_new_zipfile_serialization=False)
    read = read_vgg(tmp_path / "vgg.pth").trunk["features.28.weight"]
    assert read.dtype == np.float32
    assert np.array_equal(read, trunk["features.28.weight"].half().float())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_other_programs_are_not_vgg16(tmp_path) -> None:
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / "linear.pt"))
    assert "has no tensor layers.conv1.weight" in refusal(read_vgg, tmp_path / "linear.pt")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file; accepted: VGG16 as torchvision's vgg16-397923af.pth"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"\x00" * 64, "no kind of weights; accepted: VGG16"),
        (pickle.dumps({"features.0.weight": 1}), "no tensor features.0.weight"),
        (pickle.dumps(["features"]), "is not VGG16"),
    ],
)
def test_what_else_a_file_may_be(data, said, tmp_path) -> None:
    (tmp_path / "vgg.pth").write_bytes(data)
    assert said in refusal(read_vgg, tmp_path / "vgg.pth")
    assert "No such file" in refusal(read_vgg, tmp_path / "none.pth")


# Files made to harm


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def program(*opcodes: bytes) -> bytes:
    return b"\x80\x02" + b"".join(opcodes) + b"."


NEW_MODULE = b"c__torch__\nVGG16\n)\x81"


def scripted(data_pkl: bytes, compressed: str = "", extra: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        members = {
            "v/data.pkl": data_pkl,
            "v/constants.pkl": program(b")"),
            "v/code/__torch__.py": b"import os\nraise SystemExit\n",
            "v/data/0": extra,
        }
        for name, data in members.items():
            kind = zipfile.ZIP_DEFLATED if name == compressed else zipfile.ZIP_STORED
            archive.writestr(name, data, kind)
    return stream.getvalue()


def deep(depth: int) -> bytes:
    """A module in a module in a module."""
    step = b"}" + text("layers")
    return (NEW_MODULE + step) * depth + b"N" + b"sb" * depth


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (scripted(program(b"cposix\nsystem\n", text("touch canary"), b"\x85R")), "posix.system"),
        (scripted(program(b"cos\n__torch__.system\n)R")), "os.__torch__.system"),
        (scripted(program(b"c__torch__evil\nos\n)R")), "__torch__evil.os"),
        (scripted(program(b"ctorch.jit._pickle\nos\n)R")), "_pickle.os, which is not on the list"),
        (scripted(program(b"c__torch__\nVGG16\nK\1\x85R")), "from something else than its state"),
        (scripted(program(b"ctorch.jit._pickle\nbuild_intlist\n)R")), "wrong arguments"),
        (scripted(program(NEW_MODULE, b"Nb")), "without its state"),
        (scripted(program(NEW_MODULE)), "no tensor layers.conv1.weight"),
        (scripted(program(NEW_MODULE, b"q\0}", text("layers"), b"h\0sb")), "layers.conv1.weight"),
        (scripted(program(deep(20_000))), "no tensor layers.conv1.weight"),
        (scripted(program(NEW_MODULE), "v/data/0", bytes(1 << 20)), "compressed zip"),
        (scripted(program(NEW_MODULE), "v/data.pkl"), "compressed zip"),
        (scripted(program(NEW_MODULE))[:-9], "damaged zip"),
        (program(NEW_MODULE), "__torch__.VGG16, which is not on the list"),
    ],
)
def test_programs_are_never_run(data, said, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgg.pt").write_bytes(data)
    assert said in refusal(read_vgg, tmp_path / "vgg.pt")
    assert not (tmp_path / "canary").exists()


def test_a_program_compressed_beside_the_tensors_is_no_matter() -> None:
    data = scripted(program(NEW_MODULE), "v/code/__torch__.py")
    assert parse(data, vgg._VGG).container == "torch zip"


def test_networks_and_latents_are_still_no_programs(script) -> None:
    assert "TorchScript, a program" in refusal(read_network, script)


def old_file(tree: bytes, keys: tuple[str, ...] = ("0",)) -> bytes:
    """A legacy file of one storage of four numbers, or none."""
    system = pickle.dumps({"little_endian": True}, protocol=2)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    numbers = struct.pack("<q4f", 4, *range(4))
    version = pickle.dumps(1001, protocol=2)
    return magic + version + system + tree + pickle.dumps([*keys], protocol=2) + numbers


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\4NtQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor\n(" + STORAGE + b"K\0K\2K\2\x86K\2K\1\x86tR"
ORDERED = b"ccollections\nOrderedDict\n"


def test_files_of_the_first_torch_on_python_2_are_read() -> None:
    """Tensors without the 2, dictionaries from lists of pairs, as torchvision's may have them."""
    pair = b"]" + text("weight") + b"a" + TENSOR + b"a"
    tree = parse(old_file(program(ORDERED, b"]" + pair + b"a\x85R"))).tree
    assert isinstance(tree, dict)
    assert isinstance(tree["weight"], Tensor)
    assert tree["weight"].array().tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("items", [b"]K\1a", b"](K\1K\2K\3ta", b"]](]K\2ea"])
def test_dictionaries_are_made_from_pairs_of_plain_keys(items) -> None:
    with pytest.raises(UnreadableError, match=r"than pairs|as the key"):
        parse(old_file(program(ORDERED, items, b"\x85R")))


def test_one_list_does_not_become_dictionaries_without_end() -> None:
    pairs = b"](K\1K\2\x86K\3K\4\x86eq\0"
    made = ORDERED + b"h\0\x85R"
    tree = parse(old_file(program(pairs, b"0(", made, made, b"t"), keys=())).tree
    assert tree == ({1: 2, 3: 4}, {})


# Where they are, and how they get there


def test_where_they_are_found(home, monkeypatch) -> None:
    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path

    for named in (None, home / "vgg.pth"):
        with pytest.raises(UserError, match=f"{named or 'VGG16'}: there are no such") as caught:
            load_perceptual(named)
        message = str(caught.value)
        assert message.isprintable()
        assert all(way in message for way in (vgg.URL, "--fetch-vgg", "--loss mse"))
    address = hashlib.md5(vgg_places._NVIDIAS.encode()).hexdigest()
    nvidias = put(home / f".cache/dnnlib/downloads/{address}_vgg16.pt")
    assert find_vgg() == nvidias
    assert vgg.published(nvidias) == vgg.PUBLISHED["vgg16.pt"]
    ours = put(home / ".cache/torch/hub/checkpoints/vgg16.pt")
    assert find_vgg() == ours
    first = put(home / ".cache/torch/hub/checkpoints/vgg16-397923af.pth")
    assert find_vgg() == first
    for name, folder in (("XDG_CACHE_HOME", "xdg"), ("TORCH_HOME", "xdg/torch")):
        monkeypatch.setenv(name, str(home / folder))
        assert checkpoints() == home / "xdg" / "torch" / "hub" / "checkpoints"
    assert find_vgg() == nvidias
    there = put(checkpoints() / "vgg16-397923af.pth")
    assert find_vgg() == there


class Server(http.server.BaseHTTPRequestHandler):
    """Sends `body`, of which it promises `promised` bytes."""

    body = b"weights" * 400_000
    promised: int | None = len(body)
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.promised is not None:
            self.send_header("Content-Length", str(self.promised))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked has gone
            self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


DIGEST = hashlib.sha256(Server.body).hexdigest()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a server; gives the address of VGG16's weights there."""
    servers = []

    def start(**facts: object) -> str:
        handler = type("Told", (Server,), facts)
        server = http.server.HTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/vgg16-397923af.pth"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_fetched_whole_with_its_progress_and_only_once(serve, home) -> None:
    heard: list[tuple[int, int | None]] = []
    path = fetch(lambda *told: heard.append(told), serve(), DIGEST)
    assert path == home / ".cache/torch/hub/checkpoints/vgg16-397923af.pth"
    assert path.read_bytes() == Server.body
    assert path.stat().st_mode & 0o777 == 0o644
    assert [done for done, _ in heard] == [1 << 20, 2 << 20, 2_800_000]
    assert {total for _, total in heard} == {2_800_000}
    assert fetch(pytest.fail, "http://127.0.0.1:1/vgg16-397923af.pth", DIGEST) == path


def leaves_nothing(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"body": b"<html>"}, "are not what was published"),
        ({"body": Server.body[:1_500_000], "promised": len(Server.body)}, "the 1500000 bytes"),
        ({"status": 404}, "cannot be fetched"),
        ({"body": b"", "promised": None}, "the 0 bytes that came"),
        ({"body": b"not a number", "promised": "many"}, "are not what was published"),
    ],
)
def test_what_does_not_come_whole_leaves_nothing(serve, home, facts, said) -> None:
    promised = {"promised": len(facts["body"])} if "body" in facts else {}
    with pytest.raises(UserError, match=said) as caught:
        fetch(lambda *told: None, serve(**promised | facts), DIGEST)
    assert str(caught.value).isprintable()
    assert leaves_nothing(home)


def test_a_server_that_never_ends_is_left(serve, home, monkeypatch) -> None:
    monkeypatch.setattr(vgg_places, "_MOST", 1 << 20)
    with pytest.raises(UserError, match="sends more than"):
        fetch(lambda *told: None, serve(promised=None), DIGEST)
    assert leaves_nothing(home)


def test_interrupted_nothing_is_left(serve, home) -> None:
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(interrupt, serve(), DIGEST)
    assert leaves_nothing(home)


def test_a_spoilt_file_is_fetched_again_and_stays_till_then(serve, home) -> None:
    path = checkpoints() / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    with pytest.raises(UserError):
        fetch(lambda *told: None, serve(status=500), DIGEST)
    assert path.read_bytes() == b"half of it"
    assert fetch(lambda *told: None, serve(), DIGEST).read_bytes() == Server.body


def test_without_a_network_or_a_place_it_is_one_line(home, monkeypatch) -> None:
    url = "http://127.0.0.1:1/vgg16-397923af.pth"
    with pytest.raises(UserError, match=r"cannot be fetched \(.*refused.*\)"):
        fetch(pytest.fail, url, DIGEST)
    (home / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(home / "file"))
    with pytest.raises(UserError, match="cannot be made"):
        fetch(pytest.fail, url, DIGEST)


def test_looking_and_reading_never_ask_the_network(saved, monkeypatch) -> None:
    monkeypatch.setattr(vgg_places.urllib.request, "urlopen", None)
    with pytest.raises(UserError):
        find_vgg()
    read_vgg(saved)
