"""The flower's centre: a domed disc, florets in a spiral on it, stamens over both.

Each of the three gives the light it sends [3, M] and what passes it [M], to be put over the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.flowers.canvas import Canvas
from engine.flowers.light import OCCLUSION, UP, across_the_picture
from engine.flowers.scene import MAX_STAMENS, Centre, Scene, pick, pick_field
from engine.flowers.shapes import smoothstep

GOLDEN_ANGLE = 2.3999632
LEAST_STAMENS = 0.02  # fainter ones are not drawn


@dataclass(frozen=True, slots=True)
class Spot:
    """M pixels of the centre, and where its light comes from."""

    flower: Tensor  # [M], int64
    x: Tensor  # [M], from the centre's middle
    y: Tensor
    away: Tensor  # from there
    light_x: Tensor  # [M], or [1] for a single flower
    light_y: Tensor


def draw_centre(scene: Scene, canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Pixels [M] of the centre and the light they send [3, M]; updates what is seen through."""
    where, spot = _spot(scene, canvas)
    centre = pick(scene.centre, spot.flower)
    light, through = _stamens(scene, spot, canvas.pixel)
    for sent, passes in (_florets(scene, spot), _disc(centre, spot, canvas.pixel)):
        light = light + through * sent
        through = through * passes
    canvas.through[where] = through
    return where, light


def _spot(scene: Scene, canvas: Canvas) -> tuple[Tensor, Spot]:
    centre, pose = scene.centre, scene.pose
    seen = torch.where(centre.stamens > LEAST_STAMENS, centre.stamen_length * 1.5, 0.0)
    reach = torch.maximum(centre.disc * 1.75 + 0.03, seen)
    shift = pose.tilt.sin() * 0.09 * (1 + scene.petals.layers * 0.25)
    x = canvas.x - pick_field(pose.tilt_direction.cos() * shift, canvas.flower)
    y = canvas.y - pick_field(pose.tilt_direction.sin() * shift, canvas.flower)
    away = (x * x + y * y).sqrt_()
    where = (away < pick_field(reach, canvas.flower)).nonzero()[:, 0]
    flower, x, y, away = (t.index_select(0, where) for t in (canvas.flower, x, y, away))
    light = across_the_picture(pick_field(scene.backdrop.light, flower))
    return where, Spot(flower, x, y, away, *light)


def _disc(centre: Centre, spot: Spot, pixel: float) -> tuple[Tensor, Tensor]:
    """The dome, and the shadow around it."""
    cover = smoothstep(pixel * 1.3, -pixel * 1.3, spot.away - centre.disc)
    x, y = spot.x / centre.disc, spot.y / centre.disc
    square = (x * x + y * y).clamp_(max=1)
    x, y, z = x * centre.dome, y * centre.dome, (1 - square * 0.85).clamp_(min=0.06).sqrt_()
    facing = (x * spot.light_x + y * spot.light_y + z * UP) * (x * x + y * y + z * z).rsqrt_()
    lit = ((facing + 0.25) / 1.25).clamp_(0, 1).mul_(0.95).add_(0.22)
    radius = square.sqrt_()
    lit.mul_(1 - 0.35 * smoothstep(0.6, 1.0, radius.clone())).mul_(1 - 0.27 * centre.florets)
    colour = torch.lerp(centre.inner, centre.rim, smoothstep(0.05, 1.0, radius))
    x, y = spot.x + 0.03 * spot.light_x, spot.y + 0.03 * spot.light_y
    shadow = smoothstep(centre.disc * 1.75, centre.disc * 0.8, (x * x + y * y).sqrt_())
    return colour * lit.mul_(cover), (1 - cover) * (1 - 0.65 * OCCLUSION * shadow)


