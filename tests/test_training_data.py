"""Training pictures: what a folder or a zip becomes, and what is said of what is not one."""

import io
import os
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.errors import UserError
from engine.training import data, sources
from engine.training.data import Order, Pictures, prepare

SIDE = 16


def picture(value: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A grey level, by which it is known again."""
    return Image.new("RGB", size, (value, value, value))


def fill(folder: Path, count: int, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for value in range(count):
        picture(value, size).save(folder / f"{value:03}.png")
    return folder


def zipped(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def png(value: int = 0) -> bytes:
    stream = io.BytesIO()
    picture(value).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def prepared(tmp_path, said):
    def run(source: Path, resolution: int = SIDE, **more) -> Pictures:
        return prepare(source, resolution, tmp_path / "cache", said.append, **more)

    return run


def greys(pictures: Pictures) -> list[int]:
    """Of each picture's first pixel."""
    return [int(pixels[0, 0, 0]) for pixels in pictures.pixels]


def refusal(prepared, source: Path, *more) -> str:
    with pytest.raises(UserError) as caught:
        prepared(source, *more)
    line = str(caught.value)
    assert "\n" not in line
    assert str(source) in line
    return line


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_and_those_in_it_become_one_array(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 3)
    fill(folder / "more" / "yet", 5)
    seen = []
    pictures = prepared(folder, progress=lambda done, total: seen.append((done, total)))
    assert greys(pictures) == [0, 1, 2, 0, 1, 2, 3, 4]
    assert (len(pictures), pictures.resolution) == (8, SIDE)
    assert (pictures.pixels.dtype, pictures.pixels.shape) == (np.uint8, (8, SIDE, SIDE, 3))
    assert isinstance(pictures.pixels, np.memmap)
    assert seen == [(done, 8) for done in range(1, 9)]
    assert len(said) == 1
    assert "few pictures (8)" in said[0]


def test_fifty_are_not_few(tmp_path, prepared, said):
    prepared(fill(tmp_path / "pictures", data.FEW))
    assert said == []


def test_the_middle_is_kept_and_made_smaller_without_aliasing(tmp_path, prepared):
    pixels = np.zeros((64, 200, 3), np.uint8)
    pixels[:, 68:132] = np.indices((64, 64)).sum(axis=0)[..., None] % 2 * 255  # a checkerboard
    pixels[:, 68:132, 2] = 200
    (tmp_path / "p").mkdir()
    Image.fromarray(pixels).save(tmp_path / "p" / "wide.png")
    Image.fromarray(pixels.swapaxes(0, 1)).save(tmp_path / "p" / "high.png")
    for square in prepared(tmp_path / "p").pixels:
        assert (square[..., 2] == 200).all()  # nothing of the black beside it
        np.testing.assert_allclose(square[2:-2, 2:-2, 0], 127.5, atol=2)


def test_large_jpegs_are_read_small_and_look_the_same(tmp_path, prepared):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    pixels = np.stack([*np.meshgrid(ramp, ramp), np.full((512, 512), 90, np.uint8)], axis=-1)
    (tmp_path / "p").mkdir()
    Image.fromarray(pixels).save(tmp_path / "p" / "a.jpg", quality=95)
    whole = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    got = prepared(tmp_path / "p").pixels[0].astype(int)
    np.testing.assert_allclose(got, np.asarray(whole).astype(int), atol=4)


def test_odd_pictures_come_upright_and_in_colour(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 0)
    half = picture(0)
    half.paste((255, 255, 255), (0, 0, SIDE, SIDE // 2))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    half.save(folder / "a.jpg", exif=exif, quality=100)
    half.convert("1").save(folder / "b.png")
    half.convert("CMYK").save(folder / "c.tif")
    half.convert("I;16").point(lambda level: level * 256).save(folder / "d.png")
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)).save(folder / "e.png")
    half.convert("P").save(folder / "f.gif")
    upside_down, bit, cmyk, deep, clear, palette = prepared(folder).pixels
    assert (upside_down[1].mean(), upside_down[-2].mean()) == (0, 255)
    for square in (bit, cmyk, deep, palette):
        assert square[1].mean() > 240
        assert square[-2].mean() < 70  # CMYK without a profile has no deep black
    assert (clear == 255).all()
    assert len(said) == 1


def test_smaller_ones_are_enlarged_and_counted(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 2, (SIDE - 1, 40))
    fill(folder / "large", 3)
    assert len(prepared(folder)) == 5
    assert "2 of the 5 pictures are smaller than 16x16 and were enlarged" in said[0]


def test_what_is_unreadable_is_named_then_counted(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 2)
    for number in range(13):
        (folder / f"a{number:02}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    assert len(prepared(folder)) == 2
    named = [line for line in said if line.startswith("left out: ")]
    assert len(named) == data.NAMED + 1
    assert f"{folder / 'a00.jpg'}: is damaged or cut short" in named[0]
    assert named[-1] == "left out: 3 more"


def test_names_do_not_steer_the_terminal(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 1)
    (folder / "a\x1b[2J\nb.jpg").write_bytes(b"no picture")
    os.close(os.open(os.fsencode(folder) + b"/\xff.jpg", os.O_CREAT | os.O_WRONLY))
    prepared(folder)
    assert "a\\x1b[2J\\nb.jpg" in said[0]
    assert "\\udcff.jpg: is empty" in said[1]
    assert all(line.isprintable() for line in said)


def test_hidden_files_and_the_cache_are_passed_over(tmp_path, said):
    folder = fill(tmp_path / "pictures", 2)
    fill(folder / ".thumbnails", 2)
    picture(9).save(folder / ".hidden.png")
    cache = fill(folder / "run" / "pictures", 1)
    fill(folder / "run", 3)  # a training's grids
    assert greys(prepare(folder, SIDE, cache, said.append)) == [0, 1]
    prepare(folder, SIDE, cache, said.append)
    assert "prepared before" in said[1]


def test_links_are_followed_once(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 1)
    fill(folder / "inside", 2)
    elsewhere = fill(tmp_path / "elsewhere", 3)
    (folder / "inside" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(folder / "inside", target_is_directory=True)
    (folder / "out").symlink_to(elsewhere, target_is_directory=True)
    (folder / "z.png").symlink_to(elsewhere / "002.png")
    (folder / "to nowhere.png").symlink_to(tmp_path / "nothing")
    (folder / "to itself.png").symlink_to(folder / "to itself.png")
    assert greys(prepared(folder)) == [0, 0, 1, 0, 1, 2, 2]
    assert [line for line in said if "nowhere.png: cannot be read (No such file" in line]
    assert [line for line in said if "itself.png: cannot be read" in line]


def test_pipes_and_archives_among_the_pictures_are_named(tmp_path, prepared, said):
    folder = fill(tmp_path / "pictures", 1)
    os.mkfifo(folder / "pipe.png")
    zipped(folder / "more.ZIP", {"a.png": png()})
    assert len(prepared(folder)) == 1
    assert "more.ZIP: is an archive among the pictures: unpack it" in said[0]
    assert "pipe.png: is no file" in said[1]


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip(tmp_path, prepared, said, how):
    members = {
        "00/a.png": png(7),
        "00/b.tga": b"no picture",
        "__MACOSX/00/._a.png": b"\0",
        ".hidden/c.png": png(8),
        "00/c.png": png(9),
        "inner.zip": b"PK",
    }
    path = zipped(tmp_path / "set.bin", members, how)  # a zip is known by what is in it
    assert greys(prepared(path)) == [7, 9]
    assert f"left out: {path}/00/b.tga: is none of the pictures that are read here" in said[0]
    assert f"left out: {path}/inner.zip: is an archive among the pictures" in said[1]
    assert "few pictures (2)" in said[2]


@pytest.mark.parametrize(
    "name",
    ["../a.png", "00/../../a.png", "/etc/a.png", "c:\\a.png", "..\\a.png", "\\\\h\\s\\a.png"],
)
def test_names_that_lead_out_of_a_zip(tmp_path, prepared, said, name):
    path = zipped(tmp_path / "set.zip", {name: png(1), "good.png": png(2)})
    assert greys(prepared(path)) == [2]
    called = Path(f"{path}/{name}")
    assert said[0] == f"left out: {called}: has a name that leads out of the archive"


def test_an_encrypted_member_is_named(tmp_path, prepared, said):
    path = zipped(tmp_path / "set.zip", {"a.png": png(1), "b.png": png(2)})
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert greys(prepared(path)) == [2]
    assert "a.png: is encrypted: unpack the archive" in said[0]


def test_a_member_that_is_damaged_or_of_an_unknown_method_is_named(tmp_path, prepared, said):
    path = zipped(tmp_path / "set.zip", {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    content = bytearray(path.read_bytes())
    content[content.find(b"IDAT")] ^= 1
    at = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)
    struct.pack_into("<H", content, at + 10, 9)  # deflate64
    path.write_bytes(content)
    assert greys(prepared(path)) == [3]
    assert "a.png: is damaged in the archive (Bad CRC-32" in said[0]
    assert "b.png: is damaged in the archive (That compression method is not" in said[1]


def test_bombs(tmp_path, prepared, said, monkeypatch):
    bomb = {"a.png": png(1), "bomb.png": bytes(1 << 20)}
    path = zipped(tmp_path / "bomb.zip", bomb, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(sources, "MOST_OF_A_MEMBER", 1 << 19)
    assert greys(prepared(path)) == [1]
    assert "bomb.png: has more than 0 MB" in said[0]
    monkeypatch.setattr(sources, "ALWAYS", 1 << 19)
    assert "times its size, as no archive of pictures does" in refusal(prepared, path)


def test_a_member_that_lies_about_its_size_stays_in_its_bounds(tmp_path, prepared, said):
    path = zipped(tmp_path / "set.zip", {"a.png": png(1), "b.png": bytes(1 << 20)}, 8)
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)
    struct.pack_into("<I", content, at + 24, 100)
    path.write_bytes(content)
    assert greys(prepared(path)) == [1]
    assert "b.png: is damaged in the archive" in said[0]


def test_two_members_of_one_name_are_one(tmp_path, prepared):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", png(2))
    assert len(prepared(path)) == 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "cannot be read (No such file or directory)"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: path.write_bytes(png()), "is no zip"),
        (lambda path: path.write_bytes(b""), "is no zip"),
        (os.mkfifo, "is no file"),
        (lambda path: zipped(path, {}), "is empty"),
        (lambda path: zipped(path, {"a.txt": b"a"}), "none of its 1 files is a picture"),
    ],
)
def test_no_pictures_at_all(tmp_path, prepared, make, expected):
    path = tmp_path / "source"
    make(path)
    assert expected in refusal(prepared, path)
    assert left_in(tmp_path / "cache") == []


def test_a_zip_cut_short(tmp_path, prepared):
    path = zipped(tmp_path / "set.zip", {"a.png": png(1)})
    path.write_bytes(path.read_bytes()[:-30])
    assert "is a damaged zip" in refusal(prepared, path)


def test_the_array_is_reused_until_the_source_changes(tmp_path, prepared, said, monkeypatch):
    folder = fill(tmp_path / "pictures", 3)
    first = prepared(folder)
    made = left_in(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(data, "_prepare", None)
        again = prepared(folder)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    assert "3 pictures, prepared before" in said[1]
    assert left_in(tmp_path / "cache") == made
    os.utime(folder / "000.png", ns=(1, 1))
    (folder / "001.png").rename(folder / "0010.png")
    picture(200).resize((99, 99)).save(folder / "002.png")
    said.clear()
    assert greys(prepared(folder)) == [0, 1, 200]
    assert not [line for line in said if "prepared before" in line]
    assert prepared(folder, 8).resolution == 8


@pytest.mark.parametrize("change", ["time", "name", "size"])
def test_any_change_makes_a_source_another(tmp_path, change):
    folder = fill(tmp_path / "pictures", 2)
    path, before = folder / "001.png", (folder / "001.png").stat()
    os.utime(path, ns=(5, 5))
    with sources.opened(folder, tmp_path / "cache") as found:
        first = found.fingerprint
    if change == "time":
        os.utime(path, ns=(5, 6))
    elif change == "name":
        path.rename(folder / "002.png")
    else:
        path.write_bytes(bytes(before.st_size + 1))
        os.utime(path, ns=(5, 5))
    with sources.opened(folder, tmp_path / "cache") as found:
        assert found.fingerprint != first


def test_a_zip_is_another_when_a_member_is(tmp_path, prepared):
    path = zipped(tmp_path / "set.zip", {"a.png": png(1)})
    assert greys(prepared(path)) == [1]
    zipped(path, {"a.png": png(2)})
    assert greys(prepared(path)) == [2]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", None])
def test_an_array_that_is_not_whole_is_made_again(tmp_path, prepared, damage):
    folder = fill(tmp_path / "pictures", 3)
    prepared(folder)
    (path,) = (tmp_path / "cache").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage is None else damage)
    assert greys(prepared(folder)) == [0, 1, 2]
    assert path.read_bytes() == content


def test_a_cache_must_not_be_the_pictures(tmp_path, said):
    folder = fill(tmp_path / "pictures", 1)
    with pytest.raises(UserError, match="needs a folder of its own"):
        prepare(folder, SIDE, folder, said.append)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be made"):
        prepare(folder, SIDE, tmp_path / "file", said.append)


def test_a_full_disk_is_said_before_and_leaves_nothing(tmp_path, small_disk, said):
    folder = fill(tmp_path / "pictures", 20)
    with pytest.raises(UserError, match=r"20 pictures of 256x256 take 4 MB, and 3 MB are free"):
        prepare(folder, 256, small_disk, said.append)
    for path in folder.iterdir():  # what does not look like pictures is not counted on
        path.rename(path.with_suffix(".data"))
    with pytest.raises(UserError, match=r"\.npy: cannot be written \(No space left on device\)"):
        prepare(folder, 256, small_disk, said.append)
    assert left_in(small_disk) == []
    assert len(prepare(folder, 64, small_disk, said.append)) == 20


def test_an_interruption_leaves_nothing_and_no_thread(tmp_path, prepared):
    folder = fill(tmp_path / "pictures", 60)

    def interrupt(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(folder, progress=interrupt)
    assert left_in(tmp_path / "cache") == []
    assert not [t for t in threading.enumerate() if t.name.startswith("pictures")]
    assert len(prepared(folder)) == 60


@given(
    st.integers(0, 2**64 - 1),
    st.integers(1, 9),
    st.lists(st.integers(0, 25), min_size=1, max_size=5),
)
def test_an_order_is_the_same_in_whatever_pieces_it_is_taken(seed, count, pieces):
    whole = Order(count, seed).take(0, sum(pieces))
    order, start = Order(count, seed), 0
    for piece in pieces:
        np.testing.assert_array_equal(order.take(start, piece), whole[start : start + piece])
        start += piece
    last = Order(count, seed)  # resumed
    np.testing.assert_array_equal(
        last.take(start - pieces[-1], pieces[-1]), whole[-pieces[-1] or start :]
    )
    for epoch in range(len(whole) // count):
        assert sorted(whole[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_orders_differ_by_seed_and_epoch():
    epochs = [Order(20, seed).take(20 * epoch, 20) for seed in (0, 1, 2**32) for epoch in (0, 1)]
    assert len({tuple(epoch) for epoch in epochs}) == 6
    np.testing.assert_array_equal(Order(5, 3).take(0, 7), [4, 0, 2, 1, 3, 3, 1])


def test_a_batch_is_the_pictures_in_their_range():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    pixels[0, 0, 0] = (0, 255, 51)
    batch = Pictures(pixels).batch([2, 0, 2])
    assert (batch.shape, batch.dtype) == ((3, 3, 8, 8), torch.float32)
    torch.testing.assert_close(batch[1, :, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))
    back = ((batch + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(back, pixels[[2, 0, 2]])
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert Pictures(pixels).batch([]).shape == (0, 3, 8, 8)


def test_mirrored_pictures_follow_the_others():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    pictures = Pictures(pixels, mirror=True)
    assert (len(pictures), pictures.order(0).count) == (8, 8)
    batch = pictures.batch(np.array([1, 5]))
    torch.testing.assert_close(batch[1], batch[0].flip(-1))
    for places in ([8], [-1]):
        with pytest.raises(IndexError, match="there are 8 pictures"):
            pictures.batch(places)


def test_a_batch_reads_what_was_prepared(tmp_path, prepared):
    pictures = prepared(fill(tmp_path / "pictures", 3), mirror=True)
    levels = ((pictures.batch([2, 4])[:, 0, 0, 0] + 1) * 127.5).round()
    assert levels.tolist() == [2, 1]
