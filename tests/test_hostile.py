"""Files made to harm: nothing in them runs, and each is refused in one line.

The canary is a file that every payload tries to create, by whichever route.
"""

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.weights import inert, read_network
from engine.weights.containers import parse
from engine.weights.inert import UnreadableError
from engine.weights.latents import read_latent
from engine.weights.unpickle import unpickle

DATA = Path(__file__).parent / "data" / "parity"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def name(module: str, attribute: str) -> bytes:
    """The opcode that names something, as protocol 2 has it."""
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def program(*opcodes: bytes) -> bytes:
    return b"\x80\x02" + b"".join(opcodes) + b"."


def torch_zip(data_pkl: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return stream.getvalue()


def torch_legacy(obj: bytes) -> bytes:
    system = pickle.dumps({"little_endian": True}, protocol=2)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    return magic + pickle.dumps(1001, protocol=2) + system + obj + pickle.dumps([], protocol=2)


def refused(data: bytes, folder: Path, suffix: str = ".pt") -> str:
    """What is said of the file, as a network and as a latent."""
    path = folder / f"hostile{suffix}"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_network(path)
    with pytest.raises(UserError) as again:
        read_latent(path)
    for message in (str(caught.value), str(again.value)):
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
    return str(caught.value)


class Reduces:
    """Pickles as whatever it is given."""

    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def payloads(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Programs that would create the canary, and the name their refusal must give."""
    command = f"touch {canary}"
    source = f"open({str(canary)!r}, 'w')"
    load = name("torch.storage", "_load_from_bytes")
    system = call(name("posix", "system"), text(command))
    nested = call(load, b"B" + struct.pack("<I", len(program(system))) + program(system))
    legacy = torch_legacy(program(system))
    inside = call(load, b"B" + struct.pack("<I", len(legacy)) + legacy)
    return {
        "os.system": (pickle.dumps(Reduces(os.system, (command,))), "posix.system"),
        "eval": (pickle.dumps(Reduces(eval, (source,))), "builtins.eval"),
        "eval, by protocol 0": (
            f"c__builtin__\neval\n(S{source!r}\ntR.".encode(),
            "__builtin__.eval",
        ),
        "instance": (f"(S{command!r}\nios\nsystem\n.".encode(), "os.system"),
        "getattr chain": (
            program(call(name("builtins", "getattr"), name("torch", "os"), text("system"))),
            "builtins.getattr",
        ),
        "dotted name": (
            program(call(name("torch", "serialization.os.system"), text(command))),
            "torch.serialization.os.system",
        ),
        "attribute of a name on the list": (
            program(call(name("numpy", "ndarray.__reduce__"), text(command))),
            "numpy.ndarray.__reduce__",
        ),
        "a name made on the stack": (
            b"\x80\x04" + text("posix") + text("system") + b"\x93" + text(command) + b"\x85R.",
            "posix.system",
        ),
        "reduce within a reduce": (
            program(call(name("collections", "OrderedDict"), b"]" + system + b"a")),
            "posix.system",
        ),
        "key of a dictionary": (program(b"}" + system + b"Ns"), "posix.system"),
        "state of a module": (
            program(
                call(
                    name("torch_utils.persistence", "_reconstruct_persistent_obj"),
                    b"}" + text("state") + b"}" + text("_parameters") + system + b"ss",
                )
            ),
            "posix.system",
        ),
        "persistent id": (program(system + b"Q"), "posix.system"),
        "pickle inside a storage": (program(nested), "posix.system"),
        "pickle inside a legacy storage": (program(inside), "posix.system"),
        "subprocess": (
            pickle.dumps(Reduces(subprocess.Popen, (["touch", str(canary)],))),
            "subprocess.Popen",
        ),
        "real torch.load": (
            program(call(name("torch.serialization", "load"), text(str(canary)))),
            "torch.serialization.load",
        ),
        "numpy's reader of pickles": (
            program(call(name("numpy", "load"), text(str(canary)))),
            "numpy.load",
        ),
    }


@pytest.mark.parametrize("container", ["pickle", "torch zip", "torch legacy"])
@pytest.mark.parametrize("which", payloads(Path()))
def test_nothing_runs(which: str, container: str, canary: Path, tmp_path: Path) -> None:
    data, wanted = payloads(canary)[which]
    if container == "torch zip":
        data = torch_zip(data)
    elif container == "torch legacy":
        data = torch_legacy(data)
    message = refused(data, tmp_path)
    # Only a pickle may hold storages as bytes: elsewhere that name itself is refused.
    assert wanted in message or "_load_from_bytes" in message
    assert container == "pickle" or "inside" in which or wanted in message
    assert not canary.exists()


@pytest.mark.parametrize("which", ["os.system", "eval", "subprocess", "reduce within a reduce"])
def test_the_canary_can_die(which: str, canary: Path) -> None:
    """The payloads do what they say when an ordinary unpickler reads them."""
    data, _ = payloads(canary)[which]
    script = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, data.hex()], check=False, capture_output=True)
    # Popen's child may outlive the script by a moment; the shell's `touch` has been waited for.
    for _ in range(1000):
        if canary.exists():
            break
        os.sched_yield()
    assert canary.exists()


def test_a_network_with_a_payload_beside_it_is_refused(canary: Path, tmp_path: Path) -> None:
    content = {"g_ema": {}, "args": Reduces(os.system, (f"touch {canary}",))}
    torch.save(content, tmp_path / "network.pt")
    with pytest.raises(UserError, match=r"wants posix\.system"):
        read_network(tmp_path / "network.pt")
    assert not canary.exists()


def test_an_object_array_is_not_read(canary: Path, tmp_path: Path) -> None:
    array = np.array([Reduces(os.system, (f"touch {canary}",))], dtype=object)
    np.save(tmp_path / "latent.npy", array)
    with pytest.raises(UserError, match="object"):
        read_latent(tmp_path / "latent.npy")
    np.savez(tmp_path / "latent.npz", w=array)
    with pytest.raises(UserError, match="object"):
        read_latent(tmp_path / "latent.npz")
    assert not canary.exists()


REBUILD = name("torch._utils", "_rebuild_tensor_v2")
STORAGE = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu")


def integers(*values: int) -> bytes:
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"


def tensor(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    identity = STORAGE + integers(count)[1:-1] + b"tQ"
    parts = identity, integers(offset)[1:-1], integers(*shape), integers(*strides)
    return program(call(REBUILD, *parts, b"\x89", b"}"))


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides", "said"),
    [
        (4, 0, (5,), (1,), "reaches beyond its 4 numbers"),
        (4, 1, (4,), (1,), "reaches beyond"),
        (4, 0, (2, 2), (4, 1), "reaches beyond"),
        (4, -1, (1,), (1,), "impossible size"),
        (4, 0, (2,), (-1,), "impossible size"),
        (4, 0, (-2, -2), (1, 1), "impossible size"),
        (4, 0, (2,), (1, 1), "don't go together"),
        (4, 0, (1,) * 17, (1,) * 17, "don't go together"),
        (4, 0, (1 << 40,), (0,), "from only 4 numbers"),
        (4, 0, (1 << 20, 1 << 20), (0, 0), "from only 4 numbers"),
        (1 << 40, 0, (1 << 40,), (1,), "of which the file holds 4"),
        (-4, 0, (1,), (1,), "not a torch storage"),
    ],
)
def test_tensors_stay_within_their_storage(
    count: int,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    said: str,
    tmp_path: Path,
) -> None:
    data = torch_zip(tensor(count, offset, shape, strides), {"0": b"\0" * 16})
    assert said in refused(data, tmp_path)


def test_the_tensor_program_is_right(tmp_path: Path) -> None:
    """So that the refusals above are of what they change."""
    values = np.arange(6, dtype=np.float32)
    data = torch_zip(tensor(6, 1, (2, 2), (2, 1)), {"0": values.tobytes()})
    (tmp_path / "latent.pt").write_bytes(data)
    assert np.array_equal(read_latent(tmp_path / "latent.pt"), [[1, 2], [3, 4]])


ARRAY = call(
    name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\0\x85", b"C\1b"
)


def dtype(code: str) -> bytes:
    order = call(name("numpy", "dtype"), text(code), b"\x89", b"\x88")
    return order + b"(K\3" + text("<") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\0tb"


def array(code: str, shape: tuple[int, ...], raw: bytes) -> bytes:
    state = b"(K\1" + integers(*shape) + dtype(code) + b"\x89" + b"C" + bytes([len(raw)]) + raw
    return ARRAY + state + b"tb"


@pytest.mark.parametrize(
    ("opcodes", "said"),
    [
        (array("O8", (1,), b"\0" * 8), "of type O8"),
        (array("V8", (1,), b"\0" * 8), "of type V8"),
        (array("f4", (1 << 40,), b"\0" * 8), "from 8 bytes"),
        (array("f4", (-1, -2), b"\0" * 8), "from 8 bytes"),
        (ARRAY + b"}b", "not plain numbers"),
        (call(name("numpy", "dtype"), text("f4"), b"\x89", b"\x88") + b"}b", "not plain numbers"),
        (call(name("numpy._core.multiarray", "scalar"), dtype("f8"), b"C\1x"), "wrong arguments"),
    ],
)
def test_arrays_are_plain_numbers(opcodes: bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(program(opcodes), tmp_path, ".pkl")


@pytest.mark.parametrize(
    "target",
    [
        name("collections", "OrderedDict"),
        name("torch_utils.persistence", "_reconstruct_persistent_obj"),
        name("numpy", "ndarray"),
        name("torch", "FloatStorage"),
        text("a string"),
        b"]",
        b")",
        call(
            name("torch_utils.persistence", "_reconstruct_persistent_obj"),
            b"}" + text("state") + b"}s",
        ),
    ],
)
@pytest.mark.parametrize(
    "state",
    [
        b"}" + text("__setstate__") + b"Ns",
        b"}" + text("poisoned") + b"\x88s",
        b"N}" + text("__class__") + b"Ns\x86",
    ],
)
def test_stand_ins_cannot_be_given_attributes(target: bytes, state: bytes, tmp_path: Path) -> None:
    assert "sets attributes of a" in refused(program(target + state + b"b"), tmp_path, ".pkl")


def test_a_dictionary_drops_its_attributes() -> None:
    built = unpickle(
        io.BytesIO(program(b"}" + text("key") + b"K\1s}" + text("__class__") + b"Nsb"))
    )
    assert built == {"key": 1}
    assert type(built) is dict


def test_the_list_of_names_is_closed() -> None:
    """A reader of this test sees every name that a pickle may use. None reaches the real thing."""
    assert {str(known) for known in inert.BUILDERS} == {
        "argparse.Namespace",
        "__builtin__.set",
        "builtins.set",
        "collections.OrderedDict",
        "dnnlib.tflib.network.Network",
        "dnnlib.util.EasyDict",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch_utils.persistence._reconstruct_persistent_obj",
    }
    storages = {str(known) for known in inert.NAMES_ONLY} - {"numpy.ndarray"}
    assert all(known.startswith("torch.") and known.endswith("Storage") for known in storages)


@pytest.mark.parametrize(
    ("opcodes", "said"),
    [
        (b"", "damaged"),
        (b"\x80\x02", "damaged"),
        (program(b"0"), "takes more than it put"),
        (program(b"K\1(0"), "takes more than it put"),
        (program(b"e"), "damaged"),
        (program(b"h\x07"), "damaged"),
        (program(b"K\1K\1s"), "takes more"),
        (program(b"]K\1K\1s"), "as if it were a dict"),
        (program(b"}(K\1u"), "a key without a value"),
        (program(b"}]Ns"), "a list as the key"),
        (program(b"})Ns"), "a tuple as the key"),
        (program(text("torch") + b"K\1\x93"), "by what is not text"),
        (program(b"K\1)R"), "cannot be called"),
        (program(name("torch", "FloatStorage") + b")R"), "cannot be called"),
        (program(name("collections", "OrderedDict") + b"]R"), "cannot be called"),
        (program(name("collections", "OrderedDict") + b"K\1\x85R"), "made from something else"),
        (program(REBUILD + b")R"), "wrong arguments"),
        (program(call(REBUILD, b"N", b"N", b"N", b"N")), "without a storage"),
        (program(call(name("_codecs", "encode"), text("a"), text("rot13"))), "encodes something"),
        (program(b"\x82\1"), "uses EXT1"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1) + b"a.", "uses BYTEARRAY8"),
        (program(b"\x8b" + struct.pack("<i", 1 << 20) + b"\1" * (1 << 20)), "large integer"),
        (program(text("key") + b"Q"), "something outside itself"),
    ],
)
def test_programs_that_are_wrong(opcodes: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        unpickle(io.BytesIO(opcodes))


def test_messages_cannot_carry_terminal_codes(tmp_path: Path) -> None:
    evil = "\x1b[2J\nanthesis: all is well"
    data = b"\x80\x04" + text(evil) + text("system") + b"\x93."
    message = refused(data, tmp_path, ".pkl")
    assert "\\x1b[2J\\nanthesis" in message
    assert len(message) < 400


def test_what_is_inside_a_storage_is_numbers(tmp_path: Path) -> None:
    legacy = torch_legacy(program(b"]"))
    load = call(name("torch.storage", "_load_from_bytes"), b"C" + bytes([len(legacy)]) + legacy)
    assert "a pickle inside a storage's bytes" in refused(program(load), tmp_path, ".pkl")


def local_file(member: str, data: bytes) -> bytes:
    """A zip's record of one stored file."""
    sizes = zlib.crc32(data), len(data), len(data), len(member), 0
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, *sizes) + member.encode() + data


def test_a_zip_whose_files_lie_within_each_other(tmp_path: Path) -> None:
    """Forty storages, each the record of the next: 4 MB from 100 kB, and it could be thousands."""
    body, members = b"\0" * 100_000, []
    for index in range(40):
        key = f"archive/data/{index:02}"
        members.append((key, body, len(body) + 30 + len(key)))
        body = local_file(key, body)
    pickled = program(b"N")
    members.append(("archive/data.pkl", pickled, len(body) + 46 + len(pickled)))
    body = local_file("archive/data.pkl", pickled) + body
    directory = b""
    for member, data, from_end in members:
        numbers = zlib.crc32(data), len(data), len(data), len(member), *(0,) * 5
        offset = len(body) - from_end
        head = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, *numbers, offset)
        directory += head + member.encode()
    count = len(members)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    data = body + directory + end
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("archive/data.pkl") == pickled
        assert len(archive.read("archive/data/39")) > len(archive.read("archive/data/00"))
    assert "claims to hold more than the file does" in refused(data, tmp_path)


