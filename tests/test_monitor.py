"""The GPU monitor's text: it fits its pane, shows what was sampled, and makes nothing up."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.chronicle import HISTORY
from live.fake_gpus import (
    DATACENTRE,
    FakeNvml,
    FakeProcess,
    State,
    few_values,
    lost_card,
    one_card,
    two_cards,
)
from live.gpus import (
    Card,
    CardHistory,
    Histories,
    Host,
    Process,
    Readings,
    Sample,
)
from live.overlay import graphs
from live.overlay.figures import clean, duration, size
from live.overlay.monitor import MARK, OURS, screen
from live.overlay.text import COLOURS, plain

WALL = datetime(2026, 11, 25, 18, 49, 18)
GIB = 2**30
HOST = Host(12.5, (0.7, 0.55, 0.41), 8 * GIB, 32 * GIB, 0, 2 * GIB, 86_400 * 5.6)
PROCESS = Process(4711, "alice", 0, "C", "blender", 3 * GIB, 40, 20, 99.5, 6.2, 5025)
CARD = Card(
    index=0,
    name="NVIDIA GeForce RTX 4090",
    memory_used=6 * GIB,
    memory_total=24 * GIB,
    utilisation=50,
    processes=(PROCESS,),
)
SAMPLE = Sample(0, "550.54.15", "12.4", (CARD,), HOST)


def texts(sample, columns=120, rows=60, age_s=0.0):
    return [plain(line) for line in screen(sample, columns, rows, WALL, age_s)]


def text(sample, columns=120, rows=60, age_s=0.0):
    return "\n".join(texts(sample, columns, rows, age_s))


def played(recording, samples=1):
    """What a stage would have after so many samples, half a second apart."""
    moments = iter(range(0, 10**12, 500_000_000))
    readings = Readings(FakeNvml(recording), lambda: next(moments))
    for _ in range(samples):
        sample = readings.take()
    return sample


def row_of(lines, words):
    """The number of the one line with those words."""
    (found,) = [number for number, line in enumerate(lines) if words in line]
    return found


# What it says.


def test_two_cards_are_both_told():
    lines = texts(played(two_cards()), columns=79)
    assert lines[:9] == [
        "Wed Nov 25 18:49:18 2026                        (Press h for help or q to quit)",
        "╒═════════════════════════════════════════════════════════════════════════════╕",
        lines[2],
        "├───────────────────────────────┬──────────────────────┬──────────────────────┤",
        "│ GPU  Name        Persistence-M│ Bus-Id        Disp.A │ Volatile Uncorr. ECC │",
        "│ Fan  Temp  Perf  Pwr:Usage/Cap│         Memory-Usage │ GPU-Util  Compute M. │",
        "╞═══════════════════════════════╪══════════════════════╪══════════════════════╡",
        "│   0  GeForce RTX 4090    Off  │ 00000000:01:00.0  On │ 2520/10501MHz    N/A │",
        "│ 31%   47C    P2    86W / 450W │   5120MiB / 24.00GiB │       8%     Default │",
    ]
    assert lines[9:13] == [
        "├───────────────────────────────┼──────────────────────┼──────────────────────┤",
        "│   1  A100-SXM4-80GB       On  │ 00000000:41:00.0 Off │ 1410/1593MHz       0 │",
        "│ N/A   33C    P0   396W / 400W │  70.00GiB / 80.00GiB │      97%  E. Process │",
        "╞═══════════════════════════════╧══════════════════════╧══════════════════════╡",
    ]
    assert lines[2].startswith("│ ANTHESIS")
    assert "Driver Version: 550.54.15 " in lines[2]
    assert lines[2].endswith("CUDA Driver Version: 12.4 │")


def test_what_is_not_known_reads_so():
    lines = texts(played(few_values([10_000_000])))
    assert "│ N/A   N/A   N/A     N/A / N/A │            N/A / N/A │      N/A         N/A │" in (
        "\n".join(lines)
    )
    assert " MEM: N/A " in lines[row_of(lines, "GRID")]
    row = lines[row_of(lines, "10000000")]
    assert row.split()[1:] == ["0", "10000000", "C", "?", *["N/A"] * 6, "?", "│"]


def test_a_lost_card_says_so_beside_the_other():
    lines = texts(played(lost_card(before=1), samples=2))
    assert "A100-SXM4-80GB" in lines[row_of(lines, "GPU is lost") - 1]
    assert "8%" in lines[row_of(lines, "RTX 4090") + 1]


def test_without_a_driver_there_is_a_sentence_and_a_larger_host():
    problem = "no NVIDIA driver answers: NVML Shared Library Not Found"
    lines = texts(Sample(0, host=HOST, problem=problem), rows=40)
    assert "│ N" + problem[1:] in lines[5]
    assert "GPU-Util" not in "".join(lines)
    assert len(lines) in (39, 40)
    assert "CPU: 12.5%" in lines[8]
    assert "MEM: 25.0%  8192MiB / 32.00GiB" in lines[-2]
    assert "Uptime: 5.6 days" in lines[8]


def test_before_the_first_sample_it_waits():
    assert "Waiting for the first sample" in text(None)


def test_a_sample_that_is_old_is_called_so():
    assert "No new figures" not in text(SAMPLE, age_s=2.9)
    assert "No new figures for 12 s" in texts(SAMPLE, age_s=12.3)[1]
    assert "No new figures for 5 min" in texts(SAMPLE, age_s=300)[1]


def test_our_own_processes_are_marked():
    sample = played(one_card([os.getppid(), os.getpid()]))
    lines = screen(sample, 100, 60, WALL, 0)
    at = row_of([plain(line) for line in lines], "anthesis stage")
    (ours,) = [span for span in lines[at] if "anthesis stage" in span.text]
    assert ours.text.startswith(MARK)
    assert (ours.colour, ours.bold) == (OURS, True)
    assert f" {os.getpid()} " in ours.text
    assert [line for line in lines if MARK + " 0" in plain(line)] == [lines[at]]
    assert f" {os.getppid()} " in plain(lines[at + 1])  # ours come first


def test_no_argument_of_a_process_is_ever_on_the_screen():
    code = "import sys; sys.stdin.read()"
    command = [sys.executable, "-c", code, "--token=hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        shown = text(played(one_card([child.pid])), columns=400)
    assert str(child.pid) in shown
    assert "hunter2" not in shown
    assert "stdin" not in shown


def test_a_process_is_a_row():
    row = texts(SAMPLE, columns=79)[-2]
    assert row == "│  0    4711 C   alice  3072MiB  40    20  99.5  6.2  1:23:45 blender         │"


def test_no_process_and_no_answer_are_told_apart():
    card = replace(CARD, processes=())
    assert "No process uses a GPU" in text(replace(SAMPLE, cards=(card,)))
    card = replace(CARD, processes=None)
    assert "The driver tells of no processes" in text(replace(SAMPLE, cards=(card,)))


# What gives way.


def crowded(count, unlisted=0):
    processes = tuple(replace(PROCESS, pid=1000 + n) for n in range(count))
    return replace(SAMPLE, cards=(replace(CARD, processes=processes, unlisted=unlisted),))


def test_graphs_go_first_and_then_processes():
    sample = crowded(5)
    roomy, tight, tighter = (texts(sample, rows=rows) for rows in (28, 27, 21))
    assert "╴30s├" in "".join(roomy)
    assert "╴30s├" not in "".join(tight)
    for lines in (roomy, tight):
        assert all(f" {1000 + n} " in "".join(lines) for n in range(5))
    assert len(tighter) == 21
    assert " 1001 " in "".join(tighter)
    assert " 1002 " not in "".join(tighter)
    assert "(and 3 more)" in tighter[-2]


def test_processes_that_were_not_described_are_counted():
    assert "(and 7 more)" in text(crowded(5, unlisted=7))
    assert "(and 10 more)" in text(crowded(5, unlisted=7), rows=21)


def test_narrower_than_the_table_it_is_cut():
    whole = texts(played(two_cards()), columns=79, rows=30)
    assert texts(played(two_cards()), columns=40, rows=9) == [line[:40] for line in whole[:9]]


# Colours.


def colour_of(card, words):
    """The colours of what is on a card's two rows, and on its bars."""
    lines = screen(replace(SAMPLE, cards=(card,)), 120, 60, WALL, 0)
    return {span.colour for line in lines[7:9] for span in line if words in span.text}


