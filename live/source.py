"""Engines as the stage sees them: start, supervise, ask, take the newest frame.

`Engine` is one child process; `Supervised` keeps one network performing across engines, because an
engine may die at any time; `Fake` is the same thing without a process, for rehearsing the stage.
The stage calls all of this from its render thread and is never kept waiting: what an engine says is
read by a thread of its own, which also buries it, and nothing here blocks on an engine that says
nothing.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil

from engine import link
from engine.link import Floats, FrameHeader, NetworkFacts, Pixels

log = logging.getLogger(__name__)

NO_ANSWER_NS = 3_000_000_000  # a request unanswered for so long: the engine counts as dead
LOADING_NS = 120_000_000_000  # a large network on a slow disk, and CUDA's first touch
BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # before the next engine, when engines keep dying young
YOUNG_NS = 20_000_000_000

Seed = tuple[int, int | None]
"""A seed and, for conditional networks, its class."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the stage wants to see: the final W+ for one moment of the show."""

    show_time: int  # ns
    ws: Floats  # [num_ws, w_dim]
    noise: float = 1.0  # multiplies the network's own noise strengths


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and what made it. `pixels` and `ws` are only valid until the next `latest()`."""

    header: FrameHeader
    ws: Floats
    pixels: Pixels  # [height, width, 4], RGBA, top row first


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without an engine, from its loss to the first frame of the next; clock in ns."""

    since: int
    until: int


class Source(Protocol):
    """What the stage needs of whatever makes its pictures."""

    network: Path
    restarts: int
    outages: list[Outage]
    facts: NetworkFacts | None  # once an engine was ready
    refusal: str | None  # why the network cannot be performed at all; one line

    @property
    def mapped(self) -> Mapping[Seed, Floats]:
        """Untruncated W+ of the seeds, as they arrive: [num_ws, w_dim] each."""

    def tend(self, now: int) -> None:
        """Once a frame: notice what died, start another."""

    def ask(self, request: Request) -> None:
        """Want this now; a request that no engine has begun is replaced."""

    def latest(self) -> Frame | None:
        """The newest frame, if there is one since the last call."""

    def memory(self) -> int:
        """Resident bytes of the engine just now, 0 when there is none."""

    def close(self) -> None:
        """End everything, at once; returns before it is gone."""

    def join(self, timeout_s: float) -> None:
        """Wait until it is gone."""


