"""GPUs and host, sampled twice a second by a thread that may hang.

A driver can take minutes for an answer, or be gone for a while. Nobody waits for it: the thread
publishes each sample whole, the stage reads the newest, and an answer that does not come is seen
by the sample's age. A sample joins what NVML tells (`live.nvml`), what psutil does (`live.host`),
and the last minutes of both (`live.chronicle`); its records are offered here as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from live.cards import Card, Process
from live.chronicle import INTERVAL_S, CardHistory, Chronicle, Histories, Percentages
from live.host import Host, Program, Programs, read_host
from live.nvml import Driver, Use

__all__ = [
    "Card",
    "CardHistory",
    "Histories",
    "Host",
    "Percentages",
    "Process",
    "Readings",
    "Sample",
    "Sampler",
]

PROCESSES = 64  # described, a card
KNOWN_FAULTS = 32  # texts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """All of it at one moment."""

    taken_ns: int  # when it was begun, by the sampler's clock
    driver: str | None = None
    cuda: str | None = None  # newest that the driver knows, such as "12.8"
    cards: tuple[Card, ...] = ()
    host: Host = field(default_factory=Host)
    problem: str = ""  # why there are no cards, one sentence
    histories: Histories = field(default_factory=Histories)


class Sampler:
    """Samples in a thread of its own from `start` to `close`; `latest` is there for the taking.

    `nvml` has the functions of pynvml, and is pynvml where None is given. `clock` is in ns, `wall`
    in s since 1970. The thread is a daemon, and nothing that it holds is needed by a reader.
    """

    def __init__(
        self,
        nvml: Any = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], float] = time.time,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.latest: Sample | None = None  # replaced whole, by the thread alone
        self._readings = Readings(nvml, clock, wall, interval_s)
        self._clock = clock
        self._began = clock()
        self._interval_s = interval_s
        self._closing = threading.Event()
        self._faults: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="gpus", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def close(self, timeout_s: float = 0.1) -> None:
        """End, and wait no longer than that for a driver that hangs."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        """Thread: a sample at every interval's beginning, until closed."""
        while not self._closing.is_set():
            self._sample()
            elapsed = (self._clock() - self._began) / 1e9
            self._closing.wait(self._interval_s - elapsed % self._interval_s)
        self._readings.close()

    def _sample(self) -> None:
        try:
            self.latest = self._readings.take()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if text not in self._faults and len(self._faults) < KNOWN_FAULTS:
                self._faults.add(text)
                log.exception("the GPU monitor missed a sample; the show goes on")


class Readings:
    """Takes samples, and keeps what one needs of the one before. Every call may hang."""

    def __init__(
        self,
        nvml: Any = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], float] = time.time,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._driver = Driver(nvml)
        self._programs = Programs()
        self._cpu_asked = False
        self._chronicle = Chronicle(interval_s)

    def take(self) -> Sample:
        """A sample of now; without a driver one whose `problem` says so."""
        now = self._clock()
        answer = self._driver.read(now)
        known = self._programs.look({use.pid for card in answer.uses for use in card or ()})
        wall = self._wall()
        cards = tuple(
            _with_processes(card, uses, known, wall)
            for card, uses in zip(answer.cards, answer.uses, strict=True)
        )
        host = read_host(wall)
        if not self._cpu_asked:  # psutil's first answer has nothing to compare with
            host, self._cpu_asked = replace(host, cpu=None), True
        return Sample(
            now,
            answer.driver,
            answer.cuda,
            cards,
            host,
            answer.problem,
            self._chronicle.add(now, host, cards),
        )

    def close(self) -> None:
        """Let the driver go."""
        self._driver.stop()


def _with_processes(
    card: Card, uses: Sequence[Use] | None, known: dict[int, Program], wall: float
) -> Card:
    if uses is None:
        return replace(card, processes=None)
    listed = tuple(_process(card.index, use, known.get(use.pid), wall) for use in uses[:PROCESSES])
    return replace(card, processes=listed, unlisted=len(uses) - len(listed))


def _process(gpu: int, use: Use, program: Program | None, wall: float) -> Process:
    if program is None:
        return Process(use.pid, "?", gpu, use.kind, "?", use.memory, use.sm, use.bandwidth)
    return Process(
        use.pid,
        program.user,
        gpu,
        use.kind,
        program.name,
        use.memory,
        use.sm,
        use.bandwidth,
        program.cpu,
        program.memory,
        max(0.0, wall - program.began),
        program.ours,
    )
