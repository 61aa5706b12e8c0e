"""A set list that takes over in mid-show: what becomes of the show, and of its take."""

import io
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from live import keys
from live.addresses import Message
from live.app import SECOND, Stage
from live.clock import FakeClock
from live.control import apply
from live.edits import Change, Edits, Saved, known_stamp, read_saved, stamp_of
from live.ensemble import Ensemble
from live.fake_source import Fake
from live.prompter import Prompter
from live.relist import relisted
from live.rerun import Rerun
from live.setlist import SetList, load_setlist, programme
from live.show import Show
from live.statistics import Statistics
from live.take import (
    Mapped,
    Obeyed,
    Relisted,
    check_files,
    last_state,
    latents,
    opening,
    performed,
    sha256_of,
)
from live.take_reader import read_take
from live.take_writer import TakeWriter
from live.terminal import Terminal
from tests.test_stage import Eye, Script, turned_until

OLD = """
[show]
tempo = 120
position = "direct"

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 1}, {seed = 2, beats = 2}, {latent = "w.npy"}]
ending = "loop"
beats = 4

[[cue]]
name = "two"
network = "b.pt"
keys = [{seed = 4}, {seed = 5}]
ending = "hold"
fade = 2
beats = 4
"""
NEW = """
[show]
tempo = 120
position = "video"

[[cue]]
name = "before"
network = "c.pt"
keys = [{seed = 30}, {seed = 31}]

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 21}, {seed = 2, beats = 2}, {latent = "w.npy"}, {seed = 22}]
ending = "loop"
beats = 4
follow = 40

[[cue]]
name = "two"
network = "b.pt"
keys = [{seed = 4}, {seed = 5}]
tempo = 90
beats = 4
"""


@pytest.fixture(autouse=True)
def _networks_are_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.edits.glance", lambda network: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "w.npy", np.arange(Fake.w_dim, dtype=np.float32) / 3)
    for name in "abc":
        (tmp_path / f"{name}.pt").write_bytes(name.encode())
    return tmp_path


def written(folder: Path, text: str) -> SetList:
    (folder / "show.toml").write_text(text)
    return load_setlist(folder / "show.toml")


def playing(setlist: SetList, *script: tuple[float, Message], cue: int = 0) -> Show:
    show = opening(setlist, cue)
    for second, message in ((0.0, Message("play", (1,))), *script):
        show = apply(show, message, round(second * SECOND), programme(setlist))
    return show


# --- the state ---------------------------------------------------------------------------------


def test_the_cue_goes_on_by_its_name_and_what_is_set_live_stays(folder: Path) -> None:
    old, new = written(folder, OLD), written(folder, NEW)
    script = [
        (0.1, Message("tempo/bpm", (100.0,))),
        (0.2, Message("psi", (0.5,))),
        (0.3, Message("master", (0.7,))),
        (0.4, Message("overlay", ("split",))),
        (0.5, Message("panic")),
    ]
    before = playing(old, *script)
    at = 4 * SECOND
    after = relisted(before, old, new, at)
    assert (before.voice.cue, after.voice.cue) == (0, 1)
    beat = before.voice.beat(before.transport, at)
    assert after.voice.beat(after.transport, at) == pytest.approx(beat, abs=1e-9)
    assert after.transport == before.transport
    assert after.drive == "video"
    assert after.voice.follows == 40.0
    for kept in ("psi", "master", "overlay", "panic", "tempo", "blackout", "frozen", "noise"):
        assert getattr(after, kept) == getattr(before, kept)


def test_a_round_of_a_loop_of_another_length_goes_on_where_it_is(folder: Path) -> None:
    old, new = written(folder, OLD), written(folder, NEW)  # 10 beats, then 14
    show = playing(old)
    at = round(13.0 / 2 * SECOND)
    after = relisted(show, old, new, at)
    assert after.voice.beat(after.transport, at) == pytest.approx(3.0)


def test_a_tempo_that_the_new_list_says_counts_unless_a_clock_leads(folder: Path) -> None:
    old, new = written(folder, OLD), written(folder, NEW)
    show = playing(old, cue=1)
    assert relisted(show, old, new, SECOND).transport.bpm == 90.0
    led = playing(old, *[(0.5 * n, Message("tempo/beat")) for n in range(1, 9)], cue=1)
    assert relisted(led, old, new, 4 * SECOND).transport.bpm == pytest.approx(120.0)