class Engine:
    """One engine process, its block, and the thread that hears it."""

    def __init__(
        self, network: Path, device: str, seeds: Iterable[Seed], generation: int, now: int
    ) -> None:
        self.facts: NetworkFacts | None = None
        self.mapped: dict[Seed, Floats] = {}
        self.refusal: str | None = None
        self.started = now
        self._generation = generation
        self._lock = threading.Lock()
        self._pending: Request | None = None
        self._asked_at: int | None = None  # when the request in the engine's hands was sent
        self._held: int | None = None  # slot that the stage is reading
        self._waiting: int | None = None  # slot with a frame nobody has taken
        self._serial = 0
        self._block = link.SharedBlock.create()
        descriptor = self._block.descriptor
        arguments = ["--network", network, "--device", device, "--block", self._block.handle]
        arguments += ["--generation", generation]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=() if descriptor is None else (descriptor,),
            start_new_session=sys.platform != "win32",
        )
        self._hearing = threading.Thread(
            target=self._hear, name=f"engine-{generation}", daemon=True
        )
        self._hearing.start()
        if wanted := list(seeds):
            self._say({"do": "map", "seeds": wanted})

    @property
    def alive(self) -> bool:
        """Whether the process is still there; says nothing about whether it answers."""
        return self.process.poll() is None

    def silent(self, now: int) -> bool:
        """Whether it has been busy for longer than a live engine is."""
        with self._lock:
            if self.facts is None:
                return now - self.started > LOADING_NS
            return self._asked_at is not None and now - self._asked_at > NO_ANSWER_NS

    def ask(self, request: Request) -> None:
        """Hand a request over, or keep it for the moment the engine is free; the newest wins."""
        with self._lock:
            self._pending = request
            self._dispatch()

    def latest(self) -> Frame | None:
        """The frame in the waiting slot; the one taken before goes back to the ring."""
        with self._lock:
            if self._waiting is None:
                return None
            self._held, self._waiting = self._waiting, None
            slot = self._held
        header = self._block.read_header(slot)
        return Frame(
            header,
            self._block.frame_ws(slot, header.num_ws, header.w_dim),
            self._block.pixels(slot, header.width, header.height),
        )

    def kill(self) -> None:
        """End the process. It has no state, so there is nothing to ask it for first."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def join(self, timeout_s: float) -> None:
        """Wait until the process has been buried."""
        self._hearing.join(timeout_s)

    def _dispatch(self) -> None:
        """Send what is pending, if the engine is free to take it. Called with the lock held."""
        request = self._pending
        if request is None or self._asked_at is not None or self.facts is None:
            return
        if self.process.stdin is None or self.process.stdin.closed:
            return
        self._pending = None
        self._asked_at = time.perf_counter_ns()
        self._serial += 1
        slot = next(s for s in range(link.SLOTS) if s not in (self._held, self._waiting))
        self._block.request_ws(*request.ws.shape)[:] = request.ws
        self._say(
            {
                "do": "render",
                "serial": self._serial,
                "slot": slot,
                "show_time": request.show_time,
                "noise": request.noise,
            }
        )

    def _say(self, message: link.Message) -> None:
        """Write to the engine; messages are far smaller than the pipe, so this never waits."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has died; `alive` says so
            link.send(self.process.stdin, message)  # type: ignore[arg-type]

    def _hear(self) -> None:
        """Thread: take in what the engine says until its pipe closes, then bury it.

        Burial is here because a process that held a GPU can take a second to be gone.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        while (received := link.receive(self.process.stdout)) is not None:  # type: ignore[arg-type]
            self._take(*received)
        self.process.wait()
        self.process.stdout.close()
        with self._lock:
            self._pending = None
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self._block.close()

    def _take(self, message: link.Message, arrays: list[Floats]) -> None:
        kind = message.pop("is")
        with self._lock:
            if kind == "frame":
                self._waiting = message["slot"]
                self._asked_at = None
                self._dispatch()
            elif kind == "mapped":
                seeds = [(seed, class_index) for seed, class_index in message["seeds"]]
                self.mapped = dict(zip(seeds, arrays, strict=True))
            elif kind == "ready":
                self.facts = NetworkFacts(w_avg=arrays[0], **message)
                self._dispatch()
            elif kind == "refused":
                self.refusal = message["why"]


class Supervised:
    """A network that goes on performing: one engine, and the next one when that is lost."""

    def __init__(self, device: str, network: Path, seeds: Iterable[Seed], now: int) -> None:
        self.network = network
        self.restarts = 0
        self.outages: list[Outage] = []
        self.facts: NetworkFacts | None = None
        self.mapped: dict[Seed, Floats] = {}
        self.refusal: str | None = None
        self._device = device
        self._seeds = tuple(seeds)
        self._engine: Engine | None = Engine(network, device, self._seeds, 0, now)
        self._deaths = 0  # young ones, in a row
        self._lost_at: int | None = None
        self._start_at = now
        self._closed = False

    def tend(self, now: int) -> None:
        """Take over what the engine has learned; replace it if it is dead or silent.

        A network that the very first engine refuses is refused for good. Later the last frame
        stays on screen and engines are tried again and again, for the file may come back.
        """
        engine = self._engine
        if self._closed:
            return
        if engine is None:
            if self.refusal is None and now >= self._start_at:
                self._start_another(now)
            return
        self.facts = self.facts or engine.facts
        self.mapped.update(engine.mapped)
        if engine.alive and not engine.silent(now):
            return
        why = engine.refusal or ("ended" if not engine.alive else "stopped answering")
        engine.kill()
        self._engine = None
        if self.facts is None and engine.refusal is not None:
            self.refusal = engine.refusal
        else:
            self._mourn(engine, why, now)

    def ask(self, request: Request) -> None:
        """See `Source.ask`; without an engine the request is simply missed."""
        if self._engine is not None:
            self._engine.ask(request)

    def latest(self) -> Frame | None:
        """See `Source.latest`; a frame after an outage ends it."""
        frame = None if self._engine is None else self._engine.latest()
        if frame is not None and self._lost_at is not None:
            self.outages.append(Outage(self._lost_at, frame.header.finished))
            self._lost_at = None
        return frame

    @property
    def pid(self) -> int | None:
        """The process of the engine just now."""
        return None if self._engine is None else self._engine.process.pid

    def memory(self) -> int:
        """See `Source.memory`."""
        with contextlib.suppress(psutil.Error):
            if self.pid is not None:
                return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    def close(self) -> None:
        """See `Source.close`."""
        self._closed = True
        if self._engine is not None:
            self._engine.kill()

    def join(self, timeout_s: float) -> None:
        """See `Source.join`."""
        if self._engine is not None:
            self._engine.join(timeout_s)

    def _start_another(self, now: int) -> None:
        self.restarts += 1
        missing = [seed for seed in self._seeds if seed not in self.mapped]
        try:
            self._engine = Engine(self.network, self._device, missing, self.restarts, now)
        except OSError as error:  # no memory, no process left: perhaps in a while
            log.warning("no engine can be started: %s", error)
            self._start_at = now + int(BACKOFF_S[-1] * 1e9)

    def _mourn(self, engine: Engine, why: str, now: int) -> None:
        young = now - engine.started < YOUNG_NS
        self._deaths = self._deaths + 1 if young else 1
        wait = BACKOFF_S[min(self._deaths, len(BACKOFF_S)) - 1]
        log.warning("the engine for %s %s; starting another", self.network.name, why)
        self._start_at = now + int(wait * 1e9)
        if self._lost_at is None:
            self._lost_at = now


class Fake:
    """A source without an engine: its frames are a plain function of W+, made on the spot.

    Seeds map to standard normal numbers; the picture is a colour gradient whose ends are the first
    numbers of the first and last layer, so that a test can read from a picture what was asked.
    """

    resolution, num_ws, w_dim = 64, 10, 8

    def __init__(self, network: Path, seeds: Iterable[Seed], now: int = 0) -> None:
        self.network = network
        self.restarts = 0
        self.outages: list[Outage] = []
        self.refusal: str | None = None
        self.mapped = {seed: self._map(seed) for seed in seeds}
        self.asked: list[Request] = []
        self.facts: NetworkFacts | None = NetworkFacts(
            name=network.name,
            family="fake",
            resolution=self.resolution,
            z_dim=self.w_dim,
            w_dim=self.w_dim,
            num_ws=self.num_ws,
            num_classes=0,
            sha256="0" * 64,
            device="fake",
            w_avg=np.zeros(self.w_dim, np.float32),
        )
        self._frame: Frame | None = None

    def _map(self, seed: Seed) -> Floats:
        w = np.random.RandomState(seed[0]).randn(self.w_dim).astype(np.float32)
        return np.broadcast_to(w, (self.num_ws, self.w_dim))

    def tend(self, now: int) -> None:
        """Nothing dies here."""

    def ask(self, request: Request) -> None:
        """Make the frame at once."""
        assert self.facts is not None
        self.asked.append(request)
        size = self.facts.resolution
        header = FrameHeader(
            generation=0,
            serial=len(self.asked),
            width=size,
            height=size,
            num_ws=self.facts.num_ws,
            w_dim=self.facts.w_dim,
            show_time=request.show_time,
            started=request.show_time,
            finished=request.show_time,
        )
        self._frame = Frame(header, request.ws, fake_picture(request.ws, size))

    def latest(self) -> Frame | None:
        """The frame of the last request."""
        frame, self._frame = self._frame, None
        return frame

    def memory(self) -> int:
        """No process, no memory."""
        return 0

    def close(self) -> None:
        """Nothing to end."""

    def join(self, timeout_s: float) -> None:
        """Nothing to wait for."""


def fake_picture(ws: Floats, size: int) -> Pixels:
    """The fake's picture of W+ [num_ws, w_dim >= 3]: uint8 [size, size, 4], left to right."""
    ends = np.clip((np.stack([ws[0, :3], ws[-1, :3]]) + 3) / 6, 0, 1)
    across = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    row = ends[0] * (1 - across) + ends[1] * across
    picture = np.full((size, size, 4), 255, np.uint8)
    picture[:, :, :3] = np.rint(row * 255).astype(np.uint8)
    return picture
