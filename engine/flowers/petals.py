"""Where petals are: every layer's outlines and the shadows they throw, from the top down.

A pixel looks at the petal it points to and at two on either side of it, each lying over the next
one counter-clockwise. Petals are composed front to back, so that what is hidden is never shaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from engine.flowers.canvas import VISIBLE, Canvas
from engine.flowers.layers import RISE, SHADOW_REACH, Layer
from engine.flowers.scene import MAX_PETALS, Scene, pick, pick_field
from engine.flowers.shapes import smoothstep

NEAR = (-2.0, -1.0, 0.0, 1.0, 2.0)  # the petals a pixel looks at, the topmost first
SOFTNESS = (0.0075, 0.0050, 0.0025, 0.0)  # of each layer's outline: depth of field
STEEPEST = 1.0  # slope of an outline, as far as distances to it are concerned
TIP = 1e-4  # what is left of a petal, of its length, where its outline is said to end


@dataclass(frozen=True, slots=True)
class Fragments:
    """M pieces of petal, each of one pixel: what their shading needs."""

    pixel: Tensor  # which of the canvas, int64
    weight: Tensor  # how much of its light comes from here, 0..1
    u: Tensor  # along the petal, 0..1
    v: Tensor  # across, -1..1
    cosine: Tensor  # of the petal's direction
    sine: Tensor
    number: Tensor  # the petal's, whole
    stray: Tensor  # its chance of length, +-0.5
    layer: Tensor  # 0 is the outermost


@dataclass(frozen=True, slots=True)
class Pieces:
    """E meetings of a pixel with a petal that may cover or shade it, of one layer."""

    slot: Tensor  # int64: near * P + which of the layer's P pixels
    pixel: Tensor  # int64: which of the canvas
    flower: Tensor  # int64
    number: Tensor  # the petal's among its layer's, whole
    chance: Tensor  # [3, E], +-0.5: the petal's angle, length and bend
    cosine: Tensor  # of the petal's direction
    sine: Tensor
    along: Tensor  # the pixel, from the petal's base, in the petal's direction
    across: Tensor  # and counter-clockwise from that
    open: Tensor  # 0..1: how far the pixel is from the flower's middle, where nothing is shaded


def petal_fragments(scene: Scene, layers: Sequence[Layer], canvas: Canvas) -> Fragments:
    """Every visible piece of petal; takes from `canvas.through` what petals hide or shade."""
    drawn = math.ceil(float(scene.petals.layers.max()))
    parts = [_fragments(scene, layers[index], canvas, index) for index in reversed(range(drawn))]
    return Fragments(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Fragments)))


def _fragments(scene: Scene, layer: Layer, canvas: Canvas, index: int) -> Fragments:
    where = _within_reach(layer, canvas, index)
    at = _pieces(scene, layer, canvas, where, index)
    here = pick(layer, at.flower)
    # ---- the petal's own measures
    length = (at.cosine * here.shorter_x).add_(at.sine * here.shorter_y).neg_().add_(1)
    length.mul_(here.length).mul_((at.chance[1] * here.length_stray).add_(1))
    bend = (at.chance[2] * here.bend_stray).add_(here.bend)
    v = bend.mul_(at.along).mul_(at.along).div_(length).add_(at.across)
    width = length * here.half_width
    end = (v / width).square_().mul_(-1 / 0.38**2).clamp_(min=-20).exp_()
    end.mul_(-here.notch).add_(1).mul_(length)
    number = at.number + 37 * index
    # ---- what it hides and shades
    u = at.along / end
    inside = u.clamp(TIP, 1 - TIP)
    phase = (number * 5).remainder_(2 * math.pi).add_(9 * at.chance[0])
    wave = (inside * here.frill_speed).add_(phase).sin_()
    half = wave.mul_(inside).mul_(here.frill).add_(1).mul_(width).mul_(_profile(here, inside))
    cover = _cover(here, at.along, end, inside, v, half, canvas.pixel, SOFTNESS[index])
    passes = _shadow(here, at, v, width, end).mul_(-here.shadow).mul_(at.open).add_(1)
    weight = _compose(canvas, where, at.slot, cover, passes.mul_(1 - cover))
    seen = (weight > VISIBLE).nonzero()[:, 0]
    v.div_(half.clamp_(min=1e-4)).clamp_(-1, 1)
    whole = torch.full_like(v, index)
    parts = (at.pixel, weight, inside, v, at.cosine, at.sine, number, at.chance[1], whole)
    return Fragments(*(part.index_select(0, seen) for part in parts))


def _within_reach(layer: Layer, canvas: Canvas, index: int) -> Tensor:
    """Pixels [P] that the layer may touch and that are not hidden already."""
    reach = torch.where(layer.opacity > 0, layer.longest + (SHADOW_REACH + RISE * index), -1.0)
    near = canvas.away < pick_field(reach, canvas.flower)
    return (near & (canvas.through > VISIBLE)).nonzero()[:, 0]


def _pieces(scene: Scene, layer: Layer, canvas: Canvas, where: Tensor, index: int) -> Pieces:
    flower = canvas.flower.index_select(0, where)
    here = pick(layer, flower)
    x = canvas.x.index_select(0, where).sub_(here.x)
    y = canvas.y.index_select(0, where).sub_(here.y)
    away = (x * x + y * y).sqrt_()
    turn = (torch.atan2(y, x) - here.phase).div_(here.step)
    nearest = (turn + 0.5).floor_()
    # The furthest a petal's axis may be turned from the pixel and still concern it.
    limit = ((here.widest + SHADOW_REACH) / away).clamp_(max=1).asin_()
    behind = (SHADOW_REACH / away).clamp_(max=1).asin_().add_(math.pi / 2)
    limit = torch.where(away < here.widest + SHADOW_REACH, behind, limit)
    limit.add_(0.5 * here.angle_stray).div_(here.step)
    near = torch.tensor(NEAR, device=x.device)[:, None]
    which, at = ((near - (turn - nearest)).abs_() < limit).nonzero().unbind(dim=1)
    at = at.contiguous()
    flower = flower.index_select(0, at)
    here = pick(layer, flower)
    position = nearest.index_select(0, at).add_(which).add_(NEAR[0])
    number = position.remainder(here.count)
    chance = _chance_of(scene, flower, number, index)
    angle = position.mul_(here.step).add_(here.phase).add_(chance[0] * here.angle_stray)
    cosine, sine = angle.cos(), angle.sin()
    x, y = x.index_select(0, at), y.index_select(0, at)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    return Pieces(
        slot=which * len(where) + at,
        pixel=where.index_select(0, at),
        flower=flower,
        number=number,
        chance=chance,
        cosine=cosine,
        sine=sine,
        along=along,
        across=across,
        open=smoothstep(0.02, 0.12, away).index_select(0, at),
    )


def _chance_of(scene: Scene, flower: Tensor, number: Tensor, index: int) -> Tensor:
    """Chances [3, E], +-0.5, of the petals with these numbers in layer `index` of `flower`."""
    row = number.long().add_(index * MAX_PETALS)
    if len(scene) > 1:
        row = row.mul_(len(scene)).add_(flower)
    return (scene.chance.petals.flatten(1) - 0.5).index_select(1, row)


def _profile(here: Layer, u: Tensor) -> Tensor:
    """u^a (1 - u)^b, 1 at its largest."""
    base = u.log().mul_(here.base_taper)
    return (1 - u).log_().mul_(here.tip_taper).add_(base).sub_(here.peak).exp_()


def _cover(
    here: Layer,
    along: Tensor,
    end: Tensor,
    inside: Tensor,
    v: Tensor,
    half: Tensor,
    pixel: float,
    softness: float,
) -> Tensor:
    """How much of the pixel the petal covers, 0..1.

    The distance to the outline is that across the petal, times the cosine of the outline's slope:
    so rounded tips are as soft as sides. Where the outline runs straight across the petal that
    would say near of all that is beside its end, hence STEEPEST.
    """
    slope = (here.base_taper / inside).sub_(here.tip_taper / (1 - inside)).mul_(half).div_(end)
    distance = (v.abs() - half).mul_(slope.square_().clamp_(max=STEEPEST**2).add_(1).rsqrt_())
    distance = torch.maximum(distance, torch.maximum(along - end, -along))
    soft = (inside + 0.2).mul_(softness).add_(pixel * 1.2)
    return smoothstep(soft, -soft, distance).mul_(here.opacity)


def _shadow(here: Layer, at: Pieces, v: Tensor, width: Tensor, end: Tensor) -> Tensor:
    """1 under the petal, falling off around it."""
    along = (at.cosine * here.shadow_x).add_(at.sine * here.shadow_y).add_(at.along)
    across = (at.cosine * here.shadow_y).sub_(at.sine * here.shadow_x).add_(v)
    half = _profile(here, (along / end).clamp_(TIP, 1 - TIP)).mul_(width)
    beyond = torch.maximum(along - end, -along).clamp_(min=0)
    away = across.abs_().sub_(half).clamp_(min=0).square_().add_(beyond.square_())
    return away.mul_(here.shadow_blur).clamp_(min=-20).exp_()


def _compose(canvas: Canvas, where: Tensor, slot: Tensor, cover: Tensor, passes: Tensor) -> Tensor:
    """How much each piece counts, front to back; updates what is seen through the canvas."""
    dense = torch.ones(len(NEAR), len(where), device=cover.device)
    dense.view(-1).index_copy_(0, slot, passes)
    through = canvas.through.index_select(0, where)
    for row in dense:
        after = through * row
        row.copy_(through)
        through = after
    canvas.through.index_copy_(0, where, through)
    return dense.view(-1).index_select(0, slot).mul_(cover)
