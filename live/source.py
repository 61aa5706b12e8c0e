"""Engines as the stage sees them: start, supervise, ask, take the newest frame.

`Engine` is one child process; `Supervised` keeps one network performing across engines, because an
engine may die at any time; `fake_source.Fake` is the same without a process, for rehearsing the
stage. The stage calls all of this from its render thread and is never kept waiting: an engine is
started, heard and buried by a thread of its own, and nothing here blocks on a silent engine.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from engine import link
from engine.link import Floats, FrameHeader, NetworkFacts, Pixels

log = logging.getLogger(__name__)

NO_ANSWER_NS = 3_000_000_000  # a request unanswered for so long: the engine counts as dead
FRAMES_OF_PATIENCE = 8  # but a 1024x1024 network on a CPU takes seconds for a frame when it is well
LOADING_NS = 120_000_000_000  # a large network on a slow disk, and CUDA's first touch
BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # before the next engine, when engines keep dying young
YOUNG_NS = 20_000_000_000
CHUNK = 64  # seeds asked for at once
WORKER = (sys.executable, "-m", "engine.worker")

Seed = tuple[int, int | None]
"""A seed and, for conditional networks, its class."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the stage wants to see: the final W+ for the moment of the show when it will be seen.

    An engine that cannot answer with a picture of the pinned size gives the full one.
    """

    show_time: int  # ns
    ws: Floats  # [num_ws, w_dim]
    noise: float = 1.0  # multiplies the network's own noise strengths
    size: int = 0  # side of the picture in pixels, pinned; 0 leaves it to the engine's governor
    budget: int = 0  # ns that the frame may take, by which the governor chooses; 0: no limit


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and what made it. `pixels` and `ws` are only valid until the next `latest()`."""

    header: FrameHeader
    ws: Floats
    pixels: Pixels  # [height, width, 4], RGBA, top row first
    slot: int | None = None  # of what was shared with the engine: there are the pixels, then


@dataclass(frozen=True, slots=True)
class Shared:
    """What an engine says of memory of the GPU that was offered to it.

    why: it cannot use it, in words. Otherwise how long a frame takes to the host's memory, and to
    there, in ns.
    """

    why: str
    host_ns: int = 0
    gpu_ns: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without an engine, from its loss to the first frame of the next; clock in ns."""

    since: int
    until: int


class Source(Protocol):
    """What the stage needs of whatever makes its pictures."""

    network: Path
    restarts: int
    stillborn: int  # engines in a row that ended before they were ready
    outages: list[Outage]
    lost_at: int | None  # since when there is no engine, in an outage; clock in ns
    facts: NetworkFacts | None  # once an engine was ready
    refusal: str | None  # why the network cannot be performed at all; one line
    form: str  # how frames are made, in words; "" until an engine has told
    sizes: tuple[int, ...]  # sides of the pictures it can answer with, the full one first; likewise
    on_gpu: bool  # whether the engine just now is asked for frames in what was shared with it

    @property
    def shared(self) -> Shared | None:
        """What the engine just now has answered to `share`."""

    @property
    def mapped(self) -> Mapping[Seed, Floats]:
        """Untruncated W+ of the seeds, as they arrive: [num_ws, w_dim] each."""

    def tend(self, now: int) -> None:
        """Once a frame: notice what died, start another."""

    def ask(self, request: Request) -> None:
        """Want this now; a request that no engine has begun is replaced."""

    def latest(self) -> Frame | None:
        """The newest frame, if there is one since the last call."""

    def map(self, seeds: Iterable[Seed]) -> None:
        """Have these seeds mapped, too."""

    def share(self, handles: Sequence[bytes], side: int) -> None:
        """Offer slots of the GPU's memory, for frames up to side x side, to the engine just now."""

    def memory(self) -> int:
        """Resident bytes of the engine just now, 0 when there is none."""

    def close(self) -> None:
        """End everything, at once; returns before it is gone."""

    def join(self, timeout_s: float) -> None:
        """Wait until it is gone."""


