"""Films and stills made offline: in parts, interrupted, by several workers, and joined."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import live.render
from engine.errors import UserError
from live.addresses import Message
from live.control import advance, apply
from live.fake_source import Fake
from live.job import STALE_S, Brief, open_job, read_job, source_of
from live.joining import join
from live.parts import Maker, Workers
from live.progress import Frames
from live.render import Options, parts_of, render
from live.rerun import Rerun
from live.setlist import load_setlist, parse_setlist, programme
from live.take import opening
from live.take_reader import read_take
from live.walkthrough import SWING_NS, walk, write_walkthrough

SECOND = 1_000_000_000
SETLIST = """
[show]
tempo = 120
overlay = "terminal"

[[cue]]
name = "one"
network = "a.pt"
keys = [{seed = 1}, {seed = 2}, {latent = "w.npy"}]
beats = 4
ending = "next"
fade = 1

[[cue]]
name = "two"
network = "b.pt"
keys = [{seed = 4}, {seed = 5}]
beats = 4
fade = 1
ending = "loop"

[[cue]]
name = "three"
network = "b.pt"
keys = [{seed = 6}, {seed = 7}]
beats = 2
"""
SECONDS = 4 + 4 + 1


@pytest.fixture
def setlist(tmp_path):
    (tmp_path / "show.toml").write_text(SETLIST)
    np.save(tmp_path / "w.npy", np.arange(Fake.w_dim, dtype=np.float32) / 3)
    for network in ("a.pt", "b.pt"):
        (tmp_path / network).write_bytes(network.encode())
    return load_setlist(tmp_path / "show.toml")


@pytest.fixture
def with_fakes(monkeypatch):
    """`render` with engines that are none."""
    monkeypatch.setattr(live.render, "Supervised", lambda device, *rest: Fake(*rest))
    monkeypatch.setattr(live.render, "steady", lambda device: fake)
    monkeypatch.setattr("live.parts.steady", lambda device: fake)


def fake(network):
    return Fake(network, ())


def decoded(path):
    if path.is_dir():
        return [pixels(picture) for picture in sorted(path.iterdir())]
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def options(folder, name, **more):
    more = {"size": (96, 54), "fps": 6.0, **more}
    return Options(folder / "show.toml", folder / name, **more)


# --- a set list as a performance -----------------------------------------------------------------


def test_a_set_list_plays_every_cue_once(setlist):
    walked = list(walk(setlist))
    assert walked == [
        (0, Message("play", (1,))),
        (8 * SECOND, Message("cue/next")),  # once around the loop
        (SECONDS * SECOND, None),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["next", "loop", "hold", "spring"]),
            st.integers(1, 8),
            st.sampled_from([0, 0.5, 3]),
            st.sampled_from([60, 93.7, 140]),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None, max_examples=60)
def test_whatever_their_endings_cues_are_seen_to_their_end_in_their_order(cues):
    tables = [
        f'[[cue]]\nname = "{n}"\nkeys = [{{seed = 1}}, {{seed = 2}}]\nending = "{ending}"\n'
        f"beats = {beats}\nfade = {fade}\ntempo = {tempo}\n"
        for n, (ending, beats, fade, tempo) in enumerate(cues)
    ]
    setlist = parse_setlist(Path("x.toml"), "[show]\n" + "\n".join(tables))
    facts = programme(setlist)
    show, last = opening(setlist, 0), 0
    for at, message in walk(setlist):
        assert at >= last
        for moment in (at - 1, at):  # cues that follow by themselves come in between
            show = advance(show, max(moment, 0), facts)
        if message is not None:
            show = apply(show, message, at, facts)
        last = at
    beats = show.voice.beat(show.transport, last)
    assert show.voice.cue == len(cues) - 1
    swing = SWING_NS / 1e9 * cues[-1][3] / 60 if cues[-1][0] == "spring" else 0
    assert beats == pytest.approx(facts[-1].duration + swing, abs=1e-6)


def test_the_take_of_a_set_list_is_one_as_any_other(setlist, tmp_path):
    write_walkthrough(setlist, Fake, tmp_path / "x.take")
    take = read_take(tmp_path / "x.take")
    rerun = Rerun(take, Fraction(48))
    assert rerun.frames == SECONDS * 48
    assert set(rerun.chapters[0].paths) == {0, 1, 2}
    assert {path.name for path in take.networks} == {"a.pt", "b.pt"}
    moments = [moment for moment, _ in zip(rerun, range(rerun.frames), strict=False)]
    cues = [moment.show.voice.cue for moment in moments]
    assert cues == sorted(cues)
    assert [cues.count(n) for n in range(3)] == [4 * 48, 4 * 48, 1 * 48]


@pytest.mark.parametrize(("tempo", "beats"), [(90, 16), (120, 16), (93, 31), (90, 4)])
def test_a_nanosecond_is_no_frame(tmp_path, tempo, beats):
    """Times are rounded to those, and a film of 512 frames has 512."""
    path = tmp_path / "x.toml"
    cue = f'name = "x"\nkeys = [{{seed = 1}}, {{seed = 2}}]\nbeats = {beats}\nending = "hold"\n'
    setlist = parse_setlist(path, f"[show]\ntempo = {tempo}\n[[cue]]\n{cue}")
    write_walkthrough(setlist, Fake, tmp_path / "x.take")
    rerun = Rerun(read_take(tmp_path / "x.take"), Fraction(48))
    assert rerun.frames == round(48 * beats * 60 / tempo)


def test_a_performance_that_cannot_be_written_is_named(setlist, tmp_path):
    (tmp_path / "there.take").touch()
    for name in ("there.take", "nowhere/x.take"):
        with pytest.raises(
            UserError, match=r"performance of .*show\.toml cannot be written"
        ) as said:
            write_walkthrough(setlist, Fake, tmp_path / name)
        assert "--take" not in str(said.value)


# --- jobs ----------------------------------------------------------------------------------------


def brief(setlist, **more):
    return Brief(
        **{
            "source": source_of(setlist),
            "size": (96, 54),
            "fps": "6",
            "begin": 0.0,
            "end": None,
            "codec": "ffv1",
            "chroma": "rgb",
            "overlay": None,
            "fades": False,
            **more,
        }
    )


@pytest.fixture
def begin(setlist, tmp_path):
    """Begins or goes on with a job."""

    def opened(name="x.mkv", **more):
        def write(path):
            write_walkthrough(setlist, Fake, path)

        return open_job(parts_of(tmp_path / name), brief(setlist, **more), write)

    return opened


def test_parts_cover_the_film_without_a_gap(begin):
    for number, more in enumerate(({}, {"begin": 1.5, "end": 8.0}, {"fps": "25", "end": 99.0})):
        job = begin(f"{number}.mkv", **more)
        frames = [number for part in job.parts for number in part]
        assert frames == list(job.frames)
    assert job.frames == range(SECONDS * 25)
    assert begin("1.mkv", begin=1.5, end=8.0).frames == range(9, 48)


def test_a_film_in_the_making_is_gone_on_with(begin):
    job = begin()
    assert job.missing == [0, 1, 2]
    job.path(1).write_bytes(b"")
    again = begin()
    assert again.missing == [0, 2]
    assert again.take.began == job.take.began
    assert read_job(job.folder).brief == job.brief


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": (64, 36)}, r"size \(96, 54\), not \(64, 36\)"),
        ({"fps": "48"}, "fps 6, not 48"),
        ({"overlay": "off"}, "overlay None, not off"),
        ({"source": "1" * 64}, "have changed since"),
    ],
)
def test_another_film_does_not_mix_with_one_in_the_making(begin, change, said):
    begin()
    with pytest.raises(UserError, match=said) as caught:
        begin(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{}",
        "[1]",
        '{"source": 3}',
        "\0",
        "[" * 50_000,
        {"fps": "0"},
        {"fps": "1/0"},
        {"fps": "1e999999999"},
        {"fps": "inf"},
        {"fps": "٤٨"},
        {"fps": "241"},
        {"size": [15, 54]},
        {"size": [96, 10**12]},
        {"size": [96]},
        {"begin": -1.0},
        {"begin": float("nan")},
        {"end": float("inf")},
        {"end": 1e300},
        {"codec": "gif\n"},
        {"chroma": "420"},
        {"overlay": "none"},
    ],
)
def test_a_damaged_job_is_said(begin, damage):
    path = begin().folder / "job.json"
    if isinstance(damage, dict):
        damage = json.dumps({**json.loads(path.read_text()), **damage})
    path.write_text(damage)
    with pytest.raises(UserError, match="is not of a film in the making") as caught:
        begin()
    assert "\n" not in str(caught.value)


def test_nothing_to_film_is_said_and_leaves_nothing(begin, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"nothing to film: the performance lasts 9\.0 s"):
        begin(begin=9.0)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("a.pt: is broken"), MemoryError])
def test_a_start_that_fails_leaves_nothing(setlist, tmp_path, error):
    before = sorted(tmp_path.iterdir())

    def write(path):
        path.write_text("a beginning")
        raise error

    with pytest.raises(error if isinstance(error, type) else UserError):
        open_job(parts_of(tmp_path / "x.mkv"), brief(setlist), write)
    assert sorted(tmp_path.iterdir()) == before


def test_a_take_that_claims_to_last_for_years_is_not_filmed_whole(setlist, tmp_path):
    write_walkthrough(setlist, Fake, tmp_path / "x.take")
    with (tmp_path / "x.take").open("ab") as take:
        take.write(b'{"w": %d}\n' % (10**18 - 1))
    copy = partial(shutil.copyfile, tmp_path / "x.take")
    with pytest.raises(UserError, match=r"lasts 277777\.8 h"):
        open_job(parts_of(tmp_path / "x.mkv"), brief(setlist, fps="240"), copy)
    assert not list(tmp_path.glob("*.parts"))
    piece = open_job(parts_of(tmp_path / "x.mkv"), brief(setlist, fps="240", end=10.0), copy)
    assert len(piece.frames) == 2400


@pytest.mark.parametrize("name", ["mine.txt", "job.take", "000000.mkv"])
def test_a_folder_of_somebody_else_is_not_taken(begin, tmp_path, name):
    folder = parts_of(tmp_path / "x.mkv")
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(UserError, match="holds something else") as caught:
        begin()
    assert "\n" not in str(caught.value)
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(begin, tmp_path):
    parts_of(tmp_path / "x.mkv").mkdir()
    assert begin().missing == [0, 1, 2]


def test_two_machines_that_begin_at_once_make_the_same_film(setlist, tmp_path):
    """Whoever is later takes what the first has written."""
    folder = parts_of(tmp_path / "x.mkv")
    both = threading.Barrier(2)

    def write(path):
        both.wait(10)  # both have found no take
        write_walkthrough(setlist, Fake, path)

    jobs = []
    machines = [
        threading.Thread(target=lambda: jobs.append(open_job(folder, brief(setlist), write)))
        for _ in range(2)
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert len(jobs) == 2
    assert jobs[0].take.began == jobs[1].take.began
    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "job.take"]


def test_what_a_killed_process_left_is_tidied_and_what_a_live_one_writes_is_not(begin):
    job = begin()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = job.unfinished(0)
    machine = mine.name.split("~")[1]
    there = {
        mine: True,
        job.whole: True,
        job.folder / f"000000~{machine}~{gone.pid}-0.mkv": False,
        job.folder / f"whole~{machine}~{gone.pid}-0.mkv": False,
        job.folder / f"000000~{machine}-other~{gone.pid}-0.mkv": True,  # who knows
        job.folder / f"000001~{machine}-other~{gone.pid}-0.mkv": False,  # for a day
        job.folder / f"000002~{machine}~{os.getpid()}-0.mkv": False,  # of a former process
        job.folder / f"mine~{machine}~{gone.pid}-0.mkv": True,
    }
    for path in there:
        path.write_bytes(b"left")
    long_ago = time.time() - STALE_S - 60
    os.utime(job.folder / f"000001~{machine}-other~{gone.pid}-0.mkv", (long_ago, long_ago))
    begun = job.folder.with_name(f".begun~{machine}~{gone.pid}-0")
    begun.mkdir()
    (begun / "job.take").touch()
    begin()
    assert {path: path.exists() for path in there} == there
    begin("y.mkv")
    assert not begun.exists()


def test_machines_of_one_name_are_told_apart(begin, monkeypatch):
    job = begin()
    monkeypatch.setattr("uuid.getnode", lambda: 1)
    one = job.unfinished(0)
    monkeypatch.setattr("uuid.getnode", lambda: 2)
    assert job.unfinished(0) != one


@pytest.mark.parametrize("codec", ["ffv1", "png"])
def test_only_what_is_of_the_film_is_removed_with_it(begin, codec):
    job = begin({"ffv1": "x.mkv", "png": "x"}[codec], codec=codec)
    maker = Maker(job, fake)
    for number in job.missing:
        maker.make(number, lambda frames: None)
    maker.close()
    foreign = ["notes.txt", "000000.txt", "1.mkv"]
    if codec == "png":
        foreign.append("000001/mine.txt")
    for name in foreign:
        (job.folder / name).touch()
    job.remove()
    left = [path for path in job.folder.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(job.folder)) for path in left) == sorted(foreign)


# --- parts and films -----------------------------------------------------------------------------


@pytest.mark.usefixtures("with_fakes", "setlist")
@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x"])
def test_a_film_made_in_pieces_is_the_film(tmp_path, name):
    codec = {".mp4": "h264", ".mkv": "ffv1", "": "png"}[Path(name).suffix]
    said = render(options(tmp_path, f"whole-{name}", codec=codec))
    whole = decoded(tmp_path / f"whole-{name}")
    assert said.endswith("54 frames, 9.0 s at 6 a second")
    assert len(whole) == SECONDS * 6
    for number in (2, 3, 1):
        render(options(tmp_path, name, codec=codec, part=(number, 3)))
        assert not (tmp_path / name).exists()
    again = render(options(tmp_path, name, codec=codec))
    assert again.endswith("54 frames, 9.0 s at 6 a second")
    pieces = decoded(tmp_path / name)
    assert all(np.array_equal(*pair) for pair in zip(whole, pieces, strict=True))
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_an_interrupted_film_goes_on_where_it_was(tmp_path, monkeypatch):
    render(options(tmp_path, "whole.mkv", codec="ffv1"))
    frames = 0

    def interrupt(self, more):
        nonlocal frames
        frames += 1
        if frames == 40:
            raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Frames, "advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            render(options(tmp_path, "x.mkv", codec="ffv1"))
    left = sorted(path.name for path in parts_of(tmp_path / "x.mkv").iterdir())
    assert left == ["000000.mkv", "job.json", "job.take"]
    made = []
    monkeypatch.setattr(Frames, "advance", lambda self, more: made.append(more))
    render(options(tmp_path, "x.mkv", codec="ffv1"))
    assert len(made) == 54 - 24
    pairs = zip(decoded(tmp_path / "whole.mkv"), decoded(tmp_path / "x.mkv"), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_an_interrupted_joining_loses_no_picture(tmp_path, monkeypatch):
    linked = []

    def interrupt(self, target):
        linked.append(target)
        if len(linked) == 30:
            raise KeyboardInterrupt
        os.link(target, self)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Path, "hardlink_to", interrupt)
        with pytest.raises(KeyboardInterrupt):
            render(options(tmp_path, "x", codec="png"))
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr(Maker, "make", None)  # nothing is to be made again
    assert render(options(tmp_path, "x", codec="png")).endswith("54 frames, 9.0 s at 6 a second")
    assert len(list((tmp_path / "x").iterdir())) == 54


def emptied(part):
    part.write_bytes(b"")


def halved(part):
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])


def without_a_picture(part):
    (part / "000030.png").unlink()


def without_pictures(part):
    for picture in part.iterdir():
        picture.unlink()


@pytest.mark.usefixtures("with_fakes", "setlist")
@pytest.mark.parametrize(
    ("name", "codec", "spoil"),
    [
        ("x.mkv", "ffv1", emptied),
        ("x.mkv", "ffv1", halved),
        ("x.mp4", "h264", halved),
        ("x", "png", without_a_picture),
        ("x", "png", without_pictures),
    ],
)
def test_a_part_that_has_lost_frames_is_made_again(tmp_path, caplog, name, codec, spoil):
    render(options(tmp_path, f"whole-{name}", codec=codec))
    for number in (1, 2, 3):
        render(options(tmp_path, name, codec=codec, part=(number, 3)))
    part = parts_of(tmp_path / name) / f"000001{Path(name).suffix}"
    spoil(part)
    render(options(tmp_path, name, codec=codec))
    assert f"{part}: has" in caplog.text
    assert "of 24 frames, and is made again" in caplog.text
    whole, again = (decoded(tmp_path / path) for path in (f"whole-{name}", name))
    assert all(np.array_equal(*pair) for pair in zip(whole, again, strict=True))


@pytest.mark.usefixtures("with_fakes", "setlist")
@pytest.mark.parametrize(("name", "codec"), [("x.mkv", "ffv1"), ("x", "png")])
def test_a_film_that_lacks_frames_gets_no_name(tmp_path, monkeypatch, name, codec):
    monkeypatch.setattr(live.render, "join", lambda parts, to: join(parts[1:], to))
    with pytest.raises(UserError, match="was joined of 30 frames, not 54") as caught:
        render(options(tmp_path, name, codec=codec))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / name).exists()
    assert len(list(parts_of(tmp_path / name).iterdir())) == 3 + 2


@pytest.mark.usefixtures("setlist")
@pytest.mark.parametrize(("name", "codec"), [("x.mkv", "ffv1"), ("x", "png")])
def test_the_disk_has_a_part_before_it_has_its_name(begin, tmp_path, monkeypatch, name, codec):
    job = begin(name, codec=codec)
    synced = {}
    fsync = os.fsync

    def note(handle):
        fsync(handle)
        synced[os.fstat(handle).st_ino] = job.path(0).exists()

    monkeypatch.setattr(os, "fsync", note)
    maker = Maker(job, fake)
    maker.make(0, lambda frames: None)
    maker.close()
    part = job.path(0)
    files = [part, *part.iterdir()] if part.is_dir() else [part]
    assert [synced[file.stat().st_ino] for file in files] == [False] * len(files)


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_the_disk_has_the_film_before_the_parts_go(tmp_path, monkeypatch):
    film, synced = tmp_path / "x.mkv", {}
    fsync = os.fsync

    def note(handle):
        fsync(handle)
        parts = len(list(parts_of(film).glob("000*.mkv")))
        synced[os.fstat(handle).st_ino] = (film.exists(), parts)

    monkeypatch.setattr(os, "fsync", note)
    render(options(tmp_path, "x.mkv", codec="ffv1"))
    assert synced[film.stat().st_ino] == (False, 3)
    assert synced[tmp_path.stat().st_ino] == (True, 3)


@pytest.mark.usefixtures("with_fakes", "setlist")
@pytest.mark.parametrize(("name", "codec"), [("x.mkv", "ffv1"), ("x", "png")])
def test_a_name_that_was_taken_meanwhile_stays_with_its_owner(tmp_path, monkeypatch, name, codec):
    film = tmp_path / name

    def take_it(self, more):
        if codec == "png" and not film.exists():
            film.mkdir()
        (film / "000000.png" if codec == "png" else film).write_text("mine")

    monkeypatch.setattr(Frames, "advance", take_it)
    said = render(options(tmp_path, name, codec=codec))
    other = film.with_stem("x-2")
    assert said == f"{other}: 54 frames, 9.0 s at 6 a second; {film} was taken meanwhile"
    assert len(decoded(other)) == 54
    assert (film / "000000.png" if codec == "png" else film).read_text() == "mine"


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_a_folder_of_pictures_is_overwritten_where_that_is_asked_for(tmp_path):
    render(options(tmp_path, "frames", codec="png", end=4.0))
    with pytest.raises(UserError, match="is there already; name another, or --overwrite"):
        render(options(tmp_path, "frames", codec="png", end=1.0))
    render(options(tmp_path, "frames", codec="png", end=1.0, overwrite=True))
    assert len(decoded(tmp_path / "frames")) == 6
    (tmp_path / "frames" / "mine.txt").touch()
    with pytest.raises(UserError, match=r"holds mine\.txt, which is no picture of a film"):
        render(options(tmp_path, "frames", codec="png", overwrite=True))
    assert len(list((tmp_path / "frames").iterdir())) == 7


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_what_else_lies_in_the_folder_is_said(tmp_path):
    render(options(tmp_path, "x.mkv", codec="ffv1", part=(1, 1)))
    folder = parts_of(tmp_path / "x.mkv")
    (folder / "notes.txt").touch()
    said = render(options(tmp_path, "x.mkv", codec="ffv1"))
    assert said.endswith(f"; {folder} holds something else and is left")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_a_share_counts_its_own_frames(tmp_path, monkeypatch):
    """9 s are parts of 24, 24 and 6 frames."""
    counted = []

    class Counted(Frames):
        def __init__(self, total, done=0):
            counted.append((total, done))
            super().__init__(total, done)

    monkeypatch.setattr(live.render, "Frames", Counted)
    for part in ((1, 3), (3, 3), (2, 2), (3, 3), None):
        render(options(tmp_path, "x.mkv", codec="ffv1", part=part))
    assert counted == [(24, 0), (6, 0), (6, 6), (6, 6), (54, 30)]


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_stills_have_names_of_their_own(tmp_path):
    times = (1.2345671, 1.2345672, 2.0)
    said = render(options(tmp_path, "still.png", stills=times))
    names = ["still-1.2345671.png", "still-1.2345672.png", "still-2.png"]
    assert said == ", ".join(str(tmp_path / name) for name in names)
    assert all((tmp_path / name).exists() for name in names)


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_a_still_whose_name_was_taken_meanwhile_gets_another(tmp_path, monkeypatch):
    save = live.render._save

    def late(picture, path, options):
        path.write_text("mine")
        return save(picture, path, options)

    monkeypatch.setattr(live.render, "_save", late)
    said = render(options(tmp_path, "still.png", stills=(1.0,)))
    assert said == str(tmp_path / "still-2.png")
    assert (tmp_path / "still.png").read_text() == "mine"


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_a_piece_of_a_film_is_those_frames(tmp_path):
    render(options(tmp_path, "whole.mkv", codec="ffv1"))
    render(options(tmp_path, "piece.mkv", codec="ffv1", begin=2.0, end=5.0))
    whole, piece = decoded(tmp_path / "whole.mkv"), decoded(tmp_path / "piece.mkv")
    assert len(piece) == 18
    assert all(np.array_equal(*pair) for pair in zip(piece, whole[12:30], strict=True))


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_stills_are_frames_of_the_film(tmp_path):
    render(options(tmp_path, "whole.mkv", codec="ffv1"))
    whole = decoded(tmp_path / "whole.mkv")
    said = render(options(tmp_path, "still.png", stills=(7.5, 2.0, 2.01)))
    names = ["still-2.png", "still-2.01.png", "still-7.5.png"]
    assert said == ", ".join(str(tmp_path / name) for name in names)
    for name, number in zip(names, (12, 12, 45), strict=True):
        assert np.array_equal(pixels(tmp_path / name), whole[number])
    render(options(tmp_path, "one.jpg", stills=(1.0,)))
    with Image.open(tmp_path / "one.jpg") as still:
        assert still.size == (96, 54)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("with_fakes", "setlist")
@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("there.mp4", {}, "is there already"),
        ("there.png", {"stills": (1.0,)}, "is there already"),
        ("x.gif", {"stills": (1.0,)}, "a still is one of"),
        ("x.png", {"stills": (10.0,)}, r"the performance lasts 9\.0 s"),
        ("x.avi", {}, "is kept in .mp4"),
        ("nowhere/x.mp4", {}, "there is no folder"),
        ("x.mp4", {"begin": 20.0}, "there is nothing to film"),
        ("x.mp4", {"source": Path("/nowhere/x.toml")}, "nowhere/x.toml"),
        ("x.mp4", {"source": Path("/nowhere/x.take")}, "nowhere/x.take"),
        ("x.mp4", {"source": Path("/nowhere/x")}, "nowhere/x"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_line(tmp_path, name, more, said):
    for there in ("there.mp4", "there.png"):
        (tmp_path / there).write_text("mine")
    asked = options(tmp_path, name, **{k: v for k, v in more.items() if k != "source"})
    if "source" in more:
        asked = Options(more["source"], asked.output)
    with pytest.raises(UserError, match=said) as caught:
        render(asked)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "there.mp4").read_text() == "mine"


@pytest.mark.usefixtures("with_fakes", "setlist")
def test_a_film_is_overwritten_where_that_is_asked_for(tmp_path):
    (tmp_path / "x.mkv").write_text("old")
    render(options(tmp_path, "x.mkv", codec="ffv1", end=1.0, overwrite=True))
    assert len(decoded(tmp_path / "x.mkv")) == 6


@pytest.mark.usefixtures("with_fakes")
def test_a_take_is_filmed_too_and_a_changed_network_refused(setlist, tmp_path):
    write_walkthrough(setlist, Fake, tmp_path / "night.take")
    asked = Options(tmp_path / "night.take", tmp_path / "n.mkv", (96, 54), 6.0, codec="ffv1")
    with pytest.raises(UserError, match=r"\.pt: is not the file it was in this take"):
        render(asked)  # the fake's hash is none
    render(Options(asked.source, asked.output, (96, 54), 6.0, codec="ffv1", force=True))
    film = decoded(tmp_path / "n.mkv")
    assert len(film) == 54
    assert not film[0].any()  # a take fades in, as the audience saw it
    assert film[20].any()


def test_a_full_disk_is_one_line_and_keeps_the_parts(begin, tmp_path, monkeypatch):
    job = begin()
    maker = Maker(job, fake)
    maker.make(0, lambda frames: None)

    def full(self, index, rgba):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("live.film.Film.write", full)
    with pytest.raises(UserError, match="No space left on device"):
        maker.make(1, lambda frames: None)
    maker.close()
    assert job.missing == [1, 2]
    assert sorted(p.name for p in job.folder.iterdir()) == ["000000.mkv", "job.json", "job.take"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (av.error.ExternalError(errno.EIO, "Generic error\nin an external library"), "Generic"),
        (MemoryError(), "MemoryError"),
        (ValueError("Invalid argument"), "Invalid argument"),
    ],
)
def test_what_an_encoder_raises_is_one_line(begin, monkeypatch, error, said):
    def fail(self, index, rgba):
        raise error

    monkeypatch.setattr("live.film.Film.write", fail)
    job = begin()
    maker = Maker(job, fake)
    with pytest.raises(UserError, match=said) as caught:
        maker.make(1, lambda frames: None)
    maker.close()
    assert str(caught.value).startswith(f"{job.path(1)}: ")
    assert "\n" not in str(caught.value)


def test_a_part_that_two_have_made_is_made(begin):
    job = begin("x", codec="png")
    maker = Maker(job, fake)
    frames = []

    def on_frame(more):
        frames.append(more)
        if len(frames) == 6:  # somebody else is a moment faster
            shutil.copytree(job.unfinished(2), job.path(2))

    maker.make(2, on_frame)
    maker.close()
    assert job.missing == [0, 1]
    assert sorted(p.name for p in job.folder.iterdir()) == ["000002", "job.json", "job.take"]


# --- workers -------------------------------------------------------------------------------------

STAND_IN = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
for line in sys.stdin:
    number = int(line)
    if number == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        print("frame", flush=True)
        os._exit(9)
    if number == int(sys.argv[2]):
        print("network: is broken", flush=True)
        sys.exit(2)
    print("frame\\nframe", flush=True)
    (folder / f"{number:06}.mkv").touch()
    print("made", flush=True)
"""