@pytest.mark.parametrize(
    ("memory", "busy", "of_memory", "of_busy", "of_card"),
    [
        (9.9, 9, "bright_green", "bright_green", "bright_green"),
        (10, 0, "bright_yellow", "bright_green", "bright_yellow"),
        (0, 10, "bright_green", "bright_yellow", "bright_yellow"),
        (79.9, 74, "bright_yellow", "bright_yellow", "bright_yellow"),
        (80, 74, "bright_red", "bright_yellow", "bright_red"),
        (0, 75, "bright_green", "bright_red", "bright_red"),
        (100, 100, "bright_red", "bright_red", "bright_red"),
        (None, None, "foreground", "foreground", "foreground"),
        (None, 20, "foreground", "bright_yellow", "bright_yellow"),
    ],
)
def test_thresholds(memory, busy, of_memory, of_busy, of_card):
    used = None if memory is None else int(memory * 10)
    card = replace(CARD, memory_used=used, memory_total=1000, utilisation=busy)
    assert colour_of(card, "MEM:") == {of_memory}
    assert colour_of(card, "UTL:") == {of_busy}
    assert colour_of(card, "RTX") == colour_of(card, "/ ") == {of_card}


@pytest.mark.parametrize(
    ("sm", "memory", "told"),
    [(2520, 10501, "2520/10501MHz"), (210, None, "210/N/AMHz"), (None, None, "Off │")],
)
def test_clocks_stand_beside_the_errors(sm, memory, told):
    card = replace(CARD, sm_clock=sm, memory_clock=memory, display_active=False)
    assert told in texts(replace(SAMPLE, cards=(card,)))[7]
    assert ("MHz" in texts(replace(SAMPLE, cards=(card,)))[7]) == ("MHz" in told)


