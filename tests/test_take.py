"""Takes: a performance kept, read again however it ended, and the same to the bit."""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projected import project

import live.take_writer
from engine.errors import UserError
from live.addresses import Message
from live.app import SECOND, Stage
from live.clock import FakeClock
from live.ensemble import Ensemble
from live.fake_source import Fake
from live.osc import encode
from live.prompter import Prompter
from live.setlist import load_setlist
from live.statistics import Statistics
from live.take import (
    Mapped,
    Obeyed,
    Resumed,
    Sampled,
    Take,
    check_files,
    last_state,
    latents,
    performed,
    sha256_of,
)
from live.take_reader import read_take
from live.take_writer import TakeWriter, free_name
from live.terminal import Terminal
from live.wplus import wplus_at
from tests.test_stage import Eye, Script, turned_until

SETLIST = """
[show]
tempo = 120
overlay = "split"

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 1}, {seed = 2, beats = 2}, {latent = "w.npy", psi = 0.5}]
path = "centripetal"
ending = "next"
fade = 1

[[cue]]
name = "two"
network = "b.pt"
keys = [{seed = 4}, {seed = 5, mix = {seed = 6, layers = "4-"}}]
ending = "loop"
fade = 2

[[cue]]
name = "three"
network = "a.pt"
keys = [{seed = 6}, {seed = 7}]
ending = "spring"
beats = 1
"""

