"""Who leads the tempo, and the loop that follows a desk's clock, in made-up time."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import tempo
from live.control import CueFacts, Message, Programme, Show, apply, value_of
from live.lock import LOST, Lock, gains
from live.tempo import Led, Tempo
from live.transport import Transport

SECOND = 1_000_000_000
CUES: Programme = (
    CueFacts("one", duration=16.0, ending="loop"),
    CueFacts("two", duration=16.0, ending="loop", tempo=90.0),
)


def fresh(bpm: float = 120.0, **how: float) -> Led:
    return Tempo(), Transport(bpm, **how)


def ns(seconds: float) -> int:
    return round(seconds * SECOND)


def heard(led: Led, beats: Iterable[float]) -> Led:
    """The show after beats at these seconds."""
    for second in beats:
        led = tempo.beat(led, None, ns(second))
    return led


def clock(bpm: float, count: int, since: float = 1.0) -> list[float]:
    """The seconds of a clock's beats."""
    return [since + 60.0 / bpm * n for n in range(count)]


def off(led: Led, bpm: float, since: float, seconds: Sequence[float]) -> np.ndarray:
    """How far the show's beat is from the clock's at these seconds, in seconds."""
    beats = np.array([led[1].beat_at(ns(s)) - (s - since) * bpm / 60.0 for s in seconds])
    return (beats - np.rint(beats)) * 60.0 / bpm


# --- the loop ----------------------------------------------------------------------------------


def phase_error(bpm: float, jitter: Random, amount: float, start: float) -> float:
    """Of the show's beat after 32 of a clock's beats that jitter, in seconds rms."""
    led, errors = fresh(start), []
    beats = clock(bpm, 200)
    for n, second in enumerate(beats):
        led = tempo.beat(led, None, ns(second + jitter.gauss(0.0, amount)))
        if n >= 32:
            errors += list(off(led, bpm, 1.0, second + np.linspace(0.1, 0.9, 9) * 60.0 / bpm))
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize(("bpm", "start"), [(128.0, 120.0), (70.0, 120.0), (174.0, 90.0)])
def test_beats_that_jitter_by_5_ms_leave_an_error_of_3_at_the_most(
    bpm: float, start: float
) -> None:
    random = Random(7)
    errors = [phase_error(bpm, random, 0.005, start) for _ in range(20)]
    assert max(errors) <= 0.003


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_a_beat_counts_from_when_it_was_received_and_not_from_the_frame_that_hears_it(
    fps: float,
) -> None:
    random, errors, show = Random(11), [], perform()
    for n, second in enumerate(clock(128.0, 120)):
        received = second + random.gauss(0.0, 0.005)
        frame = math.ceil(received * fps) / fps
        age = ns(frame) - ns(received)
        show = apply(show, Message("tempo/beat", age_ns=age), ns(frame), CUES)
        if n >= 32:
            looks = second + np.linspace(0.1, 0.9, 9) * 60.0 / 128.0
            errors += list(off((show.tempo, show.transport), 128.0, 1.0, looks[looks > frame]))
    assert np.sqrt(np.mean(np.square(errors))) <= 0.003


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_a_tap_counts_from_when_it_was_received_too(fps: float) -> None:
    show = perform()
    for second in clock(123.4, 3):
        frame = math.ceil(second * fps) / fps
        tap = Message("tempo/tap", age_ns=ns(frame) - ns(second))
        show = apply(show, tap, ns(frame), CUES)
    assert show.transport.bpm == pytest.approx(123.4)


def test_a_clock_without_jitter_is_followed_exactly() -> None:
    assert phase_error(128.0, Random(7), 0.0, 120.0) < 1e-6


def test_the_gains_are_those_of_the_loop_they_claim_to_be() -> None:
    """Noise of variance 1 on every beat becomes 2 B: the definition of a noise bandwidth."""
    proportional, integral = gains(1.0)
    phase = drift = total = 0.0
    impulse = 1.0
    for _ in range(2000):  # the answer to one beat that is 1 too late
        error = impulse - phase
        impulse = 0.0
        phase += proportional * error
        drift += integral * error
        total += phase * phase
        phase += drift
    assert total == pytest.approx(2 * 0.08, rel=0.1)


@given(st.floats(20, 300), st.floats(20, 300), st.floats(0, 1))
def test_two_beats_give_the_tempo_and_the_phase_whatever_they_were(
    bpm: float, before: float, phase: float
) -> None:
    led = heard((Tempo(), Transport(before, anchor_beat=phase)), clock(bpm, 2))
    assert led[1].bpm == pytest.approx(bpm, rel=1e-6)
    settled = 1.0 + 60.0 / bpm + 8 * 60.0 / 20
    assert abs(off(led, bpm, 1.0, [settled])[0]) < 1e-5


