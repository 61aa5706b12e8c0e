"""pSp's and e4e's encoders against numbers of the published code, and which files are refused."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.networks.encoder import Encoder, EncoderConfig
from engine.weights import read_network
from engine.weights.encoders import build_encoder, load_encoder
from engine.weights.inert import Array

DATA = Path(__file__).parent / "data" / "parity"

# As narrow as a gate allows: the published encoders are 490 MB and more.
NARROW = EncoderConfig("psp", num_ws=8, w_dim=24, channels=(16, 16, 32, 32))

Checkpoint = dict[str, Any]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on two busy cores wait for each other far longer than one works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# The published networks


# One head a level: the other five are the same code on the same features, and would be 70 million
# more numbers to draw, four seconds.
HEADS = (0, 3, 7)


def _seeded(recipe: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Parameters from a recipe, other heads than those above as zeros."""
    kept = tuple(f"styles.{head}." for head in HEADS)

    def draw(key: str) -> np.ndarray:
        shape, mean, std = recipe[key]
        if key.startswith("styles.") and not key.startswith(kept):
            return np.zeros(shape, np.float32)
        random = np.random.RandomState((zlib.crc32(key.encode()) ^ seed * 2654435761) & 0xFFFFFFFF)
        values: np.ndarray = random.standard_normal(shape).astype(np.float32)
        return np.float32(mean) + np.float32(std) * values

    with ThreadPoolExecutor(2) as pool:  # numpy draws without Python's lock
        return dict(zip(recipe, pool.map(draw, recipe), strict=True))


@pytest.mark.parametrize(
    ("case", "kind"), [("seeded_psp_gradual_encoder_s32", "psp"), ("seeded_e4e_encoder_s32", "e4e")]
)
def test_equals_the_published_encoders(case: str, kind: str) -> None:
    path = DATA / f"{case}.safetensors"
    with safe_open(path, "np") as file:
        facts = json.loads(file.metadata()["parity"])
    numbers = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
    weights = _seeded(facts["recipe"]["fill"], facts["seed"])
    mean = torch.from_numpy(np.random.RandomState(0).randn(8, 512)).float()
    encoder = build_encoder(
        {
            "state_dict": {f"encoder.{name}": Array(array) for name, array in weights.items()},
            "opts": {"encoder_type": facts["kwargs"]["encoder"], "stylegan_size": 32},
            "latent_avg": Array(mean.numpy()),
        }
    )
    assert encoder.config == EncoderConfig(kind, num_ws=8)
    with torch.inference_mode():
        codes = encoder.encode(numbers["in.x"]) - mean
    assert codes.shape == numbers["out.codes"].shape == (1, 8, 512)
    difference = (codes - numbers["out.codes"])[:, HEADS].abs().max()
    assert float(difference) <= 1e-4  # here it is 1.5e-6, on numbers up to 0.8


# Files


def _narrow(config: EncoderConfig = NARROW) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(config).eval().requires_grad_(False)
    for name, tensor in encoder.state_dict().items():
        if not name.endswith("running_var"):
            fan_in = tensor[0].numel() if tensor.ndim == 4 else 1
            torch.nn.init.normal_(tensor, std=fan_in**-0.5)
    return encoder