def test_bars_end_in_their_percentage():
    card = replace(CARD, memory_used=24 * GIB, utilisation=50)
    lines = texts(replace(SAMPLE, cards=(card,)))
    assert lines[7].endswith("│ MEM: " + "█" * 26 + " MAX    │")
    assert lines[8].endswith("│ UTL: " + "█" * 13 + " 50%" + " " * 17 + "│")


# Bars and graphs.


@pytest.mark.parametrize(
    ("percent", "drawn"),
    [
        (0, ""),
        (0.01, "▏"),
        (1.25, "▏"),
        (12.5, "█▎"),
        (50, "█████"),
        (99.9, "█████████▉"),
        (100, "██████████"),
        (250, "██████████"),
        (-1, ""),
    ],
)
def test_a_bar(percent, drawn):
    assert graphs.bar(percent, 10) == drawn


def test_a_graph_stands_and_hangs():
    values = (0, None, 12.5, 50, 62.5, 100)  # of eight dots: 1 none 1 4 5 8
    assert graphs.upward(values, 4, 2) == ("\u2800\u2800\u2800⣸", "\u2800⡀⣸⣿")
    assert graphs.downward(values, 4, 2) == ("\u2800⠁⢹⣿", "\u2800\u2800\u2800⢹")


def test_a_graph_shows_the_newest_values():
    values = tuple(float(value) for value in range(101))
    assert graphs.upward(values, 3, 4) == graphs.upward(values[-6:], 3, 4)


def dots(rows):
    """How many dots are on in each column of dots."""
    count = [0] * (2 * len(rows[0]))
    for row in rows:
        for cell, character in enumerate(row):
            bits = ord(character) - 0x2800
            count[2 * cell] += (bits & 0x47).bit_count()
            count[2 * cell + 1] += (bits & 0xB8).bit_count()
    return count


percentages = st.lists(st.none() | st.floats(0, 100), max_size=HISTORY).map(tuple)


@given(percentages, st.integers(1, 20), st.integers(1, 6))
def test_every_value_has_its_dots_in_both_graphs(values, cells, rows):
    newest = values[-2 * cells :]
    expected = [0] * (2 * cells - len(newest))
    expected += [0 if v is None else max(1, round(v * 4 * rows / 100)) for v in newest]
    up, down = graphs.upward(values, cells, rows), graphs.downward(values, cells, rows)
    assert dots(up) == dots(down) == expected
    assert {len(row) for row in (*up, *down)} == {cells}
    mirrored = str.maketrans({0x2800 + u: 0x2800 + d for u, d in mirror()})
    assert tuple(row.translate(mirrored) for row in reversed(up)) == down


def mirror():
    """Cells filled from below, and from above."""
    for left in range(5):
        for right in range(5):
            yield (
                graphs.FROM_BELOW.left[left] | graphs.FROM_BELOW.right[right],
                graphs.FROM_ABOVE.left[left] | graphs.FROM_ABOVE.right[right],
            )


@given(st.integers(1, 200), st.floats(0.1, 10))
def test_an_axis_has_its_seconds_where_they_were(cells, seconds_a_cell):
    line = graphs.axis(cells, seconds_a_cell)
    assert len(line) == cells
    for seconds in (30, 60, 120):
        if f"╴{seconds}s├" in line:
            mark = line.index(f"{seconds}s├") + len(f"{seconds}s")
            assert cells - 1 - mark == round(seconds / seconds_a_cell)


def test_a_cell_is_a_second():
    assert graphs.axis(77, 1.0).endswith("╴60s├" + "─" * 25 + "╴30s├" + "─" * 30)


def test_several_cards_have_the_mean_of_their_histories():
    other = replace(CARD, index=1, utilisation=100, memory_used=None, processes=())
    past = Histories(
        cards=(CardHistory((0, 100), (25, 25)), CardHistory((None, 50, 100), (None,) * 3))
    )
    sample = replace(SAMPLE, cards=(CARD, other), histories=past)
    lines = texts(sample, columns=100)
    assert "AVG GPU MEM: 25.0%" in lines[row_of(lines, "AVG GPU MEM")]
    at = row_of(lines, "AVG GPU UTL: 75.0%")
    drawn = [line[80:-1] for line in lines[at - 6 : at]]
    assert dots(drawn)[-3:] == [0, 6, 24]


