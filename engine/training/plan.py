"""From what was asked to what a training is: the published rules where nothing was said."""

from __future__ import annotations

import dataclasses

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.training.options import Options
from engine.training.settings import CLAMP, Settings, published_batch, published_gamma

LATENT = 512
RESOLUTION = 256
FLOWERS_MIXING = 0.5
FLOWERS_PAIRS = 300.0  # kimg, where no end was named whose half it could be

_LARGEST = 1024
_FULL_WIDTH = 32768  # channels x resolution from 512 x 512 on; half of it below


def resolution(options: Options, network: StyleGAN2Config | None) -> int:
    """Pixels a side. Raises UserError for what no network has, or the one begun from has not."""
    if network is not None:
        side = network.resolution
        if options.resolution not in (None, side):
            raise UserError(
                f"--from {options.start}: its pictures are {side}x{side}, not --resolution "
                f"{options.resolution}; a network keeps its resolution: leave the option out"
            )
        if network.img_channels != 3:
            raise UserError(f"--from {options.start}: is a network of grey pictures")
    else:
        side = RESOLUTION if options.resolution is None else options.resolution
    if not 8 <= side <= _LARGEST or side & (side - 1):
        raise UserError(f"--resolution {side}: a power of two from 8 to {_LARGEST}")
    return side


def plan(options: Options, network: StyleGAN2Config | None, frozen: bool, half: bool) -> Settings:
    """All numbers of a training.

    network: the one it goes on from. frozen: whether its discriminator is a new one. half: whether
    the device is quicker in float16. Raises UserError.
    """
    side = resolution(options, network)
    channels = _channels(options, side)
    generator = network or StyleGAN2Config(LATENT, channels, (LATENT,) * options.mapping)
    if half and generator.conv_clamp is None:
        generator = dataclasses.replace(generator, conv_clamp=CLAMP)
    batch = options.batch or published_batch(side)
    flowers = options.draws_flowers
    pairs = 0.0
    if flowers and network is None:
        pairs = FLOWERS_PAIRS if options.kimg is None else options.kimg / 2
        pairs = pairs if options.pairs is None else options.pairs
    mixing = FLOWERS_MIXING if flowers else 0.9
    return Settings(
        generator=generator,
        discriminator=channels if network is None else network.channels,
        batch=batch,
        gamma=published_gamma(side, batch) if options.gamma is None else options.gamma,
        seed=options.seed,
        rate=options.rate,
        mixing=mixing if options.mixing is None else options.mixing,
        noise=options.noise,
        augment=not flowers if options.augment is None else options.augment,
        freeze_kimg=options.freeze if frozen else 0.0,
        pairs=float(pairs > 0),
        pairs_kimg=pairs,
        half=half,
    )


def _channels(options: Options, side: int) -> tuple[int, ...]:
    """Of the blocks 4, 8, ... side."""
    base = options.channel_base
    if base is None:
        base = _FULL_WIDTH if side >= 512 else _FULL_WIDTH // 2
    if base < side:
        raise UserError(f"--channel-base {base}: less than one channel at {side}x{side}")
    sides = [4 << octave for octave in range(side.bit_length() - 2)]
    return tuple(min(base // each, options.channel_max) for each in sides)