def _checkpoint(encoder: Encoder) -> Checkpoint:
    """As pSp saves it, with the counters of the normalisations and the generator beside."""
    state = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    mean = state.pop("encoder.latent_avg")
    for name in [name for name in state if name.endswith("running_mean")]:
        state[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(7)
    state["decoder.input.input"] = torch.zeros(1, 4, 4, 4)
    options = {"encoder_type": "GradualStyleEncoder", "output_size": 32, "device": "cuda:0"}
    return {"state_dict": state, "opts": options, "latent_avg": mean}


@pytest.fixture(scope="module")
def narrow() -> Encoder:
    return _narrow()


@pytest.fixture
def checkpoint(narrow: Encoder) -> Checkpoint:
    return _checkpoint(narrow)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1


def saved(content: object, folder: Path) -> Path:
    path = folder / "encoder.pt"
    torch.save(content, path)
    return path


def refusal(path: Path, network: StyleGAN2Config | None = None) -> str:
    """What is said of a file that is refused: one line that begins with its name."""
    with pytest.raises(UserError) as caught:
        load_encoder(path, network)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_file_is_the_encoder_that_was_saved(
    narrow: Encoder, checkpoint: Checkpoint, pictures: torch.Tensor, tmp_path: Path
) -> None:
    encoder = load_encoder(saved(checkpoint, tmp_path))
    assert (encoder.config, encoder.num_ws, encoder.w_dim) == (NARROW, 8, 24)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert torch.equal(encoder.encode(pictures), narrow.encode(pictures))


def test_the_mean_is_added(narrow: Encoder, pictures: torch.Tensor) -> None:
    ws = narrow.encode(pictures)
    assert ws.shape == (2, 8, 24)
    torch.testing.assert_close(ws - narrow.latent_avg, narrow.codes(pictures))
    assert float(narrow.latent_avg.abs().max()) > 0.1


def test_e4e_adds_its_deltas_to_the_first_w(
    checkpoint: Checkpoint, narrow: Encoder, pictures: torch.Tensor, tmp_path: Path
) -> None:
    checkpoint["opts"] = {"encoder_type": "Encoder4Editing", "stylegan_size": 32}
    encoder = load_encoder(saved(checkpoint, tmp_path))
    assert encoder.config.kind == "e4e"
    alone, added = narrow.codes(pictures), encoder.codes(pictures)
    torch.testing.assert_close(added[:, 0], alone[:, 0])
    torch.testing.assert_close(added[:, 1:], alone[:, :1] + alone[:, 1:])


def test_a_batch_is_its_pictures(narrow: Encoder, pictures: torch.Tensor) -> None:
    alone = torch.cat([narrow.encode(picture[None]) for picture in pictures])
    torch.testing.assert_close(narrow.encode(pictures), alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 256, 256), (1, 3, 128, 128), (1, 1, 256, 256)])
def test_pictures_of_another_shape_are_a_mistake(narrow: Encoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="are needed, not"):
        narrow.encode(torch.zeros(shape))


def _mean_of(rows: object) -> Callable[[Checkpoint], object]:
    return lambda content: content.update(latent_avg=rows)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: None, "as saved"),
        (lambda content: content.update(latent_avg=content["latent_avg"][0]), "first"),
        (lambda content: content["opts"].update(start_from_latent_avg=False), "zero"),
        (lambda content: content["opts"].pop("output_size"), "as saved"),  # pSp's first files
    ],
)
def test_means_as_files_hold_them(
    change: Callable[[Checkpoint], object],
    expected: str,
    narrow: Encoder,
    checkpoint: Checkpoint,
    tmp_path: Path,
) -> None:
    change(checkpoint)
    mean = load_encoder(saved(checkpoint, tmp_path)).latent_avg
    rows = {
        "as saved": narrow.latent_avg,
        "first": narrow.latent_avg[:1].expand(8, -1),
        "zero": torch.zeros(8, 24),
    }
    assert torch.equal(mean, rows[expected])


def _put(name: str, value: object) -> Callable[[Checkpoint], object]:
    return lambda content: content["state_dict"].update({name: value})


def _drop(name: str) -> Callable[[Checkpoint], object]:
    return lambda content: content["state_dict"].pop(name)


