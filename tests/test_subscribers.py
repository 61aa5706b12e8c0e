"""Who is told what, and how often."""

import pytest

from live.subscribers import EVERY, LIFETIME, MOST, Subscribers

DESK, PHONE = ("10.0.0.2", 9001), ("10.0.0.3", 9001)
RECORD, BPM = "/anthesis/out/record", "/anthesis/out/bpm"


def test_what_is_true_is_told_once_and_again_when_it_changes() -> None:
    subscribers = Subscribers()
    assert subscribers.due(RECORD, (0, 0, ""), 0) == []
    subscribers.add(DESK, "", 0)
    assert subscribers.due(RECORD, (0, 0, ""), 0) == [DESK]
    assert subscribers.due(RECORD, (0, 0, ""), 10 * EVERY) == []
    assert subscribers.due(BPM, (120.0,), 10 * EVERY) == [DESK]
    assert subscribers.due(RECORD, (1, 3, "a.mp4"), 20 * EVERY) == [DESK]


def test_a_value_that_changes_in_every_frame_is_told_20_times_a_second_and_at_last() -> None:
    subscribers = Subscribers()
    subscribers.add(DESK, "", 0)
    frames = [(n, n * 1_000_000_000 // 60) for n in range(121)]
    told = [n for n, at in frames if subscribers.due(RECORD, (n,), at)]
    assert 35 <= len(told) <= 41
    assert subscribers.due(RECORD, (120,), frames[-1][1] + EVERY) == ([] if 120 in told else [DESK])


def test_only_what_matches_is_told() -> None:
    subscribers = Subscribers()
    subscribers.add(DESK, "/anthesis/out/{bpm,beat}", 0)
    subscribers.add(PHONE, "/anthesis/*/record", 0)
    assert subscribers.due(RECORD, (1,), 0) == [PHONE]
    assert subscribers.due(BPM, (120.0,), 0) == [DESK]
    with pytest.raises(ValueError, match="closed"):
        subscribers.add(DESK, "/anthesis/{out", 0)


def test_who_is_silent_for_a_minute_is_forgotten() -> None:
    subscribers = Subscribers()
    subscribers.add(DESK, "", 0)
    subscribers.add(PHONE, "", LIFETIME // 2)
    assert subscribers.due(RECORD, (1,), LIFETIME) == [PHONE]
    subscribers.add(DESK, "", LIFETIME)
    assert subscribers.due(RECORD, (1,), LIFETIME + 1) == [DESK]


def test_a_network_full_of_strangers_is_not_remembered() -> None:
    subscribers = Subscribers()
    for number in range(MOST):
        subscribers.add((f"10.0.1.{number}", 1), "", 0)
    with pytest.raises(ValueError, match="32 have subscribed already"):
        subscribers.add(PHONE, "", 0)
    subscribers.add(("10.0.1.0", 1), "", 0)
    subscribers.add(PHONE, "", LIFETIME)


def test_one_host_has_few_ports() -> None:
    """Its address may be pretended: nobody is to be flooded in its name."""
    subscribers = Subscribers()
    for port in range(4):
        subscribers.add(("10.0.0.2", port), "", 0)
    subscribers.add(("10.0.0.2", 0), "", 0)
    subscribers.add(("10.0.0.2", 4), "", 0)
    told = subscribers.due(RECORD, (1,), 0)
    assert [port for _, port in told] == [2, 3, 0, 4]


def test_who_subscribes_all_the_time_is_told_20_times_a_second_all_the_same() -> None:
    subscribers = Subscribers()
    told = 0
    for ms in range(1001):
        subscribers.add(DESK, "", ms * 1_000_000)
        told += len(subscribers.due(RECORD, (1,), ms * 1_000_000))
    assert told == 21
