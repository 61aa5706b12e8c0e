"""A stand-in for NVML, for machines without an NVIDIA card: see `live.nvml`.

It has the functions of pynvml that are called there, and plays a recording: one state a sample,
over and over. The figures were written by hand, in the shape of NVML's answers; no card was ever
asked for them.
"""
# ruff: noqa: N802 - the names are NVML's

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 2**30
SAMPLED_EVERY_US = 500_000


@dataclass(frozen=True, slots=True)
class FakeProcess:
    """A process on a fake card; % of the card's time and of its memory's."""

    pid: int
    memory: int | None  # bytes
    computes: bool = True
    draws: bool = False
    sm: int = 0
    bandwidth: int = 0


@dataclass(frozen=True, slots=True)
class FakeCard:
    """A card's answers in NVML's units; what is None is not supported."""

    name: str | bytes
    bus_id: str | bytes = "00000000:01:00.0"
    persistence: int | None = None
    display_active: int | None = None
    ecc_errors: int | None = None
    fan: int | None = None  # %
    temperature: int | None = None  # degrees Celsius
    performance_state: int | None = None
    power: int | None = None  # mW
    power_limit: int | None = None  # mW
    memory: tuple[int, int] | None = None  # used and total, bytes
    utilisation: tuple[int, int] | None = None  # the card's and its memory's, %
    clocks: tuple[int, int] | None = None  # SM's and memory's, MHz
    compute_mode: int | None = None
    processes: tuple[FakeProcess, ...] | None = None
    samples_processes: bool = True
    error: int = 0  # code with which it answers every call but that for its handle


@dataclass(frozen=True, slots=True)
class State:
    """What there is to know during one sample."""

    cards: tuple[FakeCard, ...] = ()
    error: int = 0  # code with which the driver answers everything
    hangs_in: str = ""  # name of the function that does not return until `FakeNvml.release`


