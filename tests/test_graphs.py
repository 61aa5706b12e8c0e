"""The runner of CUDA graphs, against a stand-in for the device that notes what is asked of it."""

import gc
import mmap
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_inference import latent, network, reference

from engine import generator as session
from engine.generator import Generator
from engine.inference.choice import pytorchs
from engine.inference.graphs import Graphs
from engine.link import SLOTS, SharedBlock, pattern
from engine.worker import Performer


class StandIn:
    """A device that is the CPU. A capture's replay does what was captured, into the same memory."""

    device = torch.device("cpu")
    unregistered = ""  # why memory of the host cannot be registered

    def __init__(self, memory=1 << 20):
        self.memory = memory  # pixels along a side of the largest frame there is room for
        self.log = []

    def pinned(self, values):
        self.log.append("pin")
        return values

    def choose(self, folded, ws):
        return pytorchs(folded)

    def capture(self, make):
        with torch.inference_mode():
            frame = make()
        if len(frame) > self.memory:
            self.log.append(f"out of memory {len(frame)}")
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.log.append(f"capture {len(frame)}")

        def replay():
            self.log.append(f"replay {len(frame)}")
            with torch.inference_mode():
                frame.copy_(make())

        return replay, frame

    def run(self, work):
        self.log.append("run")
        with torch.inference_mode():
            work()

    def bring(self, frame, out):
        self.log.append("bring")
        out[:] = frame.numpy()

    def register(self, memory):
        self.log.append(f"register {memory.nbytes}")
        return self.unregistered

    def open(self, handle, nbytes):
        """Memory of the "device" that another process exported: its handle is a file's name."""
        with Path(handle.rstrip(b"\0").decode()).open("r+b") as file:
            return torch.frombuffer(mmap.mmap(file.fileno(), nbytes), dtype=torch.uint8)

    def deliver(self, frame, slot):
        self.log.append("deliver")
        slot[: frame.numel()] = frame.reshape(-1)

    def forget(self):
        self.log.append("forget")


def pixels(net, ws, noise=1.0):
    levels = (reference(net, ws, noise) + 128).clamp(0, 255).to(torch.uint8)
    return levels.numpy().astype(int)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_frames_are_the_references(dtype):
    net = network()
    graphs = Graphs(net, StandIn(), dtype)
    out = np.zeros((32, 32, 4), np.uint8)
    for seed, noise in ((0, 1.0), (1, 0.0), (2, 0.5)):
        ws = latent(net, seed)
        graphs.render(ws.numpy(), noise, 32)
        graphs.fetch(out)
        difference = np.abs(out[..., :3] - pixels(net, ws, noise))
        assert difference.max() <= (1 if dtype == torch.float32 else 0.12 * 255)
        assert (out[..., 3] == 255).all()
    assert graphs.form == f"{str(dtype)[6:]}, CUDA graph, PyTorch's kernels"


def test_a_frame_is_one_copy_one_replay_and_one_wait():
    net = network()
    machine = StandIn()
    graphs = Graphs(net, machine, torch.float32)
    assert machine.log == ["pin", "capture 32"]
    machine.log.clear()
    out = np.zeros((32, 32, 4), np.uint8)
    for seed in range(3):
        graphs.render(latent(net, seed).numpy(), 1.0, 32)
        graphs.fetch(out)
    assert machine.log == ["run", "replay 32", "bring"] * 3
    again = np.zeros_like(out)
    graphs.fetch(again)  # the same frame, without another rendering
    assert np.array_equal(again, out)


def test_frames_are_delivered_to_memory_that_another_process_shares(tmp_path):
    files = [tmp_path / f"slot {number}" for number in range(3)]
    for file in files:
        file.write_bytes(bytes(32 * 32 * 4))
    net = network()
    machine = StandIn()
    graphs = Graphs(net, machine, torch.float32)
    assert graphs.open([str(file).encode().ljust(64, b"\0") for file in files], 32) == ""
    graphs.mark(32)
    marks = [np.fromfile(file, np.uint8).reshape(32, 32, 4) for file in files]
    for number, mark in enumerate(marks):
        assert np.array_equal(mark, pattern(number, 32))
        assert mark.std() > 50
    assert not np.array_equal(marks[0], marks[1])
    ws = latent(net, 1).numpy()
    out = np.zeros((32, 32, 4), np.uint8)
    machine.log.clear()
    graphs.render(ws, 1.0, 32)
    graphs.deliver(2)
    assert machine.log == ["run", "replay 32", "deliver"]
    graphs.fetch(out)
    assert np.array_equal(np.fromfile(files[2], np.uint8).reshape(32, 32, 4), out)
    assert np.array_equal(np.fromfile(files[1], np.uint8).reshape(32, 32, 4), marks[1])