def test_a_latent_that_unpacks_to_much_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "latent.npz", w=np.zeros((20_000, 512), np.float32))
    assert (tmp_path / "latent.npz").stat().st_size < 100_000
    with pytest.raises(UserError, match="too large to be a latent"):
        read_latent(tmp_path / "latent.npz")


def _memory_limit() -> None:
    import resource  # POSIX only

    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


def absurd() -> dict[str, bytes]:
    """Small files that ask for much: memory, the C stack, or time."""
    deep = 150_000  # hashing that overflows the C stack of 8 MB
    mega = text("a" * 1_000_000) + b"q\0"
    encode = name("_codecs", "encode") + b"h\0" + text("latin1") + b"\x86R"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 512), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", b"\0" * (32 << 20))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02N." + b"\0" * (32 << 20))
    return {
        "memo.pkl": program(b"Nr\xff\xff\xff\x7f"),
        "long.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 42) + b"a.",
        "frame.pkl": b"\x80\x04\x95" + struct.pack("<Q", 1 << 42) + b"N.",
        "integer.pkl": program(b"\x8b" + struct.pack("<i", 0x7FFFFFFF)),
        "lists.pkl": program(b"]" * 50_000 + b"a" * 49_999),
        "key.pkl": program(b"})" + b"\x85" * deep + b"Ns"),
        "itself.pkl": program(b"]q\0h\0a"),
        "module.pkl": program(
            b"}q\0" + text("_modules") + b"}" + text("a"),
            call(
                name("torch_utils.persistence", "_reconstruct_persistent_obj"),
                b"}" + text("state") + b"h\0s",
            ),
            b"q\1ssh\1",
        ),
        "encode.pkl": program(mega, encode * 100_000),
        "storage.pt": torch_zip(tensor(1 << 45, 0, (1,), (1,)), {"0": b"\0" * 4}),
        "expanded.pt": torch_zip(tensor(1, 0, (1 << 24, 1 << 24), (0, 0)), {"0": b"\0" * 4}),
        "latent.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64,
        "latent.npz": bomb.getvalue(),
        "packed.pt": packed.getvalue(),
        "header.safetensors": struct.pack("<Q", 1 << 62) + b"{}",
        "nested.safetensors": struct.pack("<Q", 100_000) + b"{" + b'"a":[' * 19_999 + b"    ",
    }


