"""An engine: one network on one device, a function from W+ to a frame.

`python -m engine.worker --network FILE --device auto --block HANDLE --generation N`

It is an ordinary child of the stage, in a session of its own, and keeps no state between requests:
the stage may kill it at any time and start another. It ends when its standard input closes, at once
and whatever it was doing, so that no engine survives its stage.

    stage                                       engine
    --------------------------------------------------------------------------------
                                      <-  {"is": "ready", facts, frame_ns}, [w_avg]
                                      <-  {"is": "form", "form": text, "sizes": [n, …]}
                                      <-  {"is": "note", "text": sentence}
    {"do": "map", "seeds": [[s, c]]}  ->
                                      <-  {"is": "mapped", "seeds": ...}, [ws, …]
    {"do": "render", serial, slot, …} ->                                (W+ in the block)
                                      <-  {"is": "frame", "slot": n}    (frame in the block)
    {"do": "share", handles, …}       ->
                                      <-  {"is": "shared", why, host_ns, gpu_ns}

The stage may `share` memory of the GPU, a slot for each of the block's, where engine and stage have
the same one: the engine fills it with `link.pattern` and says how long a frame takes to the block
and to there, or why it cannot. A request with "on_gpu" is then answered there.

`form` and `note` come whenever there is something new to say: how frames are made now and at which
sizes, and sentences for the operator. Between frames the engine improves itself, a step at a time;
not with --steady, which is for films: every such engine makes the same picture of the same W+.
A file that cannot be performed is answered with {"is": "refused", "why": one line} and exit code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from engine import link
from engine.errors import UserError
from engine.governor import Governor

if TYPE_CHECKING:
    from engine.generator import Generator

# On a machine without a GPU the engine would happily use every core. The stage must win, always:
# its frame is due at the next refresh, the engine's is not.
NICENESS = 5

TRIALS = 9  # of each way of a frame out of the engine; the median does without the first


def main() -> int:
    """Serve one network until standard input closes. Returns the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to handle
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = _claim_standard_output()
    requests: queue.SimpleQueue[link.Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    try:
        generator, facts, frame_ns = _open(
            arguments.network, arguments.device, arguments.generation, steady=arguments.steady
        )
    except UserError as error:
        link.send(answers, {"is": "refused", "why": str(error)})
        return 2
    said = asdict(facts)
    w_avg = said.pop("w_avg")
    link.send(answers, {"is": "ready", "frame_ns": frame_ns, **said}, w_avg)
    block = link.SharedBlock.attach(arguments.block)
    performer = Performer(
        generator, facts, block, arguments.generation, improves=not arguments.steady
    )
    performer.tell(answers)
    while True:
        request = requests.get()
        if request["do"] == "map":
            seeds, mapped = _map(generator, request["seeds"])
            link.send(answers, {"is": "mapped", "seeds": seeds}, *mapped)
        elif request["do"] == "render":
            performer.render(request)
            link.send(answers, {"is": "frame", "slot": request["slot"]})
            performer.improve()
            performer.tell(answers)
        elif request["do"] == "share":
            link.send(answers, {"is": "shared", **performer.share(request)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.worker")
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--block", required=True)
    parser.add_argument("--generation", type=int, default=0)
    parser.add_argument("--steady", action="store_true", help="never improve: for films")
    return parser.parse_args()


def _claim_standard_output() -> BinaryIO:
    """Keep the pipe for messages alone: whatever a library prints goes to standard error."""
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def _listen(pipe: BinaryIO, requests: queue.SimpleQueue[link.Message]) -> None:
    """Queue what the stage asks (never more than one frame, some seeds); end when it has gone.

    A thread, so that the end is noticed while torch is loading or a frame is being made.
    """
    while (received := link.receive(pipe)) is not None:
        requests.put(received[0])
    os._exit(0)


def _open(
    network: Path, device: str, generation: int, *, steady: bool = False
) -> tuple[Generator, link.NetworkFacts, int]:
    """Load, describe and warm up; about how long a frame takes, in ns.

    Raises UserError for a file or device that cannot be used.
    """
    from engine.generator import Generator  # torch: two seconds that the pipe need not wait for
    from engine.weights import load_network, sha256

    # Only what is opened as a file is compiled: an engine that replaces another takes no chances.
    loaded = load_network(network) if generation or steady else network
    generator = Generator(loaded, device=device, steady=steady)
    resolution, values = generator.resolution, generator.num_ws * generator.w_dim
    if resolution > link.MAX_RESOLUTION or values > link.MAX_WS_VALUES:
        raise UserError(
            f"{network}: a {resolution}x{resolution} network with W+ of {generator.num_ws}x"
            f"{generator.w_dim}; frames go up to {link.MAX_RESOLUTION}x{link.MAX_RESOLUTION} "
            f"and W+ to {link.MAX_WS_VALUES} values"
        )
    facts = link.NetworkFacts(
        name=network.name,
        family=generator.family,
        resolution=resolution,
        z_dim=generator.z_dim,
        w_dim=generator.w_dim,
        num_ws=generator.num_ws,
        num_classes=generator.num_classes,
        sha256=sha256(network),
        device=generator.device_name,
        w_avg=generator.w_avg,
        uuid=generator.uuid,
    )
    started = time.perf_counter_ns()
    generator.warm_up()
    return generator, facts, (time.perf_counter_ns() - started) // 2


def _map(
    generator: Generator, seeds: list[tuple[int, int | None]]
) -> tuple[list[tuple[int, int | None]], list[link.Floats]]:
    """The W+ of those seeds that there are. The stage, which knows where the others come from,
    sees from the facts that their class does not fit, and says so."""
    known, mapped = [], []
    for seed, class_index in seeds:
        with contextlib.suppress(UserError):
            mapped.append(generator.map(seed, class_index))
            known.append((seed, class_index))
    return known, mapped


def _took(work: Callable[[], None]) -> int:
    """The time of some work, in ns."""
    started = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - started


class Performer:
    """Answers requests for frames, at the size that the time for them allows."""

    def __init__(
        self,
        generator: Generator,
        facts: link.NetworkFacts,
        block: link.SharedBlock,
        generation: int,
        *,
        improves: bool = True,
    ) -> None:
        self._generator, self._facts = generator, facts
        self._block, self._generation = block, generation
        self._governor = Governor()
        self._improving = improves
        self._told: tuple[str, tuple[int, ...]] = ("", ())
        if generator.gpu is not None:
            for slot in range(link.SLOTS):
                side = facts.resolution
                generator.gpu.register(block.pixels(slot, side, side))

    def render(self, request: link.Message) -> None:
        """One frame into the slot that the request names."""
        started = time.perf_counter_ns()
        slot, facts = request["slot"], self._facts
        size = self._size(request, started)
        ws = self._block.request_ws(facts.num_ws, facts.w_dim)
        rendered = self._generator.rendered
        self._generator.make(ws, request["noise"], size)
        gpu = self._generator.gpu if request["on_gpu"] else None
        if gpu is not None:
            gpu.deliver(slot)
        else:
            self._generator.fetch(self._block.pixels(slot, size, size))
        self._block.frame_ws(slot, facts.num_ws, facts.w_dim)[:] = ws
        finished = time.perf_counter_ns()
        header = link.FrameHeader(
            generation=self._generation,
            serial=request["serial"],
            width=size,
            height=size,
            num_ws=facts.num_ws,
            w_dim=facts.w_dim,
            show_time=request["show_time"],
            started=started,
            finished=finished,
            on_gpu=gpu is not None,
        )
        self._block.write_header(slot, header)
        if self._generator.rendered > rendered:  # the last frame again says nothing of the next
            self._governor.saw(size, finished - started, finished)

    def share(self, request: link.Message) -> link.Message:
        """Open the GPU's memory that the stage shares; how long frames take there, or why not.

        Its slot "free" of the block is nobody's just now: a frame goes there, for comparison.
        """
        gpu, side = self._generator.gpu, request["side"]
        if gpu is None:
            return {"why": f"the engine is on {self._facts.device}"}
        why = gpu.open([bytes.fromhex(handle) for handle in request["handles"]], side)
        if why:
            return {"why": why}
        full = self._generator.sizes[0]
        ws = np.zeros((self._facts.num_ws, self._facts.w_dim), np.float32)
        self._generator.make(ws, 1.0, full)
        pixels = self._block.pixels(request["free"], full, full)
        host = [_took(lambda: gpu.fetch(pixels)) for _ in range(TRIALS)]
        there = [_took(lambda: gpu.deliver(0)) for _ in range(TRIALS)]
        gpu.mark(side)
        return {
            "why": "",
            "host_ns": sorted(host)[TRIALS // 2],
            "gpu_ns": sorted(there)[TRIALS // 2],
        }

    def _size(self, request: link.Message, now: int) -> int:
        """What the set list pinned, if it can be had; else what the governor chooses."""
        sizes = self._generator.sizes
        if request["size"]:
            return request["size"] if request["size"] in sizes else sizes[0]
        return self._governor.choose(sizes, request["budget"], now)

    def improve(self) -> None:
        """One step of what the session does for itself while nobody waits."""
        if self._improving:
            self._improving = self._generator.improve()

    def tell(self, answers: BinaryIO) -> None:
        """Say how frames are made, if that has changed, and what the operator should know."""
        now = (self._generator.form, self._generator.sizes)
        if now != self._told:
            self._told = now
            link.send(answers, {"is": "form", "form": now[0], "sizes": now[1]})
        while self._generator.notes:
            link.send(answers, {"is": "note", "text": self._generator.notes.pop(0)})


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:  # noqa: BLE001 - all of them: see below
        traceback.print_exc()
        code = 1
    # Not sys.exit: the listening thread sits in standard input, whose lock Python would then want.
    os._exit(code)