def _florets(scene: Scene, spot: Spot) -> tuple[Tensor, Tensor]:
    """Beads at the golden angle, each over those further in."""
    count = int(scene.centre.floret_count.max())
    centre, pose = pick(scene.centre, spot.flower), pick(scene.pose, spot.flower)
    # The outermost, which lies on top, first.
    number = torch.arange(count - 1, -1, -1, device=spot.x.device)[:, None] + 0.5
    part = number / centre.floret_count
    radius = centre.disc * 0.92 * centre.floret_count.rsqrt() * (0.75 + 0.4 * part)
    angle, out = number * GOLDEN_ANGLE + pose.rotation, part.sqrt() * 1.02
    place_x, place_y = angle.cos() * out, angle.sin() * out  # of the disc's radius
    x, y = spot.x - place_x * centre.disc, spot.y - place_y * centre.disc
    near = (x * x + y * y).div_(radius * radius) < 1.6**2
    near &= (number < centre.floret_count.floor()) & (spot.away < centre.disc * 1.25)
    # From here on only where a bead meets a pixel, E times.
    which, at = near.nonzero().unbind(dim=1)
    centre = pick(centre, at)
    column = at if radius.shape[1] > 1 else torch.zeros_like(at)
    radius, out = radius[which, column], out[which, column]
    place_x, place_y = place_x[which, column] * centre.dome, place_y[which, column] * centre.dome
    light_x, light_y = pick_field(spot.light_x, at), pick_field(spot.light_y, at)
    x, y = x[which, at] / radius, y[which, at] / radius
    away = (x * x + y * y).sqrt_()
    cover = smoothstep(1.0, 0.65, away.clone()).mul_(centre.florets)
    lit = (0.62 + 0.55 * (x * light_x + y * light_y) - 0.25 * away * away).clamp_(0.15, 1.25)
    slope = (place_x * place_x + place_y * place_y).add_(0.64).rsqrt_()
    facing = (place_x * light_x + place_y * light_y + 0.8 * UP).mul_(slope).clamp_(0, 1)
    gain = cover * (0.35 + 0.85 * lit) * (0.45 + 0.65 * facing) * (1.15 * 1.35)
    rim = smoothstep(0.1, 0.95, out)
    passes = (1 - 0.1575 * centre.florets * smoothstep(1.6, 0.9, away)) * (1 - cover)
    dense = torch.ones(count, len(spot.x), device=gain.device)
    dense[which, at] = passes
    before = _before(dense)
    gain.mul_(before[which, at])
    sent = torch.zeros(2, count, len(spot.x), device=gain.device)
    sent[0, which, at] = gain * (1 - rim)
    sent[1, which, at] = gain * rim
    inner, outer = sent.sum(dim=1)
    whole = pick(scene.centre, spot.flower)
    return whole.inner * inner + whole.rim * outer, before[-1]


def _stamens(scene: Scene, spot: Spot, pixel: float) -> tuple[Tensor, Tensor]:
    """Filaments, each with an anther at its end that shades what is below."""
    if not bool((scene.centre.stamens > LEAST_STAMENS).any()):
        return torch.zeros(3, len(spot.x), device=spot.x.device), torch.ones_like(spot.x)
    centre, pose = pick(scene.centre, spot.flower), pick(scene.pose, spot.flower)
    chance = pick_field(scene.chance.stamens, spot.flower).flip(1)
    number = torch.arange(MAX_STAMENS - 1, -1, -1, device=spot.x.device)[:, None]
    drawn = (number < centre.stamen_count) & (centre.stamens > LEAST_STAMENS)
    drawn = (drawn & (spot.away < centre.stamen_length * 1.5)) * centre.stamens
    angle = number * (2 * math.pi) / centre.stamen_count + pose.rotation + 0.5 * (chance[0] - 0.5)
    length = centre.stamen_length * (0.72 + 0.5 * chance[1])
    length = length * torch.where(number % 2 == 1, 0.72, 1.0)
    cosine, sine, lift = angle.cos(), angle.sin(), 0.05 * pose.tilt.sin()
    end_x = cosine * length + pose.tilt_direction.cos() * lift
    end_y = sine * length + pose.tilt_direction.sin() * lift
    along = (spot.x * cosine + spot.y * sine).div_(length).clamp_(0, 1)
    x, y = spot.x - end_x * along, spot.y - end_y * along
    filament = smoothstep(0.011 + pixel * 0.6, 0.002, (x * x + y * y).sqrt_()).mul_(drawn)
    filament.mul_(0.75 * (spot.away >= centre.disc * 0.6))
    x, y, radius = spot.x - end_x, spot.y - end_y, 0.018 + 0.012 * chance[2]
    anther = smoothstep(radius + pixel * 0.7, radius - pixel * 0.7, (x * x + y * y).sqrt_())
    anther.mul_(drawn)
    lit = (x * spot.light_x + y * spot.light_y).div_(radius).mul_(0.6).add_(0.6).clamp_(0, 1)
    x, y = x + spot.light_x * 0.016, y + spot.light_y * 0.016
    shadow = smoothstep(radius * 2.4, radius * 0.6, (x * x + y * y).sqrt_()).mul_(drawn)
    under_anther = (1 - anther).mul_(1 - 0.30 * shadow)
    before = _before(under_anther * (1 - filament))
    bright = (before[:-1] * anther).mul_(0.55 + 0.75 * lit).sum(dim=0)
    thread = (before[:-1] * filament).mul_(under_anther).mul_(0.45 + 0.6 * along).sum(dim=0)
    return centre.anther * bright + centre.filament * thread, before[-1]


def _before(passes: Tensor) -> Tensor:
    """What passes [K, M] let through down to each of them, and to below all: [K + 1, M]."""
    before = torch.ones(len(passes) + 1, passes.shape[1], device=passes.device)
    for k in range(len(passes)):
        torch.mul(before[k], passes[k], out=before[k + 1])
    return before
