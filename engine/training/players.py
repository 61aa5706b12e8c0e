"""Both networks as a training begins them: fresh ones, or those of another, grown if asked."""

from __future__ import annotations

from dataclasses import replace

from engine.errors import UserError
from engine.networks.discriminator import Discriminator
from engine.networks.stylegan2 import StyleGAN2
from engine.training.ancestors import Ancestor
from engine.training.beginning import new_discriminator, new_generator
from engine.training.growing import grow_discriminator, grow_generator
from engine.training.options import Options
from engine.training.plan import plan
from engine.training.settings import Precision, Settings


def players(
    options: Options, before: Ancestor | None, precision: Precision
) -> tuple[Settings, StyleGAN2, Discriminator]:
    """The numbers, a generator and a discriminator. Raises UserError."""
    settings = plan(options, None if before is None else before.network.config, precision)
    if before is None:
        return settings, new_generator(settings), new_discriminator(settings)
    critic = before.critic
    if critic is not None and not options.grow:
        settings = replace(settings, discriminator=critic.channels)
    generator, discriminator = new_generator(settings), new_discriminator(settings)
    if options.grow:
        try:
            grow_generator(before.network, generator)
        except ValueError as error:
            raise UserError(f"{options.start}: {error}") from error
    else:
        generator.load_state_dict(before.network.state_dict())
    if critic is not None and critic.channels == settings.discriminator:
        discriminator.load_state_dict(critic.tensors)
        settings = replace(settings, freeze_kimg=0.0)
    elif critic is not None:
        grow_discriminator(critic.tensors, discriminator)
    return settings, generator, discriminator
