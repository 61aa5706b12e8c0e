"""Set lists: what they hold once read, and the one line that every fault gets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projected import project

from engine.errors import UserError
from live.captions import called
from live.setlist import Cue, SetList, bundled, load_setlist, parse_setlist, programme

GOOD = """
[show]
title = "Test"
tempo = 100
psi = 0.6

[[cue]]
name = "verse"
keys = [{seed = 1}, {seed = 2, beats = 8}, {seed = 3, psi = 0.5, class = 1, cutoff = 4}]

[[cue]]
name = "chorus"
tempo = 140
path = "bezier"
beats = 2
ends = "guide"
ending = "spring"
fade = 1.5
keys = [
    {latent = "a.npy", mix = {seed = 9, layers = "8-"}},
    {seed = 21, beats = 3, mix = {latent = "a.npy", layers = "4-7"}},
    {seed = 22, beats = 5, psi = 0.3, mix = {seed = 9, layers = "6"}},
    {seed = 23, mix = {seed = 9, layers = "2 - 3", psi = 0.1}},
    {seed = 24},
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.npy").write_bytes(b"")
    (tmp_path / "p.jpg").write_bytes(b"a photo")
    (tmp_path / "net.pt").write_bytes(b"")
    return tmp_path


def load(folder: Path, text: str) -> SetList:
    file = folder / "show.toml"
    file.write_text(text, encoding="utf-8")
    return load_setlist(file)


def fault(folder: Path, text: str) -> str:
    """The message, without the file's name at its beginning."""
    with pytest.raises(UserError) as refusal:
        load(folder, text)
    line = str(refusal.value)
    assert "\n" not in line
    name = f"{folder / 'show.toml'}: "
    assert line.startswith(name)
    return line.removeprefix(name)


# --- what they hold ----------------------------------------------------------------------------


def test_a_set_list_is_what_the_file_says(folder: Path) -> None:
    setlist = load(folder, GOOD)
    assert (setlist.show.title, setlist.show.tempo, setlist.show.fit) == ("Test", 100, "contain")
    verse, chorus = setlist.cues
    assert (verse.path, verse.ends, verse.ending) == ("catmull-rom", "through", "hold")
    assert (verse.keys[2].label, verse.keys[2].cutoff) == (1, 4)
    assert (chorus.path, chorus.ends, chorus.ending) == ("bezier", "guide", "spring")
    assert chorus.keys[0].latent == folder / "a.npy"


def test_psi_is_filled_in_by_kind_unless_given(folder: Path) -> None:
    verse, chorus = load(folder, GOOD).cues
    assert [key.psi for key in verse.keys] == [0.6, 0.6, 0.5]
    assert [key.psi for key in chorus.keys] == [1.0, 0.6, 0.3, 0.6, 0.6]
    assert [key.mix.psi for key in chorus.keys if key.mix] == [0.6, 1.0, 0.3, 0.1]


def test_layers(folder: Path) -> None:
    keys = load(folder, GOOD).cues[1].keys
    assert [key.mix.span for key in keys if key.mix] == [(8, None), (4, 7), (6, 6), (2, 3)]


def test_networks_are_inherited_and_relative_to_the_file(folder: Path) -> None:
    default = load(folder, GOOD).cues[0].network
    assert default.name == "flower128.safetensors"
    assert default.is_file()
    assert load(folder, GOOD.replace("[show]", '[show]\nnetwork = "flowers"')).cues[0].network == (
        default
    )
    own = load(folder, GOOD.replace("[show]", '[show]\nnetwork = "net.pt"'))
    assert [cue.network for cue in own.cues] == [folder / "net.pt"] * 2
    one = load(folder, GOOD.replace('"chorus"', '"chorus"\nnetwork = "net.pt"'))
    assert [cue.network for cue in one.cues] == [default, folder / "net.pt"]


def test_the_detail_of_a_cue_goes_before_that_of_the_show(folder: Path) -> None:
    assert [cue.detail for cue in load(folder, GOOD).cues] == ["auto", "auto"]
    text = GOOD.replace("[show]", '[show]\ndetail = "full"')
    assert [cue.detail for cue in load(folder, text).cues] == ["full", "full"]
    text = text.replace('"chorus"', '"chorus"\ndetail = 512')
    assert [cue.detail for cue in load(folder, text).cues] == ["full", 512]


@given(st.integers(-10, 5000))
def test_a_detail_in_pixels_is_a_power_of_two(
    tmp_path_factory: pytest.TempPathFactory, pixels: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = f'[[cue]]\nname = "a"\ndetail = {pixels}\nkeys = [{{seed = 1}}, {{seed = 2}}]\n'
    if pixels in (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
        assert load(folder, text).cues[0].detail == pixels
    else:
        assert fault(folder, text).startswith(f'[[cue]] 1 "a" detail: {pixels} is none of')


def test_a_minimal_set_list_has_defaults(folder: Path) -> None:
    setlist = load(folder, '[[cue]]\nname = "a"\nkeys = [{seed = 1}, {seed = 2}]\n')
    assert (setlist.show.tempo, setlist.show.psi, setlist.show.title) == (120.0, 0.7, "Untitled")
    assert setlist.cues[0].keys[0].psi == 0.7
    assert (setlist.osc.listen, setlist.osc.allow) == ("127.0.0.1:9000", ())
    assert setlist.osc.prefix == "/anthesis"
    assert (setlist.output.monitor, setlist.output.fullscreen) == (None, False)


def test_osc_and_output(folder: Path) -> None:
    setlist = load(
        folder,
        GOOD + '[osc]\nlisten = "0.0.0.0:8000"\nallow = ["10.0.0.0/8", "192.168.1.7"]\n'
        'prefix = "/stage/left"\n[output]\nmonitor = 2\nfullscreen = true\n',
    )
    assert setlist.osc.allow == ("10.0.0.0/8", "192.168.1.7")
    assert setlist.osc.prefix == "/stage/left"
    assert (setlist.output.monitor, setlist.output.fullscreen) == ("2", True)
    assert load(folder, GOOD + '[osc]\nprefix = "/"\n').osc.prefix == "/"


@pytest.mark.parametrize(
    ("settings", "segments"),
    [
        ("", (2, 3, 4, 9)),
        ('ending = "loop"', (2, 3, 4, 9, 1)),
        ('ends = "guide"', (3, 4)),
    ],
)
def test_beats_are_those_of_the_segment_that_arrives(
    folder: Path, settings: str, segments: tuple[float, ...]
) -> None:
    keys = ", ".join(f"{{seed = 1, beats = {beats}}}" for beats in (1, 2, 3, 4))
    text = f'[[cue]]\nname = "a"\nbeats = 9\n{settings}\nkeys = [{keys}, {{seed = 1}}]\n'
    cue = load(folder, text).cues[0]
    assert cue.segments == segments
    assert cue.duration == sum(segments)


def test_the_programme(folder: Path) -> None:
    verse, chorus = programme(load(folder, GOOD))
    assert (verse.name, verse.duration, verse.ending, verse.fade) == ("verse", 12.0, "hold", 0.0)
    assert (chorus.duration, chorus.ending, chorus.fade, chorus.tempo) == (7.0, "spring", 1.5, 140)


def test_cues_are_found_by_name_and_number(folder: Path) -> None:
    setlist = load(folder, GOOD)
    assert [setlist.find(which) for which in ("chorus", "1", 2)] == [1, 0, 1]
    with pytest.raises(UserError, match=r"no cue 'bridge'; there are 1 \"verse\", 2 \"chorus\""):
        setlist.find("bridge")


def test_models_are_frozen(folder: Path) -> None:
    setlist = load(folder, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        setlist.cues[0].name = "other"


def test_text_from_windows_is_read(folder: Path) -> None:
    (folder / "show.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_setlist(folder / "show.toml").cues[0].name == "verse"


def test_the_bundled_show_is_sound_and_never_stops() -> None:
    setlist = bundled()
    assert setlist.cues[0].ending == "loop"
    assert len({cue.path for cue in setlist.cues}) >= 3
    assert {cue.ending for cue in setlist.cues} == {"loop", "next", "spring", "hold"}
    assert all(cue.network.is_file() for cue in setlist.cues)


# --- photos ------------------------------------------------------------------------------------

PHOTOS = """
[show]
network = "net.pt"
[[cue]]
name = "a"
keys = [{photo = "p.jpg"}, {photo = "p.jpg", face = 2, psi = 0.5}, {seed = 1}]
[[cue]]
name = "b"
network = "flowers"
keys = [{seed = 1, mix = {photo = "p.jpg", layers = "8-"}}, {seed = 2}]
"""


@pytest.fixture
def projected(folder: Path) -> Path:
    """The folder, where p.jpg has been projected for both networks."""
    photo, flowers = folder / "p.jpg", bundled().cues[0].network
    project(photo, folder / "net.pt", folder / "latents")
    project(photo, folder / "net.pt", folder / "latents", face=2)
    project(photo, flowers, folder / "latents" / flowers.stem)
    return folder


def test_a_photo_is_the_latent_that_was_found_for_the_network_of_its_cue(projected: Path) -> None:
    setlist = load(projected, PHOTOS)
    a, b = (cue.keys for cue in setlist.cues)
    latents, mixed = projected / "latents", b[0].mix
    assert mixed is not None
    assert [key.latent for key in a] == [latents / "p.npy", latents / "p.face2.npy", None]
    assert mixed.latent == latents / "flower128" / "p.npy"
    assert [key.photo for key in (*a, mixed)] == [*[projected / "p.jpg"] * 2, None, a[0].photo]
    assert [key.psi for key in (*a, mixed)] == [1.0, 0.5, 0.7, 1.0]
    assert (b[0].latent, b[0].seed) == (None, 1)
    assert (setlist.file, setlist.text) == (projected / "show.toml", PHOTOS)


def test_the_text_of_a_take_finds_the_same(projected: Path) -> None:
    assert parse_setlist(projected / "show.toml", PHOTOS) == load(projected, PHOTOS)


def test_what_keys_are_called(projected: Path) -> None:
    a, b = (cue.keys for cue in load(projected, PHOTOS).cues)
    assert [key.called for key in a] == ["p", "p, face 2", "seed 1"]
    assert b[0].mix is not None
    assert b[0].mix.called == "p"
    assert [called(key) for key in (a[1], b[0])] == ["p, face 2", "seed 1*"]
    latent = load(projected, GOOD).cues[1].keys[0]
    assert latent.called == "a"


@pytest.mark.parametrize("place", ["latents", "photos", "photos/latents", ".", "latents/net"])
def test_where_results_are_looked_for(folder: Path, place: str) -> None:
    photo = folder / "photos" / "b.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"b")
    (folder / place).mkdir(parents=True, exist_ok=True)
    latent = project(photo, folder / "net.pt", folder / place)
    text = PHOTOS.partition('[[cue]]\nname = "b"')[0].replace("p.jpg", "photos/b.jpg")
    text = text.replace(", face = 2", "")
    assert [key.latent for key in load(folder, text).cues[0].keys] == [latent, latent, None]


@pytest.mark.parametrize(
    ("gone", "line"),
    [
        ("latents/p", '[[cue]] 1 "a" keys[0].photo: {folder}/p.jpg: has not been projected for'
            " net.pt: anthesis project {folder}/p.jpg --network {folder}/net.pt"
            " -o {folder}/latents"),
        ("latents/p.face2", '[[cue]] 1 "a" keys[1].photo: {folder}/p.jpg: face 2 has not been'
            " projected for net.pt: anthesis project {folder}/p.jpg --face 2"
            " --network {folder}/net.pt -o {folder}/latents"),
        ("latents/flower128/p", '[[cue]] 2 "b" keys[0].mix.photo (seed 1): {folder}/p.jpg: has not'
            " been projected for flowers ({folder}/latents/p.npy is for another network, net.pt):"
            " anthesis project {folder}/p.jpg --network flowers -o {folder}/latents/flower128"),
    ],
)  # fmt: skip
def test_a_photo_without_a_result_is_a_fault_of_its_key(
    projected: Path, gone: str, line: str
) -> None:
    for ending in (".npy", ".json"):
        (projected / f"{gone}{ending}").unlink()
    assert fault(projected, PHOTOS) == line.format(folder=projected)


def test_other_faults_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing a large network takes time, and who writes a set list checks it often."""
    monkeypatch.setattr("live.photos.find_result", None)
    assert fault(folder, PHOTOS.replace('"b"', '"a"')).endswith("cue 1 has that name already")
    assert fault(folder, PHOTOS.replace("layers", "layer")).startswith('[[cue]] 2 "b" keys[0].mix')


# --- faults ------------------------------------------------------------------------------------

CHORUS = '[[cue]] 2 "chorus"'


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        # wrong keys
        ("tempo = 100", "temp = 100", "[show] temp: no such key, did you mean tempo?; accepted are"
            " title, network, tempo, psi, fit, detail, position, overlay, holding"),
        ("[show]", "[shw]", "[shw]: no such key, did you mean show?"),
        ("path =", "pth =", f"{CHORUS} pth: no such key, did you mean path?"),
        ("{seed = 21, beats", "{seed = 21, beat", f"{CHORUS} keys[1].beat (seed 21): no such key,"
            " did you mean beats?; accepted are seed, latent, photo, face, psi, beats, class,"
            " cutoff, mix"),
        ('layers = "4-7"', 'layer = "4-7"', f"{CHORUS} keys[1].mix.layer (seed 21): no such key,"
            " did you mean layers?"),
        ('"bezier"', '"bezier"\ncover = "desktop"', f"{CHORUS} cover: no such key, did you mean"),
        # the overlay
        ('"bezier"', '"bezier"\noverlay = "dektop"', f"{CHORUS} overlay: 'dektop' is none of"
            ' "off", "terminal", "split", "desktop", did you mean desktop?'),
        ("psi = 0.6", 'overlay = "all"', "[show] overlay: 'all' is none of"),
        ("[show]", "[overlay]\nthme = 'yaru'\n[show]", "[overlay] thme: no such key, did you mean"
            " theme?; accepted are theme, scale, opacity, terminal, monitor, picture, programs"),
        ("[show]", "[overlay]\ntheme = 'yaro'\n[show]", "[overlay] theme: there is no theme"
            " 'yaro', did you mean yaru?; accepted are paper, yaru and files that end in .toml"),
        ("[show]", "[overlay]\nscale = 0\n[show]", "[overlay] scale: must be greater than or"),
        ("[show]", "[overlay.termnal]\n[show]", "[overlay] termnal: no such key, did you mean"
            " terminal?"),
        ("[show]", "[overlay.monitor]\nrate = 9\n[show]", "[overlay] monitor.rate: no such key;"
            " accepted are shown, opacity, place, title"),
        ("[show]", "[overlay.terminal]\nplace = [0, 0, 1]\n[show]", "[overlay] terminal.place: must"
            " be [left, top, width, height] in parts of the picture, got [0, 0, 1]"),
        ("[show]", "[overlay.terminal]\nplace = [0, 0, 1, 0]\n[show]", "[overlay] terminal.place:"
            " [0, 0, 1, 0]: left and top are -1 to 2, width and height 0.02 to 2"),
        ("[show]", "[overlay.terminal.place]\ntiles = [0, 0, 1, 1]\n[show]", "[overlay]"
            " terminal.place: no overlay 'tiles'; accepted are terminal, split, desktop"),
        ("[show]", "[overlay.terminal]\nprogram = 'latent'\n[show]", "[overlay]: terminal.program:"
            " no program 'latent'; accepted are latents, waterfall, styles, log"),
        ("[show]", "[overlay.programs.mine]\nrat = 3\n[show]", "[overlay] programs.mine.rat: no"
            " such key, did you mean rate?"),
        ("[show]", '[overlay.programs."a\\nb"]\nrat = 3\n[show]', "[overlay] programs.a\\nb"),
        ("[show]", "[overlay]\ntheme = 'a\\nb.toml'\n[show]", "[overlay] theme:"),
        ('"bezier"', '"bezier"\nprogram = "mine"', f"{CHORUS} program: no program 'mine'; accepted"
            " are latents, waterfall, styles, log"),
        ("[show]", "[overlay.programs.mine]\nframe = ['{bet}']\n[show]", "[overlay]"
            " programs.mine.frame[0]: no field '{{bet}}'; accepted are frame, time"),
        # wrong types and ranges
        ("tempo = 100", 'tempo = "100"', "[show] tempo: must be a valid number, got '100'"),
        ("tempo = 100", "tempo = true", "[show] tempo: must be a valid number"),
        ("tempo = 100", "tempo = nan", "[show] tempo: must be a finite number"),
        ("tempo = 140", "tempo = 301", f"{CHORUS} tempo: must be less than or equal to 300"),
        ("beats = 3", "beats = 0", f"{CHORUS} keys[1].beats (seed 21): must be greater than 0"),
        ("fade = 1.5", "fade = -1", f"{CHORUS} fade: -1 is no cross-fade; it is a number of beats"),
        ("fade = 1.5", 'fade = "2 bars"', f"{CHORUS} fade: '2 bars' is no cross-fade; it is a num"),
        ("fade = 1.5", 'fade = "4000 s"', f"{CHORUS} fade: '4000 s' is no cross-fade"),
        ("fade = 1.5", "fade = true", f"{CHORUS} fade: True is no cross-fade"),
        ("fade = 1.5", "fade = nan", f"{CHORUS} fade: nan is no cross-fade"),
        ("fade = 1.5", "follow = 0", f"{CHORUS} follow: must be greater than 0"),
        ("psi = 0.3", "psi = 30", f"{CHORUS} keys[2].psi (seed 22): must be less than or equal"),
        ("seed = 24", "seed = -24", f"{CHORUS} keys[4].seed (seed -24): must be greater than or"),
        ("seed = 24", "seed = 4294967296", f"{CHORUS} keys[4].seed (seed 4294967296): must be"),
        ("seed = 24", "seed = 2.5", f"{CHORUS} keys[4].seed: must be a valid integer"),
        ("class = 1", 'class = "rose"', '[[cue]] 1 "verse" keys[2].class (seed 3): must be a'),
        ("cutoff = 4", "cutoff = -1", '[[cue]] 1 "verse" keys[2].cutoff (seed 3): must be'),
        ("[show]", "show = 3\n[osc]", "[show]: must be a table, got 3"),
        ("{seed = 24}", "24", f"{CHORUS} keys[4]: must be a table, got 24"),
        ('"Test"', '""', "[show] title: must not be empty"),
        # one of a few words
        ('"bezier"', '"besier"', f"{CHORUS} path: 'besier' is none of \"catmull-rom\", "
            '"centripetal", "linear", "hermite", "bezier", did you mean bezier?'),
        ('"spring"', '"bounce"', f"{CHORUS} ending: 'bounce' is none of"),
        ("[show]", '[show]\nfit = "stretch"', "[show] fit: 'stretch' is none of \"contain\""),
        # files that are missing
        ("[show]", '[show]\nnetwork = "ffhq.pt"', "[show] network: there is no file {folder}/ffhq"),
        ("[show]", '[show]\nnetwork = "~no-one/x"', "[show] network: ~no-one/x: there is no"),
        ("[show]", '[show]\nnetwork = "."', "[show] network: there is no file {folder}"),
        ("[show]", "[show]\nnetwork = 3", "[show] network: must be the name of a file"),
        ("[show]", '[show]\nholding = "b.png"', "[show] holding: there is no file {folder}/b.png"),
        ('{latent = "a.npy", m', '{latent = "x.npy", m', f"{CHORUS} keys[0].latent: there is no"),
        ("[show]", f'[show]\nnetwork = "{"n" * 300}"', "[show] network: "),
        ("[show]", '[show]\nnetwork = "\\u0000"', "[show] network: "),
        ("[show]", '[show]\ndetail = "half"', "[show] detail: 'half' is none of \"auto\", \"full\""
            " and the powers of two from 4 to 2048"),
        ("[show]", "[show]\ndetail = true", "[show] detail: True is none of"),
        ("[show]", "[show]\ndetail = 512.0", "[show] detail: 512.0 is none of"),
        ("[show]", "[show]\ndetail = [1]", "[show] detail: [1] is none of"),
        ('"chorus"', '"chorus"\ndetail = 768', f"{CHORUS} detail: 768 is none of"),
        # what does not go together
        ("{seed = 24}", "{beats = 1}", f"{CHORUS} keys[4]: needs one of seed, latent and photo"),
        ("{seed = 24}", '{seed = 1, latent = "a.npy"}', f"{CHORUS} keys[4] (seed 1): needs one of"),
        ("{seed = 24}", '{latent = "a.npy", class = 1}', f"{CHORUS} keys[4]: class goes with a"),
        ("{seed = 24}", '{photo = "p.jpg", class = 1}', f"{CHORUS} keys[4]: class goes with a"),
        ("{seed = 24}", '{photo = "p.jpg", seed = 1}', f"{CHORUS} keys[4] (seed 1): needs one of"),
        ("{seed = 24}", '{photo = "p.jpg", latent = "a.npy"}', f"{CHORUS} keys[4]: needs one of"),
        ("{seed = 24}", "{seed = 24, face = 1}", f"{CHORUS} keys[4] (seed 24): face goes with a"),
        ("{seed = 24}", "{face = 2}", f"{CHORUS} keys[4]: needs one of seed, latent and photo"),
        ("{seed = 24}", '{photo = "p.jpg", face = 0}', f"{CHORUS} keys[4].face: must be greater"),
        ("{seed = 24}", '{photo = "p.jpg", face = 100}', f"{CHORUS} keys[4].face: must be less"),
        ("{seed = 24}", '{photo = "p.jpg", face = "2"}', f"{CHORUS} keys[4].face: must be a valid"),
        ("{seed = 24}", '{photo = "b.jpg"}', f"{CHORUS} keys[4].photo: there is no"),
        ("{seed = 24}", "{photo = 3}", f"{CHORUS} keys[4].photo: must be the name of a file"),
        ('"4-7"', '"7-4"', f"{CHORUS} keys[1].mix.layers (seed 21): the last layer lies before"),
        ('"4-7"', '"fine"', f'{CHORUS} keys[1].mix.layers (seed 21): must be layers like "8-" or'),
        ('{latent = "a.npy", layers', "{layers", f"{CHORUS} keys[1].mix (seed 21): needs one of"),
        ('"spring"', '"loop"', f'{CHORUS}: ends = "guide" and a loop exclude each other'),
        ("{seed = 1}, {seed = 2, beats = 8}, ", "", '[[cue]] 1 "verse": ends = "through" needs at'
            " least 2 keys, here is 1"),
        ('"chorus"', '"verse"', '[[cue]] 2 "verse" name: cue 1 has that name already'),
        ('name = "chorus"', "", "[[cue]] 2 name: is missing"),
        ("[[cue]]", "[[cues]]", "[cues]: no such key, did you mean cue?"),
        # the other tables
        ("[show]", '[osc]\nlisten = "9000"\n[show]', "[osc] listen: OSC address '9000': give HOST"),
        ("[show]", '[osc]\nallow = ["lan"]\n[show]', "[osc] allow: OSC allow 'lan'"),
        ("[show]", '[osc]\nallow = "10.0.0.1"\n[show]', "[osc] allow: must be a valid list"),
        ("[show]", '[osc]\nprefix = "a"\n[show]', '[osc] prefix: must be like "/anthesis"'),
        ("[show]", "[output]\ngamma = 2\n[show]", "[output] gamma: no such key; accepted are"
            " monitor, fullscreen"),
        ("[show]", "[output]\nmonitor = true\n[show]", "[output] monitor: must be a valid string"),
        # no TOML at all
        ("tempo = 100", "tempo = 100 bpm", "is not valid TOML: "),
        ("tempo = 100", f"tempo = {'[' * 5000}", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(folder: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    assert fault(folder, GOOD.replace(old, new)).startswith(line.format(folder=folder))


def test_toml_faults_name_the_line(folder: Path) -> None:
    assert "line 4, column 13" in fault(folder, GOOD.replace("tempo = 100", "tempo = 100 bpm"))


def test_several_faults_are_counted(folder: Path) -> None:
    assert fault(folder, GOOD.replace("= 140", "= 1").replace("1.5", "-1")).endswith("(and 1 more)")


def test_a_name_with_a_line_break_is_told_in_one_line(folder: Path) -> None:
    said = fault(folder, GOOD.replace('"verse"', '"a\\nb"').replace('"chorus"', '"a\\nb"'))
    assert said == '[[cue]] 2 "a\\nb" name: cue 1 has that name already'


def test_guides_need_four_keys(folder: Path) -> None:
    text = '[[cue]]\nname = "a"\nends = "guide"\nkeys = [{seed = 1}, {seed = 2}, {seed = 3}]\n'
    assert fault(folder, text) == '[[cue]] 1 "a": ends = "guide" needs at least 4 keys, here is 3'


def test_a_single_bracket_is_explained(folder: Path) -> None:
    text = '[cue]\nname = "a"\nkeys = [{seed = 1}, {seed = 2}]\n'
    assert fault(folder, text) == "[[cue]]: write [[cue]], with two brackets on either side"


def test_an_empty_set_list_says_what_is_missing(folder: Path) -> None:
    assert fault(folder, "") == "[[cue]]: is missing"
    assert fault(folder, "cue = []") == "[[cue]]: there must be at least one"


def test_what_is_no_set_list_at_all(folder: Path) -> None:
    (folder / "show.toml").write_bytes(b"\x80\x02}q\x00")
    with pytest.raises(UserError, match="not text in UTF-8"):
        load_setlist(folder / "show.toml")
    (folder / "show.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(UserError, match="too large for a set list"):
        load_setlist(folder / "show.toml")
    with pytest.raises(UserError, match="cannot read the set list: No such file"):
        load_setlist(folder / "missing.toml")
    with pytest.raises(UserError, match="is not a file"):
        load_setlist(folder)


toml = st.recursive(
    st.one_of(
        st.integers(-9, 99).map(str),
        st.sampled_from(["0.5", "nan", "true", '"loop"', '"any.toml"', '""', "1979-05-27"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(
                ["seed", "latent", "photo", "face", "mix", "layers", "psi", "class", "x"]
            ),
            inner,
            max_size=3,
        ).map(lambda d: "{" + ", ".join(f"{k} = {v}" for k, v in d.items()) + "}"),
    ),
    max_leaves=8,
)
FIELDS = sorted({*Cue.model_fields, "show", "osc", "output"})


@given(st.sampled_from(FIELDS), toml, st.booleans())
def test_whatever_a_key_holds_gets_an_answer_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str, top: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    cue = {"name": '"a"', "keys": "[{seed = 1}, {seed = 2}]"}
    cue |= {} if top else {key: value}
    text = f"{key} = {value}\n" if top else ""
    text += "[[cue]]\n" + "\n".join(f"{name} = {held}" for name, held in cue.items())
    (folder / "any.toml").write_text(text, encoding="utf-8")
    line = ""
    try:
        load_setlist(folder / "any.toml")
    except UserError as error:
        line = str(error)
    assert "\n" not in line
    assert len(line) < 700
