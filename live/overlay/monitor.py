"""The GPU monitor's text: a sample of `live.gpus` as the lines of a pane, in nvitop's manner.

From top to bottom: the date, a table of the cards with bars beside it where there is room, the
host with graphs of the last minutes, and the processes. Pure: the same sample, size and moment give
the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from live.gpus import Card, CardHistory, Host, Percentages, Process, Sample
from live.overlay import graphs
from live.overlay.figures import bare, clean, duration, precise, size, told, used
from live.overlay.frames import apart, border, cut, framed, padded
from live.overlay.table import (
    COLUMNS,
    TABLE,
    bar,
    card_colour,
    memory_colour,
    message,
    table,
    utilisation_colour,
)
from live.overlay.text import Colour, Line, Span

BARS_FROM = 100  # cells: from here on there are bars, and everything is as wide as the pane
STALE_S = 3.0
SMALLEST, LARGEST = 2, 6  # rows of a graph; without cards there is no largest
GRAPHS_FRAME = 5  # rows around and between two graphs
PROCESSES_FRAME = 5  # rows around processes

CPU: Colour = "bright_cyan"
MEMORY: Colour = "bright_magenta"
SWAP: Colour = "bright_blue"
OURS: Colour = "bright_green"
WARNING: Colour = "bright_red"
KEY: Colour = "bright_magenta"
MARK = "▌"  # before our own processes

PROCESS = "{:>3} {:>7} {:1} {:>7} {:>8} {:>3} {:>5} {:>5} {:>4} {:>8} {}"
PROCESS_TITLES = PROCESS.format(
    "GPU", "PID", "", "USER", "GPU-MEM", "%SM", "%GMBW", "%CPU", "%MEM", "TIME", "COMMAND"
)
KINDS = {"C": "C", "G": "G", "C+G": "X"}  # one cell each, as nvitop has them


def screen(
    sample: Sample | None, columns: int, rows: int, wall: datetime, age_s: float
) -> list[Line]:
    """What the pane shows: at most `rows` lines of at most `columns` cells.

    `wall` is the date and time of day; `age_s` how long ago the sample was begun. Where rows are
    few the graphs go first, then processes; what is wider than the pane is cut at its edge.
    """
    wide = columns if columns >= BARS_FROM else TABLE
    lines = [_date(wall)]
    if sample is None:
        lines += message(None, "waiting for the first sample", wide)
        lines.append(border("╘╛", "═", (wide - 2,)))
    else:
        lines += [_stale(age_s)] if age_s > STALE_S else []
        room = rows - len(lines)
        lines += _with_cards(sample, wide, room) if sample.cards else _alone(sample, wide, room)
    return [cut(line, columns) for line in lines[: max(0, rows)]]


def _date(wall: datetime) -> Line:
    hint = (
        Span("(Press "),
        Span("h", KEY, bold=True),
        Span(" for help or "),
        Span("q", KEY, bold=True),
        Span(" to quit)"),
    )
    return apart((Span(wall.ctime()),), hint, TABLE)


def _stale(age_s: float) -> Line:
    since = f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min"
    text = f"No new figures for {since}: what is below is that old."
    return (Span(text, WARNING, bold=True),)


def _alone(sample: Sample, wide: int, rows: int) -> list[Line]:
    """A sentence that says why there are no cards, and the host in all the room that is left."""
    lines = message(sample, sample.problem or "there is no GPU", wide)
    top = border("╞╡", "═", (wide - 2,))
    height = (rows - len(lines) - GRAPHS_FRAME) // 2
    if height < SMALLEST:
        return [*lines, top, *_host_bars(sample.host, wide)]
    host = _abreast([_host_graphs(sample, wide - 2, height)], height + 1)
    return [*lines, top, *host, border("╘╛", "═", (wide - 2,))]


def _with_cards(sample: Sample, wide: int, rows: int) -> list[Line]:
    lines, processes = table(sample, wide), _process_rows(sample.cards, wide)
    hidden = sum(card.unlisted for card in sample.cards)
    needed = PROCESSES_FRAME + len(processes) + min(1, hidden)
    height = min(LARGEST, (rows - len(lines) - needed - GRAPHS_FRAME) // 2)
    if height >= SMALLEST:
        lines += _graphs(sample, wide, height)
    elif wide > TABLE:
        lines.append(border("╞╧╧╧╡", "═", (*COLUMNS, wide - TABLE - 1)))
        lines += _host_bars(sample.host, wide)
    else:
        lines += [border("╞╧╧╡", "═", COLUMNS), *_host_bars(sample.host, wide)]
    return [*lines, *_processes(processes, hidden, wide, rows - len(lines))]


# The host, and the graphs.


def _host_bars(host: Host, wide: int) -> list[Line]:
    """The host in two lines and a border."""
    left = (wide - 2) // 2
    right = wide - 2 - left
    cpu = bar(" CPU: ", host.cpu, precise(host.cpu), left, CPU)
    memory = bar(" MEM: ", host.memory_share, precise(host.memory_share), left, MEMORY)
    swap = bar(" SWP: ", host.swap_share, precise(host.swap_share), right, SWAP)
    load = padded((Span(f" {_load(host)}"),), right)
    lines = [(*cpu, *load), (*memory, *swap)]
    return [*(framed(wide, line) for line in lines), border("╘╛", "═", (wide - 2,))]


def _graphs(sample: Sample, wide: int, height: int) -> list[Line]:
    """The host's graphs below the table, with the cards' beside them where there is room."""
    width, beside = TABLE - 2, wide - TABLE - 1
    columns, axis = [_host_graphs(sample, width, height)], height + 1
    if beside <= 0:
        top, bottom = border("╞╧╧╡", "═", COLUMNS), border("╘╛", "═", (width,))
    else:
        columns.append(_card_graphs(sample, beside, height))
        top = border("╞╧╧╪╡", "═", (*COLUMNS, beside))
        bottom = border("╘╧╛", "═", (width, beside))
    return [top, *_abreast(columns, axis), bottom]


def _abreast(columns: Sequence[Sequence[Line]], axis: int) -> list[Line]:
    """Columns side by side in their frame; the line of that number is an axis and meets it."""
    lines = []
    for number, parts in enumerate(zip(*columns, strict=True)):
        left, between, right = "├┼┤" if number == axis else "│││"
        line = [Span(left)]
        for part in parts:
            line += [*part, Span(between)]
        lines.append((*line[:-1], Span(right)))
    return lines


def _host_graphs(sample: Sample, width: int, height: int) -> list[Line]:
    """CPU upwards and memory downwards: lines of `width` cells, two more than both and an axis."""
    host, past = sample.host, sample.histories
    load = f"{_load(host)}  Uptime: {duration(host.uptime)} "
    memory = f" MEM: {precise(host.memory_share)}  {used(host.memory_used, host.memory_total)}"
    swap = f"SWP: {precise(host.swap_share)} "
    return [
        apart((Span(f" CPU: {precise(host.cpu)}", CPU),), (Span(load),), width),
        *_coloured(graphs.upward(past.cpu, width, height), CPU),
        (Span(graphs.axis(width, 2 * past.interval_s)),),
        *_coloured(graphs.downward(past.memory, width, height), MEMORY),
        apart((Span(memory, MEMORY),), (Span(swap, SWAP),), width),
    ]


def _card_graphs(sample: Sample, width: int, height: int) -> list[Line]:
    """The same of the card's memory and utilisation, or of the mean of several cards."""
    whose = "GPU" if len(sample.cards) == 1 else "AVG GPU"
    share = _mean([card.memory_share for card in sample.cards])
    busy = _mean([card.utilisation for card in sample.cards])
    memories, loads = _mean_histories(sample.histories.cards)
    memory_ink, busy_ink = memory_colour(share), utilisation_colour(busy)
    return [
        padded((Span(f" {whose} MEM: {precise(share)}", memory_ink),), width),
        *_coloured(graphs.upward(memories, width, height), memory_ink),
        (Span(graphs.axis(width, 2 * sample.histories.interval_s)),),
        *_coloured(graphs.downward(loads, width, height), busy_ink),
        padded((Span(f" {whose} UTL: {precise(busy)}", busy_ink),), width),
    ]