@given(
    st.lists(
        st.tuples(st.floats(0.02, 3.0), st.sampled_from(["beat", "phase", "downbeat"])), max_size=40
    ),
    st.floats(20, 300),
    st.floats(-8, 8),
)
def test_whatever_a_clock_says_the_beat_neither_jumps_nor_turns(
    script: list[tuple[float, str]], bpm: float, speed: float
) -> None:
    led: Led = (Tempo(), Transport(bpm).with_speed(speed, 0))
    now, direction = 0, math.copysign(1.0, led[1].speed)
    for wait, kind in script:
        later = now + ns(wait)
        looks = [now + (later - now) * n // 9 for n in range(10)]
        beats = [led[1].beat_at(look) for look in looks]
        assert all((b - a) * direction >= -1e-9 for a, b in pairwise(beats))
        before, now = led, later
        if kind == "beat":
            led = tempo.beat(led, None, now)
        elif kind == "phase":
            led = tempo.phase(led, wait % 1.0, now)
        else:
            led = tempo.downbeat(led, now)
        assert led[1].beat_at(now) == before[1].beat_at(now)
        assert 20.0 <= led[1].bpm <= 300.0


def test_beats_that_are_missed_or_doubled_change_nothing() -> None:
    random = Random(3)
    beats = clock(128.0, 100)
    played = [b for n, b in enumerate(beats) if n < 16 or random.random() > 0.2]
    extra = [b + 60 / 128 * random.choice([0.02, 0.5]) for b in beats[16:] if random.random() < 0.1]
    led = heard(fresh(), sorted([*played, *extra]))
    assert led[1].bpm == pytest.approx(128.0, rel=1e-3)
    assert abs(off(led, 128.0, 1.0, [beats[-1]])[0]) < 0.003


def test_another_song_is_followed_after_some_beats() -> None:
    led = heard(fresh(), clock(128.0, 40))
    late = 1.0 + 60 / 128 * 39 + 0.7
    led = heard(led, clock(95.0, 8, since=late))
    assert led[1].bpm == pytest.approx(95.0, rel=1e-3)
    assert abs(off(led, 95.0, late, [late + 60 / 95 * 8])[0]) < 0.02


def test_a_tempo_that_drifts_is_kept_up_with() -> None:
    """A DJ brings 124 to 128 BPM in 32 beats."""
    led, second = fresh(124.0), 1.0
    for n in range(96):
        led = tempo.beat(led, None, ns(second))
        second += 60.0 / min(124.0 + max(n - 32, 0) / 8, 128.0)
    assert led[1].bpm == pytest.approx(128.0, rel=2e-3)
    place = led[1].beat_at(ns(second))
    assert abs(place - round(place)) * 60 / 128 < 0.006


def test_phases_sixty_times_a_second_lock_as_beats_do() -> None:
    led, random = fresh(120.0), Random(5)
    for n in range(1200):
        second = 1.0 + n / 60
        part = ((second + random.gauss(0, 0.005) - 1.0) * 126.0 / 60.0) % 1.0
        led = tempo.phase(led, part, ns(second))
        if n > 700:
            assert abs(off(led, 126.0, 1.0, [second])[0]) < 0.006
    assert led[1].bpm == pytest.approx(126.0, rel=5e-3)
    assert led[0].lock.locked


@pytest.mark.parametrize(
    ("speed", "beat", "part", "settled"),
    [
        (1.0, 3.2, 0.0, 3.0),
        (1.0, 3.7, 0.0, 4.0),
        (1.0, 3.7, 0.5, 3.5),
        (1.0, -0.3, 0.0, 0.0),
        (0.5, 3.4, 0.0, 3.5),
        (-1.0, 3.4, 0.25, 3.75),  # a quarter past 4, running down
    ],
)
def test_the_first_phase_pulls_the_shorter_way(
    speed: float, beat: float, part: float, settled: float
) -> None:
    led = tempo.phase(fresh(60.0, speed=speed, anchor_beat=beat), part, 0)
    assert led[1].beat_at(0) == beat
    assert led[1].beat_at(ns(2)) == pytest.approx(settled + 2 * speed)


@pytest.mark.parametrize(("beat", "settled"), [(5.5, 4.0), (6.5, 8.0), (3.9, 4.0), (6.1, 8.0)])
def test_a_downbeat_pulls_to_the_bar(beat: float, settled: float) -> None:
    led = tempo.downbeat(fresh(60.0, anchor_beat=beat), 0)
    assert led[1].beat_at(ns(8)) == pytest.approx(settled + 8)


def test_a_downbeat_among_beats_moves_by_whole_ones() -> None:
    led = heard(fresh(), clock(120.0, 20))  # the music's beats are the show's
    led = tempo.downbeat(led, ns(1.0 + 0.5 * 20 + 0.003))
    after = led[1].beat_at(ns(30.0))
    assert after == pytest.approx(round(after), abs=0.01)
    assert (after - 4 * round(after / 4)) % 4 == pytest.approx((30 - 11.0) * 2 % 4, abs=0.01)
    again = tempo.downbeat(
        heard(led, [11.5]), ns(11.51)
    )  # with a beat of its own: one and the same
    assert again[1].bpm == pytest.approx(120.0, rel=1e-3)


@pytest.mark.parametrize("bpm", [92.0, 128.0, 170.0])
def test_who_tells_nothing_but_downbeats_is_followed_too(bpm: float) -> None:
    """As somebody does who presses a button at every bar: the tempo is no quarter of it."""
    led = fresh(120.0)
    for second in clock(bpm / 4, 5):
        led = tempo.downbeat(led, ns(second))
    assert led[1].bpm == pytest.approx(bpm)
    later = 1.0 + 60 / bpm * 24
    assert off(led, bpm, 1.0, [later])[0] == pytest.approx(0.0, abs=1e-3)
    bar = led[1].beat_at(ns(later)) / 4
    assert bar == pytest.approx(round(bar), abs=1e-3)
    twice = tempo.downbeat(tempo.beat(fresh(120.0), None, ns(1.0)), ns(1.0 + 60 / bpm))
    assert twice[1].bpm == pytest.approx(bpm)  # after a beat it is the next


def test_nobody_is_pulled_who_stands_still() -> None:
    for led in (fresh(60.0, anchor_beat=3.4, playing=False), fresh(60.0, speed=0.0)):
        for act in (lambda x: tempo.beat(x, None, 0), lambda x: tempo.phase(x, 0.5, 0)):
            assert act(led)[1] == led[1]
        assert tempo.downbeat(led, 0)[1] == led[1]


# --- who leads ---------------------------------------------------------------------------------


def perform(*script: tuple[float, Message], cue: int = 0) -> Show:
    show = apply(Show.opening(CUES, 120.0, cue=cue), Message("play", (1,)), 0, CUES)
    for second, message in script:
        show = apply(show, message, ns(second), CUES)
    return show


def beats(count: int, bpm: float = 128.0, since: float = 1.0) -> list[tuple[float, Message]]:
    return [(second, Message("tempo/beat")) for second in clock(bpm, count, since)]


BPM = Message("tempo/bpm", (100.0,))
SOURCE = "tempo/source"


def name_at(show: Show, second: float) -> str:
    return show.tempo.name(show.transport.bpm, ns(second))


def test_the_clock_goes_before_what_is_said_and_the_cues() -> None:
    show = perform(*beats(20), (10.0, BPM), (10.1, Message("cue/go", ("two",))))
    assert show.transport.bpm == pytest.approx(128.0)
    assert name_at(show, 10.2) == "OSC clock (90 waits)"
    for refused in (Message("tempo/tap"), Message("tempo/mult", (2.0,))):
        with pytest.raises(ValueError, match="tempo/source internal takes the tempo from it"):
            apply(show, refused, ns(10.2), CUES)
    given = apply(show, Message(SOURCE, ("internal",)), ns(10.3), CUES)
    assert given.transport.bpm == 90.0  # what was said last waits
    assert apply(given, Message("tempo/beat"), ns(10.4), CUES).transport == given.transport
    auto = apply(given, Message(SOURCE, ("auto",)), ns(10.5), CUES)
    assert value_of(auto, SOURCE, ns(10.5), CUES) == ("auto",)
    assert apply(auto, Message("tempo/beat"), ns(10.6), CUES).tempo.source == "osc"


def test_a_clock_that_is_lost_is_held_over_until_somebody_says_another() -> None:
    show = perform(*beats(20))
    last = 1.0 + 19 * 60 / 128
    assert name_at(show, last + LOST * 60 / 128 - 0.01) == "OSC clock"
    lost = last + LOST * 60 / 128 + 0.01
    assert name_at(show, lost) == "OSC clock lost, held"
    before = show.transport.beat_at(ns(lost))
    assert show.transport.beat_at(ns(lost + 60)) == pytest.approx(before + 128.0)
    said = apply(show, BPM, ns(lost), CUES)
    assert (said.transport.bpm, name_at(said, lost)) == (100.0, "internal")
    cue = apply(show, Message("cue/go", ("two",)), ns(lost), CUES)
    assert cue.transport.bpm == 90.0


def test_a_clock_that_comes_back_keeps_the_tempo_it_had() -> None:
    later = 1.0 + 60 / 128 * 19 + 30.0  # somewhere within a beat
    random = Random(1)
    shaken = [(s + random.gauss(0, 0.005), m) for s, m in beats(12, since=later)]
    show = perform(*beats(20), *shaken)
    assert show.transport.bpm == pytest.approx(128.0, rel=0.01)
    led = (show.tempo, show.transport)
    assert abs(off(led, 128.0, later, [later + 12 * 60 / 128])[0]) < 0.005


def test_taps_lead_before_the_set_list_and_after_a_clock_that_is_lost() -> None:
    taps = [(n * 0.6, Message("tempo/tap")) for n in range(1, 5)]
    show = perform(*taps)
    assert (show.transport.bpm, name_at(show, 3.0)) == (pytest.approx(100.0), "tapped")
    tapping = apply(show, Message("cue/go", ("two",)), ns(2.5), CUES)
    assert tapping.transport.bpm == pytest.approx(100.0)
    done = apply(show, Message("cue/go", ("two",)), ns(9.0), CUES)
    assert (done.transport.bpm, name_at(done, 9.0)) == (90.0, "internal")
    fine = apply(show, Message("tempo/bpm", (101.0,)), ns(2.5), CUES)  # a person's last word
    assert fine.transport.bpm == 101.0
    lost = perform(*beats(20), *[(20 + n * 0.6, Message("tempo/tap")) for n in range(4)])
    assert lost.tempo.source == "tap"
    assert lost.transport.bpm == pytest.approx(100.0)


@pytest.mark.parametrize("alone", ["tap", "osc", "internal"])
def test_one_source_alone(alone: str) -> None:
    show = perform((0.5, Message(SOURCE, (alone,))), (0.6, BPM), *beats(3))
    bpm = {"tap": 120.0, "osc": pytest.approx(128.0), "internal": 100.0}
    assert show.transport.bpm == bpm[alone]
    assert value_of(show, SOURCE, ns(9), CUES) == (alone,)
    assert " alone" in name_at(show, 2.2)
    if alone != "tap":
        with pytest.raises(ValueError, match=r"leads|takes the tempo"):
            apply(show, Message("tempo/tap"), ns(60), CUES)


def test_a_nudge_stays_while_a_clock_leads() -> None:
    show = perform(*beats(20), (10.0, Message("tempo/nudge", (0.1,))))
    later = [(second, Message("tempo/beat")) for second in clock(128.0, 60)[20:]]
    for second, message in later:
        show = apply(show, message, ns(second), CUES)
    led = (show.tempo, show.transport)
    assert off(led, 128.0, 1.0, [30.0])[0] == pytest.approx(0.1 * 60 / 128, abs=1e-4)


@pytest.mark.parametrize("other", [[BPM], [Message("tempo/tap")] * 2])
def test_a_nudge_ends_with_the_clock_it_was_made_for(other: list[Message]) -> None:
    nudged = (10.0, Message("tempo/nudge", (0.3,)))
    taken = [(20.0 + 0.6 * n, message) for n, message in enumerate(other)]
    again = beats(20, since=40.0)
    show = perform(*beats(20), nudged, *taken, *again)
    led = (show.tempo, show.transport)
    assert off(led, 128.0, 40.0, [60.0])[0] == pytest.approx(0.0, abs=1e-4)


def test_a_tempo_that_comes_with_a_beat_is_taken_at_once() -> None:
    show = perform((1.0, Message("tempo/beat", (1, 140.0))))
    assert show.transport.bpm == 140.0
    shaken = Random(2)
    beats_told = [
        (second + shaken.gauss(0, 0.005), Message("tempo/beat", (n, 140.0)))
        for n, second in enumerate(clock(139.7, 60), start=1)
    ]
    show = perform(*beats_told)  # rounded as desks do: the loop knows better
    assert show.transport.bpm == pytest.approx(139.7, rel=1e-3)
    assert show.tempo.lock.locked


@pytest.mark.parametrize("how", [("play", (0,), (1,)), ("speed", (0.0,), (1.0,))])
def test_after_a_pause_the_next_beat_pulls_again(how: tuple[str, tuple, tuple]) -> None:
    address, stop, go = how
    show = perform(*beats(20), (10.2, Message(address, stop)), (12.3, Message(address, go)))
    assert name_at(show, 12.3) == "OSC clock, locking"
    back = [(s, m) for s, m in beats(60) if s > 12.4][:2]
    for second, message in back:
        show = apply(show, message, ns(second), CUES)
    assert show.transport.bpm == pytest.approx(128.0, rel=1e-6)
    led = (show.tempo, show.transport)
    assert abs(off(led, 128.0, 1.0, [back[-1][0] + 2.0])[0]) < 1e-4


def test_a_loop_that_begins_knows_nothing() -> None:
    assert not Lock().locked
    assert Lock().lost(120.0, ns(10))