def test_a_cue_that_is_gone_gives_way_to_the_one_of_its_number(folder: Path) -> None:
    old, new = written(folder, OLD), written(folder, NEW.replace('"two"', '"three"'))
    after = relisted(playing(old, (1.0, Message("cue/next"))), old, new, 3 * SECOND)
    assert (after.voice.cue, after.voice.beat(after.transport, 3 * SECOND)) == (1, 0.0)
    assert after.outgoing == ()
    short = written(folder, OLD.split('[[cue]]\nname = "two"')[0])
    assert relisted(playing(old, cue=1), old, short, SECOND).voice.cue == 0


def test_a_cross_fade_goes_on_as_far_as_its_cues_are_there(folder: Path) -> None:
    old, new = written(folder, OLD), written(folder, NEW)
    fading = playing(old, (2.0, Message("cue/go", ("two",))))
    after = relisted(fading, old, new, round(2.5 * SECOND))
    assert [r.cue for r in after.readings(round(2.5 * SECOND))] == [2, 1]
    gone = written(folder, NEW.replace('"one"', '"other"'))
    assert relisted(fading, old, gone, round(2.5 * SECOND)).outgoing == ()


@pytest.mark.parametrize(("message", "beats"), [("cue/hold", 12.0), ("play", 12.0), ("psi", 10.0)])
def test_a_follow_that_is_new_counts_what_was_played(
    folder: Path, message: str, beats: float
) -> None:
    """Two beats before a cue that is held, or paused, for one more second of two beats."""
    old = written(folder, OLD)
    new = written(folder, OLD.replace('"loop"', '"loop"\nfollow = 10', 1))
    stop, go = (0, 1) if message == "play" else (1, 0)
    show = playing(old, (1.0, Message(message, (stop,))))
    show = relisted(show, old, new, round(1.5 * SECOND))
    show = apply(show, Message(message, (go,)), 2 * SECOND, programme(new))
    end = round(beats / 2 * SECOND)
    facts = programme(new)
    cues = [apply(show, Message("ping"), ns, facts).voice.cue for ns in (end - 1000, end + 1000)]
    assert cues == [0, 1]


def cues(*endings: str, beats: float = 4) -> str:
    """A set list of cues of so many beats that end so."""
    return "\n".join(
        f'[[cue]]\nname = "cue {n}"\nnetwork = "a.pt"\nkeys = [{{seed = 1}}, {{seed = 2}}]\n'
        f"beats = {beats}\nending = {ending}"
        for n, ending in enumerate(endings)
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (cues('"next"'), cues('"next"', '"next"', '"hold"')),  # a cue more, after the last
        (cues('"hold"', '"hold"', '"hold"'), cues('"next"', '"next"', '"hold"')),
        (cues('"next"', '"next"', '"hold"', beats=90), cues('"next"', '"next"', '"hold"')),
        (
            cues('"loop"', '"loop"', '"hold"'),
            cues('"loop"\nfollow = 4', '"loop"\nfollow = 4', '"hold"'),
        ),
    ],
)
def test_a_cue_whose_end_is_long_past_goes_on_to_the_next_and_no_further(
    folder: Path, before: str, after: str
) -> None:
    old, new = written(folder, before), written(folder, after)
    facts, at = programme(new), 40 * SECOND  # 80 beats
    show = relisted(playing(old), old, new, at)
    show = apply(show, Message("ping"), at, facts)
    assert (show.voice.cue, show.voice.beat(show.transport, at)) == (1, 0.0)
    later = apply(show, Message("ping"), at + round(1.9 * SECOND), facts)
    assert later.voice == show.voice


def test_a_swing_goes_on_in_another_list(folder: Path) -> None:
    old, new = written(folder, cues('"spring"')), written(folder, cues('"hold"'))
    at = round(2.3 * SECOND)
    show = playing(old, (2.3, Message("ping")))
    (before,), (after,) = show.readings(at), relisted(show, old, new, at).readings(at)
    assert before.spring is not None
    assert (after.spring, after.beat) == (before.spring, 4.0)


