"""Numbers as torch prints them: the same characters, whatever the numbers are."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from live.overlay import tensor

SHAPES = [
    *((), (0,), (1,), (3,), (7,), (50,), (1001,), (0, 3), (3, 0, 2), (1, 1), (2, 5), (9, 11)),
    *(
        (1, 512),
        (18, 512),
        (1000, 2),
        (2, 1000),
        (2, 3, 4),
        (1, 1, 1, 1),
        (5, 4, 3, 2),
        (20, 20, 20),
    ),
]
SCALES = [1.0, 0.01, 1e-5, 1e3, 1e6, 1e12, 1e-30]
DTYPES = [np.float16, np.float32, np.float64]


def random_tensor(seed):
    """Numbers of many sizes and kinds."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=SHAPES[seed % len(SHAPES)]) * rng.choice(SCALES)
    match seed // len(SHAPES) % 6:
        case 1:
            values = np.round(values)
        case 2:
            values = np.abs(values)
        case 3:
            values = values * 10.0 ** rng.integers(-8, 8, values.shape)
        case 4:
            odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], values.shape)
            values = np.where(rng.random(values.shape) < 0.3, odd, values)
        case 5:
            values = -np.abs(np.round(values * 100))
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(DTYPES[rng.integers(3)])


@pytest.mark.parametrize("seed", range(200))
def test_random_tensors(seed):
    values = random_tensor(seed)
    assert tensor.text(values) == repr(torch.tensor(values))


@pytest.mark.parametrize(
    "options",
    [
        {"linewidth": 20},
        {"linewidth": 133},
        {"linewidth": 1},
        {"edgeitems": 1},
        {"edgeitems": 0},
        {"edgeitems": 7, "linewidth": 45},
        {"threshold": 5},
        {"threshold": 0},
        {"threshold": math.inf},
        {"precision": 0},
        {"precision": 2, "threshold": 10},
        {"precision": 8},
    ],
)
def test_options_of_torch(options):
    defaults = torch._tensor_str.get_printoptions()
    try:
        torch.set_printoptions(**options)
        for seed in [s for s in range(120) if SHAPES[s % len(SHAPES)] != (20, 20, 20)]:
            values = random_tensor(seed)
            assert tensor.text(values, **options) == repr(torch.tensor(values)), seed
    finally:
        torch.set_printoptions(**defaults)


def floats(width):
    dtype = np.dtype(f"float{width}")
    shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
    return arrays.arrays(dtype, shapes, elements=st.floats(width=width))


@given(st.sampled_from([16, 32, 64]).flatmap(floats))
def test_any_floats(values):
    assert tensor.text(values) == repr(torch.tensor(values))


@given(
    arrays.arrays(
        st.sampled_from([np.dtype(kind) for kind in ("bool", "u1", "i1", "i2", "i4", "i8")]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12),
    )
)
def test_integers_and_truths(values):
    assert tensor.text(values) == repr(torch.tensor(values))


@pytest.mark.parametrize(
    "value", [9.9999, 9.99995, 99999.99995, 9.99995e99, 1e-4, 9.999e-5, 1e8, 1.00000001e8, -0.00001]
)
def test_numbers_that_grow_by_rounding(value):
    for values in ([value], [value, 1.5], [-value, 0.5], [value, value / 1000], [0.0, value]):
        for dtype in (np.float32, np.float64):
            with np.errstate(over="ignore"):
                array = np.array(values).astype(dtype)
            assert tensor.text(array) == repr(torch.tensor(array))


def test_the_widest_number_may_be_the_smallest():
    for values in (
        [1e-120, 2.0, -3.0],
        [-1e-120, 2.0],
        [1e-120, -2e5],
        [-1e120, 1.0],
        [-1e-7, 9.0],
    ):
        array = np.array(values)
        assert tensor.text(array) == repr(torch.tensor(array))


def on_device(values, device, linewidth=80):
    """What torch would print of a tensor on a device that is not here."""
    here = torch.tensor(values)
    torch.set_printoptions(linewidth=linewidth)
    body = torch._tensor_str._tensor_str(here, len("tensor("))
    suffixes = [f"device='{device}'"]
    if values.size == 0 and values.ndim != 1:
        suffixes.append(f"size={tuple(values.shape)}")
    if here.dtype is not torch.float32:
        suffixes.append(f"dtype={here.dtype}")
    text = torch._tensor_str._add_suffixes(f"tensor({body}", suffixes, 7, force_newline=False)
    torch.set_printoptions(profile="default")
    return text


@pytest.mark.parametrize("device", ["cuda:0", "cuda:11", "mps:0", "xpu:0"])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 7, 8, 9, 30])
def test_the_device_goes_where_there_is_room(device, count):
    for dtype in (np.float32, np.float16):
        for shape in ((count,), (2, count)):
            values = np.linspace(0.5, 0.75, math.prod(shape)).astype(dtype).reshape(shape)
            for linewidth in (80, 31, 54, 55, 56, 57, 58, 59):
                expected = on_device(values, device, linewidth)
                assert tensor.text(values, device, linewidth=linewidth) == expected


def test_apples_gpus_decide_in_float32(monkeypatch):
    values = np.array([1e-4, 0.05], np.float32)  # 1e-4 in float32 is a little less than in float64
    assert "e-" in tensor.text(values)
    monkeypatch.setattr(torch._tensor_str, "tensor_totype", lambda values: values.float())
    for case in (values, np.array([1e-45, 3e38], np.float32), np.array([1.0, 1e8], np.float32)):
        assert tensor.text(case, "mps:0") == on_device(case, "mps:0")


def test_lines_are_written_when_they_are_asked_for():
    values = np.full((18, 512), 0.5, np.float32)
    values[0, 0] = 0.75
    lines = tensor.lines(values, threshold=math.inf)
    first = next(lines)
    assert first.startswith("tensor([[0.7500, 0.5000,")
    values[17, 511] = 0.25  # nobody may do this, but here it shows that nothing was written ahead
    *_, last = lines
    assert last.endswith("0.2500]])")


def test_a_line_has_no_line_break():
    for seed in range(60):
        assert not any("\n" in line for line in tensor.lines(random_tensor(seed), "cuda:0"))


def test_what_torch_has_no_name_for_is_refused():
    with pytest.raises(ValueError, match="complex64"):
        tensor.lines(np.zeros(3, np.complex64))
