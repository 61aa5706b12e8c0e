"""NVIDIA's bindings as the stage uses them, as far as that goes without a GPU: how they fail."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from live.cuda import Cuda, CudaError
from live.gpu_checks import has_card

bindings = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="cuda-bindings is not installed"
)


def drawing_on(renderer):
    return SimpleNamespace(info={"GL_RENDERER": renderer})


@pytest.mark.skipif(sys.platform != "linux", reason="it says something else there")
def test_opengl_on_the_cpu_shares_nothing(gl):
    with pytest.raises(CudaError, match=r"OpenGL runs on the CPU \(llvmpipe"):
        Cuda().suits(drawing_on("llvmpipe (LLVM 19.1, 256 bits)"))


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_share_nothing(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(CudaError, match="on Linux only"):
        Cuda().suits(drawing_on("NVIDIA H200/PCIe"))


def test_without_the_bindings_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(CudaError, match="pip install cuda-bindings"):
        Cuda().prepare()


@bindings
@pytest.mark.skipif(has_card(), reason="there is an NVIDIA GPU")
@pytest.mark.parametrize(
    "step",
    [
        lambda gpu: gpu.prepare(),
        lambda gpu: gpu.start("ab" * 16),
        lambda gpu: gpu.allocate(4096),
        lambda gpu: gpu.export(0),
        lambda gpu: gpu.attach(),
        lambda gpu: gpu.register(SimpleNamespace(glo=1)),
        lambda gpu: gpu.unregister(0),
        lambda gpu: gpu.copy(0, 0, (8, 8)),
        lambda gpu: gpu.finish(),
    ],
)
def test_without_a_driver_every_step_says_so_in_one_line(step):
    with pytest.raises(CudaError, match=r"^cuda\w+: .*driver") as caught:
        step(Cuda())
    assert "\n" not in str(caught.value)