def _option(name: str, value: object) -> Callable[[Checkpoint], object]:
    return lambda content: content["opts"].update({name: value})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_drop("encoder.body.5.res_layer.2.weight"), "missing body.5.res_layer.2.weight"),
        (_drop("encoder.body.7.res_layer.1.weight"), "missing body.7.res_layer.1.weight"),
        (_drop("encoder.input_layer.0.weight"), "missing input_layer.0.weight"),
        (_put("encoder.styles.3.convs.20.bias", torch.zeros(24)), "unexpected encoder.styles.3."),
        (_put("discriminator.weight", torch.zeros(2)), "unexpected discriminator.weight"),
        (_put("latlayer1.bias", torch.zeros(32)), "unexpected latlayer1.bias"),
        (_put("encoder.latlayer3.num_batches_tracked", torch.zeros(())), "unexpected encoder.latl"),
        (
            _put("encoder.latlayer1.bias", torch.zeros(9)),
            "of the wrong shape: encoder.latlayer1.bias (9,) instead of (32,)",
        ),
        (_put("encoder.latlayer1.bias", torch.full((32,), torch.nan)), "NaN or infinite"),
        (_put("encoder.latlayer1.bias", torch.zeros(32, dtype=torch.int32)), "not real numbers"),
        (_put("encoder.latlayer1.bias", "zero"), "encoder.latlayer1.bias in its state_dict is not"),
        (_put("encoder.input_layer.0.weight", torch.zeros(16, 19, 3, 3)), "of 19 channels, where"),
        (_put("encoder.input_layer.0.weight", torch.zeros(16)), "of the wrong shape"),
        (_put("encoder.body.0.res_layer.1.weight", torch.zeros(8, 8, 3, 3)), "a stage of 8 chan"),
        (_put("encoder.styles.9.linear.bias", torch.zeros(24)), "says it is for 32 x 32 pixels"),
        (_put("encoder.styles.8.linear.bias", torch.zeros(24)), "an encoder of 9 w"),
        (_put("encoder.styles.99.linear.bias", torch.zeros(24)), "an encoder of 100 w"),
        (_option("output_size", 1024), "1024 x 1024 pixels, but its 8 w are for 32 x 32"),
        (_option("encoder_type", "BackboneEncoder"), "of the type BackboneEncoder; read are Grad"),
        (_option("encoder_type", ["psp"]), "of the type a list"),
        (_mean_of(torch.zeros(18, 24)), "latent_avg (18, 24) instead of (8, 24)"),
        (_mean_of(None), "missing latent_avg"),
        (lambda content: content.pop("opts"), "which encoder it is"),
        (lambda content: content.pop("state_dict"), "holds no encoder; expected pSp's or e4e's"),
    ],
)
def test_every_tensor_is_accounted_for(
    spoil: Callable[[Checkpoint], object], said: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    spoil(checkpoint)
    assert said in refusal(saved(checkpoint, tmp_path))


def test_an_encoder_for_another_network_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = saved(checkpoint, tmp_path)
    fits = StyleGAN2Config(z_dim=8, channels=(8, 8, 8, 8), mapping=(24,))
    assert load_encoder(path, fits).num_ws == fits.num_ws
    larger = StyleGAN2Config(z_dim=8, channels=(8,) * 9, mapping=(512,))
    assert refusal(path, larger).endswith(
        "is an encoder for 32 x 32 pixels (8 w of 24), "
        "but the network is of 1024 x 1024 (18 w of 512)"
    )
    wider = StyleGAN2Config(z_dim=8, channels=(8, 8, 8, 8), mapping=(512,))
    assert "(8 w of 24), but the network is of 32 x 32 (8 w of 512)" in refusal(path, wider)


def test_files_that_hold_no_encoder(tmp_path: Path) -> None:
    assert "holds no encoder" in refusal(DATA / "rosinality_r32_legacyzip.pt")
    assert "holds no encoder" in refusal(saved(torch.zeros(8, 24), tmp_path))
    assert "missing body.0.res_layer.1.weight" in refusal(DATA / "psp_r32.pt")  # only its generator
    generator = {"state_dict": {"decoder.input.input": torch.zeros(1)}, "opts": {}}
    assert "holds no encoder in its state_dict" in refusal(saved(generator, tmp_path))
    assert "cannot be read" in refusal(tmp_path / "missing.pt")


def test_the_generator_beside_an_encoder_is_of_its_size() -> None:
    """What the command asks: the file's own generator, and an encoder of as many w."""
    config = read_network(DATA / "psp_r32.pt").config
    assert config.num_ws == EncoderConfig("psp", 8).num_ws
    assert config.resolution == EncoderConfig("psp", 8).resolution == 32
    assert EncoderConfig("psp", 18).resolution == 1024


class _Program:
    """What a pickle of bad intent looks like."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("executed",))


def test_nothing_is_executed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint["opts"]["exp_dir"] = _Program()
    refusal(saved(checkpoint, tmp_path))