class FakeNvml:
    """The functions of pynvml. A sample begins where the cards are counted, or NVML is started."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    NVML_VOLATILE_ECC = pynvml.NVML_VOLATILE_ECC
    NVML_PSTATE_UNKNOWN = pynvml.NVML_PSTATE_UNKNOWN
    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815

    def __init__(self, recording: Sequence[State]) -> None:
        self.release = threading.Event()  # set by whoever lets a call that hangs return
        self.hanging = threading.Event()  # set when one hangs
        self.sampled = threading.Semaphore(0)  # released at the beginning of each sample
        self._recording = recording
        self._samples = 0
        self._running = False

    @property
    def state(self) -> State:
        """What is being played."""
        return self._recording[max(0, self._samples - 1) % len(self._recording)]

    def nvmlInit(self) -> None:
        """Fails where the state that comes next has an error, which is a sample of its own."""
        following = self._recording[self._samples % len(self._recording)]
        if following.error:
            self._next()
        self._running = True
        self._meet(following, "nvmlInit")

    def nvmlShutdown(self) -> None:
        """Fails where the driver is lost, as NVML does."""
        self._running = False
        self._meet(replace(self.state, hangs_in=""), "nvmlShutdown")

    def nvmlDeviceGetCount(self) -> int:
        """The number of cards."""
        if not self._running:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        self._next()
        self._meet(self.state, "nvmlDeviceGetCount")
        return len(self.state.cards)

    def nvmlSystemGetDriverVersion(self) -> str:
        """Of no driver."""
        self._meet(self.state, "nvmlSystemGetDriverVersion")
        return "550.54.15"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        """CUDA 12.4."""
        self._meet(self.state, "nvmlSystemGetCudaDriverVersion")
        return 12040

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        """The index is the handle; a card that is lost has one, too."""
        self._meet(self.state, "nvmlDeviceGetHandleByIndex")
        return index

    def nvmlDeviceGetName(self, handle: int) -> Any:
        """Such as "NVIDIA GeForce RTX 4090"."""
        return self._card(handle, "nvmlDeviceGetName").name

    def nvmlDeviceGetPciInfo(self, handle: int) -> Any:
        """With `busId`."""
        return SimpleNamespace(busId=self._card(handle, "nvmlDeviceGetPciInfo").bus_id)

    def nvmlDeviceGetMemoryInfo(self, handle: int, version: int | None = None) -> Any:
        """With `used`, `free` and `total`."""
        used, total = _known(self._card(handle, "nvmlDeviceGetMemoryInfo").memory)
        return SimpleNamespace(used=used, free=total - used, total=total)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        """With `gpu` and `memory`."""
        gpu, memory = _known(self._card(handle, "nvmlDeviceGetUtilizationRates").utilisation)
        return SimpleNamespace(gpu=gpu, memory=memory)

    def nvmlDeviceGetPersistenceMode(self, handle: int) -> Any:
        """0 or 1."""
        return _known(self._card(handle, "nvmlDeviceGetPersistenceMode").persistence)

    def nvmlDeviceGetDisplayActive(self, handle: int) -> Any:
        """0 or 1."""
        return _known(self._card(handle, "nvmlDeviceGetDisplayActive").display_active)

    def nvmlDeviceGetTotalEccErrors(self, handle: int, error: int, counter: int) -> Any:
        """Whichever are asked for."""
        return _known(self._card(handle, "nvmlDeviceGetTotalEccErrors").ecc_errors)

    def nvmlDeviceGetFanSpeed(self, handle: int) -> Any:
        """In %."""
        return _known(self._card(handle, "nvmlDeviceGetFanSpeed").fan)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> Any:
        """In degrees Celsius."""
        return _known(self._card(handle, "nvmlDeviceGetTemperature").temperature)

    def nvmlDeviceGetPerformanceState(self, handle: int) -> Any:
        """0 to 15."""
        return _known(self._card(handle, "nvmlDeviceGetPerformanceState").performance_state)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> Any:
        """In mW."""
        return _known(self._card(handle, "nvmlDeviceGetPowerUsage").power)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> Any:
        """In mW."""
        return _known(self._card(handle, "nvmlDeviceGetEnforcedPowerLimit").power_limit)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> Any:
        """In MHz."""
        clocks = _known(self._card(handle, "nvmlDeviceGetClockInfo").clocks)
        return clocks[clock == self.NVML_CLOCK_MEM]

    def nvmlDeviceGetComputeMode(self, handle: int) -> Any:
        """0 to 3."""
        return _known(self._card(handle, "nvmlDeviceGetComputeMode").compute_mode)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        """With `pid` and `usedGpuMemory`."""
        card = self._card(handle, "nvmlDeviceGetComputeRunningProcesses")
        return [_running(process) for process in _known(card.processes) if process.computes]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:
        """With `pid` and `usedGpuMemory`."""
        card = self._card(handle, "nvmlDeviceGetGraphicsRunningProcesses")
        return [_running(process) for process in _known(card.processes) if process.draws]

    def nvmlDeviceGetProcessUtilization(self, handle: int, since: int) -> list[Any]:
        """A sample of each process that is busy, where it is newer than `since`, in us."""
        card = self._card(handle, "nvmlDeviceGetProcessUtilization")
        if not card.samples_processes:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        stamp = self._samples * SAMPLED_EVERY_US
        busy = [process for process in card.processes or () if process.sm or process.bandwidth]
        if not busy or stamp <= since:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return [
            SimpleNamespace(pid=p.pid, timeStamp=stamp, smUtil=p.sm, memUtil=p.bandwidth)
            for p in busy
        ]

    def _next(self) -> None:
        self._samples += 1
        self.sampled.release()

    def _card(self, handle: int, function: str) -> FakeCard:
        self._meet(self.state, function)
        card = self.state.cards[handle]
        if card.error:
            raise pynvml.NVMLError(card.error)
        return card

    def _meet(self, state: State, function: str) -> None:
        """Whatever stands between a call and its answer."""
        if state.hangs_in == function:
            self.hanging.set()
            self.release.wait()
        if state.error:
            self._running = False
            raise pynvml.NVMLError(state.error)


def _known(value: Any) -> Any:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


def _running(process: FakeProcess) -> Any:
    return SimpleNamespace(pid=process.pid, usedGpuMemory=process.memory)


GEFORCE = FakeCard(
    name=b"NVIDIA GeForce RTX 4090",  # bytes, as of nvidia-ml-py before 12
    bus_id=b"00000000:01:00.0",
    persistence=0,
    display_active=1,
    fan=31,
    temperature=47,
    performance_state=2,
    power=142_000,
    power_limit=450_000,
    memory=(5 * GIB, 24 * GIB),
    utilisation=(54, 21),
    clocks=(2520, 10501),
    compute_mode=0,
    processes=(),
)
DATACENTRE = FakeCard(
    name="NVIDIA A100-SXM4-80GB",
    bus_id="00000000:41:00.0",
    persistence=1,
    display_active=0,
    ecc_errors=0,
    temperature=33,
    performance_state=0,
    power=396_500,
    power_limit=400_000,
    memory=(70 * GIB, 80 * GIB),
    utilisation=(97, 62),
    clocks=(1410, 1593),
    compute_mode=3,
    processes=(),
)
WAVE = (8, 12, 21, 34, 47, 61, 70, 78, 83, 86, 80, 71, 66, 52, 41, 30, 22, 15, 11, 9)
"""Utilisation in %, one a sample."""


def one_card(pids: Sequence[int] = ()) -> list[State]:
    """A GeForce with a display, whose work comes and goes; each of `pids` computes and draws."""
    return [State((_working(GEFORCE, gpu, pids),)) for gpu in WAVE]


def two_cards(pids: Sequence[int] = ()) -> list[State]:
    """That GeForce and a card of a data centre, without fan and display, where `pids` compute."""
    working = [_working(GEFORCE, gpu, ()) for gpu in WAVE]
    computing = tuple(FakeProcess(pid, 30 * GIB, sm=48, bandwidth=31) for pid in pids)
    return [State((card, replace(DATACENTRE, processes=computing))) for card in working]


def few_values(pids: Sequence[int] = ()) -> list[State]:
    """A card that supports hardly anything, as in a laptop or a virtual machine."""
    processes = tuple(FakeProcess(pid, None) for pid in pids)
    return [State((FakeCard("GRID", processes=processes, samples_processes=False),))]


def lost_card(before: int = 2) -> list[State]:
    """Two cards, the second of which falls off the bus after that many samples, for ten."""
    both = two_cards()[0].cards
    lost = replace(both[1], error=pynvml.NVML_ERROR_GPU_IS_LOST)
    return [State(both)] * before + [State((both[0], lost))] * 10


def driver_goes_and_returns(before: int = 3, attempts: int = 2) -> list[State]:
    """One card; then no driver, for the call that finds it gone and that many starts; then again.

    An attempt is a start of NVML, which the sampler makes some seconds after the last one.
    """
    gone = State(error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    return one_card()[:before] + [gone] * (1 + attempts)


def hangs(before: int = 1, function: str = "nvmlDeviceGetPowerUsage") -> list[State]:
    """One card; after that many samples a call does not return until it is released."""
    return [*one_card()[:before], replace(one_card()[before], hangs_in=function)]


def _working(card: FakeCard, gpu: int, pids: Sequence[int]) -> FakeCard:
    share = gpu // max(1, len(pids))
    processes = tuple(
        FakeProcess(pid, 2 * GIB, draws=True, sm=share, bandwidth=share // 2) for pid in pids
    )
    power = 60_000 + 3_200 * gpu
    return replace(card, utilisation=(gpu, gpu // 2), power=power, processes=processes)
