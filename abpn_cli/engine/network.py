"""The network on its device: arrays in, arrays out, so that nothing else here handles tensors.

Only the refining convolutions run in the precision chosen; LRL, blend and unblend are float32
whatever the choice, for sixteen-bit photos need more digits than half floats have.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..errors import DeviceError, UsageError, WeightsError
from ..nets.abpn import Abpn, AbpnConfig, gate_grid, in_light
from ..nets.bpl import RefiningModule, unblend
from .blending import ArrayBlender, Blender, KernelBlender
from .clock import stage
from .colour import Image
from .gate import Plane
from .native import Kernel, kernels
from .painting import Painter
from .refining import KernelRefiner, Refiner, TorchRefiner

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a device that is there.

    Raises:
        UsageError: none of these words.
        DeviceError: CUDA is asked for and is not there; never falls back to the CPU.
    """
    kind, colon, number = wanted.partition(":")
    named_right = kind in ("auto", "cpu", "cuda") and (not colon or kind == "cuda")
    if not named_right or (colon and not number.isdecimal()):
        raise UsageError(f"unknown device '{wanted}'. Use auto, cpu, cuda or cuda:N.")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if kind == "auto":
            return torch.device("cpu")
        raise DeviceError(
            f"no CUDA device for --device {wanted}. Use --device cpu, or install a CUDA driver and "
            "a torch build that fits it."
        )
    index = int(number or 0)
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(f"no device {wanted}. Devices here: cuda:0 to cuda:{count - 1}.")
    return torch.device("cuda", index)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Turn "auto" into the precision that suits the device, and refuse what it cannot do.

    On a CPU the kernel computes in float32, and is faster than torch in bf16. Without it, where the
    CPU multiplies bf16, torch's refining convolutions take half the time in it, and a 16-bit value
    moves by 5 at most (tests/test_engine_properties.py); elsewhere float32. On CUDA they are
    tensor cores' work, and fp16 has three binary digits more than bf16 (tests/test_device.py).

    Raises:
        UsageError: an unknown word, or fp16 on the CPU.
    """
    if wanted == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if has_bf16() and not kernels() else "float32"
    if wanted not in PRECISIONS:
        raise UsageError(f"unknown precision '{wanted}'. Use auto, {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a CUDA device. Use --precision bf16 or float32 on the CPU.")
    return wanted


def choose_kernel(device: torch.device, precision: str) -> Kernel | None:
    """Choose the kernel that refines, blends and grades, None where torch is to do it."""
    found = kernels() if device.type == "cpu" and precision == "float32" else ()
    return found[0] if found else None


def computed_by(device: torch.device, precision: str) -> str:
    """Say by what pixels are refined, blended or graded: "torch", "triton" or "kernel (avx2)"."""
    if device.type == "cuda":
        return "triton" if precision != "float32" and has_triton() else "torch"
    kernel = choose_kernel(device, precision)
    return "torch" if kernel is None else f"kernel ({kernel.name})"


def has_triton() -> bool:
    """Whether Triton is installed; nothing is imported."""
    return importlib.util.find_spec("triton") is not None


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself; one that does not takes longer in it."""
    ask: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    told = ask()  # torch 2.6 cannot answer yet
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


@contextmanager
def at_work(device: torch.device) -> Iterator[None]:
    """Around all work for one photo: float32 means it, so TF32 is off.

    Raises:
        DeviceError: the device has not enough memory.
    """
    with ExitStack() as stack:
        if device.type == "cuda":
            if device.index:  # kernels go to the device that is current, 0 at first
                stack.enter_context(torch.cuda.device(device))
            flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
            stack.enter_context(flags)
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{device} is out of memory. Free some of it, or use --device cpu."
            ) from error


class Painted(NamedTuple):
    """What the LRL makes of a thumbnail: R_l (h, w, 3), not clamped, and M (h/4, w/4)."""

    retouched: Image
    mask: Plane


class Network:
    """An ABPN on its device."""

    def __init__(self, path: Path, device: torch.device, precision: str) -> None:
        """Load weights.

        Raises:
            WeightsError: missing, damaged, or of a network that cannot retouch.
        """
        loaded = weights.load(path, device)
        if not isinstance(loaded.net, Abpn):
            raise WeightsError(
                path, f"holds a '{loaded.header.net}' network", "Choose weights of an ABPN."
            )
        net = loaded.net
        self.config: AbpnConfig = net.config
        # In float32 always: half floats here move the mask and the edit by more than a 16-bit step.
        self.painter = Painter(net.lrl, device)
        self._held = sum(p.numel() * p.element_size() for p in net.parameters())
        self.refining = [net.refine(level) for level in range(len(net.refining))]
        self.device = device
        self.precision = precision
        self.kernel = choose_kernel(device, precision)
        self._refiners = [self._refiner(module, precision) for module in self.refining]
        self._j = net.j.detach().float().cpu()
        self._k = net.k.detach().float().cpu()
        self.terms = torch.cat([self._j, self._k])
        self.blender = self._blender()
        self.task = loaded.header.task

    @property
    def weight_bytes(self) -> int:
        """Memory its parameters take."""
        return self._held

    def _blender(self) -> Blender:
        j, k = self._j.numpy(), self._k.numpy()
        return ArrayBlender(j, k) if self.kernel is None else KernelBlender(self.kernel, j, k)

    def _refiner(self, module: RefiningModule, precision: str) -> Refiner:
        if self.kernel is not None:
            return KernelRefiner(module, self.kernel)
        return TorchRefiner(module, self.device, PRECISIONS[precision])

    def at_work(self) -> AbstractContextManager[None]:
        """Around all work for one photo: see `at_work`."""
        return at_work(self.device)

    @torch.inference_mode()
    def paint(self, thumbnail: Image) -> Painted:
        """Run the LRL on a whole upright thumbnail, (h, w, 3), sides multiples of LRL_MULTIPLE."""
        with stage("lrl"):
            seen = to_tensor(thumbnail, self.device)
            retouched, mask = self.painter.paint(seen)
            if self.config.light_only:
                retouched = in_light(seen, retouched)
            return Painted(to_array(retouched), to_array(mask)[..., 0])

    @torch.inference_mode()
    def gate(self, mask: Plane) -> Plane:
        """Turn M into g on M's grid, (h, w) to (h, w), both in [0, 1]."""
        grid = gate_grid(torch.from_numpy(np.ascontiguousarray(mask))[None, None], self.config)
        return to_array(grid)[..., 0]

    def refine(self, level: int, layer: Image, high_freq: Image) -> Image:
        """Make B_i, (h, w, 3), of the enlarged layer u and H_i; `level` is i, h and w are even."""
        refiner = self._refiners[0 if self.config.refine_shared else level]
        return refiner.refine(layer, high_freq)

    @torch.inference_mode()
    def unblend(self, base: Image, result: Image) -> Image:
        """Find the blend layer that turns base into result, float32, eq. (4)."""
        return unblend(torch.from_numpy(base), torch.from_numpy(result), self._j, self._k).numpy()


def to_tensor(image: Image, device: torch.device) -> Tensor:
    """(h, w, C) to (1, C, h, w) in channels_last order, twice as fast to convolve on a CPU."""
    array = np.ascontiguousarray(image)
    return torch.from_numpy(array).permute(2, 0, 1)[None].to(device)


def to_array(tensor: Tensor) -> Image:
    """(1, C, h, w) in any precision to (h, w, C) float32."""
    return tensor[0].permute(1, 2, 0).float().contiguous().cpu().numpy()