# Whatever comes.

words = st.text(max_size=60)
counts = st.none() | st.integers(0, 2**63)
numbers = st.none() | st.floats(0, 1e300) | st.integers(0, 2**63)
switches = st.none() | st.booleans()
processes = st.builds(
    Process,
    pid=st.integers(0, 2**32),
    user=words,
    gpu=st.integers(0, 200),
    kind=st.sampled_from(["C", "G", "C+G"]),
    name=words,
    memory=counts,
    sm=numbers,
    bandwidth=numbers,
    cpu=numbers,
    host_memory=numbers,
    seconds=st.none() | st.floats(0, 1e12),
    ours=st.booleans(),
)
cards = st.builds(
    Card,
    index=st.integers(0, 1000),
    name=words,
    bus_id=st.none() | words,
    persistence=switches,
    display_active=switches,
    ecc_errors=counts,
    fan=numbers,
    temperature=numbers,
    performance_state=counts,
    power=numbers,
    power_limit=numbers,
    memory_used=counts,
    memory_total=counts,
    utilisation=numbers,
    compute_mode=st.none() | words,
    processes=st.none() | st.lists(processes, max_size=5).map(tuple),
    unlisted=st.integers(0, 1000),
    problem=st.just("") | words,
)
hosts = st.builds(
    Host,
    cpu=numbers,
    load=st.none() | st.tuples(*[st.floats(0, 1e300)] * 3),
    memory_used=counts,
    memory_total=counts,
    swap_used=counts,
    swap_total=counts,
    uptime=st.none() | st.floats(0, 1e12),
)
histories = st.builds(
    Histories,
    interval_s=st.floats(0.1, 10),
    cpu=percentages,
    memory=percentages,
    cards=st.lists(st.builds(CardHistory, percentages, percentages), max_size=3).map(tuple),
)
samples = st.builds(
    Sample,
    taken_ns=st.integers(),
    driver=st.none() | words,
    cuda=st.none() | words,
    cards=st.lists(cards, max_size=4).map(tuple),
    host=hosts,
    problem=words,
    histories=histories,
)


@given(
    st.none() | samples, st.integers(-1, 250), st.integers(-1, 90), st.floats(0, 1e9), st.dates()
)
def test_every_screen_fits(sample, columns, rows, age_s, day):
    lines = screen(sample, columns, rows, datetime(day.year, day.month, day.day), age_s)
    assert len(lines) <= max(0, rows)
    for line in lines:
        assert len(plain(line)) <= max(0, columns)
        assert all(span.colour in COLOURS and span.on in COLOURS for span in line)
    characters = set("".join(map(plain, lines)))
    assert all(c.isprintable() for c in characters)
    drawn = {c for c in characters if c >= "\u0250"}
    assert all("\u2500" <= c <= "\u259f" or "\u2800" <= c <= "\u28ff" for c in drawn)


@given(samples, st.integers(100, 200), st.integers(20, 60))
def test_every_border_is_closed(sample, columns, rows):
    """Lines within the table and the graphs are of one width, and end in a frame."""
    lines = [plain(line) for line in screen(sample, columns, rows, WALL, 0)][1:]
    assert {len(line) for line in lines} <= {79, columns}
    assert all(line[0] in "╒│├╞╘" and line[-1] in "╕│┤╡╛" for line in lines)


def test_figures():
    assert [size(n) for n in (0, 2**20, 9999 * 2**20, 10 * GIB, 141 * GIB, 2048 * GIB)] == [
        "0MiB",
        "1MiB",
        "9999MiB",
        "10.00GiB",
        "141.0GiB",
        "2.00TiB",
    ]
    seconds = (0, 59.9, 61, 3600, 86_399, 86_400, 86_400 * 123)
    assert [duration(s) for s in seconds] == [
        "0:00",
        "0:59",
        "1:01",
        "1:00:00",
        "23:59:59",
        "1.0 days",
        "123 days",
    ]
    assert clean("a\x1b[31m\u202e日é") == "a?[31m??é"


@given(st.integers(0, 9_000 * 2**40), st.floats(0, 86_400 * 999))
def test_sizes_and_times_fit_their_columns(amount, seconds):
    assert len(size(amount)) <= 8
    assert len(duration(seconds)) <= 8


def test_a_datacentre_card_shows_who_computes():
    card = replace(DATACENTRE, processes=(FakeProcess(10_000_001, GIB, sm=48, bandwidth=31),))
    row = texts(played([State((card,))]))[-2]
    assert row.split()[1:8] == ["0", "10000001", "C", "?", "1024MiB", "48", "31"]
