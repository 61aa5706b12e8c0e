"""From the colours of an early picture to those of the full one.

StyleGAN2's `skip` architecture sums pictures, so a network can stop early and its sum at 512x512
stands for the one at 1024x1024. But the last blocks add colour and contrast beside detail: seen on
its own, an early sum is a little off everywhere. An affine map of its colours, the same for every
pixel and every W+, takes that away as far as it is that simple; what it leaves is measured, and an
early picture is used only if it comes near enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_PSNR = 26.0  # dB, of a corrected early picture against the full one
MIN_SIZE = 256  # pixels along a side: below, an enlarged picture is plainly blurred
FITTED, CHECKED = 8, 4  # samples
RIDGE = 1e-6  # of a pixel's square, towards leaving colours alone where pictures do not tell
STRIDE = 4  # of pixels, both ways, that are looked at in full pictures above 256x256: twelve
# numbers are fitted to tens of thousands, and neighbours say nearly the same


class Fit:
    """Least squares of full = M early + t, accumulated sample by sample: 4x4 and 4x3 numbers."""

    def __init__(self) -> None:
        self._squares = torch.zeros(4, 4, dtype=torch.float64)
        self._products = torch.zeros(4, 3, dtype=torch.float64)
        self._pixels = 0

    def add(self, early: Tensor, full: Tensor) -> None:
        """Pixels [N, 3] of both, levels of 0 to 255. Ones that are not finite are left out."""
        known = torch.isfinite(early).all(1) & torch.isfinite(full).all(1)
        early, full = early[known].double(), full[known].double()
        ones = F.pad(early, (0, 1), value=1.0)
        # Summed where the pixels are: from a GPU come 28 numbers, and not megabytes.
        self._squares += (ones.t() @ ones).cpu()
        self._products += (ones.t() @ full).cpu()
        self._pixels += len(early)

    def solve(self) -> Tensor:
        """The map [3, 4] float32, its last column the shift; identity before any pixel."""
        identity = torch.eye(4, 3, dtype=torch.float64)
        ridge = torch.eye(4, dtype=torch.float64) * (RIDGE * max(self._pixels, 1))
        matrix: Tensor = torch.linalg.solve(
            self._squares + ridge, self._products + ridge @ identity
        )
        return matrix.t().float()


class Corrections:
    """The corrections of one network's early pictures, learned a sample at a time.

    sizes: of the early pictures; full: the size of the full one.
    """

    def __init__(self, sizes: Sequence[int], full: int) -> None:
        self._fits = {size: Fit() for size in sizes}
        self._full = full
        self._errors: dict[int, list[float]] = {size: [] for size in sizes}
        self._matrices: dict[int, Tensor] = {}
        self.samples = 0

    def learn(self, pictures: Mapping[int, Tensor]) -> bool:
        """Take one sample: pictures [3, r, r] by size, levels of 0 to 255; True if more are needed.

        The first samples are fitted, the others check what the fit is worth.
        """
        full = _pixels(pictures[self._full], self._full)
        for size, fit in self._fits.items():
            early = _pixels(pictures[size], self._full)
            if self.samples < FITTED:
                fit.add(early, full)
            else:
                self._matrices[size] = fit.solve()
                self._errors[size].append(mean_square(early, full, self._matrices[size]))
        self.samples += 1
        return self.samples < FITTED + CHECKED

    @property
    def psnr(self) -> Mapping[int, float]:
        """Of every size, in dB, once it was checked: of the mean error of all samples.

        Not the mean of their PSNRs, in which one black picture could make up for three bad ones.
        """
        return {size: _decibels(errors) for size, errors in self._errors.items() if errors}

    @property
    def ready(self) -> Mapping[int, Tensor]:
        """The maps [3, 4] of the sizes whose pictures come near enough; none before the end."""
        if self.samples < FITTED + CHECKED:
            return {}
        return {size: self._matrices[size] for size, db in self.psnr.items() if db >= MIN_PSNR}


def mean_square(early: Tensor, full: Tensor, matrix: Tensor) -> float:
    """The mean squared error of corrected pixels [N, 3], as they would be shown: 0 to 255."""
    matrix = matrix.to(early)
    corrected = (early @ matrix[:, :3].t() + matrix[:, 3]).clamp(0, 255)
    return float((corrected - full.clamp(0, 255)).square().mean())


def _decibels(errors: Sequence[float]) -> float:
    mean = sum(errors) / len(errors)
    if math.isnan(mean):
        return -math.inf
    return 10 * math.log10(255**2 / mean) if mean else math.inf


def _pixels(picture: Tensor, full: int) -> Tensor:
    """A picture [3, r, r] as the stage would show it at the full size: [N, 3], some of its pixels.

    Bicubic with torch's kernel, whose -0.75 is a little sharper than Pillow's -0.5, which is the
    stage's: on photographs they differ by some tenths of a level.
    """
    if picture.shape[-1] != full:
        picture = F.interpolate(picture[None], size=(full, full), mode="bicubic")[0]
    stride = STRIDE if full > MIN_SIZE else 1
    return picture[:, ::stride, ::stride].reshape(3, -1).t()
