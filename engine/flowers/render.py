"""Scenes to pictures: what is behind, the centre, the petals, then light to values."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.flowers.backdrop import backdrop
from engine.flowers.canvas import Canvas, canvas_of
from engine.flowers.centre import draw_centre
from engine.flowers.layers import Layer, layers_of
from engine.flowers.light import OCCLUSION, across_the_picture
from engine.flowers.petals import petal_fragments
from engine.flowers.scene import Scene, each, pick_field
from engine.flowers.shapes import smoothstep
from engine.flowers.surface import shade

PIXELS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 21}  # 0.6 KB of memory each, together
STEPS = 2.0**20  # of light, to a unit


def render(scene: Scene, size: int) -> Tensor:
    """Pictures [N, 3, size, size], float32 in [-1, 1], on the scene's device.

    On a CPU one flower at a time, so that the same flower is the same to the last bit whatever is
    rendered with it; elsewhere many, as a GPU wants much to do. Large pictures in bands of rows.
    """
    if size < 1:
        raise ValueError(f"a picture is at least 1 pixel wide, not {size}")
    device = scene.pose.x.device
    at_once = PIXELS_AT_ONCE.get(device.type, PIXELS_AT_ONCE["cpu"])
    group = 1 if device.type == "cpu" else max(1, at_once // size**2)
    layers = layers_of(scene)
    pictures = torch.empty(len(scene), 3, size, size, device=device)
    for first in range(0, len(scene), group):
        last = min(first + group, len(scene))
        some = [each(layer, lambda t: t[first:last]) for layer in layers]  # noqa: B023
        draw_group(scene.some(first, last), some, pictures[first:last], at_once)
    return pictures


def draw_group(scene: Scene, layers: list[Layer], pictures: Tensor, at_once: int) -> None:
    """All flowers of the scene into pictures [N, 3, size, size], about `at_once` pixels a time."""
    size = pictures.shape[-1]
    ground = backdrop(scene.backdrop, scene.chance, size)
    rows = min(size, max(1, at_once // (size * len(scene))))
    for row in range(0, size, rows):
        band = slice(row, min(row + rows, size))
        canvas = canvas_of(scene, size, row, band.stop - row)
        behind = ground[:, :, band].transpose(0, 1).reshape(3, -1)
        values = develop(_light(scene, layers, canvas, behind))
        pictures[:, :, band] = values.view(3, len(scene), -1, size).transpose(0, 1)


def _light(scene: Scene, layers: list[Layer], canvas: Canvas, ground: Tensor) -> Tensor:
    """Light [3, P] that reaches the eye, linear; ground [3, P] is what comes from behind."""
    where, light = draw_centre(scene, canvas)
    at = petal_fragments(scene, layers, canvas)
    petals = shade(scene, canvas.flower.index_select(0, at.pixel), at)
    # In whole steps, whose sum does not depend on the order, which on a GPU is anyone's.
    front = torch.zeros(ground.shape, dtype=torch.int32, device=ground.device)
    front[:, where] = (light * STEPS).int()
    front.index_add_(1, at.pixel, petals.mul_(at.weight * STEPS).int())
    light_x, light_y = across_the_picture(pick_field(scene.backdrop.light, canvas.flower))
    radius = pick_field(scene.pose.radius, canvas.flower)
    x, y = canvas.x + 0.10 * light_x, canvas.y + 0.10 * light_y
    shadow = smoothstep(radius * 1.25, radius * 0.45, (x * x + y * y).sqrt_())
    behind = canvas.through.mul_(shadow.mul_(-0.45 * OCCLUSION).add_(1))
    corner = canvas.picture_x.square() + canvas.picture_y.square()
    return front.float().mul_(1 / STEPS).add_(ground * behind).mul_(1 - 0.10 * corner)


def develop(light: Tensor) -> Tensor:
    """Linear light [3, P] to a picture's values in [-1, 1]: saturation, film curve, gamma."""
    light = light.clamp_(min=0)
    grey = 0.3 * light[0] + 0.55 * light[1] + 0.15 * light[2]
    light = torch.lerp(grey, light, 1.16).clamp_(min=0).mul_(1.18)
    film = (2.51 * light + 0.03).mul_(light).div_((2.43 * light + 0.59).mul_(light).add_(0.14))
    soft = (-1.6 * light).exp_().neg_().add_(1)
    return film.mul_(0.45).add_(soft, alpha=0.55).clamp_(0, 1).sqrt_().mul_(2).sub_(1)
