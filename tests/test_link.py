"""The shared block and its messages, between real processes where it matters."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import link

HEADER = link.FrameHeader(
    generation=3,
    serial=2**40,
    width=7,
    height=5,
    num_ws=4,
    w_dim=6,
    show_time=-1,
    started=10**18,
    finished=10**18 + 1,
)


@pytest.fixture
def block():
    block = link.SharedBlock.create()
    yield block
    block.close()


def test_what_is_written_is_read(block):
    ws = np.random.RandomState(0).randn(4, 6).astype(np.float32)
    for slot in range(link.SLOTS):
        block.write_header(slot, HEADER)
        block.frame_ws(slot, 4, 6)[:] = ws + slot
        block.pixels(slot, 7, 5)[:] = slot + 1
    block.request_ws(4, 6)[:] = -ws
    for slot in range(link.SLOTS):
        assert block.read_header(slot) == HEADER
        assert np.array_equal(block.frame_ws(slot, 4, 6), ws + slot)
        assert (block.pixels(slot, 7, 5) == slot + 1).all()
    assert np.array_equal(block.request_ws(4, 6), -ws)


def test_the_largest_frames_do_not_touch_each_other(block):
    edge = link.MAX_RESOLUTION
    values = link.MAX_WS_VALUES
    block.request_ws(1, values)[:] = 9
    for slot in range(link.SLOTS):
        block.write_header(slot, HEADER)
        block.frame_ws(slot, 1, values)[:] = slot
        block.pixels(slot, edge, edge)[[0, -1]] = 100 + slot
    for slot in range(link.SLOTS):
        assert block.read_header(slot) == HEADER
        assert (block.frame_ws(slot, 1, values) == slot).all()
        assert (block.pixels(slot, edge, edge)[[0, -1]] == 100 + slot).all()
    assert (block.request_ws(1, values) == 9).all()


def test_a_block_of_another_layout_is_not_read(block):
    with pytest.raises(ValueError, match="layout 0"):
        block.read_header(0)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX's")
def test_another_process_sees_the_same_block_and_nothing_has_a_name(block):
    code = (
        "import sys; from engine.link import SharedBlock; block = SharedBlock.attach(sys.argv[1]);"
        "block.pixels(1, 2, 2)[:] = block.request_ws(1, 1)[0, 0]"
    )
    block.request_ws(1, 1)[:] = 42
    subprocess.run(
        [sys.executable, "-c", code, block.handle], pass_fds=[block.descriptor], check=True
    )
    assert (block.pixels(1, 2, 2) == 42).all()
    assert not list(Path("/dev/shm").glob("*anthesis*"))


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
            st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3),
        ),
        max_size=4,
    )
)
def test_messages_and_their_arrays_come_through_in_order(sent):
    pipe = io.BytesIO()
    for message, shapes in sent:
        message.pop("arrays", None)
        arrays = [np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for shape in shapes]
        link.send(pipe, message, *arrays)
    pipe.seek(0)
    for message, shapes in sent:
        received, arrays = link.receive(pipe)
        assert received == message
        assert [array.shape for array in arrays] == [tuple(shape) for shape in shapes]
        for array in arrays:
            assert np.array_equal(array.ravel(), np.arange(array.size))
    assert link.receive(pipe) is None


def test_a_message_that_breaks_off_is_the_end():
    pipe = io.BytesIO()
    link.send(pipe, {"do": "map"}, np.ones(100))
    whole = pipe.getvalue()
    for length in range(len(whole)):
        assert link.receive(io.BytesIO(whole[:length])) is None


@pytest.mark.parametrize("side", [16, 64, 256])  # less than the noise, and more of it
def test_a_slots_pattern_is_known_again(side):
    for slot in range(link.SLOTS):
        pixels = link.pattern(slot, side).tobytes()
        assert link.is_pattern(pixels, slot)
        assert not link.is_pattern(pixels, slot + 1)
        for place in (0, len(pixels) // 2, len(pixels) - 1):
            garbled = bytearray(pixels)
            garbled[place] ^= 1
            assert not link.is_pattern(bytes(garbled), slot)