STORM = (
    (0.3, Message("tempo/bpm", (90.123456789,))),
    (0.5, Message("tempo/tap")),
    (0.9, Message("psi", (0.1 + 0.2,))),
    (0.95, Message("tempo/tap")),
    (1.1, Message("tempo/nudge", (0.25,))),
    (1.6, Message("cue/go", ("nowhere",))),
    (2.0, Message("cue/go", ("two",))),
    (2.5, Message("speed", (-1.5,))),
    (2.7, Message("freeze", (1,))),
    (2.9, Message("freeze", (0,))),
    (3.0, Message("master", (0.25,))),
    (3.2, Message("fade", (1.0, 2.5))),
    (3.5, Message("position", (0.25,))),
    (3.6, Message("overlay", ("desktop",))),
    (3.7, Message("overlay/pane/terminal/place", (0.1, 0.2, 0.3, 0.4))),
    (4.0, Message("cue/go", (3,))),
    (4.4, Message("tempo/beat", (1, 133.0))),
    (4.9, Message("tempo/beat", (2,), age_ns=7_654_321)),
    (5.0, Message("tempo/phase", (0.25,), age_ns=1)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "show.toml").write_text(SETLIST)
    np.save(tmp_path / "w.npy", np.arange(Fake.w_dim, dtype=np.float32) / 3)
    (tmp_path / "a.pt").write_bytes(b"a")
    (tmp_path / "b.pt").write_bytes(b"b")
    return tmp_path


@pytest.fixture
def perform(folder):
    """Performs in fake time with a take; returns the stage and what its engines were asked."""
    closing = []

    def build(name, *desk, seconds=6.0, hz=60.0, take=None, slow=False):
        setlist = load_setlist(folder / "show.toml") if take is None else take.setlist
        output = Eye((64, 36), hz)
        output.clock = FakeClock(10**12)
        writer = TakeWriter(folder / name)
        closing.extend([writer.close, output.close])
        if take is None:
            writer.begin(setlist, 0, datetime(2026, 11, 25, 21, 4))
        else:
            writer.go_on(take)
        writer.start()
        asked = []

        def start(network, seeds, now):
            fake = Fake(network, seeds)
            ask = fake.ask
            fake.ask = lambda request: (asked.append((network, request)), ask(request))
            if slow:  # the seeds of the first cue first, the others two seconds later
                whole = fake.mapped
                fake.mapped = {seed: w for seed, w in whole.items() if seed[0] < 3}
                fake.tend = lambda now: (
                    fake.mapped.update(whole) if now > 10**12 + 2 * SECOND else None
                )
            return fake

        stage = Stage(
            setlist,
            Ensemble(setlist, start),
            output,
            output.clock,
            Statistics(10**12),
            Prompter(Terminal(io.StringIO())),
            desk=Script(*desk),
            journal=writer,
            resumed=None if take is None else last_state(take),
        )
        turned_until(stage, seconds)
        writer.close()
        assert stage.faults.count == 0
        return stage, asked

    yield build
    for close in closing:
        close()


def test_the_wplus_of_a_replay_is_that_of_the_performance_to_the_bit(perform, folder):
    """In every request to every engine, two networks and their cross-fades among them."""
    _, asked = perform("night.take", *STORM)
    again = [
        (network, at, ws)
        for at, wanted in performed(read_take(folder / "night.take"))
        for network, ws in wanted.items()
    ]
    assert len(again) == len(asked) > 300
    for (network, request), (network_again, at, ws) in zip(asked, again, strict=True):
        assert (network, request.show_time) == (network_again, at)
        assert np.array_equal(request.ws, ws)
        assert request.ws.dtype == ws.dtype
    assert {network.name for network, _ in asked} == {"a.pt", "b.pt"}


def test_what_was_obeyed_is_kept_and_what_was_not_is_not(perform, folder):
    perform("night.take", *STORM)
    events = read_take(folder / "night.take").events
    messages = [event.message for event in events if isinstance(event, Obeyed)]
    sent = [message for _, message in STORM if message.args != ("nowhere",)]
    assert messages == [Message("play", (1,)), *sent]
    samples = [event.at for event in events if isinstance(event, Sampled)]
    assert samples == sorted(samples)


def test_where_a_take_comes_from_is_in_it(perform, folder):
    perform("night.take", seconds=1)
    take = read_take(folder / "night.take")
    assert take.setlist == load_setlist(folder / "show.toml")
    assert take.setlist.text == SETLIST
    mapped = [event for event in take.events if isinstance(event, Mapped)]
    assert [event.cue for event in mapped] == [0, 1, 2]
    assert mapped[0].resolved.ws.shape == (3, Fake.num_ws, Fake.w_dim)
    assert {path.name for path in take.networks} == {"a.pt", "b.pt"}
    first = json.loads((folder / "night.take").read_text().splitlines()[0])
    assert set(first["versions"]) == {"anthesis", "python", "numpy"}


def test_a_take_can_be_cut_off_at_any_byte(perform, folder):
    perform("night.take", *STORM, seconds=2.5)
    whole = (folder / "night.take").read_bytes()
    events = read_take(folder / "night.take").events
    cut = folder / "cut.take"
    first = whole.index(b"\n") + 1
    lengths = [*range(first, len(whole), 997), len(whole) - 1]
    lengths += range(whole.index(b'{"at"'), whole.index(b'{"at"') + 120)
    for length in lengths:
        cut.write_bytes(whole[:length])
        got = read_take(cut).events
        assert list(map(str, got)) == list(map(str, events[: len(got)]))
        complete = whole[:length].split(b"\n")[1:-1]
        assert len(got) == sum(b'"sha256"' not in line for line in complete)
    cut.write_bytes(whole[: first - 1])
    with pytest.raises(UserError, match="no whole first line"):
        read_take(cut)


def test_a_show_is_resumed_where_the_take_ends(perform, folder):
    before, _ = perform("night.take", *STORM, seconds=4.2)
    take = read_take(folder / "night.take")
    old = last_state(take)
    stage, asked = perform("later.take", (5.9, Message("psi", (1.5,))), take=take, seconds=8)
    assert stage.show.voice.cue == old.show.voice.cue == before.show.voice.cue == 2
    assert (old.show.psi.target, stage.show.psi.target) == (0.1 + 0.2, 1.5)
    assert stage.show.transport.playing
    assert stage.show.overlay.name == "desktop"
    assert stage.show.master == before.show.master
    assert asked[0][1].show_time >= old.at
    # Until the first picture it stands where it was.
    network, first = asked[0]
    wanted = wplus_at(
        old.show,
        first.show_time,
        stage.programme,
        [cue.network for cue in take.setlist.cues],
        stage.ensemble.path,
    )
    assert np.array_equal(first.ws, wanted[network])
    # The take of the resumed show is that of both, to the bit.
    replayed = list(performed(read_take(folder / "later.take")))
    flat = [(n, at, ws) for at, wanted in replayed for n, ws in wanted.items()]
    part = flat[-len(asked) :]
    for (network, request), (network_again, at, ws) in zip(asked, part, strict=True):
        assert (network, request.show_time) == (network_again, at)
        assert np.array_equal(request.ws, ws)
    assert len(flat) - len(asked) == sum(len(wanted) for _, wanted in performed(take))


def test_a_show_that_never_had_a_picture_plays_when_it_is_resumed_again_and_again(perform, folder):
    """The engine takes the machine down while it loads; so it does the second time."""
    writer = TakeWriter(folder / "1.take")
    writer.begin(load_setlist(folder / "show.toml"), 1, datetime(2026, 11, 25))
    writer.close()
    for number in (1, 2):
        before = read_take(folder / f"{number}.take")
        after = TakeWriter(folder / f"{number + 1}.take")
        after.go_on(before)
        after.close()
    stage, _ = perform("4.take", take=read_take(folder / "3.take"), seconds=3)
    assert stage.show.transport.playing
    assert stage.show.voice.cue == 1
    again, _ = perform("5.take", take=read_take(folder / "4.take"), seconds=6)
    assert again.show.transport.playing


def test_a_show_that_ended_frozen_has_a_picture_when_it_is_resumed(perform, folder):
    perform("night.take", (1.0, Message("freeze", (1,))), seconds=2)
    stage, asked = perform("later.take", take=read_take(folder / "night.take"), seconds=5)
    assert stage.show.frozen
    assert stage.statistics.generated == 1
    assert not stage.faults.starting
    assert len(asked) == 1


def test_a_cue_that_came_by_itself_is_where_a_take_ends(perform, folder):
    stage, _ = perform("night.take", seconds=6)
    assert stage.show.voice.cue == 1
    assert last_state(read_take(folder / "night.take")).show.voice.cue == 1


def test_keys_that_were_known_late_are_used_no_earlier_in_the_replay(perform, folder):
    """Seeds arrive by and by: of two cues in a cross-fade one may have a path and one not yet."""
    _, asked = perform("night.take", (0.5, Message("cue/go", (3,))), slow=True)
    again = [
        (network, at, ws)
        for at, wanted in performed(read_take(folder / "night.take"))
        for network, ws in wanted.items()
    ]
    assert len(again) == len(asked)
    for (network, request), (network_again, at, ws) in zip(asked, again, strict=True):
        assert (network, request.show_time) == (network_again, at)
        assert np.array_equal(request.ws, ws)


def test_a_paused_show_is_resumed_paused(perform, folder):
    perform("night.take", (1.0, Message("play", (0,))), seconds=2)
    take = read_take(folder / "night.take")
    stage, _ = perform("later.take", take=take, seconds=5)
    assert not stage.show.transport.playing
    assert stage.statistics.generated > 0


def test_files_that_have_changed_are_named(perform, folder):
    perform("night.take", seconds=1)
    take = read_take(folder / "night.take")
    hashes = {folder / "a.pt": sha256_of(folder / "a.pt")}
    assert latents(take.setlist) == {folder / "w.npy"}
    same = replace(take, networks=hashes)
    check_files(same)
    (folder / "a.pt").write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"a\.pt: is not the file it was in this take"):
        check_files(same)
    check_files(replace(take, networks={Path("/dev/zero"): "0" * 64}))  # not of this set list
    moved = replace(take, networks={Path("/elsewhere/a.pt"): "0" * 64})
    with pytest.raises(UserError, match=r"a\.pt: is not the file"):
        check_files(moved)
    (folder / "a.pt").unlink()
    with pytest.raises(UserError, match=r"a\.pt: there is no such file"):
        check_files(same)


