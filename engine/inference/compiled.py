"""The folded network compiled for this CPU, by PyTorch's AOTInductor, while the show goes on.

Compiling takes 15 to 30 seconds and most of a core, so a process of its own does it, at the lowest
priority there is, and leaves a package that the engine then opens in 10 ms for the bundled network,
0.12 s for one of 40 MB. It is kept in the user's cache for the next time. What is in it was made
here, from a network's numbers, by this machine's compiler; a cache that others may write to is not
used. An engine that replaces a lost one takes no chances and plays uncompiled.

Seen on two threads of a Xeon, per frame: bundled network 3.0 ms uncompiled and 2.3 ms compiled, a
256x256 one of channel_base 4096 15 and 12 ms.

    python -m engine.inference.compiled NETWORK THREADS
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import UserError
from engine.inference.folded import Folded
from engine.inference.plain import Finished
from engine.weights import load_network, sha256

Play = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Styles, demodulations and the noise factor to uint8 [R, R, 4], as `plain.Finished`."""

KEPT = 8  # packages in the cache; each is as large as its network
ABANDONED_S = 3600  # a folder to compile in that is older has nobody in it
WORST_LEVEL = 1  # of 255, between the package and what it was made from


class Compilation:
    """One network on its way to a package. Begins when told, and ends with the engine."""

    def __init__(self, network: Path, threads: int) -> None:
        self._command = [sys.executable, "-m", __name__, str(network), str(threads)]
        self._process: subprocess.Popen[bytes] | None = None
        self.over = False  # nothing more will come
        self.why = ""  # it came to nothing; one sentence

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return self.over or self._process is not None

    def begin(self) -> None:
        """Start compiling, or finding what was compiled before. Does not wait."""
        if compiler() is None:
            self._give_up("no C++ compiler (g++ or clang++): the network stays uncompiled")
            return
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,  # which closes with this engine, and then it ends too
            stdout=subprocess.PIPE,
            env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"},
        )

    def take(self) -> Play | None:
        """The compiled network, once, when it is there. Does not wait."""
        if self.over or self._process is None or self._process.poll() is None:
            return None
        self.over = True
        said = self._process.communicate()[0].decode().strip()
        if self._process.returncode:
            self._give_up(said or "compiling failed: the network stays uncompiled")
            return None
        try:
            return _open(Path(said))
        except (RuntimeError, TypeError, OSError, AttributeError) as error:
            reason = str(error).partition("\n")[0]
            self._give_up(f"the compiled network cannot be opened ({reason})")
            return None

    def end(self) -> None:
        """Stop it, if it is still at work."""
        if self._process is not None:
            self._process.kill()

    def _give_up(self, why: str) -> None:
        self.over, self.why = True, why


def compiler() -> str | None:
    """The C++ compiler that PyTorch would use; None where there is none, and on Windows."""
    if sys.platform == "win32":
        return None
    asked = os.environ.get("CXX", "")
    return next(
        (found for name in (asked, "g++", "clang++") if (found := shutil.which(name))), None
    )


def cache() -> Path | None:
    """The folder of packages, made if need be; None if somebody else could put code into it."""
    folder = _cache_path()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    return folder if mine and not facts.st_mode & 0o022 else None


def _cache_path() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    if base is None:
        base = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(base).expanduser() / "anthesis" / "compiled"


def _key(network: Path, threads: int) -> str:
    """Names all that the package depends on: weights, the code that folds them, torch, the CPU."""
    digest = hashlib.sha256(sha256(network).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(f"{torch.__version__} {threads} {platform.machine()} {_cpu()}".encode())
    return digest.hexdigest()[:32]


def _cpu() -> str:
    """What code for this CPU may use."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor() + torch.backends.cpu.get_cpu_capability()


def _open(package: Path) -> Play:
    # Not torch._inductor.aoti_load_package: it does this too, after importing Inductor, which
    # would hold up the frames of 0.7 s. The arguments have become more from torch 2.6 on.
    loaders: Any = torch._C._aoti.AOTIModelPackageLoader
    for rest in ((False, 1, -1), (False, 1), (False,), ()):
        with contextlib.suppress(TypeError):
            loader = loaders(str(package), "model", *rest)
            break
    else:
        raise TypeError("this version of torch opens packages in another way")

    def play(s: Tensor, d: Tensor, noise: Tensor) -> Tensor:
        frame: Tensor = loader.run([s, d, noise])[0]
        return frame

    return play


def find_or_compile(network: Path, threads: int) -> Path:
    """The package of a network, made now if there is none; whole and tried.

    Raises UserError where there is no place for it, RuntimeError if what was compiled gives another
    picture than the network.
    """
    folder = cache()
    if folder is None:
        raise UserError(f"others may write to {_cache_path()}: nothing is compiled")
    package = folder / f"{_key(network, threads)}.pt2"
    _tidy(folder)
    if package.exists():
        package.touch()  # used today: not the one to make room
        return package
    torch.set_num_threads(threads)  # among which compiled loops are divided
    with tempfile.TemporaryDirectory(dir=folder) as workshop, torch.no_grad():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = workshop
        _compile(network, Path(workshop) / package.name).replace(package)
    return package


def _tidy(folder: Path) -> None:
    """Make room, and take away what was left by compilations whose engine ended."""
    oldest_first = sorted(folder.glob("*.pt2"), key=lambda path: path.stat().st_mtime)
    for old in oldest_first[: -KEPT + 1]:
        old.unlink(missing_ok=True)
    for workshop in folder.glob("tmp*"):
        if time.time() - workshop.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(workshop, ignore_errors=True)


def _compile(network: Path, package: Path) -> Path:
    from torch._inductor import aoti_compile_and_package

    net = load_network(network)
    folded = Folded(net, torch.device("cpu"))
    finished = Finished(folded, folded.resolution).eval()
    example = (*folded.styles(torch.randn(net.num_ws, net.w_dim)), torch.ones(()))
    program = torch.export.export(finished, example, strict=False)
    # Frozen, constants are arranged as the CPU's convolutions want them: 2.3 instead of 2.45 ms.
    options = {"freezing": True}
    aoti_compile_and_package(program, package_path=str(package), inductor_configs=options)
    difference = finished(*example).int() - _open(package)(*example).int()
    if difference.abs().max() > WORST_LEVEL:
        raise RuntimeError("compiled, the network gives another picture: it stays uncompiled")
    return package


def _last_in_line() -> None:
    """Take what nobody else wants of the processor."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # nothing comes, until the engine has gone
    os._exit(1)


def main() -> int:
    """Print the package's path, or why there is none. Returns the exit code."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # compilers print, and the terminal is the operator's
        os.dup2(nowhere, output)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to handle
    _last_in_line()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    network, threads = Path(sys.argv[1]), int(sys.argv[2])
    try:
        said, code = str(find_or_compile(network, threads)), 0
    except (UserError, RuntimeError, OSError) as error:
        said, code = str(error).partition("\n")[0], 2
    except Exception as error:  # noqa: BLE001 - Inductor raises anything; the show goes on without
        said, code = f"compiling failed ({type(error).__name__}): the network stays uncompiled", 1
    answers.write(said)
    answers.close()
    return code


if __name__ == "__main__":
    os._exit(main())