def test_absurd_files_cost_little(tmp_path: Path) -> None:
    """Each in turn within 3 GB of address space, where the C unpickler's memo alone takes 16."""
    files = absurd()
    for file_name, data in files.items():
        (tmp_path / file_name).write_bytes(data)
    script = """
import sys
from pathlib import Path
from engine.errors import UserError
from engine.weights import read_network
from engine.weights.latents import read_latent
for path in sorted(Path(sys.argv[1]).iterdir()):
    for reader in read_network, read_latent:
        try:
            reader(path)
        except UserError as error:
            print(path.name, len(str(error)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_memory_limit,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refusals = [line.split()[0] for line in done.stdout.splitlines()]
    assert refusals == sorted([*files, *files])
    assert all(int(line.split()[1]) < 500 for line in done.stdout.splitlines())


SEEDS = {
    "rosinality_train_r8_000000.pt": read_network,
    "tf_sg2ada_r16_cond4.pkl": read_network,
    "latents/pti_pivot_0.pt": read_latent,
    "latents/nvlabs_projected_w.npz": read_latent,
    "latents/w_512.npy": read_latent,
}


def _shortened(file_name: str) -> bytes:
    """A real file; the TensorFlow one is cut, so that damage hits its program more often."""
    data = (DATA / file_name).read_bytes()
    return data[:40_000] if file_name.endswith(".pkl") else data


@pytest.mark.parametrize("file_name", SEEDS)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=st.data())
def test_damage_is_only_ever_refused(file_name: str, damage: st.DataObject, tmp_path: Path) -> None:
    original = _shortened(file_name)
    data = bytearray(original)
    # The interesting bytes lie at the ends: pickles begin files, a zip's directory ends them.
    places = st.one_of(
        st.integers(0, min(4000, len(data) - 1)),
        st.integers(max(0, len(data) - 3000), len(data) - 1),
        st.integers(0, len(data) - 1),
    )
    flips = damage.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6))
    for place, value in flips:
        data[place] = value
    cut = damage.draw(st.one_of(st.just(len(data)), places))
    path = tmp_path / Path(file_name).name
    path.write_bytes(data[:cut])
    reader: Callable[[Path], object] = SEEDS[file_name]
    with contextlib.suppress(UserError):
        reader(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_only_ever_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{"):
        with contextlib.suppress(UnreadableError):
            parse(start + data)