def test_memory_that_cannot_be_opened_is_answered_with_why(tmp_path):
    graphs = Graphs(network(), StandIn(), torch.float32)
    why = graphs.open([str(tmp_path / "none").encode()], 32)
    assert "No such file" in why


def test_memory_that_cannot_be_registered_is_said_once_and_frames_come_all_the_same():
    machine = StandIn()
    machine.unregistered = "cudaHostRegister: out of memory"
    graphs = Graphs(network(), machine, torch.float32)
    out = np.zeros((32, 32, 4), np.uint8)
    for _ in range(3):
        graphs.register(out)
    assert machine.log[-1] == "register 4096"
    (note,) = graphs.notes
    assert note.endswith("slower: cudaHostRegister: out of memory")
    graphs.render(latent(network()).numpy(), 1.0, 32)
    graphs.fetch(out)
    assert out.any()


def test_early_sizes_have_graphs_of_their_own():
    net = network()
    machine = StandIn()
    graphs = Graphs(net, machine, torch.float32)
    machine.log.clear()
    steps = graphs.sums(latent(net).numpy())
    for number in range(1, 5):  # each by itself, for a frame may be wanted in between
        next(steps)
        assert machine.log == ["run"] * (1 + number)
        graphs.render(latent(net, number).numpy(), 1.0, 32)
        machine.log = machine.log[: 1 + number]
    with pytest.raises(StopIteration) as end:
        next(steps)
    sums = end.value.value
    assert list(sums) == [4, 8, 16, 32]
    levels = (sums[32][..., :3] + 128).clamp(0, 255).to(torch.uint8).numpy().astype(int)
    assert np.abs(levels - pixels(net, latent(net))).max() <= 1
    graphs.admit(16, (torch.zeros(4, 4), torch.tensor([10.0, 20.0, 30.0, 255.0])))
    assert graphs.sizes == (32, 16)
    out = np.zeros((16, 16, 4), np.uint8)
    graphs.render(latent(net).numpy(), 1.0, 16)
    graphs.fetch(out)
    assert (out == [10, 20, 30, 255]).all()


def test_what_a_graph_reads_lives_as_long_as_it():
    class Forgetful(StandIn):
        def capture(self, make):  # as CUDA does, which records addresses
            with torch.inference_mode():
                frame = make()
            return (lambda: None), frame

    graphs = Graphs(network(), Forgetful(), torch.float32)
    matrix = torch.eye(4)
    read = weakref.ref(matrix)
    graphs.admit(16, (matrix, torch.zeros(4)))
    del matrix
    gc.collect()
    assert read() is not None


def test_without_memory_for_the_full_size_the_largest_that_fits_is_played():
    machine = StandIn(memory=16)
    graphs = Graphs(network(), machine, torch.float32)
    assert graphs.sizes == (16,)
    assert graphs.notes == ["no GPU memory for frames of 32x32: they are 16x16"]
    assert machine.log == ["pin", "out of memory 32", "forget", "capture 16"]


def test_without_memory_for_an_early_size_there_is_none_and_a_sentence():
    machine = StandIn()
    graphs = Graphs(network(), machine, torch.float32)
    machine.memory = 8
    graphs.admit(16, (torch.eye(4), torch.zeros(4)))
    assert graphs.sizes == (32,)
    assert len(graphs.notes) == 1


def test_without_any_memory_it_fails():
    with pytest.raises(torch.OutOfMemoryError):
        Graphs(network(), StandIn(memory=2), torch.float32)
    with pytest.raises(torch.OutOfMemoryError):
        Graphs(network(architecture="resnet"), StandIn(memory=16), torch.float32)


def test_a_broken_device_ends_the_engine():
    class Broken(StandIn):
        def run(self, work):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    graphs = Graphs(network(), Broken(), torch.float32)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        graphs.render(latent(network()).numpy(), 1.0, 32)


def test_a_session_on_cuda_plays_graphs_in_float16(monkeypatch):
    monkeypatch.setattr(session, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(session, "Cuda", lambda device, steady: StandIn(memory=16))
    generator = Generator(network(), device="cuda", smallest=8)
    assert generator.form == "float16, CUDA graph, PyTorch's kernels"
    assert generator.sizes == (16,)  # and colours of what cannot be compared are not learned
    frame = generator.render(latent(network()).numpy())
    assert frame.shape == (16, 16, 4)


def test_a_worker_registers_the_pixels_of_every_slot_once(monkeypatch):
    machine = StandIn()
    monkeypatch.setattr(session, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(session, "Cuda", lambda device, steady: machine)
    generator = Generator(network(), device="cuda", smallest=8)
    block = SharedBlock.create()
    Performer(generator, SimpleNamespace(resolution=32), block, 0)
    assert [line for line in machine.log if "register" in line] == ["register 4096"] * SLOTS
    block.close()
