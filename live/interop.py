"""How frames come from an engine's memory to their texture: through the host's, or on the GPU.

Through the host always works, and every engine begins so. Where the engine and OpenGL share one
NVIDIA GPU, the stage allocates slots there and exports them to the engine, whose death frees
nothing that the stage uses. A probe then tries the whole way, once an engine: the engine fills the
slots with a pattern, which must arrive in a texture, and the way must be the quicker one. Whatever
fails is a sentence and the host's memory; nothing here keeps the frame waiting but, in the probe,
a copy at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import moderngl
import numpy as np

from engine import link
from live.cuda import CudaError, Gpu
from live.source import Frame, Source
from live.succession import Succession
from live.texture import DeviceSlot, Picture

log = logging.getLogger(__name__)
T = TypeVar("T")

HOST, ON_GPU = "host", "cuda-interop"
TRIALS = 5  # of each way
UNDECIDED = "not decided before the end"


@dataclass
class _Way:
    """How the frames of one network come just now."""

    engine: tuple[Source, int] | None = None  # that was probed, and how many were lost before it
    probe: Iterator[None] | None = None
    slots: tuple[DeviceSlot, ...] = ()
    handles: tuple[bytes, ...] = ()
    kind: str = HOST
    why: str = UNDECIDED


class FramePaths:
    """Probes the ways of all networks' frames, and brings frames by them; on the render thread.

    now: the clock, in ns, by which the two ways are compared.
    """

    def __init__(self, ctx: moderngl.Context, gpu: Gpu, now: Callable[[], int]) -> None:
        self._ctx, self._gpu, self._now = ctx, gpu, now
        self._ways: dict[Path, _Way] = {}
        self._failed = ""  # why the GPU is not to be used any more
        self._preparation: Iterator[None] | None = self._prepare()

    def chosen(self, network: Path) -> tuple[str, str]:
        """ "host" or "cuda-interop" for a network's frames, and why, in words."""
        way = self._ways.get(network, _Way())
        return way.kind, way.why

    def tend(self, source: Source) -> None:
        """Once a frame: a step of the probe, if the source's engine has not been probed.

        While the first engine loads, which is before there is a picture, CUDA is made ready: in the
        show OpenGL's calls would have to wait for that.
        """
        if self._preparation is not None:
            self._go_on_preparing(self._preparation)
        if source.facts is None or self._preparation is not None:
            return
        way = self._ways.setdefault(source.network, _Way())
        if way.engine != (source, source.restarts):
            if way.probe is not None and way.engine is not None and way.engine[0] is source:
                # The engine that was being tried is gone, perhaps because of that.
                self._failed = "an engine was lost while this was tried"
            way.engine, way.kind, way.why = (source, source.restarts), HOST, UNDECIDED
            way.probe = self._probe(way, source)
        if way.probe is None:
            return
        try:
            next(way.probe)
        except StopIteration:
            way.probe = None
        except (CudaError, moderngl.Error) as error:
            way.probe, way.why = None, str(error)

    def _go_on_preparing(self, preparation: Iterator[None]) -> None:
        try:
            next(preparation)
        except StopIteration:
            self._preparation = None
        except CudaError as error:
            self._preparation, self._failed = None, str(error)

    def _prepare(self) -> Iterator[None]:
        self._gpu.suits(self._ctx)
        yield from _aside(self._gpu.prepare)

    def settle(self) -> None:
        """Before frames are taken: what was copied from slots must have been, for they go back."""
        if any(way.kind == ON_GPU for way in self._ways.values()):
            try:
                self._gpu.finish()
            except CudaError as error:
                self._give_up(error)

    def bring(self, source: Source, frame: Frame, succession: Succession, at: int) -> bool:
        """A frame to its texture, see `Succession.upload`; False if it did not get there."""
        width, height = frame.header.width, frame.header.height
        if frame.slot is None:
            succession.upload(frame.pixels, width, height, at)
            return True
        way = self._ways[source.network]
        if way.kind == ON_GPU:
            try:
                succession.upload(way.slots[frame.slot], width, height, at)
            except CudaError as error:
                self._give_up(error)
            else:
                return True
        source.on_gpu = False  # it was asked for before that was known
        return False

    def _give_up(self, error: CudaError) -> None:
        """Something that worked does not any more: the host's memory from now on."""
        self._failed = f"given up in the show: {error}"
        log.warning("frames go through the host's memory from now on: %s", error)
        for way in self._ways.values():
            if way.kind == ON_GPU:
                way.kind, way.why = HOST, self._failed

    def _probe(self, way: _Way, source: Source) -> Iterator[None]:
        """Try the way over the GPU, a step a frame. Raises CudaError where it ends."""
        facts = source.facts
        assert facts is not None
        if not facts.uuid:
            raise CudaError(f"the engine is on {facts.device}")
        if self._failed:
            raise CudaError(self._failed)
        if not way.slots:
            yield from self._open(way, facts.uuid, facts.resolution)
        source.share(way.handles, facts.resolution)
        while source.shared is None:
            yield
        if source.shared.why:
            raise CudaError(f"the engine cannot take part: {source.shared.why}")
        picture = Picture(self._ctx)
        try:
            yield from self._compare(picture, way.slots, facts.resolution)
            here = yield from self._time(picture, way.slots[0], facts.resolution)
        finally:
            picture.release()
        host, on_gpu = source.shared.host_ns + here[0], source.shared.gpu_ns + here[1]
        figures = f"{on_gpu / 1e6:.2f} ms a frame, {host / 1e6:.2f} through the host's memory"
        if on_gpu >= host:
            raise CudaError(f"not quicker: {figures}")
        way.kind, way.why = ON_GPU, figures
        source.on_gpu = True

    def _open(self, way: _Way, uuid: str, side: int) -> Iterator[None]:
        """Open the GPU, allocate the slots and export them."""
        gpu = self._gpu

        def allocated() -> list[int]:
            gpu.start(uuid)
            return [gpu.allocate(side * side * 4) for _ in range(link.SLOTS)]

        memory = yield from _aside(allocated)
        handles = yield from _aside(lambda: [gpu.export(one) for one in memory])
        gpu.attach()
        way.slots = tuple(DeviceSlot(gpu, one) for one in memory)
        way.handles = tuple(handles)

    def _compare(
        self, picture: Picture, slots: tuple[DeviceSlot, ...], side: int
    ) -> Iterator[None]:
        """See that what the engine has written to each slot arrives in a texture."""
        for number, slot in enumerate(slots):
            picture.upload(slot, side, side)
            self._gpu.finish()
            assert picture.texture is not None
            if not link.is_pattern(picture.texture.read(), number):
                raise CudaError(f"what the engine wrote to slot {number} arrives garbled")
            yield

    def _time(
        self, picture: Picture, slot: DeviceSlot, side: int
    ) -> Generator[None, None, tuple[float, float]]:
        """What an upload from the host's memory takes, and one from a slot; medians, in ns."""
        pixels = np.zeros((side, side, 4), np.uint8)
        took: tuple[list[int], list[int]] = ([], [])
        for _ in range(TRIALS):
            for given, times in ((pixels, took[0]), (slot, took[1])):
                self._ctx.finish()
                started = self._now()
                picture.upload(given, side, side)
                self._gpu.finish()
                self._ctx.finish()
                times.append(self._now() - started)
                yield
        return median(took[0]), median(took[1])


def _aside(work: Callable[[], T]) -> Generator[None, None, T]:
    """What some work returns that takes longer than a frame may, done on a thread of its own."""
    done: list[T] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            failures.append(error)

    thread = threading.Thread(target=run, name="frame path", daemon=True)
    thread.start()
    while thread.is_alive():
        yield
    if failures:
        raise failures[0]
    return done[0]
