"""What all petals of a layer have in common, worked out once for all flowers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from engine.flowers.light import OCCLUSION, across_the_picture
from engine.flowers.scene import MAX_LAYERS, Scene
from engine.flowers.shapes import smoothstep

SHADOW_SHIFT = 0.045  # of a petal's shadow, in lengths of the light's flat part
SHADOW_REACH = 0.185  # beyond a petal its shadow is under 1/255
RISE = 0.08  # of each layer over the one outside it


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of N flowers, [N] each. Layer 0 is the outermost."""

    count: Tensor  # petals
    step: Tensor  # angle from one to the next
    phase: Tensor  # angle of the first
    x: Tensor  # the layer's middle: the tilt moves what is nearer to the eye
    y: Tensor
    opacity: Tensor  # 0..1: 1 soon after the layer has begun to come out
    length: Tensor  # a petal's
    shorter_x: Tensor  # by how much, relative, if it points along x: foreshortened by the tilt
    shorter_y: Tensor
    longest: Tensor  # no petal is longer
    half_width: Tensor  # at the widest, of its length
    widest: Tensor  # no petal, bent as it may be, is further from its own axis
    base_taper: Tensor
    tip_taper: Tensor
    peak: Tensor  # logarithm of u^a (1 - u)^b at its largest
    notch: Tensor
    frill: Tensor
    frill_speed: Tensor  # radians along the petal
    bend: Tensor
    angle_stray: Tensor  # by as much as this, times a chance of +-0.5, petals differ in angle,
    length_stray: Tensor  # length, relative,
    bend_stray: Tensor  # and bend
    shadow_x: Tensor  # where the light comes from, as far as a shadow is thrown
    shadow_y: Tensor
    shadow: Tensor  # how dark it is
    shadow_blur: Tensor  # its exponent's factor per squared distance, negative


def layers_of(scene: Scene) -> list[Layer]:
    """All MAX_LAYERS of them, whether they have come out or not."""
    return [_layer(scene, layer) for layer in range(MAX_LAYERS)]


def _layer(scene: Scene, layer: int) -> Layer:
    pose, petals = scene.pose, scene.petals
    count = petals.count if layer < 2 else (petals.count * 0.75 + 0.5).floor().clamp(min=4)
    step = 2 * math.pi / count
    tilt = pose.tilt.sin()
    lean_x, lean_y = pose.tilt_direction.cos() * tilt, pose.tilt_direction.sin() * tilt
    # The innermost layer grows out of the disc; it is faint only while it is all but hidden there.
    begun = (petals.layers - layer).clamp(0, 1)
    opacity = smoothstep(0.0, 0.2, begun.clone())
    grown = 0.3 + 0.7 * smoothstep(0.0, 1.0, begun)
    length = pose.radius * petals.layer_ratio**layer * grown
    half_width = (0.66 * petals.width * (step / 2).clamp(max=0.9).tan()).clamp(max=0.62)
    shorter = 0.22 * petals.slope
    longest = length * (1 + 0.175 * petals.irregularity) * (1 + tilt * shorter)
    bent = petals.bend.abs() + 0.125 * petals.irregularity
    a, b = petals.base_taper, petals.tip_taper
    light_x, light_y = across_the_picture(scene.backdrop.light)
    return Layer(
        count=count,
        step=step,
        phase=pose.rotation + layer * (step / 2 + 0.13),
        x=lean_x * (RISE * layer),
        y=lean_y * (RISE * layer),
        opacity=opacity,
        length=length,
        shorter_x=lean_x * shorter,
        shorter_y=lean_y * shorter,
        longest=longest,
        half_width=half_width,
        widest=longest * (half_width * (1 + petals.frill) + bent),
        base_taper=a,
        tip_taper=b,
        peak=a * (a / (a + b)).log() + b * (b / (a + b)).log(),
        notch=petals.notch,
        frill=petals.frill,
        frill_speed=petals.frill_frequency * 6,
        bend=petals.bend,
        angle_stray=petals.irregularity * step * 0.55,
        length_stray=0.35 * petals.irregularity,
        bend_stray=0.25 * petals.irregularity,
        shadow_x=light_x * SHADOW_SHIFT,
        shadow_y=light_y * SHADOW_SHIFT,
        shadow=OCCLUSION * 0.62 * (0.75 if layer == 0 else 1.0) * opacity,
        shadow_blur=-1 / (0.0022 + 0.002 * pose.radius),
    )
