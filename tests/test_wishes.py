"""What a desk wants of the set list: another seed, another network, from the next beat."""

import shutil
import tomllib
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_stage import SETLIST, perform  # noqa: F401 - a fixture

from engine.errors import UserError
from engine.path import Path as Morph
from live.addresses import Message
from live.edits import Saved
from live.recast import Wish, coming_key, recast
from live.setlist import SetList, bundled, load_setlist
from live.toml_writer import toml
from live.wishes import Wishes

SECOND = 1_000_000_000

scalars = st.one_of(
    st.text(max_size=12),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
names = st.text(min_size=1, max_size=8)
inline = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(names, inline, max_size=4)
documents = st.dictionaries(
    names, scalars | tables | st.lists(tables, min_size=1, max_size=3), max_size=5
)


@given(documents)
def test_what_is_written_is_read_back_the_same(document: dict[str, object]) -> None:
    assert tomllib.loads(toml(document)) == document


def test_a_set_list_without_wishes_is_itself() -> None:
    assert recast(bundled(), []).model_dump() == bundled().model_dump()


def test_a_seed_is_another_and_nothing_else() -> None:
    before = bundled()
    after = recast(before, [Wish(1, key=2, seed=4242)])
    assert [key.seed for key in after.cues[1].keys] == [101, 80, 4242, 105, 170, 64]
    assert after.cues[0] == before.cues[0]
    assert after.cues[1].keys[1] == before.cues[1].keys[1]
    assert after.show == before.show
    assert tomllib.loads(after.text)["cue"][1]["keys"][2] == {"seed": 4242}
    twice = recast(before, [Wish(1, key=2, seed=1), Wish(1, key=3, seed=2), Wish(1, key=2, seed=3)])
    assert [key.seed for key in twice.cues[1].keys][2:4] == [3, 2]
    with pytest.raises(ValueError, match="6 keys"):
        recast(before, [Wish(1, key=6, seed=1)])


@pytest.fixture
def setlist(tmp_path: Path) -> SetList:
    folder = tmp_path / "show"
    (folder / "nets").mkdir(parents=True)
    network = bundled().show.network
    for name in (folder / "own.safetensors", folder / "nets" / "b.safetensors"):
        shutil.copy(network, name)
    shutil.copy(network, tmp_path / "outside.safetensors")
    (folder / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    file = folder / "show.toml"
    file.write_text(SETLIST)
    return load_setlist(file)


def test_a_network_is_one_of_the_folders_or_bundled(setlist: SetList) -> None:
    folder = setlist.file.parent
    for name in ("own.safetensors", "nets/b.safetensors"):
        after = recast(setlist, [Wish(1, network=name)])
        assert after.cues[1].network == folder / name
        assert after.cues[0].network == setlist.cues[0].network
    back = recast(
        recast(setlist, [Wish(1, network="own.safetensors")]), [Wish(1, network="flowers")]
    )
    assert back.cues == setlist.cues


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "nets/../../outside.safetensors",
        "link.safetensors",
        "~/net.pt",
        "~root/net.pt",
        "nets",
        "",
        ".",
        "missing.pt",
        "..\\outside.safetensors",
        "C:outside.safetensors",
        "a" * 5000,
        "own.safetensors\0",
    ],
)
def test_no_other_network_can_be_named(setlist: SetList, name: str) -> None:
    for one in (name, str(setlist.file.parent.parent / name)):
        with pytest.raises((ValueError, UserError)):
            recast(setlist, [Wish(0, network=one)])


@given(
    st.integers(6, 9),
    st.sampled_from(["catmull-rom", "linear", "centripetal", "hermite", "bezier"]),
    st.floats(0, 1),
)
def test_with_many_keys_nothing_jumps(keys: int, kind: str, fraction: float) -> None:
    text = ", ".join(f"{{seed = {n}}}" for n in range(keys))
    cue = one_cue(f'path = "{kind}"\nending = "loop"\nkeys = [{text}]')
    beat = fraction * (cue.duration - 1e-9)
    key = coming_key(cue, beat)
    ws = np.random.default_rng(1).normal(size=(keys, 2, 3)).astype(np.float32)
    before = Morph(ws, cue.segments, cue.path, ending="loop")
    ws[key] += 1
    after = Morph(ws, cue.segments, cue.path, ending="loop")
    for later in (0.0, 1.0, 2.0):
        assert np.array_equal(before.at(beat + later), after.at(beat + later))


