"""Networks as Anthesis writes them: canonical names, and what tensors don't say as metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.weights import NetworkFile
from engine.weights.whole import whole


def save_network(file: NetworkFile, out: Path, dtype: type[np.float32 | np.float16]) -> None:
    """Write a network that was read. float32 keeps every bit; float16 halves the file.

    The file appears whole or not at all. Raises UserError if it cannot be written, or if a number
    is beyond float16's range.
    """
    tensors = {}
    for name, array in file.tensors.items():
        with np.errstate(over="ignore"):  # named below
            tensors[name] = np.ascontiguousarray(array, dtype).reshape(array.shape)
        if not np.isfinite(tensors[name]).all():
            raise UserError(
                f"{file.path}: {name} is too large for half precision; leave out --half"
            )
    with whole(out) as stream:
        stream.write(save(tensors, {**file.metadata, **dimensions(file.config)}))


def dimensions(config: StyleGAN2Config) -> dict[str, str]:
    """The network's dimensions as safetensors' metadata has them: text, JSON where not a word."""
    channels = zip(config.resolutions, config.channels, strict=True)
    facts = {
        "resolution": config.resolution,
        "channels": {str(resolution): count for resolution, count in channels},
        "img_channels": config.img_channels,
        "z_dim": config.z_dim,
        "w_dim": config.w_dim,
        "c_dim": config.num_classes,
        "mapping_layers": len(config.mapping),
        "mapping_lr_multiplier": config.mapping_lr_multiplier,
        "conv_clamp": config.conv_clamp,
        "resample_filter": [1, 3, 3, 1],
    }
    texts = {key: json.dumps(fact) for key, fact in facts.items()}
    return {"format": "stylegan2-ada", "architecture": config.architecture, **texts}