def crew(begin, device):
    job = begin()
    return job, Workers(job, device, ("-c", STAND_IN))


def test_a_worker_that_dies_is_replaced(begin):
    job, workers = crew(begin, "99")
    frames = []
    with workers:
        workers.make(job.missing, 2, frames.append)
    assert job.missing == []
    assert sum(frames) == 6


def test_what_a_worker_cannot_make_ends_the_work(begin):
    job, workers = crew(begin, "2")
    with workers, pytest.raises(UserError, match="network: is broken"):
        workers.make(job.missing, 3, lambda frames: None)
    assert all(process.poll() is not None for process in workers._processes)


def test_workers_that_keep_dying_are_given_up(begin):
    job = begin()
    workers = Workers(job, "cpu", ("-c", "import sys; sys.stdin.readline()"))
    with workers, pytest.raises(UserError, match="3 workers ended over part 0"):
        workers.make([0], 1, lambda frames: None)


# --- how far it has come -------------------------------------------------------------------------


def test_where_nobody_watches_a_line_is_written_now_and_then():
    now, said = [0.0], io.StringIO()
    with Frames(1000, 200, said, lambda: now[0]) as frames:
        for _ in range(500):
            now[0] += 0.05
            frames.advance()
    lines = said.getvalue().splitlines()
    assert lines == ["frame 400 of 1000, 0:30 left", "frame 600 of 1000, 0:20 left"]


