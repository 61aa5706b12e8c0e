"""The colour correction of early pictures, against numpy and against maps that are known."""

import numpy as np
import pytest
import torch

from engine.correction import CHECKED, FITTED, Corrections, Fit, mean_square

KNOWN = torch.tensor(
    [[1.1, 0.1, -0.05, 7.0], [0.0, 0.9, 0.2, -12.0], [0.1, -0.1, 1.2, 3.0]], dtype=torch.float32
)


def pixels(seed: int, count: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, generator=generator) * 255


def mapped(early: torch.Tensor, matrix: torch.Tensor = KNOWN) -> torch.Tensor:
    return early @ matrix[:, :3].t() + matrix[:, 3]


def test_a_map_of_colours_is_found() -> None:
    fit = Fit()
    for seed in range(3):
        fit.add(pixels(seed), mapped(pixels(seed)))
    torch.testing.assert_close(fit.solve(), KNOWN, rtol=1e-4, atol=0.02)


def test_it_is_numpys_least_squares() -> None:
    early, full = pixels(1), pixels(2)
    fit = Fit()
    fit.add(early[:100], full[:100])
    fit.add(early[100:], full[100:])
    ones = np.concatenate([early.double().numpy(), np.ones((400, 1))], axis=1)
    wanted = np.linalg.lstsq(ones, full.double().numpy(), rcond=None)[0].T
    np.testing.assert_allclose(fit.solve().numpy(), wanted, rtol=1e-3, atol=0.05)


def test_where_pictures_do_not_tell_colours_stay() -> None:
    torch.testing.assert_close(Fit().solve(), torch.eye(3, 4))
    fit = Fit()
    fit.add(torch.full((50, 3), 100.0), torch.full((50, 3), 110.0))  # one colour, all the time
    assert (mapped(torch.full((1, 3), 100.0), fit.solve()) - 110).abs().max() < 0.1
    grey = torch.rand(50, 1).expand(50, 3) * 255
    fit = Fit()
    fit.add(grey, grey)
    assert (mapped(grey, fit.solve()) - grey).abs().max() < 0.1


def test_what_is_not_finite_does_not_poison_the_fit() -> None:
    early, full = pixels(1), mapped(pixels(1))
    early[3, 1], full[7, 0] = float("nan"), float("inf")
    fit = Fit()
    fit.add(early, full)
    torch.testing.assert_close(fit.solve(), KNOWN, rtol=1e-4, atol=0.02)


def test_the_error_is_of_what_is_shown() -> None:
    early = torch.tensor([[300.0, -20.0, 100.0]])
    full = torch.tensor([[400.0, -90.0, 104.0]])  # clamped, only blue differs
    assert mean_square(early, full, torch.eye(3, 4)) == pytest.approx(16 / 3)


def picture(seed: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.interpolate(
        torch.rand(1, 3, 4, 4, generator=generator) * 255, size=(size, size), mode="bicubic"
    )[0]


def learned(detail: float) -> Corrections:
    """Corrections of a network whose last block changes colours, and adds detail."""
    corrections = Corrections([32], 64)
    more = True
    for seed in range(FITTED + CHECKED):
        assert more
        early = picture(seed, 32)
        smooth = torch.nn.functional.interpolate(early[None], size=(64, 64), mode="bicubic")[0]
        full = mapped(smooth.reshape(3, -1).t()).t().reshape(3, 64, 64)
        checker = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
        assert not corrections.ready
        more = corrections.learn({32: early, 64: full + detail * checker})
    assert not more
    return corrections


def test_an_early_picture_that_lacks_but_colours_is_ready() -> None:
    corrections = learned(detail=0.0)
    assert corrections.psnr[32] > 40
    torch.testing.assert_close(corrections.ready[32], KNOWN, rtol=0.02, atol=1.0)


def test_an_early_picture_that_lacks_detail_is_not() -> None:
    corrections = learned(detail=40.0)
    assert corrections.psnr[32] < 26
    assert not corrections.ready


def test_samples_that_are_broken_make_nothing_ready() -> None:
    corrections = Corrections([32], 64)
    broken = {32: torch.full((3, 32, 32), float("nan")), 64: torch.full((3, 64, 64), float("nan"))}
    while corrections.learn(broken):
        pass
    assert not corrections.ready
