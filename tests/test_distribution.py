"""The bounded distribution against numpy, which keeps every value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.distribution import COARSEST, FINEST, Distribution

values = st.one_of(
    st.floats(-1e9, 1e9),
    st.floats(-1.0, 1.0),
    st.floats(16.0, 17.0),  # intervals between frames: many in one bucket
    st.sampled_from([0.0, FINEST, -FINEST, 33.3]),
)


def distribution(numbers: list[float]) -> Distribution:
    counted = Distribution()
    for number in numbers:
        counted.add(number)
    return counted


@given(st.lists(values, min_size=1, max_size=300), st.floats(0, 100))
def test_percentiles_are_numpys_within_half_a_percent(numbers: list[float], percent: float) -> None:
    """Of the larger of the two values between which numpy interpolates, or FINEST near 0."""
    found = distribution(numbers).percentile(percent)
    assert found is not None
    around = [np.percentile(numbers, percent, method=side) for side in ("lower", "higher")]
    error = abs(found - np.percentile(numbers, percent))
    assert error <= 0.0051 * max(map(abs, around)) + FINEST


@given(st.lists(values, min_size=1))
def test_the_ends_are_exact(numbers: list[float]) -> None:
    counted = distribution(numbers)
    assert (counted.smallest, counted.largest) == (min(numbers), max(numbers))
    assert (counted.percentile(0), counted.percentile(100)) == (min(numbers), max(numbers))


def test_without_values_there_is_nothing_to_tell() -> None:
    assert Distribution().percentile(50) is None


def test_memory_is_bounded_whatever_is_counted() -> None:
    counted = Distribution()
    for exponent in np.linspace(-300, 300, 50_000):
        for sign in (1, -1):
            counted.add(sign * 10.0**exponent)
    assert len(counted._counts) <= 8400
    assert counted.largest == pytest.approx(1e300)
    assert counted.percentile(90) == pytest.approx(COARSEST, rel=0.02)
