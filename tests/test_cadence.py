"""The cadence against an engine of scripted speed, turn by turn, as the stage goes through them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.cadence import SECOND, Answer, Cadence, Orders, budget
from live.clock import Outlook

P = 16_666_667  # ns between turns


class Engine:
    """Makes one frame at a time; of what is asked meanwhile it does the newest next."""

    def __init__(self, takes: Callable[[int], float]) -> None:
        self.takes = takes  # ns, by the number of the frame
        self.begun = 0
        self.working: tuple[int, int] | None = None  # show time, when it will be finished
        self.pending: int | None = None
        self.waiting: tuple[int, int] | None = None

    def _begin(self, show_time: int, now: int) -> None:
        self.working = (show_time, now + max(round(self.takes(self.begun)), 1))
        self.begun += 1

    def until(self, now: int) -> None:
        while self.working is not None and self.working[1] <= now:
            self.waiting, self.working = self.working, None
            if self.pending is not None:
                show_time, self.pending = self.pending, None
                self._begin(show_time, self.waiting[1])

    def ask(self, show_time: int, now: int) -> None:
        self.until(now)
        self.pending = show_time
        if self.working is None:
            self.pending = None
            self._begin(show_time, now)

    def latest(self, now: int) -> tuple[int, int] | None:
        self.until(now)
        frame, self.waiting = self.waiting, None
        return frame


class Loop:
    """The turns of a stage: `draws` ns of each are its own work, the rest is the wait."""

    def __init__(self, takes: Callable[[int], float], draws: int, waits: bool = True) -> None:
        self.cadence, self.orders = Cadence(P), Orders()
        self.engine = Engine(takes)
        self.draws, self.waits = draws, waits
        self.turn = 0
        self.shown: list[tuple[int, int]] = []  # turn, show time
        self.divisors: list[int] = []

    def run(self, seconds: float) -> Loop:
        for _ in range(round(seconds * SECOND / P)):
            self._turn()
        return self

    def _turn(self) -> None:
        self.turn += 1
        began = self.turn * P  # the present before has just returned
        taken = self.cadence.takes_before_asking and self._take(began)
        if self.cadence.asks(self.turn):
            self.engine.ask(began, began)
            self.orders.asked(began, self.turn, began)
            self.cadence.asked(self.turn)
        wait = P - self.draws if self.waits else 0
        if not taken:
            self._take(began + wait)
        self.cadence.turned(P, wait)
        self.divisors.append(self.cadence.divisor)

    def _take(self, now: int) -> bool:
        if not self.orders.due(self.turn, self.cadence.latency):
            return False
        frame = self.engine.latest(now)
        if frame is None:
            return False
        self.shown.append((self.turn, frame[0]))
        answer = self.orders.answered(frame[0], frame[1], self.turn)
        assert answer is not None
        self.cadence.answered(answer, now)
        return True

    @property
    def changes(self) -> int:
        return sum(a != b for a, b in pairwise(self.divisors))


draws = st.integers(0, P)
waits = st.booleans()


@given(st.floats(0.0, 6.0), draws, waits)
def test_a_steady_engine_gets_a_divisor_that_never_changes_again(
    periods: float, draws: int, waits: bool
) -> None:
    """And then its pictures are spaced by exactly that, in turns and in show time."""
    loop = Loop(lambda n: periods * P, draws, waits).run(15)
    settled = loop.divisors[-1]
    assert set(loop.divisors[-round(14 * SECOND / P) :]) == {settled}
    late = loop.shown[-60 // settled :]
    assert {b[0] - a[0] for a, b in pairwise(late)} == {settled}
    assert {b[1] - a[1] for a, b in pairwise(late)} == {settled * P}
    assert {turn * P - show_time for turn, show_time in late} == {loop.cadence.latency * P}
    # The fastest divisor that there is time for, but for the margin that is kept.
    assert (settled - 1) * P <= max(periods * P / 0.97, 0) <= settled * P


@given(
    st.floats(0.0, 5.0),
    st.sets(st.integers(30, 3000), max_size=20),
    st.floats(0.0, 100.0),
    draws,
    waits,
)
def test_a_single_slow_frame_never_changes_it(
    periods: float, slow: set[int], slower: float, draws: int, waits: bool
) -> None:
    alone = {n for n in slow if not slow & set(range(n - 16, n))}
    loop = Loop(lambda n: (periods + slower * (n in alone)) * P, draws, waits).run(30)
    assert len(set(loop.divisors[100:])) == 1
    assert loop.shown[-1][0] == pytest.approx(loop.turn, abs=loop.divisors[-1] + slower + periods)


@pytest.mark.parametrize(
    ("periods", "divisor", "latency"),
    [(0.5, 1, 0), (0.9, 1, 1), (1.5, 2, 1), (1.9, 2, 2), (2.7, 3, 2), (2.85, 3, 3)],
)
def test_the_lowest_step_that_fits_is_taken(periods: float, divisor: int, latency: int) -> None:
    """Of each turn 0.8 are the wait: what fits into it is on screen a turn earlier."""
    loop = Loop(lambda n: periods * P, P // 5).run(5)
    assert (loop.cadence.divisor, loop.cadence.latency) == (divisor, latency)


def test_slow_frames_that_nobody_sees_change_nothing() -> None:
    """Some take more than a turn, but the wait of the next makes up for it."""
    slow = (0, 3, 6)
    loop = Loop(lambda n: (0.9 if n < 30 else 1.1 if n % 8 in slow else 0.8) * P, P // 5).run(30)
    assert set(loop.divisors) == {1}
    assert {b[0] - a[0] for a, b in pairwise(loop.shown[30:])} == {1}


def test_slow_frames_that_are_seen_again_and_again_make_it_fall() -> None:
    """Though most are fast: pictures that come evenly at half the rate are better to look at."""
    loop = Loop(lambda n: (1.9 if n % 8 in (0, 3, 6) else 0.3) * P, P // 5).run(30)
    assert loop.divisors[-1] == 2
    assert {b[0] - a[0] for a, b in pairwise(loop.shown[-300:])} == {2}


def test_a_fast_frame_does_not_overtake_the_one_before() -> None:
    loop = Loop(lambda n: (0.2 if n % 2 else 0.95) * P, P // 5).run(30)
    late = loop.shown[-300:]
    assert {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(late)} == {(1, P)}


def test_it_falls_within_a_few_frames_and_comes_back_after_some_seconds() -> None:
    speed = {"now": 0.5}
    loop = Loop(lambda n: speed["now"] * P, P // 5).run(5)
    assert set(loop.divisors) == {1}
    speed["now"] = 1.4
    loop.run(8 * 1.4 * P / SECOND)
    assert loop.divisors[-1] == 2
    loop.run(20)
    speed["now"] = 0.5
    fast_from = len(loop.divisors)
    loop.run(20)
    back = (loop.divisors.index(1, fast_from) - fast_from) * P / SECOND
    assert 3 <= back <= 4
    assert loop.changes == 2


def test_it_does_not_come_back_to_where_there_is_no_margin() -> None:
    speed = {"now": 1.5}
    loop = Loop(lambda n: speed["now"] * P, 0).run(5)
    speed["now"] = 0.95
    loop.run(30)
    assert loop.divisors[-1] == 2


def returns(divisors: list[int]) -> list[float]:
    """The moments at which the divisor became smaller, in s."""
    return [n * P / SECOND for n, (a, b) in enumerate(pairwise(divisors)) if b < a]


def test_a_return_that_fails_makes_the_next_one_wait_twice_as_long() -> None:
    """An engine that slows down whenever it is asked in every turn, as a hot laptop's does."""
    loop = Loop(lambda n: (1.5 if loop.cadence.divisor == 1 else 0.5) * P, 0)
    loop.run(400)
    gaps = [b - a for a, b in pairwise(returns(loop.divisors))]
    assert gaps[:4] == pytest.approx([6, 12, 24, 48], rel=0.15)
    assert gaps[4:] == pytest.approx([60] * len(gaps[4:]), rel=0.15)
    assert len(gaps) >= 7