def test_with_few_keys_it_is_the_next() -> None:
    three = one_cue('ending = "loop"\nkeys = [{seed = 1}, {seed = 2}, {seed = 3}]')
    assert [coming_key(three, beat) for beat in (0.0, 4.0, 8.0)] == [1, 2, 0]
    held = one_cue("keys = [{seed = 1}, {seed = 2}]")
    assert [coming_key(held, beat) for beat in (0.0, 3.9, 4.0)] == [1, 1, 1]


def one_cue(text: str):  # type: ignore[no-untyped-def]
    from live.setlist import parse_setlist

    return parse_setlist(Path("show.toml"), f'[[cue]]\nname = "one"\n{text}\n').cues[0]


class Nothing:
    """Nobody saves anything."""

    def newest(self):
        return None


@pytest.fixture
def wishes():
    made = Wishes(Nothing())
    made.start()
    yield made
    made.close()


def turned_until(stage, true):
    for _ in count():
        stage.turn()
        if true():
            return


def test_a_seed_comes_on_a_beat_and_the_path_goes_through_it(perform, wishes):  # noqa: F811
    stage, fakes = perform((0.5, Message("key/seed", (77, 3))), edits=wishes, wishes=wishes)
    before = stage.setlist
    turned_until(stage, lambda: stage.setlist is not before)
    assert [key.seed for key in stage.setlist.cues[0].keys] == [1, 2, 77]
    assert (77, None) in fakes[0].mapped
    turned_until(stage, lambda: stage.ensemble.path(0) is not None)
    assert stage.faults.count == 0


def test_wishes_add_up_and_what_is_wrong_is_said_and_spoils_no_other(
    perform,  # noqa: F811
    wishes,
    caplog,
):
    stage, _ = perform(
        (0.5, Message("key/seed", (77, 3))),
        (0.5, Message("key/seed", (79, 9))),  # there are three
        (0.5, Message("network", ("../../etc/passwd",))),
        (0.5, Message("key/seed", (78, 1))),
        edits=wishes,
        wishes=wishes,
    )
    turned_until(stage, lambda: [k.seed for k in stage.setlist.cues[0].keys] == [78, 2, 77])
    performed = stage.setlist
    for _ in range(3):
        stage.obey(Message("network", ("../../etc/passwd",)))
    turned_until(stage, lambda: wishes._waiting.empty())
    assert caplog.text.count("no '../../etc/passwd' in the set list's folder") == 1
    assert caplog.text.count("the cue has 3 keys") == 1
    assert stage.setlist is performed


class Once:
    """Somebody saves a set list, once."""

    def __init__(self):
        self.saved = None

    def newest(self):
        saved, self.saved = self.saved, None
        return saved


def test_what_somebody_saved_is_not_lost_to_a_wish(perform):  # noqa: F811
    edits = Once()
    wishes = Wishes(edits)
    wishes.start()
    stage, _ = perform(edits=wishes, wishes=wishes)
    turned_until(stage, lambda: stage.ensemble.path(0) is not None)
    before = stage.setlist
    edits.saved = Saved(recast(before, [Wish(0, key=0, seed=500)]), {})
    stage.turn()
    stage.obey(Message("key/seed", (77, 3)))  # before the beat on which that takes over
    turned_until(stage, lambda: stage.setlist is not before)
    wishes.close()
    assert stage.setlist.cues[0].keys[0].seed == 500


def test_without_somebody_who_grants_them_wishes_are_said(perform, caplog):  # noqa: F811
    stage, _ = perform((0.1, Message("network", ("flowers",))))
    turned_until(stage, lambda: caplog.records)
    assert "performed as it is" in caplog.text
