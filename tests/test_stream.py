"""The terminal's life: what it types and prints, and when."""

import ast
import math
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.overlay.graphs import bar
from live.overlay.programs import SCRIPT, Program, bundled_programs
from live.overlay.screen import Screen
from live.overlay.stream import MOST_MESSAGES, STALL_NS, Caption, Identity, Stream
from live.overlay.text import COLOURS

S = 1_000_000_000
PROMPT = "irene@stage:~$"
IRENE = Identity("irene", "stage", "flowers.toml", "garden", "flower128", "Flowers")


def caption(number=1204, seed=1, device="cpu"):
    ws = np.random.RandomState(seed).randn(6, 40).astype(np.float32)
    w_avg = ws.mean(axis=0)
    keys = (("seed 124", 0.631), ("seed 9", 0.369))
    return Caption(
        *(number, 50.2, "garden", 1, 4, 12.37, 120.0, 0.7, keys, ws, w_avg, device, 1024)
    )


def rows(screen):
    order = [(screen.first + i) % screen.rows for i in range(screen.rows)]
    return ["".join(map(chr, screen.codes[row])).rstrip() for row in order]


def written(screen):
    """The rows above the cursor."""
    return rows(screen)[: screen.cursor[0]]


def program(**table):
    return Program.model_validate(table)


def started(table, size=(60, 30), at=0):
    screen = Screen(*size)
    return Stream(program(**table), IRENE, screen, at), screen


def run(stream, start, end, hertz, captions=caption):
    """Advance at a steady frame rate; ns."""
    step = S // hertz
    for at in range(start, end, step):
        stream.advance(at, captions)
    stream.advance(end, captions)


def never():
    raise AssertionError("nothing asked for a caption")


# --- script ------------------------------------------------------------------------------------