def test_a_cue_that_rests_at_its_end_springs_again_only_at_a_later_one(folder: Path) -> None:
    old = written(folder, cues('"spring"'))
    show = playing(old, (9.0, Message("ping")))
    for beats, springs in ((3, False), (6, True)):
        new = written(folder, cues('"spring"', beats=beats))
        after = apply(
            relisted(show, old, new, 9 * SECOND), Message("ping"), 12 * SECOND, programme(new)
        )
        assert (after.voice.spring != show.voice.spring) == springs


moves = st.lists(
    st.tuples(
        st.integers(0, 12 * SECOND),
        st.one_of(
            st.tuples(st.just("cue/go"), st.sampled_from([("one",), ("two",), (1,)])),
            st.tuples(st.just("cue/hold"), st.tuples(st.integers(0, 1))),
            st.tuples(st.just("position"), st.tuples(st.floats(0, 1))),
            st.tuples(st.just("speed"), st.tuples(st.floats(-2, 4))),
            st.tuples(st.sampled_from(["tempo/beat", "stop", "panic"]), st.just(())),
            st.tuples(st.just("relist"), st.integers(0, 2)),
        ),
    ),
    max_size=12,
).map(lambda script: sorted(script, key=lambda move: move[0]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves, st.lists(st.integers(0, 20 * SECOND), max_size=12))
def test_whoever_looks_in_between_sees_the_same(folder: Path, script: list, looks: list) -> None:
    ending = NEW.replace('ending = "loop"', 'ending = "spring"').replace(
        "follow = 40", "follow = 9"
    )
    lists = [written(folder, text) for text in (OLD, NEW, ending)]
    shows = []
    for watched in (False, True):
        setlist, show = lists[0], playing(lists[0])
        moments = [*script, *((look, None) for look in looks if watched)]
        for at, move in sorted(moments, key=lambda moment: moment[0]):
            if move is None:
                show = apply(show, Message("ping"), at, programme(setlist))
            elif move[0] == "relist":
                show = relisted(show, setlist, lists[move[1]], at)
                setlist = lists[move[1]]
            else:
                show = apply(show, Message(*move), at, programme(setlist))
        shows.append(apply(show, Message("ping"), 30 * SECOND, programme(setlist)))
    assert shows[0] == shows[1]


# --- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "read"),
    [
        ([(1, 5), (1, 5)], []),  # nothing was saved
        ([(2, 7), (2, 7), (2, 7)], [1]),
        ([(2, 3), (3, 7), (3, 7)], [2]),  # it is still being written
        ([None, (2, 7), (2, 7)], [2]),  # replaced, as most editors do
        ([None, (1, 5), (1, 5)], []),  # gone, and back as it was
        ([(2, 7), (2, 7), (3, 7), (3, 7)], [1, 3]),
        ([(2, 7), (2, 7), (1, 5), (1, 5)], [1, 3]),  # the old one was put back
    ],
)
def test_a_file_is_read_once_it_was_saved_completely(stamps: list, read: list[int]) -> None:
    change = Change((1, 5))
    assert [n for n, stamp in enumerate(stamps) if change.look(stamp)] == read


def test_what_was_saved_comes_as_a_set_list_or_a_line(folder: Path) -> None:
    setlist = written(folder, OLD)
    edits = Edits(setlist.file, known_stamp(setlist))
    edits.look()
    assert edits.newest() is None
    (folder / "show.toml").write_text(NEW)
    edits.look()
    assert edits.newest() is None  # perhaps it is still being written
    edits.look()
    saved = edits.newest()
    assert isinstance(saved, Saved)
    assert [cue.name for cue in saved.setlist.cues] == ["before", "one", "two"]
    assert saved.latents == {folder / "w.npy": sha256_of(folder / "w.npy")}
    assert edits.newest() is None
    (folder / "show.toml").write_text(NEW + "tempo = ")
    edits.look()
    edits.look()
    wrong = edits.newest()
    assert isinstance(wrong, str)
    assert "show.toml: is not valid TOML" in wrong
    assert "\n" not in wrong
    edits.look()
    assert edits.newest() is None  # said once