def _mean_histories(cards: Sequence[CardHistory]) -> tuple[Percentages, Percentages]:
    """Memory and utilisation over all cards, moment by moment."""
    if len(cards) == 1:
        return cards[0].memory, cards[0].utilisation
    return _means([card.memory for card in cards]), _means([card.utilisation for card in cards])


def _means(lines: Sequence[Percentages]) -> Percentages:
    length = max(map(len, lines), default=0)
    aligned = [(None,) * (length - len(line)) + line for line in lines]  # the newest is the last
    return tuple(map(_mean, zip(*aligned, strict=True)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _coloured(rows: Sequence[str], colour: Colour) -> list[Line]:
    return [(Span(row, colour),) for row in rows]


def _load(host: Host) -> str:
    return f"Load Average: {'  '.join(told(load, '{:.2f}') for load in host.load or (None,))}"


# The processes.


def _processes(rows: list[Line], hidden: int, wide: int, room: int) -> list[Line]:
    """The table, of as many rows as have room; nothing where not even one has."""
    room -= PROCESSES_FRAME
    if room < 1:
        return []
    if hidden or len(rows) > room:
        shown = rows[: room - 1]
        more = f" (and {hidden + len(rows) - len(shown)} more)"
        rows = [*shown, framed(wide, (Span(more),))]
    return [
        border("╒╕", "═", (wide - 2,)),
        framed(wide, (Span(" Processes:", bold=True),)),
        framed(wide, (Span(PROCESS_TITLES),)),
        border("╞╡", "═", (wide - 2,)),
        *rows,
        border("╘╛", "═", (wide - 2,)),
    ]


def _process_rows(cards: Sequence[Card], wide: int) -> list[Line]:
    """A line a process, card by card, our own first; a sentence where there is none."""
    rows = []
    for card in cards:
        colour = card_colour(card)
        mine_first = sorted(card.processes or (), key=lambda process: not process.ours)
        rows += [framed(wide, _process_row(process, colour)) for process in mine_first]
    if rows:
        return rows
    silent = all(card.processes is None for card in cards)
    text = "The driver tells of no processes" if silent else "No process uses a GPU"
    return [framed(wide, (Span(f" {text}"),))]


def _process_row(process: Process, colour: Colour) -> Line:
    text = PROCESS.format(
        process.gpu,
        process.pid,
        KINDS[process.kind],
        clean(process.user)[:7],
        size(process.memory),
        bare(process.sm, 3),
        bare(process.bandwidth, 5),
        bare(process.cpu, 5),
        bare(process.host_memory, 4),
        duration(process.seconds),
        clean(process.name),
    )
    if process.ours:
        return (Span(MARK + text[1:], OURS, bold=True),)
    return Span(text[:3], colour), Span(text[3:])
