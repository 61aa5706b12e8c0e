"""How straight pictures change along a path."""

import pytest
import torch

from engine.training.detours import STEP, detours
from engine.training.samples import morphs
from tests.trained import trainer

COUNT = 40


def made(picture):
    """The measure of a network that makes pictures [n, 3, 32, 32] of its ws [n, 1, 8]."""
    random = torch.Generator().manual_seed(0)
    ws = torch.randn(2 * COUNT, 1, 8, generator=random)
    at = torch.rand(COUNT, generator=random) * (1 - STEP)
    return detours(picture, ws, at)


PATTERNS = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def faded(ws):
    return torch.einsum("nlw,wchx->nchx", ws, PATTERNS)


def test_a_cross_fade_is_straight():
    assert made(faded) == pytest.approx(1, rel=1e-4)


def test_one_picture_alone_makes_none():
    assert made(lambda ws: torch.zeros(len(ws), 3, 32, 32)) == 0


def test_contrast_does_not_count():
    assert made(lambda ws: 7 * faded(ws) + 0.3) == pytest.approx(1, rel=1e-3)


def test_detours_count():
    little = made(lambda ws: faded(ws) + (5 * faded(ws)).sin())
    much = made(lambda ws: faded(ws) + (15 * faded(ws)).sin())
    assert 1.2 < little < much


def test_a_trainings_morphs_are_looked_at():
    t = trainer()
    assert morphs(t, 16) == morphs(t, 16) > 0