def test_a_thread_looks_until_it_is_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setlist = written(folder, OLD)
    monkeypatch.setattr("live.edits.LOOK_EVERY_S", 0.001)
    edits = Edits(setlist.file, (1, 1))  # another than what stands there
    edits.start()
    while (saved := edits.newest()) is None:
        pass
    assert isinstance(saved, Saved)
    edits.close()
    edits._thread.join(10)
    assert not edits._thread.is_alive()


def test_a_list_that_was_changed_while_nobody_looked_is_not_known(folder: Path) -> None:
    setlist = written(folder, OLD)
    assert known_stamp(setlist) == stamp_of(setlist.file)
    (folder / "show.toml").write_text(NEW)
    assert known_stamp(setlist) is None
    (folder / "show.toml").unlink()
    assert known_stamp(setlist) is None


def test_latents_are_read_again_and_only_if_all_are_right(folder: Path) -> None:
    setlist = written(folder, OLD)
    for cue in setlist.cues:
        keys.check(cue)
    latent = folder / "w.npy"
    np.save(latent, np.full(Fake.w_dim, 7, np.float32))
    assert keys.latent_of(latent).max() < 7
    assert isinstance(read_saved(setlist.file), Saved)
    assert keys.latent_of(latent).min() == 7
    latent.write_bytes(b"no latent")
    assert "w.npy" in str(read_saved(setlist.file))
    assert keys.latent_of(latent).min() == 7


# --- the stage ---------------------------------------------------------------------------------


class Desk:
    """What was saved, and when: a table of (show time in s, text), instead of a thread."""

    def __init__(self, folder: Path, table: list[tuple[float, str]], now) -> None:
        self._folder, self._table, self._now = folder, list(table), now

    def newest(self) -> Saved | str | None:
        if not self._table or self._now() < self._table[0][0]:
            return None
        (self._folder / "show.toml").write_text(self._table.pop(0)[1])
        return read_saved(self._folder / "show.toml")


def slow(fake: Fake, second, ensemble: Ensemble) -> None:
    """Takes a second to load."""
    facts, fake.facts, ready = fake.facts, None, second() + 1.0
    fake.tend = lambda now: setattr(fake, "facts", facts if second() >= ready else None)


def stuck(fake: Fake, second, ensemble: Ensemble) -> None:
    """There is no memory for two: it dies as it loads, unless it is alone."""
    facts, fake.facts = fake.facts, None

    def tend(now: int) -> None:
        if ensemble.sources == (fake,):
            fake.facts = facts
        fake.stillborn = 2 if fake.facts is None else 0

    fake.tend = tend


def late(fake: Fake, second, ensemble: Ensemble) -> None:
    """What a new list adds is mapped only after a second."""
    coming = []

    def tend(now: int) -> None:
        for when, seeds in coming:
            if second() >= when:
                fake.mapped.update({seed: fake._map(seed) for seed in seeds})

    fake.map = lambda seeds: coming.append((second() + 1.0, list(seeds)))
    fake.tend = tend


@pytest.fixture
def perform(folder: Path):
    """Performs in fake time, with sets lists that are saved meanwhile; stage, requests, words."""
    closing = []

    def build(
        name, saves, *desk, seconds=8.0, take=None, text=OLD, hz=60.0, odd=MappingProxyType({})
    ):
        setlist = written(folder, text) if take is None else take.setlists[-1]
        output = Eye((64, 36), hz)
        output.clock = FakeClock(10**12)
        writer = TakeWriter(folder / name)
        closing.extend([writer.close, output.close])
        if take is None:
            writer.begin(setlist, 0, datetime(2026, 11, 25, 21, 4))
        else:
            writer.go_on(take)
        writer.start()
        asked, words = [], io.StringIO()
        terminal = Terminal(words)
        resumed = None if take is None else last_state(take)
        since = 0 if resumed is None else resumed.at

        def second():
            return (output.clock.now() - 10**12 + since) / SECOND

        def start(network, seeds, now):
            fake = Fake(network, seeds)
            ask = fake.ask
            fake.ask = lambda request: (asked.append((network, request)), ask(request))
            if network.name in odd:
                odd[network.name](fake, second, ensemble)
            return fake

        ensemble = Ensemble(setlist, start)
        stage = Stage(
            setlist,
            ensemble,
            output,
            output.clock,
            Statistics(10**12),
            Prompter(terminal),
            desk=Script(*desk),
            journal=writer,
            edits=Desk(folder, saves, second),
            resumed=resumed,
        )
        turned_until(stage, seconds)
        writer.close()
        terminal.close(10)
        assert stage.faults.count == 0
        return stage, asked, words.getvalue()

    yield build
    for close in closing:
        close()


