"""Films and stills made offline: in parts, interrupted, by several workers, and joined."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
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
from live.job import Brief, open_job, read_job, source_of
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
    assert all(rerun.path(cue) is not None for cue in range(3))
    assert {path.name for path in take.networks} == {"a.pt", "b.pt"}
    moments = [moment for moment, _ in zip(rerun, range(rerun.frames), strict=False)]
    cues = [moment.show.voice.cue for moment in moments]
    assert cues == sorted(cues)
    assert [cues.count(n) for n in range(3)] == [4 * 48, 4 * 48, 1 * 48]


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


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '{"source": 3}', "\0"])
def test_a_damaged_job_is_said(begin, damage):
    job = begin()
    (job.folder / "job.json").write_text(damage)
    with pytest.raises(UserError, match="is not of a film in the making"):
        begin()


def test_nothing_to_film_is_said_and_leaves_nothing(begin, tmp_path):
    with pytest.raises(UserError, match=r"nothing to film: the performance lasts 9\.0 s"):
        begin(begin=9.0)
    assert not list(tmp_path.glob("*.parts"))


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
    mine.write_bytes(b"mine")
    left = mine.with_name(mine.name.replace(str(os.getpid()), str(gone.pid)))
    left.write_bytes(b"left")
    begin()
    assert mine.exists()
    assert not left.exists()


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
