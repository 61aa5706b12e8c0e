"""Numbers as torch prints them, without torch: the lines of `repr(torch.tensor(values))`.

What has to be known of all the numbers (do they need an exponent, how wide is the widest) follows
from a few extremes and is asked of numpy in one go. A line is written when it is asked for, so that
18 x 512 numbers can be printed over seconds and cost a frame what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_PREFIX = "tensor("
_FLOATS = ("float16", "float32", "float64")
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8")
_UNSAID = ("float32", "int64", "bool")  # types that torch takes for granted

Numbers: TypeAlias = NDArray[Any]


def lines(
    values: Numbers,
    device: str = "cpu",
    *,
    linewidth: int = 80,
    edgeitems: int = 3,
    threshold: float = 1000,
    precision: int = 4,
) -> Iterator[str]:
    """The lines that torch prints for a tensor, each when it is asked for.

    Args:
        values: any shape; float16, float32, float64, an integer of at most 64 bits, or bool. It
            must not change before the last line is taken.
        device: torch's name of where the tensor is: "cpu", "cuda:0", "mps:0".
        linewidth, edgeitems, threshold, precision: as in `torch.set_printoptions`; `math.inf` as
            the threshold is its profile "full".

    Raises ValueError for a type that it cannot print.
    """
    if values.dtype.name not in (*_FLOATS, *_WHOLE):
        raise ValueError(f"cannot print {values.dtype.name} as torch does")
    summarised = values.size > threshold
    shown = _edges(values, edgeitems) if summarised else values
    width, write = _style(shown, precision, device)
    page = _Page(linewidth, edgeitems, summarised, width, write)
    return _closed(page.lines(values), _suffixes(values, device, edgeitems), linewidth)


def text(
    values: Numbers,
    device: str = "cpu",
    *,
    linewidth: int = 80,
    edgeitems: int = 3,
    threshold: float = 1000,
    precision: int = 4,
) -> str:
    """`repr(torch.tensor(values))`; arguments and errors are those of `lines`."""
    return "\n".join(
        lines(
            values,
            device,
            linewidth=linewidth,
            edgeitems=edgeitems,
            threshold=threshold,
            precision=precision,
        )
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """How a tensor is laid out."""

    linewidth: int
    edgeitems: int  # numbers, rows, ... before and after "..."
    summarised: bool
    width: int  # of a number, without what separates it from the next
    write: Callable[[Any], str]

    def lines(self, values: Numbers) -> Iterator[str]:
        """Everything up to the last closing bracket."""
        if values.size == 0:
            return iter([f"{_PREFIX}[]"])
        if values.ndim == 0:
            return iter([_PREFIX + self.write(values.item())])
        return self._block(values, _PREFIX, "")

    def _block(self, values: Numbers, before: str, after: str) -> Iterator[str]:
        """The lines of [N, ...], between what its first line begins and its last ends with."""
        before, after = f"{before}[", f"]{after}"
        if values.ndim == 1:
            yield from self._row(values, before, after)
            return
        parts: list[Numbers | None] = list(values)
        if self._cuts(values):
            parts = [*parts[: self.edgeitems], None, *parts[len(parts) - self.edgeitems :]]
        between = "," + "\n" * (values.ndim - 2)  # blocks of more dimensions lie further apart
        for i, part in enumerate(parts):
            begin = before if i == 0 else " " * len(before)
            end = after if i == len(parts) - 1 else between
            if part is None:
                yield from f"{begin}...{end}".split("\n")
            else:
                yield from self._block(part, begin, end)

    def _row(self, values: Numbers, before: str, after: str) -> Iterator[str]:
        """The lines of one row, which takes as many as it needs."""
        each = max(1, (self.linewidth - len(before) + 1) // (self.width + 2))
        numbers: list[str] | None = None
        if self._cuts(values):
            edge = self.edgeitems
            dots = " ..." if edge else "..."
            numbers = [*map(self.write, values[:edge].tolist()), dots]
            numbers += map(self.write, values[len(values) - edge :].tolist())
        count = len(values) if numbers is None else len(numbers)
        for i in range(0, count, each):
            if numbers is None:
                line = ", ".join(map(self.write, values[i : i + each].tolist()))
            else:
                line = ", ".join(numbers[i : i + each])
            begin = before if i == 0 else " " * len(before)
            if i + each < count:
                yield f"{begin}{line},"
            else:
                yield from f"{begin}{line}{after}".split("\n")

    def _cuts(self, values: Numbers) -> bool:
        return self.summarised and len(values) > 2 * self.edgeitems


def _edges(values: Numbers, edgeitems: int) -> Numbers:
    """The numbers that a summary shows."""
    for axis, size in enumerate(values.shape):
        if size > 2 * edgeitems:
            kept = np.r_[0:edgeitems, size - edgeitems : size]
            values = np.take(values, kept, axis)
    return values


def _style(values: Numbers, precision: int, device: str) -> tuple[int, Callable[[Any], str]]:
    """Width of a number, and how one is written. Zeros, inf and nan have no say in it."""
    if values.dtype.name in _WHOLE:
        width = max((len(str(end.item())) for end in _ends(values)), default=1)
        return width, lambda value: str(value).rjust(width)
    counting = values[np.isfinite(values) & (values != 0)]
    if counting.size == 0:
        return 1, lambda value: _whole(value, 1)
    if _needs_exponent(np.abs(counting), device):
        ends = [*_ends(counting[counting > 0]), *_ends(counting[counting < 0])]
        width = max(len(f"{end:.{precision}e}") for end in ends)
        return width, f"{{:>{width}.{precision}e}}".format
    if (counting == np.ceil(counting)).all():
        width = max(len(f"{end:.0f}.") for end in _ends(counting))
        return width, lambda value: _whole(value, width)
    width = max(len(f"{end:.{precision}f}") for end in _ends(counting))
    return width, f"{{:>{width}.{precision}f}}".format


def _ends(values: Numbers) -> tuple[Any, ...]:
    """The numbers among which the one with the longest text is: both ends of those of a sign."""
    return (values.min(), values.max()) if values.size else ()


def _needs_exponent(magnitudes: Numbers, device: str) -> bool:
    # In torch's own arithmetic: Apple's GPUs have no float64, where 1e-4 itself is not below 1e-4.
    kind = np.float32 if device.startswith("mps") else np.float64
    least, most = magnitudes.min().astype(kind), magnitudes.max().astype(kind)
    with np.errstate(over="ignore"):
        return bool(most / least > 1000.0 or most > kind(1e8) or least < kind(1e-4))


def _whole(value: float, width: int) -> str:
    """A number without decimals, as a float: "7.", but "inf"."""
    return (f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}").rjust(width)


def _suffixes(values: Numbers, device: str, edgeitems: int) -> list[str]:
    kind = values.dtype.name
    suffixes = [] if device == "cpu" else [f"device='{device}'"]
    if edgeitems == 0 if values.size else values.ndim != 1:
        suffixes.append(f"size={values.shape}")
    # Where there is no number to tell integers from floats by, integers are named, too.
    if kind not in (_UNSAID if values.size else _UNSAID[:1]):
        suffixes.append(f"dtype=torch.{kind}")
    return suffixes


def _closed(body: Iterator[str], suffixes: list[str], linewidth: int) -> Iterator[str]:
    """The lines with suffixes and bracket after the last; a suffix without room has its own."""
    last = next(body)
    for line in body:
        yield last
        last = line
    used = len(last) + 2  # torch counts two more than the line has
    for suffix in suffixes:
        if used + len(suffix) + 2 > linewidth:
            yield f"{last},"
            last, used = " " * len(_PREFIX) + suffix, len(_PREFIX) + len(suffix)
        else:
            last, used = f"{last}, {suffix}", used + len(suffix) + 2
    yield f"{last})"
