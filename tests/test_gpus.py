"""GPUs as the stage sees them: a driver that hangs or is gone holds nobody up."""

import ast
import contextlib
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pynvml
import pytest

from live import gpus
from live.chronicle import HISTORY, INTERVAL_S
from live.fake_gpus import (
    DATACENTRE,
    GEFORCE,
    GIB,
    WAVE,
    FakeCard,
    FakeNvml,
    FakeProcess,
    State,
    driver_goes_and_returns,
    few_values,
    hangs,
    lost_card,
    one_card,
    two_cards,
)
from live.gpu_checks import has_card
from live.gpus import PROCESSES, Card, Readings, Sampler
from live.nvml import RETRY_NS

PATIENCE_S = 60
HALF_A_SECOND = 500_000_000


class Clock:
    """Time by hand, in ns."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class Desk:
    """Samples taken one by one, half a second apart."""

    def __init__(self, nvml):
        self.clock = Clock()
        self.readings = Readings(nvml, self.clock)

    def take(self, after=HALF_A_SECOND):
        self.clock.now += after
        return self.readings.take()


@contextlib.contextmanager
def sampling(nvml):
    """A sampler that is closed, and whose thread has ended, when the test is over."""
    sampler = Sampler(nvml, interval_s=0.001)
    sampler.start()
    yield sampler
    nvml.release.set()
    sampler.close(PATIENCE_S)
    assert not sampler._thread.is_alive()


def samples_begun(nvml, count):
    """Wait until that many more samples were begun: all before the last of them are published."""
    for _ in range(count):
        assert nvml.sampled.acquire(timeout=PATIENCE_S)


# The thread.


def test_the_newest_sample_is_there_for_the_taking():
    nvml = FakeNvml(one_card())
    sampler = Sampler(nvml)
    assert sampler.latest is None
    sampler.close()  # before it was ever started
    with sampling(nvml) as sampler:
        samples_begun(nvml, 2)
        first = sampler.latest
        while sampler.latest is first:
            samples_begun(nvml, 1)
        assert first.cards[0].name == "NVIDIA GeForce RTX 4090"
        assert sampler.latest.taken_ns > first.taken_ns
        assert first.cards[0].utilisation in WAVE


def test_nobody_waits_for_a_driver_that_hangs():
    nvml = FakeNvml(hangs(1))
    with sampling(nvml) as sampler:
        assert nvml.hanging.wait(PATIENCE_S)
        before = sampler.latest
        assert before.cards[0].power == pytest.approx(85.6)
        sampler.close()  # returns, though the call does not
        assert sampler._thread.is_alive()
        assert sampler.latest is before


def test_a_driver_that_hangs_at_its_start_is_a_monitor_that_waits():
    nvml = FakeNvml([State(hangs_in="nvmlInit")])
    with sampling(nvml) as sampler:
        assert nvml.hanging.wait(PATIENCE_S)
        assert sampler.latest is None


class Faulty(FakeNvml):
    """What nobody thought of, in the first samples."""

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        if self._samples <= 3:
            raise ValueError("what is this?")
        return super().nvmlDeviceGetName(handle)


def test_a_fault_is_logged_once_and_sampling_goes_on(caplog):
    nvml = Faulty(one_card())
    with caplog.at_level(logging.ERROR), sampling(nvml) as sampler:
        samples_begun(nvml, 5)
        assert sampler.latest.cards[0].name == "NVIDIA GeForce RTX 4090"
    faults = [record for record in caplog.records if record.name == "live.gpus"]
    assert len(faults) == 1
    assert "what is this?" in caplog.text


# The driver.


def test_what_a_card_says_in_our_units():
    sample = Desk(FakeNvml(two_cards())).take()
    geforce, datacentre = sample.cards
    assert (sample.driver, sample.cuda, sample.problem) == ("550.54.15", "12.4", "")
    assert geforce == Card(
        index=0,
        name="NVIDIA GeForce RTX 4090",  # bytes in the recording
        bus_id="00000000:01:00.0",
        persistence=False,
        display_active=True,
        ecc_errors=None,
        fan=31,
        temperature=47,
        performance_state=2,
        power=pytest.approx(85.6),
        power_limit=450.0,
        memory_used=5 * GIB,
        memory_total=24 * GIB,
        utilisation=8,
        sm_clock=2520,
        memory_clock=10501,
        compute_mode="Default",
    )
    assert geforce.memory_share == pytest.approx(100 * 5 / 24)
    assert (datacentre.fan, datacentre.ecc_errors, datacentre.compute_mode) == (
        None,
        0,
        "E. Process",
    )


def test_what_is_not_supported_is_not_there():
    card = Desk(FakeNvml(few_values())).take().cards[0]
    assert card == Card(index=0, name="GRID", bus_id="00000000:01:00.0")
    assert card.memory_share is None


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_TIMEOUT])
def test_an_unknown_error_of_one_value_is_not_the_card(code):
    class Laptop(FakeNvml):
        def nvmlDeviceGetFanSpeed(self, handle):  # noqa: N802
            raise pynvml.NVMLError(code)

    card = Desk(Laptop(one_card())).take().cards[0]
    assert (card.fan, card.utilisation, card.problem) == (None, 8, "")


@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_UNKNOWN,
        pynvml.NVML_ERROR_TIMEOUT,
    ],
)
def test_a_lost_card_leaves_the_other(code):
    recording = [
        replace(state, cards=tuple(replace(c, error=code) if c.error else c for c in state.cards))
        for state in lost_card(before=1)
    ]
    desk = Desk(FakeNvml(recording))
    before, after = desk.take(), desk.take()
    assert after.cards[0] == before.cards[0]
    lost = after.cards[1]
    assert (lost.name, lost.bus_id) == ("NVIDIA A100-SXM4-80GB", "00000000:41:00.0")
    assert lost.problem == str(pynvml.NVMLError(code))
    assert (lost.utilisation, lost.memory_used, lost.processes) == (None, None, None)
    assert after.histories.cards[1].utilisation == (97, None)


def test_a_card_that_is_only_there_for_others_leaves_the_other():
    class Shared(FakeNvml):
        def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
            if index == 0:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
            return super().nvmlDeviceGetHandleByIndex(index)

    first, second = Desk(Shared(two_cards())).take().cards
    assert first == Card(0, "?", processes=None, problem="Insufficient Permissions")
    assert (second.index, second.problem) == (1, "")


def test_a_driver_goes_and_returns():
    desk = Desk(FakeNvml(driver_goes_and_returns(before=3, attempts=2)))
    for _ in range(3):
        assert len(desk.take().cards) == 1
    gone = desk.take()
    assert gone.problem == "the NVIDIA driver does not answer any more: Driver Not Loaded"
    assert (gone.cards, gone.driver, gone.cuda) == ((), None, None)
    assert gone.host.memory_total  # the host is still there
    assert desk.take().problem == gone.problem  # it is not asked again at once
    for _ in range(2):
        refused = desk.take(RETRY_NS)
        assert refused.problem == "no NVIDIA driver answers: Driver Not Loaded"
        assert desk.take().problem == refused.problem
    back = desk.take(RETRY_NS)
    assert back.problem == ""
    assert back.cards[0].name == "NVIDIA GeForce RTX 4090"


@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    ],
)
@pytest.mark.parametrize(
    "function",
    [
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetName",
        "nvmlDeviceGetProcessUtilization",
    ],
)
def test_a_driver_that_goes_in_the_middle_of_a_sample(function, code, monkeypatch):
    def gone(*_):
        raise pynvml.NVMLError(code)

    nvml = FakeNvml(two_cards([os.getpid()]))
    desk = Desk(nvml)
    desk.take()
    monkeypatch.setattr(nvml, function, gone)
    sample = desk.take()
    assert sample.cards == ()
    assert sample.problem.startswith("the NVIDIA driver does not answer any more: ")


def test_all_cards_lost_are_a_problem_and_the_driver_is_started_again():
    lost = State((replace(GEFORCE, error=pynvml.NVML_ERROR_GPU_IS_LOST),))
    desk = Desk(FakeNvml([State((GEFORCE,)), lost]))
    desk.take()
    gone = desk.take()
    assert (gone.problem, gone.cards) == ("no NVIDIA GPU answers: GPU is lost", ())
    assert desk.take(RETRY_NS).cards


def test_a_driver_without_a_card():
    sample = Desk(FakeNvml([State()])).take()
    assert sample.problem == "the NVIDIA driver answers, but knows of no GPU"
    assert sample.driver == "550.54.15"


def test_without_nvidias_library_the_monitor_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    sample = Readings().take()
    assert sample.problem.startswith("NVIDIA's library for Python cannot be loaded:")
    assert sample.host.memory_total


def test_without_a_driver_the_monitor_says_so():
    if has_card():
        pytest.skip("this machine has a driver")
    sample = Readings().take()
    assert sample.problem.startswith("no NVIDIA driver answers: ")
    assert sample.cards == ()


# Processes.


def test_this_very_process_is_ours_and_so_is_a_child():
    idle = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", idle], stdin=subprocess.PIPE) as child:
        desk = Desk(FakeNvml(one_card([os.getpid(), child.pid, os.getppid()])))
        desk.take()
        stage, engine, shell = desk.take().cards[0].processes
    assert (stage.name, stage.ours) == ("anthesis stage", True)
    assert (engine.name, engine.ours) == ("anthesis engine", True)
    assert not shell.ours
    assert stage.user == psutil.Process().username().rpartition("\\")[2]
    assert stage.kind == "C+G"
    assert stage.memory == 2 * GIB
    assert stage.cpu >= 0
    assert 0 < stage.host_memory < 100
    born = psutil.Process().create_time()
    assert stage.seconds == pytest.approx(time.time() - born, abs=PATIENCE_S)


@pytest.fixture
def stranger():
    """Starts a process that is no child of ours, by a command line with a secret."""
    started = []

    def start(first=""):
        code = f"import time\n{first}\nprint(flush=True)\ntime.sleep({PATIENCE_S})"
        launch = (
            "import subprocess, sys\n"
            "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\n"
            "print(child.pid)"
        )
        launcher = [sys.executable, "-W", "ignore", "-c", launch]
        command = [*launcher, sys.executable, "-c", code, "--token=hunter2"]
        silent = subprocess.DEVNULL
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=silent, check=True)
        started.append(psutil.Process(int(done.stdout)))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()


def test_a_strangers_name_is_told_and_its_arguments_never(stranger):
    pid = stranger()
    assert "--token=hunter2" in psutil.Process(pid).cmdline()
    sample = Desk(FakeNvml(one_card([pid]))).take()
    process = sample.cards[0].processes[0]
    assert process.name.startswith("python")
    assert not process.ours
    assert "hunter2" not in repr(sample)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_arguments_that_a_process_put_into_its_name_are_not_told(stranger):
    pid = stranger("open('/proc/self/comm', 'w').write('serve -k secret')")
    assert psutil.Process(pid).name() == "serve -k secret"
    assert Desk(FakeNvml(one_card([pid]))).take().cards[0].processes[0].name == "serve"


def test_a_process_that_is_gone_keeps_what_the_driver_says():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        process = Desk(FakeNvml(one_card([child.pid]))).take().cards[0].processes[0]
    assert (process.name, process.user, process.cpu, process.seconds) == ("?", "?", None, None)
    assert (process.memory, process.sm) == (2 * GIB, 8)


def test_what_the_system_does_not_tell_is_not_there(monkeypatch):
    def denied(self, *_):
        raise psutil.AccessDenied(self.pid)

    for name in ("username", "name", "cpu_percent", "memory_percent"):
        monkeypatch.setattr(psutil.Process, name, denied)
    desk = Desk(FakeNvml(one_card([os.getppid()])))
    desk.take()
    process = desk.take().cards[0].processes[0]
    assert (process.user, process.name, process.cpu, process.host_memory) == ("?", "?", None, None)


def test_cpu_is_measured_from_the_second_sample_on():
    desk = Desk(FakeNvml(one_card([os.getpid()])))
    first = desk.take()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    second = desk.take()
    assert (first.cards[0].processes[0].cpu, first.host.cpu) == (None, None)
    assert second.cards[0].processes[0].cpu > 0


def test_a_process_that_is_busy_no_more_is_at_zero_after_a_while():
    def state(*processes):
        return State((replace(GEFORCE, processes=processes),))

    busy = FakeProcess(1, None, sm=70, bandwidth=30)
    idle, other = FakeProcess(1, None), FakeProcess(2, None, sm=5)
    desk = Desk(FakeNvml([state(busy, other), *[state(idle, other)] * 20]))
    shares = [
        [(process.sm, process.bandwidth) for process in desk.take().cards[0].processes]
        for _ in range(6)
    ]
    assert shares[:4] == [[(70, 30), (5, 0)]] * 4  # NVML samples now and then
    assert shares[4:] == [[(0, 0), (5, 0)]] * 2


def test_a_driver_that_samples_no_processes_tells_no_shares():
    process = FakeProcess(1, None, sm=70)
    card = replace(GEFORCE, processes=(process,), samples_processes=False)
    found = Desk(FakeNvml([State((card,))])).take().cards[0].processes[0]
    assert (found.memory, found.sm, found.bandwidth) == (None, None, None)


def test_impossible_shares_are_not_told():
    card = replace(GEFORCE, processes=(FakeProcess(1, None, sm=50, bandwidth=2**32 - 1),))
    found = Desk(FakeNvml([State((card,))])).take().cards[0].processes[0]
    assert (found.sm, found.bandwidth) == (50, None)


def test_the_largest_processes_are_described_and_the_rest_counted():
    many = tuple(FakeProcess(10_000_000 + n, n * GIB) for n in range(PROCESSES + 6))
    card = Desk(FakeNvml([State((replace(DATACENTRE, processes=many),))])).take().cards[0]
    assert len(card.processes) == PROCESSES
    assert card.unlisted == 6
    assert min(process.memory for process in card.processes) == 6 * GIB


# The host, and the last minutes.


def test_the_host_is_this_machine():
    desk = Desk(None)
    desk.take()
    host = desk.take().host
    assert 0 <= host.cpu <= 100
    assert host.memory_total == psutil.virtual_memory().total
    assert 0 < host.memory_share < 100
    assert host.uptime == pytest.approx(time.time() - psutil.boot_time(), abs=PATIENCE_S)
    if hasattr(os, "getloadavg"):
        assert all(load >= 0 for load in host.load)


def test_histories_are_bounded_and_the_newest_is_last():
    desk = Desk(FakeNvml(one_card()))
    for _ in range(HISTORY + 10):
        sample = desk.take()
    past = sample.histories
    assert len(past.cards[0].utilisation) == len(past.cpu) == len(past.memory) == HISTORY
    assert past.cards[0].utilisation[-1] == sample.cards[0].utilisation
    assert past.cards[0].memory[-1] == sample.cards[0].memory_share
    assert past.interval_s == INTERVAL_S


def test_a_late_sample_leaves_a_gap():
    desk = Desk(FakeNvml(one_card()))
    desk.take()
    desk.take(HALF_A_SECOND * 11 // 10)  # a little late is on time
    assert desk.take(4 * HALF_A_SECOND).histories.cards[0].utilisation == (
        8,
        12,
        *(None,) * 3,
        21,
    )
    assert len(desk.take(10**15).histories.cpu) == HISTORY  # a night


def test_a_gap_while_the_driver_is_gone():
    desk = Desk(FakeNvml(driver_goes_and_returns(before=1, attempts=0)))
    desk.take()
    desk.take()
    back = desk.take(RETRY_NS)
    assert back.histories.cards[0].utilisation == (8, *(None,) * 10, 8)


# The house.


def test_nvml_has_its_homes():
    root = Path(gpus.__file__).parent
    homes = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import) and "pynvml" in {alias.name for alias in node.names}:
                homes.add(path.name)
    assert homes == {"nvml.py", "gpu_checks.py", "fake_gpus.py"}


def test_the_fake_has_functions_of_the_real_one_only():
    functions = {name for name in vars(FakeNvml) if name.startswith(("nvml", "NVML"))}
    assert functions <= set(dir(pynvml))


def test_a_card_that_answers_its_name_in_bytes_that_are_no_text():
    card = FakeCard(b"\xff\xfe")
    assert Desk(FakeNvml([State((card,))])).take().cards[0].name == "\ufffd\ufffd"
