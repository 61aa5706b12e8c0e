"""From what was asked to what a training is: the published rules where nothing was said."""

from __future__ import annotations

import dataclasses

from engine.errors import UserError
from engine.networks.config import StyleGAN2Config
from engine.training.options import Options
from engine.training.settings import (
    CLAMP,
    Precision,
    Settings,
    published_batch,
    published_gamma,
)

LATENT = 512
RESOLUTION = 256
FLOWERS_MIXING = 0.5
FLOWERS_PAIRS = 300.0  # kimg, where no end was named whose half it could be

WARM_KIMG = 1.0  # where a network is gone on from; nothing was published

_LARGEST = 1024
_FULL_WIDTH = 32768  # channels x resolution from 512 x 512 on; half of it below


def resolution(options: Options, network: StyleGAN2Config | None) -> int:
    """Pixels a side. Raises UserError for what no network has, or the one begun from has not."""
    if network is not None:
        side = network.resolution
        if options.grow and options.resolution is not None and options.resolution > side:
            side = options.resolution
        elif options.resolution not in (None, side):
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


def plan(options: Options, network: StyleGAN2Config | None, precision: Precision) -> Settings:
    """All numbers of a training.

    network: the one it goes on from, with a new discriminator. precision: of the highest
    resolutions. Raises UserError.
    """
    side = resolution(options, network)
    channels = channel_table(options.channel_base, options.channel_max, side)
    generator = network or StyleGAN2Config(LATENT, channels, (LATENT,) * options.mapping)
    if options.grow:
        generator = dataclasses.replace(generator, channels=channels)
    if precision == "float16" and generator.conv_clamp is None:
        generator = dataclasses.replace(generator, conv_clamp=CLAMP)
    critic = generator.channels
    if options.critic_base is not None or options.critic_max is not None:
        most = options.critic_max or options.channel_max
        critic = channel_table(options.critic_base or options.channel_base, most, side)
    batch = options.batch or published_batch(side)
    flowers = options.draws_flowers
    for name in ("pool", "pairs"):
        if not flowers and getattr(options, name) is not None:
            raise UserError(f"{name}: is for flowers only; leave it out to train on pictures")
    pairs = 0.0
    if flowers and (network is None or options.pairs is not None):
        pairs = FLOWERS_PAIRS if options.kimg is None else options.kimg / 2
        pairs = pairs if options.pairs is None else options.pairs
    mixing = FLOWERS_MIXING if flowers else 0.9
    fall = None
    if options.fall and options.kimg is not None:
        fall = options.fall * options.kimg, options.kimg
    return Settings(
        generator=generator,
        discriminator=critic,
        batch=batch,
        gamma=published_gamma(side, batch) if options.gamma is None else options.gamma,
        seed=options.seed,
        rate=options.rate,
        critic_rate=options.critic_rate,
        mixing=mixing if options.mixing is None else options.mixing,
        noise=options.noise,
        path=options.path,
        ema_kimg=options.average,
        augment=not flowers if options.augment is None else options.augment,
        freeze_kimg=0.0 if network is None else options.freeze,
        pairs=options.pairs_begin if pairs > 0 else 0.0,
        pairs_kimg=pairs,
        pairs_left=options.pairs_left,
        pairs_share=options.pairs_share,
        precision=precision,
        fall=fall,
        warm_kimg=0.0 if network is None else WARM_KIMG,
    )


def channel_table(base: int | None, most: int, side: int) -> tuple[int, ...]:
    """Channels of the blocks 4, 8, ... side. Raises UserError."""
    if base is None:
        base = _FULL_WIDTH if side >= 512 else _FULL_WIDTH // 2
    if base < side:
        raise UserError(f"a channel base of {base}: less than one channel at {side}x{side}")
    sides = [4 << octave for octave in range(side.bit_length() - 2)]
    return tuple(min(base // each, most) for each in sides)