def the_same_again(asked, take) -> None:
    again = [(n, at, ws) for at, wanted in performed(take) for n, ws in wanted.items()]
    assert len(again) == len(asked) > 100
    for (network, request), (network_again, at, ws) in zip(asked, again, strict=True):
        assert (network, request.show_time) == (network_again, at)
        assert np.array_equal(request.ws, ws)


STORM = (
    (0.9, Message("psi", (0.1 + 0.2,))),
    (1.3, Message("tempo/bpm", (97.3,))),
    (3.0, Message("position", (0.25,))),
    (3.1, Message("position", (0.4,))),
    (4.0, Message("cue/go", ("two",))),
    (4.3, Message("tempo/beat", (1, 133.0))),
    (6.5, Message("cue/go", (1,))),
)


def test_the_saved_list_takes_over_on_the_next_beat_and_the_take_knows(perform, folder) -> None:
    stage, asked, words = perform("night.take", [(2.0, NEW), (5.0, OLD)], *STORM)
    assert stage.setlist.text == OLD
    take = read_take(folder / "night.take")
    first, second = (event for event in take.events if isinstance(event, Relisted))
    assert (first.setlist.text, second.setlist.text) == (NEW, OLD)
    beat = opening(take.setlist, 0)
    for event in take.events:
        if isinstance(event, Obeyed) and event.at <= first.at:
            beat = apply(beat, event.message, event.at, programme(take.setlist))
    on = beat.transport.beat_at(first.at)
    assert on == pytest.approx(round(on), abs=1e-7)
    assert 2.0 <= first.at / SECOND <= 2.0 + 60 / 97.3 + 0.1
    the_same_again(asked, take)
    assert words.count("show.toml: performed from here") == 2
    assert {event.cue for event in take.events if isinstance(event, Mapped)} == {0, 1, 2}


@pytest.mark.parametrize("hz", [24.0, 144.0])
def test_it_takes_over_in_the_same_moment_at_any_frame_rate(perform, folder, hz) -> None:
    moments = set()
    for name, rate in (("a.take", 60.0), ("b.take", hz)):
        perform(name, [(2.0, NEW)], hz=rate, seconds=4.0)
        take = read_take(folder / name)
        (event,) = (event for event in take.events if isinstance(event, Relisted))
        began = next(e.at for e in take.events if isinstance(e, Obeyed))  # the first picture
        moments.add(event.at - began)
    assert len(moments) == 1


def test_no_step_of_the_picture_where_nothing_is_changed(perform) -> None:
    """Seen in what the engine is asked: the list is saved with another cue added."""
    more = OLD + '\n[[cue]]\nname = "three"\nnetwork = "c.pt"\nkeys = [{seed = 9}, {seed = 8}]\n'
    stage, asked, _ = perform("night.take", [(2.0, more)], seconds=5.0)
    assert len(stage.setlist.cues) == 3
    steps = [np.abs(b.ws - a.ws).max() for (_, a), (_, b) in pairwise(asked)]
    assert max(steps) < 4 * np.median(steps)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OLD.replace("beats = 4", "beats = -4"), "beats: must be greater than 0"),
        ("", "[[cue]]: is missing"),
        (OLD.replace("w.npy", "x.npy"), "there is no file"),
        (OLD.replace('"w.npy"', '"wide.npy"'), "wide.npy holds [1, 9]"),
        (OLD.replace("seed = 1}", "seed = 1, class = 3}"), "has no classes"),
    ],
)
def test_an_invalid_one_leaves_the_old_on_with_one_line(perform, folder, text, says) -> None:
    np.save(folder / "wide.npy", np.zeros((1, 9), np.float32))
    stage, asked, words = perform("night.take", [(2.0, text)], seconds=4.0)
    assert stage.setlist.text == OLD
    assert words.count("the set list stays as it was") == 1
    assert says in words
    take = read_take(folder / "night.take")
    assert not any(isinstance(event, Relisted) for event in take.events)
    the_same_again(asked, take)
    mended, _, words = perform("next.take", [(2.0, text), (3.0, NEW)], seconds=5.0)
    assert mended.setlist.text == NEW


