"""The Triton kernels, run by Triton's interpreter on the CPU, do what torch's operations do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

COMPARED = """
import sys
import numpy as np
import torch
from abpn_cli.engine.device import fused
from abpn_cli.engine.device.steps import Landing, Slab, TorchSteps
from abpn_cli.nets.bpl import RefiningModule

fused.BLOCKS, fused.ROWS, fused.HALVED = 4, 8, (4, 64)  # small tiles: several of them
fused.FusedSteps.tile = (8, 24)
kind, dtype, user = sys.argv[1], getattr(torch, sys.argv[2]), sys.argv[3] == "user"
torch.manual_seed(0)
cpu = torch.device("cpu")
modules = [RefiningModule(), RefiningModule()]
terms = torch.tensor([0.19, 0.31, -0.24, 0.01, 0.9, 0.05])
both = [make(modules, terms, cpu, dtype) for make in (TorchSteps, fused.FusedSteps)]


def corners(steps, first, last):
    down, right = steps.tile
    return np.array(
        [(y, x) for y in range(first, last, down) for x in range(0, WIDTH, right)], np.int32
    )


# Rows 4..19 of a level of 26 x 30 px, that holds rows 0..21: as in a strip's middle.
HEIGHT, WIDTH, HELD, FIRST, LAST = 26, 30, 22, 4, 20
values = torch.rand(HELD, WIDTH, 3)
scale = {"uint8": 1 / 255, "int16": 1 / 65535, "float32": 1.0}[kind]
whole = values if kind == "float32" else (values / scale).round().to(torch.int32)
base = Slab(whole.to(getattr(torch, kind)), 0, HEIGHT, scale)
with torch.inference_mode():
    halved = [Slab(torch.zeros(10, WIDTH // 2, 3), 0, HEIGHT // 2) for _ in both]
    for steps, target in zip(both, halved):
        steps.halve(base, target, 0, 10)
    print("halve", float((halved[0].values - halved[1].values).abs().max()))
    coarse = Slab(torch.rand(13, WIDTH // 2, 3), 0, HEIGHT // 2)
    layer = Slab(torch.randn(13, WIDTH // 2, 3) * 3, 0, HEIGHT // 2)
    for first, last in [(0, 8), (FIRST, LAST), (18, 26)]:
        full = Slab(base.values.repeat(2, 1, 1)[:HEIGHT], 0, HEIGHT, scale)
        held = full if last == HEIGHT else base
        made = [Slab(torch.zeros(last - first, WIDTH, 3), first, HEIGHT) for _ in both]
        for steps, target in zip(both, made):
            steps.refine(1, held, coarse, layer, target, corners(steps, first, last))
        print("refine", float((made[0].values - made[1].values).abs().max()))
    if kind != "float32":
        grid = torch.rand(4, 5) * (torch.rand(4, 5) > 0.5)
        plane = torch.rand(LAST - FIRST, WIDTH) if user else None
        landing = Landing(grid, 8, 1.3, plane, (19, 27))
        for floats in (False, True):
            seen = base.values[FIRST:LAST].float() * 0 if floats else base.values[FIRST:LAST]
            ends = [Slab(seen.clone(), FIRST, HEIGHT, 1.0 if floats else scale) for _ in both]
            told = [
                steps.land(base, coarse, layer, target, corners(steps, FIRST, LAST), landing)
                for steps, target in zip(both, ends)
            ]
            shown = [target.values[: 19 - FIRST, :27].to(torch.float64) for target in ends]
            off = (shown[0] - shown[1]).abs().remainder(65536)
            print("floats" if floats else "land", float(torch.minimum(off, 65536 - off).max()))
            print("largest", float((told[0][:, 1].max() - told[1][:, 1].max()).abs()))
            if not floats:
                print("changed", *(int(each[:, 0].sum()) for each in told))
                untouched = base.values[FIRST:19, :27] == ends[1].values[: 19 - FIRST, :27]
                print("kept", float(untouched.float().mean()))
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from abpn_cli.engine.device.kernels import refine_kernel

chosen = dict(WORDS=False, BLOCKS=64, ROWS=64, EXACT="tf32", LANDS=True, USER=True, FLOATS=False)
kinds = {"base": "*u8", "target": "*u8", "tiles": "*i32"}
kinds |= {name: "*fp16" for name in ("first_u", "first_h", "second")}
kinds |= {name: "fp32" for name in ("strength", "scale", "most")}
pointers = "coarse layer tallies first_bias second_bias grid user terms".split()
kinds |= {name: "*fp32" for name in pointers} | {name: "constexpr" for name in chosen}
names = refine_kernel.arg_names
source = ASTSource(
    refine_kernel,
    {name: kinds.get(name, "i32") for name in names},
    constexprs={(names.index(name),): value for name, value in chosen.items()},
)
options = {"num_warps": 8, "num_stages": 1}
print(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ttir"])
"""
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton, as abpn[kernels] brings it"
)


def told_by(script, *words, interpreted):
    """Run a script in a process of its own: the interpreter is chosen when Triton loads."""
    env = {**os.environ, "TRITON_INTERPRET": str(int(interpreted)), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True, text=True, env=env, cwd=HERE.parent, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def compared(*words):
    lines = told_by(COMPARED, *words, interpreted=True)
    return [(name, *map(float, rest)) for name, *rest in map(str.split, lines)]


@needs_triton
def test_compiled_every_product_is_of_a_row_that_the_walk_brings():
    """As the compiler sees it, and not the interpreter: what a loop carries, it must notice.

    Names that begin a loop as one and the same value it takes for one that never changes.
    """
    lines = told_by(COMPILED, interpreted=False)
    constants = {line.split()[0] for line in lines if "= arith.constant" in line}
    factors = [line.split("tt.dot ")[1].split(",")[0] for line in lines if "tt.dot " in line]
    assert len(factors) == 9
    assert not constants & set(factors)


@needs_triton
@pytest.mark.parametrize(
    ("words", "bar"),
    [
        (("uint8", "float32", "user"), 3e-6),
        (("int16", "float32", "all"), 3e-6),
        (("float32", "float16", "all"), 1e-2),  # torch adds halves up in another order
    ],
)
def test_the_kernels_do_what_torch_does(words, bar):
    told = compared(*words)
    names = [name for name, *_ in told]
    assert names.count("halve") == 1 and names.count("refine") == 3
    for name, *values in told:
        if name == "changed":
            assert values[0] == pytest.approx(values[1], rel=0.02) and values[0] > 50
        elif name == "kept":
            assert 0 < values[0] < 1
        elif name == "land":
            assert values[0] <= 1
        else:
            assert values[0] <= (3e-6 if name == "halve" else bar), name
    assert words[0] == "float32" or {"land", "floats", "changed", "kept"} < set(names)
