"""Builds, checks and times everything that needs a GPU, in one run: one table.

    python tests/gpu/check.py [SECTION ...] [--minutes 10] [--json FILE]

Without CUDA it says so and claims nothing. A section that fails is a row that says why, and the
others go on: they run in a process beside this one, and where one takes the process with it, as a
CUDA error does, the next ones get another. The exit code is 1 if anything failed or missed its
figure. pytest does not collect this; `tests/test_gpu_check.py` tests it without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE)]  # a clone of the repository will do, installed or not

from gpu_lines import BROKEN_DEVICE, FAILED, HEAD, MISSED, Line, Told, perform, row  # noqa: E402

SECTIONS = {
    "versions": "gpu_machine:versions",
    "doctor": "gpu_machine:doctor",
    "parity": "gpu_precision:parity",
    "half": "gpu_precision:half",
    "kernels": "gpu_precision:kernels",
    "frames": "gpu_speed:frames",
    "fusion": "gpu_speed:fusion",
    "early": "gpu_speed:early",
    "allocations": "gpu_speed:allocations",
    "memory": "gpu_speed:memory",
    "first_frame": "gpu_worker:first_frame",
    "governor": "gpu_worker:governor",
    "stage": "gpu_stage:stage",
    "bench": "gpu_stage:bench",
    "recording": "gpu_recording:recording",
    "projection": "gpu_projection:projection",
    "training": "gpu_training:training",
}
SECTION_S = 400.0  # a section that says nothing for so long hangs; memory's seconds come on top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sections named, or all. Returns the exit code."""
    arguments = _arguments(argv)
    if arguments.child:
        return perform(arguments.sections, Told(arguments.folder, arguments.minutes * 60))
    missing = _missing()
    if missing:
        sys.stdout.write(f"{missing}: nothing was built, checked or timed.\n")
        return 0
    unknown = [name for name in arguments.sections if name not in SECTIONS]
    if unknown:
        sys.stderr.write(f"no section {unknown[0]}: sections are {', '.join(SECTIONS)}\n")
        return 2
    wanted = [SECTIONS[name] for name in arguments.sections or SECTIONS]
    sys.stdout.write(HEAD + "\n")
    lines = []
    limit = SECTION_S + arguments.minutes * 60
    for line in run(wanted, arguments.minutes, limit):
        sys.stdout.write(row(line) + "\n")
        sys.stdout.flush()  # whoever stops this keeps what is known by then
        lines.append(line)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([line.record() for line in lines], indent=2) + "\n")
    bad = [line for line in lines if line.verdict.startswith((FAILED, MISSED))]
    sys.stdout.write(f"{len(lines)} rows, {len(bad)} of them failed or missed\n")
    return 1 if bad else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--minutes", type=float, default=1.0, help="of the memory section (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _missing() -> str:
    """What there is not, as the start of a sentence; nothing if this is a machine with CUDA."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return "" if torch.cuda.is_available() else "There is no CUDA on this machine"


def run(sections: Sequence[str], minutes: float, limit: float) -> Iterator[Line]:
    """Run sections, each "module:function", in as few processes as they leave alive."""
    with tempfile.TemporaryDirectory(prefix="anthesis-gpu-") as folder:
        remaining = list(sections)
        while remaining:
            began, why = remaining[0], ""
            done: list[str] = []
            for said in _child(remaining, Path(folder), minutes, limit):
                if "line" in said:
                    yield Line(**said["line"])
                elif "begin" in said:
                    began = said["begin"]
                elif "end" in said:
                    done.append(said["end"])
                else:
                    why = said["died"]
            if why:
                name = began.partition(":")[2]
                yield Line(name, "the process", verdict=f"{FAILED}: {why}")
                done.append(began)
            remaining = [section for section in remaining if section not in done]


def _child(
    sections: Sequence[str], folder: Path, minutes: float, limit: float
) -> Iterator[dict[str, object]]:
    """What a process says of its sections; at last {"died": how} if it did not end well."""
    command = [sys.executable, str(Path(__file__)), *sections, "--child"]
    command += ["--folder", str(folder), "--minutes", str(minutes)]
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        assert child.stdout is not None
        with child.stdout as pipe:
            for line in pipe:
                lines.put(line)
        lines.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        while (line := lines.get(timeout=limit)) is not None:
            yield json.loads(line)
        code = child.wait(limit)
    except (queue.Empty, subprocess.TimeoutExpired):
        yield {"died": f"no word for {limit:.0f} s"}
    else:
        if code not in (0, BROKEN_DEVICE):
            yield {"died": f"it ended with {code}"}
    finally:
        child.kill()
        child.wait()
        listener.join(1.0)  # unless something that it started still holds the pipe


if __name__ == "__main__":
    sys.exit(main())
