"""An engine: one network on one device, a function from W+ to a frame.

`python -m engine.worker --network FILE --device auto --block HANDLE --generation N`

It is an ordinary child of the stage, in a session of its own, and keeps no state between requests:
the stage may kill it at any time and start another. It ends when its standard input closes, at once
and whatever it was doing, so that no engine survives its stage.

    stage                                       engine
    --------------------------------------------------------------------------------
                                      <-  {"is": "ready", facts, frame_ns}, [w_avg]
    {"do": "map", "seeds": [[s, c]]}  ->
                                      <-  {"is": "mapped", "seeds": ...}, [ws, …]
    {"do": "render", serial, slot, …} ->                                (W+ in the block)
                                      <-  {"is": "frame", "slot": n}    (frame in the block)

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
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from engine import link
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.generator import Generator

# On a machine without a GPU the engine would happily use every core. The stage must win, always:
# its frame is due at the next refresh, the engine's is not.
NICENESS = 5


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
        generator, facts, frame_ns = _open(arguments.network, arguments.device)
    except UserError as error:
        link.send(answers, {"is": "refused", "why": str(error)})
        return 2
    said = asdict(facts)
    w_avg = said.pop("w_avg")
    link.send(answers, {"is": "ready", "frame_ns": frame_ns, **said}, w_avg)
    block = link.SharedBlock.attach(arguments.block)
    while True:
        request = requests.get()
        if request["do"] == "map":
            seeds, mapped = _map(generator, request["seeds"])
            link.send(answers, {"is": "mapped", "seeds": seeds}, *mapped)
        elif request["do"] == "render":
            _render(generator, block, request, arguments.generation, facts)
            link.send(answers, {"is": "frame", "slot": request["slot"]})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.worker")
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--block", required=True)
    parser.add_argument("--generation", type=int, default=0)
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


def _open(network: Path, device: str) -> tuple[Generator, link.NetworkFacts, int]:
    """Load, describe and warm up; about how long a frame takes, in ns.

    Raises UserError for a file or device that cannot be used.
    """
    from engine.generator import Generator  # torch: two seconds that the pipe need not wait for
    from engine.weights import load_network, sha256

    net = load_network(network)
    values = net.num_ws * net.w_dim
    if net.resolution > link.MAX_RESOLUTION or values > link.MAX_WS_VALUES:
        raise UserError(
            f"{network}: a {net.resolution}x{net.resolution} network with W+ of {net.num_ws}x"
            f"{net.w_dim}; frames go up to {link.MAX_RESOLUTION}x{link.MAX_RESOLUTION} "
            f"and W+ to {link.MAX_WS_VALUES} values"
        )
    generator = Generator(net, device=device)
    facts = link.NetworkFacts(
        name=network.name,
        family=net.family,
        resolution=net.resolution,
        z_dim=net.z_dim,
        w_dim=net.w_dim,
        num_ws=net.num_ws,
        num_classes=net.num_classes,
        sha256=sha256(network),
        device=generator.device_name,
        w_avg=net.w_avg.detach().cpu().numpy().astype(np.float32),
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


def _render(
    generator: Generator,
    block: link.SharedBlock,
    request: link.Message,
    generation: int,
    facts: link.NetworkFacts,
) -> None:
    """One frame into the slot that the request names."""
    started = time.perf_counter_ns()
    slot = request["slot"]
    ws = block.request_ws(facts.num_ws, facts.w_dim)
    pixels = block.pixels(slot, facts.resolution, facts.resolution)
    generator.render(ws, noise_strength=request["noise"], out=pixels)
    block.frame_ws(slot, facts.num_ws, facts.w_dim)[:] = ws
    header = link.FrameHeader(
        generation=generation,
        serial=request["serial"],
        width=facts.resolution,
        height=facts.resolution,
        num_ws=facts.num_ws,
        w_dim=facts.w_dim,
        show_time=request["show_time"],
        started=started,
        finished=time.perf_counter_ns(),
    )
    block.write_header(slot, header)


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:  # noqa: BLE001 - all of them: see below
        traceback.print_exc()
        code = 1
    # Not sys.exit: the listening thread sits in standard input, whose lock Python would then want.
    os._exit(code)
