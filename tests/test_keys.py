"""From keys to a path: which seeds are asked for, mixing, truncation, and what does not fit."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from projected import project

from engine.errors import UserError
from engine.link import NetworkFacts
from engine.path import Path as Morph
from live import keys
from live.setlist import Cue, bundled, load_setlist

NUM_WS, W_DIM = 6, 4
W_AVG = np.linspace(-1, 1, W_DIM, dtype=np.float32)


def facts(num_classes: int = 0) -> NetworkFacts:
    return NetworkFacts(
        name="tiny",
        family="stylegan2",
        resolution=16,
        z_dim=8,
        w_dim=W_DIM,
        num_ws=NUM_WS,
        num_classes=num_classes,
        sha256="0" * 64,
        device="cpu",
        w_avg=W_AVG,
    )


def w_of(seed: int, label: int | None = None) -> np.ndarray:
    return np.random.RandomState(seed + 1000 * (label or 0)).randn(W_DIM).astype(np.float32)


class Mapped(dict[tuple[int, int | None], np.ndarray]):
    """Maps every seed, like an engine; remembers which it was asked for."""

    def __missing__(self, seed: tuple[int, int | None]) -> np.ndarray:
        self[seed] = w_of(*seed)
        return self[seed]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "w.npy", np.arange(W_DIM, dtype=np.float32))
    wplus = np.arange(NUM_WS * W_DIM, dtype=np.float32).reshape(NUM_WS, W_DIM)
    np.save(tmp_path / "wplus.npy", wplus)
    np.save(tmp_path / "other.npy", np.zeros((18, 512), np.float32))
    np.save(tmp_path / "wide.npy", np.zeros((1, 512), np.float32))
    np.save(tmp_path / "nan.npy", np.full(W_DIM, np.nan, np.float32))
    (tmp_path / "damaged.npy").write_bytes(b"\x93NUMPY")
    return tmp_path


def cue(folder: Path, *items: str, settings: str = "") -> Cue:
    text = f'[show]\npsi = 0.5\n[[cue]]\nname = "a"\n{settings}\nkeys = [{", ".join(items)}]\n'
    (folder / "show.toml").write_text(text, encoding="utf-8")
    return load_setlist(folder / "show.toml").cues[0]


def first_key(folder: Path, item: str, num_classes: int = 0) -> np.ndarray:
    """The final W+ at the first key of a path that begins with it."""
    return build(folder, item, num_classes).at(0.0)


def build(folder: Path, item: str, num_classes: int = 0) -> Morph:
    other = "{seed = 99, class = 0}" if num_classes else "{seed = 99}"
    return keys.build_path(cue(folder, item, other), facts(num_classes), Mapped())


def truncated(w: np.ndarray, psi: float) -> np.ndarray:
    return np.broadcast_to(W_AVG + psi * (w - W_AVG), (NUM_WS, W_DIM))


def test_wanted_are_all_seeds_with_their_classes(folder: Path) -> None:
    asked = cue(
        folder,
        "{seed = 1}",
        "{seed = 2, class = 1}",
        '{latent = "w.npy", class = 2, mix = {seed = 3, layers = "2-"}}',
        '{seed = 1, mix = {latent = "w.npy", layers = "2-"}}',
    )
    assert keys.wanted(asked) == {(1, None), (2, 1), (3, 2)}


def test_what_is_built_uses_no_more_than_what_was_wanted(folder: Path) -> None:
    asked = cue(folder, "{seed = 1, mix = {seed = 3, layers = '2-'}}", '{latent = "w.npy"}')
    mapped = Mapped()
    keys.build_path(asked, facts(), mapped)
    assert mapped.keys() == keys.wanted(asked)


def test_seeds_take_the_psi_of_the_show_and_latents_one(folder: Path) -> None:
    np.testing.assert_allclose(first_key(folder, "{seed = 1}"), truncated(w_of(1), 0.5), atol=1e-6)
    w = np.arange(W_DIM, dtype=np.float32)
    np.testing.assert_allclose(first_key(folder, '{latent = "w.npy"}'), truncated(w, 1.0))
    np.testing.assert_allclose(
        first_key(folder, '{latent = "w.npy", psi = 0.2}'), truncated(w, 0.2), atol=1e-6
    )


def test_a_latent_may_have_a_w_for_every_layer(folder: Path) -> None:
    wplus = np.load(folder / "wplus.npy")
    np.testing.assert_array_equal(first_key(folder, '{latent = "wplus.npy"}'), wplus)


def test_a_photo_is_what_was_found_for_it(folder: Path) -> None:
    wplus = np.random.RandomState(0).randn(NUM_WS, W_DIM).astype(np.float32)
    (folder / "irene.jpg").write_bytes(b"a photo")
    project(folder / "irene.jpg", bundled().cues[0].network, folder / "latents", wplus, face=3)
    photo = '{photo = "irene.jpg", face = 3'
    asked = cue(folder, photo + "}", "{seed = 1}")
    assert keys.wanted(asked) == {(1, None)}
    keys.check(asked)
    np.testing.assert_array_equal(first_key(folder, photo + "}"), wplus)
    np.testing.assert_allclose(
        first_key(folder, photo + ", psi = 0.2}"), W_AVG + 0.2 * (wplus - W_AVG), atol=1e-6
    )
    mixed = first_key(folder, f'{{seed = 1, mix = {photo}, layers = "3-"}}}}')
    np.testing.assert_allclose(mixed[:3], truncated(w_of(1), 0.5)[:3], atol=1e-6)
    np.testing.assert_array_equal(mixed[3:], wplus[3:])
    with pytest.raises(UserError, match=r'^\[\[cue\]\] "a" keys\[0\]: .*irene.face3.npy holds'):
        keys.fit(asked, SimpleNamespace(name="wide", num_ws=NUM_WS, w_dim=512, num_classes=0))


def test_an_engine_may_answer_with_w_plus(folder: Path) -> None:
    wplus = {(seed, None): np.stack([w_of(seed)] * NUM_WS) for seed in (1, 99)}
    path = keys.build_path(cue(folder, "{seed = 1}", "{seed = 99}"), facts(), wplus)
    np.testing.assert_allclose(path.at(0.0), truncated(w_of(1), 0.5), atol=1e-6)


def test_cutoff_truncates_the_layers_below_it(folder: Path) -> None:
    ws = first_key(folder, "{seed = 1, cutoff = 2}")
    np.testing.assert_allclose(ws[:2], truncated(w_of(1), 0.5)[:2], atol=1e-6)
    np.testing.assert_allclose(ws[2:], truncated(w_of(1), 1.0)[2:], atol=1e-6)
    everything = first_key(folder, "{seed = 1, cutoff = 18}")
    np.testing.assert_allclose(everything, truncated(w_of(1), 0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "mixed"), [("3-", [3, 4, 5]), ("1-2", [1, 2]), ("4", [4]), ("0-5", [*range(6)])]
)
def test_mixing_takes_fine_layers_from_another_seed(
    folder: Path, layers: str, mixed: list[int]
) -> None:
    ws = first_key(folder, f'{{seed = 1, mix = {{seed = 2, layers = "{layers}"}}}}')
    for layer in range(NUM_WS):
        w = w_of(2 if layer in mixed else 1)
        np.testing.assert_allclose(ws[layer], truncated(w, 0.5)[0], atol=1e-6)


def test_what_is_mixed_in_has_the_psi_of_its_kind(folder: Path) -> None:
    latent = np.arange(W_DIM, dtype=np.float32)
    ws = first_key(folder, '{latent = "w.npy", mix = {seed = 2, layers = "3-"}}')
    np.testing.assert_allclose(ws[0], latent)
    np.testing.assert_allclose(ws[3], truncated(w_of(2), 0.5)[0], atol=1e-6)
    ws = first_key(folder, '{seed = 2, mix = {latent = "wplus.npy", layers = "3-"}}')
    np.testing.assert_allclose(ws[3:], np.load(folder / "wplus.npy")[3:])


def test_the_mapped_arrays_are_left_alone(folder: Path) -> None:
    mapped = {(seed, None): np.stack([w_of(seed)] * NUM_WS) for seed in (1, 2, 99)}
    before = {seed: ws.copy() for seed, ws in mapped.items()}
    item = '{seed = 1, mix = {seed = 2, layers = "3-"}}'
    keys.build_path(cue(folder, item, "{seed = 99}"), facts(), mapped)
    for seed, ws in mapped.items():
        np.testing.assert_array_equal(ws, before[seed])


def test_classes_of_a_conditional_network(folder: Path) -> None:
    ws = first_key(folder, "{seed = 1, class = 2}", num_classes=3)
    np.testing.assert_allclose(ws, truncated(w_of(1, 2), 0.5), atol=1e-6)
    build(folder, '{latent = "w.npy"}', num_classes=3)  # mapped already: it needs no class


def test_the_path_is_that_of_the_cue(folder: Path) -> None:
    items = [f"{{seed = {seed}, psi = 1}}" for seed in range(5)]
    asked = cue(folder, *items, settings='path = "linear"\nends = "guide"\nbeats = 3')
    path = keys.build_path(asked, facts(), Mapped())
    assert path.duration == asked.duration == 6.0
    np.testing.assert_allclose(path.at(0.0)[0], w_of(1), atol=1e-6)
    np.testing.assert_allclose(path.at(1.5)[0], (w_of(1) + w_of(2)) / 2, atol=1e-6)
    items[0] = "{seed = 0, psi = 1, beats = 5}"
    loop = cue(folder, *items, settings='ending = "loop"\nbeats = 3')
    path = keys.build_path(loop, facts(), Mapped())
    assert path.duration == loop.duration == 17.0
    np.testing.assert_allclose(path.at(12.0)[0], w_of(4), atol=1e-6)  # the closing segment is last
    np.testing.assert_allclose(path.at(17.0)[0], w_of(0), atol=1e-6)


PLACE = r'^\[\[cue\]\] "a" keys\[0\]'


@pytest.mark.parametrize(
    ("item", "num_classes", "match"),
    [
        (
            '{latent = "other.npy"}',
            0,
            PLACE + r": .*other.npy holds \[18, 512\]; the network tiny takes \[1, 4\] or \[6, 4\]",
        ),
        ('{latent = "wide.npy"}', 0, PLACE + r": .*wide.npy holds \[1, 512\]"),
        ('{seed = 1, mix = {latent = "wide.npy", layers = "1"}}', 0, PLACE + r"\.mix: .*wide.npy"),
        ('{latent = "nan.npy"}', 0, PLACE + ": .*nan.npy"),
        ('{latent = "damaged.npy"}', 0, PLACE + ": .*damaged.npy"),
        (
            '{seed = 1, mix = {seed = 2, layers = "6-"}}',
            0,
            PLACE + r"\.mix\.layers: the network tiny has layers 0 to 5",
        ),
        ('{seed = 1, mix = {seed = 2, layers = "4-6"}}', 0, PLACE + r"\.mix\.layers"),
        ("{seed = 1, class = 0}", 0, PLACE + r"\.class: the network tiny has no classes"),
        ("{seed = 1, class = 3}", 3, PLACE + r"\.class: the network tiny wants a class, 0 to 2"),
        ("{seed = 1}", 3, PLACE + r"\.class: the network tiny wants a class, 0 to 2"),
        ('{latent = "w.npy", mix = {seed = 2, layers = "1"}}', 3, PLACE + r"\.class"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    folder: Path, item: str, num_classes: int, match: str
) -> None:
    with pytest.raises(UserError, match=match) as refusal:
        build(folder, item, num_classes)
    assert "\n" not in str(refusal.value)


def test_latents_are_checked_without_a_network(folder: Path) -> None:
    keys.check(cue(folder, "{seed = 1}", '{latent = "other.npy"}'))  # the shape is not known yet
    for name in ("nan", "damaged"):
        with pytest.raises(UserError, match=rf'^\[\[cue\]\] "a" keys\[1\]\.mix: .*{name}'):
            keys.check(
                cue(
                    folder,
                    "{seed = 1}",
                    f'{{seed = 2, mix = {{latent = "{name}.npy", layers = "1"}}}}',
                )
            )


def test_latents_are_read_once(folder: Path) -> None:
    asked = cue(folder, "{seed = 1}", '{latent = "w.npy", mix = {seed = 2, layers = "3-"}}')
    keys.check(asked)
    (folder / "w.npy").unlink()  # in mid-show the disk is not touched
    keys.fit(asked, facts())
    path = keys.build_path(asked, facts(), Mapped())
    np.testing.assert_array_equal(path.at(4.0)[0], np.arange(W_DIM, dtype=np.float32))


def test_a_latent_that_could_not_be_read_is_tried_again(folder: Path) -> None:
    asked = cue(folder, "{seed = 1}", '{latent = "damaged.npy"}')
    with pytest.raises(UserError, match="damaged"):
        keys.check(asked)
    np.save(folder / "damaged.npy", np.zeros(W_DIM, np.float32))
    keys.check(asked)


def test_what_is_kept_of_a_latent_cannot_be_changed(folder: Path) -> None:
    latent = keys.latent_of(folder / "w.npy")
    assert latent is keys.latent_of(folder / "w.npy")
    with pytest.raises(ValueError, match="read-only"):
        latent[0] = 0


def test_whether_keys_fit_is_known_from_the_shape_alone(folder: Path) -> None:
    shape = SimpleNamespace(name="tiny", num_ws=NUM_WS, w_dim=W_DIM, num_classes=0)
    keys.fit(cue(folder, "{seed = 1}", '{latent = "wplus.npy"}'), shape)
    with pytest.raises(UserError, match=r"keys\[1\]: .*other.npy holds"):
        keys.fit(cue(folder, "{seed = 1}", '{latent = "other.npy"}'), shape)


def test_the_bundled_show_fits_its_network() -> None:
    """All layers that it mixes exist in a network of 12 layers."""
    w = np.zeros(512, np.float32)
    for each in bundled().cues:
        flowers = NetworkFacts("f", "f", 128, 512, 512, 12, 0, "", "cpu", w)
        path = keys.build_path(each, flowers, dict.fromkeys(keys.wanted(each), w))
        assert path.at(0.0).shape == (12, 512)