def test_a_network_is_there_before_its_list_takes_over(perform, folder) -> None:
    """The cue that goes on is on a network that takes a second to load."""
    text = OLD.replace("a.pt", "c.pt")
    stage, asked, _ = perform("night.take", [(2.0, text)], odd={"c.pt": slow}, seconds=6.0)
    take = read_take(folder / "night.take")
    (event,) = (event for event in take.events if isinstance(event, Relisted))
    assert 3.0 <= event.at / SECOND <= 3.8
    assert [cue.network.name for cue in stage.setlist.cues] == ["c.pt", "b.pt"]
    times = [request.show_time for _, request in asked]
    assert max(b - a for a, b in pairwise(times)) < SECOND / 20  # nobody waited
    the_same_again(asked, take)


def test_where_there_is_no_room_for_two_the_last_picture_bridges_the_change(
    perform, folder
) -> None:
    text = OLD.replace("a.pt", "c.pt")
    stage, asked, _ = perform("night.take", [(2.0, text)], odd={"c.pt": stuck}, seconds=6.0)
    assert stage.setlist.cues[0].network.name == "c.pt"
    assert asked[-1][0].name == "c.pt"
    the_same_again(asked, read_take(folder / "night.take"))


def test_a_cue_whose_new_keys_come_late_is_left_out_meanwhile_and_in_the_replay(
    perform, folder
) -> None:
    """It fades out while the list takes over with the cue that is there."""
    text = OLD.replace("{seed = 1}", "{seed = 50}").replace("fade = 2", "fade = 8")
    stage, asked, _ = perform(
        "night.take",
        [(2.0, text)],
        (1.5, Message("cue/go", ("two",))),
        odd={"a.pt": late},
        text=OLD.replace("fade = 2", "fade = 8"),
        seconds=6.0,
    )
    assert stage.setlist.text == text
    take = read_take(folder / "night.take")
    the_same_again(asked, take)
    first = [request.show_time for network, request in asked if network.name == "a.pt"]
    assert max(b - a for a, b in pairwise(first)) > SECOND / 4


def test_a_network_that_was_refused_is_tried_again_with_another_list(perform, folder) -> None:
    np.save(folder / "wide.npy", np.zeros((1, 9), np.float32))
    text = OLD.replace("{seed = 5}", '{latent = "wide.npy"}')  # of the second network
    script = (5.0, Message("cue/go", ("two",)))
    stage, asked, _ = perform("night.take", [(2.0, OLD)], script, text=text, seconds=8.0)
    assert stage.ensemble.refused == {}
    assert asked[-1][0].name == "b.pt"


@pytest.mark.parametrize("switch", ["freeze", "panic", "cue/hold"])
@pytest.mark.parametrize("change", [('"a.pt"', '"c.pt"'), ('"one"', '"other"')])
def test_it_takes_over_while_the_picture_stands_still(perform, folder, switch, change) -> None:
    """On another network, or with the cue gone; what comes afterwards is of the new list."""
    text = OLD.replace(*change)
    back = ("panic/undo", ()) if switch == "panic" else (switch, (0,))
    script = [(1.5, Message(switch, (1,))), (4.5, Message(*back))]
    stage, asked, _ = perform("night.take", [(2.0, text)], *script, seconds=7.0)
    assert stage.setlist.text == text
    take = read_take(folder / "night.take")
    (event,) = (event for event in take.events if isinstance(event, Relisted))
    assert event.at < 4.0 * SECOND
    the_same_again(asked, take)
    assert asked[-1][0] == stage.setlist.cues[stage.show.voice.cue].network
    assert not stage.show.still


def broken(fake: Fake, second, ensemble: Ensemble) -> None:
    """Cannot be read until its file is mended, after four seconds."""
    if second() < 4.0:
        fake.facts, fake.refusal = None, "b.pt: is broken"


