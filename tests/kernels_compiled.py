"""Triton's kernels as compiled for GPUs that need not be here, by Triton's own assembler.

The interpreter, in which `kernels_alone.py` tests what they compute, runs what no compiler takes.
`test_kernels.py` runs this in a process of its own.
"""

import re

import pytest
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compiled

from engine.inference import kernels

POINTERS = {
    "*fp16": ("y", "out", "bias", "noise"),
    "*fp32": (
        *("d", "factor", "scale", "rgb", "rgb_style", "rgb_bias", "before", "picture"),
        *("colour", "shift", "s", "squares", "epsilons", "scaled"),
    ),
    "*i32": ("parts",),
}
TYPES = {name: kind for kind, names in POINTERS.items() for name in names}
TYPES |= {"side": "i32", "channels": "i32", "clamp": "fp32", "rgb_clamp": "fp32"}
ALIGNED = [["tt.divisibility", 16]]

FINISH = {"noisy": True, "first": False, "last": False}
VARIANTS = {
    "demodulate": (kernels._demodulate, {"tiny": 1e-15, "share": 16, "block": 512}),
    "smooth": (kernels._smooth, {"noisy": True, "rows": 4, "columns": 16, "block": 64}),
    "smooth, few": (kernels._smooth, {"noisy": False, "rows": 4, "columns": 32, "block": 32}),
    "finish": (kernels._finish, {**FINISH, "pixels": 8, "block": 256}),
    "finish, first": (kernels._finish, {**FINISH, "first": True, "pixels": 1, "block": 512}),
    "finish, last": (kernels._finish, {**FINISH, "last": True, "pixels": 64, "block": 32}),
}


@pytest.mark.parametrize("capability", [75, 90], ids=["Turing", "Hopper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_compiles_and_takes_memory_by_16_bytes(variant, capability):
    kernel, chosen = VARIANTS[variant]
    types = TYPES | ({"picture": "*i32"} if chosen.get("last") else {})
    names = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={name: "constexpr" if name in chosen else types[name] for name in names},
        constexprs={(names.index(name),): value for name, value in chosen.items()},
        attrs={
            (number,): ALIGNED
            for number, name in enumerate(names)
            if name == "channels" or types.get(name, "").startswith("*")
        },
    )
    target = GPUTarget("cuda", capability, 32)
    assembly = compiled(source, target=target, options={"enable_fp_fusion": True}).asm
    assert assembly["cubin"]
    if variant != "demodulate":  # which reads rows of any length
        assert re.search(r"ld\.global\.v4\.b32", assembly["ptx"])
