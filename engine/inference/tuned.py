"""The folded network played operation by operation, each layer in the form that is fastest here.

For devices on which every operation is a call of its own: CPUs, and Apple's GPU. Which of several
equal forms (see `forms`) is fastest depends on the device and the layer, so they are timed when the
network is first played. Seen on two CPU threads, in ms: 48 channels at 32x32 doubled to 24 channels
take 0.19 transposed and filtered and 0.24 as one convolution; a ToRGB at 32x32 takes 0.04 as a
convolution and 0.02 as a product, one at 256x256 0.18 and 0.34.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.inference import forms
from engine.inference.folded import Convolution, ToPicture
from engine.inference.forms import Form

ROUNDS = 5
SLOW_S = 0.02  # a form that takes so long is not tried against others: a start must not take long


Choose: TypeAlias = Callable[..., Form]
"""Of forms, and the tensors that they are to take, the one to play."""


class Tuned:
    """A player (see `walk.Player`) that settles on its forms as it plays for the first time.

    taps [4, 4]: the filter of a doubling, on the device that plays. choose: of the forms for some
    tensors, the one to play: `quickest`, or `first`.
    """

    def __init__(self, taps: Tensor, choose: Choose | None = None) -> None:
        self._taps = taps
        self._choose = choose or quickest
        self._settled: dict[object, Form] = {}

    def convolve(
        self, layer: Convolution, x: Tensor, s: Tensor, d: Tensor, noise: Tensor
    ) -> Tensor:
        """See `Player.convolve`."""
        x = self._fastest(layer, partial(forms.of_convolution, layer, self._taps, x), x, s, d)
        # In place from here: on a CPU every fresh tensor of this size costs page faults.
        if layer.noise is not None:
            x.add_(layer.noise * noise)  # addcmul_ takes five times as long here
        F.leaky_relu_(x, 0.2)
        return x if layer.clamp is None else x.clamp_(-layer.clamp, layer.clamp)

    def shortcut(self, weight: Tensor, x: Tensor) -> Tensor:
        """See `Player.shortcut`."""
        x = F.conv2d(x, weight)
        kernel = self._taps.expand(x.shape[1], 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    def double(self, picture: Tensor) -> Tensor:
        """See `Player.double`."""
        return self._fastest(
            ("double", len(picture)), partial(forms.of_doubling, self._taps, picture), picture
        )

    def add(self, layer: ToPicture, x: Tensor, s: Tensor, picture: Tensor | None) -> Tensor:
        """See `Player.add`."""
        rgba = self._fastest(layer, partial(forms.of_picture, layer), x, s)
        if layer.clamp is not None:
            rgba = rgba.clamp_(-layer.clamp, layer.clamp)
        return rgba if picture is None else picture.add_(rgba)

    def _fastest(self, what: object, choices: Callable[[], list[Form]], *args: Tensor) -> Tensor:
        form = self._settled.get(what)
        if form is None:
            form = self._settled[what] = self._choose(choices(), *args)
        return form(*args)


def first(choices: list[Form], *args: Tensor) -> Form:
    """The first form: the same wherever and whenever, and so the same picture to the bit."""
    return choices[0]


def quickest(choices: list[Form], *args: Tensor) -> Form:
    """Time every form, in turns, and take the one with the quickest turn."""
    if _seconds(choices[0], *args) > SLOW_S and _seconds(choices[0], *args) > SLOW_S:
        return choices[0]
    best = [float("inf")] * len(choices)
    for _ in range(ROUNDS):
        for index, form in enumerate(choices):
            best[index] = min(best[index], _seconds(form, *args))
    return choices[best.index(min(best))]


def _seconds(form: Form, *args: Tensor) -> float:
    started = time.perf_counter()
    result = form(*args)
    if result.device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started