@given(st.lists(st.floats(0.0, 4.0), min_size=1, max_size=40), st.integers(1, 60), draws)
def test_whatever_the_engine_does_returns_are_seconds_apart(
    speeds: list[float], frames_each: int, draws: int
) -> None:
    loop = Loop(lambda n: speeds[n // frames_each % len(speeds)] * P, draws).run(40)
    assert all(b - a >= 2.9 for a, b in pairwise(returns(loop.divisors)))


@given(st.floats(0.3, 4.0), st.floats(0.0, 0.05), st.integers(0, 2**32))
def test_an_engine_that_trembles_on_the_edge_does_not_make_it_flap(
    periods: float, tremble: float, seed: int
) -> None:
    random = Random(seed)

    def takes(n: int) -> float:
        return periods * P * (1 + tremble * random.uniform(-1, 1))

    loop = Loop(takes, P // 5).run(60)
    later = loop.divisors[round(2 * SECOND / P) :]
    assert sum(a != b for a, b in pairwise(later)) <= 2


def test_frames_that_are_there_a_moment_too_late_are_shown_a_turn_later_at_the_same_rate() -> None:
    """The engine says that it kept the time, but its message comes after the stage has looked."""
    cadence, orders = Cadence(P), Orders()
    for turn in range(200):
        cadence.asked(turn)
        orders.asked(turn * P, turn, turn * P)
        cadence.turned(P, P // 2)
        if turn:
            answer = orders.answered((turn - 1) * P, (turn - 1) * P + P // 4, turn)
            assert answer is not None
            cadence.answered(answer, turn * P)
    assert (cadence.divisor, cadence.latency) == (1, 1)


def test_what_was_replaced_is_not_waited_for() -> None:
    orders = Orders()
    assert not orders.due(100, 0)
    for turn in (1, 2, 3, 4):
        orders.asked(turn * P, turn, turn * P)
    assert orders.due(1, 0)
    assert not orders.due(1, 1)
    assert orders.answered(3 * P, 4 * P + 7, 4) == Answer(took=P + 7, turns=1, lost=2)
    assert not orders.due(4, 1)  # only the fourth is left
    assert orders.due(5, 1)
    assert orders.answered(2 * P, 9 * P, 9) is None
    # It could begin only when it had finished the third.
    assert orders.answered(4 * P, 5 * P, 5) == Answer(took=P - 7, turns=1)


def test_an_engine_that_says_nothing_costs_no_memory() -> None:
    orders = Orders()
    for turn in range(100_000):
        orders.asked(turn, turn, turn)
    assert len(orders._open) < 10_000
    answer = orders.answered(99_990, 99_999, 100_000)
    assert answer is not None
    assert (answer.took, answer.turns) == (9, 10)


def test_the_budget_leaves_the_stage_its_share() -> None:
    assert budget(SECOND // 30) == pytest.approx(0.8 * SECOND / 30)
    assert budget(SECOND // 240) == pytest.approx(0.76 * SECOND / 240)
    assert budget(1) == 1


# --- when what is asked will be seen -----------------------------------------------------------


def looked(moments: list[float], outlook: Outlook, turns: int) -> list[float]:
    """By how much the outlook was wrong, `turns` ahead; all in periods."""
    foreseen = []
    for moment in moments:
        outlook.presented(round(moment * P))
        foreseen.append(outlook.seen(turns) / P)
    return [seen - said for said, seen in zip(foreseen[:-turns], moments[turns:], strict=True)]


@given(st.floats(0.7, 3.0), st.integers(1, 4))
def test_it_learns_how_long_turns_really_take(interval: float, turns: int) -> None:
    wrong = looked([n * interval for n in range(1500)], Outlook(0, P), turns)
    assert max(map(abs, wrong[-100:])) < 0.05


@given(st.lists(st.floats(-0.2, 0.2), min_size=300, max_size=300), st.integers(1, 4))
def test_jitter_is_averaged(jitter: list[float], turns: int) -> None:
    """What is foreseen moves evenly though what is seen trembles by a fifth of a period."""
    outlook = Outlook(0, P)
    foreseen = []
    for n, off in enumerate(jitter):
        outlook.presented(round((n + off) * P))
        foreseen.append(outlook.seen(turns) / P)
    steps = [b - a for a, b in pairwise(foreseen)]
    assert all(0.94 < step < 1.06 for step in steps[5:])


def test_a_missed_refresh_is_taken_in_at_once() -> None:
    moments = [float(n) for n in range(100)] + [float(n) for n in range(101, 200)]
    wrong = looked(moments, Outlook(0, P), 1)
    assert [off for off in wrong if abs(off) > 0.06] == pytest.approx([1.0], abs=0.01)


def test_pictures_that_always_come_late_are_made_for_later() -> None:
    outlook, late = Outlook(0, P), 0.0
    for n in range(1000):
        outlook.presented(n * P)
        late = n + 3 - outlook.seen(1) / P  # seen two turns later than foreseen
        outlook.corrected(round(late * P))
    assert abs(late) < 0.05