def test_a_photo_that_was_projected_anew_is_named(perform, folder):
    photo, network = folder / "irene.jpg", folder / "a.pt"
    photo.write_bytes(b"a photo")
    ws = np.zeros((Fake.num_ws, Fake.w_dim), np.float32)
    latent = project(photo, network, folder / "latents", ws)
    text = SETLIST.replace('{latent = "w.npy"', '{photo = "irene.jpg"')
    (folder / "show.toml").write_text(text)
    perform("night.take", seconds=1)
    take = read_take(folder / "night.take")
    assert latents(take.setlist) == {latent}
    same = replace(take, networks={}, latents={latent: sha256_of(latent)})
    check_files(same)
    project(photo, network, folder / "latents", ws + 1)
    with pytest.raises(UserError, match=r"irene\.npy: is not the file it was in this take"):
        check_files(same)
    photo.write_bytes(b"another photo")
    with pytest.raises(UserError, match=r"irene\.npy is of another picture of that name"):
        read_take(folder / "night.take")


# --- what is wrong -----------------------------------------------------------------------------


@pytest.fixture
def lines(perform, folder):
    perform("night.take", (0.5, Message("psi", (0.5,))), seconds=1)
    return (folder / "night.take").read_text().splitlines()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no json", "line 3 is not of a take"),
        ("[]", "line 3 is not of a take: no record"),
        ("{}", "line 3 is not of a take: it says nothing that is known"),
        ('{"w": 1.5}', "1.5 is no show time"),
        ('{"w": -1}', "-1 is no show time"),
        ('{"network": "a\\u0000b", "sha256": ""}', "is no name of a file"),
        ('{"w": 1e400}', "no show time"),
        ('{"at": 1, "do": "quit", "args": []}', "'quit': no such address"),
        ('{"at": 1, "do": "psi", "args": [NaN]}', "psi: not a finite number"),
        ('{"at": 1, "do": "psi", "args": ["x"]}', "psi: psi must be a finite number, got 'x'"),
        ('{"at": 1, "do": "speed", "args": [1, 2]}', "speed: 2 arguments"),
        ('{"at": 1, "do": "psi"}', "'args'"),
        ('{"at": 1, "do": "tempo/downbeat", "args": [], "age": -1}', "-1 is no show time"),
        ('{"keys": 7}', "7 is no cue"),
        ('{"keys": 0, "ws": {"shape": [1], "type": "<f4", "data": ""}}', "an array of <f4 [1]"),
        (
            '{"keys": 0, "ws": {"shape": [99999999, 1, 1], "type": "<f4", "data": ""}}',
            "an array of shape [99999999, 1, 1]",
        ),
        (
            '{"keys": 0, "ws": {"shape": [2, 1, 1], "type": "<f4", "data": "AAAA"}}',
            "3 bytes for an array of [2, 1, 1]",
        ),
        ("[" * 100_000, "line 3 is not of a take"),
    ],
)
def test_a_line_that_is_wrong_is_named(lines, folder, line, says):
    bad = folder / "bad.take"
    bad.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(UserError) as refusal:
        read_take(bad)
    assert says in str(refusal.value)
    assert str(refusal.value).startswith(f"{bad}: line 3")
    assert "\n" not in str(refusal.value)


