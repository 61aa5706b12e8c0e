"""pSp's and e4e's encoders from their published checkpoints, every tensor accounted for.

A checkpoint is torch.save's dictionary: `state_dict`, whose names begin with `encoder.` or with
`decoder.` (the generator: that is `read_network`'s), the training's options `opts`, and
`latent_avg`, the mean w of every layer, which the encoder's output is relative to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.weights import containers
from engine.weights.found import Weight, mismatches, to_float32
from engine.weights.inert import Leaf, UnreadableError, shown

if TYPE_CHECKING:
    import torch

    from engine.networks.encoder import Encoder, EncoderConfig, Kind

_EXPECTED = "expected pSp's or e4e's .pt with its state_dict, opts and latent_avg"
_KINDS: Mapping[str, Kind] = {"GradualStyleEncoder": "psp", "Encoder4Editing": "e4e"}
_MAX_WS = 22  # of a generator of 4096 x 4096
_MAX_CHANNELS = 8192
_COUNTER = re.compile(r"(.+\.)num_batches_tracked")


def load_encoder(
    path: Path | str,
    network: StyleGAN2Config | None = None,
    device: str | torch.device = "cpu",
) -> Encoder:
    """A checkpoint's encoder, float32, eval, its gradients off. Nothing in the file is executed.

    network: the generator whose W+ it shall find, which then must be of the encoder's size.
    Raises UserError that names the file: no encoder, one of another kind or for another generator,
    or what is missing, unexpected, of the wrong shape, not finite.
    """
    path = Path(path)
    tree = containers.read(path).tree
    try:
        return build_encoder(tree, network).to(device)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def build_encoder(tree: object, network: StyleGAN2Config | None = None) -> Encoder:
    """As `load_encoder`, from what was read. Raises UnreadableError."""
    # Torch takes a second to import and 200 MB, and `inspect` reads other files of this package.
    import torch

    from engine.networks.encoder import Encoder

    weights, options, latent_avg = _parts(tree)
    config = _infer(weights, options)
    _check_size(config, options, network)
    # On no device: a gigabyte that the file's numbers replace need not be made first.
    with torch.device("meta"):
        encoder = Encoder(config).eval().requires_grad_(False)
    expected = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    del expected["latent_avg"]
    if wrong := mismatches(expected, _without_counters(weights)):
        raise UnreadableError(f"encoder: {'; '.join(wrong)}")
    tensors = {name: torch.from_numpy(to_float32(weights[name]).copy()) for name in expected}
    tensors["latent_avg"] = torch.from_numpy(_mean(latent_avg, options, config))
    encoder.load_state_dict(tensors, assign=True)
    return encoder


def _parts(tree: object) -> tuple[dict[str, Weight], dict[Any, Any], object]:
    """The encoder's tensors by name, the options, and the mean latent if there is one."""
    state = tree.get("state_dict") if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(state, dict):
        raise UnreadableError(f"holds no encoder; {_EXPECTED}")
    names = {str(name): leaf for name, leaf in state.items()}
    if not any(name.startswith("encoder.") for name in names):
        raise UnreadableError(f"holds no encoder in its state_dict; {_EXPECTED}")
    weights: dict[str, Weight] = {}
    for name, leaf in names.items():
        if not isinstance(leaf, Leaf):
            raise UnreadableError(f"{shown(name)} in its state_dict is not a tensor")
        if name.startswith("encoder."):
            weights[name.removeprefix("encoder.")] = Weight(leaf.array(), name)
        elif not name.startswith("decoder."):
            raise UnreadableError(f"encoder: unexpected {shown(name)}")
    options = tree.get("opts")
    if not isinstance(options, dict):
        raise UnreadableError(f"does not say in opts which encoder it is; {_EXPECTED}")
    return weights, options, tree.get("latent_avg")


def _infer(weights: Mapping[str, Weight], options: Mapping[Any, Any]) -> EncoderConfig:
    """The dimensions, from the shapes of the tensors that decide them."""
    from engine.networks.encoder import SQUEEZE, UNITS, EncoderConfig

    kind = options.get("encoder_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UnreadableError(
            f"is an encoder of the type {shown(kind)}; read are {' and '.join(_KINDS)}"
        )

    def shape(name: str) -> tuple[int, ...]:
        weight = weights.get(name)
        if weight is None:
            raise UnreadableError(f"encoder: missing {name}")
        if weight.array.ndim != 4 or not all(0 < n <= _MAX_CHANNELS for n in weight.array.shape):
            raise UnreadableError(
                f"encoder: of the wrong shape: {shown(weight.source)} {shown(weight.array.shape)}"
            )
        return weight.array.shape

    inputs = shape("input_layer.0.weight")[1]
    if inputs != 3:
        raise UnreadableError(f"is an encoder of {inputs} channels, where a photo has 3")
    first = [sum(UNITS[:stage]) for stage in range(4)]
    stages = [shape(f"body.{unit}.res_layer.1.weight")[0] for unit in first]
    if min(stages) < SQUEEZE:
        raise UnreadableError(f"encoder: a stage of {min(stages)} channels")
    heads = [re.match(r"styles\.(\d{1,3})\.", name) for name in weights]
    num_ws = max((int(match[1]) + 1 for match in heads if match), default=0)
    if num_ws % 2 or not 2 <= num_ws <= _MAX_WS:
        raise UnreadableError(f"is an encoder of {num_ws} w, which no StyleGAN2 takes")
    w_dim = shape("styles.0.convs.0.weight")[0]
    return EncoderConfig(_KINDS[kind], num_ws, w_dim, (stages[0], stages[1], stages[2], stages[3]))


def _check_size(
    config: EncoderConfig, options: Mapping[Any, Any], network: StyleGAN2Config | None
) -> None:
    """The heads against what the file says of itself, and against the generator."""
    # e4e and pSp call it differently; the first files of pSp did not say.
    size = options.get("stylegan_size", options.get("output_size"))
    if size is not None and size != config.resolution:
        raise UnreadableError(
            f"says it is for {shown(size)} x {shown(size)} pixels, but its {config.num_ws} w are "
            f"for {config.resolution} x {config.resolution}"
        )
    if network is None:
        return
    own, asked = (config.num_ws, config.w_dim), (network.num_ws, network.w_dim)
    if own != asked:
        raise UnreadableError(
            f"is an encoder for {config.resolution} x {config.resolution} pixels ({own[0]} w of "
            f"{own[1]}), but the network is of {network.resolution} x {network.resolution} "
            f"({asked[0]} w of {asked[1]})"
        )


def _without_counters(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """All but the batches that normalisations counted in training, where they have their place."""

    def counts(name: str) -> bool:
        match = _COUNTER.fullmatch(name)
        return (
            match is not None
            and f"{match[1]}running_mean" in weights
            and weights[name].array.size == 1
        )

    return {name: weight for name, weight in weights.items() if not counts(name)}


def _mean(value: object, options: Mapping[Any, Any], config: EncoderConfig) -> NDArray[np.float32]:
    """[L, w_dim]; a file may hold one w for all; zero for an encoder trained without a mean."""
    shape = (config.num_ws, config.w_dim)
    if not options.get("start_from_latent_avg", True):
        return np.zeros(shape, np.float32)
    if not isinstance(value, Leaf):
        raise UnreadableError("encoder: missing latent_avg")
    mean = to_float32(Weight(value.array(), "latent_avg"))
    if mean.shape not in (shape, (1, config.w_dim), (config.w_dim,)):
        raise UnreadableError(
            f"encoder: of the wrong shape: latent_avg {shown(mean.shape)} instead of {shape}"
        )
    return np.broadcast_to(mean, shape).copy()