def test_where_somebody_watches_there_is_a_bar():
    class Screen(io.StringIO):
        def isatty(self):
            return True

    screen = Screen()
    with Frames(100, 0, screen) as frames:
        for _ in range(100):
            frames.advance()
    assert "frame 100 of 100" in screen.getvalue()


# --- all of it -----------------------------------------------------------------------------------

TINY = """
[show]
tempo = 120
[[cue]]
name = "one"
keys = [{seed = 1}, {seed = 2}, {seed = 3}]
beats = 8
ending = "next"
"""


def test_a_killed_render_goes_on_and_workers_make_the_same_film(tmp_path):
    """With real engines on the network that ships."""
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "live", "render", "tiny.toml"]
    command += ["--size", "64x36", "--fps", "6", "--codec", "ffv1", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    run = {"cwd": tmp_path, "env": environment, "text": True, "stderr": subprocess.PIPE}
    killed = subprocess.Popen([*command, "-o", "a.mkv", "--workers", "2"], **run)
    folder = parts_of(tmp_path / "a.mkv")
    while not list(folder.glob("00000?.mkv")):
        assert killed.poll() is None, killed.stderr.read()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "a.mkv").exists()
    shutil.copytree(folder, parts_of(tmp_path / "b.mkv"))
    for part in parts_of(tmp_path / "b.mkv").glob("0*"):
        part.unlink()
    for name in ("a.mkv", "b.mkv"):  # what is left, and all of it at once
        done = subprocess.run([*command, "-o", name], stdout=subprocess.PIPE, **run)
        assert done.returncode == 0, done.stderr
        assert f"{name}: 48 frames, 8.0 s at 6 a second" in done.stdout
    pairs = list(zip(decoded(tmp_path / "a.mkv"), decoded(tmp_path / "b.mkv"), strict=True))
    assert all(np.array_equal(*pair) for pair in pairs)
    assert len(pairs) == 48
    assert pairs[0][0].any()
