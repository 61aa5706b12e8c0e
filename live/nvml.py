"""What NVML tells of the cards and of those who use them: the stage's home of pynvml.

A driver can be gone for a while, and a card fall off its bus; both are answers here, with a
sentence that says why. Every call may hang. The doctor's questions are in `live.gpu_checks`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from live.cards import Card, Kind

RETRY_NS = 5_000_000_000  # between two attempts to reach the driver
BUSY_NS = 2_000_000_000  # that NVML's last word on a process holds

# Codes of nvml.h, which are never given another meaning.
SUCCESS, NOT_FOUND = 0, 6
DRIVER_LOST = frozenset({1, 9, 12, 18})  # not started, not loaded, no library, unlike its library
CARD_LOST = frozenset({15, 16})  # off the bus; needs a reset
# Timeout, interrupt, refused by the system, unknown: laptops answer so for a fan that they do not
# have, so of most values it means that there is none; of memory, that the card is gone.
CARD_SILENT = CARD_LOST | {10, 11, 17, 999}

COMPUTE_MODES = {0: "Default", 1: "E. Thread", 2: "Prohibited", 3: "E. Process"}

log = logging.getLogger(__name__)


class _DriverLostError(Exception):
    """NVML does not answer at all; a sentence."""


class _CardLostError(Exception):
    """One card does not answer; why, in NVML's words."""


@dataclass(frozen=True, slots=True)
class Use:
    """What NVML knows of a process on a card."""

    pid: int
    kind: Kind
    memory: int | None  # bytes on the card
    sm: float | None  # % of the card's time
    bandwidth: float | None  # % of the time its memory was read or written


@dataclass(frozen=True, slots=True)
class Answer:
    """NVML's part of a sample: the cards, and the uses of each, or None where it tells none."""

    problem: str = ""
    driver: str | None = None
    cuda: str | None = None
    cards: tuple[Card, ...] = ()
    uses: tuple[Sequence[Use] | None, ...] = ()


