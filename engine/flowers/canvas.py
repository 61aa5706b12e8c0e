"""The pixels being drawn, and what still shows through what was drawn on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.flowers.backdrop import pixel_centres
from engine.flowers.scene import Scene, pick

VISIBLE = 1 / 400  # less of a pixel than this is not drawn


@dataclass(slots=True)
class Canvas:
    """P pixels, flower by flower and row by row. Drawn from the front to the back."""

    flower: Tensor  # [P], int64: whose they are
    picture_x: Tensor  # [P], -1..1 from left to right
    picture_y: Tensor  # [P], -1..1 from bottom to top
    x: Tensor  # [P], in the flower's plane, from its centre
    y: Tensor
    away: Tensor  # [P], from the flower's centre
    through: Tensor  # [P], 0..1: how much light passes what has been drawn
    pixel: float  # a pixel's side


def canvas_of(scene: Scene, size: int, first_row: int, rows: int) -> Canvas:
    """Rows first_row .. of all the scene's flowers, at size x size."""
    device = scene.pose.x.device
    axis = pixel_centres(size, device)
    count = len(scene)
    flower = torch.arange(count, device=device).repeat_interleave(rows * size)
    picture_x = axis.repeat(rows * count)
    picture_y = -axis[first_row : first_row + rows].repeat_interleave(size).repeat(count)
    pose = pick(scene.pose, flower)
    x, y = picture_x - pose.x, picture_y - pose.y
    lean_x, lean_y = pose.tilt_direction.cos(), pose.tilt_direction.sin()
    along = x * lean_x + y * lean_y
    stretch = along * (1 / pose.tilt.cos() - 1)
    x = x + lean_x * stretch
    y = y + lean_y * stretch
    nearer = 1 + 0.22 * pose.tilt.sin() * along  # perspective: what leans away is smaller
    x, y = x * nearer, y * nearer
    away = (x * x + y * y).sqrt_()
    return Canvas(flower, picture_x, picture_y, x, y, away, torch.ones_like(x), pixel=2 / size)
