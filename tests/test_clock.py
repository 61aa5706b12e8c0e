"""The pacer, headless and beside a display that paces by itself."""

import pytest

from live.clock import FakeClock, Pacer

PERIOD = 10_000_000


def waits(pacer: Pacer, clock: FakeClock, turns: int, draws: int, display: int = 0) -> list[int]:
    """How long each turn waited; then it draws, and a display presents at its next refresh."""
    waited = []
    for _ in range(turns):
        before = clock.now()
        waited.append(pacer.wait())
        assert clock.now() == before + waited[-1]
        clock.time += draws
        if display:
            clock.time += display - clock.time % display
    return waited


def test_headless_turns_are_spaced_exactly_and_a_late_one_is_made_up_for() -> None:
    clock = FakeClock()
    pacer = Pacer(clock, 100, slack=0.0)
    assert waits(pacer, clock, 3, draws=PERIOD // 4)[1:] == [PERIOD * 3 // 4] * 2
    clock.time += PERIOD
    assert waits(pacer, clock, 2, draws=0) == [0, PERIOD * 3 // 4]
    assert clock.now() % PERIOD == 0


@pytest.mark.parametrize("display", [PERIOD - 30_000, PERIOD, PERIOD + 30_000])
@pytest.mark.parametrize("stall", [0.1, 0.5, 0.9, 3.7])
def test_beside_vertical_sync_only_the_display_waits_soon_after_a_stall(
    stall: float, display: int
) -> None:
    """Whether it is a little faster than it says or slower: no refresh is ever missed by sleep."""
    clock = FakeClock(round(0.3 * PERIOD))
    pacer = Pacer(clock, 100, slack=0.25)
    waits(pacer, clock, 10, PERIOD // 10, display)
    clock.time += round(stall * PERIOD)
    waits(pacer, clock, 4, PERIOD // 10, display)
    before = clock.now()
    assert not any(waits(pacer, clock, 1000, PERIOD // 10, display))
    assert clock.now() - before == 1000 * display


def test_where_vertical_sync_does_not_work_turns_are_still_spaced() -> None:
    clock = FakeClock()
    waits(Pacer(clock, 100, slack=0.25), clock, 100, draws=PERIOD // 10)
    assert clock.now() >= 99 * 0.75 * PERIOD