def test_a_network_that_was_refused_is_tried_again_while_its_cue_is_due(perform, folder) -> None:
    """Somebody mends its file, and saves the list to have it tried again."""
    text = OLD.replace("seed = 5", "seed = 6")
    stage, asked, words = perform(
        "night.take",
        [(3.0, text), (5.0, text + "\n")],
        (1.0, Message("cue/go", ("two",))),
        odd={"b.pt": broken},
        seconds=8.0,
    )
    assert words.count("the set list stays as it was: b.pt: is broken") == 1
    assert stage.setlist.text == text + "\n"
    assert stage.ensemble.refused == {}
    assert asked[-1][0].name == "b.pt"
    the_same_again(asked, read_take(folder / "night.take"))


def test_a_paused_show_does_not_wait_for_a_beat(perform, folder) -> None:
    stage, _, _ = perform("night.take", [(2.0, NEW)], (1.0, Message("play", (0,))), seconds=3.0)
    assert stage.setlist.text == NEW
    take = read_take(folder / "night.take")
    (event,) = (event for event in take.events if isinstance(event, Relisted))
    assert event.at < 2.1 * SECOND


def test_a_take_is_resumed_and_filmed_across_a_change(perform, folder) -> None:
    before, asked, _ = perform("night.take", [(2.0, NEW)], *STORM[:4], seconds=4.0)
    take = read_take(folder / "night.take")
    state = last_state(take)
    assert take.setlists[-1].text == NEW
    assert state.show.voice.cue == before.show.voice.cue == 1
    stage, more, _ = perform(
        "later.take", [(6.0, OLD)], (5.0, Message("cue/go", ("two",))), take=take, seconds=9.0
    )
    assert stage.setlist.text == OLD
    assert stage.show.voice.cue == 1
    whole = read_take(folder / "later.take")
    the_same_again([*asked, *more], whole)
    assert [setlist.text for setlist in whole.setlists] == [OLD, NEW, OLD]

    rerun = Rerun(whole, Fraction(60))
    moments = [moment for moment, _ in zip(rerun, range(rerun.frames), strict=False)]
    assert len({id(moment.chapter) for moment in moments}) == 3
    slow = Rerun(whole, Fraction(12))
    for moment, _ in zip(slow, range(slow.frames), strict=False):
        fast = moments[moment.number * 5]
        assert fast.show == moment.show
        for network, ws in slow.wplus(moment).items():
            assert np.array_equal(ws, rerun.wplus(fast)[network])


def test_a_latent_that_was_changed_for_the_new_list_is_the_one_that_counts(
    perform, folder, monkeypatch
) -> None:
    changed = folder / "w.npy"

    def changed_and_read(file: Path) -> Saved | str:
        np.save(changed, np.full(Fake.w_dim, 2, np.float32))
        return read_saved(file)

    monkeypatch.setattr("tests.test_relist.read_saved", changed_and_read)
    _, asked, _ = perform("night.take", [(2.0, OLD)], seconds=4.0)
    monkeypatch.undo()
    take = read_take(folder / "night.take")
    assert take.latents[changed] == sha256_of(changed)
    known = {folder / f"{name}.pt": sha256_of(folder / f"{name}.pt") for name in "ab"}
    check_files(replace(take, networks=known))
    the_same_again(asked, take)
    assert latents(take.setlists[-1]) == {changed}
    np.save(changed, np.full(Fake.w_dim, 3, np.float32))
    with pytest.raises(UserError, match=r"w\.npy: is not the file it was"):
        check_files(replace(take, networks=known))


def test_what_a_show_is_opened_with_counts_from_the_next_start(perform) -> None:
    more = OLD + '\n[osc]\nlisten = "127.0.0.1:9999"\n[overlay]\nscale = 2.0\n'
    _, _, words = perform("night.take", [(1.0, more)], seconds=3.0)
    assert "performed from here; [osc] and [overlay] from the next start" in words


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_take_cut_off_near_the_change_is_read(perform, folder, cut) -> None:
    perform("night.take", [(2.0, NEW)], seconds=3.0)
    whole = (folder / "night.take").read_bytes()
    place = whole.index(b'{"relisted"')
    end = whole.index(b"\n", place)
    (folder / "cut.take").write_bytes(whole[: place + round((end - place) * cut)])
    assert len(read_take(folder / "cut.take").setlists) == 1
    (folder / "cut.take").write_bytes(whole[: end + 1])
    assert last_state(read_take(folder / "cut.take")).show.voice.cue == 1
