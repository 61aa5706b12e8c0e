"""The monitor's table of cards, in the manner of nvidia-smi and nvitop, and the bars beside it."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Sequence
from functools import cache

from live.gpus import Card, Sample
from live.overlay import graphs
from live.overlay.figures import NOT_KNOWN, clean, on_off, percent, precise, told, used
from live.overlay.frames import BAR, border, framed, padded
from live.overlay.text import Colour, Line, Span

TABLE = 79  # cells, with its frame
COLUMNS = (31, 22, 22)  # of the table
NAME = 18  # cells of a card's name

MEMORY_LIMITS = (10, 80)  # %: from here on yellow, from here on red
UTILISATION_LIMITS = (10, 75)
SEVERITY: tuple[Colour, ...] = ("foreground", "bright_green", "bright_yellow", "bright_red")
LOST: Colour = "bright_red"

TITLES = (
    (" GPU  Name        Persistence-M", " Bus-Id        Disp.A ", " Volatile Uncorr. ECC "),
    (" Fan  Temp  Perf  Pwr:Usage/Cap", "         Memory-Usage ", " GPU-Util  Compute M. "),
)


def message(sample: Sample | None, text: str, wide: int) -> list[Line]:
    """The table with a sentence in the place of cards; its lower border is the caller's."""
    sentence = textwrap.wrap(clean(text[:1].upper() + text[1:]), wide - 4)[:4]
    rows = [framed(wide, (Span(f" {line}", bold=True),)) for line in sentence]
    between = border("├┤", "─", (wide - 2,))
    return [*_header(sample, wide), between, framed(wide), *rows, framed(wide)]


def table(sample: Sample, wide: int) -> list[Line]:
    """The table, and bars beside it where it is not as wide as the pane.

    Its lower border is the caller's.
    """
    beside = wide - TABLE - 1  # cells of the bars' column
    lines = [*_header(sample, TABLE), border("├┬┬┤", "─", COLUMNS)]
    lines += [(Span("│" + "│".join(titles) + "│"),) for titles in TITLES]
    for number, card in enumerate(sample.cards):
        corners, line = ("├┼┼┼┤", "─") if number else ("╞╪╪╪╕", "═")
        if beside > 0:
            lines.append(border(corners, line, (*COLUMNS, beside)))
            bars = _bars(card, beside)
            pairs = zip(_rows(card), bars, strict=True)
            lines += [(*row, *bar, BAR) for row, bar in pairs]
        else:
            lines.append(border(corners[:3] + ("┤" if number else "╡"), line, COLUMNS))
            lines += _rows(card)
    return lines


def bar(label: str, value: float | None, text: str, width: int, colour: Colour) -> Line:
    """A label, a bar of so many percent and the text behind it, in exactly `width` cells."""
    if value is None:
        return padded((Span(f"{label}{NOT_KNOWN}", colour),), width)
    drawn = graphs.bar(value, max(0, width - len(label) - len(" 100.0% ")))
    text = "MAX" if value >= 100 else text
    return padded((Span(f"{label}{drawn} {text}", colour),), width)


def memory_colour(share: float | None) -> Colour:
    """Of so many percent of a card's memory; the foreground's where they are not known."""
    return SEVERITY[_severity(share, MEMORY_LIMITS)]


def utilisation_colour(share: float | None) -> Colour:
    """Of so many percent of a card's time; the foreground's where they are not known."""
    return SEVERITY[_severity(share, UTILISATION_LIMITS)]


def card_colour(card: Card) -> Colour:
    """That of the worse of memory and utilisation."""
    if card.problem:
        return LOST
    memory = _severity(card.memory_share, MEMORY_LIMITS)
    return SEVERITY[max(memory, _severity(card.utilisation, UTILISATION_LIMITS))]


def _severity(share: float | None, limits: tuple[float, float]) -> int:
    return 0 if share is None else 1 + sum(share >= limit for limit in limits)


def _header(sample: Sample | None, wide: int) -> list[Line]:
    driver = f"Driver Version: {clean(None if sample is None else sample.driver)}"
    cuda = f"CUDA Driver Version: {clean(None if sample is None else sample.cuda)}"
    line = Span(f" {_title():<18}", bold=True), Span(f"{driver:<30}{cuda:>27} ")
    return [border("╒╕", "═", (wide - 2,)), framed(wide, line)]


@cache
def _title() -> str:
    """The program with its version, looked up once."""
    try:
        return f"ANTHESIS {importlib.metadata.version('anthesis')}"
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return "ANTHESIS"


def _rows(card: Card) -> tuple[Line, Line]:
    name = clean(card.name.removeprefix("NVIDIA "))
    name = name if len(name) <= NAME else f"{name[: NAME - 2]}.."
    heat, state = told(card.temperature, "{:.0f}C"), told(card.performance_state, "P{}")
    power = f"{told(card.power, '{:.0f}W')} / {told(card.power_limit, '{:.0f}W')}"
    first = (
        f" {card.index:>3}  {name:<{NAME}} {on_off(card.persistence):>4}  ",
        f" {clean(card.bus_id):<16} {on_off(card.display_active):>3} ",
        f" {_clocks(card):<13} {told(card.ecc_errors, '{}'):>6} ",
    )
    second = (
        f"{percent(card.fan):>4}  {heat:>4}  {state:>4}  {power:>12} ",
        f" {used(card.memory_used, card.memory_total):>20} ",
        f" {percent(card.utilisation):>8}  {clean(card.compute_mode):>10} ",
    )
    if card.problem:
        second = (f" {clean(card.problem)}", *second[1:])
    colour = card_colour(card)
    return _cells(first, colour), _cells(second, colour)


def _clocks(card: Card) -> str:
    """Those of its processors and its memory; the column has room for them beside the errors."""
    if card.sm_clock is None and card.memory_clock is None:
        return ""
    return f"{told(card.sm_clock, '{}')}/{told(card.memory_clock, '{}')}MHz"


def _cells(texts: Sequence[str], colour: Colour) -> Line:
    spans = [BAR]
    for text, width in zip(texts, COLUMNS, strict=True):
        spans += [Span(text[:width].ljust(width), colour), BAR]
    return tuple(spans)


def _bars(card: Card, width: int) -> tuple[Line, Line]:
    memory, busy = card.memory_share, card.utilisation
    return (
        bar(" MEM: ", memory, precise(memory), width, memory_colour(memory)),
        bar(" UTL: ", busy, percent(busy), width, utilisation_colour(busy)),
    )