def test_a_command_is_typed_character_by_character_and_the_prompt_stays():
    stream, screen = started({"script": ["$ ls {setlist}", "{title}"], "typing": 10})
    seen = []
    for at in range(0, 6 * S, S // 50):
        stream.advance(at, never)
        if not seen or seen[-1] != rows(screen)[0]:
            seen.append(rows(screen)[0])
    typed = [f"{PROMPT} {'ls flowers.toml'[:n]}".rstrip() for n in range(16) if n != 3]
    assert seen == typed  # a blank at the end is not seen
    assert rows(screen)[:4] == [f"{PROMPT} ls flowers.toml", "Flowers", PROMPT, ""]
    assert screen.cursor == (2, len(PROMPT) + 1)


def test_typing_has_the_pace_of_the_program():
    stream, screen = started({"script": ["$ " + "x" * 101], "typing": 20}, size=(200, 5))
    moments = []
    for at in range(0, 7 * S, S // 1000):
        before = screen.cursor
        stream.advance(at, never)
        if before[0] == screen.cursor[0] == 0 < before[1]:
            moments += [at] * (screen.cursor[1] - before[1])
    assert len(moments) == 101
    assert (moments[-1] - moments[0]) / S == pytest.approx(100 / 20, rel=0.02)
    gaps = np.diff(moments) / S
    assert 0.02 <= gaps.min() <= gaps.max() <= 0.08
    assert gaps.std() > 0.005  # as by hand


def test_the_prompt_has_its_colours():
    stream, screen = started({})
    stream.advance(0, never)
    names = [COLOURS[index] for index in screen.colours[0][: len(PROMPT)]]
    assert names == [*["bright_green"] * 11, "foreground", "bright_blue", "foreground"]
    assert screen.bold[0][: len(PROMPT)].tolist() == [*[True] * 11, False, True, False]


def test_the_fields_of_a_script_are_those_of_the_identity():
    line = " ".join(f"{{{name}}}" for name in SCRIPT)
    stream, screen = started({"script": [line]})
    stream.advance(0, never)
    assert rows(screen)[0] == "flowers.toml garden flower128 Flowers irene stage"


# --- frames ------------------------------------------------------------------------------------


def numbers(text):
    """The first tensor that is printed in a text."""
    body = re.search(r"tensor\(([^)]*\])[^)]*\)", text)[1]
    return np.array(ast.literal_eval(body))


@pytest.mark.parametrize("columns", [70, 100])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize(("smallest", "form"), [(0.02, ".4f"), (1e-6, ".4e")])
def test_what_is_printed_is_the_very_w_of_the_frame(columns, device, smallest, form):
    screen = Screen(columns, 400)
    stream = Stream(bundled_programs()["waterfall"], IRENE, screen, 0)
    frame = caption(device=device)
    ws = np.where(np.abs(frame.ws) < 0.02, smallest, frame.ws).astype(np.float32)
    shared = np.zeros_like(ws)
    asked = []

    def captions():
        """In the same memory, which holds something else as soon as the call is over."""
        shared[:] = 0.0 if asked else ws
        asked.append(1)
        return replace(frame, ws=shared)

    at = 0
    while len(asked) < 2:
        stream.advance(at, captions)
        shared[:] = -1.0
        at += S // 60
    text = "\n".join(rows(screen))
    assert "frame 001204  cue 1/4 garden  beat 12.37  seed 124 0.63  seed 9 0.37" in text
    expected = [[float(format(value, form)) for value in row] for row in ws.tolist()]
    assert numbers(text).tolist() == expected
    assert ("device='cuda:0')" in text) == (device == "cuda:0")


def test_a_caption_is_asked_for_when_a_block_begins_and_holds_for_all_of_it():
    stream, screen = started({"frame": ["{frame} a", "{frame} b", "{frame} c"], "rate": 10})
    frame = 0
    asked = []

    def captions():
        asked.append(frame)
        return caption(frame)

    for at in range(0, 2 * S, S // 20):
        stream.advance(at, captions)
        frame += 1
    # 3 lines take 0.3 s, the pause takes 0.5 s
    assert asked == [0, 16, 32]
    assert written(screen) == ["0 a", "0 b", "0 c", "16 a", "16 b", "16 c", "32 a", "32 b", "32 c"]


def test_without_a_frame_it_waits_for_one():
    stream, screen = started({"frame": ["{frame}"]})
    run(stream, 0, S, 30, lambda: None)
    assert written(screen) == []
    run(stream, S, S + S // 10, 30)
    assert written(screen) == ["1204"]


def test_tensors_are_summarised_or_whole():
    wide = np.random.RandomState(1).randn(18, 512).astype(np.float32)
    frame = Caption(*(1, 0.0, "a", 1, 1, 0.0, 120.0, 1.0, ()), wide, wide[0], "cpu", 1024)
    for summarise, count in ((True, 7), (False, 1000)):
        table = {"frame": ["{tensor}"], "summarise": summarise, "rate": 1000, "pause": 3600}
        stream, screen = started(table, size=(80, 1600))
        run(stream, 0, 3 * S, 60, lambda: frame)
        assert len(written(screen)) >= count
        assert ("..." in "".join(rows(screen))) == summarise


def test_layers_are_chosen_for_tensors_and_for_rows():
    table = {"frame": ["{tensor}"], "layer": "{layer} {norm:.4f} {distance:.4f} {bar}|{cue}"}
    stream, screen = started({**table, "layers": "2-3", "rate": 1000}, size=(80, 40))
    run(stream, 0, S // 4, 60)
    frame = caption()
    *_, second, third = written(screen)
    assert numbers("\n".join(written(screen)[:-2])).shape == (2, 40)
    distances = [math.dist(row, frame.w_avg) for row in frame.ws.tolist()]
    for i, row in ((2, second), (3, third)):
        norm = math.hypot(*frame.ws[i].tolist())
        drawn = bar(100 * distances[i] / max(distances), 20)
        expected = f"{i} {norm:.4f} {distances[i]:.4f} {drawn}|garden"
        assert row == expected


def test_layers_that_the_network_lacks_are_not_asked_for_without_end():
    asked = []

    def captions():
        asked.append(1)
        return caption()

    stream, screen = started({"layer": "{layer}", "layers": "9-", "pause": 0.0, "rate": 10})
    run(stream, 0, S, 60, captions)
    assert written(screen) == []
    assert len(asked) == 11


def test_a_frame_in_its_middle_shows_no_distance():
    flat = np.zeros((2, 4), np.float32)
    frame = Caption(*(1, 0.0, "a", 1, 1, 0.0, 120.0, 1.0, ()), flat, flat[0], "cpu", 4)
    stream, screen = started({"layer": "{layer}{bar}"})
    run(stream, 0, S // 4, 60, lambda: frame)
    assert written(screen) == ["0", "1"]


# --- messages ----------------------------------------------------------------------------------

LOG = {"message": "{time:.2f} {address} {arguments}", "rate": 100}


def test_messages_are_printed_as_they_come():
    stream, screen = started(LOG, size=(100, 20))
    stream.hear(S // 2, "/anthesis/psi", [0.5])
    stream.advance(S // 4, never)
    assert written(screen) == []
    stream.advance(S, never)
    stream.hear(S, "/anthesis/cue/go", ["two", 3, True, None, b"abc", math.pi])
    stream.hear(S, "/none", [])
    stream.advance(S + S // 10, never)
    assert written(screen) == [
        "0.50 /anthesis/psi 0.5",
        "1.00 /anthesis/cue/go two 3 True (NoneType) (3 bytes) 3.14159",
        "1.00 /none",
    ]


def test_messages_wait_for_the_end_of_a_block():
    stream, screen = started({**LOG, "frame": ["a", "b", "c"], "rate": 10, "message": "{address}"})
    for at in range(0, 2 * S, S // 20):
        if at in (S // 10, S // 2):
            stream.hear(at, f"/{at}", [])
        stream.advance(at, caption)
    assert written(screen) == [
        *("a", "b", "c", "/100000000", "/500000000"),
        *("a", "b", "c", "a", "b", "c"),
    ]


def test_of_a_flood_the_newest_are_kept():
    stream, screen = started(LOG, size=(60, 2 * MOST_MESSAGES))
    for i in range(10 * MOST_MESSAGES):
        stream.hear(0, f"/{i}", [0.0])
    run(stream, 0, 5 * S, 30)
    lines = written(screen)
    assert len(lines) == MOST_MESSAGES
    assert lines[-1] == f"0.00 /{10 * MOST_MESSAGES - 1} 0"


def test_a_program_without_a_place_for_messages_forgets_them():
    stream, screen = started({"script": ["hello"]})
    stream.hear(0, "/a", [])
    run(stream, 0, S, 30)
    stream.begin(program(**LOG), S)
    run(stream, S, 2 * S, 30)
    assert rows(screen)[:3] == ["hello", PROMPT, ""]


@given(st.text(max_size=300), st.lists(st.text(max_size=300) | st.floats() | st.integers()))
def test_whatever_a_message_holds_is_only_shown(address, args):
    stream, screen = started(LOG, size=(40, 8))
    stream.hear(0, address, args)
    stream.advance(S, never)
    assert all(chr(code).isprintable() or code == 0xFFFD for code in screen.codes.ravel())
    assert set(screen.colours.ravel().tolist()) == {COLOURS.index("foreground")}


def test_a_message_is_no_template():
    stream, screen = started(LOG, size=(80, 8))
    stream.hear(0, "/{time}", ["{red}x{frame.__class__}", "\x1b[2J\x1b]0;title\x07\r\n"])
    stream.advance(S, never)
    assert written(screen) == [
        "0.00 /{time} {red}x{frame.__class__} \ufffd[2J\ufffd]0;title\ufffd\ufffd\ufffd"
    ]


# --- time --------------------------------------------------------------------------------------


def snapshots(hertz, table, size=(50, 12)):
    """What is seen at every tenth of a second, at a frame rate (ten divides it)."""
    stream, screen = started(table, size, at=S)
    seen = []
    for tenth in range(1, 80):
        start = S + (tenth - 1) * S // 10
        if tenth in (30, 55):
            stream.hear(start, f"/{tenth}", [0.5])
        run(stream, start, start + S // 10, hertz)
        seen.append((rows(screen), screen.cursor))
    return seen


@pytest.mark.parametrize(
    "table",
    [
        {"script": ["$ play {cue}", "now"], "frame": ["{frame}", "{tensor}"], "rate": 47},
        {"frame": ["{cue}", ""], "rate": 1000, "pause": 0.0},
        {"layer": "{layer} {bar}", "message": "{address}", "rate": 7.3, "pause": 0.123},
        {"script": ["$ log"], "message": "{address} {arguments}"},
    ],
)
def test_every_frame_rate_prints_the_same(table):
    slow = snapshots(10, table)
    assert slow == snapshots(60, table)
    assert slow == snapshots(240, table)
    assert any(slow[-1][0])


def test_after_a_stall_nothing_is_made_up_for():
    stream, screen = started({"frame": ["{frame}"], "rate": 1000, "pause": 0.0}, (20, 3000))
    moments, count, more = [0, 300 * S, 300 * S + S // 10, 300 * S + S // 10 + STALL_NS], 0, []
    for at in moments:
        stream.advance(at, caption)
        more.append(len(written(screen)) - count)
        count += more[-1]
    assert more == [1, 1, 100, 500]  # late by no more than that is made up for


def test_looking_twice_or_back_changes_nothing():
    stream, screen = started({"frame": ["{frame}"], "rate": 10})
    stream.advance(S, caption)
    before = rows(screen)
    screen.take_changes()
    stream.advance(S, caption)
    stream.advance(0, caption)
    assert rows(screen) == before
    assert screen.take_changes() == []


def test_the_cursor_blinks_only_when_nothing_happens():
    stream, _ = started({"script": ["$ x"], "typing": 1})
    blinks = []
    for at in range(0, 8 * S, S // 10):
        stream.advance(at, never)
        blinks.append(stream.cursor_on(at))
    end = blinks.index(False)
    assert end > 15  # typed, and on for another half
    assert blinks[end : end + 12] == [False] * 6 + [True] * 6


# --- another program ---------------------------------------------------------------------------


def test_another_program_interrupts_the_first_as_on_a_terminal():
    stream, screen = started({"script": ["$ one"], "frame": ["{frame}"], "typing": 100})
    run(stream, 0, 2 * S, 60)
    count = len(written(screen))
    other = program(script=["$ two {cue}"], message="{address}", typing=100)
    stream.begin(other, 2 * S, Identity("irene", "stage", "s.toml", "storm", "n", "t"))
    run(stream, 2 * S, 4 * S, 60, never)
    assert written(screen)[count:] == ["^C", f"{PROMPT} two storm"]


def test_before_anything_has_happened_there_is_nothing_to_interrupt():
    stream, screen = started({"frame": ["{frame}"]})
    stream.begin(program(script=["done"]), 0)
    run(stream, 0, S, 60, never)
    assert rows(screen)[:2] == ["done", PROMPT]


def test_another_program_in_mid_word():
    stream, screen = started({"script": ["$ something long"], "typing": 10})
    run(stream, 0, S, 60)
    word = rows(screen)[0]
    assert word.startswith(f"{PROMPT} s")
    stream.begin(program(script=["done"]), S)
    stream.advance(S, never)
    assert rows(screen)[:2] == [f"{word}^C", "done"]


def test_a_prompt_that_waits_is_typed_at():
    stream, screen = started({"script": ["hello"]})
    run(stream, 0, S, 60)
    stream.begin(program(script=["$ ls", "x"]), S)
    run(stream, S, 4 * S, 60)
    stream.begin(program(script=["printed"]), 4 * S)
    run(stream, 4 * S, 5 * S, 60)
    assert rows(screen)[:6] == ["hello", f"{PROMPT} ls", "x", PROMPT, "printed", PROMPT]


def test_a_screen_may_change_its_size_in_mid_word_and_mid_block():
    stream, screen = started({"script": ["$ something"], "frame": ["{tensor}"], "typing": 50})
    for i, size in enumerate([(20, 5), (5, 2), (1, 1), (70, 40), (60, 30)] * 20):
        screen.resize(*size)
        run(stream, i * S // 9, (i + 1) * S // 9, 30)
    assert "0." in "".join(rows(screen))


# --- limits ------------------------------------------------------------------------------------


def test_nothing_grows_with_time():
    table = {"frame": ["{frame} {cue}"], "message": "{address}", "rate": 1000, "pause": 0.0}
    stream, _ = started(table, (30, 10))
    frame = caption()
    at = 0

    def perform(seconds):
        nonlocal at
        for _ in range(10 * seconds):
            for i in range(20):
                stream.hear(at, f"/{i}", [at])
            stream.advance(at, lambda: frame)
            at += S // 10

    perform(90)
    tracemalloc.start()  # from here on it takes its time
    perform(1)
    before, _ = tracemalloc.get_traced_memory()
    perform(10)  # more than 100,000 lines in all
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000


def test_the_terminal_needs_no_torch():
    check = "import live.overlay.stream, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
