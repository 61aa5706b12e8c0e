"""Is what the GPU makes right: float32 against stored numbers, float16 against float32, kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_lines import FAILED, MISSED, OK, Line, Told, at_most
from gpu_networks import bundled, config_f, exact

from engine.generator import Generator
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network

TESTS = Path(__file__).parent.parent
KERNEL_TESTS = ("kernels_alone.py", "kernels_compiled.py")
PICTURES = 64
BINS = 25_500  # a hundredth of a level each
MEAN, MOST, WORST = 1.0, 4.0, 12.0  # per cent of the range, as the design has it


class _OnCuda:
    """A reference network on CUDA for a test that knows the CPU."""

    def __init__(self, net: StyleGAN2) -> None:
        self._net = net.cuda()
        self.num_ws = net.num_ws

    def map(self, z: torch.Tensor, c: torch.Tensor | None = None, **how: Any) -> torch.Tensor:
        return self._net.map(z.cuda(), None if c is None else c.cuda(), **how).cpu()

    def synthesize(self, ws: torch.Tensor, noise: Any = "const") -> torch.Tensor:
        if not isinstance(noise, str):
            noise = [one.cuda() for one in noise]
        return self._net.synthesize(ws.cuda(), noise=noise).cpu()


def parity(told: Told) -> Iterator[Line]:
    """The reference, and the session in float32, against the published implementations' numbers."""
    sys.path.insert(0, str(TESTS))
    import test_networks as tests

    for name in ("r16_gray_nonoise", "r32_clamp", "r32_orig", "r32_resnet"):
        case = tests.Case.read(f"nv_sg2ada_{name}")
        path = tests.canonical_file(case, told.folder)
        yield _equal(name, lambda c=case, p=path: tests.check_nvidia(c, _on_cuda(p)))
        yield from _levels(name, case.tensors, path)
    for container, name in (
        ("nv_sg2ada_r64.pti_module.pt", "nv_sg2ada_r64"),
        ("nv_sg2ada_r64_cond3.nvcontainer.pkl", "nv_sg2ada_r64_cond3"),
        ("tf_sg2_r32.pkl", "tf_sg2_r32.expected"),
    ):
        case, path = tests.Case.read(name), tests.DATA / container
        yield _equal(container, lambda c=case, p=path: tests.check_nvidia(c, _on_cuda(p)))
        yield from _levels(container, case.tensors, path)
    for name in ("seeded_rosinality_sg2_cm1_128", "seeded_rosinality_sg2_configf_1024"):
        case = tests.Case.read(name)
        path = tests.rebuilt(case, told.folder)
        wplus = case.tensors["in.wplus"]
        yield _equal(
            name, lambda c=case, p=path, w=wplus: c.check("img_wplus", _on_cuda(p).synthesize(w))
        )


def _on_cuda(path: Path) -> _OnCuda:
    return _OnCuda(load_network(path))


def _equal(name: str, check: Callable[[], None]) -> Line:
    what, wanted = f"{name}, reference", "<= 1e-4, as stored"
    try:
        with exact():
            check()
    except AssertionError as error:
        return Line("parity", what, str(error).partition("\n")[0][:60], wanted, MISSED)
    return Line("parity", what, "", wanted, OK)


def _levels(name: str, tensors: dict[str, torch.Tensor], path: Path) -> Iterator[Line]:
    """The session's bytes against the stored picture: a value on an edge may round either way."""
    ws, stored = tensors["in.wplus"], tensors.get("out.img_wplus_const")
    if stored is None:
        return  # of a larger picture only parts are stored
    with exact():
        session = Generator(path, device="cuda", precision="float32")
        session.warm_up()
        worst = 0
        for one, picture in zip(ws, stored, strict=True):
            wanted = (picture.double() * 127.5 + 128).floor().clamp(0, 255).permute(1, 2, 0).numpy()
            got = session.render(one.numpy())[..., :3].astype(int)
            worst = max(worst, int(np.abs(got - wanted).max()))
    yield at_most("parity", f"{name}, session, float32", worst, " levels", 1)


def half(told: Told) -> Iterator[Line]:
    """The session in float16 against the reference in float32, over random W+."""
    for name, (net, path) in {"1024 f": config_f(told), "flowers": bundled()}.items():
        session: Any = Generator(path, device="cuda", precision="float16")
        session.warm_up()
        yield Line("half", f"{name}, form", session.form)
        mean, most, worst = _errors(net, session)
        yield at_most("half", f"{name}, mean", mean, " %", MEAN)
        yield at_most("half", f"{name}, 99.99th percentile", most, " %", MOST)
        yield at_most("half", f"{name}, worst", worst, " %", WORST)


def _errors(net: StyleGAN2, session: Any) -> tuple[float, float, float]:
    """Mean, 99.99th percentile and worst, in per cent of the picture's range."""
    random = torch.Generator().manual_seed(0)
    histogram = torch.zeros(BINS, dtype=torch.float64, device="cuda")
    total, count, worst = 0.0, 0, 0.0
    with exact(), torch.inference_mode():
        wplus = [
            net.map(torch.randn(net.num_ws, net.z_dim, generator=random))[:, 0]
            for _ in range(PICTURES)
        ]
        net.cuda()
        for ws in wplus:  # every layer of another seed
            img = net.synthesize(ws[None].cuda())[0].permute(1, 2, 0)
            wanted = ((img + 1) * 127.5).clamp(0, 255)
            got = torch.from_numpy(session.render(ws.numpy())).cuda()[..., :3]
            error = (got.float() - wanted).abs() / 255
            histogram += torch.histc(error, BINS, 0, 1)
            total, count = total + float(error.sum(dtype=torch.float64)), count + error.numel()
            worst = max(worst, float(error.max()))
    below = histogram.cumsum(0) >= 0.9999 * histogram.sum()
    most = (int(below.int().argmax()) + 1) / BINS
    return 100 * total / count, 100 * most, 100 * worst


def kernels(told: Told) -> Iterator[Line]:
    """The Triton kernels' own tests, on the GPU instead of in Triton's interpreter."""
    environment = {name: is_ for name, is_ in os.environ.items() if name != "TRITON_INTERPRET"}
    for name in KERNEL_TESTS:
        # conftest wants OpenGL, and a warning of another torch than ours is no failure.
        command = [sys.executable, "-m", "pytest", name, "--noconftest", "-W", "default"]
        command += ["-p", "no:cacheprovider", "-o", "addopts=", "-q", "-rfEs", "--tb=short"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=TESTS, timeout=180
        )
        last = (done.stdout.strip().splitlines() or ["nothing said"])[-1]
        verdict = OK if done.returncode == 0 else f"{FAILED}: pytest ended with {done.returncode}"
        yield Line("kernels", name, last, "all pass", verdict)
        for line in done.stdout.splitlines():
            if line.startswith(("FAILED", "ERROR", "SKIPPED")):
                yield Line("kernels", line.partition("::")[2][:160] or line[:160])
        if done.returncode:
            sys.stderr.write(done.stdout)  # where in the test, and between which numbers
