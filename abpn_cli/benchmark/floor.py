"""What no program can beat on this machine: bytes over its bandwidth, operations over its rate."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..nets.abpn import Abpn, AbpnConfig, choose_levels
from ..nets.lrl import LRL_MULTIPLE

COPY_BYTES = 2**28  # more than any cache holds
MATRIX_SIDE = 2048
REPEATS = 5
BYTES_PER_PIXEL = 6  # an 8-bit photo is read, and one is written
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Machine(NamedTuple):
    """What the machine can do: bytes copied a second (read and written), operations a second."""

    copied: float
    operations: float


def measure_machine(device: torch.device, precision: str) -> Machine:
    """Measure what a large copy and a large matrix product reach, in that number format."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copying = _seconds(lambda: target.copy_(source), device)
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device).to(DTYPES[precision])
    product = torch.empty_like(matrix)
    multiplying = _seconds(lambda: torch.mm(matrix, matrix, out=product), device)
    return Machine(2 * COPY_BYTES / copying, 2 * MATRIX_SIDE**3 / multiplying)


def _seconds(work: object, device: torch.device) -> float:
    assert callable(work)
    times = []
    for _ in range(REPEATS + 1):
        synchronise(device)
        start = perf_counter()
        work()
        synchronise(device)
        times.append(perf_counter() - start)
    return median(times[1:])


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bytes_to_move(height: int, width: int) -> int:
    """The fewest bytes that must move for a photo: it is read, and its result is written."""
    return BYTES_PER_PIXEL * height * width


@torch.inference_mode()
def operations(config: AbpnConfig, height: int, width: int) -> int:
    """Multiplications and additions of all convolutions for a photo of that size."""
    with torch.device("meta"):
        net = Abpn(config).eval()
        levels = choose_levels((height, width))
        thumbnail = [-(-n // (LRL_MULTIPLE << levels)) * LRL_MULTIPLE for n in (height, width)]
        counted: list[int] = []
        for module in net.lrl.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(
                    lambda conv, _, out: counted.append(_per_output(conv) * out.numel())
                )
        net.lrl(torch.empty(1, 3, *thumbnail))
        padded = int(np.prod([-(-n >> levels) << levels for n in (height, width)]))
        module = net.refine(0)
        per_pixel = sum(
            _per_output(conv) * conv.out_channels for conv in (module.phi1, module.phi2)
        )
    fine = sum(padded >> 2 * level for level in range(levels))
    return 2 * (sum(counted) + fine * per_pixel)


def _per_output(conv: nn.Conv2d) -> int:
    """Multiplications for one value of a convolution's output."""
    return conv.weight[0].numel()