class Engine:
    """One engine process, its block, and the thread that starts, hears and buries it."""

    def __init__(
        self,
        network: Path,
        device: str,
        seeds: Sequence[Seed],
        generation: int,
        now: int,
        program: Sequence[str] = WORKER,
    ) -> None:
        self.facts: NetworkFacts | None = None
        self.mapped: dict[Seed, Floats] = {}
        self.refusal: str | None = None
        self.form = ""
        self.sizes: tuple[int, ...] = ()
        self.shared: Shared | None = None
        self.on_gpu = False
        self.ended = False  # and everything that it said has been taken in
        self.started = now
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._killed = False
        self._to_map = _chunks(seeds)
        self._mapping = False  # whether it works on some just now
        self._pending: Request | None = None
        self._offer: link.Message | None = None
        self._asked_at: int | None = None  # when the request in the engine's hands was sent
        self._held: int | None = None  # slot that the stage is reading
        self._waiting: int | None = None  # slot with a frame nobody has taken
        self._serial = 0
        self._patience = NO_ANSWER_NS
        self._notes: list[str] = []
        self._block = link.SharedBlock.create()
        arguments = ["--network", network, "--device", device, "--block", self._block.handle]
        arguments += ["--generation", generation]
        self._command = [*program, *map(str, arguments)]
        self._life = threading.Thread(target=self._live, name=f"engine-{generation}", daemon=True)
        self._life.start()

    def silent_since(self, now: int) -> int | None:
        """Since when it is busy, if that is longer than a live engine would be; clock in ns."""
        with self._lock:
            if self.facts is None:
                return self.started if now - self.started > LOADING_NS else None
            if self._asked_at is None or now - self._asked_at <= self._patience:
                return None
            return self._asked_at

    def ask(self, request: Request) -> None:
        """Hand a request over, or keep it for the moment the engine is free; the newest wins."""
        with self._lock:
            self._pending = request
            self._dispatch()

    def map(self, seeds: Sequence[Seed]) -> None:
        """Have more seeds mapped."""
        with self._lock:
            self._to_map += _chunks(seeds)
            process = self.process
        if process is not None:
            self._map_more(process)

    def share(self, handles: Sequence[bytes], side: int) -> None:
        """See `Source.share`; handed over when the engine is free."""
        with self._lock:
            texts = [handle.hex() for handle in handles]
            self._offer = {"do": "share", "handles": texts, "side": side}
            self._dispatch()

    def latest(self) -> Frame | None:
        """The frame in the waiting slot; the one taken before goes back to the ring."""
        with self._lock:
            if self._waiting is None:
                return None
            self._held, self._waiting = self._waiting, None
            header = self._block.read_header(self._held)
            return Frame(
                header,
                self._block.frame_ws(self._held, header.num_ws, header.w_dim),
                self._block.pixels(self._held, header.width, header.height),
                self._held if header.on_gpu else None,
            )

    def notes(self) -> list[str]:
        """What it had to say since the last call, a sentence each."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def kill(self) -> None:
        """End the process. It has no state, so there is nothing to ask it for first."""
        with self._lock:
            self._killed = True
            if self.process is not None:
                self.process.kill()

    def join(self, timeout_s: float) -> None:
        """Wait until the process has been buried."""
        self._life.join(timeout_s)

    def _live(self) -> None:
        """Thread: start the process, take in what it says until its pipe closes, bury it.

        All of it is here because the stage must not wait: a start takes milliseconds, and a process
        that held a GPU can take a second to be gone.
        """
        try:
            process = self._start()
            self._map_more(process)
            while (received := link.receive(process.stdout)) is not None:  # type: ignore[arg-type]
                self._take(process, *received)
        except OSError as error:  # no memory, no process left
            log.warning("no engine can be started: %s", error)
        finally:
            self._bury()

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._block.descriptor
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=() if descriptor is None else (descriptor,),
            start_new_session=sys.platform != "win32",
        )
        with self._lock:
            self.process = process
            if self._killed:
                process.kill()
        return process

    def _bury(self) -> None:
        process = self.process
        self.ended = True
        if process is not None:
            process.kill()  # had it closed its pipe and lived on
            process.wait()
        with self._lock:
            self._pending = self._waiting = None
            if process is not None:
                for pipe in (process.stdin, process.stdout):
                    with contextlib.suppress(OSError):
                        pipe.close()  # type: ignore[union-attr]
            self._block.close()

    def _dispatch(self) -> None:
        """Send what is pending, if the engine is free to take it. Called with the lock held."""
        ready = self.facts is not None and self._asked_at is None and not self.ended
        if not ready or self.process is None:
            return
        slot = next(s for s in range(link.SLOTS) if s not in (self._held, self._waiting))
        if self._offer is not None:
            self._say(self.process, {**self._offer, "free": slot})
            self._offer = None
        request, self._pending = self._pending, None
        if request is None:
            return
        self._asked_at = time.perf_counter_ns()
        self._serial += 1
        self._block.request_ws(*request.ws.shape)[:] = request.ws
        message = {
            "do": "render",
            "serial": self._serial,
            "slot": slot,
            "show_time": request.show_time,
            "noise": request.noise,
            "size": request.size,
            "budget": request.budget,
            "on_gpu": self.on_gpu,
        }
        self._say(self.process, message)

    def _map_more(self, process: subprocess.Popen[bytes]) -> None:
        """Ask for some seeds at a time: less than the pipe holds, and no long silence."""
        with self._lock:
            if self._to_map and not self._mapping:
                self._mapping = True
                self._say(process, {"do": "map", "seeds": self._to_map.pop(0)})

    def _say(self, process: subprocess.Popen[bytes], message: link.Message) -> None:
        """Write to the engine; all that is ever unread is smaller than the pipe: it never waits."""
        with contextlib.suppress(OSError, ValueError):  # it has died; `ended` will say so
            link.send(process.stdin, message)  # type: ignore[arg-type]

    def _take(
        self, process: subprocess.Popen[bytes], message: link.Message, arrays: list[Floats]
    ) -> None:
        kind = message.pop("is")
        with self._lock:
            if kind == "frame":
                self._waiting = message["slot"]
                self._asked_at = None
            elif kind == "mapped":
                seeds = [(seed, class_index) for seed, class_index in message["seeds"]]
                self.mapped = {**self.mapped, **dict(zip(seeds, arrays, strict=True))}
                self._mapping = False
            elif kind == "ready":
                self._patience = max(NO_ANSWER_NS, FRAMES_OF_PATIENCE * message.pop("frame_ns"))
                self.facts = NetworkFacts(w_avg=arrays[0], **message)
            elif kind == "form":
                self.form, self.sizes = message["form"], tuple(message["sizes"])
            elif kind == "shared":
                self.shared = Shared(**message)
            elif kind == "note":
                self._notes.append(message["text"])
            elif kind == "refused":
                self.refusal = message["why"]
            self._dispatch()
        if kind == "mapped":
            self._map_more(process)


def _chunks(seeds: Sequence[Seed]) -> list[Sequence[Seed]]:
    return [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]


class Supervised:
    """A network that goes on performing: one engine, and the next one when that is lost.

    program: what is started as an engine, with the worker's arguments.
    """

    def __init__(
        self,
        device: str,
        network: Path,
        seeds: Iterable[Seed],
        now: int,
        program: Sequence[str] = WORKER,
    ) -> None:
        self.network = network
        self.restarts = 0
        self.stillborn = 0
        self.outages: list[Outage] = []
        self.lost_at: int | None = None
        self.facts: NetworkFacts | None = None
        self.mapped: dict[Seed, Floats] = {}
        self.refusal: str | None = None
        self.form = ""
        self.sizes: tuple[int, ...] = ()
        self._noted: set[str] = set()
        self._device, self._program = device, program
        self._seeds = tuple(seeds)
        self._deaths = 0  # young ones, in a row
        self._start_at = now
        self._delivered = False
        self._closed = False
        self._engine: Engine | None = self._another(now)

    def tend(self, now: int) -> None:
        """Take over what the engine has learned; replace it if it is dead or silent.

        A network that the very first engine refuses is refused for good. Later the last frame
        stays on screen and engines are tried again and again, for the file may come back.
        """
        if self._closed or self.refusal is not None:
            return
        engine = self._engine
        if engine is None:
            if now >= self._start_at:
                self.restarts += 1
                self._engine = self._another(now)
            return
        self.facts = self.facts or engine.facts
        self.mapped.update(engine.mapped)
        self._listen(engine)
        silent_since = engine.silent_since(now)
        if not engine.ended and silent_since is None:
            return
        engine.kill()
        self._engine = None
        if self.facts is None:
            self.stillborn += 1
            self.refusal = engine.refusal
        if self.refusal is None:
            why = engine.refusal or ("ended" if engine.ended else "stopped answering")
            self._mourn(engine, why, now, since=silent_since or now)

    def ask(self, request: Request) -> None:
        """See `Source.ask`; without an engine the request is simply missed."""
        if self._engine is not None:
            self._engine.ask(request)

    def latest(self) -> Frame | None:
        """See `Source.latest`; a frame after an outage ends it."""
        frame = None if self._engine is None else self._engine.latest()
        if frame is not None:
            self._delivered = True
            if self.lost_at is not None:
                self.outages.append(Outage(self.lost_at, frame.header.finished))
                self.lost_at = None
        return frame

    def map(self, seeds: Iterable[Seed]) -> None:
        """See `Source.map`; asked for once, and again of the next engine."""
        more = [seed for seed in dict.fromkeys(seeds) if seed not in self._seeds]
        self._seeds += tuple(more)
        if self._engine is not None and more:
            self._engine.map(more)

    def share(self, handles: Sequence[bytes], side: int) -> None:
        """See `Source.share`."""
        if self._engine is not None:
            self._engine.share(handles, side)

    @property
    def shared(self) -> Shared | None:
        """See `Source.shared`."""
        return None if self._engine is None else self._engine.shared

    @property
    def on_gpu(self) -> bool:
        """See `Source.on_gpu`; another engine begins without."""
        return self._engine is not None and self._engine.on_gpu

    @on_gpu.setter
    def on_gpu(self, wanted: bool) -> None:
        if self._engine is not None:
            self._engine.on_gpu = wanted

    @property
    def pid(self) -> int | None:
        """The process of the engine just now."""
        process = None if self._engine is None else self._engine.process
        return None if process is None else process.pid

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

    def _listen(self, engine: Engine) -> None:
        """What the engine says of itself; a note of the last engine is not told again."""
        if engine.form:
            self.form, self.sizes = engine.form, engine.sizes
        for note in engine.notes():
            if note not in self._noted:
                self._noted.add(note)
                log.warning("%s: %s", self.network.name, note)

    def _another(self, now: int) -> Engine:
        missing = [seed for seed in self._seeds if seed not in self.mapped]
        return Engine(self.network, self._device, missing, self.restarts, now, self._program)

    def _mourn(self, engine: Engine, why: str, now: int, since: int) -> None:
        young = now - engine.started < YOUNG_NS
        self._deaths = self._deaths + 1 if young else 1
        wait = BACKOFF_S[min(self._deaths, len(BACKOFF_S)) - 1]
        log.warning("the engine for %s %s; starting another", self.network.name, why)
        self._start_at = now + int(wait * 1e9)
        if self._delivered and self.lost_at is None:
            self.lost_at = since