def test_what_is_no_take_is_said(folder):
    other = folder / "other.take"
    for text in ("", "{}\n", '{"anthesis take": 2}\n', "[1]\n", "\x00\x00\n"):
        other.write_text(text)
        with pytest.raises(UserError, match=r"is not (a|of a) take"):
            read_take(other)
    with pytest.raises(UserError, match="cannot read the take: No such file"):
        read_take(folder / "missing.take")
    with pytest.raises(UserError, match="cannot read the take"):
        read_take(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**9), byte=st.integers(0, 255))
def test_a_damaged_take_is_read_or_refused(lines, folder, at, byte):
    data = bytearray("\n".join([*lines[:2], *lines[-30:]]).encode() + b"\n")
    data[at % len(data)] = byte
    damaged = folder / "damaged.take"
    damaged.write_bytes(data)
    with suppress(UserError):
        last_state(read_take(damaged))


def test_a_file_that_is_there_is_left_alone(folder):
    kept = folder / "kept.take"
    kept.write_text("mine")
    with pytest.raises(UserError, match="is there already; name another file"):
        TakeWriter(kept)
    assert kept.read_text() == "mine"
    assert free_name(kept) == folder / "kept-2.take"
    assert free_name(folder / "new.take") == folder / "new.take"
    with pytest.raises(UserError, match="No such file"):
        TakeWriter(folder / "nowhere" / "a.take")


def test_a_full_disk_ends_the_take_and_not_the_show(folder, caplog):
    """A file that may not grow any more is a full disk to whoever writes it."""
    resource = pytest.importorskip("resource", reason="limits of a process are a POSIX matter")
    writer = TakeWriter(folder / "night.take")
    writer.start()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with caplog.at_level(logging.ERROR):
            for _ in range(500):
                writer.sampled(1)
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert writer.lost == 500 - 111  # lines of nine bytes each
    (said,) = (record.message for record in caplog.records)
    assert said == f"the take {writer.path} ends here, the show goes on: File too large"
    assert (folder / "night.take").read_text().startswith('{"w": 1}\n' * 111)


# --- for real ----------------------------------------------------------------------------------


