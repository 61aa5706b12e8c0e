"""How petals look: colours along and across them, relief, light."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.flowers import light
from engine.flowers.petals import Fragments
from engine.flowers.scene import Petals, Scene, Surface, pick
from engine.flowers.shapes import noise, smoothstep

HIGHLIGHT = (0.35, 0.343, 0.3325)  # red, green, blue


def shade(scene: Scene, flower: Tensor, at: Fragments) -> Tensor:
    """Light that fragments of `flower` [M] send to the eye: [3, M], linear."""
    petals, surface = pick(scene.petals, flower), pick(scene.surface, flower)
    u, v = at.u, at.v
    facing, shining = _facing(scene, flower, at)
    lit = ((facing + 0.32) / 1.32).clamp_(0, 1)
    lit = lit * lit * 0.35 + lit * 0.65
    colour = _colour(surface, at)
    colour.mul_(0.13 * at.stray + 0.07 * at.layer * petals.uprightness + 1)
    deep = colour * colour
    # What is in shade is deeper in colour, as its light has been through petals before.
    sent = torch.lerp(deep * 0.55 + colour * 0.12, colour, lit)
    sent.mul_(0.30 + 0.95 * lit).mul_(_colour_of(light.COLOUR, u))
    behind = (0.55 - 0.8 * facing).clamp_(0, 1).mul_(smoothstep(0.1, 0.9, u.clone()))
    sent.add_(deep.mul_(behind.mul_(surface.translucency * 0.55)))
    for _ in range(2):
        shining = shining * shining * shining
    sent.add_(shining.square_().mul_(surface.sheen) * _colour_of(HIGHLIGHT, u))
    crevice = smoothstep(0.0, 0.55, u.clone()).mul_(0.58).add_(0.42)
    crevice = crevice.sub_(1).mul_(light.OCCLUSION).add_(1)
    crevice.mul_(1 - 0.20 * light.OCCLUSION * smoothstep(0.75, 1.0, v.abs()) * (1 - u))
    crevice.mul_(1 + 0.10 * smoothstep(-0.35, -1.0, v.clone()) * u)
    return sent.mul_(crevice)


def _colour_of(rgb: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(rgb, device=like.device)[:, None]


def _facing(scene: Scene, flower: Tensor, at: Fragments) -> tuple[Tensor, Tensor]:
    """Cosines of the petal's normal to the light, -1..1, and to the highlight's, 0..1: [M] both."""
    pose = pick(scene.pose, flower)
    across, along = _slopes(pick(scene.petals, flower), pick(scene.surface, flower), at)
    scale = (along.square() + across.square()).add_(1.25**2).rsqrt_()
    along, across, up = along.mul_(-scale), across.mul_(-scale), scale * 1.25
    lean = pose.tilt.sin() * 0.6
    x = at.cosine * along - at.sine * across + pose.tilt_direction.cos() * lean
    y = at.sine * along + at.cosine * across + pose.tilt_direction.sin() * lean
    scale = (x.square() + y.square()).add_(up.square()).rsqrt_()
    light_x, light_y = light.across_the_picture(pick(scene.backdrop, flower).light)
    facing = (x * light_x + y * light_y + up * light.UP).mul_(scale)
    shining = (up * scale + facing).mul_(1 / math.sqrt(2 + 2 * light.UP)).clamp_(min=0)
    return facing, shining


def _slopes(petals: Petals, surface: Surface, at: Fragments) -> tuple[Tensor, Tensor]:
    """The relief's slope across and along the petal: [M] both."""
    u, v = at.u, at.v
    along = (petals.slope_change * u).add_(petals.slope)
    along.mul_(0.35 * petals.uprightness * at.layer + 1)
    ribs = (v * surface.vein_frequency).cos_().mul_(0.9 * surface.vein).mul_(1 - 0.5 * u)
    crease = (v * v).mul_(-50).exp_().mul_(v.sign()).mul_(0.3 * (1 - u))
    return (2 * petals.cup * v).add_(ribs).sub_(crease), along


def _colour(surface: Surface, at: Fragments) -> Tensor:
    """The petal's own colour: [3, M]."""
    u, v, number = at.u, at.v, at.number
    flow = noise(u * 3 + number * 7, v * 2 + number * 7)
    t = flow.sub_(0.5).mul_(0.10).add_(u).clamp_(0, 1)
    start = surface.tip_start
    part = smoothstep(0.02, (start * 0.6).clamp(min=0.1), t.clone())
    colour = torch.lerp(surface.base, surface.main, part)
    colour = torch.lerp(colour, surface.tip, smoothstep(start * 0.7, 1.05, t))
    rim = torch.maximum(v.abs(), smoothstep(0.7, 1.0, u.clone()))
    colour = torch.lerp(colour, surface.edge, smoothstep(0.45, 1.0, rim).mul_(surface.margin))
    sway = (u * 7 + number.remainder(2 * math.pi)).sin_().mul_(0.6)
    vein = (v * surface.vein_frequency + sway).sin_().mul_(0.5).add_(0.5)
    vein.mul_(1 - 0.55 * u).mul_(smoothstep(1.0, 0.6, v.abs())).mul_(2.2 * surface.vein)
    colour.mul_((0.54 * surface.mark - 0.659) * vein + 1)
    ragged = noise(v * 3, number * 3).sub_(0.5).mul_(0.16).add_(u).add_(0.12 * v * v)
    blotch = smoothstep(surface.blotch_reach, surface.blotch_reach * 0.45, ragged)
    colour = torch.lerp(colour, surface.mark, blotch.mul_(surface.blotch))
    if bool((surface.speckle > 0).any()):
        speckle = smoothstep(0.68, 0.80, noise(u * 22 + number * 13, v * 9 + number * 13))
        speckle.mul_(smoothstep(0.85, 0.35, u.clone())).mul_(surface.speckle)
        colour = torch.lerp(colour, surface.mark, speckle)
    return colour