class Driver:
    """NVML, started when it can be, and again some seconds after it was lost.

    `nvml` has the functions of pynvml, and is pynvml, loaded at the start, where None is given.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._running = False
        self._retry_at: int | None = None
        self._problem = ""
        self._last: dict[int, Card] = {}
        self._busy: dict[int, _Busy] = {}

    def read(self, now: int) -> Answer:
        """All cards at `now`, in ns by the sampler's clock; or none, and why."""
        if not self._running and self._retry_at is not None and now < self._retry_at:
            return Answer(self._problem)
        try:
            if not self._running:
                self._start()
            return self._read(now)
        except _DriverLostError as error:
            self._problem = str(error)
            self._retry_at = now + RETRY_NS
            self.stop()
            return Answer(self._problem)

    def stop(self) -> None:
        """Let go of NVML; that it is gone already is no fault."""
        if self._running:
            self._running = False
            self._last.clear()
            self._busy.clear()
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError as error:
                log.debug("NVML does not end: %s", error)

    def _start(self) -> None:
        if self._nvml is None:
            try:
                import pynvml
            except (ImportError, OSError) as error:
                problem = f"NVIDIA's library for Python cannot be loaded: {error}"
                raise _DriverLostError(problem) from error
            self._nvml = pynvml
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise _DriverLostError(f"no NVIDIA driver answers: {error}") from error
        self._running = True

    def _read(self, now: int) -> Answer:
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            raise _lost_driver(error) from error
        driver = self._ask("nvmlSystemGetDriverVersion", lost=frozenset())
        cuda = self._ask("nvmlSystemGetCudaDriverVersion", lost=frozenset())
        read = [self._read_card(index, now) for index in range(count)]
        problem = "" if count else "the NVIDIA driver answers, but knows of no GPU"
        if count and all(card.problem for card, _ in read):
            raise _DriverLostError(f"no NVIDIA GPU answers: {read[0][0].problem}")
        return Answer(
            problem,
            None if driver is None else _text(driver),
            None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            tuple(card for card, _ in read),
            tuple(uses for _, uses in read),
        )

    def _read_card(self, index: int, now: int) -> tuple[Card, Sequence[Use] | None]:
        """A card; one that is lost, with what it was and why it says nothing."""
        try:
            handle = self._handle(index)
            card = self._last[index] = self._describe(index, handle)
            return card, self._uses(index, handle, now)
        except _CardLostError as error:
            last = self._last.get(index, Card(index, "?"))
            problem = str(error)
            return Card(index, last.name, last.bus_id, processes=None, problem=problem), None

    def _handle(self, index: int) -> Any:
        try:
            return self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._nvml.NVMLError as error:
            if error.value in DRIVER_LOST:
                raise _lost_driver(error) from error
            raise _CardLostError(str(error)) from error

    def _describe(self, index: int, handle: Any) -> Card:
        memory = self._memory(handle)  # first: it tells whether the card is there
        name = self._ask("nvmlDeviceGetName", handle)
        pci = self._ask("nvmlDeviceGetPciInfo", handle)
        busy = self._ask("nvmlDeviceGetUtilizationRates", handle)
        state = self._ask("nvmlDeviceGetPerformanceState", handle)
        sm, clock = self._nvml.NVML_CLOCK_SM, "nvmlDeviceGetClockInfo"
        celsius = self._nvml.NVML_TEMPERATURE_GPU
        uncorrected = (self._nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self._nvml.NVML_VOLATILE_ECC)
        return Card(
            index,
            "?" if name is None else _text(name),
            None if pci is None else _text(pci.busId),
            persistence=_switch(self._ask("nvmlDeviceGetPersistenceMode", handle)),
            display_active=_switch(self._ask("nvmlDeviceGetDisplayActive", handle)),
            ecc_errors=self._ask("nvmlDeviceGetTotalEccErrors", handle, *uncorrected),
            fan=self._ask("nvmlDeviceGetFanSpeed", handle),
            temperature=self._ask("nvmlDeviceGetTemperature", handle, celsius),
            performance_state=None if state == self._nvml.NVML_PSTATE_UNKNOWN else state,
            power=_watts(self._ask("nvmlDeviceGetPowerUsage", handle)),
            power_limit=_watts(self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
            memory_used=None if memory is None else memory.used,
            memory_total=None if memory is None else memory.total,
            utilisation=None if busy is None else busy.gpu,
            sm_clock=self._ask(clock, handle, sm),
            memory_clock=self._ask(clock, handle, self._nvml.NVML_CLOCK_MEM),
            compute_mode=COMPUTE_MODES.get(self._ask("nvmlDeviceGetComputeMode", handle)),
        )

    def _memory(self, handle: Any) -> Any:
        """Used and total. The second version does not count what the driver keeps for itself."""
        function, version = "nvmlDeviceGetMemoryInfo", self._nvml.nvmlMemory_v2
        memory = self._ask(function, handle, version, lost=CARD_SILENT)
        return self._ask(function, handle, lost=CARD_SILENT) if memory is None else memory

    def _uses(self, index: int, handle: Any, now: int) -> Sequence[Use] | None:
        """Who uses a card, most of its memory first; None where it does not tell."""
        computing = self._ask("nvmlDeviceGetComputeRunningProcesses", handle)
        drawing = self._ask("nvmlDeviceGetGraphicsRunningProcesses", handle)
        if computing is None and drawing is None:
            return None
        kinds: dict[int, Kind] = {process.pid: "C" for process in computing or ()}
        for process in drawing or ():
            kinds[process.pid] = "C+G" if process.pid in kinds else "G"
        memory = {
            process.pid: process.usedGpuMemory
            for process in (*(drawing or ()), *(computing or ()))
            if process.usedGpuMemory is not None
        }
        busy = self._busy.setdefault(index, _Busy())
        shares = busy.shares(self._sampled(handle, busy.newest), now)
        idle = (None, None) if shares is None else (0, 0)
        uses = [
            Use(pid, kind, memory.get(pid), *(shares or {}).get(pid, idle))
            for pid, kind in kinds.items()
        ]
        return sorted(uses, key=lambda use: -(use.memory or 0))

    def _sampled(self, handle: Any, since: int) -> Sequence[Any] | None:
        """NVML's samples of processes that were busy; None where it takes none."""
        try:
            samples: Sequence[Any] = self._nvml.nvmlDeviceGetProcessUtilization(handle, since)
        except self._nvml.NVMLError as error:
            if error.value in (SUCCESS, NOT_FOUND):  # nobody was busy; pynvml raises both
                return ()
            self._raise_loss(error, CARD_LOST)
            return None
        return samples

    def _ask(self, function: str, *arguments: Any, lost: frozenset[int] = CARD_LOST) -> Any:
        """What NVML answers; None where it has no such value.

        Raises _DriverLostError, and _CardLostError for an error whose code is in `lost`.
        """
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            self._raise_loss(error, lost)
            return None

    @staticmethod
    def _raise_loss(error: Any, lost: frozenset[int]) -> None:
        if error.value in DRIVER_LOST:
            raise _lost_driver(error) from error
        if error.value in lost:
            raise _CardLostError(str(error)) from error


class _Busy:
    """How busy the processes of one card are, of NVML's samples, which come now and then.

    It samples only processes that were busy: one it has not mentioned for a while was not.
    """

    def __init__(self) -> None:
        self.newest = 0  # time stamp of the last sample, in us by the driver's clock
        self._last: dict[int, tuple[int, float | None, float | None]] = {}

    def shares(
        self, samples: Sequence[Any] | None, now: int
    ) -> dict[int, tuple[float | None, float | None]] | None:
        """By process: % of the card's time, % of memory's; None where NVML takes no samples."""
        if samples is None:
            return None
        stamps = [sample.timeStamp for sample in samples]
        self.newest = max([self.newest, *stamps])
        for sample in sorted(samples, key=lambda sample: sample.timeStamp):
            if (self.newest - sample.timeStamp) * 1000 < BUSY_NS:  # the first answer reaches far
                shares = _percentage(sample.smUtil), _percentage(sample.memUtil)
                self._last[sample.pid] = (now, *shares)
        self._last = {pid: last for pid, last in self._last.items() if now - last[0] < BUSY_NS}
        return {pid: (sm, bandwidth) for pid, (_, sm, bandwidth) in self._last.items()}


def _lost_driver(error: Exception) -> _DriverLostError:
    return _DriverLostError(f"the NVIDIA driver does not answer any more: {error}")


def _percentage(value: int) -> float | None:
    return value if 0 <= value <= 100 else None  # drivers have been seen to answer 2^32 - 1


def _switch(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _text(text: str | bytes) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text  # by version