def test_a_killed_show_leaves_its_take_and_is_resumed(tmp_path):
    """kill -9 in mid-show: the last message but one is there, and the show goes on from it."""
    take, stats = tmp_path / "night.take", tmp_path / "stats.json"
    port = free_port()
    command = [sys.executable, "-m", "live", "play", "--headless", "--size", "160x90"]
    show = subprocess.Popen(
        [*command, "--seconds", "60", "--osc", f"127.0.0.1:{port}", "--take", str(take)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: take.exists() and b'"play"' in take.read_bytes())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk:
            desk.sendto(encode("/anthesis/cue/go", "dusk"), ("127.0.0.1", port))
            for n in range(20):
                desk.sendto(encode("/anthesis/psi", n / 20), ("127.0.0.1", port))
                seen = f'"do": "psi", "args": [{np.float32(n / 20).item()!r}]'.encode()
                wait_for(lambda seen=seen: seen in take.read_bytes())
    finally:
        show.send_signal(signal.SIGKILL)
        show.wait()
        assert show.stderr is not None
        show.stderr.close()
    read = read_take(take)
    psis = [
        e.message.args[0]
        for e in read.events
        if isinstance(e, Obeyed) and e.message.address == "psi"
    ]
    assert len(psis) == 20
    done = subprocess.run(
        [
            *command,
            "--seconds",
            "1",
            "--resume",
            str(take),
            "--osc",
            f"127.0.0.1:{port}",
            "--take",
            str(tmp_path / "later.take"),
            "--stats",
            str(stats),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    later = last_state(read_take(tmp_path / "later.take")).show
    assert later.voice.cue == 2
    assert later.psi.target == psis[-1]
    again = subprocess.run(
        [*command, "--resume", str(take), "--take", str(take)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert again.returncode == 2
    assert "is there already" in again.stderr


def wait_for(true) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_long_take_is_resumed_whole(folder, monkeypatch):
    """Hours have more lines than may wait for a disk while a show is on."""
    monkeypatch.setattr(live.take_writer, "WAITING", 100)
    long, later = TakeWriter(folder / "long.take"), TakeWriter(folder / "later.take")
    setlist = load_setlist(folder / "show.toml")
    take = Take(datetime(2026, 11, 25), setlist, 1, events=[Sampled(n) for n in range(5000)])
    long.go_on(take)
    long.close()
    assert read_take(folder / "long.take").events == [*take.events, Resumed(4999)]
    later.go_on(read_take(folder / "long.take"))
    later.start()
    later.sampled(9999)
    later.close()
    assert later.lost == 0
    assert len(read_take(folder / "later.take").events) == 5003


def test_a_disk_that_is_too_slow_ends_the_take_after_what_waits(folder, monkeypatch, caplog):
    monkeypatch.setattr(live.take_writer, "WAITING", 10)
    writer = TakeWriter(folder / "night.take")
    with caplog.at_level(logging.ERROR):
        for at in range(20):
            writer.sampled(at)  # before its thread runs: nobody takes them
    writer.start()
    writer.sampled(99)
    writer.close()
    lines = (folder / "night.take").read_text().splitlines()
    assert lines == [json.dumps({"w": at}) for at in range(10)]
    assert [record.message for record in caplog.records] == [
        f"the take {writer.path} ends here, the show goes on: a slow disk"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_folder_whose_name_is_no_text_has_takes_too(folder):
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    odd.mkdir()
    for name in ("show.toml", "w.npy", "a.pt", "b.pt"):
        (odd / name).write_bytes((folder / name).read_bytes())
    writer = TakeWriter(odd / "night.take")
    writer.begin(load_setlist(odd / "show.toml"), 0, datetime(2026, 11, 25))
    writer.close()
    assert read_take(odd / "night.take").setlist.file == odd / "show.toml"


def test_a_take_that_cannot_move_stays_aside_for_the_next_film(folder, caplog):
    """Beside a film in a folder that cannot be written to, or under a name that cannot be."""
    setlist = load_setlist(folder / "show.toml")
    writer = TakeWriter(folder / "aside.take", spooled=True)
    writer.begin(setlist, 0, datetime(2026, 11, 25, 21, 4))
    writer.start()
    writer.obeyed(1, Message("psi", (0.5,)))
    writer.move(folder / ("x" * 300 + ".take"))
    writer.obeyed(2, Message("psi", (0.6,)))
    while not caplog.records:
        time.sleep(0.001)
    assert "the take cannot be" in caplog.text
    assert writer.spooled
    writer.move(folder / "night.take")
    writer.obeyed(3, Message("psi", (0.7,)))
    writer.close()
    assert [event.at for event in read_take(folder / "night.take").events] == [1, 2, 3]
    assert not (folder / "aside.take").exists()


def test_a_take_of_which_nothing_came_leaves_its_name(folder):
    writer = TakeWriter(folder / "night.take")
    writer.begin(load_setlist(folder / "show.toml"), 0, datetime(2026, 11, 25, 21, 4))
    writer.start()
    writer.discard()
    writer.close()
    TakeWriter(folder / "night.take").close()


def test_a_show_that_cannot_begin_leaves_no_take(tmp_path):
    command = [sys.executable, "-m", "live", "play", "--headless", "--seconds", "1"]
    command += ["--take", "t.take", "--record", "/proc/nowhere/y.mp4", "--osc", "127.0.0.1:0"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot record to /proc/nowhere/y.mp4" in done.stderr
    assert not list(tmp_path.iterdir())
